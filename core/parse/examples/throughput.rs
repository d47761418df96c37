//! How fast lines become records, in memory and warm: `cargo run --release -p ringtail-parse --example throughput`.
//!
//! 64 MiB of lines of about 150 bytes, in chunks of 256 KiB, each copied to the same buffer first, as a read would do;
//! the copy alone is shown too. `bare` is what the decoder is held against: memchr over the lines, the fixed places of
//! the header checked, its time worked out, nothing kept but sums. Both must agree on counts and sums.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use memchr::{memchr, memrchr};
use ringtail_memory::{Budget, CarryPool};
use ringtail_parse::{Decoder, Format, Input, Limits, Table};
use ringtail_record::Position;

const CHUNK: usize = 256 << 10;
const TOTAL: usize = 64 << 20;
const ROUNDS: usize = 9;

/// Records, bytes of messages, and a sum over the times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums(usize, usize, i64);

fn main() {
    let cri = lines(|line, time, body| writeln!(line, "{time}Z stdout F {body}"));
    let copy = measure("copy alone", &cri, |_| ());
    let bare = measure("cri, bare loop", &cri, |chunk| _ = black_box(bare_cri(chunk)));
    let real = measure_decoder("cri", Format::Cri, &cri);
    println!(
        "cri / bare loop: {:.0}% with the copy, {:.0}% without",
        percent(bare, real),
        percent(bare - copy, real - copy)
    );
    assert_eq!(sums(&cri, bare_cri), sums(&cri, decoder(Format::Cri, table_sums)));

    let offset = lines(|line, time, body| writeln!(line, "{time}+00:00 stdout F {body}"));
    measure_decoder("cri with an offset", Format::Cri, &offset);
    let docker = lines(|line, time, body| {
        writeln!(line, r#"{{"log":"{body}\n","stream":"stdout","time":"{time}Z"}}"#)
    });
    measure_decoder("docker", Format::DockerJson, &docker);
    let nested = lines(|line, time, body| {
        let body = body.replace('=', r#"\":\""#).replace(' ', r#"\",\""#);
        writeln!(line, r#"{{"log":"{{\"{body}\"}}\n","stream":"stdout","time":"{time}Z"}}"#)
    });
    measure_decoder("docker, json in it", Format::DockerJson, &nested);
    let raw = lines(|line, _, body| writeln!(line, "2026 {body} some more of text"));
    measure_decoder("raw", Format::Raw, &raw);
}

fn lines(mut write: impl FnMut(&mut String, &str, &str) -> std::fmt::Result) -> Vec<u8> {
    let mut text = String::with_capacity(TOTAL + 4096);
    let mut n = 0;
    while text.len() < TOTAL {
        let time = format!(
            "2026-01-02T03:{:02}:{:02}.{:09}",
            n / 600_000 % 60,
            n / 10_000 % 60,
            n * 9973 % 999_999_999
        );
        let (id, user) = (n % 977, "x".repeat(n % 37));
        let body =
            format!("level=info request={n:08} path=/api/v1/items/{id} status=200 took={id}us user=u{user}");
        write(&mut text, &time, &body).expect("writing to a string");
        n += 1;
    }
    text.into_bytes()
}

/// Seconds that `work` takes for all chunks, each at its best of some rounds: a neighbour that takes the processor away
/// then spoils nothing. Printed as GB/s.
fn measure(name: &str, text: &[u8], mut work: impl FnMut(&mut [u8])) -> f64 {
    let mut best = vec![f64::INFINITY; text.len() / CHUNK * 2];
    for _ in 0..ROUNDS {
        let mut best = best.iter_mut();
        each_chunk(text, &mut |buffer: &mut [u8], chunk: &[u8]| {
            let start = Instant::now();
            buffer.copy_from_slice(chunk);
            work(black_box(buffer));
            let best = best.next().expect("chunks are longer than half of CHUNK");
            *best = best.min(start.elapsed().as_secs_f64());
        });
    }
    let best = best.iter().filter(|seconds| seconds.is_finite()).sum::<f64>();
    let lines = memchr::memchr_iter(b'\n', text).count();
    let (speed, ns) = (text.len() as f64 / best / 1e9, best * 1e9 / lines as f64);
    println!("{name:20} {speed:6.2} GB/s {ns:6.1} ns a line of {} bytes", text.len() / lines);
    best
}

fn measure_decoder(name: &str, format: Format, text: &[u8]) -> f64 {
    measure(name, text, decoder(format, |table| _ = black_box(table)))
}

fn sums(text: &[u8], mut work: impl FnMut(&mut [u8]) -> Sums) -> Sums {
    let mut all = Sums::default();
    each_chunk(text, &mut |buffer: &mut [u8], chunk: &[u8]| {
        buffer.copy_from_slice(chunk);
        let Sums(records, bytes, time) = work(buffer);
        all = Sums(all.0 + records, all.1 + bytes, all.2.wrapping_add(time));
    });
    all
}

/// Gives `work` each chunk, and a buffer of its length that is always the same.
fn each_chunk(text: &[u8], work: &mut impl FnMut(&mut [u8], &[u8])) {
    let mut buffer = vec![0; CHUNK];
    let mut rest = text;
    while let Some(newline) = memrchr(b'\n', &rest[..rest.len().min(CHUNK)]) {
        let (chunk, after) = rest.split_at(newline + 1);
        work(&mut buffer[..chunk.len()], chunk);
        rest = after;
    }
}

fn decoder<T>(format: Format, mut then: impl FnMut(&Table) -> T) -> impl FnMut(&mut [u8]) -> T {
    let limits = Limits { max_line: 1 << 20, max_record: 4 << 20 };
    let carries = CarryPool::new(&Budget::new(64 << 20));
    let (mut decoder, mut table) = (Decoder::new(Input::Fixed(format), limits, carries), Table::default());
    move |chunk| {
        table.clear();
        let consumed = decoder.decode(chunk, Position::default(), 0, &mut table).expect("carries");
        assert_eq!((consumed, table.malformed_lines), (chunk.len(), 0));
        then(&table)
    }
}

fn table_sums(table: &Table) -> Sums {
    table.records.iter().fold(Sums::default(), |Sums(records, bytes, time), record| {
        Sums(records + 1, bytes + record.len as usize, time.wrapping_add(record.time_ns))
    })
}

/// Nothing that is not needed: a header of 40 bytes, hour and minute remembered.
fn bare_cri(chunk: &mut [u8]) -> Sums {
    let (mut minute, mut minute_ns) = ([0; 17], 0);
    let mut sums = Sums::default();
    let mut rest: &[u8] = chunk;
    while let Some(len) = memchr(b'\n', rest) {
        let line = &rest[..len];
        rest = &rest[len + 1..];
        let Some(header) = line.first_chunk::<40>() else { continue };
        if header[..17] != minute {
            minute.copy_from_slice(&header[..17]);
            minute_ns = bare_minute_ns(&minute);
        }
        let fixed = header[19] == b'.' && header[29..31] == *b"Z " && header[37..40] == *b" F ";
        let stream = header[31..37] == *b"stdout" || header[31..37] == *b"stderr";
        let second = number(&header[17..19]);
        let nanos = number(&header[20..29]);
        if fixed && stream {
            let time_ns = minute_ns + second * 1_000_000_000 + nanos;
            sums = Sums(sums.0 + 1, sums.1 + len - 40, sums.2.wrapping_add(time_ns));
        }
    }
    sums
}

/// All lines here are of one day.
fn bare_minute_ns(minute: &[u8; 17]) -> i64 {
    const DAY_S: i64 = 1_767_312_000;
    assert_eq!(&minute[..11], b"2026-01-02T");
    (DAY_S + number(&minute[11..13]) * 3600 + number(&minute[14..16]) * 60) * 1_000_000_000
}

fn number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit & 15))
}

fn percent(whole: f64, part: f64) -> f64 {
    100.0 * whole / part
}
