//! What a look asks of the file system, where each question may take long: it is counted, and what lies far comes last.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringtail_io::Clock;
use ringtail_io::sim::{Call, Meddle, World};
use ringtail_read::{FileSpec, Listing, OpenFiles, Scanner};

const LOGS: usize = 20;
/// Rotated files of each log.
const ROTATED: usize = 30;

/// A file system that counts what it is asked.
struct Counting {
    world: World,
    calls: Mutex<BTreeMap<Call, usize>>,
}

impl Counting {
    /// What was asked since it was taken last: of files, to open, of directories, to list.
    fn take(&self) -> [usize; 4] {
        let calls = std::mem::take(&mut *self.calls.lock().expect("no panic"));
        [Call::Lstat, Call::Open, Call::Stat, Call::List].map(|call| calls.get(&call).copied().unwrap_or(0))
    }
}

impl Meddle for Counting {
    fn world(&self) -> &World {
        &self.world
    }

    fn before(&self, call: Call, _: &Path) -> io::Result<()> {
        *self.calls.lock().expect("no panic").entry(call).or_default() += 1;
        Ok(())
    }
}

/// `logs` in each of these directories, with `rotated` files each.
fn scene(dirs: &[&str], logs: usize, rotated: usize) -> (World, Arc<Counting>, Scanner) {
    let world = World::new(1);
    world.set_far("/far");
    for dir in dirs {
        world.mkdir_all(dir).expect("an empty world");
        for log in 0..logs {
            let base = format!("{dir}/{log}.log");
            for number in (1..=rotated).rev() {
                let text = format!("{number} of {log}\n");
                world.append(format!("{base}.{number}"), text).expect("a rotated file");
                world.advance(Duration::from_secs(1));
            }
            world.append(base, format!("the newest of {log}\n")).expect("a log");
        }
    }
    world.advance(Duration::from_secs(60));
    let counting = Arc::new(Counting { world: world.clone(), calls: Mutex::default() });
    let paths = dirs.iter().map(|dir| format!("{dir}/*.log")).collect();
    let (fs, spec) = (counting.clone(), FileSpec { id: 7, paths, ..FileSpec::default() });
    let clock: Arc<dyn Clock> = Arc::new(world.clock());
    let scanner = Scanner::new(fs, clock, OpenFiles::new(10_000), &[spec]).expect("patterns");
    (world, counting, scanner)
}

fn look(world: &World, scanner: &mut Scanner) -> Vec<Listing> {
    world.advance(Duration::from_secs(5));
    scanner.scan_all()
}

fn rotate(world: &World, base: &str, rotated: usize) {
    for number in (1..=rotated).rev() {
        world.rename(format!("{base}.{number}"), format!("{base}.{}", number + 1)).expect("renamed");
    }
    world.rename(base, format!("{base}.1")).expect("renamed");
    world.append(base, "what comes after the rotation\n").expect("a new log");
}

#[test]
fn each_file_is_opened_once_and_asked_again_only_when_it_may_have_changed() {
    for dir in ["/far/logs", "/logs"] {
        let (world, asked, mut scanner) = scene(&[dir], LOGS, ROTATED);
        assert_eq!(look(&world, &mut scanner).len(), LOGS);
        let [files, opened, ..] = asked.take();
        // Three listings are needed before one is believed, by the first log of the directory.
        assert!(opened == LOGS * (ROTATED + 1) && files <= (LOGS + 4) * (ROTATED + 1), "{files}, {opened}");
        look(&world, &mut scanner);
        asked.take();

        // Eight looks at what stays as it is: the two newest of each log in each, the others once.
        for _ in 0..8 {
            assert!(look(&world, &mut scanner).is_empty());
        }
        let [files, opened, dirs, listed] = asked.take();
        assert_eq!(files, LOGS * (8 * 2 + ROTATED - 1));
        // Once in a while a directory is listed without a reason.
        assert!(opened == 0 && listed <= 1 && dirs <= 8 * 6, "{opened}, {listed}, {dirs}");

        // One log grows: it is opened once, to see that it holds what it held.
        world.append(format!("{dir}/3.log"), "more\n").expect("appended");
        look(&world, &mut scanner);
        let [files, opened, _, listed] = asked.take();
        assert!(
            files <= LOGS * (2 + ROTATED / 4) && opened == 1 && listed <= 1,
            "{files}, {opened}, {listed}"
        );

        // One log is rotated: its files are asked by their new names, the new one is opened; nothing more is asked of the
        // others than in any look.
        rotate(&world, &format!("{dir}/3.log"), ROTATED);
        world.advance(Duration::from_secs(60));
        assert_eq!(look(&world, &mut scanner).len(), 1);
        let [files, opened, _, listed] = asked.take();
        let most = LOGS * (2 + ROTATED / 4) + 4 * (ROTATED + 2);
        assert!(files <= most && opened <= 2 && listed <= 4, "{files}, {opened}, {listed}");
    }
}

/// The lineages that were reported, without `.log`.
fn names(listings: &[Listing]) -> Vec<&str> {
    let name = |listing: &Listing| Path::new("/").join(&listing.lineage);
    assert!(listings.iter().all(|listing| name(listing).extension().is_some()));
    listings.iter().filter_map(|listing| listing.lineage.to_str()?.strip_suffix(".log")).collect()
}

/// A look at what lies far may take minutes: it is told log by log, and what is near is looked at meanwhile.
#[test]
fn what_lies_far_comes_last_and_piece_by_piece() {
    let (world, _, mut scanner) = scene(&["/far", "/near"], 3, 2);
    scanner.begin();
    let mut seen: Vec<String> = Vec::new();
    while seen.len() < 4 {
        let told = scanner.go_on(Duration::ZERO);
        assert!(told.len() <= 1, "one at a time");
        seen.extend(names(&told).into_iter().map(str::to_owned));
    }
    assert!(seen[..3].iter().all(|name| name.starts_with("/near/")), "{seen:?}");
    assert!(seen[3].starts_with("/far/"), "{seen:?}");

    // Something happens near: it need not wait for the rest.
    rotate(&world, "/near/1.log", 2);
    world.advance(Duration::from_secs(60));
    let told = scanner.scan_dir(Path::new("/near"));
    assert_eq!((names(&told), told[0].files.len()), (vec!["/near/1"], 4));

    // The next look is due: near logs are looked at again, the far ones that were not come after them, the one that was does not.
    rotate(&world, "/near/2.log", 2);
    world.advance(Duration::from_secs(60));
    assert!(scanner.is_looking());
    scanner.begin();
    let mut told = Vec::new();
    while scanner.is_looking() {
        told.extend(scanner.go_on(Duration::ZERO));
    }
    assert_eq!(names(&told)[0], "/near/2");
    seen.extend(names(&told)[1..].iter().map(|name| (*name).to_owned()));
    let mut far: Vec<&str> = seen[3..].iter().map(String::as_str).collect();
    far.sort_unstable();
    assert_eq!(far, ["/far/0", "/far/1", "/far/2"]);
    assert!(look(&world, &mut scanner).is_empty(), "all was told");
}

/// Hundreds of rotated files of one log, of many lengths, each of which might be a copy of any other: what they begin with tells them
/// apart, and is read once.
#[test]
fn what_is_read_of_many_files_of_one_log_does_not_grow_with_their_pairs() {
    let world = World::new(1);
    world.mkdir_all("/logs").expect("an empty world");
    const FILES: usize = 400;
    for number in (0..FILES).rev() {
        let name = if number == 0 { "/logs/0.log".to_owned() } else { format!("/logs/0.log.{number}") };
        world.append(name, format!("file {number}, {}\n", "x".repeat(number * 7 % 1500))).expect("written");
        world.advance(Duration::from_secs(1));
    }
    world.advance(Duration::from_secs(60));
    let spec = FileSpec { id: 7, paths: vec!["/logs/*.log".to_owned()], ..FileSpec::default() };
    let (fs, clock) = (Arc::new(world.fs()), Arc::new(world.clock()));
    let mut scanner = Scanner::new(fs, clock, OpenFiles::new(10_000), &[spec]).expect("patterns");
    let told = scanner.scan_all();
    assert_eq!(told.iter().map(|listing| listing.files.len()).collect::<Vec<_>>(), [FILES]);
    assert!(world.reads() <= 4 * FILES as u64, "{} reads", world.reads());
}
