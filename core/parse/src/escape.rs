//! JSON strings: finding their end, checking their escapes, undoing them in place.
//!
//! A string may hold any byte but a bare `"`: control characters and invalid UTF-8 are left as they are. Half a
//! surrogate pair becomes U+FFFD, as Go's decoder makes it.

use memchr::{memchr, memchr2};

/// A string that was checked: `start..end` without its quotes.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Where the first escape is; `end` when there is none.
    pub(crate) escape: usize,
    /// Where the last escape is; `end` when there is none.
    last_escape: usize,
}

impl Text {
    /// Nothing.
    pub(crate) const EMPTY: Text = Text { start: 0, end: 0, escape: 0, last_escape: 0 };

    /// The string whose first byte, behind the quote, is `line[start]`. Nothing when it has no end or an illegal escape.
    #[inline]
    pub(crate) fn scan(line: &[u8], start: usize) -> Option<Text> {
        let at = start + memchr2(b'"', b'\\', line.get(start..)?)?;
        if line[at] == b'"' {
            return Some(Text { start, end: at, escape: at, last_escape: at });
        }
        let (last_escape, end) = scan_escapes(line, at)?;
        Some(Text { start, end, escape: at, last_escape })
    }

    /// Undoes the escapes in place; returns the length of what stands at `start` then.
    #[inline]
    pub(crate) fn decode(&self, line: &mut [u8]) -> usize {
        if self.escape == self.end {
            return self.end - self.start;
        }
        unescape(line, self.escape, self.end) - self.start
    }

    /// Leaves out a newline that is written as `\n` at the end; whether it was there.
    #[inline]
    pub(crate) fn cut_newline(&mut self, line: &[u8]) -> bool {
        let ends = self.last_escape + 2 == self.end && line[self.last_escape + 1] == b'n';
        if ends {
            self.end = self.last_escape;
            self.escape = self.escape.min(self.end);
        }
        ends
    }
}

/// Checks the escapes from the one at `line[at]` on; returns where the last one and where the string's end is.
///
/// Goes by blocks that do not depend on what was found before, so that the processor can work ahead: with a search
/// from each escape on, every one would wait for the one before. Where escapes are far apart memchr goes on.
fn scan_escapes(line: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut last = at;
    let mut next = at + escape_len(&line[at..])?;
    let mut block_at = next;
    while let Some(block) = line.get(block_at..)?.first_chunk() {
        let mut marks = bytes_like(block, b'"') | bytes_like(block, b'\\');
        while marks != 0 {
            let at = block_at + first(marks);
            marks &= marks - 1;
            if at < next {
                continue;
            }
            if line[at] == b'"' {
                return Some((last, at));
            }
            (last, next) = (at, at + escape_len(&line[at..])?);
        }
        block_at += BLOCK;
        if block_at > next + 2 * BLOCK {
            block_at += memchr2(b'"', b'\\', &line[block_at..])?;
        }
    }
    loop {
        next += memchr2(b'"', b'\\', line.get(next..)?)?;
        if line[next] == b'"' {
            return Some((last, next));
        }
        (last, next) = (next, next + escape_len(&line[next..])?);
    }
}

/// Bytes that are looked at together, in one register. Where escapes stand close, a call of memchr for each costs more
/// than the escape.
const BLOCK: usize = 8;

/// The high bit of each byte of `block` that is `byte`.
#[inline]
fn bytes_like(block: &[u8; BLOCK], byte: u8) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const LOW: u64 = ONES * 0x7f;
    let differences = u64::from_le_bytes(*block) ^ (ONES * u64::from(byte));
    !(((differences & LOW) + LOW) | differences | LOW)
}

/// The place of the first byte that is marked; `BLOCK` when none is.
#[inline]
fn first(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// The length of the legal escape that `text` begins with.
#[inline]
fn escape_len(text: &[u8]) -> Option<usize> {
    match *text.get(1)? {
        b'u' => hex(text).map(|_| 6),
        byte => (SIMPLE[usize::from(byte)] != 0).then_some(2),
    }
}

/// What a backslash and this byte stand for; 0 where that is no escape, or one with a number.
const SIMPLE: [u8; 256] = {
    let mut table = [0; 256];
    let pairs = b"\"\"\\\\//b\x08f\x0cn\nr\rt\t";
    let mut at = 0;
    while at < pairs.len() {
        table[pairs[at] as usize] = pairs[at + 1];
        at += 2;
    }
    table
};

/// Undoes the escapes, which are legal, in `line[at..end]`, whose first byte begins one; returns the new end.
fn unescape(line: &mut [u8], at: usize, end: usize) -> usize {
    let (mut from, mut to) = (at, at);
    while from < end {
        let simple = line.get(from + 1).map_or(0, |byte| SIMPLE[usize::from(*byte)]);
        if simple != 0 {
            line[to] = simple;
            (from, to) = (from + 2, to + 1);
        } else {
            let (read, char) = unicode(&line[from..end]);
            let mut utf8 = [0; 4];
            let utf8 = char.encode_utf8(&mut utf8).as_bytes();
            line[to..to + utf8.len()].copy_from_slice(utf8);
            (from, to) = (from + read, to + utf8.len());
        }
        let plain = move_plain(&mut line[..end], from, to);
        (from, to) = (from + plain, to + plain);
    }
    to
}

/// Moves what stands before the next backslash in `line[from..]` to `to`; returns how many bytes.
#[inline]
fn move_plain(line: &mut [u8], from: usize, to: usize) -> usize {
    // What is written behind the plain bytes must not be needed any more, or not be changed.
    let wide = from - to >= BLOCK;
    let mut plain = 0;
    for _ in 0..4 {
        let Some(block) = line[from + plain..].first_chunk::<BLOCK>().copied() else { break };
        let found = first(bytes_like(&block, b'\\'));
        let target =
            line[to + plain..].first_chunk_mut::<BLOCK>().expect("the target lies before the source");
        *target = if wide { block } else { merge(block, *target, found) };
        plain += found;
        if found < BLOCK {
            return plain;
        }
    }
    let rest = &line[from + plain..];
    let more = memchr(b'\\', rest).unwrap_or(rest.len());
    line.copy_within(from + plain..from + plain + more, to + plain);
    plain + more
}

/// The first `n` bytes of `new` before the rest of `old`: a copy of any length up to a block without a branch on it.
#[inline]
fn merge(new: [u8; BLOCK], old: [u8; BLOCK], n: usize) -> [u8; BLOCK] {
    let kept = if n < BLOCK { u64::MAX << (8 * n) } else { 0 };
    (u64::from_le_bytes(new) & !kept | u64::from_le_bytes(old) & kept).to_le_bytes()
}

/// `\uXXXX`, or two of them where they are a surrogate pair.
fn unicode(text: &[u8]) -> (usize, char) {
    let Some(first) = hex(text) else { return (text.len().min(6), char::REPLACEMENT_CHARACTER) };
    if let Some(char) = char::from_u32(first) {
        return (6, char);
    }
    let second = hex(&text[6..]).filter(|second| (0xdc00..0xe000).contains(second));
    match second {
        Some(second) if first < 0xdc00 => {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            (12, char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
        }
        _ => (6, char::REPLACEMENT_CHARACTER),
    }
}

/// The number of the `\uXXXX` that `text` begins with.
fn hex(text: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = text.first_chunk::<6>()? else { return None };
    digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
}

/// Decodes, in place, the string that begins at `line[start]` and may be cut at the end of `line`, inside an escape too:
/// what is left of that is left out. Returns the length of what stands at `start` then; nothing, and `line` is
/// unchanged, when an escape is illegal.
pub(crate) fn decode_cut(line: &mut [u8], start: usize) -> Option<usize> {
    let mut at = start;
    let mut first = None;
    let end = loop {
        let Some(next) = memchr2(b'"', b'\\', &line[at..]) else { break line.len() };
        at += next;
        if line[at] == b'"' {
            break at;
        }
        match escape_len(&line[at..]) {
            Some(len) => {
                first = first.or(Some(at));
                at += len;
            }
            None if line.len() - at < 6 => break at,
            None => return None,
        }
    };
    Some(unescape(line, first.unwrap_or(end), end) - start)
}
