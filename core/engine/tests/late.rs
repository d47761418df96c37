//! A rotated file that is found when the log has its number already: readers go to it, and the log is not forgotten for that.

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

#[test]
fn what_is_written_to_a_log_that_was_left_for_a_file_found_late_comes_once() {
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
        assert_eq!(out.len(), log.written, "something came twice");
    });
}
