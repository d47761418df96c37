//! Anything that loggers, kubelet, dockerd and logrotate do, in any order, with looks, stops and starts in between: what
//! was written comes out exactly once and in order.

mod follower;

use std::fs;
use std::time::Duration;

use follower::{Follower, Saved, Writer};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Lines(usize),
    /// `.1` to `.2` and so on, the log to `.1`, a new log.
    Shift,
    /// The log to `.YYYYMMDD-HHMMSS`, the lines to the old file before the new one is there, and with or without a look
    /// between the two.
    Stamp(usize, bool),
    /// The oldest plain rotated file is compressed, with or without a look while both are there.
    Gzip(bool),
    /// With or without a look while both are there.
    CopyTruncate(bool),
    /// Removed and made again, after a look (what nobody saw cannot be had).
    Recreate,
    RenameBack,
    Look,
    Wake,
    /// Idle files are closed.
    Close(bool),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1usize..60).prop_map(Step::Lines),
        2 => Just(Step::Shift),
        3 => (0usize..10, any::<bool>()).prop_map(|(lines, look)| Step::Stamp(lines, look)),
        3 => any::<bool>().prop_map(Step::Gzip),
        1 => any::<bool>().prop_map(Step::CopyTruncate),
        1 => Just(Step::Recreate),
        1 => Just(Step::RenameBack),
        4 => Just(Step::Look),
        1 => Just(Step::Wake),
        1 => any::<bool>().prop_map(Step::Close),
        2 => Just(Step::Restart),
    ]
}

/// A log, who follows it, and what was read by those before.
struct Storm {
    writer: Writer,
    follower: Option<Follower>,
    read: String,
    /// Suffixes of the rotated files, oldest first; `true` for numbered ones.
    rotated: Vec<String>,
    stamps: u32,
    /// Whether the names are numbers: the two ways are not mixed, since names alone do not order them.
    numbered: bool,
    /// Truncated since the last look: where the log grows past the position before somebody looks, a read cannot tell.
    truncated: bool,
}

impl Storm {
    fn new(numbered: bool) -> Self {
        let mut writer = Writer::new("0.log");
        writer.lines(1);
        let follower = Some(Follower::new(std::slice::from_ref(&writer.path)));
        let mut storm = Storm {
            writer,
            follower,
            read: String::new(),
            rotated: Vec::new(),
            stamps: 0,
            numbered,
            truncated: false,
        };
        storm.look();
        storm
    }

    fn follower(&mut self) -> &mut Follower {
        self.follower.as_mut().expect("running")
    }

    fn look(&mut self) {
        self.truncated = false;
        self.follower().look();
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Lines(count) => self.writer.lines(count),
            Step::Shift if self.numbered => self.shift(),
            Step::Stamp(lines, look) if !self.numbered => self.stamp(lines, look),
            Step::Gzip(look) => self.gzip(look),
            Step::CopyTruncate(look) => self.copytruncate(look),
            Step::Recreate => {
                self.look();
                self.writer.remove("");
                self.writer.lines(3);
                // Unlinked and unseen is lost; the next stop must not come before a look.
                self.look();
            }
            Step::RenameBack => {
                let aside = if self.numbered { ".0" } else { ".20270101-000000" };
                self.writer.rename("", aside);
                self.look();
                self.writer.rename(aside, "");
            }
            Step::Look => self.look(),
            Step::Wake if self.truncated => self.look(),
            Step::Wake => self.follower().wake(),
            Step::Close(closes) => self.follower().closes = closes,
            Step::Restart => self.restart(),
            Step::Shift | Step::Stamp(..) => {}
        }
    }

    fn shift(&mut self) {
        let gz = |suffix: &str| if suffix.ends_with(".gz") { ".gz" } else { "" };
        let count = self.rotated.len();
        for at in 0..count {
            let next = format!(".{}{}", count + 1 - at, gz(&self.rotated[at]));
            self.writer.rename(&self.rotated[at].clone(), &next);
            self.rotated[at] = next;
        }
        self.writer.rename("", ".1");
        self.rotated.push(".1".to_owned());
        self.writer.lines(1);
    }

    fn stamp(&mut self, lines: usize, look: bool) {
        self.stamps += 1;
        let suffix = format!(".20260102-{:06}", self.stamps);
        self.writer.rename("", &suffix);
        if look {
            self.look();
        }
        let old = self.writer.sibling(&suffix);
        if lines > 0 {
            self.writer.lines_to(&old, lines);
        }
        self.rotated.push(suffix);
        self.writer.lines(1);
    }

    fn gzip(&mut self, look: bool) {
        let Some(at) = self.rotated.iter().position(|suffix| !suffix.ends_with(".gz")) else { return };
        let suffix = self.rotated[at].clone();
        self.writer.gzip_keep(&suffix);
        if look {
            self.look();
        }
        self.writer.remove(&suffix);
        self.rotated[at] = format!("{suffix}.gz");
    }

    /// Only of a log longer than a head: shorter ones are not always told from new files.
    fn copytruncate(&mut self, look: bool) {
        self.writer.lines(40);
        let suffix = match self.numbered {
            true => {
                self.writer.lines(1);
                let count = self.rotated.len();
                for at in 0..count {
                    let gz = if self.rotated[at].ends_with(".gz") { ".gz" } else { "" };
                    let next = format!(".{}{gz}", count + 1 - at);
                    self.writer.rename(&self.rotated[at].clone(), &next);
                    self.rotated[at] = next;
                }
                ".1".to_owned()
            }
            false => {
                self.stamps += 1;
                format!(".20260102-{:06}", self.stamps)
            }
        };
        // What was never seen cannot be recognized in its copy.
        self.look();
        fs::copy(&self.writer.path, self.writer.sibling(&suffix)).expect("copy");
        if look {
            self.look();
        }
        fs::File::options().write(true).open(&self.writer.path).expect("open").set_len(0).expect("truncate");
        self.truncated = true;
        self.rotated.push(suffix);
        self.writer.lines(1);
    }

    fn collect(&mut self) {
        let follower = self.follower.as_ref().expect("running");
        assert!(follower.lost.is_empty(), "{:?}", follower.lost);
        let log = follower.log();
        assert!(log.late.is_empty());
        self.read += std::str::from_utf8(&log.read).expect("lines");
    }

    fn restart(&mut self) {
        self.collect();
        let saved: Vec<Saved> = self.follower.take().expect("running").save();
        self.follower = Some(Follower::with(std::slice::from_ref(&self.writer.path), &saved, 100));
    }

    fn check(mut self) {
        self.look();
        self.look();
        self.follower().pass(Duration::from_secs(5));
        self.collect();
        if self.read != self.writer.written {
            let at = self.read.lines().zip(self.writer.written.lines()).take_while(|(a, b)| a == b).count();
            let read: Vec<_> = self.read.lines().skip(at).take(3).collect();
            panic!(
                "line {at}: read {read:?} of {} lines, {} written",
                self.read.lines().count(),
                self.writer.written.lines().count()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_each_line_is_read_once_and_in_order(
        numbered in any::<bool>(), steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut storm = Storm::new(numbered);
        for step in &steps {
            storm.step(step);
        }
        storm.check();
    }
}
