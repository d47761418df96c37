//! One log over time, on its shard: which file holds a position, what comes after it, what was lost.
//!
//! A state machine without file-system calls: the scanner's [`Listing`]s and the engine's reads go in, [`Change`]s and
//! [`Next`]s come out.
//!
//! **Leaving a generation.** Kubelet renames a log before the runtime opens the new one, and the runtime goes on writing
//! to the renamed file until then; whoever is told by logrotate does so longer. So a view leaves generation G for its
//! successor only when the successor was seen to have content *and* a read that was asked for after that found nothing
//! more in G; for an empty successor only where G is deleted, or the successor is not open to be asked, after [`GRACE`].
//! What is written to G later still, by a second writer, is told by [`Change::Late`], with the range, and is read out of
//! its order by a view of its own: `next` goes on answering for every generation that was not released.
//!
//! **Truncation** is told by the listing. A read begins a little before its position, where it is known what was read there; where
//! other bytes are, the file was emptied and written anew, the scanner is asked to look ([`crate::Scanner::doubt`]), and
//! nothing of it is taken before its answer: the rest of the old contents may be in a copy.
//!
//! **Deleted files** are read to their end through the open file, while [`Lineage::enforce`] finds them within its
//! limits; after [`LINGER`] without growth they count as drained.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::generation::{Fate, Generation, Handle, see, vanish};
use crate::head::Content;
use crate::identity::{FileRecord, HEAD_BYTES, Identity};
use crate::listing::{Listing, Sighting};
use crate::next::{Change, LostReason, Next, Start, Turn};
use crate::open::OpenFile;

/// How long a successor without content holds back the advance where that is bounded.
pub const GRACE: Duration = Duration::from_secs(1);

/// How long a deleted file may stay without growth before it counts as drained.
pub const LINGER: Duration = Duration::from_secs(2);

/// How many released files a checkpoint goes on to know, the newest ones: what lies before these is older.
const MAX_RELEASED: usize = 16;

/// One log over time. See the module's description.
#[derive(Debug)]
pub struct Lineage {
    id: Arc<Path>,
    at_start: bool,
    /// Whether the last listing had no file.
    gone: bool,
    turn: u64,
    /// When the newest generation was first seen.
    newest_since: Duration,
    /// Ascending by number.
    generations: Vec<Generation>,
    /// Smaller numbers were released.
    floor: u32,
    /// Files of released generations that are still there, oldest first.
    released: Vec<FileRecord>,
}

impl Lineage {
    /// A lineage that was never seen before. It knows nothing until its first listing.
    pub fn new(id: Arc<Path>) -> Self {
        Lineage {
            id,
            at_start: true,
            gone: false,
            turn: 0,
            newest_since: Duration::ZERO,
            // Ten thousand idle logs have one each, and `Vec` would begin with room for four.
            generations: Vec::with_capacity(1),
            floor: 0,
            released: Vec::new(),
        }
    }

    /// A lineage as a checkpoint has it; the scanner must have been given the same records.
    pub fn restore(id: Arc<Path>, mut records: Vec<FileRecord>) -> Self {
        records.sort_by_key(|record| record.generation);
        let floor = records.first().map_or(0, |record| record.generation);
        let generations = records.into_iter().map(Generation::restored).collect();
        Lineage { generations, floor, ..Lineage::new(id) }
    }

    /// Its name: the path, without symlinks, of the file that is written to.
    pub fn id(&self) -> &Arc<Path> {
        &self.id
    }

    /// The generations that were not released, oldest first.
    pub fn generations(&self) -> &[Generation] {
        &self.generations
    }

    /// Takes over what a scan saw. `consumed` tells how far a generation was consumed by the slowest of its readers
    /// (the smallest position that somebody would read from; 0 where nobody began), for what is counted as lost.
    pub fn apply(&mut self, listing: &Listing, now: Duration, consumed: impl Fn(u32) -> u64) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.turn == 0 {
            self.at_start = listing.at_start;
        }
        self.turn += 1;
        self.gone = listing.files.is_empty();
        for generation in &mut self.generations {
            if !listing.files.iter().any(|file| file.generation == generation.number) {
                changes.extend(vanish(generation, listing, now, &consumed));
            }
        }
        for sighting in listing.files.iter().filter(|file| file.generation >= self.floor) {
            match self.generations.iter_mut().find(|known| known.number == sighting.generation) {
                Some(known) => see(known, sighting, listing, &consumed, &mut changes),
                None => {
                    self.generations.push(Generation::new(sighting));
                    self.newest_since = now;
                    changes.push(Change::Found { generation: sighting.generation });
                }
            }
        }
        self.generations.sort_by_key(|generation| generation.number);
        self.see_released(listing);
        changes
    }

    /// Keeps track of released files that are still there.
    fn see_released(&mut self, listing: &Listing) {
        let before = std::mem::take(&mut self.released);
        let record = |seen: &Sighting| {
            // The size of a compressed file says nothing of its contents.
            let known = before.iter().find(|known| seen.gz && known.generation == seen.generation);
            let size = known.map_or(seen.stat.size, |known| known.size);
            FileRecord { size, ..seen.record() }
        };
        let released = listing.files.iter().filter(|file| file.generation < self.floor);
        self.keep_released(released.map(record).collect());
    }

    /// Remembers the newest of these, without the empty ones, which every file might be.
    fn keep_released(&mut self, mut files: Vec<FileRecord>) {
        files.retain(|file| file.identity.head.len > 0);
        files.sort_by_key(|file| file.generation);
        self.released = files.split_off(files.len().saturating_sub(MAX_RELEASED));
    }

    /// Whether it was there at the first scan, so that a pipeline's `start` concerns it; otherwise a view without a
    /// checkpoint begins at [`Start::Beginning`].
    pub fn at_start(&self) -> bool {
        self.at_start
    }

    /// Where a view begins; nothing before the first listing that has a file.
    pub fn begin(&self, start: Start) -> Option<(u32, u64)> {
        let (oldest, newest) = (self.generations.first()?, self.generations.last()?);
        match start {
            Start::Beginning => Some((oldest.number, oldest.begin)),
            // How much a compressed file holds is not known; what comes next has the next number.
            Start::End if newest.gz => Some((newest.number + 1, 0)),
            Start::End => Some((newest.number, newest.size)),
            Start::Last(bytes) => Some(self.last(bytes, newest)),
        }
    }

    fn last(&self, bytes: u64, newest: &Generation) -> (u32, u64) {
        let mut place = (newest.number + u32::from(newest.gz), 0);
        let mut missing = bytes;
        for generation in self.generations.iter().rev().take_while(|generation| !generation.gz) {
            let offset = generation.size.saturating_sub(missing).max(generation.begin);
            place = (generation.number, offset);
            missing = missing.saturating_sub(generation.size - offset);
            if missing == 0 || offset > 0 {
                break;
            }
        }
        place
    }

    /// What a view at `offset` of `generation` has to do at the monotonic time `now`.
    pub fn next(&mut self, generation: u32, offset: u64, now: Duration) -> Next {
        let Some(at) = self.generations.iter().position(|known| known.number == generation) else {
            return self.onward(self.generations.partition_point(|known| known.number <= generation));
        };
        let known = &self.generations[at];
        if !known.is_readable() {
            return self.onward(at + 1);
        }
        // A view that is behind the one that found the end has more to read.
        let found = known.ended.is_some_and(|(turn, end)| turn == Turn(self.turn) && offset >= end);
        let ended = found || known.known_end(offset);
        if !ended {
            return self.read(known, offset);
        }
        let (fate, successor) = (known.fate, self.successor(at + 1));
        if successor.is_some_and(|successor| self.has_begun(successor)) {
            // What was written to this one before is asked for once more.
            self.turn += 1;
            return self.read(&self.generations[at], offset);
        }
        match (successor, fate) {
            (Some(successor), fate) if self.is_ready(successor, fate, now) => {
                // The slowest of its readers counts: what comes later is told to all.
                let left = self.generations[at].left;
                self.generations[at].left = Some(left.map_or(offset, |left| left.min(offset)));
                self.onward(at + 1)
            }
            (Some(_), _) if now < self.newest_since + GRACE => {
                Next::Wait { until: Some(self.newest_since + GRACE) }
            }
            (Some(_), _) => Next::Wait { until: None },
            (None, Fate::Deleted { since }) if now >= since + LINGER && self.gone => Next::Finished,
            (None, Fate::Deleted { since }) if now >= since + LINGER => {
                // Drained; its rotated siblings are still there, and so is the lineage.
                self.generations[at].open = None;
                self.generations[at].fate = Fate::Gone;
                Next::Wait { until: None }
            }
            (None, Fate::Deleted { since }) => Next::Wait { until: Some(since + LINGER) },
            (None, _) => Next::Wait { until: None },
        }
    }

    /// Nothing was there to read at `offset`, by a read that was asked for in `turn`. A deleted file that ends before
    /// what was seen of it was truncated: what that lost comes back.
    pub fn at_end(&mut self, generation: u32, offset: u64, turn: Turn, now: Duration) -> Option<Change> {
        // What a read from before the last event found is not the end of what is there now.
        if turn != Turn(self.turn) {
            return None;
        }
        let known = self.generations.iter_mut().find(|known| known.number == generation)?;
        known.ended = Some((turn, offset));
        let Fate::Deleted { .. } = known.fate else { return None };
        if known.gz || offset >= known.size {
            if offset > known.size {
                known.size = offset;
                known.fate = Fate::Deleted { since: now };
            }
            return None;
        }
        known.lose(LostReason::Truncated, offset)
    }

    /// Lets go of the open file of a generation that goes on in another one by now. Says whether there was such a file.
    pub fn leave_old_file(&mut self, generation: u32) -> bool {
        let known = self.generations.iter_mut().find(|known| known.number == generation);
        let Some(known) = known.filter(|known| known.fate == Fate::Present && known.open.is_some()) else {
            return false;
        };
        let is_old = known.file_in_place().is_none();
        if is_old {
            known.open = None;
        }
        is_old
    }

    /// A read found something else where bytes of a generation had been read. Of a deleted file nothing more can be known,
    /// so that the rest of it is lost, which comes back. What became of another one, the next listing tells
    /// ([`crate::Scanner::doubt`]).
    pub fn was_replaced(&mut self, generation: u32, consumed: u64) -> Option<Change> {
        let known = self.generations.iter_mut().find(|known| known.number == generation)?;
        let Fate::Deleted { .. } = known.fate else { return None };
        let (reason, path) = (LostReason::Truncated, known.path.clone());
        let lost = known.lose(reason, consumed);
        Some(lost.unwrap_or(Change::Lost { generation, reason, bytes: 0, path }))
    }

    /// Takes note how large the file is that is written to, while nobody reads it: should it be emptied, that is lost. Never
    /// blocks.
    pub fn learn_size(&mut self) {
        let Some(known) = self.generations.last_mut().filter(|known| known.identity.head.len > 0) else {
            return;
        };
        let Some(open) = known.file_to_ask().filter(|_| known.file_in_place().is_some()) else { return };
        let mut bytes = [0; HEAD_BYTES];
        // In this order: a size is that of these contents, if they are there still.
        let Ok(stat) = open.stat() else { return };
        let count = open.resident_head(&mut bytes);
        if known.lengthen_head(&bytes[..count]) {
            known.size = known.size.max(stat.size);
        }
    }

    /// An event says that a generation, or all (`None`), may have grown: what was found at its end counts no more.
    pub fn wake(&mut self, generation: Option<u32>) {
        // A read that was asked for before the event may have ended before what it tells of.
        self.turn += 1;
        for known in &mut self.generations {
            if generation.is_none_or(|number| number == known.number) {
                known.ended = None;
            }
        }
    }

    /// The scanner opened a generation's file; a failure needs no call, the next listing tells what became of it.
    pub fn opened(&mut self, generation: u32, file: Arc<OpenFile>, identity: Identity) {
        if let Some(known) = self.generations.iter_mut().find(|known| known.number == generation)
            && known.is_readable()
        {
            known.open = Some(Handle { file, dev: identity.dev, ino: identity.ino });
        }
    }

    /// Closes a generation's file, when it is not deleted: for the bound on open files. Says whether it did.
    pub fn close(&mut self, generation: u32) -> bool {
        let known = self.generations.iter_mut().find(|known| known.number == generation);
        known.is_some_and(|known| known.fate == Fate::Present && known.open.take().is_some())
    }

    /// Whether a generation's file is open here.
    pub fn is_open(&self, generation: u32) -> bool {
        self.generations.iter().any(|known| known.number == generation && known.open.is_some())
    }

    /// The files that are open, with the numbers of their generations.
    pub fn open_files(&self) -> impl Iterator<Item = (u32, &Arc<OpenFile>)> {
        self.generations.iter().filter_map(|known| Some((known.number, &known.open.as_ref()?.file)))
    }

    /// Takes note how files begin that were shorter than a head when they were listed: what was read of them since would
    /// not be known again. Never blocks: of what was just read, the beginning is mostly in memory.
    pub fn learn_heads(&mut self) {
        let mut bytes = [0; HEAD_BYTES];
        for known in self.generations.iter_mut().filter(|known| !known.gz && known.has_short_head()) {
            let Some(file) = known.file_in_place() else { continue };
            let count = file.resident_head(&mut bytes);
            known.lengthen_head(&bytes[..count]);
        }
    }

    /// Takes note how large the open files are and how they begin, for what may become of them before the next start.
    /// May block.
    pub fn measure(&mut self) {
        for known in self.generations.iter_mut().filter(|known| !known.gz) {
            let Some(file) = known.file_in_place() else { continue };
            let (stat, head) = (file.stat(), Content::new(file.file.clone(), false).head());
            // What was truncated meanwhile, the next listing tells.
            if let (Ok(stat), Ok(head)) = (stat, head)
                && stat.size >= known.size
                && known.lengthen_head(&head)
            {
                known.size = stat.size;
            }
        }
    }

    /// Whether deleted files are held for what was not read of them.
    pub fn holds_deleted(&self) -> bool {
        self.generations.iter().any(|known| matches!(known.fate, Fate::Deleted { .. }))
    }

    /// Gives up deleted files that are held longer than `max_age`, or for which `spare` bytes do not suffice, from which the oldest
    /// take first; what they take is gone from it: `hold_deleted`, over many lineages.
    pub fn enforce(
        &mut self,
        max_age: Duration,
        spare: &mut u64,
        now: Duration,
        consumed: impl Fn(u32) -> u64,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for known in &mut self.generations {
            let Fate::Deleted { since } = known.fate else { continue };
            let held = known.held();
            if now.saturating_sub(since) > max_age || held > *spare {
                let consumed = consumed(known.number);
                known.measure_unlinked();
                known.measure_gz(consumed, 0);
                changes.extend(known.lose(LostReason::Deleted, consumed));
            } else {
                *spare -= held;
            }
        }
        changes
    }

    /// Gives up a generation that cannot be read further: a damaged `.gz`, or one that ends before its contents do, of
    /// which `compressed` bytes could be used. What is lost counts by the size that was seen uncompressed, else by what
    /// the file's end says, else in compressed bytes; 0 where it cannot be known.
    pub fn give_up(&mut self, generation: u32, consumed: u64, compressed: u64) -> Option<Change> {
        let known =
            self.generations.iter_mut().find(|known| known.number == generation && known.is_readable())?;
        known.measure_gz(consumed, compressed);
        let (reason, path) = (LostReason::Truncated, known.path.clone());
        let lost = known.lose(reason, consumed);
        known.fate = Fate::Spoiled;
        Some(lost.unwrap_or(Change::Lost { generation, reason, bytes: 0, path }))
    }

    /// Drops the generations before `generation`: every reader has left them and nothing of them waits for an
    /// acknowledgement. What is written to them later is not told any more.
    pub fn release_before(&mut self, generation: u32) {
        self.floor = self.floor.max(generation);
        let (released, kept) =
            std::mem::take(&mut self.generations).into_iter().partition(|known| known.number < self.floor);
        self.generations = kept;
        let there = |known: &&Generation| known.fate == Fate::Present;
        let released: Vec<Generation> = released;
        let mut files = std::mem::take(&mut self.released);
        files.extend(released.iter().filter(there).map(record));
        self.keep_released(files);
    }

    /// The generations for the checkpoint, without those of which nothing can be read any more; and the released ones
    /// that are still there, since a restart would take them for new ones, were they not known.
    pub fn records(&self) -> Vec<FileRecord> {
        let readable = self.generations.iter().filter(|known| known.is_readable());
        let mut records = Vec::with_capacity(self.released.len() + self.generations.len());
        records.extend(self.released.iter().cloned().chain(readable.map(record)));
        records
    }

    /// The first generation of which something can still be read.
    pub fn oldest_readable(&self) -> Option<u32> {
        self.successor(0).map(|at| self.generations[at].number)
    }

    fn read(&self, known: &Generation, offset: u64) -> Next {
        let size_hint = if known.gz { 0 } else { known.size.saturating_sub(offset) };
        match &known.open {
            Some(handle) => Next::Read {
                generation: known.number,
                file: handle.file.clone(),
                offset,
                size_hint,
                head: known.identity.head,
                turn: Turn(self.turn),
            },
            None => Next::Reopen { generation: known.number, path: known.path.clone() },
        }
    }

    /// The first generation from `at` on that can be read.
    fn successor(&self, at: usize) -> Option<usize> {
        (at..self.generations.len()).find(|at| self.generations[*at].is_readable())
    }

    /// Whether a successor that was empty is not so any more: its first bytes may be younger than the last listing.
    fn has_begun(&mut self, successor: usize) -> bool {
        let next = &mut self.generations[successor];
        let Some(open) = next.file_to_ask().filter(|_| !next.has_content()) else { return false };
        next.begun = open.stat().is_ok_and(|stat| stat.size > 0);
        next.begun
    }

    /// Whether the successor of a generation with this fate may be read.
    fn is_ready(&self, successor: usize, fate: Fate, now: Duration) -> bool {
        let followed = self.successor(successor + 1).is_some();
        let next = &self.generations[successor];
        let is_bounded = fate != Fate::Present || next.file_to_ask().is_none();
        followed || next.has_content() || is_bounded && now >= self.newest_since + GRACE
    }

    fn onward(&self, at: usize) -> Next {
        match self.successor(at) {
            Some(at) => {
                let known = &self.generations[at];
                Next::Advance { generation: known.number, offset: known.begin }
            }
            None if self.gone => Next::Finished,
            None => Next::Wait { until: None },
        }
    }
}

fn record(known: &Generation) -> FileRecord {
    FileRecord {
        generation: known.number,
        identity: known.identity,
        size: known.size,
        path: known.path.clone(),
        gz: known.gz,
    }
}
