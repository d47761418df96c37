//! From batches to compressed payloads, beside the compressors alone on the same wire format.

use std::hint::black_box;
use std::io::{Read, Write};

use criterion::Criterion;
use criterion::measurement::WallTime;
use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use ringtail_encode::Compression;
use ringtail_record::Batch;

use crate::encode::{encoded, packer};
use crate::group;

/// zstd's level, as the packer's.
const ZSTD_LEVEL: i32 = 1;

pub(crate) fn compress(criterion: &mut Criterion) {
    let (batches, texts) = encoded();
    let bytes = texts.iter().map(Vec::len).sum();
    let mut group = group(criterion, "compress", bytes);
    let mut zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).expect("memory");
    let mut payload = Vec::with_capacity(2 * bytes);
    group.bench_function("bare: zstd-1", |bencher| {
        bencher.iter(|| {
            for text in &texts {
                payload.clear();
                zstd.compress_to_buffer(black_box(text), &mut payload).expect("room");
            }
        });
    });
    stage(&mut group, "ringtail: encode + zstd", Compression::Zstd, &batches, &texts);
    group.bench_function("bare: lz4", |bencher| {
        bencher.iter(|| {
            for text in &texts {
                payload.clear();
                let mut lz4 = FrameEncoder::new(&mut payload);
                lz4.write_all(black_box(text)).and_then(|()| Ok(lz4.finish()?.len())).expect("memory");
            }
        });
    });
    stage(&mut group, "ringtail: encode + lz4", Compression::Lz4, &batches, &texts);
}

fn stage(
    group: &mut criterion::BenchmarkGroup<'_, WallTime>,
    name: &str,
    compression: Compression,
    batches: &[Batch],
    texts: &[Vec<u8>],
) {
    let (mut packer, mut payload) = (packer(compression), Vec::new());
    let mut payload_bytes = 0;
    for (batch, text) in batches.iter().zip(texts) {
        payload.clear();
        packer.pack(batch, &mut payload);
        assert!(decoded(compression, &payload) == *text, "{name}");
        payload_bytes += payload.len();
    }
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let mut packed_bytes = 0;
            for batch in batches {
                payload.clear();
                packer.pack(black_box(batch), &mut payload);
                packed_bytes += payload.len();
            }
            assert_eq!(packed_bytes, payload_bytes);
        });
    });
}

fn decoded(compression: Compression, payload: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let read = match compression {
        Compression::Lz4 => FrameDecoder::new(payload).read_to_end(&mut text),
        _ => zstd::stream::read::Decoder::new(payload).and_then(|mut decoder| decoder.read_to_end(&mut text)),
    };
    read.expect("a whole frame");
    text
}
