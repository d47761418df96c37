//! What a scan is asked for, and what it reports.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringtail_io::Stat;

use crate::identity::{FileRecord, Head, Identity};
use crate::open::OpenFile;
use crate::stray::log_of;
use crate::tracked::Known;

/// Which files a pipeline wants.
#[derive(Clone, Debug, Default)]
pub struct FileSpec {
    /// The caller's number for it; comes back in [`Listing::specs`].
    pub id: u32,
    /// The number of the pipeline that it belongs to: what one of a pipeline's specs matches may be a symlink to a file that
    /// another one of them names.
    pub pipeline: u32,
    /// Absolute paths of files, of directories (all files directly in them), or globs with `*`, `?`, `[a-z]`, `[!a-z]`,
    /// `{a,b}` and, as a whole component, `**` for any number of directories. `\` makes the next character literal.
    pub paths: Vec<String>,
    /// Globs of paths to leave out; what matches a directory leaves out everything below it. They are compared with the
    /// matched path and with the one without symlinks. A rotated sibling that matches is not begun with; it is read
    /// nevertheless where what was being read moved there.
    pub exclude: Vec<String>,
    /// Files not written to for this long when they are first seen are left out; what is written to them later is read.
    pub ignore_older: Option<Duration>,
}

/// One generation of a lineage, in the file where a scan saw it.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Which generation.
    pub generation: u32,
    /// Where the file lies, without symlinks.
    pub path: Arc<Path>,
    /// Whether it is compressed.
    pub gz: bool,
    /// What `stat` told of it.
    pub stat: Stat,
    /// How it begins.
    pub head: Head,
    /// Bytes before this were there when the file was left out as too old, and are not wanted.
    pub begin: u64,
    /// Open, when it is new or somebody has it open; not, when it was closed or the bound on open files forbids it.
    pub file: Option<Arc<OpenFile>>,
}

impl Sighting {
    /// Who the file is.
    pub fn identity(&self) -> Identity {
        Identity { dev: self.stat.dev, ino: self.stat.ino, head: self.head }
    }

    /// What a checkpoint keeps of a generation of which no more than this is known.
    pub fn record(&self) -> FileRecord {
        let Sighting { generation, gz, stat, .. } = *self;
        FileRecord { generation, identity: self.identity(), size: stat.size, path: self.path.clone(), gz }
    }
}

/// Where a file lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its file system.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
    /// Its path.
    pub path: Arc<Path>,
}

impl Place {
    pub(crate) fn of(file: &Known) -> Self {
        Place { dev: file.stat.dev, ino: file.stat.ino, path: file.path.clone() }
    }
}

/// All files of one lineage, as a scan saw them.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The lineage: the path, without symlinks, of the file that is written to; of a stray, which is found behind its
    /// successor, that is the beginning of its name ([`crate::log_of`]).
    pub lineage: Arc<Path>,
    /// The path that was matched; of several the one that has the form of kubelet's pod logs.
    pub shown: Arc<Path>,
    /// The specs that want it, ascending; empty when none does any longer.
    pub specs: Vec<u32>,
    /// Whether the lineage was there at the first scan (of a scanner, or after its specs changed), so that `start`
    /// concerns it. What appears later is read from its beginning.
    pub at_start: bool,
    /// Oldest first; the one that is written to is last, where it exists. Empty when the lineage is gone.
    pub files: Vec<Sighting>,
    /// The other files of the same log: in other lineages (its strays, or its own), or with nothing that is to be read.
    pub beside: Vec<Place>,
}

impl Listing {
    /// Whether the file that the log is named after is there.
    pub fn has_log(&self) -> bool {
        let log = log_of(&self.lineage);
        self.files.iter().any(|file| *file.path == *log) || self.beside.iter().any(|file| *file.path == *log)
    }

    /// Whether some file of the log, in whichever lineage, has this device and inode, and a path that `is_it`.
    pub(crate) fn has(&self, id: (u64, u64), is_it: impl Fn(&Arc<Path>) -> bool) -> bool {
        let found = |dev, ino, path| (dev, ino) == id && is_it(path);
        self.files.iter().any(|file| found(file.stat.dev, file.stat.ino, &file.path))
            || self.beside.iter().any(|file| found(file.dev, file.ino, &file.path))
    }
}
