//! One call: the lines of one chunk.
//!
//! A CRI header is read before the line's end is looked for, since it cannot hold a newline: `memchr` then has only the
//! content to go through. Whatever is not a whole record within the limits takes the way of [`Pass::cri_line`], which
//! starts again from the line's bytes.

use memchr::memchr;
use ringtail_memory::Exhausted;
use ringtail_record::{Flags, Position, Stream};

use crate::decoder::Decoder;
use crate::format::{self, Format};
use crate::join::{Part, Span};
use crate::table::{Home, Table};
use crate::{cri, docker, hole};

/// The beginning of the line for which there was no carry.
pub(crate) type Stuck = Position;

pub(crate) struct Pass<'a> {
    pub(crate) decoder: &'a mut Decoder,
    pub(crate) chunk: &'a mut [u8],
    /// Where the chunk begins in its file.
    pub(crate) at: Position,
    pub(crate) now_ns: i64,
    pub(crate) table: &'a mut Table,
}

impl Pass<'_> {
    /// Decodes all lines; returns how many bytes were consumed.
    pub(crate) fn run(&mut self) -> Result<usize, Stuck> {
        let cut = self.decoder.cut.as_ref().map(|cut| cut.begin);
        self.decoder.joins.settle(cut.unwrap_or(self.at));
        let begin = self.end_of_cut()?;
        let begin = self.end_of_hole(begin);
        let end = self.lines(begin)?;
        let end = self.skip_last_hole(end);
        let consumed = self.cut_rest(end)?;
        let decoder = &mut *self.decoder;
        decoder.joins.leave(self.chunk, &decoder.carries).map_err(|Exhausted| self.position(end))?;
        Ok(consumed)
    }

    /// The lines from `begin` on that have an end; returns where the last one ends.
    fn lines(&mut self, begin: usize) -> Result<usize, Stuck> {
        match self.format(begin)? {
            None => Ok(begin),
            Some(Format::Cri) => self.cri_lines(begin),
            Some(Format::DockerJson) => self.docker_lines(begin),
            Some(Format::Raw) => self.raw_lines(begin),
        }
    }

    /// The format of the file; where it is not known, the line at `begin` decides.
    fn format(&mut self, begin: usize) -> Result<Option<Format>, Stuck> {
        let (position, least_hole) = (self.position(begin), self.least_hole());
        let decoder = &mut *self.decoder;
        if decoder.format.is_none()
            && let Some(len) = memchr(b'\n', &self.chunk[begin..])
        {
            let line = &self.chunk[begin..begin + len];
            // Where the line is cut before a hole ends, it is cut with what it has of that, as between two chunks.
            let nuls = hole::nuls(line);
            let is_cut = len > decoder.limits.max_line && nuls < least_hole;
            let line = if is_cut { line } else { &line[nuls..] };
            let len = line.len();
            let found = if len <= decoder.limits.max_line {
                format::of_line(line, &mut decoder.clock, &decoder.carries).map_err(|Exhausted| position)?
            } else {
                format::of_cut(&line[..decoder.limits.max_line], &mut decoder.clock)
            };
            decoder.format = Some(found);
        }
        Ok(decoder.format)
    }

    fn cri_lines(&mut self, mut begin: usize) -> Result<usize, Stuck> {
        loop {
            begin = self.usual_cri_lines(begin);
            let Some(len) = memchr(b'\n', &self.chunk[begin..]) else { return Ok(begin) };
            self.cri_line(begin, begin + len)?;
            begin += len + 1;
        }
    }

    /// Delivers the lines from `begin` on that are whole records; returns where the first one begins that is not.
    #[inline(never)]
    fn usual_cri_lines(&mut self, mut begin: usize) -> usize {
        let longest = self.longest();
        let open = Stream::ALL.map(|stream| self.decoder.joins.is_open(stream));
        let Pass { decoder: Decoder { clock, .. }, chunk, at, table, .. } = self;
        while let Some(cri::Header { time_ns, stream, whole: true, len: header_len }) =
            cri::header_before_content(clock, &chunk[begin..])
        {
            let off = begin + header_len;
            let Some(len) = memchr(b'\n', &chunk[off..]) else { break };
            if header_len + len > longest || open[stream.index()] {
                break;
            }
            let part = Part { time_ns, stream, flags: Flags::NONE, whole: true, off, len };
            begin = off + len + 1;
            table.push(part, at.offset + begin as u64, Home::CHUNK);
        }
        begin
    }

    #[inline(never)]
    fn cri_line(&mut self, begin: usize, end: usize) -> Result<(), Stuck> {
        let begin = self.skip_hole(begin, end);
        let (kept, flags) = self.cut_line(begin, end);
        match cri::header(&mut self.decoder.clock, &self.chunk[begin..kept]) {
            Some(header) => {
                let (off, len) = (begin + header.len, kept - begin - header.len);
                let cri::Header { time_ns, stream, whole, .. } = header;
                self.add(Part { time_ns, stream, flags, whole, off, len }, begin, end)
            }
            None => {
                // Of a line that is cut it is not known what follows.
                if kept < end || !self.skip_blank(begin, end) {
                    self.malformed(begin, kept, end, flags);
                }
                Ok(())
            }
        }
    }

    fn docker_lines(&mut self, mut begin: usize) -> Result<usize, Stuck> {
        let longest = self.longest();
        while let Some(len) = memchr(b'\n', &self.chunk[begin..]) {
            let end = begin + len;
            if len > longest {
                self.long_docker_line(begin, end)?;
            } else {
                self.docker_line(begin, end)?;
            }
            begin = end + 1;
        }
        Ok(begin)
    }

    #[inline]
    fn docker_line(&mut self, begin: usize, end: usize) -> Result<(), Stuck> {
        match self.docker_message(begin, end)? {
            true => Ok(()),
            false => self.strange_docker_line(begin, end),
        }
    }

    /// Adds what the line `begin..end` says; false when it is not a legal docker line.
    #[inline]
    pub(crate) fn docker_message(&mut self, begin: usize, end: usize) -> Result<bool, Stuck> {
        let position = self.position(begin);
        let decoder = &mut *self.decoder;
        let line = &mut self.chunk[begin..end];
        let message =
            docker::decode(line, &mut decoder.clock, &decoder.carries).map_err(|Exhausted| position)?;
        let Some(docker::Message { time_ns, stream, whole, off, len }) = message else { return Ok(false) };
        let alone = !whole && stream == Stream::None;
        let flags = if alone { Flags::PARTIAL } else { Flags::NONE };
        let part = Part { time_ns, stream, flags, whole: whole || alone, off: begin + off, len };
        self.add(part, begin, end)?;
        Ok(true)
    }

    #[cold]
    fn strange_docker_line(&mut self, begin: usize, end: usize) -> Result<(), Stuck> {
        let behind = self.skip_hole(begin, end);
        let known = behind > begin && self.docker_message(behind, end)?;
        if !known && !self.skip_blank(behind, end) {
            self.malformed(behind, end, end, Flags::NONE);
        }
        Ok(())
    }

    /// A docker line over `max_line` or `max_record`.
    #[cold]
    fn long_docker_line(&mut self, begin: usize, end: usize) -> Result<(), Stuck> {
        let begin = self.skip_hole(begin, end);
        let (kept, flags) = self.cut_line(begin, end);
        if kept == end {
            return self.docker_line(begin, end);
        }
        match docker::decode_cut(&mut self.chunk[begin..kept]) {
            Some((off, len)) => self.malformed(begin + off, begin + off + len, end, flags),
            None => self.malformed(begin, kept, end, flags),
        }
        Ok(())
    }

    fn raw_lines(&mut self, mut begin: usize) -> Result<usize, Stuck> {
        let longest = self.longest();
        while let Some(len) = memchr(b'\n', &self.chunk[begin..]) {
            let end = begin + len;
            begin = self.skip_hole(begin, end);
            let len = end - begin;
            let carriage_return = usize::from(self.chunk[begin..end].last() == Some(&b'\r'));
            if len > longest {
                let (kept, flags) = self.cut_line(begin, end);
                self.plain(begin, kept.min(end - carriage_return), end, flags);
            } else {
                let part = self.plain_part(begin, len - carriage_return, Flags::NONE);
                self.table.push(part, self.offset(end + 1), Home::CHUNK);
            }
            begin = end + 1;
        }
        Ok(begin)
    }

    /// What is kept of the line `begin..end`, and how it is marked; counts what is cut off.
    fn cut_line(&mut self, begin: usize, end: usize) -> (usize, Flags) {
        let kept = end.min(begin + self.decoder.limits.max_line);
        self.table.lost_line_bytes += (end - kept) as u64;
        (kept, if kept < end { Flags::TRUNCATED } else { Flags::NONE })
    }

    /// Delivers `chunk[off..to]` of a line that ends at `end` as it is, marked and counted.
    #[cold]
    fn malformed(&mut self, off: usize, to: usize, end: usize, flags: Flags) {
        self.table.malformed_lines += 1;
        self.plain(off, to, end, flags | Flags::MALFORMED);
    }

    /// Delivers `chunk[off..to]` of a line that ends at `end`: joined to nothing, of no stream, read now.
    fn plain(&mut self, off: usize, to: usize, end: usize, flags: Flags) {
        let part = self.plain_part(off, to - off, flags);
        self.push_cut(part, self.offset(end + 1), Home::CHUNK);
    }

    #[inline]
    pub(crate) fn plain_part(&self, off: usize, len: usize, flags: Flags) -> Part {
        Part { time_ns: self.now_ns, stream: Stream::None, flags, whole: true, off, len }
    }

    /// Adds a part of the line `begin..end`, newline not included, to its record.
    #[inline]
    fn add(&mut self, part: Part, begin: usize, end: usize) -> Result<(), Stuck> {
        // The last line of a file may have no newline.
        let next = self.chunk.len().min(end + 1);
        if part.whole && !self.decoder.joins.is_open(part.stream) {
            self.push_cut(part, self.offset(next), Home::CHUNK);
            return Ok(());
        }
        let (from, to) = (self.position(begin), self.position(next));
        let is_cut = part.flags.contains(Flags::TRUNCATED);
        let len = if is_cut { part.off + part.len - begin } else { end - begin };
        let span = Span { begin: from, end: to, here: (begin, next), len };
        let decoder = &mut *self.decoder;
        decoder.joins.add(part, span, self.chunk, &decoder.carries, self.table).map_err(|Exhausted| from)
    }

    /// Delivers a record, cut at `max_record`.
    #[inline]
    pub(crate) fn push_cut(&mut self, mut part: Part, end: u64, home: Home) {
        let max_record = self.decoder.limits.max_record;
        if part.len > max_record {
            self.table.lost_record_bytes += (part.len - max_record) as u64;
            part.len = max_record;
            part.flags |= Flags::TRUNCATED;
        }
        self.table.push(part, end, home);
    }

    /// The longest line that is within both limits whatever it holds.
    fn longest(&self) -> usize {
        self.decoder.limits.max_line.min(self.decoder.limits.max_record)
    }

    #[inline]
    pub(crate) fn offset(&self, at: usize) -> u64 {
        self.at.offset + at as u64
    }

    #[inline]
    pub(crate) fn position(&self, at: usize) -> Position {
        Position { generation: self.at.generation, offset: self.offset(at) }
    }
}
