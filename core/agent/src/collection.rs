//! One running collection: the engine, the outputs, and what they count.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ringtail_engine::{Engine, EngineStats, Mode, StopReport};
use ringtail_io::{Backend, Choice};
use ringtail_memory::Use;
use ringtail_ship::{Shippers, Unanswered};

use crate::admin::Figures;
use crate::config::Config;
use crate::metrics::{Lag, Metrics, OutputFigures, PipelineFigures};
use crate::process::Process;
use crate::wiring;

/// How long outputs may take to end after the engine did, beyond the deadline of the stop.
const OUTPUTS_GRACE: Duration = Duration::from_secs(1);

/// Why a collection does not start, or does not change.
#[derive(Debug)]
pub enum StartError {
    /// An output cannot be used.
    Outputs(ringtail_ship::StartError),
    /// The checkpoint, the I/O backend or a pattern cannot be used.
    Engine(ringtail_engine::StartError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Outputs(error) => error.fmt(f),
            StartError::Engine(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

/// How a collection ended.
#[derive(Debug)]
pub struct Stopped {
    /// What the engine says.
    pub engine: StopReport,
    /// Outputs with batches that were not answered: they come again.
    pub unanswered: Vec<Unanswered>,
}

/// See the module. Shared with the admin endpoint.
pub struct Collection {
    shippers: Shippers,
    engine: Mutex<State>,
    backend: Backend,
    stopping: AtomicBool,
}

enum State {
    Running(Box<Engine>),
    Ended(EngineStats),
}

impl Collection {
    /// Starts outputs, then the engine.
    pub fn start(config: &Config, io: Choice, mode: Mode) -> Result<Arc<Self>, StartError> {
        let threads = wiring::threads(config);
        let shippers =
            Shippers::start(wiring::outputs(config), threads, threads).map_err(StartError::Outputs)?;
        let pipelines = wiring::pipelines(config, &shippers);
        let engine =
            Engine::start(wiring::engine(config, io, mode), pipelines).map_err(StartError::Engine)?;
        Ok(Arc::new(Collection {
            backend: engine.backend().clone(),
            shippers,
            engine: Mutex::new(State::Running(Box::new(engine))),
            stopping: AtomicBool::new(false),
        }))
    }

    /// Runs `new` instead of `old`: only what is different is restarted. On error `old` goes on.
    pub fn apply(&self, old: &Config, new: &Config) -> Result<(), StartError> {
        self.shippers.apply(wiring::outputs(new)).map_err(StartError::Outputs)?;
        let applied = match &mut *self.engine() {
            State::Running(engine) => engine.apply(wiring::pipelines(new, &self.shippers)),
            State::Ended(_) => Ok(()),
        };
        applied.map_err(|error| {
            // The engine kept its pipelines, whose outputs were told to end: they begin anew.
            if self.shippers.apply(wiring::outputs(old)).is_ok()
                && let State::Running(engine) = &mut *self.engine()
            {
                let _ = engine.apply(wiring::pipelines(old, &self.shippers));
            }
            StartError::Engine(error)
        })
    }

    /// Which backend reads, and why.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The outputs.
    pub fn shippers(&self) -> &Shippers {
        &self.shippers
    }

    /// What the engine counted.
    pub fn engine_stats(&self) -> EngineStats {
        match &*self.engine() {
            State::Running(engine) => engine.stats(),
            State::Ended(stats) => stats.clone(),
        }
    }

    /// Whether everything that is there was read and answered, waiting at most `timeout` for it.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        match &*self.engine() {
            State::Running(engine) => engine.wait_idle(timeout),
            State::Ended(_) => true,
        }
    }

    /// Whether whoever read standard output is gone.
    pub fn closed_pipe(&self) -> bool {
        self.shippers.stats().iter().any(|output| output.closed_pipe)
    }

    /// Reads no more, delivers what was read until `deadline` from now, keeps the positions. Nothing the second time.
    pub fn stop(&self, deadline: Duration) -> Option<Stopped> {
        self.stopping.store(true, Ordering::Relaxed);
        let until = Instant::now() + deadline;
        let last = self.engine_stats();
        let State::Running(engine) = std::mem::replace(&mut *self.engine(), State::Ended(last)) else {
            return None;
        };
        let engine = engine.stop(deadline);
        // What came in while it stopped counts too.
        *self.engine() = State::Ended(engine.stats.clone());
        let unanswered = self.shippers.stop(until.max(Instant::now()) + OUTPUTS_GRACE);
        Some(Stopped { engine, unanswered })
    }

    fn engine(&self) -> MutexGuard<'_, State> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Figures for Collection {
    fn metrics(&self) -> Metrics {
        let engine = self.engine_stats();
        let outputs = self.shippers.stats();
        let mut lost = engine.lost_bytes;
        lost.push(("refused", outputs.iter().map(|output| output.refused_input_bytes).sum()));
        lost.push(("dropped", 0));
        let mut memory = engine.memory_bytes;
        // The engine hands payloads over: what they take, the outputs know.
        let payloads = memory.iter_mut().filter(|(usage, _)| *usage == Use::Payloads.label());
        payloads.for_each(|(_, bytes)| *bytes = outputs.iter().map(|output| output.credit_used as u64).sum());
        let mut metrics = Metrics {
            lost,
            open_files: engine.open_files,
            memory,
            backend: (self.backend.name.into(), self.backend.reason.clone()),
            checkpoint_resets: engine.checkpoint_resets,
            process: Process::now(),
            ..Metrics::default()
        };
        metrics.pipelines = engine.pipelines.into_iter().map(PipelineFigures::from).collect();
        metrics.outputs = outputs.into_iter().map(OutputFigures::from).collect();
        metrics.lags = engine.lag.into_iter().map(Lag::from).collect();
        metrics.sort();
        metrics
    }

    fn healthy(&self) -> Result<(), String> {
        match &*self.engine() {
            State::Running(engine) => engine.health().map_err(|why| why.to_string()),
            State::Ended(_) => Ok(()),
        }
    }

    fn ready(&self) -> Result<(), String> {
        match self.stopping.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err("stopping".into()),
        }
    }
}
