//! Inflating, against contents that are known.

use proptest::prelude::*;
use ringtail_oracles::gz::{check_any, check_cut, check_sound, member};

fn contents() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..3000), prop::collection::vec(b'a'..b'd', 0..3000)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn members_come_out_from_any_position_at_any_boundaries(
        members in prop::collection::vec(contents(), 1..4),
        garbage in prop::collection::vec(0u8..0x1f, 0..20),
        piece in 1usize..4000, room in 1usize..4000, from in 0usize..10_000,
    ) {
        check_sound(&members, &garbage, from, piece, room);
    }

    #[test]
    fn a_cut_file_gives_a_beginning_and_is_not_complete(
        contents in contents(), cut in any::<usize>(), piece in 1usize..400, room in 1usize..400, from in 0usize..100,
    ) {
        check_cut(&contents, cut, from, piece, room);
    }

    #[test]
    fn damage_is_an_error_or_unseen_wherever_the_pieces_end_but_never_a_panic(
        contents in contents(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        cut in any::<prop::sample::Index>(), piece in 1usize..400, room in 1usize..400, from in 0usize..100,
    ) {
        let mut file = member(&contents);
        for (at, bits) in flips {
            let at = at.index(file.len());
            file[at] ^= bits;
        }
        let cut = cut.index(file.len());
        check_any(&file[..cut], 0, 100, 77);
        check_any(&file, from, piece, room);
    }
}
