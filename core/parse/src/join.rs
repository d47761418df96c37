//! Open records: parts of a stream until the line that ends them.
//!
//! A record that begins in a chunk stays there, and its next part is moved up to it when it stands in the next line:
//! usually a long line comes in parts that follow each other. Where something lies between, or the chunk ends, the text goes
//! to a carry. A record that passes `max_record` is delivered at once, and its other parts are skipped up to its end.

use ringtail_memory::{Carry, CarryPool, Exhausted};
use ringtail_record::{Flags, Position, Stream};

use crate::table::{Home, Table};

/// What one line gives, and where it stands: `off` and `len` in the chunk or the carry that holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) time_ns: i64,
    pub(crate) stream: Stream,
    pub(crate) flags: Flags,
    /// Whether the record ends with it.
    pub(crate) whole: bool,
    pub(crate) off: usize,
    pub(crate) len: usize,
}

/// The line that a part stands in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Where it begins in the file.
    pub(crate) begin: Position,
    /// Where the next one begins in the file.
    pub(crate) end: Position,
    /// Where the line begins, and the next one, in the chunk.
    pub(crate) here: (usize, usize),
    /// Its length, without what `max_line` cut off and without its newline.
    pub(crate) len: usize,
}

/// What becomes of a record that passes `max_record`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtLimit {
    /// It is delivered at once: nothing is held back by one that never ends.
    Deliver,
    /// It waits for its end, as its parts' owner was told: that one keeps no positions.
    Wait,
}

/// The open records of one view, one a stream at most.
pub(crate) struct Joins {
    max_record: usize,
    at_limit: AtLimit,
    /// By stream. Made with the first of them: most of ten thousand logs never have one.
    open: Option<Box<[Option<Open>; Stream::ALL.len()]>>,
    /// The stream is in the middle of a record that was delivered.
    skipping: [bool; Stream::ALL.len()],
    /// The stream's last record was delivered before its end was seen: its next one is the rest of that.
    parted: [bool; Stream::ALL.len()],
    /// Lines of the stream that end up to here are done with, though the reader may go back behind it: the beginning
    /// of their record could not be known then.
    done: [Option<Position>; Stream::ALL.len()],
}

struct Open {
    begin: Position,
    end: Position,
    time_ns: i64,
    flags: Flags,
    /// Bytes of the file that were left out.
    lost: usize,
    text: Text,
}

enum Text {
    /// In the chunk that is being decoded. `next` is where the line after its last part begins.
    Here {
        off: usize,
        len: usize,
        next: usize,
    },
    Carried(Carry),
}

impl Joins {
    pub(crate) fn new(max_record: usize, at_limit: AtLimit) -> Self {
        Joins { max_record, at_limit, open: None, skipping: [false; 3], parted: [false; 3], done: [None; 3] }
    }

    /// Whether a record of `stream` is open, or its rest skipped or still to be marked.
    #[inline]
    pub(crate) fn is_open(&self, stream: Stream) -> bool {
        let stream = stream.index();
        self.open(stream).is_some()
            || self.skipping[stream]
            || self.parted[stream]
            || self.done[stream].is_some()
    }

    /// Forgets what lies before `oldest`: the reader will not go back behind that.
    pub(crate) fn settle(&mut self, oldest: Position) {
        let open = self.open.iter().flat_map(|open| open.iter().flatten());
        let oldest = open.map(|open| open.begin).chain([oldest]).min();
        for (done, skipping) in self.done.iter_mut().zip(self.skipping) {
            *done = done.filter(|done| skipping || Some(*done) > oldest);
        }
    }

    /// Where the open record of `stream` begins.
    pub(crate) fn begin(&self, stream: Stream) -> Option<Position> {
        self.open(stream.index()).map(|open| open.begin)
    }

    /// Forgets all open records; returns where the first of them begins.
    pub(crate) fn forget(&mut self) -> Option<Position> {
        self.open.take()?.into_iter().flatten().map(|open| open.begin).min()
    }

    #[inline]
    fn open(&self, stream: usize) -> Option<&Open> {
        self.open.as_ref()?[stream].as_ref()
    }

    /// Adds a part that stands in `chunk`. On error the open record is as it was.
    pub(crate) fn add(
        &mut self,
        part: Part,
        span: Span,
        chunk: &mut [u8],
        carries: &CarryPool,
        table: &mut Table,
    ) -> Result<(), Exhausted> {
        if self.skip(&part, span, table) {
            return Ok(());
        }
        let next = span.here.1;
        match &mut self.open.get_or_insert_default()[part.stream.index()] {
            Some(open) => {
                let len = part.len.min(self.max_record - open.text.len());
                open.text.append_here(part.off, len, span.here, chunk, carries)?;
                open.extend(&part, span, len);
            }
            slot => {
                let len = part.len.min(self.max_record);
                *slot = Some(Open::new(&part, span, len, Text::Here { off: part.off, len, next }));
            }
        }
        self.end_if_due(part, table);
        Ok(())
    }

    /// Adds a part that stands in `carry`, between chunks. On error the open record is as it was.
    pub(crate) fn add_carried(
        &mut self,
        part: Part,
        span: Span,
        mut carry: Carry,
        table: &mut Table,
    ) -> Result<(), Exhausted> {
        if self.skip(&part, span, table) {
            return Ok(());
        }
        match &mut self.open.get_or_insert_default()[part.stream.index()] {
            Some(open) => {
                let len = part.len.min(self.max_record - open.text.len());
                open.text.append_carried(&carry[part.off..part.off + len])?;
                open.extend(&part, span, len);
            }
            slot => {
                let len = part.len.min(self.max_record);
                carry.copy_within(part.off..part.off + len, 0);
                carry.truncate(len);
                *slot = Some(Open::new(&part, span, len, Text::Carried(carry)));
            }
        }
        self.end_if_due(part, table);
        Ok(())
    }

    /// Moves what stands in `chunk` to carries: the chunk ends here.
    pub(crate) fn leave(&mut self, chunk: &[u8], carries: &CarryPool) -> Result<(), Exhausted> {
        let mut open = self.open.iter_mut().flat_map(|open| open.iter_mut().flatten());
        open.try_for_each(|open| open.text.leave(chunk, carries, 0))
    }

    /// Delivers the open record of `stream` with `flags`, the rest of a parted one marked as partial; returns where its
    /// last part ends.
    fn deliver(&mut self, stream: Stream, flags: Flags, table: &mut Table) -> Option<Position> {
        let open = self.open.as_mut()?[stream.index()].take()?;
        let (home, off, len) = match open.text {
            Text::Here { off, len, .. } => (Home::CHUNK, off, len),
            Text::Carried(carry) => {
                let len = carry.len();
                (table.keep(carry), 0, len)
            }
        };
        let is_rest = std::mem::take(&mut self.parted[stream.index()]);
        let flags = open.flags | flags | if is_rest { Flags::PARTIAL } else { Flags::NONE };
        let part = Part { time_ns: open.time_ns, stream, flags, whole: true, off, len };
        table.lost_record_bytes += open.lost as u64;
        table.push(part, open.end.offset, home);
        Some(open.end)
    }

    /// Delivers the open record of `stream` marked as partial; what comes next is its rest, and marked too. Its parts are not
    /// read again, or they would make a whole record of it that is taken for a rest.
    pub(crate) fn flush(&mut self, stream: Stream, table: &mut Table) -> Option<Position> {
        let end = self.deliver(stream, Flags::PARTIAL, table);
        let stream = stream.index();
        let was_skipping = std::mem::take(&mut self.skipping[stream]);
        self.parted[stream] |= was_skipping || end.is_some();
        if self.at_limit == AtLimit::Deliver {
            self.done[stream] = end.or(self.done[stream]);
        }
        end
    }

    /// What comes next is no record's rest, or cannot be known to be one.
    pub(crate) fn part_ways(&mut self) {
        self.parted = [false; Stream::ALL.len()];
    }

    /// Ends a record with its last part, or when it has passed the limit.
    fn end_if_due(&mut self, part: Part, table: &mut Table) {
        let stream = part.stream.index();
        let is_full = || self.open(stream).is_some_and(|open| open.lost > 0);
        if part.whole || (self.at_limit == AtLimit::Deliver && is_full()) {
            let end = self.deliver(part.stream, Flags::NONE, table);
            if !part.whole {
                (self.skipping[stream], self.done[stream]) = (true, end);
            }
        }
    }

    /// Whether `part` belongs to a record that was delivered before it: it is left out and counted, once.
    fn skip(&mut self, part: &Part, span: Span, table: &mut Table) -> bool {
        let stream = part.stream.index();
        if self.done[stream].is_some_and(|done| span.end <= done) {
            return true;
        }
        if !self.skipping[stream] {
            return false;
        }
        table.lost_record_bytes += if part.len > 0 { span.len as u64 } else { 0 };
        (self.skipping[stream], self.done[stream]) = (!part.whole, Some(span.end));
        true
    }
}

impl Open {
    fn new(part: &Part, span: Span, len: usize, text: Text) -> Open {
        let none = Open {
            begin: span.begin,
            end: span.end,
            time_ns: part.time_ns,
            flags: Flags::NONE,
            lost: 0,
            text,
        };
        let mut open = none;
        open.extend(part, span, len);
        open
    }

    /// Notes that `len` bytes of `part` were added.
    fn extend(&mut self, part: &Part, span: Span, len: usize) {
        self.end = span.end;
        self.flags |= part.flags;
        if len < part.len {
            self.flags |= Flags::TRUNCATED;
            self.lost += if len == 0 { span.len } else { part.len - len };
        }
    }
}

impl Text {
    fn len(&self) -> usize {
        match self {
            Text::Here { len, .. } => *len,
            Text::Carried(carry) => carry.len(),
        }
    }

    /// Appends `chunk[off..off + len]`, which stands in the line `here`.
    fn append_here(
        &mut self,
        off: usize,
        len: usize,
        here: (usize, usize),
        chunk: &mut [u8],
        carries: &CarryPool,
    ) -> Result<(), Exhausted> {
        if let Text::Here { off: start, len: held, next } = self
            && *next == here.0
        {
            chunk.copy_within(off..off + len, *start + *held);
            *held += len;
            *next = here.1;
            return Ok(());
        }
        self.leave(chunk, carries, len)?;
        self.append_carried(&chunk[off..off + len])
    }

    fn append_carried(&mut self, bytes: &[u8]) -> Result<(), Exhausted> {
        match self {
            Text::Carried(carry) => carry.push(bytes),
            Text::Here { .. } => unreachable!("what stands in a chunk leaves it before the chunk ends"),
        }
    }

    /// Moves to a carry with room for `more` bytes.
    fn leave(&mut self, chunk: &[u8], carries: &CarryPool, more: usize) -> Result<(), Exhausted> {
        if let Text::Here { off, len, .. } = *self {
            let mut carry = carries.take(len + more)?;
            carry.push(&chunk[off..off + len])?;
            *self = Text::Carried(carry);
        }
        Ok(())
    }
}
