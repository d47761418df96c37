//! The stages, each fed with what the one before it gives.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use ringtail_encode::{Compression, Packer, Selection, Wire};
use ringtail_memory::{Budget, CarryPool, SLAB_BYTES, SlabPool};
use ringtail_parse::{Decoded, Decoder, Format, Input, Limits, Table};
use ringtail_record::{Attribute, Batch, Position, Record, Source};

use super::corpus::{self, Corpus};
use super::{Figure, throughput};

const LIMITS: Limits = Limits { max_line: 1 << 20, max_record: 4 << 20 };

/// All figures, in the order in which a line meets the stages.
pub(super) fn measure(time: Duration) -> Result<Vec<Figure>, String> {
    let (cri, docker) = (corpus::cri(), corpus::docker());
    let copy = copy(&cri, time)?;
    let lines = count_lines(&cri, time)?;
    let decode_cri = decode(&cri, Format::Cri, time)?;
    let decode_docker = decode(&docker, Format::DockerJson, time)?;
    let batches = batches(&cri)?;
    let mut figures = vec![
        figure("memcpy", "log", copy, None),
        figure("lines alone (memchr)", "log", lines, Some(("memcpy", copy))),
        figure("copy, split, CRI", "log", decode_cri, Some(("memcpy", copy))),
        figure("copy, split, docker json-file", "log", decode_docker, Some(("memcpy", copy))),
    ];
    let encode = pack(&batches, Compression::None, cri.lines, time)?;
    figures.push(figure("encode ndjson", "wire", encode, None));
    let encoded = encoded(&batches);
    let bare = [
        (Compression::Zstd, "zstd-1 alone", "encode ndjson, zstd", bare_zstd(&encoded, time)?),
        (Compression::Lz4, "lz4 alone", "encode ndjson, lz4", bare_lz4(&encoded, time)?),
    ];
    for (compression, alone, stage, bare) in bare {
        figures.push(figure(alone, "wire", bare, None));
        let both = pack(&batches, compression, cri.lines, time)?;
        figures.push(figure(stage, "wire", both, Some((alone, bare))));
    }
    let gzip = pack(&batches, Compression::Gzip, cri.lines, time)?;
    figures.push(figure("encode ndjson, gzip", "wire", gzip, None));
    Ok(figures)
}

fn figure(stage: &'static str, of: &'static str, speed: f64, beside: Option<(&'static str, f64)>) -> Figure {
    let beside = beside.map(|(other, bound)| (other, speed / bound));
    Figure { stage, of, bytes_per_second: speed, beside }
}

fn copy(log: &Corpus, time: Duration) -> Result<f64, String> {
    let mut target = vec![0; SLAB_BYTES];
    throughput(time, || {
        for chunk in log.bytes.chunks(SLAB_BYTES) {
            target[..chunk.len()].copy_from_slice(chunk);
            std::hint::black_box(&target);
        }
        Ok(log.bytes.len())
    })
}

fn count_lines(log: &Corpus, time: Duration) -> Result<f64, String> {
    throughput(time, || {
        let lines = memchr::memchr_iter(b'\n', &log.bytes).count();
        expect(lines, log.lines, "lines")?;
        Ok(log.bytes.len())
    })
}

/// As a shard does it: bytes come into a slab, and are decoded there.
fn decode(log: &Corpus, format: Format, time: Duration) -> Result<f64, String> {
    let budget = Budget::new(64 << 20);
    let slabs = SlabPool::new(&budget);
    let mut slab = slabs.take().ok_or("no memory")?;
    let mut table = Table::default();
    throughput(time, || {
        let mut decoder = Decoder::new(Input::Fixed(format), LIMITS, CarryPool::new(&budget));
        let (mut at, mut records) = (0, 0);
        while at < log.bytes.len() {
            let len = SLAB_BYTES.min(log.bytes.len() - at);
            slab[..len].copy_from_slice(&log.bytes[at..at + len]);
            table.clear();
            at += step(&mut decoder, &mut slab[..len], at, &mut table)?;
            records += table.records.len();
        }
        expect(records, log.lines, "records")?;
        Ok(log.bytes.len())
    })
}

fn step(decoder: &mut Decoder, chunk: &mut [u8], at: usize, table: &mut Table) -> Result<usize, String> {
    let position = Position { generation: 0, offset: at as u64 };
    let consumed = decoder.decode(chunk, position, 0, table).map_err(|_| "no memory")?;
    match consumed {
        0 => Err("a line that is longer than a slab".into()),
        consumed => expect(table.malformed_lines, 0, "malformed lines").map(|()| consumed),
    }
}

/// The log as sealed batches of a MiB.
fn batches(log: &Corpus) -> Result<Vec<Batch>, String> {
    let budget = Budget::new(8 * log.bytes.len());
    let slabs = SlabPool::new(&budget);
    let mut decoder = Decoder::new(Input::Fixed(Format::Cri), LIMITS, CarryPool::new(&budget));
    let (source, mut table, mut batches, mut at) = (source(), Table::default(), Vec::new(), 0);
    while at < log.bytes.len() {
        let mut slab = slabs.take().ok_or("no memory")?;
        let mut region = slab.split_to(SLAB_BYTES.min(log.bytes.len() - at));
        let len = region.len();
        region.copy_from_slice(&log.bytes[at..at + len]);
        table.clear();
        at += step(&mut decoder, &mut region, at, &mut table)?;
        let mut batch = Batch::default();
        batch.append(&region.freeze(), &source, table.records.iter().map(record));
        batches.push(batch);
    }
    Ok(batches)
}

fn record(decoded: &Decoded) -> Record {
    let Decoded { time_ns, off, len, stream, flags, .. } = *decoded;
    Record { time_ns, buffer: 0, off, len, source: 0, stream, flags }
}

fn source() -> Arc<Source> {
    let path = "/var/log/pods/shop_checkout-7c5d9f8b6d-x2x7k_0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9/app/0.log";
    let mut source = Source::from_path(Path::new(path));
    source.set(Attribute::text("container.id", &"0123456789abcdef".repeat(4)));
    Arc::new(source)
}

fn packer(compression: Compression) -> Packer {
    Packer::new(Wire::Ndjson { attributes: Selection::all() }, compression)
}

fn pack(batches: &[Batch], compression: Compression, lines: usize, time: Duration) -> Result<f64, String> {
    let (mut packer, mut out) = (packer(compression), Vec::new());
    throughput(time, || {
        let (mut bytes, mut records) = (0, 0);
        for batch in batches {
            out.clear();
            let packed = packer.pack(batch, &mut out);
            records += packed.records;
            bytes += packed.encoded_bytes;
        }
        expect(usize::try_from(records).unwrap_or(0), lines, "records")?;
        usize::try_from(bytes).map_err(|error| error.to_string())
    })
}

/// What the batches are on the wire, each by itself.
fn encoded(batches: &[Batch]) -> Vec<Vec<u8>> {
    let mut packer = packer(Compression::None);
    let encode = |batch: &Batch| {
        let mut out = Vec::new();
        packer.pack(batch, &mut out);
        out
    };
    batches.iter().map(encode).collect()
}

fn bare_zstd(encoded: &[Vec<u8>], time: Duration) -> Result<f64, String> {
    let mut compressor = zstd::bulk::Compressor::new(1).map_err(|error| error.to_string())?;
    bare(encoded, time, |bytes| compressor.compress(bytes).map_err(|error| error.to_string()))
}

fn bare_lz4(encoded: &[Vec<u8>], time: Duration) -> Result<f64, String> {
    bare(encoded, time, |bytes| {
        // As the encoder sets it.
        let info = FrameInfo::new().block_size(BlockSize::Max1MB).block_mode(BlockMode::Linked);
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(bytes.len()));
        encoder.write_all(bytes).map_err(|error| error.to_string())?;
        encoder.finish().map_err(|error| error.to_string())
    })
}

fn bare(
    encoded: &[Vec<u8>],
    time: Duration,
    mut compress: impl FnMut(&[u8]) -> Result<Vec<u8>, String>,
) -> Result<f64, String> {
    throughput(time, || {
        let mut bytes = 0;
        for batch in encoded {
            std::hint::black_box(compress(batch)?);
            bytes += batch.len();
        }
        Ok(bytes)
    })
}

fn expect<T: PartialEq + std::fmt::Display>(found: T, expected: T, what: &str) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{found} {what} where {expected} were written")),
    }
}
