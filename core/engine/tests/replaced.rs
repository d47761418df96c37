//! Outputs that a reload replaces, while some of what they were given is not answered: records stay in order.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Memory, Setup, append, assert_same, cri, eventually, on_both};
use ringtail_engine::{Mode, Pipeline};

/// More than it takes until a reload has come to a file's shard, and what is appended then is read and sealed.
const A_WHILE: Duration = Duration::from_millis(1200);

/// A log that knows what was written to it.
struct Log<'a> {
    path: &'a Path,
    written: Vec<String>,
}

impl Log<'_> {
    fn write(&mut self, lines: usize) {
        let from = self.written.len();
        self.written.extend((from..from + lines).map(|number| format!("line {number}")));
        let text: String = self.written[from..].iter().map(|line| cri("stdout F", line)).collect();
        append(self.path, &text);
    }

    /// So that some of it is read before a reload reaches the file's shard, and some after.
    fn write_for_a_while(&mut self) {
        let until = Instant::now() + A_WHILE;
        while Instant::now() < until {
            self.write(5);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn to(setup: &Setup, output: &Arc<Memory>) -> Pipeline {
    setup.pipeline("test", &["0.log"], &[("out", output)])
}

fn with_delay(setup: &Setup, output: &Arc<Memory>, max_delay: Duration) -> Pipeline {
    let mut pipeline = to(setup, output);
    pipeline.outputs[0].batch.max_delay = max_delay;
    pipeline
}

/// Neither what was handed over to the new output nor what the old one gives back late may change the order.
#[test]
fn what_the_former_output_gives_back_comes_before_what_was_read_later() {
    on_both(|setup| {
        let (old, new, path) = (Memory::holding(), Memory::new(), setup.path("0.log"));
        let mut log = Log { path: &path, written: Vec::new() };
        log.write(100);
        let mut engine = setup.start(Mode::Follow, &["0.log"], &[("out", &old)]);
        eventually(|| old.holds() > 0, "a batch that is not answered");
        engine.apply(vec![to(&setup, &new)]).unwrap();
        log.write_for_a_while();
        assert_eq!(new.len(), 0, "delivered before what was read earlier");
        old.refuse();
        eventually(|| new.len() >= log.written.len(), "all lines");
        log.write(100);
        eventually(|| new.len() >= log.written.len(), "all lines");
        assert_same(&new.messages(), &log.written);
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
    });
}

/// The output is away for a while, and its former self gives back in two portions when it is there again.
#[test]
fn an_output_that_comes_back_while_its_former_self_gives_back_keeps_the_order() {
    on_both(|setup| {
        let (old, new, path) = (Memory::holding(), Memory::new(), setup.path("0.log"));
        let other = Memory::new();
        let mut log = Log { path: &path, written: Vec::new() };
        log.write(100);
        let mut engine = setup.start(Mode::Follow, &["0.log"], &[("out", &old), ("other", &other)]);
        eventually(|| old.holds() == 1, "a batch that is not answered");
        log.write(100);
        eventually(|| old.holds() == 2, "another batch that is not answered");
        engine.apply(vec![setup.pipeline("test", &["0.log"], &[("other", &other)])]).unwrap();
        log.write(100);
        eventually(|| other.len() >= log.written.len(), "all lines elsewhere");
        engine.apply(vec![setup.pipeline("test", &["0.log"], &[("out", &new), ("other", &other)])]).unwrap();
        log.write_for_a_while();
        old.give_back(1);
        log.write_for_a_while();
        assert_eq!(new.len(), 0, "delivered while something earlier is not answered");
        old.refuse();
        eventually(|| new.distinct() >= log.written.len(), "all lines");
        assert_same(&new.messages(), &log.written);
        assert_same(&other.messages(), &log.written);
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
    });
}

#[test]
fn what_the_former_output_delivers_late_is_followed_by_the_rest_and_not_repeated() {
    on_both(|setup| {
        let (old, new, path) = (Memory::holding(), Memory::new(), setup.path("0.log"));
        let mut log = Log { path: &path, written: Vec::new() };
        log.write(100);
        let mut engine = setup.start(Mode::Follow, &["0.log"], &[("out", &old)]);
        eventually(|| old.holds() > 0, "a batch that is not answered");
        engine.apply(vec![to(&setup, &new)]).unwrap();
        log.write_for_a_while();
        assert_eq!(new.len(), 0, "delivered before what was read earlier");
        old.release();
        eventually(|| old.len() + new.len() >= log.written.len(), "all lines");
        assert_same(&[old.messages(), new.messages()].concat(), &log.written);
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
    });
}

/// Shorter delays must not make later records overtake those that wait for the longer one; and when the setting is taken
/// back at once, each generation of it still has its place.
#[test]
fn other_batch_limits_and_the_former_ones_again_keep_the_order_and_the_positions() {
    on_both(|setup| {
        let (output, path) = (Memory::new(), setup.path("0.log"));
        let mut log = Log { path: &path, written: Vec::new() };
        let (long, short) = (Duration::from_secs(60), Duration::from_millis(1));
        let pipelines = |delay| vec![with_delay(&setup, &output, delay)];
        let mut engine = ringtail_engine::Engine::start(setup.config(Mode::Follow), pipelines(long)).unwrap();
        for delay in [short, long, short] {
            let records = || engine.stats().pipelines[0].records;
            log.write(10);
            eventually(|| records() >= log.written.len() as u64, "all lines are read");
            engine.apply(pipelines(delay)).unwrap();
            log.write(10);
            eventually(
                || engine.stats().pipelines[0].records >= log.written.len() as u64,
                "all lines are read",
            );
        }
        eventually(|| output.len() >= log.written.len(), "all lines");
        assert_same(&output.messages(), &log.written);
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
        let again = Memory::new();
        log.write(1);
        let engine = setup.start(Mode::Follow, &["0.log"], &[("out", &again)]);
        eventually(|| again.len() > 0, "the new line");
        assert_same(&again.messages(), &log.written[60..]);
        drop(engine);
    });
}
