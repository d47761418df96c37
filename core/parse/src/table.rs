//! What decoding gives.

use ringtail_memory::Carry;
use ringtail_record::{Flags, Stream};

use crate::join::Part;

/// The bytes that a [`Decoded`] refers to: the chunk that was decoded, or a carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home(u32);

impl Home {
    /// The chunk that was decoded.
    pub const CHUNK: Home = Home(u32::MAX);

    /// The number in [`Table::joined`]; nothing for the chunk.
    pub fn joined(self) -> Option<usize> {
        (self != Home::CHUNK).then_some(self.0 as usize)
    }
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub time_ns: i64,
    /// The offset in the file just behind the record's last line, its newline included.
    pub end: u64,
    /// Where in its home the message begins.
    pub off: u32,
    /// The length of the message in bytes.
    pub len: u32,
    /// What `off` counts in.
    pub home: Home,
    /// The stream it was written to.
    pub stream: Stream,
    /// What is not whole about it.
    pub flags: Flags,
}

const _: () = assert!(size_of::<Decoded>() == 32);

/// The records of one chunk, and what was lost on the way. Cleared and used again by the caller, so that nothing is
/// allocated in the steady state.
#[derive(Debug, Default)]
pub struct Table {
    /// In the order in which they ended.
    pub records: Vec<Decoded>,
    /// What was joined from more than one chunk, and lines over the limit.
    pub joined: Vec<Carry>,
    /// Lines that were not in the format of their file.
    pub malformed_lines: u64,
    /// Bytes of the file that `max_line` cut off.
    pub lost_line_bytes: u64,
    /// Bytes of the file that `max_record` cut off: of lines that were left out, and of messages that were cut, as
    /// they are when decoded.
    pub lost_record_bytes: u64,
    /// Bytes of a CRI or docker line that its file ends in the middle of: half of one is not delivered.
    pub torn_line_bytes: u64,
}

impl Table {
    /// Forgets everything and keeps the tables' memory.
    pub fn clear(&mut self) {
        self.records.clear();
        self.joined.clear();
        (self.malformed_lines, self.lost_line_bytes, self.lost_record_bytes) = (0, 0, 0);
        self.torn_line_bytes = 0;
    }

    /// Adds a record whose last line ends at `end`.
    #[inline]
    pub(crate) fn push(&mut self, part: Part, end: u64, home: Home) {
        let Part { time_ns, stream, flags, .. } = part;
        let (off, len) = (offset(part.off), offset(part.len));
        self.records.push(Decoded { time_ns, end, off, len, home, stream, flags });
    }

    /// Takes `carry` in, as the home of a record.
    pub(crate) fn keep(&mut self, carry: Carry) -> Home {
        let number = u32::try_from(self.joined.len()).ok().filter(|number| *number != u32::MAX);
        self.joined.push(carry);
        Home(number.expect("a carry has 512 bytes or more: 2^32 of them pass every budget"))
    }

    /// The message of `record`, which was decoded from `chunk`.
    pub fn message<'a>(&'a self, record: &Decoded, chunk: &'a [u8]) -> &'a [u8] {
        let home = record.home.joined().map_or(chunk, |number| &self.joined[number]);
        &home[record.off as usize..][..record.len as usize]
    }
}

#[inline]
fn offset(n: usize) -> u32 {
    u32::try_from(n).expect("decode asserts that a chunk is below 4 GiB; carries are far below")
}
