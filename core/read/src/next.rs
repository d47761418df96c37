//! What a lineage tells: where views begin, what a listing changed, what to do next.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::Head;
use crate::open::OpenFile;

/// Where a view without a checkpoint begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest file.
    Beginning,
    /// Behind what there is.
    End,
    /// This many bytes before the end, mostly in the middle of a line; compressed files are not counted back into.
    Last(u64),
}

/// Why bytes were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostReason {
    /// The file was truncated before they were read, and no copy was found; or it is a damaged `.gz`.
    Truncated,
    /// The file was deleted before they were read, and nobody had it open; or it was given up.
    Deleted,
}

impl LostReason {
    /// The label of `ringtail_lost_bytes_total{reason}`.
    pub fn label(self) -> &'static str {
        match self {
            LostReason::Truncated => "truncated",
            LostReason::Deleted => "deleted",
        }
    }
}

/// What a listing changed. `generation`: in which one; lengths and positions are in uncompressed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants tell their fields")]
pub enum Change {
    /// A new generation.
    Found { generation: u32 },
    /// There may be more to read in it.
    Grew { generation: u32 },
    /// It goes on in another file; positions in it stay.
    Moved { generation: u32 },
    /// It grew after a view had left it at `from`: the bytes up to `to` are still to be read.
    Late { generation: u32, from: u64, to: u64 },
    /// Its file was emptied or made anew, and no copy was found. All that was seen of it was consumed; what may have been
    /// written to it after that is gone, and nobody knows how much that is.
    Emptied { generation: u32, path: Arc<Path> },
    /// `bytes` that were not consumed cannot be read any more, 0 where it cannot be known how many (a `.gz` that is cut
    /// off). Told once for a generation.
    Lost { generation: u32, reason: LostReason, bytes: u64, path: Arc<Path> },
}

/// Which state of the lineage a read was asked in; what it found counts only while that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(pub(crate) u64);

/// What a view has to do next.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the variants tell their fields")]
pub enum Next {
    /// Read from `offset`; when there is nothing, say so with [`crate::Lineage::at_end`]. `size_hint`: bytes that were seen from
    /// there on, at least (of a compressed file, nothing is known: 0). In a compressed file `offset` is a
    /// position in the inflated bytes. `head`: how the generation begins.
    Read { generation: u32, file: Arc<OpenFile>, offset: u64, size_hint: u64, head: Head, turn: Turn },
    /// There may be something to read, in a file that is not open: ask the scanner ([`crate::Scanner::reopen`]), then
    /// [`crate::Lineage::opened`].
    Reopen { generation: u32, path: Arc<Path> },
    /// Go on at this place.
    Advance { generation: u32, offset: u64 },
    /// Nothing to do before a listing, an event ([`crate::Lineage::wake`]), or that moment.
    Wait { until: Option<Duration> },
    /// All there was is read and the files are gone: the lineage may be dropped once everything is acknowledged.
    Finished,
}
