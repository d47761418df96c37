//! Lines without their end: those over `max_line`, of which the beginning is kept and the rest is skipped, and the last
//! one of a file.

use memchr::memchr;
use ringtail_memory::{Carry, CarryPool, Exhausted};
use ringtail_record::{Flags, Position};

use crate::decoder::{Decoder, LineEnd};
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
                    let (off, kept_len, len) = (header.len, len, len - header.len);
                    let cri::Header { time_ns, stream, whole, .. } = header;
                    let part = Part { time_ns, stream, flags, whole, off, len };
                    let span = Span { begin, end, here: (0, 0), len: kept_len };
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

    /// Does with the chunk, the last line of a file without its newline, what [`Decoder::flush_line`] says.
    pub(crate) fn flush(&mut self, why: LineEnd) -> Result<usize, Stuck> {
        let half = self.half();
        match (half, why) {
            (Half::Torn | Half::Malformed, LineEnd::Timeout) => return Ok(0),
            (Half::Torn, LineEnd::EndOfFile) => return self.end_torn(),
            (Half::Raw, _) | (Half::Malformed, LineEnd::EndOfFile) => {}
        }
        if let Some(cut) = self.decoder.cut.take() {
            self.flush_cut(cut, why)?;
        }
        let len = self.chunk.len();
        if len == 0 {
            return Ok(0);
        }
        let malformed = half == Half::Malformed;
        let flags = if malformed { Flags::PARTIAL | Flags::MALFORMED } else { Flags::PARTIAL };
        self.table.malformed_lines += u64::from(malformed);
        let part = self.plain_part(0, len, flags);
        self.push_cut(part, self.offset(len), Home::CHUNK);
        Ok(len)
    }

    /// A docker line tells by itself that it is whole: without its newline it is delivered all the same. Anything else
    /// that may lack more than that is torn.
    fn end_torn(&mut self) -> Result<usize, Stuck> {
        let (begin, len) = (self.position(0), self.chunk.len());
        if !self.may_be_whole().map_err(|Exhausted| begin)? || !self.docker_message(0, len)? {
            return Ok(self.tear());
        }
        let decoder = &mut *self.decoder;
        decoder.joins.leave(self.chunk, &decoder.carries).map_err(|Exhausted| begin)?;
        Ok(len)
    }

    fn may_be_whole(&mut self) -> Result<bool, Exhausted> {
        let Decoder { format, clock, carries, cut, .. } = &mut *self.decoder;
        if cut.is_some() || self.chunk.is_empty() {
            return Ok(false);
        }
        let format = format.map_or_else(|| format::of_line(self.chunk, clock, carries), Ok)?;
        Ok(format == Format::DockerJson)
    }

    /// Counts the line as torn, the beginning of an over-long one included; returns what is consumed of the chunk.
    fn tear(&mut self) -> usize {
        let cut = self.decoder.cut.take();
        let cut_bytes = cut.map_or(0, |cut| cut.skipped + cut.kept.map_or(0, |kept| kept.len() as u64));
        self.table.torn_line_bytes += cut_bytes + self.chunk.len() as u64;
        self.chunk.len()
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

    /// What the line that has no end yet is.
    fn half(&mut self) -> Half {
        let decoder = &mut *self.decoder;
        let head = match &decoder.cut {
            // Its beginning was delivered.
            Some(Cut { kept: None, .. }) => return Half::Raw,
            Some(Cut { kept: Some(kept), .. }) => &kept[..],
            None => self.chunk,
        };
        match decoder.format.or_else(|| format::of_head(head, &mut decoder.clock)) {
            Some(Format::Raw) => Half::Raw,
            Some(Format::Cri) if !cri::may_begin(head) => Half::Malformed,
            Some(Format::DockerJson) if !docker::may_be_object(head) => Half::Malformed,
            Some(Format::Cri | Format::DockerJson) | None => Half::Torn,
        }
    }
}

/// A line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    /// Worth having as it is.
    Raw,
    /// The beginning of a CRI or docker line, or of what may still become one.
    Torn,
    /// In a CRI or docker file, and whatever follows cannot make it a line of that.
    Malformed,
}
