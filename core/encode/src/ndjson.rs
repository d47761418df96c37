//! One record a line, flat:
//!
//! ```text
//! {"time":"2026-01-02T03:04:05.1Z","stream":"stdout","message":"hello","log.flags":["partial"],<attributes>}
//! ```
//! `stream` is left out where there is none, `log.flags` where nothing is flagged.

use std::sync::Arc;

use ringtail_record::{Flags, RecordView, Source, Stream};

use crate::attributes::LineEnds;
use crate::block::BlockWriter;
use crate::escape::{LONGEST_ESCAPE, SLACK, escape};
use crate::selection::Selection;
use crate::time::{LONGEST_TIME, TimeWriter};

/// A message is escaped in pieces of this many bytes, so that a block need not hold a long one whole.
const PIECE_BYTES: usize = 1 << 10;
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// What stands before the time.
const HEAD: &[u8; 9] = br#"{"time":""#;
/// What stands between time and message, by the number of the stream.
const MIDDLES: [&str; 3] =
    [r#"Z","message":""#, r#"Z","stream":"stdout","message":""#, r#"Z","stream":"stderr","message":""#];
/// Room for all that.
const BEFORE_MESSAGE: usize = HEAD.len() + LONGEST_TIME + 32;

pub(crate) struct Ndjson {
    time: TimeWriter,
    ends: LineEnds,
}

impl Ndjson {
    pub(crate) fn new(attributes: Selection) -> Self {
        Ndjson { time: TimeWriter::new(), ends: LineEnds::new(attributes) }
    }

    /// Writes all records; how many had bytes replaced because they were not UTF-8.
    pub(crate) fn encode<'a>(
        &mut self,
        sources: &[Arc<Source>],
        records: impl Iterator<Item = RecordView<'a>>,
        writer: &mut BlockWriter<'_>,
    ) -> u64 {
        self.ends.prepare(sources);
        let mut replaced = 0;
        for record in records {
            self.begin(&record, writer);
            replaced += u64::from(put_message(record.body, writer));
            self.end(&record, writer);
        }
        replaced
    }

    #[inline]
    fn begin(&mut self, record: &RecordView<'_>, writer: &mut BlockWriter<'_>) {
        let dst = writer.room(BEFORE_MESSAGE);
        dst[..HEAD.len()].copy_from_slice(HEAD);
        let mut len = HEAD.len();
        len += self.time.write(record.time_ns, &mut dst[len..]);
        let middle = MIDDLES[record.stream.index()].as_bytes();
        dst[len..len + middle.len()].copy_from_slice(middle);
        writer.advance(len + middle.len());
    }

    #[inline]
    fn end(&self, record: &RecordView<'_>, writer: &mut BlockWriter<'_>) {
        let end = self.ends.get(record.source);
        if record.flags.is_empty() {
            writer.put(end);
        } else {
            put_flags(record.flags, writer);
            // Behind the closing quote, which the flags have written already.
            writer.put(&end[1..]);
        }
    }
}

/// Writes `message` escaped; whether bytes had to be replaced.
#[inline]
fn put_message(message: &[u8], writer: &mut BlockWriter<'_>) -> bool {
    if message.is_ascii() || simdutf8::basic::from_utf8(message).is_ok() {
        put_escaped(message, writer);
        return false;
    }
    put_replaced(message, writer);
    true
}

#[inline]
fn put_escaped(text: &[u8], writer: &mut BlockWriter<'_>) {
    for piece in text.chunks(PIECE_BYTES) {
        let len = escape(piece, writer.room(piece.len() * LONGEST_ESCAPE + SLACK));
        writer.advance(len);
    }
}

/// As `String::from_utf8_lossy` does it: one U+FFFD for each longest prefix of a character that is not one.
#[cold]
fn put_replaced(message: &[u8], writer: &mut BlockWriter<'_>) {
    for chunk in message.utf8_chunks() {
        put_escaped(chunk.valid().as_bytes(), writer);
        if !chunk.invalid().is_empty() {
            writer.put(REPLACEMENT);
        }
    }
}

#[cold]
fn put_flags(flags: Flags, writer: &mut BlockWriter<'_>) {
    writer.put(br#"","log.flags":["#);
    let set = Flags::NAMES.iter().filter(|(flag, _)| flags.contains(*flag));
    for (n, (_, name)) in set.enumerate() {
        writer.put(if n == 0 { b"\"" } else { b",\"" });
        writer.put(name.as_bytes());
        writer.put(b"\"");
    }
    writer.put(b"]");
}

const _: () = assert!(MIDDLES.len() == Stream::ALL.len());
