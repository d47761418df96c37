//! Blocks of bytes as bitmasks: where a byte stands, and which bytes a backslash escapes. After simdjson's
//! `find_escaped`.
//!
//! Two comparisons of 16 bytes and the moves of their signs take the place of eight words that are compared one by one:
//! with what `escape` does with it, JSON inside docker's JSON is undone twice as fast.
#![allow(unsafe_code)]

/// Bytes that are looked at together.
pub(crate) const BLOCK: usize = 64;

/// The bits of the bytes of `block` that are `byte`, the first byte's lowest.
#[inline]
pub(crate) fn mask(block: &[u8; BLOCK], byte: u8) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the function needs SSE2, which every x86_64 has.
        unsafe { mask_sse2(block, byte) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        mask_of_bytes(block, byte)
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn mask_of_bytes(block: &[u8; BLOCK], byte: u8) -> u64 {
    (0..BLOCK).fold(0, |bits, at| bits | u64::from(block[at] == byte) << at)
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn mask_sse2(block: &[u8; BLOCK], byte: u8) -> u64 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    let wanted = _mm_set1_epi8(byte.cast_signed());
    let mut bits = 0;
    for (at, sixteen) in block.as_chunks::<16>().0.iter().enumerate() {
        let word = |half: usize| {
            i64::from_le_bytes(*sixteen[half * 8..].first_chunk().expect("16 bytes have two halves of 8"))
        };
        let found = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_set_epi64x(word(1), word(0)), wanted));
        bits |= u64::from(found.cast_unsigned()) << (16 * at);
    }
    bits
}

/// Follows backslashes over blocks that lie behind each other.
#[derive(Default)]
pub(crate) struct Escapes {
    /// 1 when the next block's first byte is escaped.
    carried: u64,
}

impl Escapes {
    /// Which bytes of the next block are escaped, given where its backslashes are. In a run of them every second one is.
    #[inline]
    pub(crate) fn escaped(&mut self, backslashes: u64) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        let backslashes = backslashes & !self.carried;
        let follows = backslashes << 1 | self.carried;
        let odd_starts = backslashes & !EVEN & !follows;
        let (even_ends, overflows) = odd_starts.overflowing_add(backslashes);
        self.carried = u64::from(overflows);
        (EVEN ^ (even_ends << 1)) & follows
    }

    /// Whether the last block ended with the backslash of an escape.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.carried != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a walk over the bytes, over several blocks.
        #[test]
        fn masks_say_what_a_walk_over_the_bytes_says(
            bytes in proptest::collection::vec(prop_oneof![2 => Just(b'\\'), 1 => Just(b'"'), 1 => any::<u8>()], 256),
        ) {
            let (mut escapes, mut is_escaped) = (Escapes::default(), false);
            for block in bytes.as_chunks::<BLOCK>().0 {
                prop_assert_eq!(mask(block, b'"'), mask_of_bytes(block, b'"'));
                let escaped = escapes.escaped(mask(block, b'\\'));
                for (at, byte) in block.iter().enumerate() {
                    prop_assert_eq!(escaped >> at & 1 == 1, is_escaped);
                    is_escaped = *byte == b'\\' && !is_escaped;
                }
                prop_assert_eq!(escapes.is_open(), is_escaped);
            }
        }
    }
}
