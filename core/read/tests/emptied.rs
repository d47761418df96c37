//! A log that is emptied in place while somebody looks at it: what was asked before says nothing of what is there after.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringtail_io::Clock;
use ringtail_io::sim::{Call, Meddle, World};
use ringtail_read::{FileSpec, Listing, OpenFiles, Scanner};

const LOG: &str = "/var/log/app.log";

/// A file system in which, as long as that is wanted, the log is written to before each question how large it is, and emptied before
/// each opening.
#[derive(Debug)]
struct Emptying {
    world: World,
    is_wanted: AtomicBool,
}

impl Meddle for Emptying {
    fn world(&self) -> &World {
        &self.world
    }

    fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        match call {
            _ if path != Path::new(LOG) || !self.is_wanted.load(Ordering::Relaxed) => Ok(()),
            Call::Open => self.world.truncate(LOG, 0),
            Call::Lstat => self.world.append(LOG, "first\n".repeat(2000)),
            _ => Ok(()),
        }
    }
}

struct Scene {
    world: World,
    fs: Arc<Emptying>,
    scanner: Scanner,
}

impl Scene {
    fn new() -> Self {
        let world = World::new(1);
        world.mkdir_all("/var/log").expect("an empty world");
        let fs = Arc::new(Emptying { world: world.clone(), is_wanted: AtomicBool::new(false) });
        let spec = FileSpec { id: 7, paths: vec![LOG.to_owned()], ..FileSpec::default() };
        let clock: Arc<dyn Clock> = Arc::new(world.clock());
        let scanner = Scanner::new(fs.clone(), clock, OpenFiles::new(1000), &[spec]).expect("patterns");
        Scene { world, fs, scanner }
    }

    fn append(&self, contents: &str) {
        self.world.append(LOG, contents.repeat(2000)).expect("a log");
    }

    fn copy(&self) {
        self.world.copy(LOG, format!("{LOG}.1")).expect("copied");
    }

    fn empty(&self) {
        self.world.truncate(LOG, 0).expect("emptied");
    }

    fn look(&mut self) -> Listing {
        self.world.advance(Duration::from_secs(5));
        let mut listings = self.scanner.scan_all();
        assert_eq!(listings.len(), 1, "{listings:?}");
        listings.remove(0)
    }
}

/// Generation and size of each file.
fn files(listing: &Listing) -> Vec<(u32, u64)> {
    listing.files.iter().map(|file| (file.generation, file.stat.size)).collect()
}

/// What was there is in no file any more: the log has nothing, and not as much as it had.
#[test]
fn a_log_that_is_emptied_while_it_is_looked_at_has_nothing() {
    let mut scene = Scene::new();
    scene.append("");
    scene.fs.is_wanted.store(true, Ordering::Relaxed);
    assert_eq!(files(&scene.look()), [(0, 0)]);
    scene.fs.is_wanted.store(false, Ordering::Relaxed);
    scene.empty();
    scene.append("second\n");
    assert_eq!(files(&scene.look()), [(0, 14_000)]);
}

/// A generation of which nobody knows how it began has lost the log, whose open file the shard still holds. It does not go on in a
/// copy of what the log holds by now, which is younger.
#[test]
fn what_was_in_a_log_is_not_found_in_a_copy_of_what_came_after() {
    let mut scene = Scene::new();
    scene.append("");
    let first = scene.look();
    scene.append("second\n");
    let empty = first.files[0].identity();
    assert!(scene.scanner.doubt(Path::new(LOG), 0, empty).is_some(), "the shard had read something else");
    let second = scene.look();
    assert_eq!(files(&second), [(1, 14_000)]);
    scene.copy();
    scene.look();
    scene.empty();
    scene.append("third\n");
    let third = scene.look();
    assert_eq!(files(&third), [(1, 14_000), (2, 12_000)]);
}
