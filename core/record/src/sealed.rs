//! A sealed batch on its way to an output, the output's side of that border, and the answer that comes back.

use std::fmt;
use std::sync::Arc;

use ringtail_memory::{Credit, CreditLease};

use crate::batch::Batch;

/// The number of a batch, unique in the shard that sealed it.
pub type BatchId = u64;

/// Why an output will never deliver a batch; the `reason` of `ringtail_lost_bytes_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The backend refused it and says that trying again is no use.
    Refused,
    /// The user asked to drop it.
    Dropped,
}

/// How an output answered a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The backend has it.
    Delivered,
    /// It is given up and counted; positions move on.
    Lost(Lost),
    /// It was not delivered and is not tried any more (the output is closing): positions stay, it comes again.
    Returned,
}

/// Where answers go. Called from any thread, once per batch; must not block.
pub trait Acks: Send + Sync {
    /// The output answered the batch `id`.
    fn settled(&self, id: BatchId, outcome: Outcome);
}

/// What a shard sees of an output: lanes, and the credit it must take before it hands a batch over.
pub trait Outlet: Send + Sync {
    /// The number of lanes (the output's `concurrency`), at least one.
    fn lanes(&self) -> u32;

    /// The output's share of the payload budget: taken for a batch before it is handed over, held until the answer.
    fn credit(&self) -> &Credit;

    /// What may wait, sealed but not yet encoded, before the packer that serves `lane`.
    fn queue_credit(&self, lane: u32) -> &Credit;

    /// Hands a batch over. Never blocks: what may wait is bounded by the two credits.
    fn hand_over(&self, sealed: Sealed);
}

/// A batch handed to an output. It is answered exactly once: by its receipt, or as [`Outcome::Returned`] when that
/// is dropped.
pub struct Sealed {
    /// The records.
    pub batch: Batch,
    /// Batches of one lane are delivered in the order in which they were handed over; below [`Outlet::lanes`].
    pub lane: u32,
    /// The output's credit for this batch, held until the answer; shrunk to the payload's size once that is known.
    pub credit: CreditLease,
    /// The packer's credit for this batch, held until it is encoded.
    pub queued: CreditLease,
    /// How to answer.
    pub receipt: Receipt,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({:?} with {} records, lane {})", self.receipt, self.batch.len(), self.lane)
    }
}

/// The right, and the duty, to answer one batch.
pub struct Receipt {
    id: BatchId,
    acks: Option<Arc<dyn Acks>>,
}

impl Receipt {
    /// A receipt for the batch `id`, answered to `acks`.
    pub fn new(id: BatchId, acks: Arc<dyn Acks>) -> Self {
        Receipt { id, acks: Some(acks) }
    }

    /// Answers.
    pub fn settle(mut self, outcome: Outcome) {
        self.answer(outcome);
    }

    fn answer(&mut self, outcome: Outcome) {
        if let Some(acks) = self.acks.take() {
            acks.settled(self.id, outcome);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.answer(Outcome::Returned);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({})", self.id)
    }
}
