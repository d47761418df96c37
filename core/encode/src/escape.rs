//! JSON string escaping.
//!
//! ```text
//! for each 16 bytes: none special? copy them. Else: byte by byte, each as a table has it
//! ```
//! Special are what JSON forbids in a string: control characters below U+0020, `"` and `\`. Bytes from 0x80 pass.
//! For speed the table holds plain bytes too, so that the slow way has no branch to mispredict: each byte is one load
//! and one store of eight bytes, of which the next store overwrites what was too much. Going from special byte to
//! special byte was measured slower where they are dense, as in JSON inside JSON.

/// The longest escape, `\u001f`, in bytes.
pub(crate) const LONGEST_ESCAPE: usize = 6;
/// What [`escape`] may need behind [`LONGEST_ESCAPE`] times its input, in bytes.
pub(crate) const SLACK: usize = WINDOW;

const LANES: usize = 16;
/// Room for 16 of the longest escapes: a power of two and the eight bytes of the last store.
const WINDOW: usize = 128 + 8;

/// Writes `src` escaped to the beginning of `dst` and returns its length. `dst` has room for
/// [`LONGEST_ESCAPE`] times the length of `src` plus [`SLACK`]; what lies behind the result is undefined.
///
/// # Panics
/// When `dst` is shorter.
#[inline]
pub(crate) fn escape(src: &[u8], dst: &mut [u8]) -> usize {
    let (blocks, rest) = src.as_chunks::<LANES>();
    let mut at = 0;
    for lanes in blocks {
        at += step(lanes, &mut dst[at..]);
    }
    if rest.is_empty() {
        return at;
    }
    if let Some(lanes) = src.last_chunk::<LANES>()
        && !any_special(lanes)
    {
        // What of these was written already was written as it is: writing it again spares a copy of odd length.
        let at = at + rest.len();
        dst[at - LANES..at].copy_from_slice(lanes);
        return at;
    }
    // Blanks are not special: each is one byte at the end of what is written.
    let mut lanes = [b' '; LANES];
    lanes[..rest.len()].copy_from_slice(rest);
    at + step(&lanes, &mut dst[at..]) - (LANES - rest.len())
}

/// Escapes 16 bytes; how many were written.
#[inline]
fn step(lanes: &[u8; LANES], dst: &mut [u8]) -> usize {
    let dst: &mut [u8; WINDOW] = dst.first_chunk_mut().expect("room and slack are the caller's duty");
    if any_special(lanes) {
        return by_table(lanes, dst);
    }
    dst[..LANES].copy_from_slice(lanes);
    LANES
}

fn by_table(lanes: &[u8; LANES], dst: &mut [u8; WINDOW]) -> usize {
    let mut at = 0;
    for byte in lanes {
        let escaped = ESCAPED[usize::from(*byte)];
        // 16 times the longest escape is below 128; saying so spares a bounds check.
        let to = at & 127;
        dst[to..to + 8].copy_from_slice(&escaped.to_le_bytes());
        at += (escaped >> 56) as usize;
    }
    at
}

/// Whether one of 16 bytes is special, eight at a time: subtracting borrows into the highest bit of the lowest byte
/// that is below 0x20, or zero once it is compared, and bytes that had that bit from the start do not count.
#[inline]
fn any_special(lanes: &[u8; LANES]) -> bool {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let borrows = |word: u64| {
        let control = word.wrapping_sub(EACH * 0x20);
        let quote = (word ^ (EACH * 0x22)).wrapping_sub(EACH);
        let backslash = (word ^ (EACH * 0x5c)).wrapping_sub(EACH);
        (control | quote | backslash) & !word
    };
    let (words, _) = lanes.as_chunks::<8>();
    words.iter().fold(0, |all, word| all | borrows(u64::from_le_bytes(*word))) & (EACH * 0x80) != 0
}

/// Each byte as it is written: up to seven bytes, the first lowest, and their number in the highest.
const ESCAPED: [u64; 256] = {
    let hex = b"0123456789abcdef";
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let written = if byte < 0x20 {
            [b'\\', b'u', b'0', b'0', hex[byte >> 4], hex[byte & 15], 0, 6]
        } else {
            [byte.to_le_bytes()[0], 0, 0, 0, 0, 0, 0, 1]
        };
        table[byte] = u64::from_le_bytes(written);
        byte += 1;
    }
    let short =
        [(0x08, b'b'), (0x09, b't'), (0x0a, b'n'), (0x0c, b'f'), (0x0d, b'r'), (0x22, b'"'), (0x5c, b'\\')];
    let mut i = 0;
    while i < short.len() {
        table[short[i].0] = u64::from_le_bytes([b'\\', short[i].1, 0, 0, 0, 0, 0, 2]);
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(src: &[u8]) -> Vec<u8> {
        let mut dst = vec![0; src.len() * LONGEST_ESCAPE + SLACK];
        let len = escape(src, &mut dst);
        dst.truncate(len);
        dst
    }

    /// serde_json escapes text as we do; bytes that are not text are passed by both, one lane at a time.
    fn naive(src: &[u8]) -> Vec<u8> {
        let one = |byte: &u8| match byte {
            0x80.. => vec![*byte],
            _ => {
                let quoted = serde_json::to_string(&char::from(*byte)).expect("a string");
                quoted.as_bytes()[1..quoted.len() - 1].to_vec()
            }
        };
        src.iter().flat_map(one).collect()
    }

    #[test]
    fn every_byte_at_every_place_of_every_short_length_is_escaped_as_serde_json_does() {
        for len in 1..40 {
            for at in 0..len {
                for byte in 0..=255 {
                    let mut src = vec![b'x'; len];
                    src[at] = byte;
                    assert_eq!(escaped(&src), naive(&src), "{byte:#x} at {at} of {len}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_escaped_as_the_naive_one_does(
            src in proptest::collection::vec(prop_oneof![any::<u8>(), 0u8..0x20, Just(b'"'), Just(b'a')], 0..300),
        ) {
            prop_assert_eq!(escaped(&src), naive(&src));
        }
    }
}
