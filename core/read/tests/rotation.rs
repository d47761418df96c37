//! Every way in which logs are rotated, on real files: what was written comes out exactly once and in order.

mod follower;

use std::fs;
use std::time::Duration;

use follower::{Follower, Writer};
use ringtail_read::LostReason;

/// A writer with a log of `lines` lines, and a follower that has read them.
fn following(lines: usize) -> (Writer, Follower) {
    let mut writer = Writer::new("0.log");
    writer.lines(lines);
    let mut follower = Follower::new(std::slice::from_ref(&writer.path));
    follower.look();
    follower.expect(&writer.written);
    (writer, follower)
}

#[test]
fn what_is_appended_is_read_and_a_quiet_look_reports_nothing() {
    let (mut writer, mut follower) = following(5);
    writer.lines(5);
    follower.look();
    follower.expect(&writer.written);
    assert!(follower.look().is_empty());
    writer.lines(100);
    follower.wake();
    follower.expect(&writer.written);
}

#[test]
fn a_rename_is_followed_and_what_the_writer_still_writes_to_the_old_file_is_read_first() {
    let (mut writer, mut follower) = following(100);
    writer.lines(10);
    writer.rename("", ".20260102-030405");
    follower.look();
    follower.expect(&writer.written);
    // kubelet renamed, the runtime has not reopened yet.
    let old = writer.sibling(".20260102-030405");
    writer.lines_to(&old, 10);
    fs::File::create(&writer.path).expect("reopened");
    follower.look();
    writer.lines_to(&old, 1);
    follower.look();
    writer.lines(10);
    follower.look();
    follower.expect(&writer.written);
    assert_eq!(follower.log().place.expect("placed").0, 1);
}

#[test]
fn lines_written_to_the_old_file_after_the_view_left_it_are_late_not_lost() {
    let (mut writer, mut follower) = following(100);
    writer.rename("", ".1");
    writer.lines(10);
    follower.look();
    follower.expect(&writer.written);
    let (in_order, old) = (writer.written.clone(), writer.sibling(".1"));
    writer.written.clear();
    writer.lines_to(&old, 3);
    follower.look();
    follower.look();
    follower.expect(&in_order);
    assert_eq!(String::from_utf8_lossy(&follower.log().late), writer.written);
}

/// Logrotate makes the new log, and tells the writer when it likes: until that writes to it, it writes to the old one.
#[test]
fn an_empty_successor_holds_back_the_advance_until_it_is_written_to() {
    let (mut writer, mut follower) = following(100);
    writer.rename("", ".1");
    fs::File::create(&writer.path).expect("made anew");
    follower.look();
    follower.pass(Duration::from_secs(60));
    let old = writer.sibling(".1");
    writer.lines_to(&old, 3);
    follower.wake();
    follower.expect(&writer.written);
    writer.lines_to(&old, 3);
    writer.lines(1);
    follower.wake();
    follower.expect(&writer.written);
    assert_eq!(follower.log().place.expect("placed").0, 1);
}

#[test]
fn an_empty_successor_of_a_deleted_log_holds_back_the_advance_only_for_the_grace() {
    let (mut writer, mut follower) = following(100);
    writer.remove("");
    fs::File::create(&writer.path).expect("made anew");
    follower.look();
    assert_eq!(follower.log().place.expect("placed").0, 0);
    follower.pass(Duration::from_secs(2));
    assert_eq!(follower.log().place.expect("placed").0, 1);
    writer.lines(1);
    follower.look();
    follower.expect(&writer.written);
}

#[test]
fn several_renames_between_two_looks_leave_nothing_out() {
    let (mut writer, mut follower) = following(100);
    for _ in 0..4 {
        for number in (1..4).rev() {
            let (from, to) = (format!(".{number}"), format!(".{}", number + 1));
            if writer.sibling(&from).exists() {
                writer.rename(&from, &to);
            }
        }
        writer.lines(50);
        writer.rename("", ".1");
        writer.lines(50);
    }
    follower.look();
    follower.expect(&writer.written);
    assert_eq!((follower.log().place.expect("placed").0, follower.lost.len()), (4, 0));
}

#[test]
fn a_rename_back_goes_on_where_it_was() {
    let (mut writer, mut follower) = following(100);
    writer.rename("", ".20260102-030405");
    follower.look();
    writer.rename(".20260102-030405", "");
    writer.lines(10);
    follower.look();
    follower.expect(&writer.written);
    assert_eq!(follower.log().place.expect("placed").0, 0);
}

#[test]
fn a_file_deleted_while_it_is_open_is_read_to_its_end_then_finished() {
    let (mut writer, mut follower) = following(10);
    let mut held = fs::File::options().append(true).open(&writer.path).expect("open");
    writer.lines(10);
    writer.remove("");
    use std::io::Write;
    held.write_all(b"last words\n").expect("write");
    follower.look();
    follower.expect(&format!("{}last words\n", writer.written));
    assert!(!follower.log().finished);
    follower.pass(Duration::from_secs(5));
    assert!(follower.log().finished && follower.lost.is_empty());
    let id = follower.log().lineage.id().clone();
    follower.logs.clear();
    assert!(follower.scanner.forget(&id));
    assert_eq!(follower.files.open(), 0);
}

/// docker's max-file=1.
#[test]
fn unlinked_and_made_again_under_the_same_name_is_two_files_in_order() {
    let (mut writer, mut follower) = following(100);
    for _ in 0..5 {
        writer.lines(20);
        writer.remove("");
        writer.lines(30);
        follower.look();
        follower.expect(&writer.written);
    }
    assert!(follower.lost.is_empty());
}

#[test]
fn unlinked_with_the_same_first_line_as_the_next_one_is_still_two_files() {
    let mut writer = Writer::new("0.log");
    let path = writer.path.clone();
    writer.append(&path, "starting\n");
    let mut follower = Follower::new(std::slice::from_ref(&path));
    follower.look();
    for _ in 0..3 {
        writer.remove("");
        writer.append(&path, "starting\n");
        follower.look();
        follower.expect(&writer.written);
    }
}

#[test]
fn a_file_deleted_while_nobody_has_it_open_is_counted_as_lost() {
    let (mut writer, mut follower) = following(10);
    follower.closes = true;
    follower.look();
    follower.read();
    writer.lines(1);
    let size = writer.written.len() as u64;
    let listings = follower.scanner.scan_all();
    writer.remove("");
    assert_eq!(listings[0].files[0].stat.size, size);
    // The shard closes the file, unread.
    let log = follower.logs.values_mut().next().expect("one");
    let place = log.place.expect("placed");
    log.lineage.apply(&listings[0], follower.now, |_| place.1);
    log.lineage.close(0);
    drop(listings);
    follower.look();
    assert_eq!(follower.lost, [(LostReason::Deleted, size - place.1)]);
}

#[test]
fn compression_of_a_rotated_file_is_followed_with_and_without_an_open_file() {
    for closes in [false, true] {
        for claims in [false, true] {
            let (mut writer, mut follower) = following(2000);
            (follower.closes, follower.claims) = (closes, claims);
            for round in 0..4 {
                writer.lines(100);
                let suffix = format!(".2026010{}-030405", round + 1);
                writer.rename("", &suffix);
                follower.look();
                // The copy is seen while the original is still there.
                writer.gzip_keep(&suffix);
                follower.look();
                writer.remove(&suffix);
                writer.lines(2000);
                follower.look();
                follower.look();
                follower.expect(&writer.written);
            }
            assert!(follower.lost.is_empty(), "{:?}", follower.lost);
        }
    }
}

#[test]
fn rotated_and_compressed_between_two_looks_goes_on_inside_the_gz() {
    for closes in [false, true] {
        let (mut writer, mut follower) = following(2000);
        follower.closes = closes;
        follower.wake();
        writer.lines(1000);
        writer.rename("", ".20260102-030405");
        writer.lines(500);
        writer.rename("", ".20260102-030406");
        writer.gzip(".20260102-030405");
        writer.gzip(".20260102-030406");
        writer.lines(10);
        follower.look();
        follower.expect(&writer.written);
        assert!(follower.lost.is_empty(), "{:?}", follower.lost);
    }
}

#[test]
fn copytruncate_gives_the_unread_rest_from_the_copy() {
    for claims in [false, true] {
        let (mut writer, mut follower) = following(2000);
        follower.claims = claims;
        writer.lines(300);
        writer.copytruncate(".1");
        writer.lines(20);
        follower.look();
        follower.expect(&writer.written);
        // The copy is there for a while before the truncation.
        writer.rename(".1", ".2");
        writer.lines(2000);
        follower.look();
        fs::copy(&writer.path, writer.sibling(".1")).expect("copy");
        follower.look();
        follower.look();
        fs::File::options().write(true).open(&writer.path).expect("open").set_len(0).expect("truncate");
        writer.lines(5);
        follower.look();
        follower.look();
        follower.expect(&writer.written);
        assert!(follower.lost.is_empty(), "{:?}", follower.lost);
    }
}

#[test]
fn what_was_truncated_unread_is_counted() {
    let (mut writer, mut follower) = following(100);
    let read = writer.written.len() as u64;
    writer.lines(30);
    let size = writer.written.len() as u64;
    // Seen by the scanner, not read.
    let listings = follower.scanner.scan_all();
    let log = follower.logs.values_mut().next().expect("one");
    log.lineage.apply(&listings[0], follower.now, |_| read);
    let file = fs::File::options().write(true).open(&writer.path).expect("open");
    file.set_len(0).expect("truncate");
    let before = writer.written[..usize::try_from(read).expect("small")].to_owned();
    writer.written.clear();
    writer.lines(3);
    follower.look();
    follower.expect(&(before + &writer.written));
    assert_eq!(follower.lost, [(LostReason::Truncated, size - read)]);
}

/// The head is what gives the truncation away: the file has grown past what was read.
#[test]
fn truncated_and_grown_past_the_position_begins_anew() {
    let (mut writer, mut follower) = following(50);
    let file = fs::File::options().write(true).open(&writer.path).expect("open");
    file.set_len(0).expect("truncate");
    writer.lines(200);
    follower.look();
    follower.expect(&writer.written);
    assert!(follower.lost.is_empty());
    assert_eq!(follower.emptied, 1, "whether anything was lost, nobody knows");
}

/// Neither size nor time tell that the file was emptied and written again; the shard, which reads what lies before its
/// position once more, does.
#[test]
fn a_doubt_makes_the_scanner_look_at_what_seems_unchanged() {
    let (mut writer, mut follower) = following(50);
    let (read, about) = (writer.written.clone(), fs::metadata(&writer.path).expect("there"));
    let other = read.replace("line", "LINE");
    assert_ne!(other, read);
    let file = fs::File::options().write(true).open(&writer.path).expect("open");
    file.set_len(0).expect("truncate");
    let path = writer.path.clone();
    writer.append(&path, &other);
    file.set_modified(about.modified().expect("a time")).expect("set");
    assert!(follower.look().is_empty(), "nothing to be seen");
    let (lineage, held) = follower
        .logs
        .iter()
        .map(|(id, log)| (id.clone(), log.lineage.generations().last().expect("one").identity))
        .next()
        .expect("one");
    let elsewhere = ringtail_read::Identity { ino: held.ino + 1, ..held };
    follower.scanner.doubt(&lineage, 0, elsewhere);
    assert!(follower.look().is_empty(), "a doubt of another file");
    assert_eq!(follower.scanner.doubt(&lineage, 0, held).as_deref(), path.parent());
    follower.look();
    follower.expect(&(read + &other));
}

/// The log was empty when it was seen first, so that it begins like every file, and it has one inode number all the time. What
/// was given up is not taken up again: readers are past it.
#[test]
fn a_log_that_is_emptied_twice_is_not_its_first_generation_again() {
    let (mut writer, mut follower) = following(0);
    let (path, mut read) = (writer.path.clone(), String::new());
    for generation in 0..3 {
        let text = format!("line of {generation}\n").repeat(30);
        writer.append(&path, &text);
        read += &text;
        follower.wake();
        follower.read();
        follower.expect(&read);
        fs::File::options().write(true).open(&path).expect("open").set_len(0).expect("truncate");
        let (lineage, log) = follower.logs.iter().next().expect("one");
        let held = log.lineage.generations().last().expect("one").identity;
        follower.scanner.doubt(lineage, generation, held);
        follower.look();
    }
    writer.append(&path, "after\n");
    follower.wake();
    follower.read();
    follower.expect(&(read + "after\n"));
}

/// A second copy is made before anybody looked after the first: it is one of the log, which is as new, and is not read twice.
#[test]
fn a_copy_of_a_log_that_was_just_emptied_is_not_read_beside_it() {
    let (mut writer, mut follower) = following(300);
    follower.claims = true;
    writer.lines(10);
    writer.copytruncate(".1");
    writer.lines(200);
    writer.rename(".1", ".2");
    fs::copy(&writer.path, writer.sibling(".1")).expect("copy");
    follower.look();
    follower.look();
    fs::File::options().write(true).open(&writer.path).expect("open").set_len(0).expect("truncate");
    writer.lines(20);
    follower.look();
    follower.look();
    follower.expect(&writer.written);
    assert!(follower.lost.is_empty(), "{:?}", follower.lost);
}

/// The log was empty when it was seen last, was filled, copied, emptied and filled again, and is read on before the copy is
/// seen: that cannot be told, and the order is lost, but what is in the copy comes.
#[test]
fn a_copy_of_what_nobody_saw_is_read_however_late() {
    let mut writer = Writer::new("app.log");
    let path = writer.path.clone();
    writer.append(&path, "");
    let mut follower = Follower::new(std::slice::from_ref(&path));
    follower.claims = true;
    follower.look();
    writer.lines(100);
    let copied = writer.written.clone();
    writer.copytruncate(".1");
    writer.lines(3);
    follower.wake();
    follower.look();
    follower.look();
    let read = follower.all_read();
    assert!(read.contains(&copied), "{} bytes were read", read.len());
    assert_eq!(follower.lost, []);
}

/// A short rotated file that begins as the log does may become a copy of it. If it does not, it is no older than what was
/// there when it appeared.
#[test]
fn what_might_have_become_a_copy_is_read_in_the_end() {
    let (writer, mut follower) = following(20);
    let line = writer.written.split_inclusive('\n').next().expect("a line").to_owned();
    fs::write(writer.sibling(".1"), &line).expect("written");
    follower.look();
    follower.expect(&writer.written);
    let file = fs::File::options().write(true).open(writer.sibling(".1")).expect("open");
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(60)).expect("set");
    follower.look();
    assert_eq!(follower.all_read(), writer.written.clone() + &line);
}

/// The log is written to between the copy and the truncation, and that is read: it is not in the copy, which is not read again.
#[test]
fn what_was_written_between_copy_and_truncation_makes_no_other_file_of_the_copy() {
    let (mut writer, mut follower) = following(300);
    fs::copy(&writer.path, writer.sibling(".1")).expect("copy");
    follower.look();
    writer.lines(3);
    follower.wake();
    follower.look();
    fs::File::options().write(true).open(&writer.path).expect("open").set_len(0).expect("truncate");
    writer.lines(20);
    follower.look();
    follower.look();
    follower.expect(&writer.written);
}

/// What a reader that waits has before it is known, and lost when the file is emptied.
#[test]
fn what_grew_while_nobody_read_is_counted_when_it_is_truncated() {
    let (mut writer, mut follower) = following(100);
    let read = writer.written.len() as u64;
    writer.lines(50);
    let size = writer.written.len() as u64;
    follower.logs.values_mut().next().expect("one").lineage.learn_size();
    fs::File::options().write(true).open(&writer.path).expect("open").set_len(0).expect("truncate");
    follower.look();
    assert_eq!(follower.lost, [(LostReason::Truncated, size - read)]);
}

/// Same head, longer than before: only the claimed tail tells.
#[test]
fn truncated_and_written_again_with_the_same_banner_begins_anew() {
    let mut writer = Writer::new("app.log");
    let (path, banner) = (writer.path.clone(), "a banner of many words\n".repeat(60));
    writer.append(&path, &banner);
    writer.lines(20);
    let mut follower = Follower::new(std::slice::from_ref(&path));
    follower.look();
    fs::File::options().write(true).open(&path).expect("open").set_len(0).expect("truncate");
    writer.append(&path, &banner);
    writer.lines(40);
    follower.look();
    follower.expect(&writer.written);
}

#[test]
fn rotated_files_with_the_same_head_are_told_apart() {
    let mut writer = Writer::new("app.log");
    let (path, banner) = (writer.path.clone(), "a banner of many words\n".repeat(60));
    let mut follower = Follower::new(std::slice::from_ref(&path));
    for _ in 0..5 {
        for number in (1..5).rev().filter(|number| writer.sibling(&format!(".{number}")).exists()) {
            writer.rename(&format!(".{number}"), &format!(".{}", number + 1));
        }
        if path.exists() {
            writer.rename("", ".1");
        }
        writer.append(&path, &banner);
        writer.lines(10);
    }
    follower.look();
    follower.expect(&writer.written);
    writer.gzip(".4");
    writer.gzip(".3");
    follower.look();
    follower.look();
    writer.rename(".2", ".6");
    writer.rename("", ".1a");
    writer.rename(".1a", ".0");
    writer.append(&path, &banner);
    follower.look();
    follower.expect(&writer.written);
    assert!(follower.lost.is_empty(), "{:?}", follower.lost);
}

/// Seen empty, written, rotated and compressed before the next look, while the shard holds the old file open.
#[test]
fn what_is_compressed_before_its_second_look_is_read_once() {
    let mut writer = Writer::new("0.log");
    writer.lines(0);
    let mut follower = Follower::new(std::slice::from_ref(&writer.path));
    follower.look();
    writer.lines(10);
    writer.rename("", ".1");
    writer.gzip(".1");
    writer.lines(10);
    follower.look();
    follower.look();
    follower.expect(&writer.written);
    assert!(follower.lost.is_empty(), "{:?}", follower.lost);
}
