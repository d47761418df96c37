//! The model: what must be delivered for lines whose meaning is known. It parses nothing, it only cuts and joins.

use ringtail_parse::{Format, Limits};
use ringtail_record::{Flags, Position, Stream};

use super::half;
use super::reader::{Got, NOW_NS, Row};

/// A file as its writer meant it.
#[derive(Clone, Debug)]
pub struct File {
    /// What stands in it, in order.
    pub lines: Vec<Line>,
    /// Whether the last line has its newline. One that has none is not empty.
    pub ends: bool,
}

/// One line of a file, as its writer meant it.
#[derive(Clone, Debug)]
pub enum Line {
    /// In the format of the file.
    Message {
        /// What stands before the message.
        head: Vec<u8>,
        /// Each character of the message as it is written, and what it says.
        units: Vec<(Vec<u8>, Vec<u8>)>,
        /// What stands behind the message.
        tail: Vec<u8>,
        /// The stream it was written to.
        stream: Stream,
        /// When, in nanoseconds since 1970.
        time_ns: i64,
        /// Whether the record ends with it.
        whole: bool,
    },
    /// Anything else.
    Garbage(Vec<u8>),
    /// NUL bytes that nobody wrote, and the line behind them.
    Holed(usize, Box<Line>),
}

impl File {
    /// Its bytes.
    pub fn text(&self) -> Vec<u8> {
        let mut text: Vec<u8> =
            self.lines.iter().flat_map(|line| [line.text(), vec![b'\n']].concat()).collect();
        if !self.ends {
            text.pop();
        }
        text
    }
}

impl Line {
    /// Its bytes, without a newline.
    pub fn text(&self) -> Vec<u8> {
        match self {
            Line::Garbage(text) => text.clone(),
            Line::Holed(nuls, line) => [vec![0; *nuls], line.text()].concat(),
            Line::Message { head, units, tail, .. } => {
                let units = units.iter().flat_map(|(text, _)| text);
                head.iter().chain(units).chain(tail).copied().collect()
            }
        }
    }
}

impl Line {
    /// The line, with the NUL bytes before it as a hole if that is one in `format`.
    pub fn holed(self, format: Format, limits: Limits) -> Line {
        let Line::Garbage(text) = &self else { return self };
        let nuls = text.iter().take_while(|byte| **byte == 0).count();
        let is_hole = match format {
            Format::Cri | Format::DockerJson => nuls > 0,
            Format::Raw => nuls >= 4096 && limits.max_line >= 4096,
        };
        if is_hole { Line::Holed(nuls, Box::new(Line::Garbage(text[nuls..].to_vec()))) } else { self }
    }
}

/// What the decoder must deliver for `files`, which are at their end.
pub fn expected(format: Format, files: &[File], limits: Limits) -> Got {
    let mut oracle = Oracle { limits, got: Got::default(), open: Default::default(), skipping: [false; 3] };
    for (generation, File { lines, ends }) in files.iter().enumerate() {
        let generation = u32::try_from(generation).expect("few files");
        let mut offset = 0;
        for (number, line) in lines.iter().enumerate() {
            let line = &line.clone().holed(format, limits);
            offset += line.text().len() as u64;
            if *ends || number + 1 < lines.len() {
                offset += 1;
                oracle.line(format, line, Position { generation, offset });
            } else {
                oracle.rest(format, line, Position { generation, offset });
            }
        }
    }
    for stream in Stream::ALL {
        if let Some((row, lost)) = oracle.open[stream.index()].take() {
            oracle.deliver(Row { flags: row.flags | Flags::PARTIAL.bits(), ..row }, lost);
        }
    }
    oracle.got
}

struct Oracle {
    limits: Limits,
    got: Got,
    open: [Option<(Row, u64)>; 3],
    skipping: [bool; 3],
}

impl Oracle {
    /// A line without its newline. Half a line of the file's format is not delivered; a docker line shows that it is
    /// whole.
    fn rest(&mut self, format: Format, line: &Line, end: Position) {
        if let Line::Holed(_, line) = line {
            self.got.malformed_lines += 1;
            if !line.text().is_empty() {
                self.rest(format, line, end);
            }
            return;
        }
        let text = line.text();
        let is_cut = text.len() > self.limits.max_line;
        if half::is_half(format, &text[..text.len().min(self.limits.max_line)]) {
            match (format, line) {
                (Format::DockerJson, Line::Message { .. }) if !is_cut => self.line(format, line, end),
                _ => self.got.torn_line_bytes += text.len() as u64,
            }
            return;
        }
        if is_cut {
            return self.cut_line(format, line, end, Flags::TRUNCATED | Flags::PARTIAL);
        }
        let malformed = format != Format::Raw;
        self.got.malformed_lines += u64::from(malformed);
        let flags = if malformed { Flags::PARTIAL | Flags::MALFORMED } else { Flags::PARTIAL };
        self.deliver(plain(&text, flags.bits(), end), 0);
    }

    fn line(&mut self, format: Format, line: &Line, end: Position) {
        if let Line::Holed(_, line) = line {
            self.got.malformed_lines += 1;
            return self.line(format, line, end);
        }
        let cut = if line.text().len() > self.limits.max_line { Flags::TRUNCATED } else { Flags::NONE };
        self.cut_line(format, line, end, cut);
    }

    /// A line; `cut` are its flags if it is over the limit, and nothing if not.
    fn cut_line(&mut self, format: Format, line: &Line, end: Position, cut: Flags) {
        let text = line.text();
        if format != Format::Raw && cut.is_empty() && text.trim_ascii().is_empty() {
            self.got.malformed_lines += 1;
            return;
        }
        let kept = text.len().min(self.limits.max_line);
        self.got.lost_line_bytes += (text.len() - kept) as u64;
        let cut = cut.bits();
        match line {
            Line::Message { head, units, stream, time_ns, whole, .. }
                if cut == 0 || format == Format::Cri && first_tag_end(head) <= kept =>
            {
                let message = units.iter().flat_map(|(_, bytes)| bytes).copied();
                let message = if cut == 0 {
                    message.collect()
                } else {
                    message.take(kept.saturating_sub(head.len())).collect()
                };
                let row = Row { time_ns: *time_ns, stream: *stream, flags: cut, message, end };
                self.part(row, *whole, kept);
            }
            Line::Message { head, units, .. }
                if format == Format::DockerJson && head == b"{\"log\":\"" && kept >= head.len() =>
            {
                let mut room = kept - head.len();
                let mut message = Vec::new();
                for (text, bytes) in units {
                    if text.len() > room {
                        // What is not an escape may be cut inside; half a surrogate pair is none.
                        match text[0] {
                            b'\\' if text.len() > 6 && room >= 6 => message.extend("\u{fffd}".bytes()),
                            b'\\' => {}
                            _ => message.extend_from_slice(&bytes[..room]),
                        }
                        break;
                    }
                    room -= text.len();
                    message.extend_from_slice(bytes);
                }
                self.got.malformed_lines += 1;
                self.deliver(plain(&message, cut | Flags::MALFORMED.bits(), end), 0);
            }
            _ => {
                let malformed = format != Format::Raw;
                self.got.malformed_lines += u64::from(malformed);
                let flags = cut | if malformed { Flags::MALFORMED.bits() } else { 0 };
                let strip = !malformed && cut == 0 && text.last() == Some(&b'\r');
                self.deliver(plain(&text[..kept - usize::from(strip)], flags, end), 0);
            }
        }
    }

    /// Adds what a line of `line_len` bytes says. One of which `max_record` leaves nothing is lost with its header.
    fn part(&mut self, mut part: Row, whole: bool, line_len: usize) {
        if !whole && part.stream == Stream::None {
            part.flags |= Flags::PARTIAL.bits();
            return self.deliver(part, 0);
        }
        if self.skipping[part.stream.index()] {
            self.got.lost_record_bytes += if part.message.is_empty() { 0 } else { line_len as u64 };
            self.skipping[part.stream.index()] = !whole;
            return;
        }
        let part_len = part.message.len();
        let row = match self.open[part.stream.index()].take() {
            None => (part, 0),
            Some((mut open, lost)) => {
                open.message.extend_from_slice(&part.message);
                (Row { end: part.end, flags: open.flags | part.flags, ..open }, lost)
            }
        };
        let (mut row, mut lost) = row;
        let is_full = row.message.len() > self.limits.max_record;
        if is_full {
            let left_out = row.message.len() - self.limits.max_record;
            lost += if left_out == part_len { line_len } else { left_out } as u64;
            row.message.truncate(self.limits.max_record);
            row.flags |= Flags::TRUNCATED.bits();
        }
        if whole || is_full {
            self.skipping[row.stream.index()] = !whole;
            self.deliver(row, lost);
        } else {
            let stream = row.stream;
            self.open[stream.index()] = Some((row, lost));
        }
    }

    fn deliver(&mut self, mut row: Row, lost: u64) {
        self.got.lost_record_bytes += lost;
        if row.message.len() > self.limits.max_record {
            self.got.lost_record_bytes += (row.message.len() - self.limits.max_record) as u64;
            row.message.truncate(self.limits.max_record);
            row.flags |= Flags::TRUNCATED.bits();
        }
        self.got.rows.push(row);
    }
}

/// A record as it was found, of no stream.
fn plain(message: &[u8], flags: u8, end: Position) -> Row {
    Row { time_ns: NOW_NS, stream: Stream::None, flags, message: message.to_vec(), end }
}

/// Where the first tag of a CRI header ends: from there on a cut line is still understood.
fn first_tag_end(head: &[u8]) -> usize {
    head[..head.len() - 1].iter().rposition(|byte| *byte == b' ').expect("a header") + 2
}
