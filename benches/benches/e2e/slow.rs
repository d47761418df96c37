//! Many files that hardly grow: what the agent costs a node on which little happens. The writer is another process.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringtail_encode::{Compression, Selection};
use ringtail_engine::{BatchLimits, Engine, EngineConfig, HoldDeleted, Mode, Pipeline, PipelineOutput};
use ringtail_parse::{Input, Limits};
use ringtail_read::Start;
use ringtail_ship::{OutputConfig, Shippers, SinkConfig};

use crate::measure::{SharedShippers, cpu_s, number_from_env};

/// How long is measured, after what is there has been read.
const SPAN: Duration = Duration::from_secs(10);

/// One line in CRI's format.
const LINE: &str = "2026-01-02T03:04:05.123456789Z stdout F GET /api/v1/items?page=2 200 1532 0.004 a message of usual length for a log line of a service\n";

/// Files, and lines a second in each.
const CASES: [(usize, usize); 3] = [(10_000, 0), (10, 1_000), (10_000, 1)];

pub(crate) fn compare() {
    println!("slow files, to an ndjson file, for {} s", SPAN.as_secs());
    println!("  {:<40} {:>8} {:>9} {:>9}", "", "% core", "RSS MiB", "lines");
    for backend in ["pread", "uring"] {
        for (files, per_second) in CASES {
            // A process of its own, as everywhere here.
            let args = ["slow", backend, &files.to_string(), &per_second.to_string()];
            let program = std::env::current_exe().expect("this program");
            assert!(Command::new(program).args(args).status().expect("can be started").success());
        }
    }
}

/// `slow BACKEND FILES PER_SECOND`: one case.
pub(crate) fn run(args: &[String]) {
    let [backend, files, per_second] = args else { panic!("slow BACKEND FILES PER_SECOND") };
    let (share, rss, lines) = measure(backend, files.parse().expect("n"), per_second.parse().expect("n"));
    let what = format!("{backend}: {files} files, {per_second} lines/s each");
    println!("  {what:<40} {:>7.2}% {rss:>9.0} {lines:>9}", 100.0 * share);
}

/// The share of a core, the resident MiB, and the lines delivered, while `files` grow by `per_second` lines each.
fn measure(backend: &str, files: usize, per_second: usize) -> (f64, f64, u64) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let logs = directory.path().join("logs");
    fs::create_dir(&logs).expect("a directory");
    for number in 0..files {
        fs::write(logs.join(format!("{number}.log")), LINE).expect("a file");
    }
    let (shippers, engine) = start(backend, directory.path(), &logs);
    let delivered = || shippers.stats()[0].delivered_records;
    wait(|| delivered() == files as u64, "the first lines");
    let mut writer = Writer::start(&logs, files, per_second);
    // The writer opens its files first.
    std::thread::sleep(Duration::from_secs(2));
    let (cpu, began, before) = (cpu_s(), Instant::now(), delivered());
    std::thread::sleep(SPAN);
    let share = (cpu_s() - cpu) / began.elapsed().as_secs_f64();
    let (lines, rss) = (delivered() - before, rss_mib());
    let written = writer.stop();
    wait(|| delivered() == files as u64 + written, "the last lines");
    engine.stop(Duration::from_secs(5));
    shippers.stop(Instant::now() + Duration::from_secs(5));
    (share, rss, lines)
}

fn start(backend: &str, directory: &std::path::Path, logs: &std::path::Path) -> (SharedShippers, Engine) {
    let output = OutputConfig {
        name: "bench".to_owned(),
        sink: SinkConfig::File { path: directory.join("out"), rotate: None },
        compression: Compression::Zstd,
        attributes: Selection::all(),
        concurrency: 4,
        payload_bytes: 48 << 20,
    };
    let shippers = Arc::new(Shippers::start(vec![output], 1, 1).expect("shippers"));
    let config = EngineConfig {
        data_dir: Some(directory.to_owned()),
        memory: 128 << 20,
        shards: 1,
        io: backend.parse().expect("a backend"),
        open_files: number_from_env("RINGTAIL_BENCH_OPEN", 15_000),
        hold_deleted: HoldDeleted::default(),
        mode: Mode::Follow,
    };
    let pipeline = Pipeline {
        name: "bench".to_owned(),
        paths: vec![format!("{}/*.log", logs.display())],
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
    };
    (shippers, Engine::start(config, vec![pipeline]).expect("an engine"))
}

/// The process that writes.
struct Writer(Child, std::path::PathBuf);

impl Writer {
    fn start(logs: &std::path::Path, files: usize, per_second: usize) -> Self {
        let program = std::env::current_exe().expect("this program");
        let told = logs.with_extension("written");
        let child = Command::new(program)
            .arg("write")
            .arg(logs)
            .args([files.to_string(), per_second.to_string()])
            .arg(&told)
            .spawn()
            .expect("the writer can be started");
        Writer(child, told)
    }

    /// Ends the writer; how many lines it wrote.
    fn stop(&mut self) -> u64 {
        fs::write(self.1.with_extension("stop"), "").expect("room");
        self.0.wait().expect("the writer ends");
        fs::read_to_string(&self.1).expect("the writer told").parse().expect("a number")
    }
}

/// `write DIR FILES PER_SECOND TOLD`: until TOLD.stop appears; then writes the number of lines to TOLD.
pub(crate) fn write(args: &[String]) {
    let [logs, files, per_second, told] = args else { panic!("write DIR FILES PER_SECOND TOLD") };
    let (files, per_second): (usize, usize) = (files.parse().expect("n"), per_second.parse().expect("n"));
    let told = std::path::Path::new(told);
    let open = |number| OpenOptions::new().append(true).open(format!("{logs}/{number}.log")).expect("a file");
    let mut open: Vec<File> = (0..if per_second == 0 { 0 } else { files }).map(open).collect();
    // In steps of 10 ms, so that writes are spread over the second.
    let (mut written, mut owed, began) = (0u64, 0.0, Instant::now());
    let mut done = 0.0;
    let mut next = 0;
    while !told.with_extension("stop").exists() {
        std::thread::sleep(Duration::from_millis(10));
        let now = began.elapsed().as_secs_f64();
        owed += (now - done) * (files * per_second) as f64;
        done = now;
        while owed >= 1.0 && !open.is_empty() {
            open[next].write_all(LINE.as_bytes()).expect("room");
            next = (next + 1) % files;
            owed -= 1.0;
            written += 1;
        }
    }
    fs::write(told, written.to_string()).expect("room");
}

fn wait(condition: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn rss_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.expect("VmRSS") / 1024.0
}
