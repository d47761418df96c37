//! The whole, side by side in one run: bare loops, and the engine on both I/O backends.
//!
//! Each measurement is a process of its own, so that CPU seconds and peak memory are its own, and checks what it
//! delivered against what was written. Rounds alternate; the table gives medians. CPU is that of the whole process;
//! the HTTP server and the writers of the slow files are other processes.
//!
//! Sizes: `RINGTAIL_BENCH_MB` (256 by default) per corpus, `RINGTAIL_BENCH_ROUNDS` (5).

mod inputs;
mod measure;
mod server;
mod slow;

use std::process::{Command, Stdio};

use inputs::Inputs;
use measure::{Measured, number_from_env};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("measure") => measure::run(&args[1..]),
        Some("serve") => server::serve(),
        Some("write") => slow::write(&args[1..]),
        Some("slow") => slow::run(&args[1..]),
        // `cargo bench` passes `--bench`; a filter of criterion's groups is not for this bench.
        _ => compare(),
    }
}

fn compare() {
    let inputs = Inputs::make(number_from_env("RINGTAIL_BENCH_MB", 256) << 20);
    machine();
    let all_of = |works: &[&'static str], path: &'static str| -> Vec<Work> {
        works.iter().map(|work| (*work, path)).collect()
    };
    let path = |path: &str| -> &'static str { path.to_owned().leak() };
    let (cri, docker, many, encoded) =
        (path(inputs.cri()), path(inputs.docker()), path(inputs.many()), path(inputs.encoded()));
    let nothing = ["bare-cri", "pread", "null:pread", "null:uring"];
    table("CRI, one file, warm: to nothing", &all_of(&nothing, cri));
    let nothing = ["pread", "null:pread", "null:uring"];
    table("docker json-file, one file, warm: to nothing", &all_of(&nothing, docker));
    let nothing = ["bare-cri", "null:pread", "null:uring"];
    table("CRI, 5,000 files, warm: to nothing", &all_of(&nothing, many));
    let cold = ["cold:bare-cri", "cold:null:pread", "cold:null:uring"];
    table("CRI, 5,000 files, cold (by wall clock): to nothing", &all_of(&cold, many));
    table("CRI, one file, cold (by wall clock): to nothing", &all_of(&cold, cri));
    // The bare compressors get what the sinks get; the figures per GB are of their own input.
    let zstd = [("zstd-1", encoded), ("http-zstd:pread", cri), ("http-zstd:uring", cri)];
    table(
        "CRI, one file, warm: ndjson, zstd-1, HTTP, checkpoint, beside zstd-1 alone on the encoded bytes",
        &zstd,
    );
    let lz4 = [("lz4", encoded), ("http-lz4:pread", cri), ("http-lz4:uring", cri)];
    table("CRI, one file, warm: ndjson, lz4, HTTP, checkpoint, beside lz4 alone on the encoded bytes", &lz4);
    slow::compare();
}

/// What is measured, and on which file or directory.
type Work = (&'static str, &'static str);

/// Measures all `works` in turn, round by round, and prints their medians; `% bare` is how much of the first one's speed
/// each reaches.
fn table(title: &str, works: &[Work]) {
    let rounds = number_from_env("RINGTAIL_BENCH_ROUNDS", 5);
    let mut all: Vec<Vec<Measured>> = works.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for ((work, path), measured) in works.iter().zip(&mut all) {
            measured.push(child(work, path));
        }
    }
    let medians: Vec<Measured> = all.into_iter().map(Measured::median).collect();
    let bare = medians[0];
    println!("{title}");
    println!(
        "  {:<18} {:>9} {:>9} {:>10} {:>9} {:>9}",
        "", "GB/s cpu", "GB/s wall", "CPU s/GB", "% bare", "RSS MiB"
    );
    for ((work, _), row) in works.iter().zip(&medians) {
        let ratio = match work.starts_with("cold:") {
            true => bare.wall_s / row.wall_s,
            false => bare.cpu_s / row.cpu_s,
        };
        println!(
            "  {:<18} {:>9.2} {:>9.2} {:>10.3} {:>8.0}% {:>9.0}",
            work,
            row.bytes / row.cpu_s / 1e9,
            row.bytes / row.wall_s / 1e9,
            row.cpu_s / row.bytes * 1e9,
            100.0 * ratio,
            row.peak_mib
        );
    }
    println!();
}

fn child(work: &str, path: &str) -> Measured {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args(["measure", work, path])
        .stderr(Stdio::inherit())
        .output()
        .expect("a measurement can be started");
    assert!(output.status.success(), "{work} failed its own check");
    Measured::parse(&String::from_utf8_lossy(&output.stdout))
}

fn machine() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    println!("{model}, {cores} cores, Linux {}, ringtail {}\n", kernel.trim(), env!("CARGO_PKG_VERSION"));
}
