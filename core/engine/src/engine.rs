//! The engine: wires shards, scanner and checkpointer, and owns their threads.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use ringtail_io::{Backend, RealClock, RealFs, RealWatch, Watch};
use ringtail_memory::{Budget, Use};
use ringtail_read::{FileSpec, OpenFiles, PatternError, Scanner};

use crate::activity::Activity;
use crate::alarm::Alarm;
use crate::checkpoint::CheckpointError;
use crate::checkpointer::Checkpointer;
use crate::config::{EngineConfig, Pipeline};
use crate::health::{
    CHECKPOINTER_HANGS_AFTER, Health, SCANNER_HANGS_AFTER, SHARD_HANGS_AFTER, Unhealthy, Vital,
};
use crate::maps::{HashMap, HashSet};
use crate::renamed::{KeptNames, Missing};
use crate::scanning::{Order, ShardLink};
use crate::shard::{Message, Running};
use crate::stats::{EngineStats, LostReason, Stats};

pub(crate) mod restored;
mod threads;

use restored::open_checkpoint;
use threads::ScannerThread;

/// How long the last commit of a stop may take beyond the deadline.
const LAST_COMMIT: Duration = Duration::from_secs(5);

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
    scanner: Option<ScannerThread>,
    checkpointer: Option<Checkpointer>,
    known_pipelines: HashSet<Arc<str>>,
    kept_names: KeptNames,
    running: HashMap<u32, Arc<Running>>,
    last_spec: u32,
    health: Health,
}

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
        engine.start_shards(shards, &restored, wishes, watch.waker())?;
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
            let same = self.running.iter().find(|(_, known)| known.config.is_same(&config));
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
        if let Some(scanner) = &self.scanner {
            let specs = self.running.iter().map(|(id, pipeline)| spec(*id, &pipeline.config)).collect();
            scanner.tell(Order::Specs(specs, epoch));
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
        vitals.extend(self.scanner.as_ref().map(|scanner| Vital {
            thread: "scanner".to_owned(),
            has_ended: scanner.thread.is_finished(),
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
        if let Some(scanner) = self.scanner.take() {
            scanner.tell(Order::Stop);
            let epoch = self.activity.begin();
            self.links.iter().for_each(|link| link.tell(Message::Drain(epoch)));
            let all_answered = self.activity.wait(until.saturating_duration_since(Instant::now()));
            self.end_shards();
            scanner.join();
            let left = until.saturating_duration_since(Instant::now()) + LAST_COMMIT;
            let positions_kept =
                self.checkpointer.as_ref().is_none_or(|checkpointer| checkpointer.flush(left));
            return StopReport { all_answered, positions_kept, stats: self.stats() };
        }
        StopReport { all_answered: true, positions_kept: true, stats: self.stats() }
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
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Without `stop`: as after a kill, but for the threads.
        if let Some(scanner) = self.scanner.take() {
            scanner.tell(Order::Stop);
        }
        self.end_shards();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config(data_dir: &std::path::Path, shards: usize) -> EngineConfig {
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
        engine.scanner.as_ref().expect("runs").tell(Order::Stop);
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
