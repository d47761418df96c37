//! A rotated file that is found when the log has its number already: it is read beside the log, whose positions go on.

mod common;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::{Memory, Setup, append, cri, eventually, on_both};
use ringtail_engine::Mode;

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
