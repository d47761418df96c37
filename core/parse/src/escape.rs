//! JSON strings: finding their end, checking their escapes, undoing them in place.
//!
//! A string may hold any byte but a bare `"`: control characters and invalid UTF-8 are left as they are. Half a
//! surrogate pair becomes U+FFFD, as Go's decoder makes it.

use memchr::memchr2;

use crate::mask::{BLOCK, Escapes, mask};

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
        // The newline at the end is often the only one.
        if let [_, byte, b'"', ..] = line[at..]
            && SIMPLE[usize::from(byte)] != 0
        {
            return Some(Text { start, end: at + 2, escape: at, last_escape: at });
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
/// Goes by blocks, so that the processor can work ahead: with a search from each escape on, every one would wait for the
/// one before. Where a block has no escape memchr goes on.
fn scan_escapes(line: &[u8], at: usize) -> Option<(usize, usize)> {
    let (mut block_at, mut last) = (at, at);
    let (mut escapes, mut copy) = (Escapes::default(), [0; BLOCK]);
    while block_at < line.len() {
        let block = block(&line[block_at..], &mut copy);
        let escaped = escapes.escaped(mask(block, b'\\'));
        let quotes = mask(block, b'"') & !escaped;
        // Those before the first quote.
        let mut escaped = escaped & quotes.wrapping_sub(1) & !quotes;
        while escaped != 0 {
            let place = escaped.trailing_zeros() as usize;
            escaped &= escaped - 1;
            last = (block_at + place).checked_sub(1)?;
            if SIMPLE[usize::from(block[place])] == 0 {
                escape_len(&line[last..])?;
            }
        }
        if quotes != 0 {
            return Some((last, block_at + quotes.trailing_zeros() as usize));
        }
        block_at += BLOCK;
        if last + 2 * BLOCK < block_at && !escapes.is_open() {
            block_at += memchr2(b'"', b'\\', line.get(block_at..)?)?;
        }
    }
    None
}

/// The block that `text` begins with, filled up with zeros in `copy` where it is short.
#[inline]
fn block<'a>(text: &'a [u8], copy: &'a mut [u8; BLOCK]) -> &'a [u8; BLOCK] {
    match text.first_chunk() {
        Some(block) => block,
        None => {
            copy[..text.len()].copy_from_slice(text);
            copy
        }
    }
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

/// Decoded bytes that wait for a place in the line, at most.
const PIECE: usize = 256;

/// What a plain run of the usual length is copied as: a copy of any length would cost a call.
const RUN: usize = 16;

/// Undoes the escapes, which are legal, in `line[at..end]`, whose first byte begins one; returns the new end.
///
/// Piece by piece next to the line, and then back into it: a wide copy inside the line would overwrite what is still to
/// be read, and be read again before it is written.
fn unescape(line: &mut [u8], at: usize, end: usize) -> usize {
    let (mut from, mut to) = (at, at);
    let mut piece = [0; PIECE + 2 * BLOCK];
    let mut len = 0;
    let (mut escapes, mut copy) = (Escapes::default(), [0; BLOCK]);
    let mut block_at = at;
    while block_at < end {
        let block = block(&line[block_at..end], &mut copy);
        let mut escaped = escapes.escaped(mask(block, b'\\'));
        while escaped != 0 {
            let place = escaped.trailing_zeros() as usize;
            escaped &= escaped - 1;
            let backslash = block_at + place - 1;
            if backslash < from {
                // The second half of a surrogate pair, which went with the first.
                continue;
            }
            len += copy_run(&line[from..], backslash - from, &mut piece[len..]);
            let simple = SIMPLE[usize::from(block[place])];
            if simple != 0 {
                piece[len] = simple;
                (from, len) = (backslash + 2, len + 1);
            } else {
                let (read, char) = unicode(&line[backslash..end]);
                len += char.encode_utf8(&mut piece[len..]).len();
                from = backslash + read;
            }
        }
        block_at += BLOCK;
        // A backslash at the block's end waits for what it escapes.
        let known = block_at.min(end) - usize::from(escapes.is_open());
        if from < known {
            len += copy_run(&line[from..], known - from, &mut piece[len..]);
            from = known;
        }
        if len >= PIECE || block_at >= end {
            line[to..to + len].copy_from_slice(&piece[..len]);
            (to, len) = (to + len, 0);
        }
    }
    to
}

/// Copies the first `len` bytes of `text`, at most a block, and perhaps some more; returns `len`.
#[inline]
fn copy_run(text: &[u8], len: usize, out: &mut [u8]) -> usize {
    match (text.first_chunk::<RUN>(), out.first_chunk_mut::<RUN>()) {
        (Some(run), Some(out)) if len <= RUN => *out = *run,
        _ => out[..len].copy_from_slice(&text[..len]),
    }
    len
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
