//! A file system in whose calls a test meddles: something happens before or after them, or they are answered otherwise.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::world::World;
use crate::{DirEntry, File, Fs, Stat};

/// A call of [`Fs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`Fs::open_as`], and so [`Fs::open`].
    Open,
    /// [`Fs::stat`].
    Stat,
    /// [`Fs::lstat`].
    Lstat,
    /// [`Fs::read_dir`].
    List,
    /// [`Fs::canonical`].
    Canonical,
}

/// What a test does around the calls of the file system of a [`World`]; whoever implements it is an [`Fs`].
pub trait Meddle: Send + Sync {
    /// Whose file system it is.
    fn world(&self) -> &World;

    /// Before a call. An error is its answer.
    fn before(&self, _call: Call, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// After a file was opened.
    fn opened(&self, _file: &Arc<File>) {}

    /// After [`Fs::lstat`] was answered.
    fn looked(&self, _path: &Path) {}

    /// After a directory was listed: what is told of it may be changed. An error is the answer.
    fn listed(&self, _entries: &mut Vec<DirEntry>) -> io::Result<()> {
        Ok(())
    }

    /// For [`Fs::is_far`].
    fn leads_far(&self, path: &Path) -> bool {
        self.world().fs().is_far(path)
    }

    /// For [`Fs::each`].
    fn work(&self, _place: &Path, count: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(work);
    }
}

impl<T: Meddle> Fs for T {
    fn open_as(&self, path: &Path) -> io::Result<(Arc<File>, Stat)> {
        self.before(Call::Open, path)?;
        let (file, stat) = self.world().fs().open_as(path)?;
        self.opened(&file);
        Ok((file, stat))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.before(Call::Stat, path)?;
        self.world().fs().stat(path)
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        self.before(Call::Lstat, path)?;
        let stat = self.world().fs().lstat(path)?;
        self.looked(path);
        Ok(stat)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.before(Call::List, path)?;
        let mut entries = self.world().fs().read_dir(path)?;
        self.listed(&mut entries)?;
        Ok(entries)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.before(Call::Canonical, path)?;
        self.world().fs().canonical(path)
    }

    fn is_far(&self, path: &Path) -> bool {
        self.leads_far(path)
    }

    fn each(&self, place: &Path, count: usize, work: &(dyn Fn(usize) + Sync)) {
        self.work(place, count, work);
    }
}
