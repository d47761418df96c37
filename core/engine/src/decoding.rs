//! From bytes that were read to records in the outboxes.

use std::time::Duration;

use memchr::memrchr;
use ringtail_io::Read;
use ringtail_memory::Frozen;
use ringtail_parse::{LineEnd, Table};
use ringtail_read::Tail;
use ringtail_record::{Position, Stream};

use crate::buffers::{Chunk, NoMemory, ReadSize};
use crate::cursor::Stood;
use crate::names::{LineageId, ViewId};
use crate::outbox::{Delivery, Share};
use crate::reading::find;
use crate::shard::{Followed, Shard};
use crate::stats::LostReason;
use crate::view::{Phase, View};

impl Shard {
    /// Decodes the `n` bytes that a read brought behind the view's half line.
    pub(crate) fn take_bytes(
        &mut self,
        id: LineageId,
        view_id: ViewId,
        size: ReadSize,
        read: Read,
        n: usize,
    ) {
        let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return };
        let half_line = followed.views[at].half_line.as_deref().unwrap_or(&[]);
        match self.buffers.chunk(half_line, read.buf, size, read.at, n) {
            Ok(chunk) => self.feed(id, view_id, chunk, n),
            Err(NoMemory) => self.stall_without_memory(id, view_id),
        }
    }

    /// The bytes read are not kept: they are read again once there is memory.
    pub(crate) fn stall_without_memory(&mut self, id: LineageId, view_id: ViewId) {
        let now = self.now();
        self.sink.relieve(now, &self.parts.carries);
        self.forget_longest_idle(view_id);
        if let Some(view) = self.view_mut(id, view_id) {
            // An inflater cannot go back: it begins anew where the view stands.
            view.gz = None;
        }
        self.stall(id, view_id);
    }

    /// Decodes `chunk`, of which `n` bytes are new, and gives its records to the view's cursors.
    pub(crate) fn feed(&mut self, id: LineageId, view_id: ViewId, mut chunk: Chunk, n: usize) {
        let (now, wall_ns) = (self.now(), self.parts.clock.wall_ns());
        let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return };
        followed.active_at = now;
        let view = &mut followed.views[at];
        view.fed_at = now;
        view.failures = 0;
        if view.discards_line && !view.discard_line(&mut chunk) {
            self.ready.push_back((id, view_id));
            return;
        }
        // Before decoding, which changes the bytes.
        let tail = tail_of(&chunk, view.place.offset);
        let (before, stood) = (view.stands(), view.stood());
        self.table.clear();
        let decoded = view.decoder.decode(chunk.bytes_mut(), view.place, wall_ns, &mut self.table);
        let Ok(consumed) = decoded else {
            view.forget(before);
            return self.stall_without_memory(id, view_id);
        };
        let rest = &chunk.bytes()[consumed..];
        // Without a carry the half line is simply read again: it begins where the view stands.
        let kept = view.keep_half_line(rest, &self.parts.carries);
        if let Some(tail) = tail {
            view.tail = (view.place.generation, tail);
        }
        let from = view.place;
        let known = view.drop_known(&mut self.table, from);
        view.place.offset += consumed as u64;
        let stretch = Stretch { stood, from, len: consumed as u64, known, read: n as u64 };
        self.deliver(id, view_id, stretch, &chunk.freeze(consumed), now);
        match kept {
            Ok(()) => self.ready.push_back((id, view_id)),
            Err(_) => self.stall_without_memory(id, view_id),
        }
    }

    /// Gives the table's records, which lie in `chunk` and were decoded from `stretch`, to the view's cursors.
    fn deliver(&mut self, id: LineageId, view_id: ViewId, stretch: Stretch, chunk: &Frozen, now: Duration) {
        let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return };
        let table = &mut self.table;
        let (generation, share) = (stretch.from.generation, stretch.share(&mut followed.views[at], table));
        let view = &followed.views[at];
        if self.sink.count(&view.cursors, table, stretch.read) {
            self.parts.stats.lose(LostReason::MaxLine, table.lost_line_bytes);
            self.parts.stats.lose(LostReason::MaxRecord, table.lost_record_bytes);
            self.parts.stats.lose(LostReason::Truncated, table.torn_line_bytes);
            if table.torn_line_bytes > 0 {
                tell_torn(followed, generation, table.torn_line_bytes);
            }
        }
        let joined: Vec<Frozen> = table.joined.drain(..).map(Frozen::from).collect();
        let (source, records, tail) = (&followed.source, &table.records, view.tail);
        let stood = stretch.stood;
        let delivery = Delivery { generation, stood, share, source, chunk, joined: &joined, records, tail };
        self.sink.deliver(&view.cursors, &delivery, now);
        // No answer will tell of bytes that were no record.
        if records.is_empty() && view.positions() != stood.streams {
            self.sink.dirty.extend(&view.cursors);
        }
        if view.is_unfinished() {
            self.unfinished.insert((id, view_id));
        }
    }

    /// Delivers what is unfinished in a view: the half line as `why` says, and the open partials. Without memory it
    /// says so, and what is not delivered stays.
    pub(crate) fn flush_view(
        &mut self,
        id: LineageId,
        view_id: ViewId,
        why: LineEnd,
        now: Duration,
    ) -> Result<(), NoMemory> {
        self.flush_line(id, view_id, why, now)?;
        self.flush_partials(id, view_id, now)
    }

    pub(crate) fn flush_partials(
        &mut self,
        id: LineageId,
        view_id: ViewId,
        now: Duration,
    ) -> Result<(), NoMemory> {
        for stream in Stream::ALL {
            let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return Ok(()) };
            let empty = self.buffers.packed(&[], &[])?;
            let stood = followed.views[at].stood();
            self.table.clear();
            if let Some(end) = followed.views[at].decoder.flush_partial(stream, &mut self.table) {
                let known = followed.views[at].drop_known(&mut self.table, end);
                let stretch = Stretch { stood, from: end, len: 0, known, read: 0 };
                self.deliver(id, view_id, stretch, &empty.freeze(0), now);
            }
        }
        Ok(())
    }

    /// Delivers the half line of a view, if it is one that may be delivered.
    /// Without memory nothing happens, and it says so.
    pub(crate) fn flush_line(
        &mut self,
        id: LineageId,
        view_id: ViewId,
        why: LineEnd,
        now: Duration,
    ) -> Result<(), NoMemory> {
        let wall_ns = self.parts.clock.wall_ns();
        let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return Ok(()) };
        let view = &mut followed.views[at];
        if !view.is_unfinished() {
            return Ok(());
        }
        let half_line = view.half_line.as_deref().unwrap_or(&[]);
        let mut chunk = self.buffers.packed(half_line, &[])?;
        let (before, stood) = (view.stands(), view.stood());
        self.table.clear();
        let flushed = view.decoder.flush_line(chunk.bytes_mut(), view.place, wall_ns, &mut self.table, why);
        let Ok(consumed) = flushed else {
            view.forget(before);
            return Err(NoMemory);
        };
        if consumed > 0 {
            view.half_line = None;
        }
        view.has_gap |= self.table.torn_line_bytes > 0;
        let from = view.place;
        let known = view.drop_known(&mut self.table, from);
        view.place.offset += consumed as u64;
        let stretch = Stretch { stood, from, len: consumed as u64, known, read: 0 };
        self.deliver(id, view_id, stretch, &chunk.freeze(consumed), now);
        Ok(())
    }

    /// Delivers what has been unfinished for longer than `flush_after`.
    pub(crate) fn flush_unfinished(&mut self, now: Duration) {
        let Shard { unfinished, lineages, .. } = self;
        let mut due = Vec::new();
        unfinished.retain(|(id, view_id)| {
            let Some((followed, at)) = find(lineages, *id, *view_id) else { return false };
            let view = &followed.views[at];
            let is_due = view.phase == Phase::AtEnd && now >= view.fed_at + view.lens.flush_after;
            if is_due {
                due.push((*id, *view_id));
            }
            view.is_unfinished() && !is_due
        });
        for (id, view_id) in due {
            if self.flush_view(id, view_id, LineEnd::Timeout, now).is_err() {
                self.unfinished.insert((id, view_id));
            }
        }
    }
}

/// Bytes of one file that were decoded together.
struct Stretch {
    stood: Stood,
    from: Position,
    len: u64,
    /// Those of records that an earlier view pushed.
    known: u64,
    /// Bytes that came from the file just now.
    read: u64,
}

impl Stretch {
    /// How its bytes belong to the records of `table`; `view` keeps those whose record is still to end.
    fn share(&self, view: &mut View, table: &Table) -> Share {
        let lost = table.lost_line_bytes + table.lost_record_bytes + table.torn_line_bytes;
        let Share { pending, unowned, .. } = view.share;
        let share = Share { from: self.from.offset, pending, unowned: unowned + self.known + lost };
        let mut rest = share;
        if let Some(last) = table.records.last() {
            rest.up_to(last.end);
        }
        let pending = rest.up_to(self.from.offset + self.len);
        view.share = Share { pending, ..rest };
        share
    }
}

/// A file ends in the middle of a line, which is not delivered.
#[cold]
fn tell_torn(followed: &Followed, generation: u32, bytes: u64) {
    let path = followed.path_of(generation);
    let reason = LostReason::Truncated.label();
    tracing::warn!(file = %path.display(), bytes, reason, "the file ends in the middle of a line: half of it is not delivered");
}

/// The bytes before the end of the last whole line of `chunk`, which begins at `offset` of its file.
fn tail_of(chunk: &Chunk, offset: u64) -> Option<Tail> {
    let bytes = chunk.bytes();
    let end = memrchr(b'\n', bytes)? + 1;
    Some(Tail::new(offset + end as u64, &bytes[..end]))
}
