//! Outputs that a reload replaces, while some of what they were given is not answered: records stay in order.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Memory, Setup, append, assert_same, cri, eventually, on_both};
use ringtail_engine::{Engine, Mode, Pipeline};

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

/// While a directory cannot be listed, its files stay with the former output, though others have gone over.
#[test]
fn a_file_that_goes_over_later_than_others_keeps_its_order() {
    on_both(|setup| {
        let (old, new) = (Memory::holding(), Memory::new());
        let names = ["there/0.log", "hidden/0.log"];
        for directory in ["there", "hidden"] {
            fs::create_dir(setup.path(directory)).unwrap();
        }
        let [there, hidden] = names.map(|name| setup.path(name));
        let lines = |path: &Path, lines: &[String]| {
            append(path, &lines.iter().map(|line| cri("stdout F", line)).collect::<String>());
        };
        let written: Vec<String> = (0..30).map(|number| format!("hidden {number}")).collect();
        lines(&there, &["there".to_owned()]);
        lines(&hidden, &written[..10]);
        let mut engine = setup.start(Mode::Follow, &names, &[("out", &old)]);
        let mut delivered = Vec::new();
        while delivered.len() < 11 {
            delivered.extend(old.deliver(old.holds()));
            std::thread::sleep(Duration::from_millis(5));
        }
        let (directory, away) = (setup.path("hidden"), setup.path("away"));
        fs::rename(&directory, &away).unwrap();
        std::os::unix::fs::symlink("hidden", &directory).unwrap();
        engine.apply(vec![setup.pipeline("test", &names, &[("out", &new)])]).unwrap();
        // What comes before the reload has reached the file goes to the former output.
        while new.len() == 0 {
            lines(&there, &["there".to_owned()]);
            delivered.extend(old.deliver(old.holds()));
            std::thread::sleep(Duration::from_millis(10));
        }
        lines(&away.join("0.log"), &written[10..20]);
        eventually(|| old.holds() > 0, "the hidden one has not");
        fs::remove_file(&directory).unwrap();
        fs::rename(&away, &directory).unwrap();
        std::thread::sleep(A_WHILE * 3);
        lines(&hidden, &written[20..]);
        std::thread::sleep(A_WHILE);
        let is_hidden = |line: &String| line.starts_with("hidden");
        assert!(!new.messages().iter().any(is_hidden), "delivered while something earlier is not answered");
        let mut all = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        while all.len() < written.len() {
            assert!(Instant::now() < deadline, "only {} lines", all.len());
            std::thread::sleep(Duration::from_millis(5));
            delivered.extend(old.deliver(old.holds()));
            all = delivered.iter().cloned().chain(new.messages()).filter(is_hidden).collect();
        }
        assert_same(&all, &written);
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
    });
}

/// One run of [`generations_that_deliver_or_give_back_as_they_like_keep_the_order`]: the output is replaced again and again
/// while lines are written; each generation delivers, or gives back for good what it has, at any time.
struct Generations<'a> {
    setup: &'a Setup,
    engine: Engine,
    log: Log<'a>,
    outputs: Vec<Arc<Memory>>,
    delivered: Vec<String>,
}

impl Generations<'_> {
    fn step(&mut self, random: &mut fastrand::Rng) {
        match random.u32(..10) {
            0..4 => self.log.write(random.usize(1..20)),
            4..6 => {
                // Or only the limits change.
                if random.u8(..4) > 0 {
                    self.outputs.push(Memory::holding());
                }
                let (running, delay) = (self.outputs.last().expect("one runs"), random.u64(1..60));
                let pipeline = with_delay(self.setup, running, Duration::from_millis(delay));
                self.engine.apply(vec![pipeline]).unwrap();
            }
            6..8 => {
                let delivering = random.choice(&self.outputs).expect("one runs");
                self.delivered.extend(delivering.deliver(delivering.holds().min(1)));
            }
            8 if self.outputs.len() > 1 => {
                let number = random.usize(..self.outputs.len() - 1);
                self.outputs.remove(number).refuse();
            }
            _ => std::thread::sleep(Duration::from_millis(random.u64(..120))),
        }
    }

    /// All that was written, once the former ones have given up, and nothing before something that was written earlier.
    fn finish(mut self, seed: u64) {
        let running = self.outputs.pop().expect("one runs");
        self.outputs.iter().for_each(|former| former.refuse());
        let number = |line: &String| self.log.written.iter().position(|known| known == line).expect("a line");
        let mut next = 0;
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut taken = 0;
        while next < self.log.written.len() {
            for line in &self.delivered[taken..] {
                let number = number(line);
                assert!(number <= next, "seed {seed}: line {number} before line {next}");
                next = next.max(number + 1);
            }
            taken = self.delivered.len();
            assert!(Instant::now() < deadline, "seed {seed}: only {next} of {}", self.log.written.len());
            std::thread::sleep(Duration::from_millis(5));
            self.delivered.extend(running.deliver(running.holds()));
        }
        assert!(self.engine.stop(Duration::from_secs(5)).all_answered, "seed {seed}");
    }
}

#[test]
fn generations_that_deliver_or_give_back_as_they_like_keep_the_order() {
    on_both(|setup| {
        std::thread::scope(|scope| {
            for seed in 0..6 {
                let setup = setup.apart(&format!("seed-{seed}-"));
                scope.spawn(move || {
                    let path = setup.path("0.log");
                    append(&path, "");
                    let first = Memory::holding();
                    let engine = setup.start(Mode::Follow, &["0.log"], &[("out", &first)]);
                    let mut generations = Generations {
                        setup: &setup,
                        engine,
                        log: Log { path: &path, written: Vec::new() },
                        outputs: vec![first],
                        delivered: Vec::new(),
                    };
                    let mut random = fastrand::Rng::with_seed(seed);
                    (0..120).for_each(|_| generations.step(&mut random));
                    generations.finish(seed);
                });
            }
        });
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
        let mut engine = Engine::start(setup.config(Mode::Follow), pipelines(long)).unwrap();
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
