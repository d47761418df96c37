//! One look at a lineage's directory: which files are there, and whether any of them changed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringtail_io::{File, Fs, Kind, Stat};

use crate::dirs::Dirs;
use crate::gather::gather;
use crate::head::Content;
use crate::judge::Verdict;
use crate::maps::HashMap;
use crate::open::OpenFiles;
use crate::patterns::bytes;
use crate::siblings::{Suffix, sibling, sort_oldest_first};
use crate::survey::Surveys;
use crate::tracked::{Known, Role, Tracked};
use crate::walk::Trouble;

/// How many files of a lineage, the newest ones, are asked for changes in every look: the one that is written to, and
/// the one that was until just now.
const LIVELY: usize = 2;

/// In how many looks at everything each of the others is asked once.
const OLDER_EVERY: u64 = 8;

/// What a look needs beside the lineage.
pub(crate) struct Look<'a> {
    pub(crate) fs: &'a dyn Fs,
    pub(crate) files: &'a OpenFiles,
    pub(crate) wall_ns: i64,
    /// The number of this look at the lineage, among those at everything.
    pub(crate) round: u64,
    /// Older files are left out when a lineage is new.
    pub(crate) ignore_older_ns: Option<i64>,
    /// Whether a rotated file is left out.
    pub(crate) excluded: &'a dyn Fn(&Path) -> bool,
    /// What was inflated before.
    pub(crate) surveys: &'a mut Surveys,
    /// Files that this look has opened, by device and inode: open, they keep their numbers.
    pub(crate) opened: HashMap<(u64, u64), Opened>,
    pub(crate) troubles: &'a mut Vec<Trouble>,
    /// `stat` calls made.
    pub(crate) stats: &'a mut u64,
}

/// A file that was opened to tell who it is.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) file: Arc<File>,
    /// What it was just before.
    pub(crate) stat: Stat,
    /// How it began then.
    pub(crate) head: Vec<u8>,
}

/// What the files of a lineage say that are asked while no name of it changes.
pub(crate) enum Asked {
    /// All is as it was.
    Unchanged,
    /// Some have other contents; the others are as they were known.
    Changed(Vec<Seen>),
    /// Names lead to other files than they did: all have to be asked.
    Moved,
}

/// A file of the lineage, as it was found this time.
pub(crate) struct Seen {
    pub(crate) path: Arc<Path>,
    pub(crate) gz: bool,
    pub(crate) is_base: bool,
    pub(crate) suffix: Option<Suffix>,
    pub(crate) stat: Stat,
    /// What became of it, where that was asked at once.
    pub(crate) verdict: Option<Verdict>,
}

/// Why a look says nothing.
pub(crate) enum Unclear {
    /// The directory changes while it is being looked at.
    Moving,
    /// Something in it could not be asked: no answer, not a "no".
    Failed(Trouble),
}

impl Unclear {
    /// That `path` could not be asked. A name that is not there any more was renamed since it was seen.
    pub(crate) fn of(path: &Arc<Path>, error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Unclear::Moving,
            _ => Unclear::Failed((path.clone(), error)),
        }
    }
}

impl Look<'_> {
    /// Asks those files of a lineage whose turn it is, while the same names stand in its directory. `by_name`: something else in it
    /// changed, and not every file system tells by which numbers names go; otherwise an open file can be asked instead of its
    /// path, which is four times as fast.
    pub(crate) fn ask(&mut self, tracked: &Tracked, by_name: bool) -> Asked {
        let older = tracked.files.len().saturating_sub(LIVELY);
        let (mut stats, mut changed) = (Vec::with_capacity(tracked.files.len()), false);
        for (at, known) in tracked.files.iter().enumerate() {
            let due = at >= older || (self.round ^ known.stat.ino).is_multiple_of(OLDER_EVERY);
            let is_left = matches!(known.role, Role::Old | Role::Excluded);
            if !known.is_unsettled() && (is_left || !due) {
                stats.push(known.stat);
                continue;
            }
            *self.stats += 1;
            let stat = match known.open.upgrade().filter(|_| !by_name) {
                Some(open) => open.stat(),
                None => self.fs.lstat(&known.path),
            };
            let Ok(stat) = stat else { return Asked::Moved };
            if (stat.dev, stat.ino, stat.kind) != (known.stat.dev, known.stat.ino, Kind::File)
                || known.doubted
                // Whatever stands at its name, it is not this file.
                || stat.links == 0 && known.stat.links > 0
            {
                return Asked::Moved;
            }
            changed |= stat != known.stat || known.is_unsettled();
            stats.push(stat);
        }
        match changed {
            false => Asked::Unchanged,
            true => Asked::Changed(tracked.files.iter().zip(stats).map(|it| again(tracked, it)).collect()),
        }
    }

    /// The log itself, if it is there, and what became of it by now.
    pub(crate) fn look_at_log(&mut self, tracked: &Tracked) -> Result<Option<Seen>, Unclear> {
        let mut log = self.see_log(tracked)?;
        if let Some(seen) = &mut log {
            seen.verdict = Some(self.judge(tracked, seen)?);
        }
        Ok(log)
    }

    /// Whether the log is still where it was before the directory was listed: else it is listed as a rotated file, and what stands at
    /// its name by now was not seen.
    pub(crate) fn is_in_place(&mut self, tracked: &Tracked, log: &Stat) -> bool {
        *self.stats += 1;
        self.fs.lstat(&tracked.key).is_ok_and(|stat| (stat.dev, stat.ino) == (log.dev, log.ino))
    }

    fn see_log(&mut self, tracked: &Tracked) -> Result<Option<Seen>, Unclear> {
        let asked = self.ask_names(tracked, &[&tracked.key]).pop().expect("one answer for one name");
        let gz = bytes(&tracked.base).ends_with(b".gz");
        Self::see(tracked, tracked.key.to_path_buf(), (gz, None), asked)
    }

    /// The lineage's files, oldest first, each once. A file that was listed and is not there was renamed, so that the
    /// directory has to be listed again. `names`: rotated files that earlier listings of this look had; this one adds its own.
    /// `log`: what stood at its name before the directory was listed, where that was asked.
    pub(crate) fn observe(
        &mut self,
        tracked: &Tracked,
        dirs: &mut Dirs,
        names: &mut BTreeSet<OsString>,
        log: Option<Option<Seen>>,
    ) -> Result<Vec<Seen>, Unclear> {
        let dir = dirs.look(&tracked.dir).map_err(|error| Unclear::of(&tracked.dir, error))?;
        // A listing may leave a name out while others are renamed; the name itself is asked too.
        let known = tracked.files.iter().map(|known| &known.path);
        let known = known.chain(tracked.orphans.iter().filter_map(|orphan| orphan.path.as_ref()));
        names.extend(known.filter_map(|path| path.file_name()).map(OsStr::to_owned));
        names.extend(dir.siblings(&tracked.base).cloned());
        let (mut seen, missing) = self.see_rotated(tracked, names.iter())?;
        if missing.iter().any(|name| dir.has_file(name)) {
            return Err(Unclear::Moving);
        }
        // One that was compressed while the directory was listed may have been listed under neither name.
        let twins = missing.into_iter().map(|mut name| {
            name.push(".gz");
            name
        });
        let twins: Vec<OsString> = twins.filter(|name| !names.contains(name)).collect();
        seen.extend(self.see_rotated(tracked, twins.iter())?.0);
        // Of a rotated name and its `.gz`, the plain one first.
        seen.sort_by(|a, b| (a.gz, &a.path).cmp(&(b.gz, &b.path)));
        let last = Suffix::Number(0);
        sort_oldest_first(&mut seen, |seen| (seen.suffix.unwrap_or(last), seen.stat.modified_ns));
        // Else after the others: what was renamed from here meanwhile is missed, and not taken for something that was deleted.
        let base = log.map_or_else(|| self.see_log(tracked), Ok)?;
        if base.is_none() && dir.has_file(&tracked.base) {
            return Err(Unclear::Moving);
        }
        seen.extend(base);
        let mut ids = std::collections::HashSet::new();
        let mut unique: Vec<Seen> =
            seen.into_iter().rev().filter(|s| ids.insert((s.stat.dev, s.stat.ino))).collect();
        unique.reverse();
        Ok(unique)
    }

    /// The rotated files of these names that are there, and the names of the others.
    fn see_rotated<'n>(
        &mut self,
        tracked: &Tracked,
        names: impl Iterator<Item = &'n OsString>,
    ) -> Result<(Vec<Seen>, Vec<OsString>), Unclear> {
        let rotated = names.filter_map(|name| {
            let sibling = sibling(bytes(name)).filter(|sibling| sibling.base == bytes(&tracked.base))?;
            Some((name, tracked.dir.join(name), (sibling.gz, Some(sibling.suffix))))
        });
        let rotated: Vec<_> = rotated.collect();
        let asked = self.ask_names(tracked, &rotated.iter().map(|(_, path, _)| &**path).collect::<Vec<_>>());
        let (mut seen, mut missing) = (Vec::with_capacity(rotated.len()), Vec::new());
        for ((name, path, kind), asked) in rotated.into_iter().zip(asked) {
            match Self::see(tracked, path, kind, asked)? {
                Some(found) => seen.push(found),
                None => missing.push(name.clone()),
            }
        }
        Ok((seen, missing))
    }

    /// What stands at these names.
    fn ask_names(&mut self, tracked: &Tracked, paths: &[&Path]) -> Vec<io::Result<Stat>> {
        *self.stats += paths.len() as u64;
        self.gather(tracked, paths.len(), |at| self.fs.lstat(paths[at]))
    }

    /// Opens those rotated files that nothing is known of and that will have to be opened to tell who they are: where each answer
    /// takes long, several at once. The log comes after them: of what it has not, none of them is a copy.
    pub(crate) fn open_ahead(&mut self, tracked: &Tracked, seen: &[Seen]) {
        if !tracked.is_far {
            return;
        }
        let id = |seen: &Seen| (seen.stat.dev, seen.stat.ino);
        let is_new = |seen: &&Seen| {
            !seen.is_base
                && tracked.files.iter().all(|known| known.id() != id(seen))
                && self.opened.get(&id(seen)).is_none_or(|opened| opened.stat != seen.stat)
        };
        let new: Vec<&Seen> = seen.iter().filter(is_new).collect();
        let opened = self.gather(tracked, new.len(), |at| Opened::at(self.fs, new[at]));
        // What cannot be opened tells why when its turn comes.
        let opened = new.into_iter().zip(opened).filter_map(|(seen, opened)| Some((id(seen), opened.ok()?)));
        self.opened.extend(opened);
    }

    /// The file that was seen, opened; the one that was opened in this look already, where nothing was written to it since.
    pub(crate) fn opened(&mut self, seen: &Seen) -> io::Result<Opened> {
        let id = (seen.stat.dev, seen.stat.ino);
        if let Some(opened) = self.opened.get(&id).filter(|opened| opened.stat == seen.stat) {
            return Ok(opened.clone());
        }
        let opened = Opened::at(self.fs, seen)?;
        self.opened.insert((opened.stat.dev, opened.stat.ino), opened.clone());
        Ok(opened)
    }

    /// `count` answers, in the order of their numbers.
    fn gather<T: Send + Sync>(
        &self,
        tracked: &Tracked,
        count: usize,
        ask: impl Fn(usize) -> io::Result<T> + Sync,
    ) -> Vec<io::Result<T>> {
        match tracked.is_far {
            true => gather(self.fs, &tracked.key, count, ask),
            false => (0..count).map(ask).collect(),
        }
    }

    /// What stands at a name, as it was `asked`.
    fn see(
        tracked: &Tracked,
        path: PathBuf,
        (gz, suffix): (bool, Option<Suffix>),
        asked: io::Result<Stat>,
    ) -> Result<Option<Seen>, Unclear> {
        // Each path is kept once: there may be tens of thousands.
        let known = tracked.files.iter().map(|known| &known.path).chain([&tracked.key]);
        let path = known
            .into_iter()
            .find(|known| known.as_os_str() == path.as_os_str())
            .cloned()
            .unwrap_or_else(|| path.into());
        // A symlink is none of the lineage's files: its path has none, and rotated files are no links.
        match asked {
            Ok(stat) if stat.kind == Kind::File => {
                Ok(Some(Seen { path, gz, is_base: suffix.is_none(), suffix, stat, verdict: None }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Unclear::Failed((path, error))),
        }
    }
}

impl Opened {
    /// Opens a file and reads its head.
    fn at(fs: &dyn Fs, seen: &Seen) -> io::Result<Self> {
        let (file, stat) = fs.open_as(&seen.path)?;
        let head = Content::new(file.clone(), seen.gz).head()?;
        Ok(Opened { file, stat, head })
    }
}

/// A known file under its name, with other contents.
fn again(tracked: &Tracked, (known, stat): (&Known, Stat)) -> Seen {
    let (path, gz) = (known.path.clone(), known.gz);
    let name = path.file_name().filter(|_| path != tracked.key).and_then(|name| sibling(bytes(name)));
    let suffix = name.map(|name| name.suffix);
    Seen { path, gz, is_base: suffix.is_none(), suffix, stat, verdict: None }
}
