//! Container log files, made from a seed: the same bytes on every machine and in every run.
//!
//! Payloads are a mix as nodes have it, 212 bytes in the mean (what the comparison of other collectors uses too): mostly
//! application JSON and access lines, some long ones, some of a few bytes, now and then UTF-8.

use std::fmt::Write;

use fastrand::Rng;
use xxhash_rust::xxh3::Xxh3;

/// What a container runtime's writer puts in one line at most: containerd's default.
pub const PART_BYTES: usize = 16 << 10;
/// The time of the first line.
const BEGIN_NS: u64 = 1_767_323_045_000_000_000;
/// The bytes of a payload in the mean, about.
pub const MEAN_PAYLOAD_BYTES: usize = 212;

/// What a stage must find in a file of the corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages.
    pub records: u64,
    /// The sum of their lengths.
    pub bytes: u64,
    /// Of lengths and bytes, in order.
    pub checksum: u64,
}

/// Works out a [`Tally`].
#[derive(Default)]
pub struct Counter {
    tally: Tally,
    hash: Xxh3,
}

impl Counter {
    /// The next message.
    pub fn see(&mut self, message: &[u8]) {
        self.tally.records += 1;
        self.tally.bytes += message.len() as u64;
        self.hash.update(&message.len().to_le_bytes());
        self.hash.update(message);
    }

    /// What was seen.
    pub fn tally(&self) -> Tally {
        Tally { checksum: self.hash.digest(), ..self.tally }
    }
}

/// A log file, and what is in it.
pub struct Corpus {
    /// The file's bytes.
    pub file: Vec<u8>,
    /// The messages that a collector finds in it.
    pub tally: Tally,
}

/// Which payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payloads {
    /// The mix described above.
    Mixed,
    /// Access lines without a character that JSON escapes.
    Plain,
    /// Lines of 40 KiB in the mean, longer than what a runtime writes at once.
    Long,
}

/// A raw log file of about `bytes`.
pub fn raw(payloads: Payloads, bytes: usize) -> Corpus {
    build(payloads, bytes, |file, payload, _| {
        file.extend_from_slice(payload.as_bytes());
        file.push(b'\n');
    })
}

/// A file as containerd writes it for kubelet; a payload of more than 16 KiB is several lines, all but the last tagged
/// `P`.
pub fn cri(payloads: Payloads, bytes: usize) -> Corpus {
    build(payloads, bytes, |file, payload, time| {
        let mut parts = payload.as_bytes().chunks(PART_BYTES).peekable();
        while let Some(part) = parts.next() {
            let tag = if parts.peek().is_some() { 'P' } else { 'F' };
            file.extend_from_slice(format!("{time} stdout {tag} ").as_bytes());
            file.extend_from_slice(part);
            file.push(b'\n');
        }
    })
}

/// A file as dockerd's json-file driver writes it.
pub fn docker(payloads: Payloads, bytes: usize) -> Corpus {
    build(payloads, bytes, |file, payload, time| {
        file.extend_from_slice(b"{\"log\":\"");
        push_escaped(payload, file);
        file.extend_from_slice(format!("\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}\n").as_bytes());
    })
}

fn build(payloads: Payloads, bytes: usize, mut write: impl FnMut(&mut Vec<u8>, &str, &str)) -> Corpus {
    let mut random = Rng::with_seed(20_260_102);
    let (mut file, mut counter, mut since_ns) = (Vec::with_capacity(bytes), Counter::default(), 0);
    let (mut payload, mut time) = (String::new(), String::new());
    while file.len() < bytes {
        payload.clear();
        match payloads {
            Payloads::Mixed => mixed(&mut random, &mut payload),
            Payloads::Plain => access(&mut random, &mut payload),
            Payloads::Long => long(&mut random, &mut payload),
        }
        since_ns += random.u64(1..200_000);
        time.clear();
        push_time(since_ns, &mut time);
        write(&mut file, &payload, &time);
        counter.see(payload.as_bytes());
    }
    Corpus { file, tally: counter.tally() }
}

/// Go's RFC3339Nano, of a time less than a day after [`BEGIN_NS`], which is 03:04:05 on the second of January 2026.
///
/// # Panics
/// When the time is on another day.
pub fn push_time(since_ns: u64, text: &mut String) {
    let second = since_ns / 1_000_000_000 + 3 * 3600 + 4 * 60 + 5;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    assert!(hour < 24, "the corpus is less than a day long");
    let nanos = (BEGIN_NS + since_ns) % 1_000_000_000;
    write!(text, "2026-01-02T{hour:02}:{minute:02}:{:02}.{nanos:09}Z", second % 60).expect("memory");
}

/// As Go's encoder, which dockerd's resembles: `<`, `>` and `&` are escaped too.
pub fn push_escaped(payload: &str, file: &mut Vec<u8>) {
    for character in payload.chars() {
        match character {
            '"' => file.extend_from_slice(b"\\\""),
            '\\' => file.extend_from_slice(b"\\\\"),
            '\t' => file.extend_from_slice(b"\\t"),
            '\0'..' ' | '<' | '>' | '&' => {
                file.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
            }
            _ => file.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

const WORDS: [&str; 32] = [
    "request",
    "handled",
    "upstream",
    "cache",
    "miss",
    "retry",
    "socket",
    "closed",
    "order",
    "shipped",
    "user",
    "session",
    "expired",
    "for",
    "with",
    "timeout",
    "after",
    "bytes",
    "from",
    "to",
    "queue",
    "depth",
    "connection",
    "refused",
    "checkout",
    "catalog",
    "payment",
    "inventory",
    "token",
    "renewed",
    "shard",
    "leader",
];

fn word(random: &mut Rng) -> &'static str {
    WORDS[random.usize(..WORDS.len())]
}

fn words(random: &mut Rng, count: usize, text: &mut String) {
    for n in 0..count {
        text.push_str(if n == 0 { "" } else { " " });
        text.push_str(word(random));
    }
}

/// Appends a payload of [`Payloads::Mixed`].
pub fn mixed(random: &mut Rng, text: &mut String) {
    match random.u32(..100) {
        0..50 => json(random, text),
        50..86 => access(random, text),
        86..92 => {
            text.push_str("Überlauf \u{2192} größer: ");
            let count = random.usize(3..20);
            words(random, count, text);
        }
        92..96 => {
            text.push_str("\tat com.example.<init>(");
            let count = random.usize(40..110);
            words(random, count, text);
        }
        _ => {
            let count = random.usize(1..3);
            words(random, count, text);
        }
    }
}

fn json(random: &mut Rng, text: &mut String) {
    write!(
        text,
        concat!(
            r#"{{"level":"{}","service":"{}-{}","request_id":"{:016x}","method":"GET","path":"/api/v1/{}/{}","#,
            r#""status":{},"duration_ms":{},"remote":"10.{}.{}.{}","message":""#
        ),
        ["info", "warn", "debug"][random.usize(..3)],
        word(random),
        word(random),
        random.u64(..),
        word(random),
        random.u32(..100_000),
        [200, 204, 404, 503][random.usize(..4)],
        random.u32(..3000),
        random.u8(..),
        random.u8(..),
        random.u8(..),
    )
    .expect("memory");
    let count = random.usize(3..13);
    words(random, count, text);
    text.push_str("\"}");
}

fn access(random: &mut Rng, text: &mut String) {
    write!(
        text,
        "10.{}.{}.{} - - GET /{}/{}/{:08x} HTTP/1.1 {} {} ",
        random.u8(..),
        random.u8(..),
        random.u8(..),
        word(random),
        word(random),
        random.u32(..),
        [200, 204, 404, 503][random.usize(..4)],
        random.u32(..100_000),
    )
    .expect("memory");
    let count = random.usize(8..26);
    words(random, count, text);
}

/// Appends a payload of [`Payloads::Long`].
pub fn long(random: &mut Rng, text: &mut String) {
    let len = random.usize(1 << 10..80 << 10);
    while text.len() < len {
        access(random, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_payload_is_as_promised_and_a_corpus_is_the_same_every_time() {
        let corpus = raw(Payloads::Mixed, 4 << 20);
        let mean = corpus.tally.bytes / corpus.tally.records;
        assert!(mean.abs_diff(MEAN_PAYLOAD_BYTES as u64) <= 5, "{mean}");
        assert!(corpus.file == raw(Payloads::Mixed, 4 << 20).file);
    }

    #[test]
    fn all_formats_hold_the_same_messages_in_the_same_order() {
        let lines = |file: &[u8]| file.iter().filter(|byte| **byte == b'\n').count() as u64;
        let (cri, docker) = (cri(Payloads::Mixed, 1 << 20), docker(Payloads::Mixed, 1 << 20));
        assert_eq!(lines(&cri.file), cri.tally.records);
        assert_eq!(lines(&docker.file), docker.tally.records);
        let parts = super::cri(Payloads::Long, 1 << 20);
        assert!(lines(&parts.file) > parts.tally.records * 2);
        let line = cri.file.split(|byte| *byte == b'\n').next().expect("a line");
        assert!(line.starts_with(b"2026-01-02T03:04:05.000"));
    }
}
