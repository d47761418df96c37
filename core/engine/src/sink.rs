//! From a shard's views to its outboxes: cursors, open batches, and the batches that wait for an answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringtail_io::Waker;
use ringtail_memory::CarryPool;
use ringtail_parse::Table;
use ringtail_record::{Acks, BatchId, BatchPool, Lost, Outcome};

use crate::config::PipelineOutput;
use crate::cursor::Progress;
use crate::maps::{HashMap, HashSet};
use crate::names::{CursorId, LineageId, ViewId};
use crate::outbox::{Delivery, HandedOver, Outbox, Unanswered};
use crate::row::Key;
use crate::stats::PipelineStats;
use crate::view::Standing;

/// One output of one pipeline in one lineage.
pub(crate) struct Cursor {
    pub(crate) key: Key,
    pub(crate) lineage: LineageId,
    /// None once its pipeline is gone: it waits for its last answers, or for the pipeline to come back.
    pub(crate) view: Option<ViewId>,
    pub(crate) outbox: usize,
    pub(crate) lane: usize,
    pub(crate) progress: Progress,
    pub(crate) stats: Arc<PipelineStats>,
    /// Whether what is read for it counts as its pipeline's: so for one output of each pipeline.
    pub(crate) counts: bool,
    /// Where the view stood when this cursor left it for good.
    pub(crate) stood: Standing,
}

pub(crate) struct Sink {
    /// Boxed: see the shard's `lineages`.
    pub(crate) cursors: HashMap<CursorId, Box<Cursor>>,
    /// By number, which is not used again.
    outboxes: BTreeMap<usize, Outbox>,
    last_outbox: usize,
    unanswered: Unanswered,
    last_batch: BatchId,
    /// Cursors whose position may have moved since the last checkpoint.
    pub(crate) dirty: HashSet<CursorId>,
    acks: Arc<dyn Acks>,
    waker: Waker,
    /// Tables for the batches of all outboxes.
    batches: BatchPool,
}

impl Sink {
    pub(crate) fn new(acks: Arc<dyn Acks>, waker: Waker) -> Self {
        Sink {
            cursors: HashMap::default(),
            outboxes: BTreeMap::new(),
            last_outbox: 0,
            unanswered: Unanswered::default(),
            last_batch: 0,
            dirty: HashSet::default(),
            acks,
            waker,
            batches: BatchPool::default(),
        }
    }

    /// The number of the outbox that serves `output`, a new one if there is none.
    pub(crate) fn outbox(&mut self, output: &PipelineOutput) -> usize {
        let mut known = self.outboxes.iter();
        if let Some((number, _)) = known.find(|(_, outbox)| outbox.serves(output)) {
            return *number;
        }
        self.last_outbox += 1;
        let (acks, batches) = (self.acks.clone(), self.batches.clone());
        let mut outbox = Outbox::new(self.last_outbox, output, acks, &self.waker, batches);
        let formers = self.outboxes.values_mut().filter(|former| *former.output == *output.name);
        for former in formers {
            former.retire();
            former.unsent().for_each(|cursor| outbox.hold(cursor, 1));
        }
        let handed_over = self.unanswered.values().filter(|batch| *batch.output == *output.name);
        handed_over.flat_map(|batch| &batch.cursors).for_each(|cursor| outbox.hold(*cursor, 1));
        self.outboxes.insert(self.last_outbox, outbox);
        self.last_outbox
    }

    /// The outboxes of the output called `output` that are newer than number `than`.
    fn newer(&mut self, output: &str, than: usize) -> impl Iterator<Item = &mut Outbox> {
        let newer = self.outboxes.range_mut(than + 1..).map(|(_, outbox)| outbox);
        newer.filter(move |outbox| *outbox.output == *output)
    }

    /// Lets the outlets go that are not among `wanted` and that nobody reads for any more: an output that was taken away or
    /// changed ends when it has delivered what it has.
    pub(crate) fn end_unwanted<'a>(&mut self, wanted: impl Iterator<Item = &'a PipelineOutput> + Clone) {
        let is_wanted = |outbox: &Outbox| wanted.clone().any(|known| outbox.serves(known));
        if self.outboxes.values().all(is_wanted) {
            return;
        }
        let reading = self.cursors.values().filter(|cursor| cursor.view.is_some());
        let used: HashSet<usize> = reading.map(|cursor| cursor.outbox).collect();
        self.outboxes
            .retain(|number, outbox| used.contains(number) || !outbox.is_empty() || is_wanted(outbox));
    }

    pub(crate) fn lane_of(&self, outbox: usize, lineage_hash: u64) -> usize {
        self.outboxes[&outbox].lane_of(lineage_hash)
    }

    /// Gives `delivery` to each of `cursors` and hands over what became full.
    pub(crate) fn deliver(&mut self, cursors: &[CursorId], delivery: &Delivery<'_>, now: Duration) {
        for id in cursors {
            let Some(cursor) = self.cursors.get_mut(id) else { continue };
            let Some(outbox) = self.outboxes.get_mut(&cursor.outbox) else { continue };
            let begun =
                outbox.push(cursor.lane, delivery, *id, &mut cursor.progress, now, &mut self.last_batch);
            if outbox.is_blocked(cursor.lane) {
                outbox.flush(now, false, &mut self.unanswered);
            }
            if begun > 0 && outbox.is_former() {
                let (output, number) = (outbox.output.clone(), cursor.outbox);
                self.newer(&output, number).for_each(|newer| newer.hold(*id, begun));
            }
        }
    }

    /// Counts what a view of `cursors` decoded. `read`: bytes from the file. Says whether it counted for anybody.
    pub(crate) fn count(&self, cursors: &[CursorId], table: &Table, read: u64) -> bool {
        let mut counted = false;
        for cursor in cursors.iter().filter_map(|id| self.cursors.get(id)).filter(|cursor| cursor.counts) {
            counted = true;
            cursor.stats.read_bytes.add(read);
            cursor.stats.records.add(table.records.len() as u64);
            cursor.stats.malformed_lines.add(table.malformed_lines);
        }
        counted
    }

    /// Seals what is due, or all, and hands over what there is credit for.
    pub(crate) fn flush(&mut self, now: Duration, all: bool) {
        for outbox in self.outboxes.values_mut() {
            outbox.flush(now, all, &mut self.unanswered);
        }
    }

    /// When the next open batch is due.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.outboxes.values().filter_map(Outbox::due).min()
    }

    /// Since when `cursor`'s lane has been without credit; `None` while it can take more.
    pub(crate) fn blocked_since(&self, cursor: CursorId) -> Option<Duration> {
        let cursor = self.cursors.get(&cursor)?;
        self.outboxes.get(&cursor.outbox)?.blocked_since(cursor.lane)
    }

    /// An output answered. The cursors of a batch that it gave back come back, and those of what is taken back for that:
    /// they stay where they are.
    pub(crate) fn settle(&mut self, batch: BatchId, outcome: Outcome) -> Vec<CursorId> {
        let Some(HandedOver { output, outbox, cursors }) = self.unanswered.remove(&batch) else {
            return Vec::new();
        };
        self.release(&output, outbox, &cursors);
        match outcome {
            Outcome::Returned => return self.recall(&output, outbox, cursors),
            Outcome::Delivered | Outcome::Lost(Lost::Refused | Lost::Dropped) => {}
        }
        for id in cursors {
            if let Some(cursor) = self.cursors.get_mut(&id)
                && cursor.progress.answered(batch)
            {
                self.dirty.insert(id);
            }
        }
        Vec::new()
    }

    /// A batch of this outbox with records of `cursors` is no longer before what is in newer ones.
    fn release(&mut self, output: &str, outbox: usize, cursors: &[CursorId]) {
        self.newer(output, outbox).for_each(|newer| newer.release(cursors));
    }

    /// What `cursors` had in this outbox comes again: takes back what is later and was not handed over, so that it does not
    /// come first. All cursors to read for again.
    fn recall(&mut self, output: &str, from: usize, cursors: Vec<CursorId>) -> Vec<CursorId> {
        let mut again: HashSet<CursorId> = cursors.into_iter().collect();
        let same = self.outboxes.range(from..).filter(|(_, outbox)| *outbox.output == *output);
        for number in same.map(|(number, _)| *number).collect::<Vec<usize>>() {
            let Some(outbox) = self.outboxes.get_mut(&number) else { continue };
            for cursors in outbox.recall(&again) {
                self.release(output, number, &cursors);
                again.extend(cursors);
            }
        }
        again.into_iter().collect()
    }

    /// Lets slabs go that batches pin.
    pub(crate) fn relieve(&mut self, now: Duration, carries: &CarryPool) {
        for outbox in self.outboxes.values_mut() {
            outbox.relieve(carries);
            outbox.flush(now, false, &mut self.unanswered);
        }
    }

    /// Whether nothing is open and nothing waits for an answer.
    pub(crate) fn is_clear(&self) -> bool {
        self.unanswered.is_empty() && self.outboxes.values().all(Outbox::is_empty)
    }
}
