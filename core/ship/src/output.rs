//! An output: its lanes, and the outlet through which shards hand over to them.
//!
//! An output ends once nobody can hand over any more: each packer is told after its last batch, and tells the lanes.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use ringtail_memory::Credit;
use ringtail_record::{Outlet, Sealed};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use crate::config::{OutputConfig, SinkConfig};
use crate::packer::{Job, PackerPort};
use crate::payload::{Message, Payload, Ticket};
use crate::stats::Stats;

/// Held by everything that works for an output: when the last one drops it, the output is [`Output::done`].
pub(crate) type Working = Sender<Infallible>;
/// Disconnected when an output's work has ended.
pub(crate) type Done = Receiver<Infallible>;

/// The way to one lane or, where one thread serves all lanes, to that thread. Bounded by the output's credit.
pub(crate) enum Queue {
    Thread(Sender<Message>),
    Task(UnboundedSender<Message>),
}

impl Queue {
    /// To a lane that has ended, a message is dropped: its batch is returned.
    fn send(&self, message: Message) {
        match self {
            Queue::Thread(queue) => drop(queue.send(message)),
            Queue::Task(queue) => drop(queue.send(message)),
        }
    }
}

/// What serves the lanes of an output.
pub(crate) struct Service {
    pub(crate) queues: Vec<Queue>,
    pub(crate) tasks: Vec<AbortHandle>,
    /// Dropped to abandon a thread's work.
    pub(crate) abandon: Option<Working>,
    pub(crate) done: Done,
}

impl Service {
    /// For an output that needs nobody.
    pub(crate) fn none() -> Self {
        let (_, done) = crossbeam_channel::bounded(0);
        Service { queues: Vec::new(), tasks: Vec::new(), abandon: None, done }
    }
}

/// One output with one configuration.
pub(crate) struct Output {
    /// Unique among all outputs ever started.
    pub(crate) id: u64,
    pub(crate) config: OutputConfig,
    pub(crate) stats: Arc<Stats>,
    pub(crate) credit: Credit,
    service: Service,
    abandon: Mutex<Option<Working>>,
    abandoned: AtomicBool,
}

impl Output {
    pub(crate) fn new(id: u64, config: OutputConfig, stats: Arc<Stats>, mut service: Service) -> Self {
        let abandon = Mutex::new(service.abandon.take());
        let credit = Credit::new(config.payload_bytes);
        Output { id, config, stats, credit, service, abandon, abandoned: AtomicBool::new(false) }
    }

    /// Sends one encoded batch to its lane.
    pub(crate) fn send(&self, lane: u32, payload: Payload) {
        self.to_lane(lane, Message::Payload(payload));
    }

    /// Tells a lane that nothing follows.
    pub(crate) fn end(&self, lane: u32) {
        self.to_lane(lane, Message::End);
    }

    /// Gives up whatever is not delivered: it is returned.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::SeqCst);
        drop(self.abandon.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.service.tasks.iter().for_each(AbortHandle::abort);
    }

    /// Whether encoding for it is no use.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Waits until its lanes have ended; false when `deadline` came first.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        self.service.done.recv_deadline(deadline) != Err(RecvTimeoutError::Timeout)
    }

    /// Disconnected when its lanes have ended.
    pub(crate) fn done(&self) -> &Done {
        &self.service.done
    }

    fn to_lane(&self, lane: u32, message: Message) {
        let queues = &self.service.queues;
        if let Some(queue) = queues.get(lane as usize % queues.len().max(1)) {
            queue.send(message);
        }
    }
}

/// The outlet of an output. Nothing can be handed over once it is dropped or closed, and then the lanes end.
pub(crate) struct Handle {
    output: Arc<Output>,
    packers: Arc<[PackerPort]>,
    /// Where lane 0 stands among the packers, so that outputs with one lane do not all meet at one packer.
    first: usize,
    closed: AtomicBool,
}

impl Handle {
    pub(crate) fn new(output: Arc<Output>, packers: Arc<[PackerPort]>) -> Self {
        // FNV-1a: stable and enough to spread a few names.
        let hash = output
            .config
            .name
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let first = hash as usize % packers.len();
        Handle { output, packers, first, closed: AtomicBool::new(false) }
    }

    pub(crate) fn output(&self) -> &Arc<Output> {
        &self.output
    }

    /// Whatever is handed over from now on is returned; the lanes end after what they have.
    pub(crate) fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        for lane in 0..self.output.config.concurrency {
            self.packer(lane).send(Job::End { output: self.output.clone(), lane });
        }
    }

    /// All batches of a lane pass one packer, so that their order is kept.
    fn packer(&self, lane: u32) -> &PackerPort {
        &self.packers[(self.first + lane as usize) % self.packers.len()]
    }
}

impl Outlet for Handle {
    fn lanes(&self) -> u32 {
        self.output.config.concurrency
    }

    fn credit(&self) -> &Credit {
        &self.output.credit
    }

    fn queue_credit(&self, lane: u32) -> &Credit {
        self.packer(lane).queue_credit()
    }

    fn hand_over(&self, sealed: Sealed) {
        let Sealed { batch, lane, credit, queued, receipt } = sealed;
        let ticket = Ticket::new(receipt, credit, batch.len(), batch.input_bytes(), &self.output.stats);
        if self.closed.load(Ordering::SeqCst) || self.output.is_abandoned() {
            return;
        }
        // Nothing waits for nothing: no packer, no thread.
        if self.output.config.sink == SinkConfig::Null {
            drop((batch, queued));
            return ticket.delivered(0);
        }
        let output = self.output.clone();
        self.packer(lane).send(Job::Pack { output, lane, batch, queued, ticket });
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.output.config.name)
    }
}
