//! The line of dockerd's json-file driver: `{"log":"hello\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}`.
//!
//! Source: Moby's `daemon/logger/jsonfilelog`. It writes `log`, `stream`, `attrs`, `time` in this order, each omitted
//! when empty except `time`; the keys are taken in any order here. A `log` that does not end in a newline is a part
//! (dockerd's copier cuts after 16 KiB); Moby ends every other message with one, so that an omitted `log` is
//! an empty part. A part without a stream is joined to nothing, but delivered at once, marked as partial: malformed
//! lines have no stream either, and the records of one stream must end in the order in which they began.
//! `attrs` is checked and ignored.
//!
//! The scanner reads the whole line before a byte of it is written, and knows what Moby writes: no whitespace, no
//! other keys, none twice. Anything else it leaves to [`unusual`](crate::unusual).

use ringtail_memory::{CarryPool, Exhausted};
use ringtail_record::Stream;

use crate::escape::{self, Text};
use crate::time::Timestamps;
use crate::unusual;

/// What a line says, and where its message stands after decoding.
pub(crate) struct Message {
    pub(crate) time_ns: i64,
    pub(crate) stream: Stream,
    /// Whether the message ends with this line.
    pub(crate) whole: bool,
    pub(crate) off: usize,
    pub(crate) len: usize,
}

/// A line as the scanner found it; nothing is decoded yet.
struct Scanned {
    time_ns: i64,
    stream: Stream,
    log: Text,
}

const HEAD: &[u8] = b"{\"log\":\"";

/// Decodes `line` in place. Nothing, and `line` is unchanged, when it is not a legal docker line.
#[inline]
pub(crate) fn decode(
    line: &mut [u8],
    clock: &mut Timestamps,
    carries: &CarryPool,
) -> Result<Option<Message>, Exhausted> {
    let scanned = scan_usual(line, clock).or_else(|| scan(line, clock));
    let Some(Scanned { time_ns, stream, mut log }) = scanned else {
        return unusual::decode(line, clock, carries);
    };
    let newline = log.cut_newline(line);
    let mut len = log.decode(line);
    // The newline may also be written as \u000a.
    let whole = newline || line[log.start..log.start + len].last() == Some(&b'\n');
    len -= usize::from(whole && !newline);
    Ok(Some(Message { time_ns, stream, whole, off: log.start, len }))
}

/// The stream and the time of `line`, if it is a legal docker line. Changes nothing.
pub(crate) fn streams_and_time(
    line: &[u8],
    clock: &mut Timestamps,
    carries: &CarryPool,
) -> Result<Option<(Stream, i64)>, Exhausted> {
    match scan(line, clock) {
        Some(scanned) => Ok(Some((scanned.stream, scanned.time_ns))),
        None => unusual::stream_and_time(line, clock, carries),
    }
}

/// Whether a line that begins with `head` may still turn out to be a docker line that Moby wrote. Application JSON that
/// begins with its time is told from one by what follows that.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    const HEADS: [&[u8]; 4] =
        [HEAD, b"{\"stream\":\"stdout\",\"", b"{\"stream\":\"stderr\",\"", b"{\"attrs\":{"];
    const TIME: &[u8] = b"{\"time\":\"";
    if let Some(time) = head.strip_prefix(TIME) {
        let len = time.iter().position(|byte| *byte == b'"').unwrap_or(time.len());
        return b"\"}".starts_with(&time[len..]);
    }
    HEADS.iter().chain([&TIME]).any(|known| head.iter().zip(*known).all(|(a, b)| a == b))
}

/// Whether a line that begins with `head` may be a docker line of whatever writer: the unusual ones too.
pub(crate) fn may_be_object(head: &[u8]) -> bool {
    head.first().is_none_or(|byte| *byte == b'{')
}

/// Decodes as much of the message as stands in `head`, the beginning of a line that was cut. Nothing, and `head` is
/// unchanged, when that is not the beginning of a docker line with its message first.
pub(crate) fn decode_cut(head: &mut [u8]) -> Option<(usize, usize)> {
    if !head.starts_with(HEAD) {
        return None;
    }
    let len = escape::decode_cut(head, HEAD.len())?;
    let message = &head[HEAD.len()..][..len];
    Some((HEAD.len(), message.strip_suffix(b"\n").unwrap_or(message).len()))
}

/// `{"log":"...","stream":"stdout","time":"..."}`, compared in pieces of fixed length.
#[inline]
fn scan_usual(line: &[u8], clock: &mut Timestamps) -> Option<Scanned> {
    const STDOUT: &[u8; 28] = b"\",\"stream\":\"stdout\",\"time\":\"";
    const STDERR: &[u8; 28] = b"\",\"stream\":\"stderr\",\"time\":\"";
    if !line.starts_with(HEAD) {
        return None;
    }
    let log = Text::scan(line, HEAD.len())?;
    let (middle, time) = line[log.end..].split_first_chunk()?;
    // Compared as a whole: a `match` compares byte by byte.
    let stream = if middle == STDOUT {
        Stream::Stdout
    } else if middle == STDERR {
        Stream::Stderr
    } else {
        return None;
    };
    let (time_ns, len) = clock.read(time)?;
    (time[len..] == *b"\"}").then_some(Scanned { time_ns, stream, log })
}

/// The line with its keys in any order.
fn scan(line: &[u8], clock: &mut Timestamps) -> Option<Scanned> {
    let mut seen = Members::default();
    let mut at = expect(line, 0, b"{")?;
    loop {
        at = seen.member(line, at, clock)?;
        match line.get(at)? {
            b',' => at += 1,
            b'}' if at + 1 == line.len() => break,
            _ => return None,
        }
    }
    Some(Scanned {
        time_ns: seen.time_ns?,
        stream: seen.stream.unwrap_or_default(),
        log: seen.log.unwrap_or(Text::EMPTY),
    })
}

#[derive(Default)]
struct Members {
    log: Option<Text>,
    stream: Option<Stream>,
    attrs: bool,
    time_ns: Option<i64>,
}

impl Members {
    /// Reads the member at `at`; returns where it ends.
    fn member(&mut self, line: &[u8], at: usize, clock: &mut Timestamps) -> Option<usize> {
        let rest = line.get(at..)?;
        if rest.starts_with(b"\"log\":\"") && self.log.is_none() {
            let text = Text::scan(line, at + 7)?;
            self.log = Some(text);
            return Some(text.end + 1);
        }
        if rest.starts_with(b"\"stream\":\"") && self.stream.is_none() {
            let (stream, end) = stream(line, at + 10)?;
            self.stream = Some(stream);
            return Some(end);
        }
        if rest.starts_with(b"\"time\":\"") && self.time_ns.is_none() {
            let (time_ns, len) = clock.read(&line[at + 8..])?;
            self.time_ns = Some(time_ns);
            return expect(line, at + 8 + len, b"\"");
        }
        if rest.starts_with(b"\"attrs\":{") && !self.attrs {
            self.attrs = true;
            return skip_attrs(line, at + 9);
        }
        None
    }
}

/// The stream named at `at`, and where its string ends.
fn stream(line: &[u8], at: usize) -> Option<(Stream, usize)> {
    match line.get(at..)?.first_chunk()? {
        b"stdout\"" => Some((Stream::Stdout, at + 7)),
        b"stderr\"" => Some((Stream::Stderr, at + 7)),
        _ => None,
    }
}

/// Where the attributes end that begin at `at`: `"key":"value"` and commas up to a `}`.
fn skip_attrs(line: &[u8], mut at: usize) -> Option<usize> {
    if line.get(at) == Some(&b'}') {
        return Some(at + 1);
    }
    loop {
        let key = Text::scan(line, expect(line, at, b"\"")?)?;
        let value = Text::scan(line, expect(line, key.end, b"\":\"")?)?;
        at = value.end + 2;
        match line.get(value.end + 1)? {
            b',' => {}
            b'}' => return Some(at),
            _ => return None,
        }
    }
}

/// The place behind `what`, if that stands at `at`.
fn expect(line: &[u8], at: usize, what: &[u8]) -> Option<usize> {
    line.get(at..)?.starts_with(what).then_some(at + what.len())
}
