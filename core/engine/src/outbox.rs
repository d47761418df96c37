//! The outbox: one shard's side of one output. Records become open batches, one per lane; a full or due batch is
//! sealed, takes its credit and is handed over, or waits here, and its lane is blocked, until there is credit.
//!
//! An output that a reload changes has a new outbox beside the former one. What was read later goes to the new one, and
//! must not be delivered first: its batches wait until the former ones of their cursors are answered.
//!
//! Limits: a lane's waiting batches come from at most the reads in flight when it was blocked, since a view whose
//! lane is blocked does not read.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use ringtail_io::Waker;
use ringtail_memory::{CarryPool, Credit, Frozen};
use ringtail_parse::Decoded;
use ringtail_record::{Acks, Batch, BatchId, BatchPool, Outlet, Position, Receipt, Record, Sealed, Source};

use crate::config::{BatchLimits, PipelineOutput};
use crate::cursor::{Ends, Progress, Stood};
use crate::maps::{HashMap, HashSet};
use crate::names::CursorId;

/// A batch smaller than this is copied out when slabs run short; a larger one is sealed.
const COPY_OUT_BYTES: usize = 64 << 10;

/// What a record takes on the wire beside its message and its source's attributes: time, stream, names, braces.
const RECORD_WIRE_BYTES: usize = 80;

/// What one decoded chunk gives to the outputs.
pub(crate) struct Delivery<'a> {
    pub(crate) generation: u32,
    pub(crate) stood: Stood,
    pub(crate) share: Share,
    pub(crate) source: &'a Arc<Source>,
    pub(crate) chunk: &'a Frozen,
    pub(crate) joined: &'a [Frozen],
    pub(crate) records: &'a [Decoded],
    /// The end of the chunk, with bytes to recognise the file by.
    pub(crate) tail: (u32, ringtail_read::Tail),
}

/// Which bytes of input belong to which records: to each those from the end of the one before to its own. So every byte
/// is counted once, without a length in each record; where parts of streams are mixed, the next record that
/// ends takes them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    /// What lies before this offset was given to a record.
    pub(crate) from: u64,
    /// Bytes before that, which were not.
    pub(crate) pending: u64,
    /// Bytes that belong to no record: they are counted as lost, or were delivered earlier. Where records took them
    /// before that was known, the next ones have fewer.
    pub(crate) unowned: u64,
}

impl Share {
    /// The bytes of the next records, the last of which ends at `end`.
    pub(crate) fn up_to(&mut self, end: u64) -> u64 {
        let bytes = end.saturating_sub(self.from) + std::mem::take(&mut self.pending);
        let unowned = bytes.min(self.unowned);
        self.from = self.from.max(end);
        self.unowned -= unowned;
        bytes - unowned
    }
}

/// Batches that were handed over.
pub(crate) type Unanswered = HashMap<BatchId, HandedOver>;

/// A batch that was handed over.
pub(crate) struct HandedOver {
    /// The name of the output.
    pub(crate) output: Arc<str>,
    /// The number of the outbox.
    pub(crate) outbox: usize,
    /// The cursors that wait for its answer.
    pub(crate) cursors: Vec<CursorId>,
}

pub(crate) struct Outbox {
    /// Newer ones have greater numbers.
    number: usize,
    /// The output's name.
    pub(crate) output: Arc<str>,
    outlet: Arc<dyn Outlet>,
    limits: BatchLimits,
    lanes: Vec<Lane>,
    acks: Arc<dyn Acks>,
    batches: BatchPool,
    /// A newer one serves the output, to which cursors go over.
    is_former: bool,
    /// In how many batches of former outboxes, not answered yet, a cursor has records.
    held: HashMap<CursorId, usize>,
}

#[derive(Default)]
struct Lane {
    open: Option<Open>,
    waiting: VecDeque<Open>,
    blocked_since: Option<Duration>,
}

struct Open {
    id: BatchId,
    batch: Batch,
    wire_bytes: usize,
    cursors: Vec<CursorId>,
    since: Duration,
}

impl Outbox {
    pub(crate) fn new(
        number: usize,
        output: &PipelineOutput,
        acks: Arc<dyn Acks>,
        waker: &Waker,
        batches: BatchPool,
    ) -> Self {
        let (outlet, limits) = (output.outlet.clone(), output.batch);
        let wake = || {
            let waker = waker.clone();
            move || waker.wake()
        };
        outlet.credit().on_release(wake());
        (0..outlet.lanes().max(1)).for_each(|lane| outlet.queue_credit(lane).on_release(wake()));
        let lanes = (0..outlet.lanes().max(1)).map(|_| Lane::default()).collect();
        let output = output.name.as_str().into();
        let (is_former, held) = (false, HashMap::default());
        Outbox { number, output, outlet, limits, lanes, acks, batches, is_former, held }
    }

    /// Whether this outbox is where the cursors of `output` belong. A former one is not, also when the output is again what it
    /// was: what went to a newer one lies between.
    pub(crate) fn serves(&self, output: &PipelineOutput) -> bool {
        !self.is_former && Arc::ptr_eq(&self.outlet, &output.outlet) && self.limits == output.batch
    }

    pub(crate) fn is_former(&self) -> bool {
        self.is_former
    }

    /// A newer one serves the output. What is open is sealed, since that waits for it.
    pub(crate) fn retire(&mut self) {
        self.is_former = true;
        (0..self.lanes.len()).for_each(|lane| self.seal(lane));
    }

    /// The cursors of all batches that were not handed over, once a batch.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = CursorId> {
        let batches = self.lanes.iter().flat_map(|lane| lane.waiting.iter().chain(&lane.open));
        batches.flat_map(|batch| batch.cursors.iter().copied())
    }

    /// `cursor` has records in so many more batches of a former outbox.
    pub(crate) fn hold(&mut self, cursor: CursorId, batches: usize) {
        *self.held.entry(cursor).or_default() += batches;
    }

    /// A batch of a former outbox, with records of `cursors`, was answered or taken back.
    pub(crate) fn release(&mut self, cursors: &[CursorId]) {
        for cursor in cursors {
            if let Entry::Occupied(mut batches) = self.held.entry(*cursor) {
                *batches.get_mut() -= 1;
                if *batches.get() == 0 {
                    batches.remove();
                }
            }
        }
    }

    /// Takes back what was not handed over, in each lane from the first batch on that has records of `again`, which are
    /// read again from before these. The cursors of each batch that was taken back.
    pub(crate) fn recall(&mut self, again: &HashSet<CursorId>) -> Vec<Vec<CursorId>> {
        let is_stale = |batch: &Open| batch.cursors.iter().any(|cursor| again.contains(cursor));
        let mut recalled = Vec::new();
        for lane in &mut self.lanes {
            let first = lane.waiting.iter().position(is_stale);
            if first.is_some() || lane.open.as_ref().is_some_and(is_stale) {
                recalled.extend(lane.waiting.drain(first.unwrap_or(lane.waiting.len())..));
                recalled.extend(lane.open.take());
            }
        }
        recalled.into_iter().map(|batch| batch.cursors).collect()
    }

    pub(crate) fn lane_of(&self, lineage_hash: u64) -> usize {
        let lane = lineage_hash % self.lanes.len() as u64;
        usize::try_from(lane).expect("a lane's number is below a Vec's length")
    }

    /// Puts all of `delivery` into the batches of `lane` for `cursor`. In how many of them it had no records before.
    pub(crate) fn push(
        &mut self,
        lane: usize,
        delivery: &Delivery<'_>,
        cursor: CursorId,
        progress: &mut Progress,
        now: Duration,
        next_id: &mut BatchId,
    ) -> usize {
        let record_bytes = RECORD_WIRE_BYTES + delivery.source.wire_len();
        let (mut share, mut begun) = (delivery.share, 0);
        for run in delivery.records.chunk_by(|a, b| a.home == b.home) {
            let buffer = match run[0].home.joined() {
                None => delivery.chunk,
                Some(number) => &delivery.joined[number],
            };
            let mut rest = run;
            while !rest.is_empty() {
                let open = self.lanes[lane].open.get_or_insert_with(|| {
                    *next_id += 1;
                    Open {
                        id: *next_id,
                        batch: self.batches.take(),
                        wire_bytes: 0,
                        cursors: Vec::new(),
                        since: now,
                    }
                });
                let (count, ends) = open.fill(&self.limits, rest, delivery.generation, record_bytes);
                let (now_in, later) = rest.split_at(count);
                open.batch.append(buffer, delivery.source, now_in.iter().map(record));
                open.batch.count_input(now_in.last().map_or(0, |last| share.up_to(last.end)));
                if progress.pushed(open.id, &delivery.stood, ends, delivery.tail) {
                    open.cursors.push(cursor);
                    begun += 1;
                }
                if open.is_full(&self.limits) {
                    self.seal(lane);
                }
                rest = later;
            }
        }
        begun
    }

    /// Seals what is due at `now`, or everything when `all`, and hands over what there is credit for.
    pub(crate) fn flush(&mut self, now: Duration, all: bool, unanswered: &mut Unanswered) {
        for lane in 0..self.lanes.len() {
            let due = |open: &Open| all || now >= open.since + self.limits.max_delay;
            if self.lanes[lane].open.as_ref().is_some_and(due) {
                self.seal(lane);
            }
            self.hand_over(lane, now, unanswered);
        }
    }

    /// When [`flush`](Outbox::flush) has something to seal; waiting batches are woken by credit instead.
    pub(crate) fn due(&self) -> Option<Duration> {
        let open = self.lanes.iter().filter_map(|lane| lane.open.as_ref());
        open.map(|open| open.since + self.limits.max_delay).min()
    }

    /// Whether batches of `lane` wait for credit.
    pub(crate) fn is_blocked(&self, lane: usize) -> bool {
        !self.lanes[lane].waiting.is_empty()
    }

    /// Since when `lane` has been without credit.
    pub(crate) fn blocked_since(&self, lane: usize) -> Option<Duration> {
        self.lanes[lane].blocked_since
    }

    /// Whether nothing is held here.
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.open.is_none() && lane.waiting.is_empty())
    }

    /// Lets slabs go that open and waiting batches pin: small ones are copied out, larger ones sealed.
    pub(crate) fn relieve(&mut self, carries: &CarryPool) {
        for lane in 0..self.lanes.len() {
            // What cannot be copied stays as it is; there will be less of it when the output has answered.
            for waiting in &mut self.lanes[lane].waiting {
                let is_pinning = waiting.batch.buffers().len() > 1;
                let _ = if is_pinning { waiting.batch.copy_out(carries) } else { Ok(()) };
            }
            let Some(open) = &mut self.lanes[lane].open else { continue };
            if open.batch.body_bytes() >= COPY_OUT_BYTES || open.batch.copy_out(carries).is_err() {
                self.seal(lane);
            }
        }
    }

    fn seal(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        lane.waiting.extend(lane.open.take());
    }

    fn hand_over(&mut self, lane: usize, now: Duration, unanswered: &mut Unanswered) {
        let number = u32::try_from(lane).expect("an output has fewer than 2^32 lanes");
        let queue_credit = self.outlet.queue_credit(number);
        let state = &mut self.lanes[lane];
        while let Some(front) = state.waiting.front() {
            if !self.held.is_empty() && front.cursors.iter().any(|cursor| self.held.contains_key(cursor)) {
                break;
            }
            // A batch larger than the whole share would wait for ever: it takes all there is.
            let bytes = |credit: &Credit| front.wire_bytes.min(credit.limit());
            // Asked for first: a credit taken and given back would wake everybody who waits for it, us included.
            if !queue_credit.has(bytes(queue_credit)) {
                break;
            }
            let Some(credit) = self.outlet.credit().take(bytes(self.outlet.credit())) else { break };
            let Some(queued) = queue_credit.take(bytes(queue_credit)) else { break };
            let Some(Open { id, batch, cursors, .. }) = state.waiting.pop_front() else { break };
            unanswered.insert(id, HandedOver { output: self.output.clone(), outbox: self.number, cursors });
            let receipt = Receipt::new(id, self.acks.clone());
            self.outlet.hand_over(Sealed { batch, lane: number, credit, queued, receipt });
        }
        state.blocked_since = match state.waiting.is_empty() {
            true => None,
            false => state.blocked_since.or(Some(now)),
        };
    }
}

impl Open {
    /// How many of `records` go into this batch, at least one, and where the last one of each stream ends.
    fn fill(
        &mut self,
        limits: &BatchLimits,
        records: &[Decoded],
        generation: u32,
        record_bytes: usize,
    ) -> (usize, Ends) {
        let room = limits.max_records.saturating_sub(self.batch.len()).max(1);
        let mut ends = Ends::default();
        let mut count = 0;
        for record in records.iter().take(room) {
            self.wire_bytes += record.len as usize + record_bytes;
            ends[record.stream.index()] = Some(Position { generation, offset: record.end });
            count += 1;
            if self.wire_bytes >= limits.max_bytes {
                break;
            }
        }
        (count, ends)
    }

    fn is_full(&self, limits: &BatchLimits) -> bool {
        self.wire_bytes >= limits.max_bytes || self.batch.len() >= limits.max_records
    }
}

/// A record of the batch's table; buffer and source are set on append.
fn record(decoded: &Decoded) -> Record {
    let Decoded { time_ns, off, len, stream, flags, .. } = *decoded;
    Record { time_ns, buffer: 0, off, len, source: 0, stream, flags }
}
