//! Numbered messages: what writers print and what the [`Verifier`](super::Verifier) recognises.
//!
//! A message is `<stream> <number> <checksum> <filler>`. The checksum covers all of it, so a message that was
//! cut, joined with another one, or decoded wrongly is seen as damaged. The filler is text as applications log
//! it: quotes, backslashes, tabs, control characters, several scripts.

use std::sync::LazyLock;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// One message in this many is longer than the 16 KiB at which container runtimes cut.
const LONG_EVERY: u64 = 997;
/// Filler of a usual message, in bytes: from, and below.
const USUAL_LEN: (u64, u64) = (40, 360);
/// Filler of a long message, in bytes: from, and below.
const LONG_LEN: (u64, u64) = (17_000, 60_000);
/// Longer than any filler plus the largest shift into the text.
const TEXT_LEN: usize = 128 * 1024;
/// Where in the text a filler begins is below this.
const SHIFTS: u64 = 32 * 1024;

const PHRASES: [&str; 8] = [
    "GET /api/v1/items?id=4711&sort=desc HTTP/1.1 200 ",
    "{\"level\":\"info\",\"msg\":\"ready\"} ",
    "C:\\temp\\new\\table\t",
    "Grüße, привет, 你好, こんにちは ",
    "\u{1b}[31mred\u{1b}[0m <a href='x'>&amp;</a> ",
    "\u{1f680} \u{10348} \u{2028} ",
    "at com.example.Shop.main(Shop.java:42) ",
    "a\u{0}\u{1}b\u{7f}c \"quoted\" / \r~ ",
];

/// What a message's filler may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// Only ASCII, escapes and control characters included. What dockerd cuts at 16 KiB has to be: it replaces
    /// the two halves of a character that it has cut by U+FFFD.
    Ascii,
    /// Several scripts, in UTF-8.
    Unicode,
}

static ASCII: LazyLock<String> = LazyLock::new(|| text(|phrase| phrase.is_ascii()));
static UNICODE: LazyLock<String> = LazyLock::new(|| text(|_| true));

fn text(fits: fn(&str) -> bool) -> String {
    let mut text = String::with_capacity(TEXT_LEN + 64);
    while text.len() < TEXT_LEN {
        text.extend(PHRASES.into_iter().filter(|phrase| fits(phrase)));
    }
    text
}

/// One stream's messages, numbered from 0.
#[derive(Debug)]
pub struct Messages {
    name: Box<str>,
    name_hash: u64,
    next: u64,
    text: &'static str,
    long: bool,
}

impl Messages {
    /// A stream of messages. Its name must be unique in a run and hold no blank; by custom it ends with
    /// `/stdout` or `/stderr`, which the verifier compares with what was delivered.
    pub fn new(name: &str, text: Text) -> Self {
        debug_assert!(!name.contains(' '));
        let text: &'static str = match text {
            Text::Ascii => ASCII.as_str(),
            Text::Unicode => UNICODE.as_str(),
        };
        Messages { name: name.into(), name_hash: xxh3_64(name.as_bytes()), next: 0, text, long: true }
    }

    /// The same, without messages longer than 16 KiB.
    pub fn short(self) -> Self {
        Messages { long: false, ..self }
    }

    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many messages were made.
    pub fn count(&self) -> u64 {
        self.next
    }

    /// Writes the next message, without a newline, in place of what `into` held.
    pub fn next_into(&mut self, into: &mut String) {
        let number = self.next;
        self.next += 1;
        let filler = filler(self.text, self.long, self.name_hash.wrapping_add(number));
        let checksum = xxh3_64_with_seed(filler.as_bytes(), self.name_hash ^ number);
        into.clear();
        into.push_str(&self.name);
        into.push(' ');
        push_number(into, number);
        into.push(' ');
        push_hex(into, checksum);
        into.push(' ');
        into.push_str(filler);
    }
}

fn filler(text: &str, long: bool, key: u64) -> &str {
    let roll = xxh3_64(&key.to_le_bytes());
    let (from, below) = match long && roll.is_multiple_of(LONG_EVERY) {
        true => LONG_LEN,
        false => USUAL_LEN,
    };
    let start = usize::try_from((roll >> 32) % SHIFTS).unwrap_or(0);
    let len = usize::try_from(from + (roll >> 16) % (below - from)).unwrap_or(0);
    let start = text.floor_char_boundary(start);
    let end = text.floor_char_boundary(start + len);
    // A message that ended in a carriage return would lose it where CRLF ends a line.
    text[start..end].trim_end_matches('\r')
}

fn push_number(into: &mut String, number: u64) {
    use std::fmt::Write;
    // Writing to a String cannot fail.
    let _ = write!(into, "{number}");
}

fn push_hex(into: &mut String, value: u64) {
    use std::fmt::Write;
    let _ = write!(into, "{value:016x}");
}

/// A message that was delivered whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered<'a> {
    /// The stream's name.
    pub stream: &'a str,
    /// Its number in the stream.
    pub number: u64,
}

/// Reads a message back; `None` when it is not exactly one that a [`Messages`] made.
pub fn read(message: &str) -> Option<Numbered<'_>> {
    let mut parts = message.splitn(4, ' ');
    let (stream, number, checksum, filler) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let number = number.parse().ok()?;
    let checksum = u64::from_str_radix(checksum, 16).ok()?;
    let expected = xxh3_64_with_seed(filler.as_bytes(), xxh3_64(stream.as_bytes()) ^ number);
    (checksum == expected).then_some(Numbered { stream, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_back_and_any_damage_is_seen() {
        for text in [Text::Ascii, Text::Unicode] {
            let mut messages = Messages::new("web-0/stdout", text);
            let (mut message, mut longest) = (String::new(), 0);
            for number in 0..5_000 {
                messages.next_into(&mut message);
                assert_eq!(read(&message), Some(Numbered { stream: "web-0/stdout", number }));
                assert!(!message.contains('\n') && !message.ends_with('\r'));
                assert!(text == Text::Unicode || message.is_ascii());
                longest = longest.max(message.len());

                let cut = message.floor_char_boundary(message.len() - 1);
                assert_eq!(read(&message[..cut]), None);
                assert_eq!(read(&message.replacen("web-0", "web-1", 1)), None);
                assert_eq!(
                    read(&message.replacen(&format!(" {number} "), &format!(" {} ", number + 1), 1)),
                    None
                );
            }
            assert!(longest > 2 * 16 * 1024, "long messages are among them");
        }
    }
}
