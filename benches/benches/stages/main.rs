//! A criterion group per stage, each beside the bare primitive that it is built on, in bytes per second.
//!
//! Decoding groups count the bytes of the log file, and all their rows, the bare ones too, copy it in chunks of 256 KiB
//! first, as a read does. Encoding and compressing groups count the bytes of the wire format.

mod compress;
mod decode;
mod encode;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

/// A group that takes a second or two a row.
fn group<'a>(criterion: &'a mut Criterion, name: &str, bytes: usize) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .throughput(Throughput::BytesDecimal(bytes as u64))
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    group
}

criterion_group!(
    stages,
    decode::split,
    decode::cri,
    decode::docker_json,
    decode::partial_join,
    encode::encode,
    compress::compress
);
criterion_main!(stages);
