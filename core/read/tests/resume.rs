//! Stopped, then started again from what a checkpoint keeps: nothing read twice, nothing left out, what is gone counted.

mod follower;

use std::fs;

use follower::{Follower, Saved, Writer};
use ringtail_read::LostReason;

const BANNER: &str = "a banner of many words, the same in every file\n";

/// A log of which `lines` lines were read before the stop.
fn stopped(lines: usize) -> (Writer, Vec<Saved>) {
    let mut writer = Writer::new("0.log");
    writer.lines(lines);
    let saved = stop(&mut writer);
    (writer, saved)
}

/// Reads everything there is, stops, and lets the writer count from there.
fn stop(writer: &mut Writer) -> Vec<Saved> {
    let mut follower = Follower::new(std::slice::from_ref(&writer.path));
    follower.look();
    follower.expect(&writer.written);
    writer.written.clear();
    follower.save()
}

fn resume(writer: &Writer, saved: &[Saved]) -> Follower {
    let mut follower = Follower::with(std::slice::from_ref(&writer.path), saved, 100);
    follower.look();
    follower.look();
    follower
}

#[track_caller]
fn check(writer: &Writer, saved: &[Saved]) {
    let follower = resume(writer, saved);
    follower.expect(&writer.written);
    assert!(follower.lost.is_empty(), "{:?}", follower.lost);
}

#[test]
fn it_goes_on_where_it_was_also_in_a_file_shorter_than_a_head() {
    for lines in [0, 1, 10, 1000] {
        let (mut writer, saved) = stopped(1 + lines);
        check(&writer, &saved);
        writer.lines(10);
        check(&writer, &saved);
    }
}

/// The log was empty when it was seen last, so that nothing but its place tells it from others; what was read before is
/// known by itself, also compressed.
#[test]
fn an_empty_log_goes_on_and_what_was_read_before_is_not_read_again() {
    for while_empty in [0, 1000] {
        let mut writer = Writer::new("0.log");
        writer.lines(1000);
        writer.rename("", ".20260101-000000");
        writer.lines(0);
        let saved = stop(&mut writer);
        writer.lines(while_empty);
        writer.gzip(".20260101-000000");
        writer.rename("", ".20260102-000000");
        writer.gzip(".20260102-000000");
        writer.lines(1000);
        check(&writer, &saved);
    }
}

/// Read to its end between two looks, and stopped before the second one.
#[test]
fn a_log_that_was_read_since_it_was_seen_empty_is_known_again_when_compressed() {
    let (mut writer, mut saved) = stopped(1000);
    (saved[0].records[0].identity.head, saved[0].records[0].size) = Default::default();
    writer.lines(10);
    writer.rename("", ".20260101-000000");
    writer.gzip(".20260101-000000");
    writer.lines(10);
    check(&writer, &saved);
}

#[test]
fn renamed_several_times_while_stopped() {
    for lines in [2, 1000] {
        let (mut writer, saved) = stopped(lines);
        writer.lines(10);
        writer.rename("", ".1");
        check(&writer, &saved);
        writer.lines(10);
        writer.rename(".1", ".2");
        writer.rename("", ".1");
        writer.lines(10);
        check(&writer, &saved);
    }
}

#[test]
fn compressed_while_stopped_goes_on_inside_the_gz() {
    for lines in [2, 1000] {
        let (mut writer, saved) = stopped(lines);
        writer.lines(500);
        writer.rename("", ".20260102-030405");
        writer.gzip(".20260102-030405");
        writer.lines(10);
        check(&writer, &saved);
        // Stopped again while it reads the .gz.
        let follower = resume(&writer, &saved);
        let mut again = follower.save();
        let gz = fs::read(writer.sibling(".20260102-030405.gz")).expect("read");
        assert!(!gz.is_empty());
        again[0].claim.generation = saved[0].claim.generation;
        (again[0].claim.consumed, again[0].claim.tail) = (saved[0].claim.consumed, saved[0].claim.tail);
        check(&writer, &saved);
    }
}

#[test]
fn a_remount_that_changes_the_device_number_changes_nothing_else() {
    let (mut writer, mut saved) = stopped(100);
    saved[0].records[0].identity.dev += 1;
    writer.lines(10);
    check(&writer, &saved);
    writer.rename("", ".1");
    writer.lines(10);
    check(&writer, &saved);
}

#[test]
fn an_inode_used_again_for_another_file_is_another_file() {
    let (mut writer, mut saved) = stopped(100);
    writer.remove("");
    writer.lines(200);
    // Whether the kernel used the inode again or not: the checkpoint says that it did.
    use std::os::unix::fs::MetadataExt;
    saved[0].records[0].identity.ino = fs::metadata(&writer.path).expect("stat").ino();
    check(&writer, &saved);
}

#[test]
fn an_inode_used_again_for_a_file_with_the_same_head_is_told_by_the_tail() {
    let mut writer = Writer::new("app.log");
    let path = writer.path.clone();
    writer.append(&path, &BANNER.repeat(50));
    writer.lines(10);
    let saved = stop(&mut writer);
    fs::write(&path, "").expect("truncate");
    writer.append(&path, &BANNER.repeat(50));
    writer.lines(100);
    check(&writer, &saved);
}

#[test]
fn files_with_identical_heads_are_told_apart_by_what_was_consumed() {
    let mut writer = Writer::new("app.log");
    let path = writer.path.clone();
    writer.append(&path, &BANNER.repeat(50));
    writer.lines(20);
    let saved = stop(&mut writer);
    writer.lines(20);
    for _ in 0..3 {
        for number in (1..4).rev().filter(|number| writer.sibling(&format!(".{number}.gz")).exists()) {
            writer.rename(&format!(".{number}.gz"), &format!(".{}.gz", number + 1));
        }
        writer.rename("", ".1");
        writer.gzip(".1");
        writer.append(&path, &BANNER.repeat(50));
        writer.lines(20);
    }
    check(&writer, &saved);
}

#[test]
fn copytruncated_while_stopped_goes_on_in_the_copy() {
    let (mut writer, saved) = stopped(1000);
    writer.lines(100);
    writer.copytruncate(".1");
    writer.lines(10);
    check(&writer, &saved);
}

#[test]
fn rotated_files_from_before_the_checkpoint_are_not_read_again() {
    let mut writer = Writer::new("0.log");
    for number in [3, 2, 1] {
        let path = writer.sibling(&format!(".{number}"));
        writer.lines_to(&path, 100);
    }
    writer.lines(10);
    let saved = stop(&mut writer);
    assert_eq!(saved[0].records.len(), 4);
    // Where there are too many to be kept in mind, their place tells that they are older.
    let mut newest = saved.clone();
    newest[0].records.drain(..3);
    writer.lines(10);
    check(&writer, &saved);
    check(&writer, &newest);
    writer.rename(".3", ".4");
    writer.rename(".2", ".3");
    writer.rename(".1", ".2");
    writer.rename("", ".1");
    writer.lines(10);
    check(&writer, &saved);
    check(&writer, &newest);
}

#[test]
fn what_was_unlinked_while_nobody_looked_is_counted_and_what_is_there_is_read() {
    let (mut writer, mut saved) = stopped(100);
    saved[0].records[0].size += 77;
    writer.remove("");
    let follower = resume(&writer, &saved);
    assert_eq!(follower.lost, [(LostReason::Deleted, 77)]);
    assert!(follower.log().finished);
    writer.lines(10);
    let follower = resume(&writer, &saved);
    // Where the new file got the old inode, it looks like a truncation.
    assert_eq!(follower.lost.iter().map(|lost| lost.1).collect::<Vec<_>>(), [77]);
    follower.expect(&writer.written);
}

#[test]
fn a_log_moved_to_another_inode_under_a_rotated_name_goes_on_there() {
    let (mut writer, saved) = stopped(1000);
    writer.lines(10);
    fs::copy(&writer.path, writer.sibling("-20260102")).expect("copy");
    writer.remove("");
    writer.lines(10);
    check(&writer, &saved);
}

/// kubelet names what it rotates by a clock that was wrong and is set back: the names tell another order than the
/// numbers, and of two rotations nobody saw the file between. Times that are to come do not make it an old one.
#[test]
fn what_was_rotated_unseen_after_the_clock_was_set_back_is_read() {
    let mut writer = Writer::new("0.log");
    writer.lines(100);
    writer.rename("", ".20260102-120000");
    let to_come = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let wrong = fs::File::options().write(true).open(writer.sibling(".20260102-120000")).expect("open");
    wrong.set_modified(to_come).expect("set");
    writer.lines(100);
    let saved = stop(&mut writer);
    for stopped in [true, false] {
        let before = (!stopped).then(|| resume(&writer, &saved));
        let name = if stopped { ["0900", "0910"] } else { ["0920", "0930"] };
        for name in name {
            writer.rename("", &format!(".20260102-{name}00"));
            writer.lines(100);
        }
        match before {
            None => check(&writer, &saved),
            Some(mut follower) => {
                follower.look();
                follower.expect(&writer.written);
            }
        }
    }
}

/// Two files of a log begin alike, and of one nothing was read: its place tells it from the other, which is so old that the
/// checkpoint has forgotten it.
#[test]
fn an_unread_file_is_not_found_in_an_older_one_that_begins_alike() {
    let mut writer = Writer::new("app.log");
    let path = writer.path.clone();
    writer.append(&path, &BANNER.repeat(50));
    writer.lines(300);
    writer.rename("", ".1");
    writer.gzip(".1");
    writer.lines(100);
    let mut saved = stop(&mut writer);
    saved[0].records.remove(0);
    writer.rename(".1.gz", ".2.gz");
    writer.rename("", ".1");
    writer.append(&path, &BANNER.repeat(50));
    writer.lines(20);
    let follower = resume(&writer, &saved);
    let unread = follower.log().lineage.records().into_iter().next_back().expect("the log");
    assert_eq!((unread.generation, unread.size), (2, fs::metadata(&path).expect("stat").len()));
    saved[0].records.push(unread);
    writer.rename(".2.gz", ".3.gz");
    writer.rename(".1", ".2");
    writer.rename("", ".1");
    writer.gzip(".1");
    writer.lines(10);
    check(&writer, &saved);
}
