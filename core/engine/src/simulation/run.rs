//! One run: what happens, in which order, and the checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ringtail_io::Clock;
use ringtail_io::sim::{Faults, World};
use ringtail_memory::Use;
use ringtail_parse::{Input, Limits};
use ringtail_read::Start;
use ringtail_record::{Flags, Lost, Outcome, Stream};

use super::backend::{Answered, Backend, Message};
use super::container::{Container, Gone, Numbers, pick};
use super::ledger::Ledger;
use super::live::Live;
use super::process::{Process, Size};
use super::text::{parse, text};
use crate::checkpoint::CheckpointError;
use crate::config::{BatchLimits, Pipeline, PipelineOutput};
use crate::scanning::PIECE;

/// Things that happen in a run.
const EVENTS: usize = 300;

/// The longest time between two steps of everything: an agent's threads do not sleep longer when there is work.
const SLICE: Duration = Duration::from_millis(40);

/// World time in which all must have come once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// By what the wall clock jumps, and by up to twice of that: somebody sets it right, or wrong; a battery is empty. A second
/// is what time servers correct at once.
const JUMPS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(3_600),
    Duration::from_secs(86_400),
    Duration::from_secs(3 * 365 * 86_400),
];

/// A record: its container, its stream, and its number there.
type Record = (usize, Stream, u64);

/// See the module's description.
pub(super) struct Run {
    world: World,
    size: Size,
    batch: BatchLimits,
    live: Arc<Live>,
    backends: Vec<Arc<Backend>>,
    /// Outputs that deliver nothing for now.
    holding: Vec<bool>,
    ledger: Ledger,
    process: Option<Process>,
    is_faulty: bool,
    /// The wall clock jumps now and then.
    is_jumpy: bool,
    answers_in_order: bool,
    /// Deleted files that the process has open.
    held: Vec<(usize, Numbers)>,
    /// Bytes that were in files that have gone.
    gone_bytes: u64,
    /// Answered records may have been answered before.
    repeats: bool,
}

impl Run {
    /// Chooses what the run is about.
    pub(super) fn new(world: &World) -> Self {
        let piece = [PIECE, Duration::ZERO][pick(world, 2)];
        let size = Size { shards: 1 + pick(world, 3), memory: 32 << 20, open_files: 1000, piece };
        let batch = BatchLimits {
            max_bytes: [500, 4_000, 60_000][pick(world, 3)],
            max_records: [3, 50, 8192][pick(world, 3)],
            max_delay: Duration::from_millis([0, 50, 1000][pick(world, 3)]),
        };
        // Out of their order answers still lose nothing, but hold back what was answered behind a gap.
        let in_order = pick(world, 4) > 0;
        let backend = |number| {
            let credit = [30_000, 200_000, 4 << 20][pick(world, 3)];
            Arc::new(Backend::new(format!("output-{number}"), 1 + pick(world, 4), credit, in_order))
        };
        let backends: Vec<_> = (0..1 + pick(world, 2)).map(backend).collect();
        world.note(format_args!("{size:?}, {batch:?}, {backends:?}, answers in order: {in_order}"));
        let faulty = pick(world, 2) == 0;
        if faulty {
            world.set_faults(world.random_faults());
        }
        let is_jumpy = pick(world, 3) == 0;
        let containers =
            (0..1 + pick(world, 3)).map(|number| Container::new(world, number, is_jumpy)).collect();
        let live = Arc::new(Live::new(world, containers));
        Run {
            world: world.clone(),
            size,
            batch,
            live,
            holding: vec![false; backends.len()],
            backends,
            ledger: Ledger::new(in_order, !faulty),
            answers_in_order: in_order,
            held: Vec::new(),
            gone_bytes: 0,
            repeats: false,
            process: None,
            is_faulty: faulty,
            is_jumpy,
        }
    }

    /// Lets everything happen, then waits for all records.
    pub(super) fn play(mut self) {
        self.start();
        for _ in 0..EVENTS {
            self.happen();
        }
        self.calm();
        self.check_all();
        self.stop();
        self.check_bytes();
    }

    fn happen(&mut self) {
        let container = pick(&self.world, self.live.containers().len());
        self.choose(container);
        self.note_gone();
    }

    fn choose(&mut self, container: usize) {
        match pick(&self.world, 100) {
            0..30 => self.live.containers()[container].write(12),
            30..36 => self.live.containers()[container].rotate(),
            36 => match pick(&self.world, 3) {
                0 => self.live.containers()[container].empty(),
                _ => self.live.containers()[container].rename_back(),
            },
            37..40 => self.delete_oldest(container),
            40..60 => self.amid_calls(Run::step_something),
            60..78 => self.answer_something(),
            78..80 => {
                let output = pick(&self.world, self.backends.len());
                self.holding[output] = !self.holding[output];
            }
            80..82 if self.is_jumpy => self.jump(),
            80..96 => {
                let time = Duration::from_millis(pick(&self.world, 60) as u64);
                self.amid_calls(|run| run.pass(time));
            }
            96..98 => self.pass_long(Duration::from_millis(pick(&self.world, 4000) as u64)),
            98 => self.end_hard(),
            _ => match pick(&self.world, 3) {
                0 => self.stop(),
                _ => self.start(),
            },
        }
    }

    /// Does something while containers do not wait for the scanner.
    fn amid_calls(&mut self, what: impl FnOnce(&mut Self)) {
        let events = pick(&self.world, 4);
        self.live.allow(events);
        what(self);
        self.live.allow(0);
    }

    /// The wall clock jumps, forwards or backwards; time passes as ever.
    fn jump(&mut self) {
        let by = JUMPS[pick(&self.world, JUMPS.len())].as_nanos();
        let by = i64::try_from(by).expect("some years");
        let by = by + i64::try_from(self.world.random(by.unsigned_abs())).expect("below it");
        self.world.jump_wall(if pick(&self.world, 2) == 0 { by } else { -by });
    }

    fn start(&mut self) {
        if self.process.is_none() {
            match Process::start(&self.world, self.live.clone(), self.size, self.pipelines()) {
                Ok(process) => self.process = Some(process),
                // Its storage fails now: somebody starts it again.
                Err(CheckpointError::Unusable(_)) if self.is_faulty => {}
                Err(error) => panic!("the checkpoint: {error}"),
            }
        }
    }

    /// kill -9, or a power cut; the world goes on without us for a while.
    fn end_hard(&mut self) {
        let now = self.now();
        if self.process.is_none() {
            return;
        }
        match pick(&self.world, 2) {
            0 => self.world.kill(),
            _ => self.world.crash(),
        }
        self.ledger.end(false, now);
        self.let_go();
        self.repeats = true;
        self.drop_process();
        if pick(&self.world, 2) == 0 {
            self.start();
        }
    }

    /// A clean stop: what was read is delivered and answered, all is kept.
    fn stop(&mut self) {
        if self.is_faulty {
            // Files that cannot be read hold a stop up to its deadline; then it is no clean one.
            return self.end_hard();
        }
        let Some(process) = &mut self.process else { return };
        process.drain();
        self.holding.fill(false);
        self.pass_until(|run| run.process.as_ref().is_some_and(Process::is_idle), "the stop");
        let kept = self.process.as_mut().is_some_and(Process::stop);
        assert!(kept, "the last rows were not written");
        let now = self.now();
        self.ledger.end(true, now);
        self.let_go();
        self.world.kill();
        self.drop_process();
    }

    fn drop_process(&mut self) {
        let Some(process) = self.process.take() else { return };
        self.backends.iter().for_each(|backend| backend.forget());
        let (budget, stats) = (process.budget.clone(), process.stats.clone());
        drop(process);
        let lost: u64 = stats.lost.iter().map(|count| count.get()).sum();
        assert!(lost <= self.gone_bytes, "{lost} bytes counted as lost, {} have gone", self.gone_bytes);
        let held = Use::ALL.map(|usage| (usage.label(), budget.used(usage)));
        assert!(held.iter().all(|(_, bytes)| *bytes == 0), "{held:?} held by nobody");
        assert!(
            self.backends.iter().all(|backend| backend.used() == 0),
            "credit held by nobody: {:?}",
            self.backends
        );
    }

    /// What has gone since this was asked last. A deleted file that the process has open is to be read all the same.
    fn note_gone(&mut self) {
        let gone: Vec<Vec<Gone>> = self.live.containers().iter_mut().map(Container::take_gone).collect();
        for (container, gone) in gone.into_iter().enumerate() {
            for gone in gone {
                let file = gone.file.and_then(|file| file.stat().ok());
                let holds = |process: &Process| file.is_some_and(|file| process.holds(file.ino));
                self.gone_bytes += gone.bytes;
                match self.process.as_ref().is_some_and(holds) {
                    true => self.held.push((container, gone.records)),
                    false => self.ledger.lose(container, gone.records),
                }
            }
        }
    }

    /// What the process held open has gone with it.
    fn let_go(&mut self) {
        for (container, records) in std::mem::take(&mut self.held) {
            self.ledger.lose(container, records);
        }
    }

    fn step_something(&mut self) {
        let Some(process) = &mut self.process else { return };
        match pick(&self.world, process.shards() + 1) {
            0 => process.step_scanner(),
            shard => process.step_shard(shard - 1),
        }
    }

    fn answer_something(&mut self) {
        let output = pick(&self.world, self.backends.len());
        match pick(&self.world, 40) {
            // An output that ends does so also while its backend takes nothing.
            0 => self.give_back(output),
            _ if self.holding[output] => {}
            1 => self.answer(output, Outcome::Lost(Lost::Refused)),
            2..20 => self.deliver(output),
            _ => self.answer(output, Outcome::Delivered),
        }
    }

    fn deliver(&mut self, output: usize) {
        use ringtail_record::Outlet;
        let backend = self.backends[output].clone();
        let lane = pick(&self.world, backend.lanes() as usize);
        let messages = backend.deliver(lane).unwrap_or_default();
        for (container, stream, number) in self.recognise(&messages) {
            self.world.note(format_args!("{} gets {container}/{}/{number}", backend.name, stream.name()));
            let outcome = self.ledger.deliver((output, container, stream), number);
            outcome.unwrap_or_else(|wrong| panic!("{wrong}"));
        }
    }

    fn answer(&mut self, output: usize, outcome: Outcome) {
        let backend = self.backends[output].clone();
        let count = backend.unanswered();
        if count == 0 {
            return;
        }
        let now = self.now();
        let Answered { number: delivery, messages } = backend.answer(pick(&self.world, count), outcome);
        for (container, stream, number) in self.recognise(&messages) {
            let what = if outcome == Outcome::Delivered { "answers" } else { "refuses" };
            self.world.note(format_args!("{} {what} {container}/{}/{number}", backend.name, stream.name()));
            self.ledger.answer((output, container, stream), number, delivery, now);
        }
    }

    /// A lane gives back what it has not answered, or the later part of that.
    fn give_back(&mut self, output: usize) {
        use ringtail_record::Outlet;
        let backend = self.backends[output].clone();
        let lane = pick(&self.world, backend.lanes() as usize);
        let keep = pick(&self.world, 4).saturating_sub(2);
        let given = backend.give_back(lane, keep, |count| pick(&self.world, count));
        let mut first = BTreeMap::new();
        let (returned, kept) = (self.recognise(&given.messages), self.recognise(&given.kept));
        for (container, stream, number) in returned.iter().copied() {
            self.world.note(format_args!("{} returns {container}/{}/{number}", backend.name, stream.name()));
            let first = first.entry((output, container, stream)).or_insert(number);
            *first = number.min(*first);
        }
        if first.is_empty() {
            return;
        }
        // What is not answered yet, or was behind a gap, is read again as well, and answered twice.
        self.repeats |= !given.kept.is_empty() || !self.answers_in_order;
        let containers = returned.iter().chain(&kept).map(|record| record.0);
        for container in containers.collect::<BTreeSet<usize>>() {
            for stream in self.live.containers()[container].streams() {
                self.ledger.may_go_back((output, container, *stream), given.last);
            }
        }
        for (account, number) in first {
            self.ledger.give_back(account, number, given.last);
        }
    }

    /// Which records these are; nothing else may come. A line whose rest has gone with its file comes as half of one, marked,
    /// and is none.
    fn recognise(&self, messages: &[Message]) -> Vec<Record> {
        let recognise = |message: &Message| {
            let whole = parse(&message.body).filter(|(container, stream, number)| {
                let is_whole = message.flags == Flags::NONE && *stream == message.stream;
                is_whole && message.body == text(*container, *stream, *number)
            });
            let is_torn =
                message.flags == Flags::PARTIAL && self.ledger.has_torn(message.stream, &message.body);
            assert!(whole.is_some() || is_torn, "nobody wrote this: {message:?}");
            whole
        };
        messages.iter().filter_map(recognise).collect()
    }

    fn delete_oldest(&mut self, container: usize) {
        let now = self.now();
        let Run { live, ledger, backends, .. } = self;
        let mut containers = live.containers();
        let number = containers[container].number;
        let streams = containers[container].streams();
        containers[container].delete_oldest(|end| {
            (0..backends.len()).all(|output| {
                streams
                    .iter()
                    .all(|stream| ledger.kept((output, number, *stream), now) >= end[stream.index()])
            })
        });
    }

    /// Lets time pass, with everything that has threads of its own going on.
    fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        while self.now() < end {
            self.world.advance(SLICE.min(end - self.now()));
            self.turn();
        }
    }

    /// Nobody who copies a log waits long before he empties it.
    fn pass_long(&mut self, time: Duration) {
        self.live.containers().iter_mut().for_each(Container::truncate);
        self.note_gone();
        self.pass(time);
    }

    /// Each part of the process has a turn, in a random order.
    fn turn(&mut self) {
        let Some(process) = &mut self.process else { return };
        let parts = process.shards() + 2;
        let first = pick(&self.world, parts);
        for part in 0..parts {
            match (first + part) % parts {
                0 => process.step_scanner(),
                1 => process.step_checkpoint(),
                shard => process.step_shard(shard - 2),
            }
        }
    }

    /// Lets time pass, with everything working, until `done`.
    fn pass_until(&mut self, done: impl Fn(&Run) -> bool, what: &str) {
        self.live.containers().iter_mut().for_each(Container::truncate);
        self.note_gone();
        let end = self.now() + PATIENCE;
        while !done(self) {
            if self.now() >= end {
                let standing = self.process.as_ref().map(Process::standing).unwrap_or_default();
                panic!("waited in vain: {what}; {}\n{standing}", self.missing());
            }
            self.pass(SLICE);
            for output in 0..self.backends.len() {
                for _ in 0..8 {
                    self.deliver(output);
                    self.answer(output, Outcome::Delivered);
                }
            }
        }
    }

    /// From now on nothing goes wrong, and nothing is written.
    fn calm(&mut self) {
        self.is_faulty = false;
        self.world.set_faults(Faults::none());
        self.world.heal();
        self.holding.fill(false);
        self.pass_long(Duration::from_secs(10));
        self.live.containers().iter_mut().for_each(Container::finish);
        self.note_gone();
        self.start();
    }

    /// Everything that was written comes to every output.
    fn check_all(&mut self) {
        self.pass_until(|run| run.missing().is_empty(), "all records");
    }

    /// Every byte that was written was answered as delivered or as lost, once, by every output.
    fn check_bytes(&self) {
        if self.repeats || self.gone_bytes > 0 {
            return;
        }
        let written: u64 = self.live.containers().iter().map(|container| container.bytes).sum();
        for backend in &self.backends {
            let (delivered, refused) = backend.input_bytes();
            let what =
                format_args!("{}: {delivered} bytes delivered, {refused} refused", backend.name).to_string();
            assert_eq!(delivered + refused, written, "{what}");
        }
    }

    /// What has not come yet, in words.
    fn missing(&self) -> String {
        let mut missing = Vec::new();
        for (output, backend) in self.backends.iter().enumerate() {
            for container in self.live.containers().iter() {
                for stream in container.streams() {
                    let delivered = self.ledger.delivered((output, container.number, *stream));
                    let written = container.written[stream.index()];
                    if delivered < written {
                        let (name, number) = (&backend.name, container.number);
                        missing.push(format!(
                            "{name} has {delivered} of {written} of container {number}, {stream:?}"
                        ));
                    }
                }
            }
        }
        missing.join("; ")
    }

    fn now(&self) -> Duration {
        self.world.clock().now()
    }

    fn pipelines(&self) -> Vec<Pipeline> {
        let output = |backend: &Arc<Backend>| PipelineOutput {
            name: backend.name.clone(),
            outlet: backend.clone(),
            batch: self.batch,
        };
        vec![Pipeline {
            name: "logs".to_owned(),
            paths: Container::paths(),
            exclude: Vec::new(),
            ignore_older: None,
            input: Input::Auto,
            limits: Limits { max_line: 1 << 20, max_record: 1 << 20 },
            flush_after: Duration::from_secs(3600),
            start: Start::Beginning,
            outputs: self.backends.iter().map(output).collect(),
        }]
    }
}
