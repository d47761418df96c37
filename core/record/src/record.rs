//! One record: where its message lies, when it was written, and what is not whole about it.

use std::ops::{BitOr, BitOrAssign};

/// The stream of a container that a record was written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Stream {
    /// A file that has no streams: raw lines, and lines whose stream could not be told.
    #[default]
    None = 0,
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

impl Stream {
    /// All streams, by their number.
    pub const ALL: [Stream; 3] = [Stream::None, Stream::Stdout, Stream::Stderr];

    /// The value of `log.iostream`; empty where there is none.
    pub fn name(self) -> &'static str {
        match self {
            Stream::None => "",
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }

    /// The place of this stream in an array of one entry per stream.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What is not whole about a record; the values of `log.flags`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// Whole.
    pub const NONE: Flags = Flags(0);
    /// Cut at `max_line` or `max_record`.
    pub const TRUNCATED: Flags = Flags(1);
    /// Not in the format of its file; delivered as it was found.
    pub const MALFORMED: Flags = Flags(2);
    /// Delivered before its end was seen (an open partial, or a raw line without its newline), or the rest of such a partial.
    pub const PARTIAL: Flags = Flags(4);

    /// Every flag with the name it has on the wire.
    pub const NAMES: [(Flags, &'static str); 3] =
        [(Flags::TRUNCATED, "truncated"), (Flags::MALFORMED, "malformed"), (Flags::PARTIAL, "partial")];

    /// Whether every flag of `other` is set.
    pub fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flags as a number, one bit each.
    pub fn bits(self) -> u8 {
        self.0
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

/// One record of a [`Batch`](crate::Batch): 32 bytes, referring to bytes and source by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Nanoseconds since 1970-01-01T00:00:00Z: the container runtime's time, for raw files the time of reading.
    pub time_ns: i64,
    /// Which of the batch's buffers the message lies in.
    pub buffer: u32,
    /// Where in that buffer the message begins.
    pub off: u32,
    /// The length of the message in bytes.
    pub len: u32,
    /// Which of the batch's sources wrote it.
    pub source: u32,
    /// The stream it was written to.
    pub stream: Stream,
    /// What is not whole about it.
    pub flags: Flags,
}

const _: () = assert!(size_of::<Record>() == 32);
