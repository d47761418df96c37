//! Joining alone, for whoever splits and parses lines by other means: parts of records in, whole records out.

use ringtail_memory::{CarryPool, Exhausted};
use ringtail_record::{Flags, Position, Stream};

use crate::decoder::LARGEST_LIMIT;
use crate::join::{AtLimit, Joins, Part, Span};
use crate::table::Table;

/// The open records of one file, one a stream at most. Limits: as [`Limits::max_record`](crate::Limits::max_record).
pub struct Joiner {
    joins: Joins,
    carries: CarryPool,
    max_record: usize,
    table: Table,
}

/// A record that is whole, or not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined<'a> {
    /// The time of its first part.
    pub time_ns: i64,
    /// The stream of all its parts.
    pub stream: Stream,
    /// [`Flags::TRUNCATED`] where it was cut at `max_record`, [`Flags::PARTIAL`] where its end was not seen
    /// or its beginning was delivered before.
    pub flags: Flags,
    /// The message: in the part itself where that is all of it.
    pub body: &'a [u8],
}

impl Joiner {
    /// Nothing is open yet.
    pub fn new(max_record: usize, carries: CarryPool) -> Self {
        let max_record = max_record.clamp(1, LARGEST_LIMIT);
        Joiner { joins: Joins::new(max_record, AtLimit::Wait), carries, max_record, table: Table::default() }
    }

    /// Adds a part of `stream`; the record, where the part ends it.
    ///
    /// # Errors
    /// When a carry was needed and there was none: the part was not added.
    pub fn add<'a>(
        &'a mut self,
        stream: Stream,
        time_ns: i64,
        part: &'a [u8],
        whole: bool,
    ) -> Result<Option<Joined<'a>>, Exhausted> {
        self.table.clear();
        let kept = &part[..part.len().min(self.max_record)];
        if whole && !self.joins.is_open(stream) {
            let flags = if kept.len() < part.len() { Flags::TRUNCATED } else { Flags::NONE };
            return Ok(Some(Joined { time_ns, stream, flags, body: kept }));
        }
        let mut carry = self.carries.take(kept.len())?;
        carry.push(kept)?;
        let nowhere = Position::default();
        let span = Span { begin: nowhere, end: nowhere, here: (0, 0), len: part.len() };
        let part = Part { time_ns, stream, flags: Flags::NONE, whole, off: 0, len: part.len() };
        self.joins.add_carried(part, span, carry, &mut self.table)?;
        Ok(self.last())
    }

    /// The open record of `stream`, marked [`Flags::PARTIAL`]: it is not waited for any longer, and its rest, should it come,
    /// is a record of its own and marked too.
    pub fn flush(&mut self, stream: Stream) -> Option<Joined<'_>> {
        self.table.clear();
        self.joins.flush(stream, &mut self.table)?;
        self.last()
    }

    fn last(&self) -> Option<Joined<'_>> {
        let record = self.table.records.last()?;
        let body = self.table.message(record, &[]);
        Some(Joined { time_ns: record.time_ns, stream: record.stream, flags: record.flags, body })
    }
}

#[cfg(test)]
mod tests {
    use ringtail_memory::Budget;

    use super::*;

    fn joiner(max_record: usize) -> Joiner {
        Joiner::new(max_record, CarryPool::new(&Budget::new(64 << 20)))
    }

    #[test]
    fn parts_are_joined_a_stream_apart_and_a_whole_one_stays_where_it_is() {
        let mut joiner = joiner(100);
        assert_eq!(joiner.add(Stream::Stdout, 1, b"one ", false), Ok(None));
        assert_eq!(joiner.add(Stream::Stderr, 2, b"other ", false), Ok(None));
        let alone = b"alone";
        let whole = joiner.add(Stream::None, 3, alone, true).expect("no carry is needed").expect("whole");
        assert_eq!(whole.body.as_ptr(), alone.as_ptr());
        let joined = joiner.add(Stream::Stdout, 4, b"two", true).expect("budget").expect("whole");
        assert_eq!((joined.body, joined.time_ns, joined.flags), (&b"one two"[..], 1, Flags::NONE));
        let open = joiner.flush(Stream::Stderr).expect("open");
        assert_eq!((open.body, open.time_ns, open.flags), (&b"other "[..], 2, Flags::PARTIAL));
        assert_eq!(joiner.flush(Stream::Stderr), None);
        for (text, flags) in [(&b"rest"[..], Flags::PARTIAL), (b"next", Flags::NONE)] {
            let joined = joiner.add(Stream::Stderr, 5, text, true).expect("budget").expect("whole");
            assert_eq!((joined.body, joined.flags), (text, flags));
        }
    }

    #[test]
    fn what_passes_the_limit_is_cut_and_marked_once() {
        let mut joiner = joiner(5);
        assert_eq!(joiner.add(Stream::Stdout, 1, b"123", false), Ok(None));
        assert_eq!(joiner.add(Stream::Stdout, 1, b"456", false), Ok(None));
        let cut = joiner.add(Stream::Stdout, 1, b"789", true).expect("budget").expect("whole");
        assert_eq!((cut.body, cut.flags), (&b"12345"[..], Flags::TRUNCATED));
        let whole = joiner.add(Stream::Stdout, 1, b"1234567", true).expect("budget").expect("whole");
        assert_eq!((whole.body, whole.flags), (&b"12345"[..], Flags::TRUNCATED));
        let next = joiner.add(Stream::Stdout, 1, b"next", true).expect("budget").expect("whole");
        assert_eq!((next.body, next.flags), (&b"next"[..], Flags::NONE));
    }
}
