//! Lines without their end: those over `max_line`, of which the beginning is kept and the rest is skipped, and the last
//! one of a file.

use memchr::memchr;
use ringtail_memory::{Carry, CarryPool, Exhausted};
use ringtail_record::{Flags, Position};

use crate::decoder::LineEnd;
use crate::format::{self, Format};
use crate::join::{Part, Span};
use crate::pass::{Pass, Stuck};
use crate::table::Home;
use crate::{cri, docker};

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

impl Pass<'_> {
    /// Skips the over-long line; returns where the next one begins.
    pub(crate) fn end_of_cut(&mut self) -> Result<usize, Stuck> {
        let Some(mut cut) = self.decoder.cut.take() else { return Ok(0) };
        let newline = memchr(b'\n', self.chunk);
        cut.skipped += newline.unwrap_or(self.chunk.len()) as u64;
        let Some(newline) = newline else {
            self.count_if_delivered(&mut cut);
            self.decoder.cut = Some(cut);
            return Ok(self.chunk.len());
        };
        let end = newline + 1;
        self.deliver_cut(cut, self.position(end), Flags::NONE)?;
        Ok(end)
    }

    /// Cuts the line at `begin`, which has no end in this chunk, if it is over the limit; returns what is consumed.
    pub(crate) fn cut_rest(&mut self, begin: usize) -> Result<usize, Stuck> {
        let max_line = self.decoder.limits.max_line;
        let rest = &self.chunk[begin..];
        if rest.len() <= max_line {
            return Ok(begin);
        }
        let position = self.position(begin);
        let cut = Cut::new(rest, position, max_line, &self.decoder.carries).map_err(|Exhausted| position)?;
        self.decoder.cut = Some(cut);
        Ok(self.chunk.len())
    }

    /// Delivers an over-long line that ended, or is not waited for any longer, at `end`.
    fn deliver_cut(&mut self, mut cut: Cut, end: Position, flags: Flags) -> Result<(), Stuck> {
        let begin = cut.begin;
        let Some(mut kept) = cut.kept.take() else {
            self.table.lost_line_bytes += cut.skipped;
            return Ok(());
        };
        let flags = flags | Flags::TRUNCATED;
        let decoder = &mut *self.decoder;
        let format = *decoder.format.get_or_insert_with(|| format::of_cut(&kept, &mut decoder.clock));
        let len = kept.len();
        match format {
            Format::Raw => self.plain_carried(kept, 0, len, end, flags),
            Format::DockerJson => {
                let (off, len) = docker::decode_cut(&mut kept).unwrap_or((0, len));
                self.table.malformed_lines += 1;
                self.plain_carried(kept, off, len, end, flags | Flags::MALFORMED);
            }
            Format::Cri => match cri::header(&mut decoder.clock, &kept) {
                Some(header) => {
                    let (off, len) = (header.len, len - header.len);
                    let cri::Header { time_ns, stream, whole, .. } = header;
                    let part = Part { time_ns, stream, flags, whole, off, len };
                    let span = Span { begin, end, here: (0, 0) };
                    decoder.joins.add_carried(part, span, kept, self.table).map_err(|Exhausted| begin)?;
                }
                None => {
                    self.table.malformed_lines += 1;
                    self.plain_carried(kept, 0, len, end, flags | Flags::MALFORMED);
                }
            },
        }
        self.table.lost_line_bytes += cut.skipped;
        Ok(())
    }

    fn plain_carried(&mut self, kept: Carry, off: usize, len: usize, end: Position, flags: Flags) {
        let part = self.plain_part(off, len, flags);
        let home = self.table.keep(kept);
        self.push_cut(part, end.offset, home);
    }

    /// Counts what was skipped of a line that was delivered before.
    fn count_if_delivered(&mut self, cut: &mut Cut) {
        if cut.kept.is_none() {
            self.table.lost_line_bytes += std::mem::take(&mut cut.skipped);
        }
    }

    /// Delivers the chunk, the last line of a file without its newline; see [`Decoder::flush_line`].
    pub(crate) fn flush(&mut self, why: LineEnd) -> Result<usize, Stuck> {
        let raw = self.is_raw();
        if why == LineEnd::Timeout && !raw {
            return Ok(0);
        }
        if let Some(cut) = self.decoder.cut.take() {
            self.flush_cut(cut, why)?;
        }
        let len = self.chunk.len();
        if len == 0 {
            return Ok(0);
        }
        let flags = if raw { Flags::PARTIAL } else { Flags::PARTIAL | Flags::MALFORMED };
        self.table.malformed_lines += u64::from(!raw);
        let part = self.plain_part(0, len, flags);
        self.push_cut(part, self.offset(len), Home::CHUNK);
        Ok(len)
    }

    /// Delivers an over-long line that has no end yet; what comes of it later is skipped too.
    fn flush_cut(&mut self, cut: Cut, why: LineEnd) -> Result<(), Stuck> {
        let begin = cut.begin;
        self.deliver_cut(cut, self.at, Flags::PARTIAL)?;
        if why == LineEnd::Timeout {
            self.decoder.cut = Some(Cut { begin, kept: None, skipped: 0 });
        }
        Ok(())
    }

    /// Whether the line that has no end yet is a raw line.
    fn is_raw(&mut self) -> bool {
        let decoder = &mut *self.decoder;
        let head = match &decoder.cut {
            Some(Cut { kept: Some(kept), .. }) => &kept[..],
            _ => self.chunk,
        };
        let format = decoder.format.or_else(|| format::of_head(head, &mut decoder.clock));
        format == Some(Format::Raw)
    }
}
