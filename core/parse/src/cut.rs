//! A line over `max_line` whose end was not in its chunk: its beginning is kept, the rest is skipped.

use ringtail_memory::{Carry, CarryPool, Exhausted};
use ringtail_record::Position;

/// The line that is being skipped.
pub(crate) struct Cut {
    /// Where it begins.
    pub(crate) begin: Position,
    /// Its first `max_line` bytes; nothing once they were delivered.
    pub(crate) kept: Option<Carry>,
    /// Bytes that were skipped and are not counted as lost yet: they are when the line is delivered, so that
    /// nothing is counted twice when the view goes back.
    pub(crate) skipped: u64,
}

impl Cut {
    /// Cuts `line`, which has no end yet, after `max_line` bytes.
    pub(crate) fn new(
        line: &[u8],
        begin: Position,
        max_line: usize,
        carries: &CarryPool,
    ) -> Result<Cut, Exhausted> {
        let mut kept = carries.take(max_line)?;
        kept.push(&line[..max_line])?;
        Ok(Cut { begin, kept: Some(kept), skipped: (line.len() - max_line) as u64 })
    }
}
