//! The engine: wires shards, scanner and checkpointer, and owns their threads.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use ringtail_io::{Backend, Clock, Fs, Io, RealClock, RealFs, RealWatch, Waker, Watch};
use ringtail_memory::{Budget, CarryPool, SlabPool, Use};
use ringtail_read::{Claim, FileSpec, OpenFiles, PatternError, Scanner};

use crate::activity::Activity;
use crate::alarm::Alarm;
use crate::checkpoint::{self, Changes, CheckpointError, Restored};
use crate::checkpointer::{CheckpointWriter, Checkpointer};
use crate::config::{EngineConfig, Pipeline};
use crate::health::{
    CHECKPOINTER_HANGS_AFTER, Health, SCANNER_HANGS_AFTER, SHARD_HANGS_AFTER, Unhealthy, Vital,
};
use crate::maps::{HashMap, HashSet};
use crate::renamed::{KeptNames, Missing};
use crate::row::{Row, known_files};
use crate::scanning::{Order, PIECE, Scanning, ShardLink, shard_number};
use crate::shard::{Message, RowsByLineage, Running, Shard, ShardParts};
use crate::stats::{EngineStats, LostReason, Stats};

/// How long the last commit of a stop may take beyond the deadline.
const LAST_COMMIT: Duration = Duration::from_secs(5);

/// How long a stop waits for the scanner's thread, when all else has ended.
const SCAN_GRACE: Duration = Duration::from_secs(1);

/// Why an engine does not start.
#[derive(Debug)]
pub enum StartError {
    /// The checkpoint cannot be used.
    Checkpoint(PathBuf, CheckpointError),
    /// The I/O backend that was asked for cannot be had.
    Io(String),
    /// A path or glob of a pipeline is wrong.
    Pattern(PatternError),
    /// A thread cannot be started.
    Thread(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Checkpoint(path, error @ CheckpointError::Unknown(_)) => {
                write!(f, "cannot use the checkpoint {}: {error}", path.display())
            }
            StartError::Checkpoint(path, error) => write!(
                f,
                "cannot use the checkpoint {}: {error}; make the directory writable for this user, or set data_dir \
                 to one that is",
                path.display()
            ),
            StartError::Io(why) => write!(f, "{why}"),
            StartError::Pattern(error) => write!(f, "{error}"),
            StartError::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// How a stop went.
#[derive(Clone, Debug)]
pub struct StopReport {
    /// Every record that was read was answered before the deadline.
    pub all_answered: bool,
    /// All positions are on disk (also true where none are kept).
    pub positions_kept: bool,
    /// The last figures.
    pub stats: EngineStats,
}

/// One running collection.
pub struct Engine {
    config: EngineConfig,
    budget: Budget,
    open_files: OpenFiles,
    stats: Arc<Stats>,
    activity: Arc<Activity>,
    alarm: Alarm,
    backend: Backend,
    links: Vec<ShardLink>,
    shards: Vec<JoinHandle<()>>,
    scanner: Option<(Sender<Order>, Waker, JoinHandle<()>)>,
    checkpointer: Option<Checkpointer>,
    known_pipelines: HashSet<Arc<str>>,
    kept_names: KeptNames,
    running: HashMap<u32, Arc<Running>>,
    last_spec: u32,
    health: Health,
}

/// A shard's ends of its channels, until its thread has them.
type Ends = (Receiver<Message>, Sender<crate::shard::Answer>, Receiver<crate::shard::Answer>);

impl Engine {
    /// Starts collecting: opens the checkpoint, starts the threads, begins the first scan.
    ///
    /// # Errors
    /// When the checkpoint or the backend cannot be used, or a pattern is wrong. A damaged checkpoint is set aside
    /// and is no error.
    pub fn start(config: EngineConfig, pipelines: Vec<Pipeline>) -> Result<Engine, StartError> {
        check_patterns(&pipelines)?;
        let (checkpointer, restored) = open_checkpoint(&config, &pipelines)?;
        let budget = Budget::new(config.memory);
        let stats = Arc::new(Stats::default());
        stats.checkpoint_resets.add(restored.was_reset.into());
        let shards = config.shards.max(1);
        let mut engine = Engine {
            open_files: OpenFiles::new(config.open_files),
            activity: Arc::new(Activity::new(shards)),
            alarm: Alarm::default(),
            backend: Backend { name: "", reason: String::new() },
            links: Vec::new(),
            shards: Vec::new(),
            scanner: None,
            checkpointer,
            known_pipelines: restored.pipelines.clone(),
            kept_names: KeptNames::of(restored.rows.keys()),
            running: HashMap::default(),
            last_spec: 0,
            health: Health::default(),
            budget,
            stats,
            config,
        };
        let (wishes, wished) = unbounded();
        let watch: Box<dyn Watch> = Box::new(RealWatch::new().map_err(StartError::Thread)?);
        engine.start_shards(shards, &restored, &wishes, &watch.waker())?;
        engine.start_scanner(&restored, wished, watch)?;
        engine.apply(pipelines)?;
        Ok(engine)
    }

    /// Runs these pipelines from now on. A pipeline that is equal to one that runs goes on undisturbed; a changed one
    /// goes on where it stands with its new settings; one that is gone waits for its last answers. A name that has
    /// positions and is not there is told in the log, since it may have been renamed. Engine settings stay as they are.
    ///
    /// # Errors
    /// When a pattern is wrong: then nothing changes.
    pub fn apply(&mut self, pipelines: Vec<Pipeline>) -> Result<(), StartError> {
        check_patterns(&pipelines)?;
        if self.config.data_dir.is_some() {
            self.kept_names.configure(&pipelines).iter().for_each(Missing::tell);
        }
        let mut running = HashMap::default();
        for config in pipelines {
            let same = self.running.iter().find(|(_, known)| is_same(&known.config, &config));
            let (id, pipeline) = match same {
                Some((id, known)) => (*id, known.clone()),
                None => {
                    self.last_spec += 1;
                    (self.last_spec, Arc::new(self.pipeline(config)))
                }
            };
            running.insert(id, pipeline);
        }
        self.running = running;
        let epoch = self.activity.begin();
        for link in &self.links {
            link.tell(Message::Pipelines(self.running.clone(), epoch));
        }
        if let Some((orders, waker, _)) = &self.scanner {
            let specs = self.running.iter().map(|(id, pipeline)| spec(*id, &pipeline.config)).collect();
            // The thread ends after this engine; an error means that it panicked, which was told.
            if orders.send(Order::Specs(specs, epoch)).is_ok() {
                waker.wake();
            }
        }
        Ok(())
    }

    /// Calls `tell` with the name of a thread of this engine that ends by a panic, a defect: from then on the collection is not
    /// whole, and is to be stopped. At most once, from that thread, or at once if it has happened.
    pub fn on_panic(&self, tell: impl Fn(&str) + Send + 'static) {
        self.alarm.listen(tell);
    }

    /// Which backend reads, and why.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// What was counted so far.
    pub fn stats(&self) -> EngineStats {
        EngineStats {
            pipelines: self.stats.pipelines(),
            lag: self.stats.lag(),
            lost_bytes: LostReason::ALL
                .map(|why| (why.label(), self.stats.lost[why as usize].get()))
                .to_vec(),
            memory_bytes: Use::ALL.map(|usage| (usage.label(), self.budget.used(usage) as u64)).to_vec(),
            open_files: self.open_files.open() as u64,
            checkpoint_resets: self.stats.checkpoint_resets.get(),
            unreadable: self.stats.unreadable.get(),
        }
    }

    /// Whether the threads that collect are alive. A thread that hangs is seen when this is asked again and again.
    ///
    /// # Errors
    /// The thread that ended by itself, or has made no turn for longer than it may take.
    pub fn health(&self) -> Result<(), Unhealthy> {
        let shard = |(number, thread): (usize, &JoinHandle<()>)| Vital {
            thread: format!("shard {number}"),
            has_ended: thread.is_finished(),
            turns: self.activity.turns(number),
            hangs_after: SHARD_HANGS_AFTER,
        };
        let mut vitals: Vec<Vital> = self.shards.iter().enumerate().map(shard).collect();
        vitals.extend(self.scanner.as_ref().map(|(_, _, thread)| Vital {
            thread: "scanner".to_owned(),
            has_ended: thread.is_finished(),
            turns: self.stats.scanner_turns.get(),
            hangs_after: SCANNER_HANGS_AFTER,
        }));
        vitals.extend(self.checkpointer.as_ref().map(|checkpointer| Vital {
            thread: "checkpointer".to_owned(),
            has_ended: checkpointer.has_ended(),
            turns: checkpointer.turns(),
            hangs_after: CHECKPOINTER_HANGS_AFTER,
        }));
        self.health.check(vitals, Instant::now())
    }

    /// Whether everything that is there was read and answered. Lasting only in [`Mode::Once`](crate::Mode::Once).
    pub fn is_idle(&self) -> bool {
        self.activity.is_idle()
    }

    /// Waits for [`is_idle`](Engine::is_idle), at most for `timeout`; says whether it is.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        self.activity.wait(timeout)
    }

    /// Stops: reads no more, hands over what was read, waits until `deadline` from now for the answers, and writes
    /// the positions.
    pub fn stop(mut self, deadline: Duration) -> StopReport {
        let until = Instant::now() + deadline;
        if let Some((orders, waker, thread)) = self.scanner.take() {
            if orders.send(Order::Stop).is_ok() {
                waker.wake();
            }
            let epoch = self.activity.begin();
            self.links.iter().for_each(|link| link.tell(Message::Drain(epoch)));
            let all_answered = self.activity.wait(until.saturating_duration_since(Instant::now()));
            self.end_shards();
            // A scan that hangs in the kernel must not hold the stop up: its thread is left to the process's end.
            join_within(thread, SCAN_GRACE);
            let left = until.saturating_duration_since(Instant::now()) + LAST_COMMIT;
            let positions_kept =
                self.checkpointer.as_ref().is_none_or(|checkpointer| checkpointer.flush(left));
            return StopReport { all_answered, positions_kept, stats: self.stats() };
        }
        StopReport { all_answered: true, positions_kept: true, stats: self.stats() }
    }

    fn end_shards(&mut self) {
        self.links.iter().for_each(|link| link.tell(Message::Stop));
        self.shards.drain(..).for_each(join);
    }

    fn pipeline(&self, config: Pipeline) -> Running {
        let name: Arc<str> = config.name.as_str().into();
        Running {
            outputs: config.outputs.iter().map(|output| output.name.as_str().into()).collect(),
            stats: self.stats.pipeline(&name),
            has_started: self.known_pipelines.contains(&name),
            name,
            config,
        }
    }

    fn start_shards(
        &mut self,
        count: usize,
        restored: &Restored,
        wishes: &Sender<crate::shard::Wish>,
        scanner: &Waker,
    ) -> Result<(), StartError> {
        let slabs = SlabPool::new(&self.budget);
        let carries = CarryPool::new(&self.budget);
        for (number, restored_rows) in split_rows(restored, count).into_iter().enumerate() {
            let (sender, messages) = unbounded();
            let (answer, answers) = unbounded();
            let (ready, started) = bounded(1);
            let ends: Ends = (messages, answer, answers);
            let choice = self.config.io;
            let parts = {
                let (slabs, carries, open_files) = (slabs.clone(), carries.clone(), self.open_files.clone());
                let scanner = scanner.clone();
                let (stats, activity, wishes) = (self.stats.clone(), self.activity.clone(), wishes.clone());
                let checkpoint =
                    self.checkpointer.as_ref().map_or_else(CheckpointWriter::none, Checkpointer::writer);
                let (hold_deleted, mode, was_reset) =
                    (self.config.hold_deleted, self.config.mode, restored.was_reset);
                move |io: Box<dyn Io>| ShardParts {
                    number,
                    io,
                    clock: Arc::new(RealClock::new()),
                    slabs,
                    carries,
                    open_files,
                    hold_deleted,
                    mode,
                    stats,
                    messages: ends.0,
                    answers: (ends.1, ends.2),
                    wishes,
                    scanner,
                    checkpoint,
                    restored: restored_rows,
                    was_reset,
                    activity,
                }
            };
            let thread = spawn(format!("rt-shard-{number}"), &self.alarm, move || {
                // The ring belongs to the thread that made it.
                let io = match ringtail_io::open(choice) {
                    Ok(io) => io,
                    Err(error) => return drop(ready.send(Err(StartError::Io(error.to_string())))),
                };
                let _ = ready.send(Ok((io.backend().clone(), io.waker())));
                Shard::new(parts(io)).run();
            })?;
            self.shards.push(thread);
            let (backend, waker) = started.recv().map_err(|_| ended_early())??;
            self.backend = backend;
            self.links.push(ShardLink { sender, waker });
        }
        Ok(())
    }

    fn start_scanner(
        &mut self,
        restored: &Restored,
        wishes: Receiver<crate::shard::Wish>,
        watch: Box<dyn Watch>,
    ) -> Result<(), StartError> {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let waker = watch.waker();
        let open_files = self.open_files.clone();
        let mut scanner = Scanner::new(fs, clock.clone(), open_files, &[]).map_err(StartError::Pattern)?;
        restore_scanner(&mut scanner, restored);
        let (orders, ordered) = unbounded();
        let scanning = Scanning::new(
            scanner,
            watch,
            clock,
            (ordered, wishes),
            self.links.clone(),
            self.stats.clone(),
            PIECE,
        );
        let thread = spawn("rt-scanner".to_owned(), &self.alarm, move || scanning.run())?;
        self.scanner = Some((orders, waker, thread));
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Without `stop`: as after a kill, but for the threads.
        if let Some((orders, waker, _)) = self.scanner.take()
            && orders.send(Order::Stop).is_ok()
        {
            waker.wake();
        }
        self.end_shards();
    }
}

/// Tells the scanner what the checkpoint knows of every lineage.
pub(crate) fn restore_scanner(scanner: &mut Scanner, restored: &Restored) {
    let mut lineages: HashMap<&Arc<Path>, Vec<&Row>> = HashMap::default();
    for (key, row) in &restored.rows {
        lineages.entry(&key.lineage).or_default().push(row);
    }
    for (lineage, rows) in lineages {
        let claims = rows.iter().filter_map(|row| claim(row)).collect();
        scanner.restore(lineage, &known_files(rows), claims);
    }
}

/// How far a row's cursor had come in the file that its tail lies in.
fn claim(row: &Row) -> Option<Claim> {
    let (generation, tail) = row.tail;
    let in_file = row.standing.streams.iter().filter(|position| position.generation == generation);
    let consumed = in_file.map(|position| position.offset).max()?;
    Some(Claim { generation, consumed: consumed.max(tail.end), tail })
}

/// The rows of each shard's lineages.
pub(crate) fn split_rows(restored: &Restored, shards: usize) -> Vec<RowsByLineage> {
    let mut split: Vec<RowsByLineage> = (0..shards).map(|_| HashMap::default()).collect();
    for (key, row) in &restored.rows {
        let shard = &mut split[shard_number(&key.lineage, shards)];
        shard.entry(key.lineage.clone()).or_default().push((key.clone(), row.clone()));
    }
    split
}

fn open_checkpoint(
    config: &EngineConfig,
    pipelines: &[Pipeline],
) -> Result<(Option<Checkpointer>, Restored), StartError> {
    let Some(data_dir) = &config.data_dir else { return Ok((None, Restored::default())) };
    let path = data_dir.join(checkpoint::FILE_NAME);
    let failed = |error| StartError::Checkpoint(path.clone(), error);
    let (open, mut restored) = checkpoint::open_or_reset(data_dir).map_err(failed)?;
    if restored.was_reset {
        // Before anything else: should this start be killed, the next one must not take the empty checkpoint for a
        // first start, where `start: end` would skip what was not delivered.
        restored.pipelines = pipelines.iter().map(|pipeline| pipeline.name.as_str().into()).collect();
        let started = Changes { pipelines: restored.pipelines.clone(), ..Changes::default() };
        open.commit(&started).map_err(failed)?;
    }
    let again = path.clone();
    let reopen = Box::new(move || checkpoint::open_file(&again).map(|(checkpoint, _)| checkpoint));
    let checkpointer = Checkpointer::start(open, reopen).map_err(StartError::Thread)?;
    Ok((Some(checkpointer), restored))
}

fn check_patterns(pipelines: &[Pipeline]) -> Result<(), StartError> {
    let specs: Vec<FileSpec> = pipelines.iter().map(|config| spec(0, config)).collect();
    let scanner = Scanner::new(Arc::new(RealFs), Arc::new(RealClock::new()), OpenFiles::new(0), &specs);
    scanner.map(drop).map_err(StartError::Pattern)
}

/// What a pipeline wants of the scanner.
pub(crate) fn spec(id: u32, config: &Pipeline) -> FileSpec {
    let Pipeline { paths, exclude, ignore_older, .. } = config;
    let (paths, exclude) = (paths.clone(), exclude.clone());
    FileSpec { id, pipeline: id, paths, exclude, ignore_older: *ignore_older }
}

/// Whether two configurations mean the same: then the running pipeline need not be disturbed.
fn is_same(a: &Pipeline, b: &Pipeline) -> bool {
    let outputs = a.outputs.len() == b.outputs.len()
        && a.outputs
            .iter()
            .zip(&b.outputs)
            .all(|(a, b)| a.name == b.name && a.batch == b.batch && Arc::ptr_eq(&a.outlet, &b.outlet));
    outputs
        && (&a.name, &a.paths, &a.exclude, a.ignore_older) == (&b.name, &b.paths, &b.exclude, b.ignore_older)
        && (a.input, a.limits, a.flush_after, a.start) == (b.input, b.limits, b.flush_after, b.start)
}

fn spawn(
    name: String,
    alarm: &Alarm,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let guard = alarm.guard(&name);
    let body = move || {
        let _guard = guard;
        body();
    };
    std::thread::Builder::new().name(name).spawn(body).map_err(StartError::Thread)
}

fn ended_early() -> StartError {
    StartError::Thread(std::io::Error::other("a shard ended while it started"))
}

/// Waits for a thread that may hang in the kernel, and leaves it when it does.
fn join_within(thread: JoinHandle<()>, grace: Duration) {
    let until = Instant::now() + grace;
    while !thread.is_finished() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    if thread.is_finished() {
        join(thread);
    }
}

fn join(thread: JoinHandle<()>) {
    // A panic was told by the panic hook; the stop goes on.
    let _ = thread.join();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(data_dir: &Path, shards: usize) -> EngineConfig {
        EngineConfig {
            data_dir: Some(data_dir.to_owned()),
            memory: 16 << 20,
            shards,
            io: ringtail_io::Choice::Auto,
            open_files: 100,
            hold_deleted: crate::HoldDeleted::default(),
            mode: crate::Mode::Follow,
        }
    }

    /// Waits for `expected`; threads take their time.
    fn soon(engine: &Engine, expected: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let health = || engine.health().map_or_else(|why| why.to_string(), |()| "well".to_owned());
        while health() != expected {
            assert!(Instant::now() < deadline, "{} instead of {expected}", health());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_thread_that_is_gone_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = Engine::start(config(folder.path(), 2), Vec::new()).expect("started");
        soon(&engine, "well");
        engine.links[1].tell(Message::Stop);
        soon(&engine, "shard 1 has ended");
        drop(engine);
        let engine = Engine::start(config(folder.path(), 1), Vec::new()).expect("started");
        let (orders, waker, _) = engine.scanner.as_ref().expect("runs");
        orders.send(Order::Stop).expect("runs");
        waker.wake();
        soon(&engine, "scanner has ended");
    }

    #[test]
    fn every_thread_goes_on_turning_while_there_is_nothing_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = Engine::start(config(folder.path(), 1), Vec::new()).expect("started");
        let turns = || {
            let checkpointer = engine.checkpointer.as_ref().expect("positions are kept").turns();
            [engine.activity.turns(0), engine.stats.scanner_turns.get(), checkpointer]
        };
        let (before, deadline) = (turns(), Instant::now() + Duration::from_secs(60));
        while turns().iter().zip(before).any(|(now, before)| *now <= before) {
            assert!(Instant::now() < deadline, "{:?} after {before:?}", turns());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
