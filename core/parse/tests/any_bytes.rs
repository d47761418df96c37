//! Bytes that nobody meant: nothing panics, nothing grows, and where chunks end makes no difference.

use proptest::prelude::*;
use ringtail_oracles::parse::{check_chunks, read};
use ringtail_parse::{Format, Input, Limits};

fn input() -> impl Strategy<Value = Input> {
    let fixed = [Format::Cri, Format::DockerJson, Format::Raw].map(Input::Fixed);
    proptest::sample::select([&[Input::Auto], &fixed[..]].concat())
}

/// Pieces of legal lines, and what breaks them.
fn text() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&str] = &[
        "2026-01-02T03:04:05.123456789Z stdout F ",
        "2026-01-02T03:04:05.123456789Z stderr P ",
        "2026-01-02T03:04:05.123456789Z",
        "2026-01-02T03:04:05+01:00 stdout F:x ",
        "9999-12-31T23:59:59.999999999Z stdout F ",
        "{\"log\":\"",
        "\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.123456789Z\"}",
        "\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"b\"},\"time\":\"2026-01-02T03:04:05.1Z\"}",
        "{\"time\":\"2026-01-02T03:04:05Z\",",
        "\"stream\":\"stdout\"",
        "\"log\":\"x\"",
        "\"attrs\":{}",
        "\\u12",
        "\\ud83d",
        "\\ude00",
        "\\",
        "\"",
        ",",
        "}",
        " ",
        "\r",
        "some text",
        "\0\0\0",
    ];
    let word = proptest::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec());
    let piece =
        prop_oneof![6 => word, 3 => Just(b"\n".to_vec()), 1 => proptest::collection::vec(any::<u8>(), 0..4)];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn limits() -> impl Strategy<Value = Limits> {
    let limit = || prop_oneof![1..120usize, Just(1 << 20)];
    (limit(), limit()).prop_map(|(max_line, max_record)| Limits { max_line, max_record })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn where_chunks_end_makes_no_difference(
        files in proptest::collection::vec(text(), 1..4),
        input in input(),
        limits in limits(),
        pieces in proptest::collection::vec(1..100usize, 1..6),
    ) {
        check_chunks(&files, input, limits, &pieces);
    }

    #[test]
    fn every_byte_of_a_raw_file_is_delivered_or_counted(
        file in text(),
        max_line in 1..100usize,
        pieces in proptest::collection::vec(1..100usize, 1..6),
    ) {
        let limits = Limits { max_line, max_record: 1 << 20 };
        let got = read(std::slice::from_ref(&file), Input::Fixed(Format::Raw), limits, &pieces);
        let delivered: u64 = got.rows.iter().map(|row| row.message.len() as u64).sum();
        let line_ends = file.split_inclusive(|byte| *byte == b'\n').map(|line| {
            let newline = line.ends_with(b"\n");
            u64::from(newline) + u64::from(newline && line.len() - 1 <= max_line && line.ends_with(b"\r\n"))
        });
        let line_ends: u64 = line_ends.sum();
        // A carriage return just behind the limit is cut off, not taken for a part of the line's end.
        prop_assert_eq!(delivered + got.lost_line_bytes + line_ends, file.len() as u64);
    }
}

/// A hole before the first line, which is over the limit together with it: the format was told by what stands behind the
/// hole when the line came in one chunk, and by the hole when it came in several. Found by fuzzing.
#[test]
fn the_format_of_a_file_that_begins_with_a_hole_does_not_depend_on_chunks() {
    let line = b"2026-01-02T03:04:05.123456789Z stdout F hello\n";
    let limits = |max_line| Limits { max_line, max_record: 1 << 20 };
    for max_line in 1..60 {
        for nuls in [1, 2, 20, 70] {
            let file = [&vec![0; nuls], &line[..], line].concat();
            for piece in 1..file.len() {
                check_chunks(std::slice::from_ref(&file), Input::Auto, limits(max_line), &[piece]);
            }
        }
    }
    for nuls in [4000, 4095, 4096, 5000] {
        let file = [&vec![0; nuls], &line[..], line].concat();
        for piece in [1, 100, 4000, 4095, 4096, 4097] {
            check_chunks(std::slice::from_ref(&file), Input::Auto, limits(4096), &[piece, 1]);
        }
    }
}

/// Blanks over the limit: they were no record when they came in one chunk, and one when they came in several. Found by
/// fuzzing.
#[test]
fn a_blank_line_that_is_cut_is_a_record_wherever_chunks_end() {
    let file = [&[b' '; 40][..], b"\n2026-01-02T03:04:05Z stdout F hello\n"].concat();
    for format in [Format::Cri, Format::DockerJson] {
        for max_line in [20, 39, 40, 41] {
            let limits = Limits { max_line, max_record: 1 << 20 };
            for piece in 1..file.len() {
                check_chunks(std::slice::from_ref(&file), Input::Fixed(format), limits, &[piece]);
            }
            let got = read(std::slice::from_ref(&file), Input::Fixed(format), limits, &[file.len()]);
            assert_eq!(got.rows.len(), if max_line < 40 { 2 } else { 1 });
        }
    }
}
