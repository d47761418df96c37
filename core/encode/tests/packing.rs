//! What a packer gives out, against serde_json and the real decoders.

use proptest::prelude::*;
use ringtail_encode::{Compression, Packed, Packer, Selection, Wire};
use ringtail_oracles::encode::{Sample, batch, check, check_lines, check_payloads, decoded, ndjson, sources};
use ringtail_record::{Flags, Stream};
use serde_json::{Value, json};

fn sample(body: &[u8]) -> Sample {
    Sample {
        time_ns: 1_767_323_045_120_000_000,
        stream: Stream::Stdout,
        flags: Flags::NONE,
        body: body.to_vec(),
        source: 0,
    }
}

fn packed(samples: &[Sample]) -> (String, Packed) {
    let mut out = Vec::new();
    let packed = ndjson(Compression::None).pack(&batch(samples, &sources()), &mut out);
    (String::from_utf8(out).expect("always UTF-8"), packed)
}

#[test]
fn golden_lines() {
    let mut samples = [
        sample(b"hello"),
        sample(b"tab\tquote\"back\\slash\nnul\0esc\x1b[0m del\x7f"),
        sample("gr\u{fc}n \u{1f98a}".as_bytes()),
        sample(b"cut \xf0\x9f\x92 and \xff\xfe"),
        sample(b""),
    ];
    (samples[1].stream, samples[1].flags) = (Stream::Stderr, Flags::TRUNCATED | Flags::PARTIAL);
    (samples[2].source, samples[2].stream, samples[2].time_ns) = (1, Stream::None, -1);
    (samples[4].source, samples[4].flags, samples[4].time_ns) = (1, Flags::MALFORMED, 0);
    let tail = concat!(
        r#""log.file.path":"/var/log/pods/shop_web-0_8f1c/app/3.log","k8s.namespace.name":"shop","#,
        r#""k8s.pod.name":"web-0","k8s.pod.uid":"8f1c","k8s.container.name":"app","#,
        r#""k8s.container.restart_count":3,"k8s.pod.label.team":"\"a\\b\"\n🦀","limit":-9223372036854775808}"#
    );
    let raw = r#""log.file.path":"/tmp/raw.txt"}"#;
    let expected = [
        format!(r#"{{"time":"2026-01-02T03:04:05.12Z","stream":"stdout","message":"hello",{tail}"#),
        format!(
            concat!(
                r#"{{"time":"2026-01-02T03:04:05.12Z","stream":"stderr","message":"tab\tquote\"back\\slash\n"#,
                r#"nul\u0000esc\u001b[0m del{}","log.flags":["truncated","partial"],{}"#
            ),
            '\x7f', tail
        ),
        format!(r#"{{"time":"1969-12-31T23:59:59.999999999Z","message":"grün 🦊",{raw}"#),
        format!(r#"{{"time":"2026-01-02T03:04:05.12Z","stream":"stdout","message":"cut � and ��",{tail}"#),
        format!(
            r#"{{"time":"1970-01-01T00:00:00Z","stream":"stdout","message":"","log.flags":["malformed"],{raw}"#
        ),
    ];
    let (lines, packed) = packed(&samples);
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
    let encoded_bytes = lines.len() as u64;
    assert_eq!(packed, Packed { records: 5, encoded_bytes, replaced_utf8: 1 });
}

#[test]
fn only_chosen_attributes_go_out() {
    let attributes = Selection::parse(["k8s.pod.name", "nothing.*"]).expect("patterns");
    let mut out = Vec::new();
    Packer::new(Wire::Ndjson { attributes }, Compression::None)
        .pack(&batch(&[sample(b"m")], &sources()), &mut out);
    let line: Value = serde_json::from_slice(&out).expect("JSON");
    let expected = json!({"time": "2026-01-02T03:04:05.12Z", "stream": "stdout", "message": "m",
        "k8s.pod.name": "web-0"});
    assert_eq!(line, expected);
}

#[test]
fn text_is_the_messages_byte_for_byte() {
    let samples = [sample(b"one"), sample(b"\xff\0\""), sample(b"")];
    let mut out = b"before ".to_vec();
    let packed = Packer::new(Wire::Text, Compression::None).pack(&batch(&samples, &sources()), &mut out);
    assert_eq!(out, b"before one\n\xff\0\"\n\n");
    assert_eq!(packed, Packed { records: 3, encoded_bytes: 9, replaced_utf8: 0 });
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let byte = prop_oneof![4 => 0x20u8..0x7f, 1 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\')];
    let body = prop_oneof![
        proptest::collection::vec(byte, 0..100),
        any::<String>().prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 900..1200),
    ];
    let flags = (0usize..8).prop_map(|bits| {
        let set = |flags, (n, (flag, _)): (usize, &(Flags, _))| {
            if bits >> n & 1 == 1 { flags | *flag } else { flags }
        };
        Flags::NAMES.iter().enumerate().fold(Flags::NONE, set)
    });
    (any::<i64>(), 0usize..3, flags, body, 0usize..2).prop_map(|(time_ns, stream, flags, body, source)| {
        Sample { time_ns, stream: Stream::ALL[stream], flags, body, source }
    })
}

proptest! {
    #[test]
    fn every_line_reads_back_as_its_record(samples in proptest::collection::vec(any_sample(), 0..200)) {
        check_lines(&samples);
    }
}

#[test]
fn payloads_written_one_after_the_other_are_read_by_the_real_decoders() {
    let random: Vec<u8> =
        (0..50_000u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).to_le_bytes()[0]).collect();
    // One record; none; many blocks; a line longer than a block; what cannot be compressed; one again.
    let batches = [
        vec![sample(b"one")],
        vec![],
        (0..5000).map(|n| sample(format!("line {n} of many").as_bytes())).collect(),
        vec![sample(&b"\x01long".repeat(100_000))],
        vec![sample(&random), sample(&random[1..])],
        vec![sample(b"last")],
    ];
    for compression in Compression::ALL {
        check_payloads(compression, &batches);
    }
}

/// A message of every length around a block's end, so that each part of a line meets the border.
#[test]
fn nothing_is_lost_or_doubled_where_a_block_ends() {
    let block = 64 << 10;
    let mut packer = ndjson(Compression::Lz4);
    for len in block - 700..block + 50 {
        let samples = [sample(&vec![b'a'; len]), sample(b"after\"\"\"\""), sample(&[0xe9; 3])];
        let mut out = Vec::new();
        let packed = packer.pack(&batch(&samples, &sources()), &mut out);
        let lines = String::from_utf8(decoded(Compression::Lz4, &out)).expect("UTF-8");
        assert_eq!((lines.len() as u64, packed.replaced_utf8), (packed.encoded_bytes, 1));
        assert_eq!(lines.lines().count(), 3);
        for (line, sample) in lines.lines().zip(&samples) {
            check(line, sample, &sources()[0]);
        }
    }
}

#[test]
fn names_of_compressions_are_read_back_and_others_refused() {
    for compression in Compression::ALL {
        assert_eq!(compression.to_string().parse(), Ok(compression));
    }
    assert!("gz".parse::<Compression>().is_err() && "ZSTD".parse::<Compression>().is_err());
    assert_eq!(Compression::None.content_encoding(), None);
    assert_eq!(Compression::Gzip.content_encoding(), Some("gzip"));
}
