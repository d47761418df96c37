//! Looks in pieces: what lies far comes last, and everything has its turn.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringtail_io::sim::{Call, Meddle, World};
use ringtail_io::{Clock, DirEntry, FAR_AT_ONCE, Fs};
use ringtail_read::{FileSpec, OpenFiles, Scanner};

const PIECE: Duration = Duration::from_millis(100);

/// How often everything is to be looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Each answer takes simulated time, below `/far` or elsewhere, and listings may tell no inode numbers.
struct Slow {
    world: World,
    near_us: AtomicU64,
    far_us: AtomicU64,
    is_mounted: AtomicBool,
    tells_inodes: bool,
    /// The paths that were asked.
    asked: Mutex<BTreeSet<PathBuf>>,
    /// What one of several questions that are asked at once has taken so far.
    at_once: Mutex<Option<Duration>>,
}

impl Slow {
    fn is_below_far(&self, path: &Path) -> bool {
        let real = self.world.fs().canonical(path);
        real.is_ok_and(|real| real.starts_with("/far")) || path.starts_with("/far")
    }

    fn pass(&self, time: Duration) {
        match &mut *self.at_once.lock().expect("no panic") {
            Some(taken) => *taken += time,
            None => self.world.advance(time),
        }
    }
}

impl Meddle for Slow {
    fn world(&self) -> &World {
        &self.world
    }

    fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        let us = if self.is_below_far(path) { &self.far_us } else { &self.near_us };
        self.pass(Duration::from_micros(us.load(Ordering::Relaxed)));
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match call {
            Call::Open if name.starts_with("bad") && name.ends_with(".log.1") => {
                return Err(io::Error::other("damaged"));
            }
            Call::Lstat => _ = self.asked.lock().expect("no panic").insert(path.to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn listed(&self, entries: &mut Vec<DirEntry>) -> io::Result<()> {
        if !self.tells_inodes {
            // What FUSE says that does not know them.
            entries.iter_mut().for_each(|entry| entry.ino = 0xffff_ffff);
        }
        Ok(())
    }

    fn leads_far(&self, path: &Path) -> bool {
        self.is_mounted.load(Ordering::Relaxed) && self.is_below_far(path)
    }

    /// As long as the one that takes longest, eight at a time.
    fn work(&self, place: &Path, count: usize, work: &(dyn Fn(usize) + Sync)) {
        if !self.leads_far(place) {
            return (0..count).for_each(work);
        }
        let swap = |time| std::mem::replace(&mut *self.at_once.lock().expect("no panic"), time);
        let (mut longest, before) = (Duration::ZERO, swap(None));
        for at in 0..count {
            swap(Some(Duration::ZERO));
            work(at);
            longest = longest.max(swap(None).expect("it was set"));
        }
        swap(before);
        self.pass(longest * u32::try_from(count.div_ceil(FAR_AT_ONCE)).expect("few"));
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
        near_us: AtomicU64::new(0),
        far_us: AtomicU64::new(0),
        is_mounted: AtomicBool::new(true),
        tells_inodes,
        asked: Mutex::default(),
        at_once: Mutex::default(),
    })
}

fn scanner(world: &World, fs: &Arc<Slow>) -> Scanner {
    scanner_of(world, fs, &["/near/*.log", "/far/*.log"])
}

fn scanner_of(world: &World, fs: &Arc<Slow>, paths: &[&str]) -> Scanner {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
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

/// Forty logs of one far directory cannot be looked at: one file of each fails, at 30 ms an answer, so that to find that out takes longer
/// than the time between two looks. A look comes to its end nevertheless, and what can be looked at has its turn in the next one.
#[test]
fn far_logs_that_cannot_be_looked_at_keep_no_round_from_its_end() {
    let world = world();
    for bad in 0..40 {
        world.append(format!("/far/bad{bad}.log.1"), format!("{bad}\n")).expect("written");
        world.append(format!("/far/bad{bad}.log"), format!("{bad}, the newest\n")).expect("written");
    }
    world.append("/far/good.log", "good\n").expect("written");
    world.advance(Duration::from_secs(60));
    let fs = slow(&world, true);
    let mut scanner = scanner(&world, &fs);
    fs.far_us.store(30_000, Ordering::Relaxed);
    let (told, ended) = run(&world, &mut scanner, Duration::from_secs(1200));
    assert_eq!(told.len(), 1);
    world.rename("/far/good.log", "/far/good.log.1").expect("renamed");
    world.append("/far/good.log", "what comes after the rotation\n").expect("written");
    world.append("/far/new.log", "new\n").expect("written");
    let (told, _) = run(&world, &mut scanner, Duration::from_secs(1200));
    assert_eq!((told.len(), ended), (2, true), "within twenty minutes");
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

/// 300 directories at 30 ms an answer: nothing of them is asked before all that is near was told, and between pieces of them what
/// happens near is seen.
#[test]
fn near_logs_wait_for_no_far_directory() {
    let world = world();
    for dir in 0..300 {
        world.mkdir_all(format!("/far/{dir}/app")).expect("made");
        world.append(format!("/far/{dir}/app/0.log"), format!("of {dir}\n")).expect("written");
    }
    for log in 0..10 {
        world.append(format!("/near/{log}.log"), format!("of {log}\n")).expect("written");
    }
    // A link among near logs, as from a directory of links to where the logs are.
    world.symlink("/far/7/app/0.log", "/near/linked.log").expect("made");
    world.advance(Duration::from_secs(60));
    let fs = slow(&world, true);
    let mut scanner = scanner_of(&world, &fs, &["/near/*.log", "/far/*/app/*.log"]);
    fs.far_us.store(30_000, Ordering::Relaxed);
    let now = || world.clock().now();
    let began = now();
    scanner.begin();
    let mut told = Vec::new();
    while scanner.is_looking_near() {
        told.extend(scanner.go_on(PIECE));
    }
    assert_eq!((told.len(), now() - began), (10, Duration::ZERO));

    // A log appears near: it was not there at the start.
    world.append("/near/new.log", "new\n").expect("written");
    let mut longest = Duration::ZERO;
    while scanner.is_looking() {
        let began = now();
        told.extend(scanner.scan_dir(Path::new("/near")));
        assert_eq!(now(), began, "nothing far is asked");
        told.extend(scanner.go_on(PIECE));
        longest = longest.max(now() - began);
    }
    // Eight directories, or the logs in them.
    let all = now() - began;
    println!("a piece takes up to {longest:?}, all {all:?}");
    assert!(longest < Duration::from_millis(900) && all < Duration::from_secs(40), "{longest:?}, {all:?}");
    let late: Vec<&Path> = told.iter().filter(|it| !it.at_start).map(|it| &*it.lineage).collect();
    assert_eq!((told.len(), late), (311, vec![Path::new("/near/new.log")]));
    assert!(scanner.take_errors().iter().all(|error| error.leads_to.is_some()));

    // Directories come and go.
    fs.far_us.store(0, Ordering::Relaxed);
    world.mkdir_all("/far/300/app").expect("made");
    world.append("/far/300/app/0.log", "of 300\n").expect("written");
    world.rename("/far/5", "/far/5-gone").expect("renamed");
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        world.advance(EVERY);
        seen.extend(scanner.scan_all().into_iter().map(|it| (it.lineage, it.files.len())));
    }
    let expected = ["/far/300/app/0.log", "/far/5-gone/app/0.log", "/far/5/app/0.log"];
    let expected: BTreeSet<_> =
        expected.into_iter().zip([1, 1, 0]).map(|(at, n)| (Path::new(at).into(), n)).collect();
    assert_eq!(seen, expected);
}

/// Reloads while a far directory cannot be asked, and what no pipeline wants any more.
#[test]
fn what_nobody_wants_any_more_is_told_once_all_directories_were_seen() {
    let world = world();
    world.append("/near/0.log", "near\n").expect("written");
    world.append("/far/0.log", "far\n").expect("written");
    world.append("/far/1.txt", "far\n").expect("written");
    world.advance(Duration::from_secs(60));
    let fs = slow(&world, true);
    let mut scanner = scanner(&world, &fs);
    assert_eq!(scanner.scan_all().len(), 2);
    let spec = FileSpec { id: 8, paths: vec!["/far/*.txt".to_owned()], ..FileSpec::default() };
    scanner.set_specs(&[spec]).expect("patterns");
    world.advance(EVERY);
    let told: BTreeSet<_> = scanner.scan_all().into_iter().map(|it| (it.lineage, it.specs)).collect();
    let expected = [("/far/0.log", vec![]), ("/far/1.txt", vec![8]), ("/near/0.log", vec![])];
    assert_eq!(told, expected.into_iter().map(|(path, specs)| (Path::new(path).into(), specs)).collect());
}

/// A shard finds other contents in a far log, in a look that has been at that log already.
#[test]
fn a_far_log_that_is_doubted_has_its_turn_once_more() {
    let world = world();
    for log in 0..3 {
        world.append(format!("/far/{log}.log"), format!("of {log}\n")).expect("written");
    }
    world.advance(Duration::from_secs(60));
    let fs = slow(&world, true);
    let mut scanner = scanner(&world, &fs);
    scanner.begin();
    let told = loop {
        if let Some(told) = scanner.go_on(Duration::ZERO).pop() {
            break told;
        }
    };
    fs.asked.lock().expect("no panic").clear();
    let file = &told.files[0];
    assert_eq!(
        scanner.doubt(&told.lineage, file.generation, file.identity()),
        None,
        "nothing to look at beside"
    );
    scanner.scan_rest();
    assert!(fs.asked.lock().expect("no panic").contains(&*told.lineage));
}

/// The last near log of a look has a piece of its own: it is told before any far log is asked for.
#[test]
fn the_last_near_log_waits_for_no_far_log() {
    let world = world();
    for dir in 0..8 {
        world.mkdir_all(format!("/far/{dir}")).expect("made");
        world.append(format!("/far/{dir}/0.log"), format!("of {dir}\n")).expect("written");
    }
    world.append("/near/0.log", "near\n").expect("written");
    world.advance(Duration::from_secs(60));
    let fs = slow(&world, true);
    let mut scanner = scanner_of(&world, &fs, &["/near/*.log", "/far/*/*.log"]);
    assert_eq!(scanner.scan_all().len(), 9);
    // The far ones grow, so that a look at them opens and reads.
    for dir in 0..8 {
        world.append(format!("/far/{dir}/0.log"), "more\n").expect("written");
    }
    world.append("/near/0.log", "more\n").expect("written");
    world.advance(Duration::from_secs(60));
    fs.far_us.store(30_000, Ordering::Relaxed);
    let now = || world.clock().now();
    let began = now();
    scanner.begin();
    while scanner.is_looking_near() {
        scanner.go_on(PIECE);
    }
    assert_eq!(now() - began, Duration::ZERO, "the time that far logs took before the near one was told");
}

/// What was not there at the start is read from its beginning, also where `start: end` holds for what was. Near logs were all seen
/// long ago, only the far ones are still being found.
#[test]
fn a_near_log_that_appears_while_far_ones_are_found_was_not_there_at_the_start() {
    let world = world();
    for dir in 0..100 {
        world.mkdir_all(format!("/far/{dir}/app")).expect("made");
        world.append(format!("/far/{dir}/app/0.log"), format!("of {dir}\n")).expect("written");
    }
    world.append("/near/0.log", "near\n").expect("written");
    world.symlink("/far/7/app/0.log", "/near/linked.log").expect("made");
    world.advance(Duration::from_secs(60));
    let fs = slow(&world, true);
    let mut scanner = scanner_of(&world, &fs, &["/near/*.log", "/far/*/app/*.log"]);
    fs.far_us.store(30_000, Ordering::Relaxed);
    scanner.begin();
    let mut told = Vec::new();
    while scanner.is_looking_near() {
        told.extend(scanner.go_on(PIECE));
    }
    world.advance(EVERY);
    world.append("/near/new.log", "new\n").expect("written");
    while scanner.is_looking() {
        told.extend(scanner.go_on(PIECE));
    }
    let new = told.iter().find(|it| it.lineage.ends_with("new.log")).expect("told");
    assert!(!new.at_start, "it was made after all near logs were seen");
}

/// A link among near logs, known before the mount that it leads to came (at a boot), and the mount is slow or hangs: a look at what is
/// near does not ask it.
#[test]
fn a_link_to_a_mount_that_comes_later_is_not_asked_in_the_near_part_of_a_look() {
    let world = world();
    world.append("/far/0.log", "x\n").expect("written");
    world.append("/near/0.log", "y\n").expect("written");
    world.symlink("/far/0.log", "/near/linked.log").expect("made");
    world.advance(Duration::from_secs(60));
    let fs = slow(&world, true);
    let mut scanner = scanner(&world, &fs);
    fs.is_mounted.store(false, Ordering::Relaxed);
    scanner.scan_all();
    fs.is_mounted.store(true, Ordering::Relaxed);
    fs.far_us.store(30_000, Ordering::Relaxed);
    world.advance(EVERY);
    let began = world.clock().now();
    scanner.begin();
    assert_eq!(
        world.clock().now() - began,
        Duration::ZERO,
        "asked of the mount before anything near is told"
    );
}
