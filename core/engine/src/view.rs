//! A view: one way through one lineage. It owns the place, the half line, and the decoding state.

use std::sync::Arc;
use std::time::Duration;

use memchr::memchr;
use ringtail_io::File;
use ringtail_memory::{Carry, CarryPool, Exhausted};
use ringtail_parse::{Decoder, Format, Input, Limits, Table};
use ringtail_read::{Head, TAIL_BYTES, Tail, Turn};
use ringtail_record::{Position, Stream};

use crate::buffers::{Chunk, ReadSize};
use crate::cursor::{Stood, Streams};
use crate::gz::GzProgress;
use crate::names::{CursorId, ViewId};
use crate::outbox::Share;

/// Settings that cursors must have in common to share a view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lens {
    pub(crate) input: Input,
    pub(crate) limits: Limits,
    pub(crate) flush_after: Duration,
}

/// Where a view stands, or where a new one is to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Standing {
    /// Per stream: everything before was pushed.
    pub(crate) streams: Streams,
    /// The format that was found, where it had to be found: the middle of a file may not tell.
    pub(crate) format: Option<Format>,
}

/// What a read must find, or the file was emptied and written anew since it was looked at last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Known {
    /// The file begins so: it is read from its first byte.
    Head(Head),
    /// These lie before the new bytes, and are read once more with them.
    Tail(Tail),
    /// That nobody remembers: so many bytes lie before the new bytes, and are read alone. They are a tail when, after that, the
    /// file still begins as it did.
    Nothing(usize),
}

impl Known {
    /// Bytes that are read once more.
    pub(crate) fn again(self) -> usize {
        match self {
            Known::Head(_) => 0,
            Known::Tail(tail) => tail.len as usize,
            Known::Nothing(len) => len,
        }
    }

    /// Whether a read, for a view that wants the bytes from `at` on, is only to know the file: it brings none of them.
    pub(crate) fn is_proof(self, at: u64) -> bool {
        match self {
            Known::Head(_) => at > 0,
            Known::Nothing(_) => true,
            Known::Tail(_) => false,
        }
    }

    /// Bytes that a read must bring to tell more than is known; fewer only at the end of the file.
    pub(crate) fn least(self) -> usize {
        match self {
            Known::Head(head) => (head.len as usize).max(1),
            Known::Tail(tail) => tail.len as usize + 1,
            Known::Nothing(len) => len,
        }
    }

    /// Whether a read brought what is known.
    pub(crate) fn is_in(self, bytes: &[u8]) -> bool {
        match self {
            Known::Head(head) => head.begins(bytes),
            Known::Tail(tail) => bytes.get(..tail.len as usize).is_some_and(|before| tail.is_of(before)),
            Known::Nothing(len) => bytes.len() >= len,
        }
    }
}

/// What a view does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In the queue of those that want to read.
    Ready,
    /// A read is in flight.
    Reading,
    /// At the end of what there is; waits for a change.
    AtEnd,
    /// Wants to read, and waits for credit or memory.
    Stalled,
}

pub(crate) struct View {
    pub(crate) id: ViewId,
    pub(crate) lens: Lens,
    pub(crate) cursors: Vec<CursorId>,
    pub(crate) phase: Phase,
    /// The first byte that is not decoded yet; the half line begins here.
    pub(crate) place: Position,
    /// Read up to here only: for bytes that were written to a file after it was left.
    pub(crate) until: Option<Position>,
    /// The bytes from `place` on that were read already, less than a line.
    pub(crate) half_line: Option<Carry>,
    /// It stands in the middle of a line, which is not wanted.
    pub(crate) discards_line: bool,
    /// Bytes between what it has decoded and where it goes on are lost.
    pub(crate) has_gap: bool,
    pub(crate) decoder: Decoder,
    /// Records of a stream that end at or before this were pushed earlier: by a view that this one follows.
    pub(crate) skip: Streams,
    pub(crate) size: ReadSize,
    pub(crate) gz: Option<GzProgress>,
    /// The end of the last whole line, with its generation.
    pub(crate) tail: (u32, Tail),
    /// What lies before the next byte to read, with its generation; of no use where the view stands elsewhere.
    pub(crate) seen: (u32, Tail),
    /// The address of the open file in which it was seen; none before the first read.
    pub(crate) seen_in: usize,
    /// It was seen when nothing was known to compare it with, and how the file begins is still to be read.
    pub(crate) is_unproven: bool,
    /// The address of an open file that was found shorter than what was read of it, and the turn in which it was; how the file begins is
    /// still to be read.
    pub(crate) short: Option<(usize, Turn)>,
    /// Bytes that were decoded and belong to a record that is still to end.
    pub(crate) share: Share,
    /// Reads that failed in a row.
    pub(crate) failures: u32,
    /// When bytes last came.
    pub(crate) fed_at: Duration,
}

impl View {
    /// A view that reads on from the smallest of the streams' positions and skips what is known.
    pub(crate) fn new(id: ViewId, lens: Lens, standing: Standing, carries: &CarryPool) -> Self {
        let Standing { streams, format } = standing;
        let input = match (lens.input, format) {
            // The next file of a raw log may be in another format: that is still to be found.
            (Input::Auto, Some(Format::Cri | Format::DockerJson)) => format.map_or(lens.input, Input::Fixed),
            (input, _) => input,
        };
        View {
            id,
            lens,
            cursors: Vec::new(),
            phase: Phase::Ready,
            place: streams.into_iter().min().unwrap_or_default(),
            until: None,
            half_line: None,
            discards_line: false,
            has_gap: false,
            decoder: Decoder::new(input, lens.limits, carries.clone()),
            skip: streams,
            size: ReadSize::Small,
            gz: None,
            tail: Default::default(),
            seen: Default::default(),
            seen_in: 0,
            is_unproven: false,
            short: None,
            share: Share::default(),
            failures: 0,
            fed_at: Duration::ZERO,
        }
    }

    /// Where the view stands per stream, by what it has decoded itself.
    pub(crate) fn stands(&self) -> Streams {
        Stream::ALL.map(|stream| self.decoder.open_since(stream).unwrap_or(self.place))
    }

    /// Where the view stands per stream: everything before was pushed, by it or by one that it follows.
    pub(crate) fn positions(&self) -> Streams {
        let stands = self.stands();
        std::array::from_fn(|stream| stands[stream].max(self.skip[stream]))
    }

    /// Where it stands before it decodes more.
    pub(crate) fn stood(&self) -> Stood {
        Stood { streams: self.positions(), known: self.tail }
    }

    /// Where a view that is to go on in this one's place begins.
    pub(crate) fn standing(&self) -> Standing {
        Standing { streams: self.positions(), format: self.decoder.format() }
    }

    /// Whether another view would go on exactly like this one.
    pub(crate) fn stands_with(&self, other: &View) -> bool {
        let plain = |view: &View| view.until.is_none() && !view.discards_line;
        plain(self)
            && plain(other)
            && self.lens == other.lens
            && self.place == other.place
            && self.positions() == other.positions()
    }

    /// Whether another view begins where this one began, and has read nothing since.
    pub(crate) fn begins_with(&self, fresh: &View) -> bool {
        self.until.is_none()
            && self.half_line.is_none()
            && self.lens == fresh.lens
            && self.place == fresh.place
            && self.skip == fresh.skip
            && self.discards_line == fresh.discards_line
    }

    /// The next byte to read.
    pub(crate) fn read_at(&self) -> u64 {
        self.place.offset + self.half_line.as_ref().map_or(0, |half| half.len() as u64)
    }

    /// What is known of `file`, that the next bytes come from and that begins with `head`. Nothing to compare where it is not
    /// plain: a `.gz`, whose positions are not those of the file, or one on a mount that may show what is old.
    pub(crate) fn known(&self, is_plain: bool, file: &Arc<File>, head: Head) -> Known {
        let at = self.read_at();
        let address = Arc::as_ptr(file).addr();
        // What was read and could not be kept is not before the next byte; then the last whole line mostly is.
        let here = |(generation, tail): &(u32, Tail)| (*generation, tail.end) == (self.place.generation, at);
        // A row of another's making may claim more than there can be.
        let can_be = |tail: &Tail| tail.len as usize <= TAIL_BYTES && u64::from(tail.len) <= tail.end;
        let proven = [Some(self.seen).filter(|_| !self.is_unproven), Some(self.tail)];
        let tail = proven.into_iter().flatten().find(here).map(|(_, tail)| tail).filter(can_be);
        match (at, tail) {
            _ if !is_plain => Known::Tail(Tail::default()),
            (0, _) => Known::Head(head),
            _ if self.short.is_some_and(|(short, _)| short == address) => Known::Head(head),
            (_, Some(tail)) if tail.len > 0 => Known::Tail(tail),
            _ if self.is_unproven && here(&self.seen) && self.seen_in == address => Known::Head(head),
            _ => Known::Nothing(usize::try_from(at).map_or(TAIL_BYTES, |at| at.min(TAIL_BYTES))),
        }
    }

    /// Whether something waits for its rest, and so for `flush_after`.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.half_line.is_some()
            || Stream::ALL.iter().any(|stream| self.decoder.open_since(*stream).is_some())
    }

    /// Keeps the line that has no end yet.
    pub(crate) fn keep_half_line(&mut self, rest: &[u8], carries: &CarryPool) -> Result<(), Exhausted> {
        let kept = self.half_line.take();
        if rest.is_empty() {
            return Ok(());
        }
        let mut carry = kept.map_or_else(|| carries.take(rest.len()), Ok)?;
        carry.clear();
        carry.push(rest)?;
        self.half_line = Some(carry);
        Ok(())
    }

    /// Gives all carries back and returns to where the view stood, `stood`, so that what was unfinished is read again.
    pub(crate) fn forget(&mut self, stood: Streams) {
        self.skip = std::array::from_fn(|stream| stood[stream].max(self.skip[stream]));
        self.place = stood.into_iter().min().unwrap_or(self.place);
        self.decoder.forget();
        self.share = Share::default();
        self.half_line = None;
        self.gz = None;
        self.short = None;
    }

    /// Drops the rest of the line in whose middle the view began. False when its end is still to come.
    pub(crate) fn discard_line(&mut self, chunk: &mut Chunk) -> bool {
        let newline = memchr(b'\n', chunk.bytes());
        let len = newline.map_or(chunk.bytes().len(), |at| at + 1);
        chunk.skip(len);
        self.place.offset += len as u64;
        self.discards_line = newline.is_none();
        newline.is_some()
    }

    /// Drops what an earlier view pushed, from records that were decoded from `from` on; before the view moves behind them.
    /// Returns how many bytes of input were theirs.
    pub(crate) fn drop_known(&self, table: &mut Table, from: Position) -> u64 {
        // The usual case: the view has long passed where it began.
        if self.skip.iter().all(|known| *known <= self.place) {
            return 0;
        }
        // The first one takes what the chunks before left over, as it did when it was pushed.
        let (mut at, mut known, mut pending) = (from.offset, 0, self.share.pending);
        table.records.retain(|record| {
            let end = Position { offset: record.end, ..from };
            let is_new = end > self.skip[record.stream.index()];
            let bytes = record.end.saturating_sub(at) + std::mem::take(&mut pending);
            known += if is_new { 0 } else { bytes };
            at = at.max(record.end);
            is_new
        });
        known
    }
}

#[cfg(test)]
mod tests {
    use ringtail_memory::Budget;
    use ringtail_parse::{Decoded, Home};
    use ringtail_record::Flags;

    use super::*;

    fn at(offset: u64) -> Position {
        Position { generation: 1, offset }
    }

    /// What an output gave back is read again, and with it records of the other stream that are known. These took a part that
    /// lay before them, and take it again, also where it came in a chunk of its own: or else the next record has its bytes once more.
    #[test]
    fn a_known_record_takes_again_what_chunks_before_left_over() {
        let lens = Lens {
            input: Input::Fixed(Format::Cri),
            limits: Limits { max_line: 1000, max_record: 1000 },
            flush_after: Duration::ZERO,
        };
        let mut streams = [at(0); Stream::ALL.len()];
        streams[Stream::Stderr.index()] = at(80);
        let standing = Standing { streams, format: None };
        let carries = CarryPool::new(&Budget::new(1 << 20));
        let mut view = View::new(ViewId(1), lens, standing, &carries);
        // 50 bytes of stdout that end no record.
        view.place = at(50);
        view.share = Share { from: 50, pending: 50, unowned: 0 };
        let known = Decoded {
            time_ns: 0,
            end: 80,
            off: 0,
            len: 10,
            home: Home::CHUNK,
            stream: Stream::Stderr,
            flags: Flags::NONE,
        };
        let mut table = Table::default();
        table.records.extend([known, Decoded { end: 120, stream: Stream::Stdout, ..known }]);
        assert_eq!(view.drop_known(&mut table, at(50)), 80);
        assert_eq!(table.records.len(), 1);
        let mut share = Share { unowned: 80, ..view.share };
        assert_eq!(share.up_to(120), 40);
    }
}
