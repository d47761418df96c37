//! One measurement, in a process of its own.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringtail_benches::bare;
use ringtail_encode::{Compression, Selection};
use ringtail_engine::{BatchLimits, Engine, EngineConfig, HoldDeleted, Mode, Pipeline, PipelineOutput};
use ringtail_io::Choice;
use ringtail_parse::{Input, Limits};
use ringtail_read::Start;
use ringtail_ship::{OutputConfig, Shippers, SinkConfig};
use rustix::fs::{Advice, fadvise};
use rustix::time::{ClockId, clock_gettime};

use crate::server::Server;

/// What the bare loops read at a time.
const PIECE: usize = 256 << 10;

/// What an encoded payload holds, about: the bare compressors get pieces of this size.
const PAYLOAD: usize = 1 << 20;

/// What one measurement took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) bytes: f64,
    pub(crate) cpu_s: f64,
    pub(crate) wall_s: f64,
    pub(crate) peak_mib: f64,
}

impl Measured {
    pub(crate) fn parse(line: &str) -> Self {
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [bytes, cpu_s, wall_s, peak_mib] = numbers[..] else { panic!("not a measurement: {line:?}") };
        Measured { bytes, cpu_s, wall_s, peak_mib }
    }

    pub(crate) fn median(rounds: Vec<Measured>) -> Self {
        let middle = |figure: fn(&Measured) -> f64| {
            let mut sorted: Vec<f64> = rounds.iter().map(figure).collect();
            sorted.sort_by(f64::total_cmp);
            sorted[sorted.len() / 2]
        };
        Measured {
            bytes: middle(|row| row.bytes),
            cpu_s: middle(|row| row.cpu_s),
            wall_s: middle(|row| row.wall_s),
            peak_mib: middle(|row| row.peak_mib),
        }
    }
}

/// `measure WORK PATH`: does it, checks it, prints the four figures.
pub(crate) fn run(args: &[String]) {
    let [work, path] = args else { panic!("measure WORK PATH") };
    let (cold, work) = work.strip_prefix("cold:").map_or((false, &**work), |work| (true, work));
    let files = files(path);
    if cold {
        files.iter().for_each(|file| drop_from_cache(file));
    }
    let bytes: u64 = files.iter().map(|file| fs::metadata(file).expect("a file").len()).sum();
    let lines = || files.iter().map(|file| count_lines(file)).sum::<u64>();
    // Counting reads everything: before the clock starts where files are warm, after it where they are cold.
    let expected = if cold { 0 } else { lines() };
    let server = work.starts_with("http-").then(Server::start);
    let (began, cpu) = (Instant::now(), cpu_s());
    let found = match work.split_once(':') {
        Some((sink, backend)) => engine(sink, backend, path, server.as_ref()),
        None => by_hand(work, &files),
    };
    let (wall_s, cpu_s) = (began.elapsed().as_secs_f64(), cpu_s() - cpu);
    let expected = if cold { lines() } else { expected };
    if let Some(found) = found {
        assert_eq!(found, expected, "{work} delivered another number of records than was written");
    }
    println!("{bytes} {cpu_s} {wall_s} {}", peak_mib());
}

/// The bare loops. The number of lines seen, where lines are looked at.
fn by_hand(work: &str, files: &[PathBuf]) -> Option<u64> {
    let mut lines = 0;
    let mut sink = 0;
    let mut buffer = vec![0; PIECE + (64 << 10)];
    let mut out = Vec::with_capacity(2 * PAYLOAD);
    for file in files {
        let file = File::open(file).expect("a file");
        match work {
            "pread" => pieces(&file, &mut buffer, |_| PIECE),
            "bare-cri" => pieces(&file, &mut buffer, |piece| {
                bare::lines(piece, |line| {
                    let (ns, stderr, part, content) = bare::cri_header(line);
                    sink ^= ns ^ content.len() as u64 ^ u64::from(stderr) ^ u64::from(part);
                    lines += 1;
                })
            }),
            "zstd-1" | "lz4" => compress(work, &file, &mut out),
            other => panic!("no such work: {other}"),
        }
    }
    std::hint::black_box(sink);
    (work == "bare-cri").then_some(lines)
}

/// Reads a file in pieces, each with what the one before left over in front.
fn pieces(file: &File, buffer: &mut [u8], mut work: impl FnMut(&[u8]) -> usize) {
    let (mut offset, mut left) = (0, 0);
    loop {
        let n = file.read_at(&mut buffer[left..left + PIECE], offset).expect("readable");
        if n == 0 {
            return;
        }
        offset += n as u64;
        let have = left + n;
        let used = work(&buffer[..have]).min(have);
        buffer.copy_within(used..have, 0);
        left = have - used;
    }
}

fn compress(work: &str, file: &File, out: &mut Vec<u8>) {
    let mut piece = vec![0; PAYLOAD];
    let mut zstd = zstd::bulk::Compressor::new(1).expect("a compressor");
    let mut offset = 0;
    loop {
        let n = file.read_at(&mut piece, offset).expect("readable");
        if n == 0 {
            return;
        }
        offset += n as u64;
        out.clear();
        if work == "zstd-1" {
            out.resize(zstd::zstd_safe::compress_bound(n), 0);
            zstd.compress_to_buffer(&piece[..n], out.as_mut_slice()).expect("room");
        } else {
            out.resize(lz4_flex::block::get_maximum_output_size(n), 0);
            lz4_flex::block::compress_into(&piece[..n], out).expect("room");
        }
    }
}

/// The engine, to a sink. The number of records delivered.
fn engine(sink: &str, backend: &str, path: &str, server: Option<&Server>) -> Option<u64> {
    let (config, compression) = match sink {
        "null" => (SinkConfig::Null, Compression::None),
        "http-zstd" => (http(server), Compression::Zstd),
        "http-lz4" => (http(server), Compression::Lz4),
        other => panic!("no such sink: {other}"),
    };
    let data = tempfile::tempdir().expect("a temporary directory");
    let data_dir = server.map(|_| data.path().to_owned());
    let delivered = collect(path, backend, config, compression, data_dir);
    if let Some(server) = server {
        assert_eq!(server.count(), delivered, "the server got another number of records");
    }
    Some(delivered)
}

fn http(server: Option<&Server>) -> SinkConfig {
    let url = server.expect("an HTTP sink has a server").url();
    SinkConfig::Http { url, headers: Vec::new(), timeout: Duration::from_secs(30) }
}

/// Reads `path` to its end into one output; the number of records delivered.
fn collect(
    path: &str,
    backend: &str,
    sink: SinkConfig,
    compression: Compression,
    data_dir: Option<PathBuf>,
) -> u64 {
    let output = OutputConfig {
        name: "bench".to_owned(),
        sink,
        compression,
        attributes: Selection::all(),
        concurrency: 4,
        payload_bytes: 48 << 20,
    };
    let shippers = Shippers::start(vec![output], 1, 1).expect("shippers");
    let engine = Engine::start(
        EngineConfig {
            data_dir,
            memory: 128 << 20,
            shards: 1,
            io: backend.parse().unwrap_or(Choice::Auto),
            open_files: 8_000,
            hold_deleted: HoldDeleted::default(),
            mode: Mode::Once,
        },
        vec![Pipeline {
            name: "bench".to_owned(),
            paths: vec![path.to_owned()],
            exclude: Vec::new(),
            ignore_older: None,
            input: Input::Auto,
            limits: Limits { max_line: 1 << 20, max_record: 4 << 20 },
            flush_after: Duration::from_secs(5),
            start: Start::Beginning,
            outputs: vec![PipelineOutput {
                name: "bench".to_owned(),
                outlet: shippers.outlet("bench").expect("just started"),
                batch: BatchLimits::default(),
            }],
        }],
    )
    .expect("an engine");
    assert!(engine.wait_idle(Duration::from_secs(120)), "not done after two minutes");
    assert!(engine.stop(Duration::from_secs(10)).all_answered);
    let delivered = shippers.stats()[0].delivered_records;
    shippers.stop(Instant::now() + Duration::from_secs(5));
    delivered
}

/// Writes what an output would send for `path`, uncompressed.
pub(crate) fn encode_to(path: &str, to: &str) {
    let sink = SinkConfig::File { path: to.into(), rotate: None };
    collect(path, "auto", sink, Compression::None, None);
}

fn files(path: &str) -> Vec<PathBuf> {
    if Path::new(path).is_file() {
        return vec![path.into()];
    }
    fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
}

fn count_lines(path: &Path) -> u64 {
    let (mut lines, mut buffer) = (0, vec![0; PIECE]);
    pieces(&File::open(path).expect("a file"), &mut buffer, |piece| {
        lines += memchr::memchr_iter(b'\n', piece).count() as u64;
        piece.len()
    });
    lines
}

fn drop_from_cache(path: &Path) {
    let file = File::open(path).expect("a file");
    fadvise(file.as_fd(), 0, None, Advice::DontNeed).expect("advice is free");
}

/// CPU seconds of this process so far.
pub(crate) fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The most memory this process ever had resident.
pub(crate) fn peak_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.expect("VmHWM") / 1024.0
}

pub(crate) fn number_from_env(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Kept alive by whoever measures over time.
pub(crate) type SharedShippers = Arc<Shippers>;
