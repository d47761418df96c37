//! An output that the driver controls: it takes batches in, delivers them lane by lane when it is told to, and answers
//! later still, refuses for good, or gives back what it has.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ringtail_memory::{Credit, CreditLease};
use ringtail_record::{Batch, Flags, Outcome, Outlet, Receipt, RecordView, Sealed, Stream};

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
    /// Which delivery of its output it was.
    number: u64,
    messages: Vec<Message>,
    input_bytes: u64,
    receipt: Receipt,
    _credit: CreditLease,
}

/// A batch whose answer was given.
pub(super) struct Answered {
    /// Which delivery of its output it was.
    pub(super) number: u64,
    pub(super) messages: Vec<Message>,
}

/// What a lane gave back.
pub(super) struct GivenBack {
    /// Later deliveries have greater numbers.
    pub(super) last: u64,
    pub(super) messages: Vec<Message>,
    /// Was delivered before in this lane, and will be answered.
    pub(super) kept: Vec<Message>,
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
    last: u64,
    /// Bytes of input that were answered as delivered, and as lost.
    settled_bytes: u64,
    refused_bytes: u64,
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
                ..State::default()
            }),
        }
    }

    /// Delivers the next batch of `lane`; nothing when there is none.
    pub(super) fn deliver(&self, lane: usize) -> Option<Vec<Message>> {
        let mut state = self.state();
        let Sealed { batch, lane: in_lane, credit, receipt, .. } = state.lanes[lane].pop_front()?;
        let messages = messages(&batch);
        state.last += 1;
        let (number, input_bytes) = (state.last, batch.input_bytes());
        state.delivered.push(Delivered {
            lane: in_lane,
            number,
            messages: messages.clone(),
            input_bytes,
            receipt,
            _credit: credit,
        });
        Some(messages)
    }

    /// How many batches were delivered and not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.state().delivered.len()
    }

    /// Answers one of them, or what was delivered first in its lane.
    pub(super) fn answer(&self, number: usize, outcome: Outcome) -> Answered {
        let mut state = self.state();
        let lane = state.delivered[number].lane;
        let first = state.delivered.iter().position(|known| known.lane == lane).expect("at least this one");
        let Delivered { number, messages, input_bytes, receipt, .. } =
            state.delivered.remove(if self.in_order { first } else { number });
        match outcome {
            Outcome::Lost(_) => state.refused_bytes += input_bytes,
            Outcome::Delivered | Outcome::Returned => state.settled_bytes += input_bytes,
        }
        drop(state);
        receipt.settle(outcome);
        Answered { number, messages }
    }

    /// Gives back what waits in `lane`, and what was delivered there but for the first `keep` batches, in a random order: an
    /// output that ends has no other. It may have arrived all the same.
    pub(super) fn give_back(&self, lane: usize, keep: usize, random: impl Fn(usize) -> usize) -> GivenBack {
        let mut state = self.state();
        let mut receipts = Vec::new();
        let mut given = GivenBack { last: state.last, messages: Vec::new(), kept: Vec::new() };
        let mut seen = 0;
        for known in std::mem::take(&mut state.delivered) {
            let is_here = known.lane as usize == lane;
            seen += usize::from(is_here);
            if is_here && seen > keep {
                given.messages.extend(known.messages);
                receipts.push(known.receipt);
                continue;
            }
            if is_here {
                given.kept.extend_from_slice(&known.messages);
            }
            state.delivered.push(known);
        }
        for Sealed { batch, receipt, .. } in std::mem::take(&mut state.lanes[lane]) {
            given.messages.extend(messages(&batch));
            receipts.push(receipt);
        }
        drop(state);
        while !receipts.is_empty() {
            drop(receipts.swap_remove(random(receipts.len())));
        }
        given
    }

    /// Bytes of input that were answered as delivered, and as lost.
    pub(super) fn input_bytes(&self) -> (u64, u64) {
        let state = self.state();
        (state.settled_bytes, state.refused_bytes)
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

fn messages(batch: &Batch) -> Vec<Message> {
    let message = |record: RecordView<'_>| Message {
        stream: record.stream,
        flags: record.flags,
        body: String::from_utf8_lossy(record.body).into_owned(),
    };
    batch.iter().map(message).collect()
}
