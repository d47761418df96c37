//! A file system that does not stand still while the scanner looks at it: between two of its calls, containers go on.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use ringtail_io::sim::{Call, Meddle, World};

use super::container::{Container, pick};

/// The containers of a run, and the file system with their logs.
pub(super) struct Live {
    world: World,
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
        let (world, containers) = (world.clone(), Mutex::new(containers));
        Live { world, containers, one_in, left: AtomicUsize::new(0) }
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

impl Meddle for Live {
    fn world(&self) -> &World {
        &self.world
    }

    fn before(&self, _: Call, _: &Path) -> io::Result<()> {
        self.happen();
        Ok(())
    }
}
