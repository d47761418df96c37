//! dockerd's lines, in the plainest way: a walk over what Moby writes, and serde_json for whatever it reads.
//!
//! The two must agree where both understand a line. serde_json alone knows whitespace, other keys, keys twice; the walk
//! alone knows bytes that JSON forbids in a string and half surrogate pairs, as Go's encoder leaves them.

use std::fmt;

use ringtail_record::Stream;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::model::Line;
use crate::time;

const HEAD: &[u8] = b"{\"log\":\"";

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    log: Vec<u8>,
    stream: Stream,
    time_ns: i64,
}

/// A line within the limit.
pub(super) fn line(text: &[u8]) -> Option<Line> {
    let (walked, read) = (walked(text), read(text));
    if let (Some(walked), Some(read)) = (&walked, &read) {
        assert_eq!(walked, read, "two readings of one line");
    }
    let Said { mut log, stream, time_ns } = walked.or(read)?;
    let whole = log.last() == Some(&b'\n');
    log.truncate(log.len() - usize::from(whole));
    let units = vec![(text.to_vec(), log)];
    Some(Line::Message { head: vec![], units, tail: vec![], stream, time_ns, whole })
}

/// A line of which `max_line` bytes are kept: its message as far as that goes, when it stands first.
pub(super) fn cut_line(text: &[u8], max_line: usize) -> Option<Line> {
    let kept = text[..max_line].strip_prefix(HEAD)?;
    let (mut units, mut at) = (Vec::new(), 0);
    while at < kept.len() && kept[at] != b'"' {
        match unit(&kept[at..]) {
            Some((len, bytes)) => {
                units.push((kept[at..at + len].to_vec(), bytes));
                at += len;
            }
            // An escape that was cut, or that nobody can tell from one.
            None if kept.len() - at < 6 => break,
            None => return None,
        }
    }
    if let Some((_, bytes)) = units.last_mut().filter(|(_, bytes)| bytes == b"\n") {
        bytes.clear();
    }
    let tail = text[HEAD.len() + at..].to_vec();
    Some(Line::Message { head: HEAD.to_vec(), units, tail, stream: Stream::None, time_ns: 0, whole: true })
}

/// The character that `text` begins with: its length as it is written, and what it says.
fn unit(text: &[u8]) -> Option<(usize, Vec<u8>)> {
    if text[0] != b'\\' {
        return Some((1, vec![text[0]]));
    }
    let simple = |byte| Some((2, vec![byte]));
    match *text.get(1)? {
        byte @ (b'"' | b'\\' | b'/') => simple(byte),
        b'b' => simple(8),
        b'f' => simple(12),
        b'n' => simple(b'\n'),
        b'r' => simple(b'\r'),
        b't' => simple(b'\t'),
        b'u' => {
            let first = utf16(text)?;
            let pair = text.get(6..).and_then(utf16).map(|second| [first, second]);
            if let Some(Ok(pair)) = pair.map(|pair| String::from_utf16(&pair))
                && pair.chars().count() == 1
            {
                return Some((12, pair.into_bytes()));
            }
            Some((6, String::from_utf16_lossy(&[first]).into_bytes()))
        }
        _ => None,
    }
}

/// The number of a `\uXXXX`.
fn utf16(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let digits = digits.iter().all(u8::is_ascii_hexdigit).then(|| std::str::from_utf8(digits).ok());
    u16::from_str_radix(digits.flatten()?, 16).ok()
}

/// The line as Moby writes it: no whitespace, no other keys, none twice, in any order.
fn walked(text: &[u8]) -> Option<Said> {
    let (mut log, mut stream, mut time_ns, mut attrs) = (None, None, None, false);
    let mut rest = text.strip_prefix(b"{")?;
    loop {
        let key;
        (key, rest) = verbatim(rest)?;
        rest = rest.strip_prefix(b":")?;
        match key {
            b"log" if log.is_none() => {
                let text;
                (text, rest) = string(rest)?;
                log = Some(text);
            }
            b"stream" if stream.is_none() => {
                let name;
                (name, rest) = verbatim(rest)?;
                stream =
                    Some([Stream::Stdout, Stream::Stderr].into_iter().find(|s| s.name().as_bytes() == name)?);
            }
            b"time" if time_ns.is_none() => {
                let text;
                (text, rest) = verbatim(rest)?;
                time_ns = Some(time::naive(std::str::from_utf8(text).ok()?)?);
            }
            b"attrs" if !attrs => {
                (attrs, rest) = (true, attributes(rest)?);
            }
            _ => return None,
        }
        match rest.split_first()? {
            (b',', more) => rest = more,
            (b'}', []) => break,
            _ => return None,
        }
    }
    Some(Said { log: log.unwrap_or_default(), stream: stream.unwrap_or_default(), time_ns: time_ns? })
}

/// A string without escapes, and what follows it.
fn verbatim(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let len = text.iter().position(|byte| *byte == b'"')?;
    Some((&text[..len], &text[len + 1..]))
}

/// What a string says, and what follows it.
fn string(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut said = Vec::new();
    while *rest.first()? != b'"' {
        let (len, bytes) = unit(rest)?;
        said.extend(bytes);
        rest = &rest[len..];
    }
    Some((said, &rest[1..]))
}

/// What follows an object of strings.
fn attributes(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"{")?;
    if let Some(rest) = rest.strip_prefix(b"}") {
        return Some(rest);
    }
    loop {
        rest = string(rest)?.1.strip_prefix(b":")?;
        rest = string(rest)?.1;
        match rest.split_first()? {
            (b',', more) => rest = more,
            (b'}', more) => return Some(more),
            _ => return None,
        }
    }
}

/// The line as serde_json reads it; the last one of several values of a key counts, and all must be legal.
fn read(text: &[u8]) -> Option<Said> {
    let Members(members) = serde_json::from_slice(text).ok().filter(|_| text.starts_with(b"{"))?;
    let mut said = Said { log: vec![], stream: Stream::None, time_ns: 0 };
    let mut timed = false;
    for (key, value) in &members {
        match (&key[..], value) {
            ("log", Value::String(log)) => said.log = log.as_bytes().to_vec(),
            ("stream", Value::String(name)) => {
                said.stream = Stream::ALL.into_iter().find(|stream| stream.name() == name)?;
            }
            ("time", Value::String(text)) => (said.time_ns, timed) = (time::naive(text)?, true),
            ("log" | "stream" | "time", _) => return None,
            _ => {}
        }
    }
    timed.then_some(said)
}

/// An object's members in their order, also those of one name.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
