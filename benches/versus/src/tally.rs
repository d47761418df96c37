//! What a message carries so that loss, repetition and damage can be counted, and the counting.
//!
//! A message is `vsb:<file>:<o|e>:<number>:<length>:<checksum> <payload>`: the log file and the stream that it was
//! written to, its number in that stream, and the payload's length and xxh3. Whatever a collector makes of a message
//! shows: half of one, two glued together, one in the wrong stream.

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

/// How every message begins. No payload contains it.
pub(crate) const MARK: &[u8] = b"vsb:";
/// The bytes before the payload.
const HEAD_BYTES: usize = "vsb:00000:o:00000000:00000:0123456789abcdef ".len();

/// Standard output or standard error of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

impl Stream {
    /// As container runtimes call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        }
    }

    fn letter(self) -> char {
        match self {
            Stream::Out => 'o',
            Stream::Err => 'e',
        }
    }
}

/// Appends the message that is number `number` of `stream` in log file `file`.
pub(crate) fn write_message(file: usize, stream: Stream, number: usize, payload: &str, text: &mut String) {
    use std::fmt::Write;
    let (letter, len, checksum) = (stream.letter(), payload.len(), xxh3_64(payload.as_bytes()));
    write!(text, "vsb:{file:05}:{letter}:{number:08}:{len:05}:{checksum:016x} {payload}").expect("memory");
}

/// One message, taken apart.
struct Message {
    file: usize,
    stream: Stream,
    number: usize,
    /// Of the head and the payload.
    len: usize,
    whole: bool,
}

/// Takes apart the message that `bytes` begins with; `None` if that is none.
fn read_message(bytes: &[u8]) -> Option<Message> {
    let head = std::str::from_utf8(bytes.get(..HEAD_BYTES)?).ok()?;
    let mut parts = head.strip_prefix("vsb:")?.trim_end().splitn(5, ':');
    let mut next = || parts.next();
    let (file, letter, number) = (next()?.parse().ok()?, next()?, next()?.parse().ok()?);
    let (payload_len, checksum) = (next()?.parse::<usize>().ok()?, u64::from_str_radix(next()?, 16).ok()?);
    let stream = match letter {
        "o" => Stream::Out,
        "e" => Stream::Err,
        _ => return None,
    };
    let len = HEAD_BYTES + payload_len;
    let whole = bytes.get(HEAD_BYTES..len).is_some_and(|payload| xxh3_64(payload) == checksum);
    Some(Message { file, stream, number, len, whole })
}

/// Whether the `len` bytes at `at`, with a newline after them or not, are all of a protobuf string: a tag of wire type 2
/// and that length stand before them.
fn is_string(bytes: &[u8], at: usize, len: usize) -> bool {
    let newline = usize::from(bytes.get(at + len) == Some(&b'\n'));
    [len, len + newline].into_iter().any(|len| {
        let tag = bytes[..at].strip_suffix(&*varint(len)).and_then(<[u8]>::last);
        tag.is_some_and(|tag| tag & 7 == 2)
    })
}

/// `number` as protobuf writes it: seven bits a byte, the lowest first, the highest bit set but in the last.
fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

/// How many messages were written, by log file and stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written(pub(crate) Vec<[usize; 2]>);

impl Written {
    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().flatten().map(|count| *count as u64).sum()
    }
}

/// What became of the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) written: u64,
    /// Different messages that arrived whole.
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    /// Records that are no whole message, or said to be of another stream.
    pub(crate) malformed: u64,
    /// Messages that came after a later one of the same log file and stream. Not a failure.
    pub(crate) disordered: u64,
}

impl Verdict {
    /// Everything once, and nothing else.
    pub(crate) fn is_right(&self) -> bool {
        (self.lost, self.repeated, self.malformed) == (0, 0, 0)
    }
}

/// One stream's messages: which came, and the highest number so far.
struct Seen {
    came: Vec<bool>,
    highest: Option<usize>,
}

/// Counts what arrives.
pub(crate) struct Tally {
    streams: Vec<[Seen; 2]>,
    verdict: Verdict,
}

impl Tally {
    pub(crate) fn new(written: &Written) -> Self {
        let seen = |count: usize| Seen { came: vec![false; count], highest: None };
        let streams = written.0.iter().map(|counts| counts.map(seen)).collect();
        Tally { streams, verdict: Verdict { written: written.total(), ..Verdict::default() } }
    }

    /// A record, with the stream it is said to be of where the collector says it.
    pub(crate) fn record(&mut self, message: &[u8], stream: Option<&str>) {
        // dockerd writes the newline as a part of the message; some collectors keep it.
        let message = message.strip_suffix(b"\n").unwrap_or(message);
        match read_message(message) {
            Some(found) if found.whole && found.len == message.len() => match stream {
                Some(name) if name != found.stream.name() => self.malformed(),
                _ => self.arrived(&found),
            },
            _ => self.malformed(),
        }
    }

    /// Every message in `bytes`, which is protobuf: each must be a string of its own.
    pub(crate) fn protobuf(&mut self, bytes: &[u8]) {
        for at in memchr::memmem::find_iter(bytes, MARK) {
            match read_message(&bytes[at..]) {
                Some(found) if found.whole && is_string(bytes, at, found.len) => self.arrived(&found),
                _ => self.malformed(),
            }
        }
    }

    /// Something that holds no message.
    pub(crate) fn malformed(&mut self) {
        self.verdict.malformed += 1;
    }

    fn arrived(&mut self, message: &Message) {
        let streams = self.streams.get_mut(message.file);
        let seen = streams.map(|streams| &mut streams[usize::from(message.stream == Stream::Err)]);
        let Some((seen, came)) = seen.and_then(|seen| {
            let came = *seen.came.get(message.number)?;
            Some((seen, came))
        }) else {
            return self.malformed();
        };
        if came {
            self.verdict.repeated += 1;
            return;
        }
        seen.came[message.number] = true;
        self.verdict.delivered += 1;
        if seen.highest.is_some_and(|highest| message.number < highest) {
            self.verdict.disordered += 1;
        }
        seen.highest = seen.highest.max(Some(message.number));
    }

    pub(crate) fn verdict(&self) -> Verdict {
        Verdict { lost: self.verdict.written - self.verdict.delivered, ..self.verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(stream: Stream, number: usize, payload: &str) -> String {
        let mut text = String::new();
        write_message(0, stream, number, payload, &mut text);
        text
    }

    /// Three messages of standard output were written, one of standard error.
    fn tally() -> Tally {
        Tally::new(&Written(vec![[3, 1]]))
    }

    #[test]
    fn everything_once_in_order_is_right() {
        let mut tally = tally();
        for number in 0..3 {
            tally.record(message(Stream::Out, number, "hello").as_bytes(), Some("stdout"));
        }
        tally.record((message(Stream::Err, 0, "") + "\n").as_bytes(), None);
        assert!(tally.verdict().is_right());
        assert_eq!(tally.verdict(), Verdict { written: 4, delivered: 4, ..Verdict::default() });
    }

    #[test]
    fn what_is_lost_repeated_late_cut_glued_or_of_the_wrong_stream_is_counted() {
        let mut tally = tally();
        tally.record(message(Stream::Out, 2, "hello").as_bytes(), None);
        tally.record(message(Stream::Out, 0, "hello").as_bytes(), None);
        tally.record(message(Stream::Out, 0, "hello").as_bytes(), None);
        let other = message(Stream::Out, 1, "hello");
        tally.record(&other.as_bytes()[..other.len() - 1], None);
        tally.record((other.clone() + &other).as_bytes(), None);
        tally.record(message(Stream::Err, 0, "hello").as_bytes(), Some("stdout"));
        tally.record(message(Stream::Out, 9, "no such number").as_bytes(), None);
        tally.record(b"2026-01-02T03:04:05Z stdout F vsb", None);
        let verdict = Verdict { written: 4, delivered: 2, lost: 2, repeated: 1, malformed: 5, disordered: 1 };
        assert_eq!(tally.verdict(), verdict);
        assert!(!verdict.is_right());
    }

    /// A protobuf field: a tag, the length, the text.
    fn string(text: &str) -> Vec<u8> {
        [&[0x0a], &*varint(text.len()), text.as_bytes()].concat()
    }

    /// Messages of one and of two bytes of length, one with dockerd's newline; then one that is cut, two that are glued
    /// together and one with something before it, of which none counts as delivered.
    #[test]
    fn in_protobuf_a_message_is_right_when_it_is_a_string_of_its_own() {
        let mut tally = tally();
        let (long, first) = ("Überlauf".repeat(30), message(Stream::Out, 0, "Überlauf"));
        let second = message(Stream::Out, 1, &long);
        let third = message(Stream::Out, 2, "hello") + "\n";
        tally.protobuf(&[&[0, 7], &*string(&first), &string(&second), &[10, 200], &string(&third)].concat());
        assert_eq!((tally.verdict().delivered, tally.verdict().malformed), (3, 0));

        let last = message(Stream::Err, 0, "hello");
        tally.protobuf(
            &[string(&last[..45]), string(&(second + &last)), string(&("x".to_owned() + &last))].concat(),
        );
        let verdict = tally.verdict();
        assert_eq!((verdict.delivered, verdict.lost, verdict.malformed), (3, 1, 4));
    }

    #[test]
    fn lengths_are_written_as_protobuf_does_it() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(127), [127]);
        assert_eq!(varint(300), [0xac, 0x02]);
    }
}
