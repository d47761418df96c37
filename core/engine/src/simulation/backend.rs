//! An output that the driver controls: it takes batches in, delivers them lane by lane when it is told to, and answers
//! later still.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ringtail_memory::{Credit, CreditLease};
use ringtail_record::{Flags, Outcome, Outlet, Receipt, Sealed, Stream};

/// A record as the output sees it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) stream: Stream,
    pub(super) flags: Flags,
    pub(super) body: String,
}

/// A batch that was delivered and not answered yet.
struct Delivered {
    lane: u32,
    messages: Vec<Message>,
    receipt: Receipt,
    _credit: CreditLease,
}

/// The output.
pub(super) struct Backend {
    pub(super) name: String,
    /// The answers of a lane come in its order, as they do with one request in flight; otherwise in any.
    in_order: bool,
    credit: Credit,
    queues: Vec<Credit>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lanes: Vec<VecDeque<Sealed>>,
    delivered: Vec<Delivered>,
}

impl Backend {
    pub(super) fn new(name: String, lanes: usize, credit: usize, in_order: bool) -> Self {
        Backend {
            name,
            in_order,
            credit: Credit::new(credit),
            queues: (0..lanes).map(|_| Credit::new(credit)).collect(),
            state: Mutex::new(State {
                lanes: (0..lanes).map(|_| VecDeque::new()).collect(),
                delivered: Vec::new(),
            }),
        }
    }

    /// Delivers the next batch of `lane`; nothing when there is none.
    pub(super) fn deliver(&self, lane: usize) -> Option<Vec<Message>> {
        let Sealed { batch, lane: in_lane, credit, receipt, .. } = self.state().lanes[lane].pop_front()?;
        let message = |record: ringtail_record::RecordView<'_>| Message {
            stream: record.stream,
            flags: record.flags,
            body: String::from_utf8_lossy(record.body).into_owned(),
        };
        let messages: Vec<Message> = batch.iter().map(message).collect();
        self.state().delivered.push(Delivered {
            lane: in_lane,
            messages: messages.clone(),
            receipt,
            _credit: credit,
        });
        Some(messages)
    }

    /// How many batches were delivered and not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.state().delivered.len()
    }

    /// Answers one of them, or what was delivered first in its lane; returns what it held.
    pub(super) fn answer(&self, number: usize) -> Vec<Message> {
        let Delivered { messages, receipt, .. } = {
            let delivered = &mut self.state().delivered;
            let lane = delivered[number].lane;
            let first = delivered.iter().position(|known| known.lane == lane).expect("at least this one");
            delivered.remove(if self.in_order { first } else { number })
        };
        receipt.settle(Outcome::Delivered);
        messages
    }

    /// What a kill of the process makes of the batches in it.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.lanes.iter_mut().for_each(VecDeque::clear);
        state.delivered.clear();
    }

    /// Bytes of credit in use.
    pub(super) fn used(&self) -> usize {
        self.credit.used() + self.queues.iter().map(Credit::used).sum::<usize>()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} lanes, {:?}", self.name, self.queues.len(), self.credit)
    }
}

impl Outlet for Backend {
    fn lanes(&self) -> u32 {
        u32::try_from(self.queues.len()).expect("a few")
    }

    fn credit(&self) -> &Credit {
        &self.credit
    }

    fn queue_credit(&self, lane: u32) -> &Credit {
        &self.queues[lane as usize]
    }

    fn hand_over(&self, sealed: Sealed) {
        let lane = sealed.lane as usize;
        self.state().lanes[lane].push_back(sealed);
    }
}
