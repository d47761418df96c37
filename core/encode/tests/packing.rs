//! What a packer gives out, against serde_json and the real decoders.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use ringtail_encode::{Compression, Packed, Packer, Selection, Wire};
use ringtail_memory::{Budget, CarryPool, Frozen};
use ringtail_record::{Attribute, Batch, Flags, Record, Source, Stream};
use serde_json::{Value, json};

/// One record and who wrote it.
#[derive(Clone, Debug)]
struct Sample {
    time_ns: i64,
    stream: Stream,
    flags: Flags,
    body: Vec<u8>,
    source: usize,
}

fn sources() -> Vec<Arc<Source>> {
    let mut labelled = Source::from_path(Path::new("/var/log/pods/shop_web-0_8f1c/app/3.log"));
    labelled.set(Attribute::text("k8s.pod.label.team", "\"a\\b\"\n\u{1f980}"));
    labelled.set(Attribute::int("limit", i64::MIN));
    [labelled, Source::from_path(Path::new("/tmp/raw.txt"))].map(Arc::new).to_vec()
}

fn batch(samples: &[Sample], sources: &[Arc<Source>]) -> Batch {
    let carries = CarryPool::new(&Budget::new(256 << 20));
    let mut batch = Batch::default();
    for sample in samples {
        let mut carry = carries.take(sample.body.len()).expect("within budget");
        carry.push(&sample.body).expect("within budget");
        let len = u32::try_from(sample.body.len()).expect("short");
        let record = Record {
            time_ns: sample.time_ns,
            buffer: 0,
            off: 0,
            len,
            source: 0,
            stream: sample.stream,
            flags: sample.flags,
        };
        batch.append(&Frozen::from(carry), &sources[sample.source], [record]);
    }
    batch
}

fn ndjson(compression: Compression) -> Packer {
    Packer::new(Wire::Ndjson { attributes: Selection::all() }, compression)
}

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

/// The line as serde_json reads it must be the record.
fn check(line: &str, sample: &Sample, source: &Source) {
    let line: Value = serde_json::from_str(line).expect("valid JSON");
    let line = line.as_object().expect("an object");
    assert_eq!(line["message"], *String::from_utf8_lossy(&sample.body));
    let stream = line.get("stream").map_or("", |stream| stream.as_str().expect("text"));
    assert_eq!(stream, sample.stream.name());
    let flags: Vec<_> = Flags::NAMES
        .iter()
        .filter(|(flag, _)| sample.flags.contains(*flag))
        .map(|(_, name)| json!(name))
        .collect();
    let known = line.get("log.flags").map_or(&[][..], |flags| flags.as_array().expect("an array"));
    assert_eq!(known, flags);
    for attribute in source.attributes() {
        let expected = match &attribute.value {
            ringtail_record::Value::Text(text) => json!(text),
            ringtail_record::Value::Int(number) => json!(number),
        };
        assert_eq!(line[&*attribute.name], expected, "{}", attribute.name);
    }
    let own = 2 + usize::from(!stream.is_empty()) + usize::from(!flags.is_empty());
    assert_eq!(line.len(), own + source.attributes().len());
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
        let (lines, packed) = packed(&samples);
        prop_assert_eq!(lines.lines().count(), samples.len());
        for (line, sample) in lines.lines().zip(&samples) {
            check(line, sample, &sources()[sample.source]);
        }
        let lossy = samples.iter().filter(|sample| std::str::from_utf8(&sample.body).is_err()).count();
        prop_assert_eq!(packed, Packed {
            records: samples.len() as u64, encoded_bytes: lines.len() as u64, replaced_utf8: lossy as u64,
        });
    }
}

/// What the real decoders read from payloads written one after the other, as the command line tools read them.
fn decoded(compression: Compression, mut file: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match compression {
        Compression::None => plain.extend_from_slice(file),
        Compression::Zstd => {
            zstd::stream::Decoder::new(file).expect("zstd").read_to_end(&mut plain).expect("whole frames");
        }
        // This decoder stops at the end of each frame.
        Compression::Lz4 => {
            while !file.is_empty() {
                let mut decoder = lz4_flex::frame::FrameDecoder::new(&mut file);
                decoder.read_to_end(&mut plain).expect("whole frame");
            }
        }
        Compression::Gzip => {
            flate2::read::MultiGzDecoder::new(file).read_to_end(&mut plain).expect("whole members");
        }
    }
    plain
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
        let mut packer = ndjson(compression);
        let (mut file, mut expected) = (Vec::new(), Vec::new());
        for samples in &batches {
            let (lines, plain) = packed(samples);
            let begin = file.len();
            assert_eq!(packer.pack(&batch(samples, &sources()), &mut file), plain);
            if samples.is_empty() {
                assert_eq!(file.len(), begin, "an empty batch is no frame");
                continue;
            }
            assert!(decoded(compression, &file[begin..]) == lines.as_bytes(), "{compression}, alone");
            expected.extend_from_slice(lines.as_bytes());
        }
        assert!(decoded(compression, &file) == expected, "{compression}, one after the other");
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
