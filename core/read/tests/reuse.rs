//! Inode numbers are used again, and a log that was empty when it was seen last has nothing else to be known by: then its
//! place in the order of rotation tells.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringtail_io::Clock;
use ringtail_io::sim::{Faults, World};
use ringtail_read::{
    Change, Content, FileRecord, FileSpec, Lineage, Listing, LostReason, Next, OpenFiles, Scanner, Sighting,
};

const LOG: &str = "/var/log/apps/app.log";

/// A machine where a new file always gets the inode number that was freed last.
fn world() -> World {
    let world = World::new(1);
    world.mkdir_all("/var/log/apps").expect("an empty world");
    world.set_faults(Faults { inode_reuse: 1.0, ..Faults::none() });
    world
}

fn scanner(world: &World) -> Scanner {
    let spec = FileSpec { id: 7, paths: vec![LOG.to_owned()], ..FileSpec::default() };
    let clock: Arc<dyn Clock> = Arc::new(world.clock());
    Scanner::new(Arc::new(world.fs()), clock, OpenFiles::new(100), &[spec]).expect("patterns")
}

fn look(world: &World, scanner: &mut Scanner) -> Vec<Listing> {
    world.advance(Duration::from_secs(10));
    scanner.scan_all()
}

/// Generation and name of each file of the only listing.
#[track_caller]
fn files(listings: &[Listing]) -> Vec<(u32, String)> {
    assert_eq!(listings.len(), 1, "{listings:?}");
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

/// Rotates the log into `.1.gz`; the next file that is made gets its inode number.
fn rotate_and_compress(world: &World) {
    let rotated = format!("{LOG}.1");
    world.rename(LOG, &rotated).expect("rename");
    world.gzip(&rotated).expect("gzip");
}

/// Written, rotated and compressed since the log was seen empty, while the agent was down; the new log bears its inode
/// number. The compressed file is read, and before the new one.
#[test]
fn what_was_rotated_away_since_the_log_was_empty_comes_before_the_log_that_got_its_inode() {
    let world = world();
    world.append(LOG, "").expect("an empty log");
    let known = records(&look(&world, &mut scanner(&world))[0]);
    world.append(LOG, "first\n").expect("append");
    rotate_and_compress(&world);
    world.append(LOG, "second\n").expect("append");
    let mut scanner = scanner(&world);
    scanner.restore(&Arc::from(Path::new(LOG)), &known, Vec::new());
    assert_eq!(files(&look(&world, &mut scanner)), named(&[(0, "app.log.1.gz"), (1, "app.log")]));
}

/// An empty log was rotated and compressed away long ago, and a later log of the same lineage bears its inode number: it
/// is not taken for the old one, which lies before what was read since.
#[test]
fn a_log_with_the_inode_of_an_older_empty_one_is_new() {
    let world = world();
    world.append(LOG, "").expect("an empty log");
    let mut scanner = scanner(&world);
    look(&world, &mut scanner);
    world.rename(LOG, format!("{LOG}.2")).expect("rename");
    world.append(LOG, "second\n").expect("append");
    assert_eq!(files(&look(&world, &mut scanner)), named(&[(0, "app.log.2"), (1, "app.log")]));
    world.unlink(format!("{LOG}.2")).expect("unlink");
    world.rename(LOG, format!("{LOG}.1")).expect("rename");
    world.append(LOG, "third\n").expect("append");
    assert_eq!(files(&look(&world, &mut scanner)), named(&[(1, "app.log.1"), (2, "app.log")]));
}

/// The same where the later log was rotated to the very name that the empty one had, and what lies before it was compressed: only the
/// file that holds that tells the order.
#[test]
fn a_rotated_file_with_the_inode_and_the_name_of_an_older_empty_one_is_new() {
    let world = world();
    world.append(LOG, "").expect("an empty log");
    let mut scanner = scanner(&world);
    look(&world, &mut scanner);
    let rename = |from: &str, to: &str| {
        world.rename(format!("{LOG}{from}"), format!("{LOG}{to}")).expect("rename");
    };
    rename("", ".2");
    world.append(LOG, "first\n").expect("append");
    assert_eq!(files(&look(&world, &mut scanner)), named(&[(0, "app.log.2"), (1, "app.log")]));
    world.gzip(format!("{LOG}.2")).expect("gzip");
    rename(".2.gz", ".4.gz");
    rename("", ".3");
    world.append(LOG, "second\n").expect("append");
    world.gzip(format!("{LOG}.3")).expect("gzip");
    rename("", ".2");
    world.append(LOG, "third\n").expect("append");
    let expected = [(1, "app.log.3.gz"), (2, "app.log.2"), (3, "app.log")];
    assert_eq!(files(&look(&world, &mut scanner)), named(&expected));
}

/// The log was empty, then another file was the log, and after a restart a third one bears the inode number of the first.
#[test]
fn a_log_with_the_inode_of_an_empty_one_that_had_a_successor_is_new() {
    let world = world();
    world.append(LOG, "").expect("an empty log");
    let mut before = scanner(&world);
    let mut known = records(&look(&world, &mut before)[0]);
    world.rename(LOG, "/var/log/elsewhere").expect("rename");
    world.append(LOG, "first\n").expect("append");
    known.extend(records(&look(&world, &mut before)[0]));
    drop(before);
    world.unlink(LOG).expect("unlink");
    world.unlink("/var/log/elsewhere").expect("unlink");
    world.append(LOG, "second\n").expect("append");
    let mut scanner = scanner(&world);
    scanner.restore(&Arc::from(Path::new(LOG)), &known, Vec::new());
    assert_eq!(files(&look(&world, &mut scanner)), named(&[(2, "app.log")]));
}

/// A log with these contents, looked at once and held open.
fn followed(text: &str) -> (World, Scanner, Lineage) {
    let world = world();
    world.append(LOG, text).expect("append");
    let mut scanner = scanner(&world);
    let listings = look(&world, &mut scanner);
    let mut lineage = Lineage::new(listings[0].lineage.clone());
    lineage.apply(&listings[0], Duration::ZERO, |_| 0);
    (world, scanner, lineage)
}

/// A reader that is behind holds the original of a `.gz` open, which is removed; the next log gets the inode number of the `.gz`. The
/// original can be read to its end, which no listing had: it grew before it was rotated. Where it is given up, all of the rest counts.
#[test]
fn the_original_of_a_removed_gz_is_read_on_whatever_gets_the_inode_of_the_gz() {
    let (world, mut scanner, mut lineage) = followed("first\n");
    world.append(LOG, "second\n").expect("append");
    rotate_and_compress(&world);
    world.append(LOG, "third\n").expect("append");
    let listings = look(&world, &mut scanner);
    assert_eq!(files(&listings), named(&[(0, "app.log.1.gz"), (1, "app.log")]));
    lineage.apply(&listings[0], Duration::ZERO, |_| 0);
    let inode = listings[0].files[0].stat.ino;
    drop(listings);
    world.unlink(format!("{LOG}.1.gz")).expect("unlink");
    world.rename(LOG, format!("{LOG}.1")).expect("rename");
    world.append(LOG, "fourth\n").expect("append");
    let listings = look(&world, &mut scanner);
    assert_eq!(files(&listings), named(&[(1, "app.log.1"), (2, "app.log")]));
    assert_eq!(listings[0].files[1].stat.ino, inode);
    let changes = lineage.apply(&listings[0], Duration::ZERO, |_| 0);
    let tells_end = |change: &Change| matches!(change, Change::Lost { .. } | Change::Emptied { .. });
    assert!(!changes.iter().any(tells_end), "{changes:?}");
    let Next::Read { generation: 0, file, .. } = lineage.next(0, 0, Duration::ZERO) else {
        panic!("it is open");
    };
    assert_eq!(Content::new(file.file.clone(), file.gz).read(0, 100).expect("readable"), b"first\nsecond\n");
    let lost = lineage.enforce(Duration::MAX, &mut 0, Duration::ZERO, |_| 6);
    let reason = LostReason::Deleted;
    assert!(
        matches!(lost[..], [Change::Lost { generation: 0, reason: it, bytes: 7, .. }] if it == reason),
        "{lost:?}"
    );
}

/// A log is emptied and written anew; before the listing that tells so is applied, it is removed. What is open has no name then, but it is
/// not the original of anything: what it held is lost, and what it holds now is no part of that.
#[test]
fn a_log_that_was_emptied_and_removed_amid_a_look_loses_what_it_held_and_no_more() {
    let (world, mut scanner, mut lineage) = followed("first\nsecond\n");
    world.truncate(LOG, 0).expect("there");
    world.append(LOG, "another line that is longer\n").expect("append");
    let listings = look(&world, &mut scanner);
    assert_eq!(files(&listings), named(&[(1, "app.log")]));
    world.unlink(LOG).expect("unlink");
    let consumed = |generation| if generation == 0 { 6 } else { 0 };
    let mut changes = lineage.apply(&listings[0], Duration::ZERO, consumed);
    changes.extend(lineage.enforce(Duration::MAX, &mut 0, Duration::ZERO, consumed));
    let lost: Vec<_> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Lost { generation, bytes, reason, .. } => Some((*generation, *bytes, *reason)),
            _ => None,
        })
        .collect();
    assert_eq!(lost, [(0, 7, LostReason::Truncated)], "{changes:?}");
}

/// What has the file open goes on writing to it after it was deleted and its log was made anew: no listing tells, and the bound on what
/// is held is kept all the same.
#[test]
fn a_deleted_file_that_goes_on_growing_is_held_by_its_size() {
    let (world, mut scanner, mut lineage) = followed("first\n");
    let writer = world.writer(LOG).expect("there");
    world.unlink(LOG).expect("unlink");
    world.append(LOG, "the next log\n").expect("append");
    let listings = look(&world, &mut scanner);
    lineage.apply(&listings[0], Duration::ZERO, |_| 0);
    let mut spare = 1000;
    assert!(lineage.enforce(Duration::MAX, &mut spare, Duration::ZERO, |_| 0).is_empty());
    assert_eq!(spare, 994);
    writer.append("x".repeat(2000)).expect("open");
    let lost = lineage.enforce(Duration::MAX, &mut 1000, Duration::ZERO, |_| 0);
    assert!(matches!(lost[..], [Change::Lost { generation: 0, bytes: 2006, .. }]), "{lost:?}");
}
