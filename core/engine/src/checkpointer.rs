//! The thread that writes the checkpoint: it merges what the shards send and commits it, so that no shard waits for
//! an fsync.
//!
//! Limits: one commit at most every [`COMMIT_EVERY`]; what waits is one row per cursor. A commit that fails is told
//! and tried again with all that has come since: positions on disk stay behind, they are never wrong.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::checkpoint::{Changes, Checkpoint, CheckpointError};
use crate::stats::Count;

/// With a shard's own delay this keeps the promise of one second after the acknowledgement.
pub(crate) const COMMIT_EVERY: Duration = Duration::from_millis(400);

/// How long the thread sleeps while there is nothing to write: it shows now and then that it is alive.
const REST: Duration = Duration::from_secs(10);

/// How often a failure that goes on is told again.
const TELL_EVERY: Duration = Duration::from_secs(30);

pub(crate) struct Checkpointer {
    sender: Sender<Order>,
    thread: Option<JoinHandle<()>>,
    turns: Arc<Count>,
}

/// What the thread is told.
pub(crate) enum Order {
    Write(Changes),
    /// Commit now, then answer whether everything is on disk.
    Flush(Sender<bool>),
}

impl Checkpointer {
    /// Starts the thread. After a failure redb wants the file opened again, which `reopen` does.
    pub(crate) fn start(checkpoint: Checkpoint, reopen: Reopen) -> std::io::Result<Self> {
        // Unbounded, but each shard sends a message per tick, and one for every lineage that ends.
        let (sender, receiver) = unbounded();
        let mut store = Store::new(checkpoint, reopen);
        let turns = Arc::new(Count::default());
        let counted = turns.clone();
        let thread = std::thread::Builder::new()
            .name("rt-checkpoint".to_owned())
            .spawn(move || run(&mut store, &receiver, &counted))?;
        Ok(Checkpointer { sender, thread: Some(thread), turns })
    }

    /// Turns of its loop; it makes one every [`REST`] at least.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// Whether the thread is gone, after a panic.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Where shards send what changed.
    pub(crate) fn writer(&self) -> CheckpointWriter {
        CheckpointWriter::to(self.sender.clone())
    }

    /// Commits all that was sent before; false when that failed or did not end within `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        let (answer, answered) = bounded(1);
        self.sender.send(Order::Flush(answer)).is_ok() && answered.recv_timeout(timeout).unwrap_or(false)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        // Every writer was dropped with its shard; closing the last sender ends the thread.
        let (closed, _) = unbounded();
        self.sender = closed;
        if let Some(thread) = self.thread.take() {
            // A panic there was told by the panic hook; there is nothing left to do here.
            let _ = thread.join();
        }
    }
}

/// A shard's way to the checkpoint; does nothing where positions are not kept.
#[derive(Clone)]
pub(crate) struct CheckpointWriter(Option<Sender<Order>>);

impl CheckpointWriter {
    /// For an engine that keeps no positions.
    pub(crate) fn none() -> Self {
        CheckpointWriter(None)
    }

    /// To whoever takes the orders: the thread, or a test in its place.
    pub(crate) fn to(sender: Sender<Order>) -> Self {
        CheckpointWriter(Some(sender))
    }

    pub(crate) fn write(&self, changes: Changes) {
        if let Some(sender) = &self.0 {
            // The thread ends after all writers: an error means that it panicked, which was told.
            let _ = sender.send(Order::Write(changes));
        }
    }
}

/// Opens the checkpoint again.
pub(crate) type Reopen = Box<dyn Fn() -> Result<Checkpoint, CheckpointError> + Send>;

/// A checkpoint that is opened again after a failure.
pub(crate) struct Store {
    open: Option<Checkpoint>,
    reopen: Reopen,
    /// When a failure that goes on was told.
    told: Option<Instant>,
}

impl Store {
    pub(crate) fn new(checkpoint: Checkpoint, reopen: Reopen) -> Self {
        Store { open: Some(checkpoint), reopen, told: None }
    }

    /// Writes all of `pending` and empties it, or tells why not and keeps it.
    pub(crate) fn commit(&mut self, pending: &mut Changes) {
        if pending.is_empty() {
            return;
        }
        match self.try_commit(pending) {
            Ok(()) => {
                *pending = Changes::default();
                if self.told.take().is_some() {
                    tracing::info!("the checkpoint can be written again");
                }
            }
            Err(error) => {
                self.open = None;
                if self.told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                    self.told = Some(Instant::now());
                    tracing::error!(%error, "the checkpoint cannot be written; collection goes on, and a restart \
                        would repeat what was delivered since");
                }
            }
        }
    }

    fn try_commit(&mut self, pending: &Changes) -> Result<(), CheckpointError> {
        let checkpoint = match self.open.take() {
            Some(open) => open,
            None => (self.reopen)()?,
        };
        checkpoint.commit(pending)?;
        self.open = Some(checkpoint);
        Ok(())
    }
}

fn run(store: &mut Store, orders: &Receiver<Order>, turns: &Count) {
    let mut pending = Changes::default();
    let mut last = Instant::now();
    loop {
        turns.add(1);
        let wait = match pending.is_empty() {
            true => REST,
            false => COMMIT_EVERY.saturating_sub(last.elapsed()),
        };
        let (flush, closed) = match orders.recv_timeout(wait) {
            Ok(Order::Write(changes)) => {
                pending.merge(changes);
                (None, false)
            }
            Ok(Order::Flush(answer)) => (Some(answer), false),
            Err(RecvTimeoutError::Timeout) => (None, false),
            Err(RecvTimeoutError::Disconnected) => (None, true),
        };
        if flush.is_some() || closed || last.elapsed() >= COMMIT_EVERY {
            store.commit(&mut pending);
            last = Instant::now();
        }
        if let Some(answer) = flush {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(pending.is_empty());
        }
        if closed {
            return;
        }
    }
}
