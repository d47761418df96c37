//! From batches to the wire format.

use std::hint::black_box;

use criterion::Criterion;
use ringtail_benches::batches::batches;
use ringtail_benches::corpus::{self, Corpus, Counter, Payloads};
use ringtail_encode::{Compression, Packer, Selection, Wire};
use ringtail_record::Batch;
use simd_json::Node;

use crate::group;

const CORPUS_BYTES: usize = 4 << 20;

/// A corpus as batches and as their ndjson, one text a batch; the texts are checked against the corpus.
pub(crate) fn encoded() -> (Vec<Batch>, Vec<Vec<u8>>) {
    let corpus = corpus::cri(Payloads::Mixed, CORPUS_BYTES);
    let (batches, mut packer) = (batches(&corpus), packer(Compression::None));
    let encode = |batch| {
        let mut out = Vec::new();
        packer.pack(batch, &mut out);
        out
    };
    let texts: Vec<Vec<u8>> = batches.iter().map(encode).collect();
    check(&corpus, &texts);
    (batches, texts)
}

pub(crate) fn packer(compression: Compression) -> Packer {
    Packer::new(Wire::Ndjson { attributes: Selection::all() }, compression)
}

pub(crate) fn encode(criterion: &mut Criterion) {
    let (batches, texts) = encoded();
    let bytes = texts.iter().map(Vec::len).sum();
    let mut group = group(criterion, "encode", bytes);
    let mut out = Vec::new();
    group.bench_function("bare: memcpy", |bencher| {
        bencher.iter(|| {
            for text in &texts {
                out.clear();
                out.extend_from_slice(black_box(text));
                black_box(&out);
            }
        });
    });
    let mut packer = packer(Compression::None);
    group.bench_function("ringtail", |bencher| {
        bencher.iter(|| {
            for (batch, text) in batches.iter().zip(&texts) {
                out.clear();
                let packed = packer.pack(black_box(batch), &mut out);
                assert_eq!(packed.encoded_bytes, text.len() as u64);
            }
        });
    });
}

/// Each line, read by simd-json, has the next message of the corpus.
fn check(corpus: &Corpus, texts: &[Vec<u8>]) {
    let mut counter = Counter::default();
    for line in
        texts.iter().flat_map(|text| text.split(|byte| *byte == b'\n')).filter(|line| !line.is_empty())
    {
        let mut line = line.to_vec();
        let tape = simd_json::to_tape(&mut line).expect("valid JSON");
        // The object, then time, stream and message, each behind its key.
        let (Node::String("message"), Node::String(message)) = (tape.0[5], tape.0[6]) else {
            panic!("the third key is the message");
        };
        counter.see(message.as_bytes());
    }
    assert_eq!(counter.tally(), corpus.tally);
}
