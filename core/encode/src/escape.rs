//! JSON string escaping.
//!
//! ```text
//! copy 16 bytes; which of them are special? none: 16 further. Else: to the first, its escape, on behind it.
//! ```
//! Special are what JSON forbids in a string: control characters below U+0020, `"` and `\`. Bytes from 0x80 pass.

/// The longest escape, `\u001f`, in bytes.
pub(crate) const LONGEST_ESCAPE: usize = 6;
/// What [`escape`] may write behind its result, in bytes.
pub(crate) const SLACK: usize = LANES;

const LANES: usize = 16;

/// Writes `src` escaped to the beginning of `dst` and returns its length. `dst` has room for
/// [`LONGEST_ESCAPE`] times the length of `src` plus [`SLACK`]; what lies behind the result is undefined.
///
/// # Panics
/// When `dst` is shorter.
#[inline]
pub(crate) fn escape(src: &[u8], dst: &mut [u8]) -> usize {
    let (mut rest, mut at) = (src, 0);
    while let Some(lanes) = rest.first_chunk::<LANES>() {
        let (taken, written) = step(lanes, LANES, &mut dst[at..]);
        (rest, at) = (&rest[taken..], at + written);
    }
    let mut last = [b' '; LANES];
    last[..rest.len()].copy_from_slice(rest);
    let mut from = 0;
    while from < rest.len() {
        let mut lanes = [b' '; LANES];
        lanes[..rest.len() - from].copy_from_slice(&last[from..rest.len()]);
        let (taken, written) = step(&lanes, rest.len() - from, &mut dst[at..]);
        (from, at) = (from + taken, at + written);
    }
    at
}

/// Escapes up to and including the first special byte of the first `len` of `lanes`: bytes taken, bytes written.
#[inline]
fn step(lanes: &[u8; LANES], len: usize, dst: &mut [u8]) -> (usize, usize) {
    dst[..LANES].copy_from_slice(lanes);
    let specials = specials(lanes);
    if specials == 0 {
        return (len, len);
    }
    let clean = specials.trailing_zeros() as usize / 8;
    let (escape, escape_len) = &ESCAPES[usize::from(lanes[clean])];
    dst[clean..clean + 8].copy_from_slice(escape);
    (clean + 1, clean + usize::from(*escape_len))
}

/// 1 in each of 16 bytes, the first lowest, that is special in `lanes`. Written so that it becomes four vector
/// instructions: calling those by name would need `unsafe`.
#[inline]
fn specials(lanes: &[u8; LANES]) -> u128 {
    u128::from_le_bytes(lanes.map(|byte| u8::from((byte < 0x20) | (byte == b'"') | (byte == b'\\'))))
}

/// For each special byte its escape, padded, and the escape's length.
const ESCAPES: [([u8; 8], u8); 256] = {
    let hex = b"0123456789abcdef";
    let mut table = [([0; 8], 0); 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = ([b'\\', b'u', b'0', b'0', hex[byte >> 4], hex[byte & 15], 0, 0], 6);
        byte += 1;
    }
    let short =
        [(0x08, b'b'), (0x09, b't'), (0x0a, b'n'), (0x0c, b'f'), (0x0d, b'r'), (0x22, b'"'), (0x5c, b'\\')];
    let mut i = 0;
    while i < short.len() {
        table[short[i].0] = ([b'\\', short[i].1, 0, 0, 0, 0, 0, 0], 2);
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
