//! The output that a host is: sealed batches wait here until they are fetched, receipts until they are acknowledged.
//!
//! Two limits hold the engine back: what was read and not been given back (memory), and what was fetched and not been
//! acknowledged (`max_unacked`).

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ringtail_memory::{Credit, CreditLease};
use ringtail_record::{Outcome, Outlet, Receipt, Sealed};
use rustix::event::{EventfdFlags, eventfd};

/// All that threads share of one collection.
pub(crate) struct Exchange {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Readable while there is something to fetch: a batch, an end, a failure.
    event: OwnedFd,
    unacked: Mutex<HashMap<u64, Unacked>>,
    last_token: AtomicU64,
    /// The next batch is to find a defect: see `ringtail_test_panic_in_thread`.
    pub(crate) panics: AtomicBool,
    pub(crate) counts: Counts,
}

/// What only the exchange can count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) fetched_records: AtomicU64,
    pub(crate) fetched_batches: AtomicU64,
    pub(crate) acked_batches: AtomicU64,
    pub(crate) returned_batches: AtomicU64,
    pub(crate) rejected_bytes: AtomicU64,
    /// Batches that the host holds now, also after the end.
    pub(crate) held_batches: AtomicU64,
}

struct Queue {
    waiting: VecDeque<(Sealed, Arc<str>)>,
    phase: Phase,
}

/// What comes after the batches that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Further batches.
    Running,
    /// Nothing.
    Ended,
    /// Nothing, because of this defect.
    Failed(String),
}

/// A batch that was fetched and not been answered.
struct Unacked {
    receipt: Receipt,
    _credit: CreditLease,
    input_bytes: u64,
}

/// What the host did with batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Acked,
    Returned,
    Rejected,
}

/// What fetching finds.
pub(crate) enum Fetched {
    Batch { batch: ringtail_record::Batch, queued: CreditLease, token: u64, pipeline: Arc<str> },
    Nothing,
    End,
    Failed,
}

impl Exchange {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Exchange {
            queue: Mutex::new(Queue { waiting: VecDeque::new(), phase: Phase::Running }),
            changed: Condvar::new(),
            event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            unacked: Mutex::default(),
            last_token: AtomicU64::new(0),
            panics: AtomicBool::new(false),
            counts: Counts::default(),
        })
    }

    /// The descriptor's number; it belongs to the exchange.
    pub(crate) fn event_fd(&self) -> i32 {
        self.event.as_raw_fd()
    }

    /// Takes the next batch, or tells what there is instead.
    pub(crate) fn fetch(&self) -> Fetched {
        let mut queue = self.queue();
        let Some((sealed, pipeline)) = queue.waiting.pop_front() else {
            return match queue.phase {
                Phase::Running => Fetched::Nothing,
                Phase::Ended => Fetched::End,
                Phase::Failed(_) => Fetched::Failed,
            };
        };
        if queue.waiting.is_empty() && queue.phase == Phase::Running {
            // Under the lock, so that the next batch's signal comes after it. An empty counter is no error.
            let _ = rustix::io::read(&self.event, &mut [0; 8]);
        }
        drop(queue);
        let Sealed { batch, credit, queued, receipt, .. } = sealed;
        let token = self.last_token.fetch_add(1, Ordering::Relaxed) + 1;
        let unacked = Unacked { receipt, _credit: credit, input_bytes: batch.input_bytes() };
        self.unacked().insert(token, unacked);
        self.counts.fetched_batches.fetch_add(1, Ordering::Relaxed);
        self.counts.fetched_records.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Fetched::Batch { batch, queued, token, pipeline }
    }

    /// Answers the batches of `tokens`; how many of them were not known, or answered before.
    pub(crate) fn answer(&self, tokens: &[u64], answer: Answer) -> usize {
        let known: Vec<Unacked> = {
            let mut unacked = self.unacked();
            tokens.iter().filter_map(|token| unacked.remove(token)).collect()
        };
        let unknown = tokens.len() - known.len();
        for Unacked { receipt, input_bytes, _credit } in known {
            let (outcome, count, number) = match answer {
                Answer::Acked => (Outcome::Delivered, &self.counts.acked_batches, 1),
                Answer::Returned => (Outcome::Returned, &self.counts.returned_batches, 1),
                Answer::Rejected => {
                    let lost = Outcome::Lost(ringtail_record::Lost::Refused);
                    (lost, &self.counts.rejected_bytes, input_bytes)
                }
            };
            count.fetch_add(number, Ordering::Relaxed);
            receipt.settle(outcome);
        }
        unknown
    }

    /// Waits until there is something to fetch; false when `timeout` passed first. Without one, for ever.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> bool {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut queue = self.queue();
        while queue.waiting.is_empty() && queue.phase == Phase::Running {
            queue = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
        true
    }

    /// Nothing comes any more. What waits is let go: it was not fetched, so that it comes again after a restart. The first
    /// end counts.
    pub(crate) fn end(&self, phase: Phase) {
        let mut queue = self.queue();
        if queue.phase == Phase::Running {
            queue.phase = phase;
        }
        let waiting = std::mem::take(&mut queue.waiting);
        self.signal();
        drop(queue);
        drop(waiting);
    }

    pub(crate) fn phase(&self) -> Phase {
        self.queue().phase.clone()
    }

    /// Batches that wait, and batches that are fetched and not acknowledged.
    pub(crate) fn depths(&self) -> (usize, usize) {
        (self.queue().waiting.len(), self.unacked().len())
    }

    fn put(&self, sealed: Sealed, pipeline: Arc<str>) {
        let mut queue = self.queue();
        if queue.phase != Phase::Running {
            // Without an answer: the receipt says `Returned` by itself.
            drop(queue);
            return drop(sealed);
        }
        let was_empty = queue.waiting.is_empty();
        queue.waiting.push_back((sealed, pipeline));
        if was_empty {
            self.signal();
        }
    }

    /// The queue's lock is held: a signal and its withdrawal cannot cross.
    fn signal(&self) {
        // The counter cannot be full: it is written when it is 0, and once at the end.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        self.changed.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic happens while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unacked(&self) -> MutexGuard<'_, HashMap<u64, Unacked>> {
        self.unacked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host as the output of one pipeline. All of a collection share the credits.
pub(crate) struct Host {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) pipeline: Arc<str>,
    /// Fetched and not acknowledged, in bytes.
    pub(crate) unacked: Credit,
    /// Waiting or held, in bytes.
    pub(crate) held: Credit,
}

impl Outlet for Host {
    fn lanes(&self) -> u32 {
        1
    }

    fn credit(&self) -> &Credit {
        &self.unacked
    }

    fn queue_credit(&self, _lane: u32) -> &Credit {
        &self.held
    }

    fn hand_over(&self, sealed: Sealed) {
        assert!(!self.exchange.panics.load(Ordering::Relaxed), "asked for by ringtail_test_panic_in_thread");
        self.exchange.put(sealed, self.pipeline.clone());
    }
}
