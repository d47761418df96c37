//! Prints, in one run, how fast batches are encoded, how fast bare compressors are on the same encoded bytes, and how
//! fast the packer does both. Bytes are those of the wire format before compression.
//!
//! `cargo run --release -p ringtail-encode --example throughput`

use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use ringtail_encode::{Compression, Packer, Selection, Wire};
use ringtail_memory::{Budget, CarryPool, Frozen};
use ringtail_record::{Attribute, Batch, Flags, Record, Source, Stream};

/// Bytes of messages in a batch: with the attributes, about the 1 MiB that is a batch's default.
const BATCH_BYTES: usize = 400 << 10;
/// How long each thing is measured.
const MEASURED: Duration = Duration::from_millis(1500);
/// How much is encoded between two looks at the clock: the compressors take turns, so that all meet the same weather.
const ROUNDS: usize = 8;

/// Something measured, given an empty buffer to write to.
type Work<'a> = &'a mut dyn FnMut(&mut Vec<u8>);

fn main() {
    println!(
        "{:<22} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "GB/s of encoded bytes", "encode", "", "bare", "packer", "ratio"
    );
    for (name, batch) in
        [("text, 150 B", batch(plain)), ("JSON, 210 B", batch(json)), ("UTF-8, 150 B", batch(greek))]
    {
        report(name, &batch);
    }
}

fn report(name: &str, batch: &Batch) {
    let mut plain = Vec::new();
    let encoded = packer(Compression::None).pack(batch, &mut plain);
    assert_eq!(encoded.encoded_bytes, plain.len() as u64);
    let mut none = packer(Compression::None);
    let [encode] = measure(plain.len(), [&mut |out| _ = none.pack(batch, out)]);
    let mut zstd = packer(Compression::Zstd);
    let mut bare_zstd = zstd::bulk::Compressor::new(1).expect("zstd");
    let mut shot = vec![0; zstd::zstd_safe::compress_bound(plain.len())];
    check(batch, &plain, Compression::Zstd);
    let zstd_rates = measure(
        plain.len(),
        [
            &mut |_| _ = black_box(bare_zstd.compress_to_buffer(&plain, &mut shot[..]).expect("room")),
            &mut |out| _ = zstd.pack(batch, out),
        ],
    );
    let mut lz4 = packer(Compression::Lz4);
    check(batch, &plain, Compression::Lz4);
    let lz4_rates = measure(
        plain.len(),
        [
            &mut |out| {
                let mut encoder = FrameEncoder::new(out);
                encoder.write_all(&plain).expect("memory");
                encoder.finish().expect("memory");
            },
            &mut |out| _ = lz4.pack(batch, out),
        ],
    );
    for (compression, [bare, packer]) in [(Compression::Zstd, zstd_rates), (Compression::Lz4, lz4_rates)] {
        let ratio = packer / bare * 100.0;
        println!("{name:<22} {encode:>8.2} {compression:>8} {bare:>8.3} {packer:>8.3} {ratio:>7.1}%");
    }
}

fn packer(compression: Compression) -> Packer {
    Packer::new(Wire::Ndjson { attributes: Selection::all() }, compression)
}

/// What is measured must be right: decoded, the payload is the encoded text.
fn check(batch: &Batch, plain: &[u8], compression: Compression) {
    let mut payload = Vec::new();
    packer(compression).pack(batch, &mut payload);
    let mut decoded = Vec::new();
    match compression {
        Compression::Zstd => decoded = zstd::stream::decode_all(&payload[..]).expect("a frame"),
        _ => _ = FrameDecoder::new(&payload[..]).read_to_end(&mut decoded).expect("a frame"),
    }
    assert!(decoded == plain);
}

/// GB/s of each of `works`, which take turns; each is given the same emptied buffer.
fn measure<const N: usize>(bytes: usize, mut works: [Work<'_>; N]) -> [f64; N] {
    let mut out = Vec::new();
    let mut best = [f64::MAX; N];
    let begun = Instant::now();
    while begun.elapsed() < MEASURED {
        for (work, best) in works.iter_mut().zip(&mut best) {
            let turn = Instant::now();
            for _ in 0..ROUNDS {
                out.clear();
                work(black_box(&mut out));
                black_box(&out);
            }
            *best = best.min(turn.elapsed().as_secs_f64());
        }
    }
    best.map(|seconds| (bytes * ROUNDS) as f64 / seconds / 1e9)
}

const WORDS: [&str; 24] = [
    "request",
    "handled",
    "upstream",
    "cache",
    "miss",
    "retry",
    "socket",
    "closed",
    "order",
    "shipped",
    "user",
    "session",
    "expired",
    "for",
    "with",
    "timeout",
    "after",
    "bytes",
    "from",
    "to",
    "queue",
    "depth",
    "connection",
    "refused",
];

fn word(random: &mut fastrand::Rng) -> &'static str {
    WORDS[random.usize(..WORDS.len())]
}

fn plain(random: &mut fastrand::Rng) -> String {
    let mut text = format!("INFO [worker-{}] id={:012x}", random.u32(..16), random.u64(..1 << 48));
    while text.len() < 150 {
        match random.u32(..4) {
            0 => text += &format!(" {}", random.u32(..100_000)),
            _ => text += &format!(" {}", word(random)),
        }
    }
    text
}

fn json(random: &mut fastrand::Rng) -> String {
    format!(
        concat!(
            r#"{{"level":"info","service":"{}-{}","request_id":"{:016x}","method":"GET","path":"/api/v1/{}/{}","#,
            r#""status":200,"duration_ms":{},"remote":"10.{}.{}.{}","message":"{} {} {} {}"}}"#
        ),
        word(random),
        word(random),
        random.u64(..),
        word(random),
        random.u32(..100_000),
        random.u32(..3000),
        random.u8(..),
        random.u8(..),
        random.u8(..),
        word(random),
        word(random),
        word(random),
        word(random),
    )
}

fn greek(random: &mut fastrand::Rng) -> String {
    plain(random).replace("order", "παραγγελία").replace("user", "χρήστης").replace("cache", "μνήμη")
}

fn batch(message: fn(&mut fastrand::Rng) -> String) -> Batch {
    let mut random = fastrand::Rng::with_seed(7);
    let mut time_ns = 1_767_323_045_123_456_789;
    let carries = CarryPool::new(&Budget::new(256 << 20));
    let mut carry = carries.take(2 * BATCH_BYTES).expect("within budget");
    let mut records = Vec::new();
    while carry.len() < BATCH_BYTES {
        let body = message(&mut random);
        time_ns += random.i64(0..2_000_000);
        records.push(Record {
            time_ns,
            buffer: 0,
            off: u32::try_from(carry.len()).expect("short"),
            len: u32::try_from(body.len()).expect("short"),
            source: 0,
            stream: Stream::Stdout,
            flags: Flags::NONE,
        });
        carry.push(body.as_bytes()).expect("within budget");
    }
    let path = "/var/log/pods/shop_checkout-7c5d9f8b6d-x2x7k_0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9/app/0.log";
    let mut source = Source::from_path(Path::new(path));
    source.set(Attribute::text("container.id", &"0123456789abcdef".repeat(4)));
    let mut batch = Batch::default();
    batch.append(&Frozen::from(carry), &Arc::new(source), records);
    batch
}
