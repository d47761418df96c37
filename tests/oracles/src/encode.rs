//! Payloads: what serde_json and the real decoders read from them must be the records.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use ringtail_encode::{Compression, Packed, Packer, Selection, Wire};
use ringtail_memory::{Budget, CarryPool, Frozen};
use ringtail_record::{Attribute, Batch, Flags, Record, Source, Stream};
use serde_json::{Value, json};

use crate::choices::Choices;
use crate::time;

/// One record and who wrote it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// See [`Record::time_ns`].
    pub time_ns: i64,
    /// The stream.
    pub stream: Stream,
    /// What is not whole.
    pub flags: Flags,
    /// The message.
    pub body: Vec<u8>,
    /// Which of [`sources`].
    pub source: usize,
}

/// A source with attributes that need escapes, and one without any.
pub fn sources() -> Vec<Arc<Source>> {
    let mut labelled = Source::from_path(Path::new("/var/log/pods/shop_web-0_8f1c/app/3.log"));
    labelled.set(Attribute::text("k8s.pod.label.team", "\"a\\b\"\n\u{1f980}"));
    labelled.set(Attribute::int("limit", i64::MIN));
    [labelled, Source::from_path(Path::new("/tmp/raw.txt"))].map(Arc::new).to_vec()
}

/// A batch of `samples`, each in a buffer of its own.
pub fn batch(samples: &[Sample], sources: &[Arc<Source>]) -> Batch {
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

/// A packer of all attributes.
pub fn ndjson(compression: Compression) -> Packer {
    Packer::new(Wire::Ndjson { attributes: Selection::all() }, compression)
}

/// The line as serde_json reads it must be the record.
///
/// # Panics
/// When it is not.
pub fn check(line: &str, sample: &Sample, source: &Source) {
    let line: Value = serde_json::from_str(line).expect("valid JSON");
    let line = line.as_object().expect("an object");
    let time = line["time"].as_str().expect("text");
    match time::naive(time) {
        Some(time_ns) => assert_eq!(time_ns, sample.time_ns),
        None => assert!(time.starts_with("1677-") || time.starts_with("2262-"), "{time}"),
    }
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

/// Packs `samples`: a line each, which reads back as its record, and what was replaced is counted.
///
/// # Panics
/// Where that is not so.
pub fn check_lines(samples: &[Sample]) {
    let sources = sources();
    let mut out = Vec::new();
    let packed = ndjson(Compression::None).pack(&batch(samples, &sources), &mut out);
    let lines = String::from_utf8(out).expect("always UTF-8");
    assert_eq!(lines.lines().count(), samples.len());
    for (line, sample) in lines.lines().zip(samples) {
        check(line, sample, &sources[sample.source]);
    }
    let lossy = samples.iter().filter(|sample| std::str::from_utf8(&sample.body).is_err()).count();
    let expected = Packed {
        records: samples.len() as u64,
        encoded_bytes: lines.len() as u64,
        replaced_utf8: lossy as u64,
    };
    assert_eq!(packed, expected);
}

/// Packs each of `batches` with one packer: the payloads, one after the other, are what the real decoder reads.
///
/// # Panics
/// Where that is not so.
pub fn check_payloads(compression: Compression, batches: &[Vec<Sample>]) {
    let sources = sources();
    let mut packer = ndjson(compression);
    let (mut file, mut expected) = (Vec::new(), Vec::new());
    for samples in batches {
        let batch = batch(samples, &sources);
        let plain_begin = expected.len();
        let plain = ndjson(Compression::None).pack(&batch, &mut expected);
        let begin = file.len();
        assert_eq!(packer.pack(&batch, &mut file), plain);
        if samples.is_empty() {
            assert_eq!(file.len(), begin, "an empty batch is no frame");
            continue;
        }
        assert!(decoded(compression, &file[begin..]) == expected[plain_begin..], "{compression}, alone");
    }
    assert!(decoded(compression, &file) == expected, "{compression}, one after the other");
}

/// What the real decoders read from payloads written one after the other, as the command line tools read them.
pub fn decoded(compression: Compression, mut file: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match compression {
        // Of empty batches alone nothing comes, and that is no frame.
        _ if file.is_empty() => {}
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

/// Messages are what stands between record separators; each begins with what is known of it.
fn samples(text: &[u8]) -> Vec<Sample> {
    let sample = |text: &[u8]| {
        let mut choices = Choices(text);
        let (stream, flags, source) = (choices.byte(), choices.byte(), choices.byte());
        let time = [0; 8].map(|_: u8| choices.byte());
        let set = Flags::NAMES.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1);
        Sample {
            time_ns: i64::from_le_bytes(time),
            stream: Stream::ALL[usize::from(stream % 3)],
            flags: set.fold(Flags::NONE, |flags, (_, (flag, _))| flags | *flag),
            source: usize::from(source % 2),
            body: choices.rest().to_vec(),
        }
    };
    text.split(|byte| *byte == 0x1e).map(sample).collect()
}

/// Messages of any kind.
pub fn fuzz(data: &[u8]) {
    check_lines(&samples(data));
}

/// Batches are what stands between group separators. Their messages are repeated, so that blocks and frames come to
/// their ends.
pub fn compress(data: &[u8]) {
    let mut choices = Choices(data);
    let compression = Compression::ALL[usize::from(choices.byte() % 4)];
    let times = 1 + choices.number() % 3000;
    let longer = |mut sample: Sample| {
        let room = (200 << 10) / sample.body.len().max(1);
        sample.body = sample.body.repeat(times.min(room).max(1));
        sample
    };
    let batch = |text: &[u8]| match text {
        [] => Vec::new(),
        text => samples(text).into_iter().map(longer).collect(),
    };
    let batches: Vec<Vec<Sample>> = choices.rest().split(|byte| *byte == 0x1d).take(8).map(batch).collect();
    check_payloads(compression, &batches);
}
