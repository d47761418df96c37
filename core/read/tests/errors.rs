//! What cannot be asked is not gone: a look that fails changes nothing, is told once, and is tried again.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ringtail_io::sim::{Call, Faults, Meddle, World};
use ringtail_io::{Clock, DirEntry, Fs};
use ringtail_read::{Claim, FileRecord, FileSpec, Listing, OpenFiles, Scanner, Sighting, Tail};

const LOG: &str = "/var/log/apps/app.log";

fn world(contents: &str) -> World {
    let world = World::new(1);
    world.mkdir_all("/var/log/apps").expect("an empty world");
    world.append(LOG, contents).expect("a log");
    world
}

fn scanner(world: &World, fs: Arc<dyn Fs>) -> Scanner {
    let spec = FileSpec { id: 7, paths: vec!["/var/log/*/*.log".to_owned()], ..FileSpec::default() };
    let clock: Arc<dyn Clock> = Arc::new(world.clock());
    Scanner::new(fs, clock, OpenFiles::new(100), &[spec]).expect("patterns")
}

/// The next look: some time later, so that no change hides behind the time of another.
fn look(world: &World, scanner: &mut Scanner) -> Vec<Listing> {
    world.advance(Duration::from_secs(5));
    scanner.scan_all()
}

/// Generation and name of each file of the only listing.
#[track_caller]
fn files(listings: &[Listing]) -> Vec<(u32, String)> {
    assert_eq!(listings.len(), 1, "{listings:?}");
    assert_eq!(listings[0].specs, [7]);
    let name = |path: &Path| path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
    listings[0].files.iter().map(|file| (file.generation, name(&file.path))).collect()
}

fn named(files: &[(u32, &str)]) -> Vec<(u32, String)> {
    files.iter().map(|(generation, name)| (*generation, (*name).to_owned())).collect()
}

/// What a checkpoint would keep of a listing.
fn records(listing: &Listing) -> Vec<FileRecord> {
    listing.files.iter().map(Sighting::record).collect()
}

/// Each way in which a look at the log's directory may fail.
fn failures() -> [Faults; 3] {
    let none = Faults::none();
    [
        Faults { read_error: 1.0, ..none },
        Faults { broken_file: 1.0, ..none },
        Faults { read_error: 1.0, read_dir_error: 0.5, open_error: 0.5, ..none },
    ]
}

/// The log was rotated while it could not be read. Once that is over the rotated file is what it was, the new one new;
/// before, nobody is told that anything is gone.
#[test]
fn a_rotation_that_cannot_be_read_is_seen_later_as_what_it_was() {
    for faults in failures() {
        let world = world("first\n");
        let mut scanner = scanner(&world, Arc::new(world.fs()));
        assert_eq!(files(&look(&world, &mut scanner)), named(&[(0, "app.log")]));
        world.set_faults(faults);
        world.append(LOG, "second\n").expect("append");
        world.rename(LOG, format!("{LOG}.1")).expect("rename");
        world.append(LOG, "third\n").expect("append");
        for _ in 0..20 {
            assert_eq!(look(&world, &mut scanner).len(), 0);
        }
        world.set_faults(Faults::none());
        world.heal();
        let seen = files(&look(&world, &mut scanner));
        assert_eq!(seen, named(&[(0, "app.log.1"), (1, "app.log")]), "{faults:?}");
    }
}

/// Started again while nothing can be read: the log is neither gone nor another one, and its position stays.
#[test]
fn a_start_that_cannot_read_waits_and_then_knows_the_log_again() {
    for faults in failures() {
        let world = world("first\n");
        let mut before = scanner(&world, Arc::new(world.fs()));
        let records = records(&look(&world, &mut before)[0]);
        drop(before);
        world.append(LOG, "second\n").expect("append");
        world.rename(LOG, format!("{LOG}.1")).expect("rename");
        world.append(LOG, "third\n").expect("append");
        world.set_faults(faults);
        let mut scanner = scanner(&world, Arc::new(world.fs()));
        let claim = Claim { generation: 0, consumed: 6, tail: Tail::new(6, b"first\n") };
        scanner.restore(&Arc::from(Path::new(LOG)), &records, vec![claim]);
        for _ in 0..20 {
            assert_eq!(look(&world, &mut scanner).len(), 0, "{faults:?}");
        }
        world.set_faults(Faults::none());
        world.heal();
        let seen = files(&look(&world, &mut scanner));
        assert_eq!(seen, named(&[(0, "app.log.1"), (1, "app.log")]), "{faults:?}");
    }
}

/// A disk that goes on failing is told once, not with every look, and as the kernel tells it: EIO has no kind of its own.
#[test]
fn what_cannot_be_read_is_told_once() {
    let world = world("first\n");
    world.set_faults(Faults { read_error: 1.0, ..Faults::none() });
    let mut scanner = scanner(&world, Arc::new(world.fs()));
    assert_eq!(look(&world, &mut scanner).len(), 0);
    let errors = scanner.take_errors();
    assert!(errors.len() == 1 && *errors[0].path == *Path::new(LOG), "{errors:?}");
    assert_eq!(errors[0].to_string(), "Input/output error (os error 5)");
    assert_eq!(look(&world, &mut scanner).len(), 0);
    assert_eq!(scanner.take_errors(), []);
}

/// A file system in which one path fails for a while, in a way that the test chooses.
#[derive(Debug)]
struct Failing {
    world: World,
    path: PathBuf,
    kind: ErrorKind,
    left: AtomicU32,
}

impl Failing {
    fn new(world: &World, path: &str, kind: ErrorKind, times: u32) -> Arc<Self> {
        let (world, left) = (world.clone(), AtomicU32::new(times));
        Arc::new(Failing { world, path: path.into(), kind, left })
    }
}

impl Meddle for Failing {
    fn world(&self) -> &World {
        &self.world
    }

    fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 && path == self.path && matches!(call, Call::Open | Call::List) {
            self.left.store(left - 1, Ordering::Relaxed);
            return Err(self.kind.into());
        }
        Ok(())
    }
}

/// A directory could not be listed when it was first met, at the bound on open files for instance. The directory above
/// does not change after that, and it is found nevertheless.
#[test]
fn a_directory_that_could_not_be_listed_is_entered_later() {
    let world = world("first\n");
    let fs = Failing::new(&world, "/var/log/apps", ErrorKind::Other, 2);
    let mut scanner = scanner(&world, fs);
    assert_eq!(look(&world, &mut scanner).len(), 0);
    assert_eq!(look(&world, &mut scanner).len(), 0);
    assert_eq!(files(&look(&world, &mut scanner)), named(&[(0, "app.log")]));
}

/// A rotated file that may never be read, by its mode, does not keep the log from being followed for long; when it may be
/// read after all it is read, though it is older than what was read meanwhile.
#[test]
fn a_file_that_may_not_be_read_is_done_without_and_read_when_it_may() {
    let world = world("second\n");
    let rotated = format!("{LOG}.1");
    world.rename(LOG, &rotated).expect("rename");
    world.advance(Duration::from_secs(60));
    world.append(LOG, "third\n").expect("append");
    let fs = Failing::new(&world, &rotated, ErrorKind::PermissionDenied, u32::MAX);
    let mut scanner = scanner(&world, fs.clone());
    let seen = (0..20).map(|_| look(&world, &mut scanner)).find(|listings| !listings.is_empty());
    assert_eq!(files(&seen.expect("told in the end")), named(&[(0, "app.log")]));
    fs.left.store(0, Ordering::Relaxed);
    let seen = look(&world, &mut scanner);
    let (log, beside) = seen.split_at(1);
    assert_eq!((files(log), files(beside)), (named(&[(0, "app.log")]), named(&[(1, "app.log.1")])));
}

/// A file system whose first listings of a directory leave a name out.
#[derive(Debug)]
struct Hiding {
    world: World,
    name: &'static str,
    left: AtomicU32,
}

impl Meddle for Hiding {
    fn world(&self) -> &World {
        &self.world
    }

    fn listed(&self, entries: &mut Vec<DirEntry>) -> io::Result<()> {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 && entries.iter().any(|entry| entry.name == self.name) {
            self.left.store(left - 1, Ordering::Relaxed);
            entries.retain(|entry| entry.name != self.name);
        }
        Ok(())
    }
}

/// The first listing left the rotated file out, as it may while files are renamed. It is not numbered after the log, and
/// not left out as older than it.
#[test]
fn a_rotated_file_that_one_listing_left_out_is_read_in_its_place() {
    let world = world("second\n");
    world.rename(LOG, format!("{LOG}.1")).expect("rename");
    world.append(LOG, "third\n").expect("append");
    let fs = Arc::new(Hiding { world: world.clone(), name: "app.log.1", left: AtomicU32::new(1) });
    let mut scanner = scanner(&world, fs);
    assert_eq!(files(&look(&world, &mut scanner)), named(&[(0, "app.log.1"), (1, "app.log")]));
}

/// A rotated file that the checkpoint knows by its name is asked for by that name, however many listings leave it out.
#[test]
fn a_rotated_file_of_the_checkpoint_that_all_listings_left_out_is_not_gone() {
    let world = world("second\n");
    world.rename(LOG, format!("{LOG}.1")).expect("rename");
    world.append(LOG, "third\n").expect("append");
    let mut before = scanner(&world, Arc::new(world.fs()));
    let records = records(&look(&world, &mut before)[0]);
    drop(before);
    let fs = Arc::new(Hiding { world: world.clone(), name: "app.log.1", left: AtomicU32::new(u32::MAX) });
    let mut scanner = scanner(&world, fs);
    scanner.restore(&Arc::from(Path::new(LOG)), &records, Vec::new());
    assert_eq!(files(&look(&world, &mut scanner)), named(&[(0, "app.log.1"), (1, "app.log")]));
}

/// A file system in which the log is rotated just before somebody looks at it by its name for the `at`th time.
#[derive(Debug)]
struct Rotating {
    world: World,
    looks: AtomicU32,
    at: u32,
}

impl Meddle for Rotating {
    fn world(&self) -> &World {
        &self.world
    }

    fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        let is_look = call == Call::Lstat && path == Path::new(LOG);
        if is_look && self.looks.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
            self.world.rename(LOG, format!("{LOG}.1")).expect("rename");
            self.world.append(LOG, "second\n").expect("append");
        }
        Ok(())
    }
}

/// A log that was never seen before is rotated between the listing that has its name and the look at the file of that name: what is
/// there is the next file by then. The first one is not numbered behind it with the next look.
#[test]
fn a_log_that_is_rotated_during_the_first_look_is_read_in_its_order() {
    let mut rotated = 0;
    for pause in [Duration::ZERO, Duration::from_secs(5)] {
        for at in 1..10 {
            let world = world("first\n");
            world.advance(pause);
            let looks = AtomicU32::new(0);
            let fs = Arc::new(Rotating { world: world.clone(), looks, at });
            let mut scanner = scanner(&world, fs.clone());
            let first = scanner.scan_all();
            if fs.looks.load(Ordering::Relaxed) < at {
                break;
            }
            rotated += 1;
            let later = look(&world, &mut scanner);
            let seen = if later.is_empty() { &first } else { &later };
            assert_eq!(files(seen), named(&[(0, "app.log.1"), (1, "app.log")]), "{pause:?}, look {at}");
        }
    }
    assert!(rotated > 4, "{rotated}");
}
