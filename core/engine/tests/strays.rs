//! A rotated file that is found when the log has its number already: it is read beside the log, whose positions go on.

mod common;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::{Memory, Setup, append, cri, eventually, on_both};
use flate2::Compression;
use flate2::write::GzEncoder;
use ringtail_engine::{Engine, Mode};

const LOG: &str = "app.log";

struct Log<'a> {
    setup: &'a Setup,
    written: usize,
}

impl Log<'_> {
    fn path(&self, suffix: &str) -> PathBuf {
        self.setup.path(&format!("{LOG}{suffix}"))
    }

    fn write(&mut self, suffix: &str, lines: usize) {
        let numbers = self.written..self.written + lines;
        self.written = numbers.end;
        let text: String = numbers.map(|number| cri("stdout F", &format!("line {number}"))).collect();
        append(&self.path(suffix), &text);
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

/// Until what was answered is written.
const WRITTEN: Duration = Duration::from_millis(1500);

/// A log and a rotated file of ten lines each, read.
fn started(log: &mut Log<'_>, out: &Arc<Memory>) -> Engine {
    log.write(".1", 10);
    log.write("", 10);
    let engine = log.setup.start(Mode::Follow, &[LOG], &[("out", out)]);
    eventually(|| out.len() == 20, "what is there");
    engine
}

/// The same with a third file as `.1`, which is found when the others are known.
fn with_stray(log: &mut Log<'_>, out: &Arc<Memory>) -> Engine {
    let engine = started(log, out);
    log.rename(".1", ".2");
    log.write(".1", 10);
    eventually(|| out.len() == 30, "the file that is found late");
    engine
}

/// Each comes once, and what was written to one file in its order.
#[test]
fn a_file_found_behind_its_successor_comes_and_its_log_goes_on() {
    on_both(|setup| {
        let mut log = Log { setup: &setup, written: 0 };
        log.write(".1", 10);
        log.write("", 10);
        let out = Memory::new();
        let all = |log: &Log<'_>, what| eventually(|| out.distinct() == log.written, what);
        let start = || setup.start(Mode::Follow, &[LOG], &[("out", &out)]);
        let engine = start();
        all(&log, "what is there");
        log.rename(".1", ".2");
        log.write(".1", 10);
        all(&log, "the file that is found late");
        log.write("", 5);
        all(&log, "what is written to the log then");
        log.write(".1", 5);
        all(&log, "what is written to the file then");
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
        log.write("", 5);
        let engine = start();
        all(&log, "what was written while it was stopped");
        log.write("", 5);
        all(&log, "what is written after the restart");
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
        log.rename(".2", ".3");
        log.rename(".1", ".2");
        log.write("", 5);
        log.rename("", ".1");
        log.write("", 5);
        let engine = start();
        all(&log, "both files after a rotation while it was stopped");
        log.write("", 5);
        all(&log, "the log after that");
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
        let expected: Vec<String> = (0..log.written).map(|number| format!("line {number}")).collect();
        assert_eq!(out.messages(), expected);
    });
}

/// Nothing of either was answered when the agent is killed.
#[test]
fn a_kill_loses_nothing_of_the_log_or_of_what_is_read_beside_it() {
    on_both(|setup| {
        let mut log = Log { setup: &setup, written: 0 };
        log.write(".1", 10);
        log.write("", 10);
        let before = Memory::new();
        let engine = setup.start(Mode::Follow, &[LOG], &[("out", &before)]);
        eventually(|| before.len() == 20, "what is there");
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
        let silent = Memory::holding();
        let engine = setup.start(Mode::Follow, &[LOG], &[("out", &silent)]);
        log.rename(".1", ".2");
        log.write(".1", 10);
        eventually(|| silent.holds() == 1, "the file that is found late");
        log.write("", 5);
        eventually(|| silent.holds() == 2, "what is written to the log then");
        drop(engine);
        log.write("", 5);
        let after = Memory::new();
        let engine = setup.start(Mode::Follow, &[LOG], &[("out", &after)]);
        eventually(|| after.distinct() == 20, "all of it again");
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
        let mut messages = after.messages();
        messages.sort();
        let expected: Vec<String> = (20..log.written).map(|number| format!("line {number}")).collect();
        assert_eq!(messages, expected);
    });
}

/// When its file is deleted, nothing of it stays: a stop and a start count nothing as lost.
#[test]
fn with_its_file_goes_what_is_known_of_it() {
    on_both(|setup| {
        let mut log = Log { setup: &setup, written: 0 };
        log.write(".1", 10);
        log.write("", 10);
        let out = Memory::new();
        let engine = setup.start(Mode::Follow, &[LOG], &[("out", &out)]);
        eventually(|| out.len() == 20, "what is there");
        log.rename(".1", ".2");
        log.write(".1", 10);
        eventually(|| out.len() == 30, "the file that is found late");
        fs::remove_file(log.path(".1")).unwrap();
        eventually(|| engine.stats().open_files == 2, "it is closed");
        log.write("", 5);
        eventually(|| out.len() == 35, "what is written to the log then");
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
        let engine = setup.start(Mode::Follow, &[LOG], &[("out", &out)]);
        log.write("", 5);
        eventually(|| out.len() == 40, "what is written after the restart");
        let stats = engine.stop(Duration::from_secs(5)).stats;
        assert!(stats.lost_bytes.iter().all(|(_, bytes)| *bytes == 0), "{:?}", stats.lost_bytes);
    });
}

/// It is found while the log has a rotated name, to which the writer goes on writing, or which is taken back.
#[test]
fn found_amid_a_rotation_it_does_not_end_the_log() {
    on_both(|setup| {
        for name in ["", ".1"] {
            let setup = setup.apart("amid");
            let (mut log, out) = (Log { setup: &setup, written: 0 }, Memory::new());
            let engine = started(&mut log, &out);
            log.rename(".1", ".3");
            log.rename("", ".1");
            log.write(".2", 10);
            eventually(|| out.len() == 30, "the file that is found late");
            std::thread::sleep(WRITTEN);
            if name.is_empty() {
                log.rename(".1", "");
            }
            log.write(name, 5);
            eventually(|| out.distinct() == 35, "what is written to the log then");
            assert!(engine.stop(Duration::from_secs(5)).all_answered);
        }
    });
}

/// It is damaged, so that nothing is known of its file; while the agent is stopped it goes, and the log is rotated.
#[test]
fn a_damaged_one_leaves_its_place_to_no_other() {
    on_both(|setup| {
        let (mut log, out) = (Log { setup: &setup, written: 0 }, Memory::new());
        let engine = started(&mut log, &out);
        log.rename(".1", ".2");
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        for number in 0..3_000_u64 {
            let message = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_string();
            gz.write_all(cri("stdout F", &message).as_bytes()).unwrap();
        }
        let mut bytes = gz.finish().unwrap();
        let damaged = bytes.len() * 3 / 4;
        bytes[damaged..damaged + 2_000].fill(0xff);
        fs::write(setup.path("unseen"), &bytes).unwrap();
        fs::rename(setup.path("unseen"), log.path(".1.gz")).unwrap();
        eventually(|| out.len() > 100, "what comes before the damage");
        std::thread::sleep(WRITTEN);
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
        fs::remove_file(log.path(".1.gz")).unwrap();
        log.rename("", ".1");
        log.write("", 15);
        let after = Memory::new();
        let engine = setup.start(Mode::Follow, &[LOG], &[("out", &after)]);
        eventually(|| after.distinct() == 15, "the new log");
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
    });
}

/// Neither after a change of the pipeline while it runs, nor after one while it is stopped.
#[test]
fn it_is_not_read_for_a_pipeline_that_no_longer_wants_its_log() {
    on_both(|setup| {
        for stops in [false, true] {
            let setup = setup.apart("unwanted");
            let (mut log, out) = (Log { setup: &setup, written: 0 }, Memory::new());
            let mut engine = with_stray(&mut log, &out);
            append(&setup.path("other.log"), &cri("stdout F", "other"));
            if stops {
                assert!(engine.stop(Duration::from_secs(5)).all_answered);
                log.write(".1", 5);
                engine = setup.start(Mode::Follow, &["other.log"], &[("out", &out)]);
            } else {
                engine.apply(vec![setup.pipeline("test", &["other.log"], &[("out", &out)])]).unwrap();
            }
            eventually(|| out.len() == 31, "the other log");
            log.write("", 5);
            log.write(".1", 5);
            append(&setup.path("other.log"), &cri("stdout F", "again"));
            eventually(|| out.messages().iter().any(|message| message == "again"), "the other log");
            std::thread::sleep(WRITTEN);
            assert_eq!(out.len(), 32, "{:?}", out.messages());
            assert!(engine.stop(Duration::from_secs(5)).all_answered);
        }
    });
}

/// All of it was read: nothing is lost.
#[test]
fn written_anew_in_its_place_it_is_read_anew() {
    on_both(|setup| {
        let (mut log, out) = (Log { setup: &setup, written: 0 }, Memory::new());
        let engine = with_stray(&mut log, &out);
        std::thread::sleep(WRITTEN);
        let text: String = (100..140).map(|number| cri("stdout F", &format!("line {number}"))).collect();
        fs::write(log.path(".1"), text).unwrap();
        eventually(|| out.len() == 70, "what is written to it then");
        std::thread::sleep(2 * WRITTEN);
        let stats = engine.stop(Duration::from_secs(5)).stats;
        assert_eq!((out.len(), out.distinct(), stats.unreadable), (70, 70, 0));
        assert!(stats.lost_bytes.iter().all(|(_, bytes)| *bytes == 0), "{:?}", stats.lost_bytes);
    });
}

/// Readers have not come to it yet: it is not read before what is older than the log that was there when it was found.
#[test]
fn what_lies_before_it_comes_first() {
    on_both(|setup| {
        let mut log = Log { setup: &setup, written: 0 };
        let bulk: String =
            (0..100_000).map(|i| cri("stderr F", &format!("{i} {}", "x".repeat(100)))).collect();
        append(&log.path(".1"), &bulk);
        append(&log.path(""), &cri("stderr F", "the log"));
        let out = Memory::holding();
        let engine = setup.start(Mode::Follow, &[LOG], &[("out", &out)]);
        eventually(|| out.holds() > 0, "an output that takes no more");
        log.rename(".1", ".2");
        log.write(".1", 10);
        eventually(|| engine.stats().open_files == 3, "the file that is found late");
        std::thread::sleep(WRITTEN);
        out.release();
        eventually(|| out.distinct() == 100_011, "all of it");
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
        let messages = out.messages();
        let last = messages.iter().rposition(|message| message.ends_with('x')).unwrap();
        let first = messages.iter().position(|message| message.starts_with("line")).unwrap();
        assert!(last < first, "{first} before {last}");
        assert_eq!(messages.len(), 100_011, "something came twice");
    });
}
