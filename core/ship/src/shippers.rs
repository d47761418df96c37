//! All outputs of an agent, their threads, their reload and their end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use ringtail_record::Outlet;
use tokio::runtime::{Builder, Runtime};

use crate::config::{OutputConfig, SinkConfig, StartError, validate};
use crate::file::FileWriter;
use crate::http::{self, Endpoint};
use crate::output::{Done, Handle, Output, Service};
use crate::packer::{self, Job, PackerPort};
use crate::stats::{OutputStats, Stats};
use crate::stdout::Stdout;
use crate::writer;

/// How long an output that a reload removed or changed may go on delivering what it has.
pub const RETIRE_GRACE: Duration = Duration::from_secs(10);

/// How long what was told to give up may take to do so.
const ABANDON_GRACE: Duration = Duration::from_secs(1);

/// Name look-ups at once: each takes a thread, and one that hangs must not hold up those of other outputs.
const LOOKUP_THREADS: usize = 32;

/// All outputs of one agent and the threads that serve them.
pub struct Shippers {
    packers: Arc<[PackerPort]>,
    packers_done: Done,
    async_threads: usize,
    next_id: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stopped: bool,
    /// In the order of the configuration.
    outputs: Vec<Arc<Handle>>,
    /// Outputs that a reload removed and that may still deliver.
    retired: Vec<Retired>,
    /// Threads that end retired outputs, and the packers.
    threads: Vec<JoinHandle<()>>,
    /// Started with the first output that needs it.
    runtime: Option<Runtime>,
}

/// An output that a reload removed.
struct Retired {
    output: Arc<Output>,
    handle: Weak<Handle>,
}

/// What an output had not delivered when it was stopped: it comes again at the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// The output.
    pub output: String,
    /// Batches.
    pub batches: u64,
}

impl Shippers {
    /// Starts `packers` threads that encode, the outputs, and at most `async_threads` that serve the network.
    pub fn start(
        configs: Vec<OutputConfig>,
        packers: usize,
        async_threads: usize,
    ) -> Result<Self, StartError> {
        let (working, packers_done) = crossbeam_channel::bounded(0);
        let mut ports = Vec::new();
        let mut threads = Vec::new();
        for index in 0..packers.max(1) {
            let (port, thread) = packer::start(index, working.clone()).map_err(StartError::Thread)?;
            ports.push(port);
            threads.push(thread);
        }
        drop(working);
        let shippers = Shippers {
            packers: ports.into(),
            packers_done,
            async_threads: async_threads.max(1),
            next_id: AtomicU64::new(0),
            state: Mutex::new(State { threads, ..State::default() }),
        };
        shippers.apply(configs)?;
        Ok(shippers)
    }

    /// The outlet of the output called `name`. It takes batches as long as it is held, after a reload that removed the
    /// output for [`RETIRE_GRACE`] at most.
    pub fn outlet(&self, name: &str) -> Option<Arc<dyn Outlet>> {
        let state = self.state();
        let handle = state.outputs.iter().find(|handle| handle.output().config.name == name)?;
        Some(handle.clone())
    }

    /// What each output did, in the order of the configuration. Counters go on over a reload.
    pub fn stats(&self) -> Vec<OutputStats> {
        let state = self.state();
        let outputs = state.outputs.iter().map(|handle| handle.output());
        outputs.map(|output| output.stats.snapshot(output.credit.used())).collect()
    }

    /// Makes the outputs those of `configs`. An output whose configuration is the same keeps running untouched. One that
    /// was removed or changed goes on with what it has, until its outlets are dropped and its queue is empty or
    /// [`RETIRE_GRACE`] is over; then the rest is returned. The new one begins to deliver when the old one has ended, so
    /// that records stay in order and a file has one writer.
    /// On error nothing changes.
    pub fn apply(&self, configs: Vec<OutputConfig>) -> Result<(), StartError> {
        validate(&configs)?;
        let mut state = self.state();
        if state.stopped {
            return Err(StartError::Stopped);
        }
        state.retired.retain(|retired| !retired.output.wait(Instant::now()));
        state.threads.retain(|thread| !thread.is_finished());
        let mut outputs = Vec::with_capacity(configs.len());
        for config in configs {
            let same = state.outputs.iter().find(|handle| handle.output().config == config).cloned();
            outputs.push(match same {
                Some(handle) => handle,
                None => self.start_output(&mut state, config)?,
            });
        }
        let old = std::mem::replace(&mut state.outputs, outputs);
        let kept: Vec<u64> = state.outputs.iter().map(|handle| handle.output().id).collect();
        old.into_iter()
            .filter(|handle| !kept.contains(&handle.output().id))
            .for_each(|handle| state.retire(handle));
        Ok(())
    }

    /// Ends all outputs. What was handed over is still tried until `deadline`; then the rest is returned, requests that
    /// hang are given up, and what is left is told, output by output. Takes at most a few seconds longer than `deadline`.
    /// A second call does nothing. Not to be called from an async task: it blocks.
    pub fn stop(&self, deadline: Instant) -> Vec<Unanswered> {
        let (outputs, handles) = {
            let mut state = self.state();
            if std::mem::replace(&mut state.stopped, true) {
                return Vec::new();
            }
            (state.all_outputs(), state.all_handles())
        };
        let returned: Vec<u64> =
            outputs.iter().map(|output| output.stats.returned.load(Ordering::Relaxed)).collect();
        handles.iter().for_each(|handle| handle.close());
        let ended = end(&outputs, deadline);
        self.stop_threads(ended);
        let mut left: BTreeMap<String, u64> = BTreeMap::new();
        for (output, before) in outputs.iter().zip(returned) {
            let stats = &output.stats;
            let unanswered =
                stats.returned.load(Ordering::Relaxed) - before + stats.in_flight.load(Ordering::Relaxed);
            // Two generations of an output share their figures: they are told once.
            left.insert(output.config.name.clone(), unanswered);
        }
        let told = left.into_iter().filter(|(_, batches)| *batches > 0);
        told.map(|(output, batches)| Unanswered { output, batches }).collect()
    }

    fn start_output(&self, state: &mut State, config: OutputConfig) -> Result<Arc<Handle>, StartError> {
        let namesake = state.all_outputs().into_iter().find(|output| output.config.name == config.name);
        let stats = match namesake {
            Some(output) => output.stats.clone(),
            None => Arc::new(Stats::new(&config.name)),
        };
        let service = self.serve(state, &config, &stats)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let output = Arc::new(Output::new(id, config, stats, service));
        Ok(Arc::new(Handle::new(output, self.packers.clone())))
    }

    /// Starts what serves the lanes of an output.
    fn serve(
        &self,
        state: &mut State,
        config: &OutputConfig,
        stats: &Arc<Stats>,
    ) -> Result<Service, StartError> {
        let (lanes, stats) = (config.concurrency, stats.clone());
        let after = state.before(config);
        let service = match &config.sink {
            SinkConfig::Null => return Ok(Service::none()),
            SinkConfig::Stdout { .. } => {
                let stdout = Stdout::open().map_err(StartError::Thread)?;
                writer::start(stdout, lanes, after, stats)
            }
            SinkConfig::File { path, rotate } => {
                let file = FileWriter::new(path, *rotate, config.compression, stats.clone());
                file.probe().map_err(|error| StartError::File {
                    output: config.name.clone(),
                    path: path.clone(),
                    error,
                })?;
                writer::start(file, lanes, after, stats)
            }
            SinkConfig::Http { url, headers, timeout } => {
                let endpoint = Endpoint::new(config, url, headers, *timeout)?;
                let runtime = state.runtime(self.async_threads)?;
                return Ok(http::start(endpoint, lanes, after, &stats, runtime.handle()));
            }
        };
        service.map_err(StartError::Thread)
    }

    /// Ends the threads that all outputs share. `join` is false when the work of some output hangs in the kernel: then
    /// whoever waits for it is left behind with it.
    fn stop_threads(&self, join: bool) {
        let patience = Instant::now() + ABANDON_GRACE;
        self.packers.iter().for_each(|packer| packer.send(Job::Stop));
        // Nothing is ever sent on this channel: it disconnects when the last packer has stopped.
        let packed = self.packers_done.recv_deadline(patience) == Err(RecvTimeoutError::Disconnected);
        let (runtime, threads) = {
            let mut state = self.state();
            (state.runtime.take(), std::mem::take(&mut state.threads))
        };
        if let Some(runtime) = runtime {
            // Longer than that waits only a name look-up, which nothing can interrupt.
            runtime.shutdown_timeout(patience.saturating_duration_since(Instant::now()));
        }
        for thread in threads.into_iter().filter(|_| join && packed) {
            // A thread that panicked has said so; its batches were returned as they were dropped.
            let _ = thread.join();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shippers {
    fn drop(&mut self) {
        self.stop(Instant::now());
    }
}

impl fmt::Debug for Shippers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shippers({:?})", self.state().outputs)
    }
}

impl State {
    fn all_outputs(&self) -> Vec<Arc<Output>> {
        let current = self.outputs.iter().map(|handle| handle.output().clone());
        current.chain(self.retired.iter().map(|retired| retired.output.clone())).collect()
    }

    fn all_handles(&self) -> Vec<Arc<Handle>> {
        let retired = self.retired.iter().filter_map(|retired| retired.handle.upgrade());
        self.outputs.iter().cloned().chain(retired).collect()
    }

    /// What must end before an output as in `config` may write: what writes to the same place, and former generations of
    /// the same output, whose records come first.
    fn before(&self, config: &OutputConfig) -> Vec<Done> {
        let place = config.sink.place();
        let is_before = |output: &Arc<Output>| {
            let same_place = place.is_some() && output.config.sink.place() == place;
            same_place || output.config.name == config.name
        };
        self.all_outputs()
            .iter()
            .filter(|output| is_before(output))
            .map(|output| output.done().clone())
            .collect()
    }

    fn runtime(&mut self, threads: usize) -> Result<&Runtime, StartError> {
        if self.runtime.is_none() {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads).max_blocking_threads(LOOKUP_THREADS).thread_name("ship-async");
            self.runtime = Some(builder.enable_all().build().map_err(StartError::Thread)?);
        }
        self.runtime.as_ref().ok_or(StartError::Stopped)
    }

    /// Lets an output go on for a while with nothing but what its outlets' holders give it, then ends it.
    fn retire(&mut self, old: Arc<Handle>) {
        let (output, handle) = (old.output().clone(), Arc::downgrade(&old));
        self.retired.push(Retired { output: output.clone(), handle: handle.clone() });
        drop(old);
        let ending = std::thread::Builder::new().name("ship-retire".into()).spawn(move || {
            if !output.wait(Instant::now() + RETIRE_GRACE) {
                if let Some(handle) = handle.upgrade() {
                    handle.close();
                }
                output.abandon();
            }
        });
        match ending {
            Ok(thread) => self.threads.push(thread),
            // Without a thread to wait, there is no grace.
            Err(_) => self.retired.iter().for_each(|retired| retired.output.abandon()),
        }
    }
}

/// Waits for `outputs` to end until `deadline`, then makes them. Whether all have.
fn end(outputs: &[Arc<Output>], deadline: Instant) -> bool {
    for output in outputs {
        output.wait(deadline);
    }
    outputs.iter().for_each(|output| output.abandon());
    let patience = Instant::now() + ABANDON_GRACE;
    outputs.iter().all(|output| output.wait(patience))
}
