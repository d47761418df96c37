//! Looks in pieces: what lies far comes last, and everything has its turn.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringtail_io::sim::{SimFs, World};
use ringtail_io::{Clock, DirEntry, File, Fs, Stat};
use ringtail_read::{FileSpec, OpenFiles, Scanner};

const PIECE: Duration = Duration::from_millis(100);

/// How often everything is to be looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Each answer takes simulated time, below `/far` or elsewhere, and listings may tell no inode numbers.
struct Slow {
    world: World,
    fs: SimFs,
    near_us: AtomicU64,
    far_us: AtomicU64,
    is_mounted: AtomicBool,
    tells_inodes: bool,
    /// The paths that were asked.
    asked: Mutex<BTreeSet<PathBuf>>,
}

impl Slow {
    fn answer(&self, path: &Path) {
        let us = if path.starts_with("/far") { &self.far_us } else { &self.near_us };
        self.world.advance(Duration::from_micros(us.load(Ordering::Relaxed)));
    }
}

impl Fs for Slow {
    fn open_as(&self, path: &Path) -> io::Result<(Arc<File>, Stat)> {
        self.answer(path);
        match path.ends_with("bad.log.1") {
            true => Err(io::Error::other("damaged")),
            false => self.fs.open_as(path),
        }
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.answer(path);
        self.fs.stat(path)
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        self.answer(path);
        self.asked.lock().expect("no panic").insert(path.to_owned());
        self.fs.lstat(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.answer(path);
        let mut entries = self.fs.read_dir(path)?;
        if !self.tells_inodes {
            // What FUSE says that does not know them.
            entries.iter_mut().for_each(|entry| entry.ino = 0xffff_ffff);
        }
        Ok(entries)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.answer(path);
        self.fs.canonical(path)
    }

    fn is_far(&self, path: &Path) -> bool {
        self.is_mounted.load(Ordering::Relaxed) && path.starts_with("/far")
    }
}

fn world() -> World {
    let world = World::new(1);
    world.mkdir_all("/near").expect("an empty world");
    world.mkdir_all("/far").expect("an empty world");
    world
}

fn slow(world: &World, tells_inodes: bool) -> Arc<Slow> {
    Arc::new(Slow {
        world: world.clone(),
        fs: world.fs(),
        near_us: AtomicU64::new(0),
        far_us: AtomicU64::new(0),
        is_mounted: AtomicBool::new(true),
        tells_inodes,
        asked: Mutex::default(),
    })
}

fn scanner(world: &World, fs: &Arc<Slow>) -> Scanner {
    let paths = ["/near/*.log", "/far/*.log"].map(str::to_owned).to_vec();
    let spec = FileSpec { id: 7, paths, ..FileSpec::default() };
    let clock: Arc<dyn Clock> = Arc::new(world.clock());
    Scanner::new(fs.clone(), clock, OpenFiles::new(100_000), &[spec]).expect("patterns")
}

/// What the engine's thread does for a while: the lineages that were told, and whether a look came to its end.
fn run(world: &World, scanner: &mut Scanner, time: Duration) -> (BTreeSet<Arc<Path>>, bool) {
    let (mut told, mut ended) = (BTreeSet::new(), false);
    let now = || world.clock().now();
    let (until, mut due) = (now() + time, now());
    while now() < until {
        if now() >= due && !scanner.is_looking_near() {
            scanner.begin();
            due = now() + EVERY;
        }
        if !scanner.is_looking() {
            world.advance(PIECE / 10);
            continue;
        }
        let was_near = scanner.is_looking_near();
        told.extend(scanner.go_on(PIECE).into_iter().map(|listing| listing.lineage));
        ended |= !scanner.is_looking();
        if was_near && !scanner.is_looking_near() || !scanner.is_looking() {
            due = now() + EVERY;
        }
    }
    (told, ended)
}

/// 300 logs at 10 ms each, a look every two seconds.
#[test]
fn a_look_that_takes_longer_than_the_time_between_two_ends_all_the_same() {
    let world = world();
    for log in 0..300 {
        world.append(format!("/near/{log}.log"), format!("of {log}\n")).expect("written");
    }
    world.append("/far/0.log", "far\n").expect("written");
    world.advance(Duration::from_secs(60));
    let fs = slow(&world, true);
    let mut scanner = scanner(&world, &fs);
    fs.near_us.store(10_000, Ordering::Relaxed);
    let (told, ended) = run(&world, &mut scanner, Duration::from_secs(600));
    assert_eq!((told.len(), ended), (301, true));
}

/// One rotated file of a log cannot be read, which takes longer to find out than the time between two looks.
#[test]
fn a_far_log_that_cannot_be_looked_at_keeps_no_other_waiting() {
    let world = world();
    for number in (1..=30).rev() {
        world.append(format!("/far/bad.log.{number}"), format!("{number}\n")).expect("written");
        world.advance(Duration::from_secs(1));
    }
    world.append("/far/bad.log", "the newest\n").expect("written");
    for log in 0..20 {
        world.append(format!("/far/{log}.log"), format!("of {log}\n")).expect("written");
    }
    world.advance(Duration::from_secs(60));
    let fs = slow(&world, true);
    let mut scanner = scanner(&world, &fs);
    fs.far_us.store(50_000, Ordering::Relaxed);
    let (told, ended) = run(&world, &mut scanner, Duration::from_secs(1200));
    assert_eq!((told.len(), ended), (20, true));
}

/// A look at a far mount takes as long as one and a half pauses.
#[test]
fn each_older_file_of_a_far_log_is_asked_now_and_then() {
    let world = world();
    for log in 0..20 {
        for number in (1..=8).rev() {
            world
                .append(format!("/far/{log}.log.{number}"), format!("{number} of {log}\n"))
                .expect("written");
            world.advance(Duration::from_secs(1));
        }
        world.append(format!("/far/{log}.log"), format!("the newest of {log}\n")).expect("written");
    }
    world.advance(Duration::from_secs(60));
    let fs = slow(&world, true);
    let mut scanner = scanner(&world, &fs);
    scanner.scan_all();
    fs.asked.lock().expect("no panic").clear();
    for _ in 0..100 {
        world.advance(EVERY);
        scanner.begin();
        for _ in 0..10 {
            scanner.go_on(Duration::ZERO);
        }
        world.advance(EVERY);
        scanner.begin();
        scanner.scan_rest();
    }
    assert_eq!(fs.asked.lock().expect("no panic").len(), 20 * 9);
}

/// The mount comes after the agent, at a boot: its logs are known from the checkpoint before.
#[test]
fn a_mount_that_comes_later_is_far_too() {
    let world = world();
    for log in 0..3 {
        world.append(format!("/far/{log}.log"), "x\n").expect("written");
        world.append(format!("/near/{log}.log"), "y\n").expect("written");
    }
    world.advance(Duration::from_secs(60));
    let fs = slow(&world, true);
    let mut scanner = scanner(&world, &fs);
    fs.is_mounted.store(false, Ordering::Relaxed);
    for log in 0..3 {
        scanner.restore(&Path::new(&format!("/far/{log}.log")).into(), &[], Vec::new());
    }
    fs.is_mounted.store(true, Ordering::Relaxed);
    scanner.begin();
    let mut told = Vec::new();
    while scanner.is_looking() {
        told.extend(scanner.go_on(Duration::ZERO).into_iter().map(|listing| listing.lineage));
    }
    assert_eq!(told.len(), 6);
    assert!(told[..3].iter().all(|lineage| lineage.starts_with("/near")), "{told:?}");
}

/// As dockerd does with `max-file=1`, within one tick of the directory's clock: the old file is still open.
#[test]
fn a_deleted_file_is_not_what_stands_at_its_name() {
    let world = world();
    world.append("/far/0.log", "the first\n").expect("written");
    let fs = slow(&world, false);
    let mut scanner = scanner(&world, &fs);
    world.advance(Duration::from_secs(60));
    // The directory changes, is listed, and changes again in the same tick.
    world.append("/far/other.txt", "x\n").expect("written");
    let mut held = scanner.scan_all();
    held.extend(scanner.scan_all());
    assert!(held.iter().any(|listing| listing.files.iter().any(|file| file.file.is_some())), "open");
    world.unlink("/far/0.log").expect("unlinked");
    world.append("/far/0.log", "the second\n").expect("written");
    let mut seen = Vec::new();
    for _ in 0..100 {
        world.advance(Duration::from_secs(5));
        seen.extend(scanner.scan_all());
    }
    let newest = seen.iter().flat_map(|listing| &listing.files).map(|file| file.generation).max();
    assert_eq!(newest, Some(1));
}
