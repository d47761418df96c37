//! A file system that does not stand still while the scanner looks at it: between two of its calls, containers go on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use ringtail_io::sim::{SimFs, World};
use ringtail_io::{DirEntry, File, Fs, Stat};

use super::container::{Container, pick};

/// The containers of a run, and the file system with their logs.
pub(super) struct Live {
    world: World,
    fs: SimFs,
    containers: Mutex<Vec<Container>>,
    /// Before one call of so many something happens.
    one_in: usize,
    /// How often that may be: each rotation makes more calls.
    left: AtomicUsize,
}

impl Live {
    pub(super) fn new(world: &World, containers: Vec<Container>) -> Self {
        let one_in = [3, 10, 50][pick(world, 3)];
        world.note(format_args!("something happens before one of {one_in} calls"));
        let (world, fs) = (world.clone(), world.fs());
        Live { world, fs, containers: Mutex::new(containers), one_in, left: AtomicUsize::new(0) }
    }

    /// Not to be held while the scanner has a turn.
    pub(super) fn containers(&self) -> MutexGuard<'_, Vec<Container>> {
        self.containers.lock().expect("a run ends with its first panic")
    }

    /// How much may happen before the next calls.
    pub(super) fn allow(&self, events: usize) {
        self.left.store(events, Ordering::Relaxed);
    }

    /// What happens before a call.
    fn happen(&self) {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 || pick(&self.world, self.one_in) > 0 {
            return;
        }
        self.left.store(left - 1, Ordering::Relaxed);
        let mut containers = self.containers();
        let container = pick(&self.world, containers.len());
        match pick(&self.world, 3) {
            0 => containers[container].write(3),
            _ => containers[container].rotate(),
        }
    }
}

impl Fs for Live {
    fn open_as(&self, path: &Path) -> io::Result<(Arc<File>, Stat)> {
        self.happen();
        self.fs.open_as(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.happen();
        self.fs.stat(path)
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        self.happen();
        self.fs.lstat(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.happen();
        self.fs.read_dir(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.happen();
        self.fs.canonical(path)
    }

    fn is_far(&self, path: &Path) -> bool {
        self.fs.is_far(path)
    }
}
