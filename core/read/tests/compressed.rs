//! How little is inflated to recognise compressed files: a look costs their heads, a decision one pass at most.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use ringtail_io::Clock;
use ringtail_io::sim::World;
use ringtail_read::{Claim, FileRecord, FileSpec, Listing, OpenFiles, Scanner, Sighting, Tail};

const DIR: &str = "/var/log/apps";
const LOG: &str = "/var/log/apps/app.log";
const LINES: usize = 20_000;

/// Lines that no other log has.
fn lines(name: &str, count: usize) -> String {
    (0..count)
        .map(|line| format!("2026-01-02T03:04:05.{line:09}Z stdout F {name} {}\n", line * 7919 % 1000))
        .collect()
}

fn gz(contents: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(contents.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

struct Node {
    world: World,
    scanner: Scanner,
    /// What shards hold open.
    held: Vec<Listing>,
    holds: bool,
    inflated: u64,
}

impl Node {
    fn new(world: &World, holds: bool) -> Self {
        let spec = FileSpec { id: 7, paths: vec![format!("{DIR}/*.log")], ..FileSpec::default() };
        let clock: Arc<dyn Clock> = Arc::new(world.clock());
        let scanner =
            Scanner::new(Arc::new(world.fs()), clock, OpenFiles::new(100), &[spec]).expect("patterns");
        Node { world: world.clone(), scanner, held: Vec::new(), holds, inflated: 0 }
    }

    /// Looks after `seconds`: generation and suffix of each file, where anything changed.
    fn look(&mut self, seconds: u64) -> Option<Vec<(u32, String)>> {
        self.world.advance(Duration::from_secs(seconds));
        let listings = self.scanner.scan_all();
        self.inflated += self.scanner.last_cost().inflated;
        let listing = listings.first()?.clone();
        if self.holds {
            self.held.extend(listings);
        }
        let suffix =
            |path: &Path| path.to_str().expect("UTF-8").strip_prefix(LOG).expect("a sibling").to_owned();
        Some(listing.files.iter().map(|file| (file.generation, suffix(&file.path))).collect())
    }
}

fn world() -> World {
    let world = World::new(1);
    world.mkdir_all(DIR).expect("an empty world");
    world.append(LOG, lines("first", LINES)).expect("a log");
    world
}

fn files(expected: &[(u32, &str)]) -> Option<Vec<(u32, String)>> {
    Some(expected.iter().map(|(generation, suffix)| (*generation, (*suffix).to_owned())).collect())
}

/// Kubelet's way: a whole `.gz` appears, the original goes. With the original open, and with nothing of it left.
#[test]
fn what_kubelet_compresses_is_recognised_without_inflating_it() {
    for holds in [true, false] {
        let world = world();
        let mut node = Node::new(&world, holds);
        assert_eq!(node.look(1), files(&[(0, "")]));
        let rotated = format!("{LOG}.20260102-030405");
        world.rename(LOG, &rotated).expect("rename");
        world.append(LOG, lines("second", LINES)).expect("append");
        assert_eq!(node.look(1), files(&[(0, ".20260102-030405"), (1, "")]));
        world.create(format!("{rotated}.gz"), gz(&lines("first", LINES))).expect("create");
        node.look(1);
        world.unlink(&rotated).expect("unlink");
        assert_eq!(node.look(1), files(&[(0, ".20260102-030405.gz"), (1, "")]));
        for _ in 0..20 {
            assert_eq!(node.look(1), None);
        }
        assert_eq!(node.inflated, 0, "holds: {holds}");
    }
}

/// Docker's way: the `.gz` itself grows beside the original, with a look at each piece of it.
#[test]
fn a_gz_that_grows_is_not_inflated_with_every_look() {
    let world = world();
    let mut node = Node::new(&world, true);
    node.look(1);
    world.rename(LOG, format!("{LOG}.1")).expect("rename");
    world.append(LOG, lines("second", LINES)).expect("append");
    assert_eq!(node.look(1), files(&[(0, ".1"), (1, "")]));
    let contents = lines("first", LINES);
    let whole = gz(&contents);
    let (path, mut grown) = (format!("{LOG}.1.gz"), 0);
    for piece in whole.chunks(whole.len() / 40) {
        world.append(&path, piece).expect("append");
        node.look(1);
        grown += 1;
    }
    assert!(grown >= 40);
    world.unlink(format!("{LOG}.1")).expect("unlink");
    assert_eq!(node.look(1), files(&[(0, ".1.gz"), (1, "")]));
    // The first piece once, to see that it is a copy so far.
    assert!(node.inflated < contents.len() as u64 / 20, "{} of {}", node.inflated, contents.len());
}

/// After a restart the bytes before the position prove it: one pass, however often it is looked at, and no more than
/// what lies before the position.
#[test]
fn a_restart_inflates_once_up_to_the_position() {
    let world = world();
    let mut node = Node::new(&world, true);
    node.look(1);
    let listing = node.held[0].clone();
    let records: Vec<FileRecord> = listing.files.iter().map(Sighting::record).collect();
    drop(node);
    world.rename(LOG, format!("{LOG}.1")).expect("rename");
    world.gzip(format!("{LOG}.1")).expect("gzip");
    world.append(LOG, lines("second", LINES)).expect("append");

    let contents = lines("first", LINES);
    let consumed = contents.len() / 2;
    let claim = Claim {
        generation: 0,
        consumed: consumed as u64,
        tail: Tail::new(consumed as u64, &contents.as_bytes()[..consumed]),
    };
    let mut node = Node::new(&world, true);
    node.scanner.restore(&Arc::from(Path::new(LOG)), &records, vec![claim]);
    assert_eq!(node.look(1), files(&[(0, ".1.gz"), (1, "")]));
    for number in 2..20 {
        // Rotations around it make every look a new one.
        world.rename(format!("{LOG}.{}.gz", number - 1), format!("{LOG}.{number}.gz")).expect("rename");
        node.look(1);
    }
    let pass = node.inflated;
    assert!(pass >= consumed as u64 && pass <= contents.len() as u64, "{pass} of {consumed}");
}

/// Two logs with the same first KiB and the same length: the checksum tells that one is no copy of the other.
#[test]
fn the_same_head_and_the_same_length_do_not_make_a_copy() {
    let world = World::new(1);
    world.mkdir_all(DIR).expect("an empty world");
    let banner = "a banner of many words\n".repeat(60);
    let contents = |word: &str| format!("{banner}{}", lines(word, 100));
    world.append(LOG, contents("one")).expect("a log");
    let mut node = Node::new(&world, true);
    assert_eq!(node.look(1), files(&[(0, "")]));
    world.rename(LOG, format!("{LOG}.1")).expect("rename");
    world.append(LOG, contents("two")).expect("append");
    world.create(format!("{LOG}.0.gz"), gz(&contents("six"))).expect("create");
    let seen = node.look(60);
    assert_eq!(seen, files(&[(0, ".1"), (1, ".0.gz"), (2, "")]));
}
