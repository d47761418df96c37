//! The life of a collection: made, running, stopping, ended.

use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ringtail_engine::{Engine, EngineConfig, EngineStats, Pipeline, PipelineOutput, StartError, StopReport};
use ringtail_io::{DirLock, Limits, LockError};
use ringtail_memory::{Budget, Credit, Use};

use crate::entry::{enter_or, last_panic};
use crate::error::Failure;
use crate::outlet::{Exchange, Host, Phase};
use crate::properties::Settings;
use crate::signals;
use crate::status::{RINGTAIL_ECHECKPOINT, RINGTAIL_ECONFIG, RINGTAIL_EHELD, RINGTAIL_EIO, RINGTAIL_ESTATE};

/// Open files, where the system sets no bound.
const OPEN_FILES_MAX: u64 = 1 << 20;

/// Where a collection is in its life.
enum Stage {
    Made,
    Running(Box<Engine>, Option<DirLock>),
    /// The last figures that were seen, the thread that stops the engine, and what it found in the end.
    Stopping(EngineStats, JoinHandle<()>, Arc<OnceLock<StopReport>>),
    Ended(StopReport),
}

/// See the module.
pub(crate) struct Life {
    stage: Mutex<Stage>,
    settings: Mutex<Settings>,
    outlets: Vec<Arc<Host>>,
}

impl Life {
    pub(crate) fn new(settings: Settings, exchange: &Arc<Exchange>) -> Self {
        let unacked = Credit::new(settings.max_unacked);
        let held = Credit::new(Budget::new(settings.memory).limit(Use::Payloads));
        let host = |(name, _): &(String, _)| {
            let pipeline = name.as_str().into();
            Arc::new(Host {
                exchange: exchange.clone(),
                pipeline,
                unacked: unacked.clone(),
                held: held.clone(),
            })
        };
        let outlets = settings.pipelines.iter().map(host).collect();
        Life { stage: Mutex::new(Stage::Made), settings: Mutex::new(settings), outlets }
    }

    /// Opens the checkpoint and starts the threads.
    pub(crate) fn start(&self, exchange: &Arc<Exchange>) -> Result<(), Failure> {
        let mut stage = self.stage();
        if !matches!(*stage, Stage::Made) {
            return Err(Failure::new(RINGTAIL_ESTATE, "a collector is started once"));
        }
        let settings = self.settings();
        let lock = lock(&settings)?;
        let engine = signals::blocked(|| Engine::start(engine_config(&settings), self.pipelines(&settings)));
        let engine = engine?;
        let exchange = exchange.clone();
        engine.on_panic(move |thread| {
            exchange.end(Phase::Failed(defect(thread)));
        });
        *stage = Stage::Running(Box::new(engine), lock);
        Ok(())
    }

    /// Changes which files are collected; `change` may refuse. Before the start it is what the start finds.
    pub(crate) fn change(
        &self,
        change: impl FnOnce(&mut Settings) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut stage = self.stage();
        let mut settings = self.settings();
        let mut changed = settings.clone();
        change(&mut changed)?;
        match &mut *stage {
            Stage::Made => {}
            Stage::Running(engine, _) => {
                signals::blocked(|| engine.apply(self.pipelines(&changed)))?;
            }
            Stage::Stopping(..) | Stage::Ended(_) => {
                return Err(Failure::new(RINGTAIL_ESTATE, "the collector was stopped"));
            }
        }
        *settings = changed;
        Ok(())
    }

    /// Begins the stop on a thread of its own; `exchange` is told when it is done. Nothing the second time.
    pub(crate) fn stop(&self, deadline: Duration, exchange: &Arc<Exchange>) -> Result<(), Failure> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Made) {
            Stage::Running(engine, lock) => {
                let last = engine.stats();
                let report = Arc::new(OnceLock::new());
                let (found, told) = (report.clone(), exchange.clone());
                let stop = move || {
                    let phase = match enter_or(None, || Some(engine.stop(deadline))) {
                        Some(report) => {
                            // Set once: nobody else does.
                            let _ = found.set(report);
                            Phase::Ended
                        }
                        None => Phase::Failed(defect("rt-stop")),
                    };
                    drop(lock);
                    told.end(phase);
                };
                let thread = std::thread::Builder::new().name("rt-stop".into());
                match signals::blocked(|| thread.spawn(stop)) {
                    Ok(thread) => *stage = Stage::Stopping(last, thread, report),
                    Err(error) => {
                        // The engine ended as after a kill: with it went the closure that had it.
                        *stage = Stage::Ended(StopReport {
                            all_answered: false,
                            positions_kept: false,
                            stats: last,
                        });
                        exchange.end(Phase::Ended);
                        return Err(StartError::Thread(error).into());
                    }
                }
            }
            Stage::Made => {
                *stage = Stage::Ended(nothing());
                exchange.end(Phase::Ended);
            }
            other => *stage = other,
        }
        Ok(())
    }

    /// Ends everything now, or waits for the stop that was begun. What was acknowledged is kept.
    pub(crate) fn end(&self, exchange: &Arc<Exchange>) {
        // A thread that cannot be started leaves the engine to be ended as after a kill.
        let _ = self.stop(Duration::ZERO, exchange);
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Ended(nothing())) {
            Stage::Stopping(_, thread, _) => {
                drop(stage);
                // A panic of the engine's was told by then.
                let _ = thread.join();
            }
            ended => *stage = ended,
        }
    }

    pub(crate) fn stats(&self) -> EngineStats {
        match &*self.stage() {
            Stage::Made => EngineStats::default(),
            Stage::Running(engine, _) => engine.stats(),
            Stage::Stopping(last, _, report) => report.get().map_or(last, |report| &report.stats).clone(),
            Stage::Ended(report) => report.stats.clone(),
        }
    }

    /// How the stop went, once it is done.
    pub(crate) fn report(&self) -> Option<StopReport> {
        match &*self.stage() {
            Stage::Ended(report) => Some(report.clone()),
            Stage::Stopping(_, _, report) => report.get().cloned(),
            Stage::Made | Stage::Running(..) => None,
        }
    }

    pub(crate) fn is_made(&self) -> bool {
        matches!(*self.stage(), Stage::Made)
    }

    fn pipelines(&self, settings: &Settings) -> Vec<Pipeline> {
        let pipelines = settings.pipelines.iter().zip(&self.outlets);
        let pipeline = |((name, origin), outlet): (&(String, ringtail_config::Origin), &Arc<Host>)| {
            let output =
                PipelineOutput { name: "host".into(), outlet: outlet.clone(), batch: settings.batch };
            origin.pipeline(name, vec![output])
        };
        pipelines.map(pipeline).collect()
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn defect(thread: &str) -> String {
    format!("a defect of libringtail in the thread {thread}: {}; please report it", last_panic())
}

fn nothing() -> StopReport {
    StopReport { all_answered: true, positions_kept: true, stats: EngineStats::default() }
}

fn engine_config(settings: &Settings) -> EngineConfig {
    EngineConfig {
        data_dir: settings.data_dir.clone(),
        memory: settings.memory,
        shards: settings.threads,
        io: settings.io,
        open_files: settings.open_files.unwrap_or_else(half_of_the_files),
        hold_deleted: settings.hold_deleted,
        mode: settings.mode,
    }
}

/// Half of the descriptors that the process may have, which is not changed.
fn half_of_the_files() -> usize {
    let limit = Limits::read().open_files.0.unwrap_or(OPEN_FILES_MAX).min(OPEN_FILES_MAX);
    usize::try_from(limit / 2).unwrap_or(usize::MAX)
}

fn lock(settings: &Settings) -> Result<Option<DirLock>, Failure> {
    let Some(dir) = &settings.data_dir else { return Ok(None) };
    let shown = dir.display();
    fs::create_dir_all(dir)
        .map_err(|error| Failure::new(RINGTAIL_ECHECKPOINT, format!("data_dir {shown}: {error}")))?;
    match DirLock::try_acquire(dir) {
        Ok(lock) => Ok(Some(lock)),
        Err(error @ LockError::Held(_)) => {
            let message = format!("data_dir {shown} is {error}; give each collector a directory of its own");
            Err(Failure::passing(RINGTAIL_EHELD, message))
        }
        Err(error) => Err(Failure::new(RINGTAIL_ECHECKPOINT, format!("data_dir {shown} {error}"))),
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let message = error.to_string();
        match error {
            StartError::Checkpoint(..) => Failure::new(RINGTAIL_ECHECKPOINT, message),
            StartError::Pattern(_) => Failure::new(RINGTAIL_ECONFIG, message),
            StartError::Io(_) => Failure::new(RINGTAIL_EIO, message),
            StartError::Thread(_) => Failure::passing(RINGTAIL_EIO, message),
        }
    }
}
