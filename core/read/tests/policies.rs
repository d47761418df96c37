//! Where a view begins, how long deleted files are held, what is let go.

mod follower;

use std::fs;
use std::time::Duration;

use follower::{Follower, Writer};
use ringtail_read::{Change, FileSpec, Lineage, Listing, LostReason, Next, OpenFiles, Scanner, Start};

/// A log with a compressed file of 100 lines, one of 20 and the log itself with 10, each line 54 bytes long or so.
fn rotated() -> (Writer, Lineage, u64) {
    let mut writer = Writer::new("0.log");
    let (two, one) = (writer.sibling(".2"), writer.sibling(".1"));
    writer.lines_to(&two, 100);
    writer.gzip(".2");
    writer.lines_to(&one, 20);
    writer.lines(10);
    let size = fs::metadata(&writer.path).expect("stat").len();
    let (lineage, _) = lineage(&writer);
    (writer, lineage, size)
}

fn lineage(writer: &Writer) -> (Lineage, Listing) {
    let mut follower = Follower::new(std::slice::from_ref(&writer.path));
    let listing = follower.scanner.scan_all().pop().expect("one");
    let mut lineage = Lineage::new(listing.lineage.clone());
    lineage.apply(&listing, Duration::ZERO, |_| 0);
    (lineage, listing)
}

#[test]
fn a_view_begins_at_the_beginning_the_end_or_so_many_bytes_before_it() {
    let (writer, lineage, size) = rotated();
    let one = fs::metadata(writer.sibling(".1")).expect("stat").len();
    assert!(lineage.at_start());
    assert_eq!(lineage.begin(Start::Beginning), Some((0, 0)));
    assert_eq!(lineage.begin(Start::End), Some((2, size)));
    assert_eq!(lineage.begin(Start::Last(0)), Some((2, size)));
    assert_eq!(lineage.begin(Start::Last(100)), Some((2, size - 100)));
    assert_eq!(lineage.begin(Start::Last(size)), Some((2, 0)));
    assert_eq!(lineage.begin(Start::Last(size + 1)), Some((1, one - 1)));
    // How much the compressed file holds is not known; it is not counted.
    assert_eq!(lineage.begin(Start::Last(u64::MAX)), Some((1, 0)));
    assert_eq!(Lineage::new(writer.path.as_path().into()).begin(Start::Beginning), None);
}

#[test]
fn at_the_end_of_a_log_that_is_all_compressed_waits_for_what_comes_next() {
    let mut writer = Writer::new("0.log");
    let one = writer.sibling(".1");
    writer.lines_to(&one, 10);
    writer.gzip(".1");
    let name = format!("{}*", writer.path.display());
    let mut follower = Follower::new(&[name.into()]);
    let listing = follower.scanner.scan_all().pop().expect("one");
    let mut lineage = Lineage::new(listing.lineage.clone());
    lineage.apply(&listing, Duration::ZERO, |_| 0);
    let (generation, offset) = lineage.begin(Start::End).expect("placed");
    assert_eq!((generation, offset), (1, 0));
    assert!(matches!(lineage.next(generation, offset, Duration::ZERO), Next::Wait { until: None }));
}

#[test]
fn deleted_files_are_held_within_age_and_bytes_and_then_counted() {
    for (max_age, spare, kept) in [(60, 1 << 20, true), (60, 10, false), (1, 1 << 20, false)] {
        let mut writer = Writer::new("0.log");
        writer.lines(10);
        let size = writer.written.len() as u64;
        let mut follower = Follower::new(std::slice::from_ref(&writer.path));
        let listings = follower.scanner.scan_all();
        let mut lineage = Lineage::new(listings[0].lineage.clone());
        lineage.apply(&listings[0], Duration::ZERO, |_| 0);
        drop(listings);
        writer.remove("");
        let gone = follower.scanner.scan_all();
        lineage.apply(&gone[0], Duration::from_secs(1), |_| 0);
        let (mut left, now) = (spare, Duration::from_secs(10));
        let changes = lineage.enforce(Duration::from_secs(max_age), &mut left, now, |_| 54);
        if kept {
            assert!(changes.is_empty() && left == spare - size && follower.files.open() == 1);
            assert!(matches!(lineage.next(0, 54, now), Next::Read { .. }));
        } else {
            let lost = |change: &Change| matches!(change, Change::Lost { reason: LostReason::Deleted, bytes, .. } if *bytes == size - 54);
            assert!(changes.len() == 1 && lost(&changes[0]), "{changes:?}");
            assert_eq!((left, follower.files.open(), lineage.records().len()), (spare, 0, 0));
            assert!(matches!(lineage.next(0, 54, now), Next::Finished));
        }
    }
}

/// Of one that was never seen but compressed, its end tells how much it holds.
#[test]
fn a_compressed_file_that_is_held_no_longer_counts_by_its_contents() {
    let (writer, ..) = rotated();
    let (mut lineage, mut listing) = lineage(&writer);
    listing.files.remove(0);
    lineage.apply(&listing, Duration::ZERO, |_| 7);
    assert!(lineage.holds_deleted());
    let changes = lineage.enforce(Duration::MAX, &mut 0, Duration::ZERO, |_| 7);
    let len = writer.written.lines().take(100).map(|line| line.len() as u64 + 1).sum::<u64>();
    let lost =
        |change: &Change| matches!(change, Change::Lost { generation: 0, bytes, .. } if *bytes == len - 7);
    assert!(changes.iter().any(lost), "{changes:?}");
}

/// A rotated file is deleted while nobody has it open, and the next log gets its inode number.
#[test]
fn a_deleted_file_whose_inode_number_is_used_again_counts_as_deleted() {
    let mut writer = Writer::new("0.log");
    let one = writer.sibling(".1");
    writer.lines_to(&one, 20);
    writer.lines(10);
    let (mut lineage, mut listing) = lineage(&writer);
    let unread = fs::metadata(&one).expect("stat").len();
    assert!(lineage.close(0));
    let deleted = listing.files.remove(0);
    listing.files[0].path = writer.sibling(".1").as_path().into();
    let mut log = listing.files[0].clone();
    (log.generation, log.path, log.file) = (2, writer.path.as_path().into(), None);
    log.stat.ino = deleted.stat.ino;
    listing.files.push(log);
    let lost = |change: &Change| match change {
        Change::Lost { generation, reason, bytes, .. } => Some((*generation, *reason, *bytes)),
        _ => None,
    };
    let changes = lineage.apply(&listing, Duration::ZERO, |_| 0);
    let lost: Vec<_> = changes.iter().filter_map(lost).collect();
    assert_eq!(lost, [(0, LostReason::Deleted, unread)]);
}

/// What was read through the log goes on in its copy; the copy is removed, and another one gets its inode number. The log's open file,
/// which holds something else by now, is not read for it any more.
#[test]
fn a_generation_whose_copy_is_gone_is_not_read_on_through_the_log() {
    let mut writer = Writer::new("0.log");
    writer.lines(20);
    let (mut lineage, mut listing) = lineage(&writer);
    assert!(lineage.is_open(0));
    let copy = &mut listing.files[0];
    (copy.path, copy.file) = (writer.sibling(".1").as_path().into(), None);
    copy.stat.ino += 1;
    lineage.apply(&listing, Duration::ZERO, |_| 0);
    assert!(lineage.is_open(0), "it may be read on until the log is seen again");
    let other = &mut listing.files[0];
    (other.generation, other.path) = (1, writer.sibling(".2").as_path().into());
    let changes = lineage.apply(&listing, Duration::ZERO, |_| 0);
    let unread = writer.written.len() as u64;
    let lost =
        |change: &Change| matches!(change, Change::Lost { generation: 0, bytes, .. } if *bytes == unread);
    assert!(changes.iter().any(lost), "{changes:?}");
    assert!(!lineage.is_open(0));
}

#[test]
fn a_generation_that_cannot_be_read_is_given_up_counted_and_passed() {
    let (writer, mut lineage, _) = rotated();
    let len = writer.written.lines().take(100).map(|line| line.len() as u64 + 1).sum::<u64>();
    let changes = lineage.give_up(0, 7, 10);
    let lost =
        |change: &Change| matches!(change, Change::Lost { generation: 0, bytes, .. } if *bytes == len - 7);
    assert!(changes.as_ref().is_some_and(lost), "{changes:?}");
    assert!(lineage.give_up(0, 0, 0).is_none());
    let (_, listing) = self::lineage(&writer);
    lineage.apply(&listing, Duration::ZERO, |_| 0);
    assert!(matches!(lineage.next(0, 1_000_000, Duration::ZERO), Next::Advance { generation: 1, offset: 0 }));
}

#[test]
fn released_generations_stay_released_while_their_files_are_still_there() {
    let (writer, mut lineage, _) = rotated();
    lineage.release_before(2);
    let numbers = |lineage: &Lineage| -> (Vec<u32>, Vec<u32>) {
        let kept = lineage.generations().iter().map(|generation| generation.number).collect();
        (kept, lineage.records().iter().map(|record| record.generation).collect())
    };
    // A checkpoint goes on to know them: a restart would take them for new.
    assert_eq!(numbers(&lineage), (vec![2], vec![0, 1, 2]));
    let (_, listing) = self::lineage(&writer);
    let changes = lineage.apply(&listing, Duration::ZERO, |_| 0);
    assert!(changes.is_empty(), "{changes:?}");
    assert!(matches!(lineage.next(0, 0, Duration::ZERO), Next::Advance { generation: 2, offset: 0 }));
}

#[test]
fn what_a_read_found_at_the_end_counts_only_until_the_next_listing() {
    let (_writer, mut lineage, size) = rotated();
    let Next::Read { turn, .. } = lineage.next(2, size, Duration::ZERO) else { panic!("to be read") };
    let empty = Listing {
        lineage: lineage.id().clone(),
        shown: lineage.id().clone(),
        specs: Vec::new(),
        at_start: false,
        files: Vec::new(),
        beside: Vec::new(),
    };
    lineage.apply(&empty, Duration::ZERO, |_| 0);
    assert!(lineage.at_end(2, size, turn, Duration::ZERO).is_none());
    assert!(matches!(lineage.next(2, size, Duration::ZERO), Next::Read { .. }));
}

/// A slow read of an empty log ends after that was written to and deleted: it knows nothing of what came after it began.
#[test]
fn a_read_from_before_the_last_event_does_not_say_that_a_deleted_file_was_truncated() {
    let (mut writer, mut lineage, size) = rotated();
    let Next::Read { turn, .. } = lineage.next(2, size, Duration::ZERO) else { panic!("to be read") };
    writer.lines(10);
    let (_, grown) = self::lineage(&writer);
    lineage.apply(&grown, Duration::ZERO, |_| size);
    lineage.apply(&Listing { files: Vec::new(), ..grown }, Duration::ZERO, |_| size);
    assert!(lineage.at_end(2, size, turn, Duration::ZERO).is_none());
    let Next::Read { turn, .. } = lineage.next(2, size, Duration::ZERO) else { panic!("to be read") };
    assert!(lineage.at_end(2, size, turn, Duration::ZERO).is_some(), "this one knows");
}

#[test]
fn a_pattern_that_cannot_be_used_is_named() {
    let spec = FileSpec { paths: vec!["/var/log/[".to_owned()], ..FileSpec::default() };
    let (fs, clock) =
        (std::sync::Arc::new(ringtail_io::RealFs), std::sync::Arc::new(ringtail_io::RealClock::new()));
    let error = Scanner::new(fs, clock, OpenFiles::new(1), &[spec]).map(|_| ()).expect_err("unclosed");
    assert_eq!(error.pattern, "/var/log/[");
}
