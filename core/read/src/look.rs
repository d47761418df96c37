//! One look at a lineage's directory: which files are there, and whether any of them changed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use ringtail_io::{Fs, Kind, Stat};

use crate::dirs::Dirs;
use crate::open::OpenFiles;
use crate::patterns::bytes;
use crate::siblings::{Suffix, sibling, sort_oldest_first};
use crate::survey::Surveys;
use crate::tracked::{Role, Tracked};
use crate::walk::Trouble;

/// How many files of a lineage, the newest ones, are asked for changes in every scan: the one that is written to, and
/// the one that was until just now.
const LIVELY: usize = 2;

/// In how many scans each of the others is asked once.
const OLDER_EVERY: u64 = 8;

/// What a look needs beside the lineage.
pub(crate) struct Look<'a> {
    pub(crate) fs: &'a dyn Fs,
    pub(crate) files: &'a OpenFiles,
    pub(crate) wall_ns: i64,
    /// The number of this scan.
    pub(crate) scan: u64,
    /// Older files are left out when a lineage is new.
    pub(crate) ignore_older_ns: Option<i64>,
    /// Whether a rotated file is left out.
    pub(crate) excluded: &'a dyn Fn(&Path) -> bool,
    /// What was inflated before.
    pub(crate) surveys: &'a mut Surveys,
    pub(crate) troubles: &'a mut Vec<Trouble>,
    /// `stat` calls made.
    pub(crate) stats: &'a mut u64,
}

/// A file of the lineage, as it was found this time.
pub(crate) struct Seen {
    pub(crate) path: Arc<Path>,
    pub(crate) gz: bool,
    pub(crate) is_base: bool,
    pub(crate) suffix: Option<Suffix>,
    pub(crate) stat: Stat,
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
    /// Whether no file of an unchanged directory changed: the quick way through a quiet scan. Since no name changed, an
    /// open file can be asked instead of its path, which is four times as fast.
    pub(crate) fn unchanged(&mut self, tracked: &Tracked) -> bool {
        let older = tracked.files.len().saturating_sub(LIVELY);
        tracked.files.iter().enumerate().all(|(at, known)| {
            if known.is_unsettled() {
                return false;
            }
            let due = at >= older || (self.scan ^ known.stat.ino).is_multiple_of(OLDER_EVERY);
            if matches!(known.role, Role::Old | Role::Excluded) || !due {
                return true;
            }
            *self.stats += 1;
            let stat = match known.open.upgrade() {
                Some(open) => open.stat(),
                None => self.fs.stat(&known.path),
            };
            stat.is_ok_and(|stat| stat == known.stat)
        })
    }

    /// The lineage's files, oldest first, each once. A file that was listed and is not there was renamed, so that the
    /// directory has to be listed again. `names`: rotated files that earlier listings of this look had; this one adds its own.
    pub(crate) fn observe(
        &mut self,
        tracked: &Tracked,
        dirs: &mut Dirs,
        version: u64,
        names: &mut BTreeSet<OsString>,
    ) -> Result<Vec<Seen>, Unclear> {
        let mut seen = Vec::new();
        if version == 0 {
            return Ok(seen);
        }
        let dir = dirs.look(&tracked.dir).map_err(|error| Unclear::of(&tracked.dir, error))?;
        // A listing may leave a name out while others are renamed; the name itself is asked too.
        let known = tracked.files.iter().map(|known| &known.path);
        let known = known.chain(tracked.orphans.iter().filter_map(|orphan| orphan.path.as_ref()));
        names.extend(known.filter_map(|path| path.file_name()).map(OsStr::to_owned));
        names.extend(dir.siblings(&tracked.base).cloned());
        for name in &*names {
            let Some(sibling) = sibling(bytes(name)).filter(|sibling| sibling.base == bytes(&tracked.base))
            else {
                continue;
            };
            let found = self.see(tracked, tracked.dir.join(name), sibling.gz, Some(sibling.suffix))?;
            if found.is_none() && dir.has_file(name) {
                return Err(Unclear::Moving);
            }
            seen.extend(found);
        }
        // Of a rotated name and its `.gz`, the plain one first.
        seen.sort_by(|a, b| (a.gz, &a.path).cmp(&(b.gz, &b.path)));
        let last = Suffix::Number(0);
        sort_oldest_first(&mut seen, |seen| (seen.suffix.unwrap_or(last), seen.stat.modified_ns));
        let gz = bytes(&tracked.base).ends_with(b".gz");
        let base = self.see(tracked, tracked.key.to_path_buf(), gz, None)?;
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

    fn see(
        &mut self,
        tracked: &Tracked,
        path: std::path::PathBuf,
        gz: bool,
        suffix: Option<Suffix>,
    ) -> Result<Option<Seen>, Unclear> {
        *self.stats += 1;
        // Each path is kept once: there may be tens of thousands.
        let known = tracked.files.iter().map(|known| &known.path).chain([&tracked.key]);
        let path = known.into_iter().find(|known| ***known == *path).cloned().unwrap_or_else(|| path.into());
        // A symlink is none of the lineage's files: its path has none, and rotated files are no links.
        match self.fs.lstat(&path) {
            Ok(stat) if stat.kind == Kind::File => {
                Ok(Some(Seen { path, gz, is_base: suffix.is_none(), suffix, stat }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Unclear::Failed((path, error))),
        }
    }
}
