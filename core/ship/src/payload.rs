//! A payload: one encoded batch that waits for its answer, and the ticket that answers it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use ringtail_memory::CreditLease;
use ringtail_record::{Lost, Outcome, Receipt};

use crate::stats::{Stats, add};

/// What goes to a lane: payloads in order, then the end.
pub(crate) enum Message {
    Payload(Payload),
    /// Nothing comes after this on one of the output's lanes.
    End,
}

/// One encoded batch. Its bytes have exactly the size that their credit says.
pub(crate) struct Payload {
    pub(crate) bytes: Bytes,
    pub(crate) ticket: Ticket,
}

impl Payload {
    /// The backend has it.
    pub(crate) fn delivered(self) {
        let bytes = self.bytes.len();
        drop(self.bytes);
        self.ticket.delivered(bytes);
    }
}

/// The right and the duty to answer one batch and to keep the books of it. Dropped unanswered, the batch is returned.
pub(crate) struct Ticket {
    receipt: Option<Receipt>,
    records: u64,
    input_bytes: u64,
    stats: Arc<Stats>,
    /// Held until the answer.
    credit: Option<CreditLease>,
}

impl Ticket {
    pub(crate) fn new(
        receipt: Receipt,
        credit: CreditLease,
        records: usize,
        input_bytes: u64,
        stats: &Arc<Stats>,
    ) -> Self {
        add(&stats.in_flight, 1);
        let records = records as u64;
        Ticket { receipt: Some(receipt), records, input_bytes, stats: stats.clone(), credit: Some(credit) }
    }

    /// From now on the batch holds `bytes`: those of its payload.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if let Some(credit) = &mut self.credit {
            credit.shrink_to(bytes);
        }
    }

    pub(crate) fn delivered(mut self, payload_bytes: usize) {
        add(&self.stats.delivered_records, self.records);
        add(&self.stats.delivered_bytes, payload_bytes as u64);
        add(&self.stats.delivered_input_bytes, self.input_bytes);
        self.settle(Outcome::Delivered);
    }

    /// The backend will never take it; `why` is what it said.
    pub(crate) fn refused(mut self, why: String) {
        self.stats.refused(self.records, self.input_bytes, why);
        self.settle(Outcome::Lost(Lost::Refused));
    }

    fn settle(&mut self, outcome: Outcome) {
        if let Some(receipt) = self.receipt.take() {
            self.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
            // First the credit: whoever sees the answer can use it.
            self.credit = None;
            receipt.settle(outcome);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.receipt.is_some() {
            add(&self.stats.returned, 1);
            self.settle(Outcome::Returned);
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Payloads for the tests of writers.

    use ringtail_memory::Credit;
    use ringtail_record::{Acks, BatchId};

    use super::*;

    struct Nobody;

    impl Acks for Nobody {
        fn settled(&self, _: BatchId, _: Outcome) {}
    }

    /// A payload of one record whose answer is seen in `stats` alone.
    pub(crate) fn payload(text: &str, stats: &Arc<Stats>) -> Payload {
        let credit = Credit::new(text.len()).take(text.len()).expect("its own credit");
        let receipt = Receipt::new(0, Arc::new(Nobody));
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        Payload { bytes, ticket: Ticket::new(receipt, credit, 1, text.len() as u64, stats) }
    }
}
