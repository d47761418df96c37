//! A log that is rotated between the question for its name and the listing of its directory.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringtail_io::Clock;
use ringtail_io::sim::{Meddle, World};
use ringtail_read::{FileSpec, OpenFiles, Scanner};

const LOG: &str = "/var/log/app.log";

struct Rotating {
    world: World,
    /// How often the log's name was asked.
    asked: AtomicU32,
    /// After which of these times it is rotated.
    when: Mutex<Range<u32>>,
    done: AtomicU32,
}

impl Rotating {
    fn rotate(&self) {
        let number = self.done.fetch_add(1, Ordering::Relaxed);
        self.world.rename(LOG, format!("{LOG}.20260102-{number:06}")).expect("renamed");
        self.world.append(LOG, format!("contents {}\n", number + 1)).expect("a new log");
    }
}

impl Meddle for Rotating {
    fn world(&self) -> &World {
        &self.world
    }

    fn looked(&self, path: &Path) {
        if path == Path::new(LOG) {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            if self.when.lock().expect("no panic").contains(&asked) {
                self.rotate();
            }
        }
    }
}

/// What is found after an hour of looks at everything, where the log is rotated just before a look and then after its name was asked
/// in that look for the times `when`. The files are held open as a shard does. The newest generation that was told, and that is there.
fn newest(when: Range<u32>) -> (u32, u32) {
    let world = World::new(1);
    world.mkdir_all("/var/log").expect("an empty world");
    world.append(LOG, "contents 0\n").expect("a log");
    world.advance(Duration::from_secs(60));
    let (asked, done) = (AtomicU32::new(0), AtomicU32::new(0));
    let fs = Arc::new(Rotating { world: world.clone(), asked, when: Mutex::new(0..0), done });
    let spec = FileSpec { id: 7, paths: vec![LOG.to_owned()], ..FileSpec::default() };
    let clock: Arc<dyn Clock> = Arc::new(world.clock());
    let mut scanner = Scanner::new(fs.clone(), clock, OpenFiles::new(1000), &[spec]).expect("patterns");
    let mut held = scanner.scan_all();
    fs.rotate();
    fs.asked.store(0, Ordering::Relaxed);
    *fs.when.lock().expect("no panic") = when;
    held.extend(scanner.scan_all());
    *fs.when.lock().expect("no panic") = 0..0;
    for _ in 0..720 {
        world.advance(Duration::from_secs(5));
        held.extend(scanner.scan_all());
    }
    let newest = held.iter().flat_map(|listing| &listing.files).map(|file| file.generation).max();
    (newest.expect("the log was told"), fs.done.load(Ordering::Relaxed))
}

/// Two rotations within a hundredth of a second, one look.
#[test]
fn a_rotation_after_the_name_of_the_log_was_asked_is_found() {
    for time in 1..12 {
        let (told, there) = newest(time..time + 1);
        assert_eq!(told, there, "rotated after it was asked for the {time}th time in a look");
    }
}

/// As many as a look takes.
#[test]
fn rotations_each_time_after_the_name_of_the_log_was_asked_are_found() {
    for times in 1..12 {
        let (told, there) = newest(1..1 + times);
        assert_eq!(told, there, "rotated after each of the first {times} times that it was asked in a look");
    }
}
