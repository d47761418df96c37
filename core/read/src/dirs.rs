//! Directories as they were listed last, so that an unchanged one costs one `stat` a scan.
//!
//! A listing is believed while the directory's own time of change stays the same and lay [`SETTLED`] back when it was
//! listed (within that, a second change may bear the same time), and two listings in succession said the same (one alone
//! may leave names out while others are renamed); in every [`RELIST_EVERY`]th look at everything it is listed anyway, for file
//! systems whose times cannot be trusted.

use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringtail_io::{Clock, DirEntry, Fs, Kind, Stat};

use crate::maps::HashMap;
use crate::siblings::sibling;

/// Nanoseconds after which a directory's time of change tells every further change: coarse file systems count in two
/// seconds.
const SETTLED: i64 = 3_000_000_000;

/// Nanoseconds in which two changes may bear the same time, on file systems of Linux.
const TICK: i64 = 10_000_000;

/// Looks at everything after which a directory is listed although it seems unchanged.
const RELIST_EVERY: u64 = 32;

/// How long what was seen of a directory is believed within one scan.
const STALE: Duration = Duration::from_secs(1);

/// A directory as it was listed last.
pub(crate) struct Dir {
    pub(crate) stat: Stat,
    /// Changes with every change of `entries`, and is never the same again.
    pub(crate) version: u64,
    /// The same, but for the inode numbers of all but links: what a walk makes of the names.
    pub(crate) names_version: u64,
    /// Two listings in succession had these entries, without a change between. One alone may leave names out while others are
    /// renamed.
    pub(crate) agreed: bool,
    /// By name.
    pub(crate) entries: Vec<DirEntry>,
    /// The rotated files among the entries, by the name of their base.
    siblings: HashMap<OsString, Vec<usize>>,
    listed_ns: i64,
    /// The look at everything in which it was listed last.
    round: u64,
    /// The scan in which it was looked at last.
    looked: u64,
}

impl Dir {
    /// Names of the rotated files of `base` that may be regular files.
    pub(crate) fn siblings(&self, base: &OsStr) -> impl Iterator<Item = &OsString> {
        self.siblings.get(base).into_iter().flatten().map(|at| &self.entries[*at].name)
    }

    /// Whether a file has this name for certain, not a link that may lead nowhere.
    pub(crate) fn has_file(&self, name: &OsStr) -> bool {
        let at = self.entries.binary_search_by(|entry| entry.name.as_os_str().cmp(name));
        at.is_ok_and(|at| self.entries[at].kind == Kind::File)
    }

    /// Whether `stat`, asked later, says that nothing has changed since it was listed.
    fn is_as_listed(&self, stat: &Stat) -> bool {
        self.stat == *stat && self.listed_ns.saturating_sub(stat.modified_ns) > TICK
    }

    /// What stands here of one log, in a number: the names of its files, and where the file system tells them, their inode
    /// numbers. Never 0.
    pub(crate) fn print_of(&self, base: &OsStr) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.stat.dev, self.stat.ino).hash(&mut hasher);
        let own = self.entries.binary_search_by(|entry| entry.name.as_os_str().cmp(base)).ok();
        for at in own.iter().chain(self.siblings.get(base).into_iter().flatten()) {
            let DirEntry { name, kind, ino } = &self.entries[*at];
            (name, kind, ino).hash(&mut hasher);
        }
        hasher.finish().max(1)
    }

    /// Whether the file system tells inode numbers in listings. Where it does not know them, FUSE says one for all.
    fn tells_inodes(&self) -> bool {
        const UNKNOWN: [u64; 2] = [0, 0xffff_ffff];
        match &self.entries[..] {
            [] => true,
            [only] => !UNKNOWN.contains(&only.ino),
            [first, others @ ..] => others.iter().any(|entry| entry.ino != first.ino),
        }
    }

    pub(crate) fn has(&self, name: &OsStr) -> bool {
        self.entries.binary_search_by(|entry| entry.name.as_os_str().cmp(name)).is_ok()
    }
}

/// What a directory says of itself.
pub(crate) enum Answer {
    /// What was listed last is believed.
    Unchanged,
    /// When it was listed by the clock on the wall, what it was just before, what it has.
    Listed(i64, Stat, io::Result<Vec<DirEntry>>),
}

/// All directories that were looked at.
pub(crate) struct Dirs {
    pub(crate) fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
    known: HashMap<Arc<Path>, Dir>,
    scan: u64,
    round: u64,
    /// When this scan began.
    began: Duration,
    versions: u64,
    /// Directories listed since the start.
    pub(crate) listed: u64,
}

impl Dirs {
    pub(crate) fn new(fs: Arc<dyn Fs>, clock: Arc<dyn Clock>) -> Self {
        Dirs {
            fs,
            clock,
            known: HashMap::default(),
            scan: 0,
            round: 0,
            began: Duration::ZERO,
            versions: 0,
            listed: 0,
        }
    }

    /// What is known of one directory, taken out, so that several can be looked at at once; see [`Dirs::join`].
    pub(crate) fn part(&mut self, path: &Arc<Path>) -> Dirs {
        Dirs {
            known: self.known.remove(path).map(|dir| (path.clone(), dir)).into_iter().collect(),
            listed: 0,
            fs: self.fs.clone(),
            clock: self.clock.clone(),
            ..*self
        }
    }

    /// Takes a part back.
    pub(crate) fn join(&mut self, part: Dirs) {
        self.known.extend(part.known);
        self.versions = self.versions.max(part.versions);
        self.listed += part.listed;
    }

    /// Begins a scan: every directory is looked at again when it is asked for.
    pub(crate) fn begin(&mut self) {
        self.scan += 1;
        self.began = self.clock.now();
    }

    /// Begins a scan that is a look at everything.
    pub(crate) fn begin_round(&mut self) {
        self.round += 1;
        self.begin();
    }

    /// In a scan that takes long: what was seen of directories a while ago is not believed any more.
    pub(crate) fn go_on(&mut self) {
        if self.clock.now().saturating_sub(self.began) > STALE {
            self.begin();
        }
    }

    /// The number of this scan.
    pub(crate) fn scan(&self) -> u64 {
        self.scan
    }

    /// Forgets the directories that were not asked for since this scan.
    pub(crate) fn sweep(&mut self, scan: u64) {
        self.known.retain(|_, dir| dir.looked >= scan);
    }

    /// The directory, as of this scan.
    pub(crate) fn look(&mut self, path: &Arc<Path>) -> io::Result<&Dir> {
        let answer = self.ask(path);
        self.take(path, answer)
    }

    /// The directory, as it was when it was asked last.
    pub(crate) fn known(&self, path: &Path) -> Option<&Dir> {
        self.known.get(path)
    }

    /// What a look at the directory needs to be told, for [`Dirs::take`]: several directories can be asked at once.
    pub(crate) fn ask(&self, path: &Arc<Path>) -> io::Result<Answer> {
        let Some(dir) = self.known.get(path) else { return self.ask_for_list(path) };
        if dir.looked == self.scan {
            return Ok(Answer::Unchanged);
        }
        let stat = self.fs.stat(path)?;
        let rested = dir.listed_ns.saturating_sub(stat.modified_ns) > SETTLED;
        let settled = stat.modified_ns != 0 && rested && dir.agreed;
        // Not in each look at everything has each directory its turn.
        let turn = |round: u64| round.wrapping_add(stat.ino) / RELIST_EVERY;
        let due = turn(self.round) != turn(dir.round);
        match stat != dir.stat || !settled || due {
            true => self.ask_for_list(path),
            false => Ok(Answer::Unchanged),
        }
    }

    /// Whether the directory has of a log what it had when it was listed last, `print`, and its last change was at `modified_ns`: names
    /// are asked one after the other, and what is renamed meanwhile may be among those that were not. Where listings tell no inode
    /// numbers, names may have gone over to other files with any change.
    pub(crate) fn still_has(
        &mut self,
        path: &Arc<Path>,
        base: &OsStr,
        (print, modified_ns): (u64, i64),
    ) -> io::Result<bool> {
        let stat = self.fs.stat(path)?;
        if self.known.get(path).is_some_and(|dir| dir.is_as_listed(&stat)) {
            return Ok(true);
        }
        let dir = self.list(path)?;
        let tells = dir.tells_inodes() || dir.stat.modified_ns == modified_ns;
        Ok(tells && dir.print_of(base) == print)
    }

    /// The directory, listed now.
    pub(crate) fn list(&mut self, path: &Arc<Path>) -> io::Result<&Dir> {
        let answer = self.ask_for_list(path);
        self.take(path, answer)
    }

    fn ask_for_list(&self, path: &Path) -> io::Result<Answer> {
        // The time first: what changes while it is listed makes the listing look old.
        let (listed_ns, stat) = (self.clock.wall_ns(), self.fs.stat(path)?);
        let entries = self.fs.read_dir(path).map_err(|error| {
            // It was there just now. Where it is gone indeed, its own answer says so.
            let is_gone = error.kind() != ErrorKind::NotFound || self.fs.stat(path).is_err();
            if is_gone { error } else { io::Error::other("the directory comes and goes") }
        });
        Ok(Answer::Listed(listed_ns, stat, entries))
    }

    /// Believes an answer until the next scan.
    pub(crate) fn take(&mut self, path: &Arc<Path>, answer: io::Result<Answer>) -> io::Result<&Dir> {
        match answer? {
            Answer::Unchanged => {
                if let Some(dir) = self.known.get_mut(path) {
                    dir.looked = self.scan;
                }
            }
            Answer::Listed(listed_ns, stat, Ok(entries)) => self.note(path, listed_ns, stat, entries),
            Answer::Listed(_, _, Err(error)) => {
                self.known.remove(path);
                return Err(error);
            }
        }
        Ok(&self.known[path])
    }

    /// Keeps a listing.
    fn note(&mut self, path: &Arc<Path>, listed_ns: i64, stat: Stat, mut entries: Vec<DirEntry>) {
        self.listed += 1;
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let before = self.known.get(path).filter(|dir| same_place(&dir.stat, &stat));
        let same = before.filter(|dir| dir.entries == entries);
        // The same names may be those of other files by now, which not all file systems tell. The times alone do not tell either:
        // a clock may have been set back between.
        let agreed = before
            .filter(|dir| same_names(&dir.entries, &entries))
            .is_some_and(|dir| dir.stat == stat && dir.listed_ns.saturating_sub(stat.modified_ns) > TICK);
        let version = same.map_or(self.versions + 1, |dir| dir.version);
        let alike = before.filter(|dir| lead_alike(&dir.entries, &entries));
        let names_version = alike.map_or(self.versions + 1, |dir| dir.names_version);
        self.versions = self.versions.max(version).max(names_version);
        let dir = Dir {
            stat,
            version,
            names_version,
            agreed,
            siblings: group(&entries),
            entries,
            listed_ns,
            round: self.round,
            looked: self.scan,
        };
        self.known.insert(path.clone(), dir);
    }
}

fn same_names(a: &[DirEntry], b: &[DirEntry]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (&a.name, a.kind) == (&b.name, b.kind))
}

/// The same names, and links that were not made anew: they may lead elsewhere.
fn lead_alike(a: &[DirEntry], b: &[DirEntry]) -> bool {
    let same_link =
        |(a, b): (&DirEntry, &DirEntry)| matches!(a.kind, Kind::File | Kind::Directory) || a.ino == b.ino;
    same_names(a, b) && a.iter().zip(b).all(same_link)
}

fn same_place(a: &Stat, b: &Stat) -> bool {
    (a.dev, a.ino) == (b.dev, b.ino)
}

fn group(entries: &[DirEntry]) -> HashMap<OsString, Vec<usize>> {
    let mut groups: HashMap<OsString, Vec<usize>> = HashMap::default();
    for (at, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.kind != Kind::Directory) {
        if let Some(sibling) = sibling(entry.name.as_bytes()) {
            groups.entry(OsStr::from_bytes(sibling.base).to_owned()).or_default().push(at);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Mutex;

    use ringtail_io::File;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// A directory that answers as it is told to, and the time.
    #[derive(Default)]
    struct Told(Mutex<Answers>);

    #[derive(Default)]
    struct Answers {
        wall_ns: i64,
        /// Nothing is there without.
        modified_ns: Option<i64>,
        names: Option<&'static [&'static str]>,
    }

    impl Told {
        fn set(&self, wall_ns: i64, modified_ns: Option<i64>, names: Option<&'static [&'static str]>) {
            *self.0.lock().expect("no panic") = Answers { wall_ns, modified_ns, names };
        }
    }

    impl Clock for Told {
        fn now(&self) -> Duration {
            Duration::ZERO
        }

        fn wall_ns(&self) -> i64 {
            self.0.lock().expect("no panic").wall_ns
        }
    }

    impl Fs for Told {
        fn open_as(&self, _: &Path) -> io::Result<(Arc<File>, Stat)> {
            Err(ErrorKind::Unsupported.into())
        }

        fn stat(&self, _: &Path) -> io::Result<Stat> {
            let modified_ns = self.0.lock().expect("no panic").modified_ns.ok_or(ErrorKind::NotFound)?;
            let kind = Kind::Directory;
            Ok(Stat { dev: 1, ino: 2, size: 0, modified_ns, links: 2, kind, guarded: true })
        }

        fn lstat(&self, path: &Path) -> io::Result<Stat> {
            self.stat(path)
        }

        fn read_dir(&self, _: &Path) -> io::Result<Vec<DirEntry>> {
            let names = self.0.lock().expect("no panic").names.ok_or(ErrorKind::NotFound)?;
            Ok(names.iter().map(|name| DirEntry { name: name.into(), kind: Kind::File, ino: 0 }).collect())
        }

        fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
            Ok(path.to_owned())
        }
    }

    fn directory() -> (Arc<Told>, Dirs, Arc<Path>) {
        let told = Arc::new(Told::default());
        let dirs = Dirs::new(told.clone(), told.clone());
        (told, dirs, Path::new("/var/log").into())
    }

    /// Before a rotation there are `log` and `log.1`; after it a listing may have the same names, and leave `log.2` out.
    #[test]
    fn two_listings_of_the_same_names_around_a_rotation_do_not_agree() {
        const NAMES: Option<&[&str]> = Some(&["log", "log.1"]);
        // The second time the wall clock is set back by an hour between the two.
        for set_back in [0, 3_600 * SECOND] {
            let (told, mut dirs, path) = directory();
            let began = 10_000 * SECOND;
            told.set(began + 5 * SECOND, Some(began), NAMES);
            assert!(!dirs.list(&path).expect("there").agreed, "nothing to agree with");
            assert!(dirs.list(&path).expect("there").agreed);
            let rotated = began + 6 * SECOND - set_back;
            told.set(rotated, Some(rotated), NAMES);
            assert!(!dirs.list(&path).expect("there").agreed, "it changed between");
            assert!(
                !dirs.list(&path).expect("there").agreed,
                "it may have changed between, in the same tick"
            );
            told.set(rotated + SECOND, Some(rotated), NAMES);
            assert!(!dirs.list(&path).expect("there").agreed, "the one before was of the same tick");
            assert!(dirs.list(&path).expect("there").agreed);
        }
    }

    /// In full rotation the names stay and lead to other files, which listings of some FUSE servers do not tell.
    #[test]
    fn what_changed_has_not_still_what_it_had_where_no_inode_numbers_tell() {
        let (told, mut dirs, path) = directory();
        let (base, began) = (OsStr::new("log"), 10_000 * SECOND);
        told.set(began + 5 * SECOND, Some(began), Some(&["log", "log.1"]));
        let listed = dirs.list(&path).map(|dir| (dir.print_of(base), dir.stat.modified_ns)).expect("there");
        told.set(began + 6 * SECOND, Some(began), Some(&["log", "log.1"]));
        assert!(dirs.still_has(&path, base, listed).expect("there"));
        told.set(began + 7 * SECOND, Some(began + 7 * SECOND), Some(&["log", "log.1"]));
        assert!(!dirs.still_has(&path, base, listed).expect("there"));
    }

    /// A walk makes something of names, and of where links lead: not of a log that was made anew.
    #[test]
    fn inode_numbers_matter_to_a_walk_only_where_they_are_those_of_links() {
        let (told, mut dirs, path) = directory();
        told.set(SECOND, Some(0), None);
        let mut list = |kind, ino| {
            let stat = told.stat(&path).expect("there");
            let entries = vec![DirEntry { name: "log".into(), kind, ino }];
            let dir = dirs.take(&path, Ok(Answer::Listed(SECOND, stat, Ok(entries)))).expect("there");
            (dir.version, dir.names_version)
        };
        let files = [1, 2].map(|ino| list(Kind::File, ino));
        assert!(files[0].0 != files[1].0 && files[0].1 == files[1].1, "{files:?}");
        let links = [1, 2].map(|ino| list(Kind::Symlink, ino));
        assert!(links[0].0 != links[1].0 && links[0].1 != links[1].1, "{links:?}");
    }

    /// A directory that is renamed away and back is missed by a look: nothing in it is taken for deleted.
    #[test]
    fn a_directory_that_is_there_is_not_gone_though_listing_it_says_so() {
        let (told, mut dirs, path) = directory();
        told.set(SECOND, Some(0), None);
        let missed = dirs.list(&path).map(|_| ()).expect_err("no listing");
        assert_ne!(missed.kind(), ErrorKind::NotFound);
        told.set(SECOND, None, None);
        let gone = dirs.list(&path).map(|_| ()).expect_err("nothing there");
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }
}
