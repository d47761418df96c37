//! Lines that a model wrote, read back on every chunk border: what is delivered is what the model says.
//!
//! The model knows what each line means, so that the oracle parses nothing: it only cuts and joins.

use proptest::prelude::*;
use ringtail_oracles::parse::{File, Line, check, check_short_of_carries};
use ringtail_parse::{Format, Limits};
use ringtail_record::Stream;

/// A time as it is written, and what it is.
fn time() -> impl Strategy<Value = (String, i64)> {
    const MORNING_NS: i64 = 1_767_323_040_000_000_000;
    let usual = (0..600i64, 0..1_000_000_000i64).prop_map(|(second, nanos)| {
        let (minute, second_of) = (4 + second / 60, second % 60);
        (
            format!("2026-01-02T03:{minute:02}:{second_of:02}.{nanos:09}Z"),
            MORNING_NS + second * 1_000_000_000 + nanos,
        )
    });
    prop_oneof![
        3 => usual,
        1 => Just(("2026-01-02T03:04:00Z".to_owned(), MORNING_NS)),
        1 => Just(("2026-01-02T04:34:00.25+01:30".to_owned(), MORNING_NS + 250_000_000)),
        1 => Just(("2026-01-01T23:04:00.123456789-04:00".to_owned(), MORNING_NS + 123_456_789)),
    ]
}

fn stream() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)]
}

/// A message's bytes, of lengths on both sides of every limit tried here.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => 32..127u8, 1 => Just(b'\r'), 1 => Just(0), 1 => Just(0xff), 1 => Just(b'"'), 1 => Just(b'\\')];
    prop_oneof![proptest::collection::vec(byte.clone(), 0..12), proptest::collection::vec(byte, 0..90)]
}

/// Plain bytes: each stands for itself.
fn verbatim(message: Vec<u8>) -> Vec<(Vec<u8>, Vec<u8>)> {
    message.into_iter().map(|byte| (vec![byte], vec![byte])).collect()
}

fn garbage() -> impl Strategy<Value = Line> {
    prop_oneof![
        message(),
        Just(vec![]),
        Just(b"2026-01-02T03:04:00Z stdout".to_vec()),
        Just(b"{\"logs\":\"x\"}".to_vec())
    ]
    .prop_map(Line::Garbage)
}

/// Now and then behind NUL bytes that nobody wrote.
fn maybe_holed(line: impl Strategy<Value = Line>) -> impl Strategy<Value = Line> {
    let nuls = prop_oneof![20 => Just(0usize), 1 => 1..300usize];
    (nuls, line).prop_map(|(nuls, line)| if nuls == 0 { line } else { Line::Holed(nuls, Box::new(line)) })
}

fn cri() -> impl Strategy<Value = Line> {
    let tags = prop_oneof![3 => Just("P"), 3 => Just("F"), 1 => Just("F:x"), 1 => Just("P:x:y")];
    let line = (time(), stream(), tags, message()).prop_map(|((text, time_ns), stream, tags, message)| {
        Line::Message {
            head: format!("{text} {} {tags} ", stream.name()).into(),
            units: verbatim(message),
            tail: vec![],
            stream,
            time_ns,
            whole: tags.starts_with('F'),
        }
    });
    prop_oneof![9 => maybe_holed(line), 1 => garbage()]
}

/// A character as a JSON writer may write it.
fn json_unit() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let pair = |text: &str, says: &str| (text.as_bytes().to_vec(), says.as_bytes().to_vec());
    let known = [
        pair(r#"\""#, "\""),
        pair(r"\\", "\\"),
        pair(r"\/", "/"),
        pair(r"\b", "\u{8}"),
        pair(r"\f", "\u{c}"),
        pair(r"\r", "\r"),
        pair(r"\t", "\t"),
        pair(r"\u0000", "\0"),
        pair(r"\u003c", "<"),
        pair(r"\u00E9", "\u{e9}"),
        pair(r"\u2028", "\u{2028}"),
        pair(r"\ud83d\ude00", "\u{1f600}"),
        pair(r"\ud83dx", "\u{fffd}x"),
        pair(r"\ude00y", "\u{fffd}y"),
        pair("\u{e9}", "\u{e9}"),
    ];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()),
        6 => (32..127u8).prop_filter("these need an escape", |byte| !b"\"\\".contains(byte)).prop_map(|byte| (vec![byte], vec![byte])),
        1 => Just((vec![0xff], vec![0xff])),
    ]
}

fn docker() -> impl Strategy<Value = Line> {
    let units = prop_oneof![
        proptest::collection::vec(json_unit(), 0..8),
        proptest::collection::vec(json_unit(), 0..50)
    ];
    let line = (time(), stream(), any::<bool>(), units, 0..6).prop_map(
        |((time, time_ns), stream, whole, mut units, shape)| {
            if whole {
                units.push((b"\\n".to_vec(), vec![]));
            }
            let name = stream.name();
            let (head, tail) = match shape {
                0 | 1 => ("{\"log\":\"".into(), format!(r#"","stream":"{name}","time":"{time}"}}"#)),
                2 => (format!(r#"{{"time":"{time}","stream":"{name}","log":""#), "\"}".into()),
                3 => (
                    "{\"log\":\"".into(),
                    format!(r#"","stream":"{name}","attrs":{{"a":"\"","b":""}},"time":"{time}"}}"#),
                ),
                4 => (
                    format!(r#"{{"attrs":{{}},"stream":"{name}","log":""#),
                    format!(r#"","time":"{time}"}}"#),
                ),
                _ => ("{\"log\":\"".into(), format!(r#"","time":"{time}"}}"#)),
            };
            let stream = if shape == 5 { Stream::None } else { stream };
            Line::Message { head: head.into(), units, tail: tail.into(), stream, time_ns, whole }
        },
    );
    prop_oneof![9 => maybe_holed(line), 1 => garbage()]
}

/// Files of one lineage; the last line of one may lack its newline.
fn files(line: impl Strategy<Value = Line>) -> impl Strategy<Value = Vec<File>> {
    let file = (proptest::collection::vec(line, 0..12), any::<bool>()).prop_map(|(lines, ends)| {
        let ends = ends || lines.last().is_none_or(|last| last.text().is_empty());
        File { lines, ends }
    });
    proptest::collection::vec(file, 1..4)
}

fn limits() -> impl Strategy<Value = Limits> {
    let limit = || prop_oneof![1..200usize, Just(1 << 20)];
    (limit(), limit()).prop_map(|(max_line, max_record)| Limits { max_line, max_record })
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![proptest::collection::vec(1..40usize, 1..5), proptest::collection::vec(1..400usize, 1..5)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn cri_is_read_as_it_was_meant(files in files(cri()), limits in limits(), pieces in pieces()) {
        check(Format::Cri, &files, limits, &pieces);
    }

    #[test]
    fn docker_is_read_as_it_was_meant(files in files(docker()), limits in limits(), pieces in pieces()) {
        check(Format::DockerJson, &files, limits, &pieces);
    }

    #[test]
    fn raw_is_read_as_it_was_meant(files in files(garbage()), limits in limits(), pieces in pieces()) {
        check(Format::Raw, &files, limits, &pieces);
    }

    #[test]
    fn nothing_is_lost_or_repeated_when_carries_run_out(
        cri in files(cri()),
        docker in files(docker()),
        max_line in 30..200usize,
        max_record in 1..500usize,
        pieces in pieces(),
        hogged in proptest::collection::vec(any::<bool>(), 0..40),
    ) {
        let limits = Limits { max_line, max_record };
        check_short_of_carries(Format::Cri, &cri, limits, &pieces, &hogged);
        check_short_of_carries(Format::DockerJson, &docker, limits, &pieces, &hogged);
    }
}
