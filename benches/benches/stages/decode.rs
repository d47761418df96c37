//! From a file's bytes to messages.

use std::hint::black_box;

use criterion::Criterion;
use criterion::measurement::WallTime;
use ringtail_benches::bare::{self, DockerTape};
use ringtail_benches::batches::LIMITS;
use ringtail_benches::corpus::{self, Corpus, Counter, Payloads};
use ringtail_benches::feed::feed;
use ringtail_memory::{Budget, CarryPool};
use ringtail_parse::{Decoder, Format, Input, Table};
use ringtail_record::Position;

use crate::group;

const CORPUS_BYTES: usize = 16 << 20;

/// One way to find the messages of a file.
trait Way {
    /// Calls `see` with each.
    fn run(&mut self, file: &[u8], see: impl FnMut(&[u8]));
}

pub(crate) fn split(criterion: &mut Criterion) {
    let corpus = corpus::raw(Payloads::Mixed, CORPUS_BYTES);
    let mut group = group(criterion, "split", corpus.file.len());
    measure(&mut group, "bare: memchr lines", &corpus, BareLines::default());
    measure(&mut group, "ringtail", &corpus, Stage::new(Format::Raw));
}

pub(crate) fn cri(criterion: &mut Criterion) {
    let corpus = corpus::cri(Payloads::Mixed, CORPUS_BYTES);
    let mut group = group(criterion, "cri", corpus.file.len());
    measure(&mut group, "bare: memchr lines + header parse", &corpus, BareCri::default());
    measure(&mut group, "ringtail", &corpus, Stage::new(Format::Cri));
}

pub(crate) fn docker_json(criterion: &mut Criterion) {
    for (name, payloads) in [("plain", Payloads::Plain), ("escapes", Payloads::Mixed)] {
        let corpus = corpus::docker(payloads, CORPUS_BYTES);
        let mut group = group(criterion, &format!("docker json, {name}"), corpus.file.len());
        measure(&mut group, "bare: simd-json tape", &corpus, BareDocker::default());
        measure(&mut group, "ringtail", &corpus, Stage::new(Format::DockerJson));
    }
}

pub(crate) fn partial_join(criterion: &mut Criterion) {
    let corpus = corpus::cri(Payloads::Long, CORPUS_BYTES);
    let mut group = group(criterion, "partial join", corpus.file.len());
    measure(&mut group, "bare: header parse + memcpy", &corpus, BareJoin::default());
    measure(&mut group, "ringtail", &corpus, Stage::new(Format::Cri));
}

fn measure(
    group: &mut criterion::BenchmarkGroup<'_, WallTime>,
    name: &str,
    corpus: &Corpus,
    mut way: impl Way,
) {
    // Twice: the second time meets what the first has left behind.
    for _ in 0..2 {
        let mut counter = Counter::default();
        way.run(&corpus.file, |message| counter.see(message));
        assert_eq!(counter.tally(), corpus.tally, "{name}");
    }
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let mut seen = (0, 0);
            way.run(black_box(&corpus.file), |message| seen = (seen.0 + 1, seen.1 + message.len() as u64));
            assert_eq!(seen, (corpus.tally.records, corpus.tally.bytes));
        });
    });
}

/// The stage itself.
struct Stage {
    decoder: Decoder,
    table: Table,
    buffer: Vec<u8>,
    generation: u32,
}

impl Stage {
    fn new(format: Format) -> Self {
        let carries = CarryPool::new(&Budget::new(128 << 20));
        let decoder = Decoder::new(Input::Fixed(format), LIMITS, carries);
        Stage { decoder, table: Table::default(), buffer: Vec::new(), generation: 0 }
    }
}

impl Way for Stage {
    fn run(&mut self, file: &[u8], mut see: impl FnMut(&[u8])) {
        let Stage { decoder, table, buffer, generation } = self;
        *generation += 1;
        feed(file, buffer, |chunk, offset| {
            table.clear();
            let at = Position { generation: *generation, offset: offset as u64 };
            let consumed = decoder.decode(chunk, at, 0, table).expect("carries enough");
            for record in &table.records {
                see(table.message(record, chunk));
            }
            assert_eq!(table.malformed_lines, 0);
            consumed
        });
    }
}

#[derive(Default)]
struct BareLines {
    buffer: Vec<u8>,
}

impl Way for BareLines {
    fn run(&mut self, file: &[u8], mut see: impl FnMut(&[u8])) {
        feed(file, &mut self.buffer, |chunk, _| bare::lines(chunk, &mut see));
    }
}

#[derive(Default)]
struct BareCri {
    buffer: Vec<u8>,
}

impl Way for BareCri {
    fn run(&mut self, file: &[u8], mut see: impl FnMut(&[u8])) {
        let mut nanos = 0_u64;
        feed(file, &mut self.buffer, |chunk, _| {
            bare::lines(chunk, |line| {
                let (of_minute, stderr, part, content) = bare::cri_header(line);
                nanos = nanos.wrapping_add(of_minute + u64::from(stderr) + u64::from(part));
                see(content);
            })
        });
        black_box(nanos);
    }
}

#[derive(Default)]
struct BareDocker {
    buffer: Vec<u8>,
    tape: DockerTape,
}

impl Way for BareDocker {
    fn run(&mut self, file: &[u8], mut see: impl FnMut(&[u8])) {
        let BareDocker { buffer, tape } = self;
        feed(file, buffer, |chunk, _| {
            let mut begin = 0;
            while let Some(len) = memchr::memchr(b'\n', &chunk[begin..]) {
                tape.log(&mut chunk[begin..begin + len], |log| see(&log.as_bytes()[..log.len() - 1]));
                begin += len + 1;
            }
            begin
        });
    }
}

/// Every part is copied once, as joining must.
#[derive(Default)]
struct BareJoin {
    buffer: Vec<u8>,
    joined: Vec<u8>,
}

impl Way for BareJoin {
    fn run(&mut self, file: &[u8], mut see: impl FnMut(&[u8])) {
        let BareJoin { buffer, joined } = self;
        feed(file, buffer, |chunk, _| {
            bare::lines(chunk, |line| {
                let (_, _, part, content) = bare::cri_header(line);
                joined.extend_from_slice(content);
                if !part {
                    see(joined);
                    joined.clear();
                }
            })
        });
    }
}
