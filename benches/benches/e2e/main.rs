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
    let one = ["pread", "bare-cri", "null:pread", "null:uring"];
    table("CRI, one file, warm: to nothing", "bare-cri", &one, inputs.cri());
    let docker = ["pread", "null:pread", "null:uring"];
    table("docker json-file, one file, warm: to nothing", "pread", &docker, inputs.docker());
    let many = ["bare-cri", "null:pread", "null:uring"];
    table("CRI, 5,000 files, warm: to nothing", "bare-cri", &many, inputs.many());
    let cold = ["cold:bare-cri", "cold:null:pread", "cold:null:uring"];
    table("CRI, 5,000 files, cold (by wall clock): to nothing", "cold:bare-cri", &cold, inputs.many());
    table("CRI, one file, cold (by wall clock): to nothing", "cold:bare-cri", &cold, inputs.cri());
    // What the sinks get, for the bare compressors.
    let encoded = inputs.encoded();
    let zstd = ["zstd-1", "lz4"];
    let bare = table("the encoded bytes through the compressor alone", "zstd-1", &zstd, encoded);
    for (compression, bare) in [("zstd", &bare[0]), ("lz4", &bare[1])] {
        for backend in ["pread", "uring"] {
            let name = format!("http-{compression}:{backend}");
            let rows = table(&format!("CRI, one file, warm: {name}"), &name, &[&name], inputs.cri());
            println!(
                "  {:.0}% of {compression} alone on the same encoded bytes, by CPU\n",
                100.0 * bare.cpu_s / rows[0].cpu_s
            );
        }
    }
    slow::compare();
}

/// Measures every one of `works` in turn, round by round, and prints their medians beside that of `base`.
fn table(title: &str, base: &str, works: &[&str], path: &str) -> Vec<Measured> {
    let rounds = number_from_env("RINGTAIL_BENCH_ROUNDS", 5);
    let mut all: Vec<Vec<Measured>> = works.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (work, measured) in works.iter().zip(&mut all) {
            measured.push(child(work, path));
        }
    }
    let medians: Vec<Measured> = all.into_iter().map(Measured::median).collect();
    let base = works.iter().position(|work| *work == base).expect("the base is measured");
    println!("{title}");
    println!(
        "  {:<18} {:>9} {:>9} {:>10} {:>9} {:>9}",
        "", "GB/s cpu", "GB/s wall", "CPU s/GB", "% cpu", "RSS MiB"
    );
    for (work, row) in works.iter().zip(&medians) {
        let ratio = match work.starts_with("cold:") {
            true => medians[base].wall_s / row.wall_s,
            false => medians[base].cpu_s / row.cpu_s,
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
    medians
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
