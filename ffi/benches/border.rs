//! What the border costs: records through `ringtail_collector_next` from C beside the same batches walked in Rust, and the parse
//! entry beside the decoder. Every round checks what it saw.
//!
//!     cargo bench -p ringtail-ffi
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ringtail::*;
use ringtail_config::Origin;
use ringtail_engine::{BatchLimits, Engine, EngineConfig, HoldDeleted, Mode, PipelineOutput};
use ringtail_io::Choice;
use ringtail_memory::{Budget, CarryPool, Credit};
use ringtail_parse::{Decoder, Format, Input, Limits, Table};
use ringtail_record::{Outcome, Outlet, Position, Sealed};

const RECORDS: u64 = 1_000_000;
const ROUNDS: usize = 5;

fn line(number: u64, out: &mut String) {
    use std::fmt::Write;
    let message =
        "GET /api/v1/orders/00000000 HTTP/1.1 200 1532 \"-\" \"Mozilla/5.0 (X11; Linux x86_64) Gecko\"";
    let _ = writeln!(out, "2026-01-02T03:04:05.{:09}Z stdout F {message} {number}", number % 1_000_000_000);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The core alone: what `ringtail_collector_next` takes its batches from.
struct Queue {
    credit: Credit,
    waiting: Mutex<VecDeque<Sealed>>,
    changed: Condvar,
}

impl Outlet for Queue {
    fn lanes(&self) -> u32 {
        1
    }
    fn credit(&self) -> &Credit {
        &self.credit
    }
    fn queue_credit(&self, _lane: u32) -> &Credit {
        &self.credit
    }
    fn hand_over(&self, sealed: Sealed) {
        self.waiting.lock().expect("no panic").push_back(sealed);
        self.changed.notify_all();
    }
}

/// The median of ns a record over the batches, and the sum of what was looked at.
fn core_alone(log: &Path) -> (f64, u64) {
    let credit = Credit::new(48 << 20);
    let queue = Arc::new(Queue { credit, waiting: Mutex::default(), changed: Condvar::new() });
    let config = EngineConfig {
        data_dir: None,
        memory: 64 << 20,
        shards: 1,
        io: Choice::Auto,
        open_files: 100,
        hold_deleted: HoldDeleted::default(),
        mode: Mode::Follow,
    };
    let origin = Origin { paths: vec![log.to_str().expect("UTF-8").to_owned()], ..Origin::default() };
    let batch = BatchLimits { max_delay: Duration::from_millis(100), ..BatchLimits::default() };
    let output = PipelineOutput { name: "host".into(), outlet: queue.clone(), batch };
    let engine = Engine::start(config, vec![origin.pipeline("default", vec![output])]).expect("it starts");
    let (mut costs, mut seen, mut sum) = (Vec::new(), 0, 0);
    while seen < RECORDS {
        let mut waiting = queue.waiting.lock().expect("no panic");
        while waiting.is_empty() {
            waiting = queue.changed.wait(waiting).expect("no panic");
        }
        drop(waiting);
        let begin = Instant::now();
        let sealed = queue.waiting.lock().expect("no panic").pop_front().expect("one waits");
        let Sealed { batch, receipt, credit, queued, .. } = sealed;
        for record in batch.iter() {
            sum += record.body.len() as u64 + u64::from(record.body[0]);
        }
        let count = batch.len();
        drop((batch, queued));
        costs.push(begin.elapsed().as_nanos() as f64 / count as f64);
        drop(credit);
        receipt.settle(Outcome::Delivered);
        seen += count as u64;
    }
    drop(engine);
    (median(costs), sum)
}

fn build(dir: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libraries = env::current_exe().expect("this bench").parent().expect("deps").to_path_buf();
    let program = dir.join("fetch");
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-O2", "-I"]).arg(root.join("../include")).arg(root.join("benches/fetch.c"));
    cc.arg(libraries.join("libringtail.so")).arg("-o").arg(&program);
    assert!(cc.status().expect("a C compiler").success());
    let soname = dir.join("libringtail.so.1");
    std::os::unix::fs::symlink(libraries.join("libringtail.so"), soname).expect("a link");
    program
}

fn from_c(program: &Path, log: &Path) -> (f64, u64) {
    let mut fetch = Command::new(program);
    fetch.env("LD_LIBRARY_PATH", program.parent().expect("a directory"));
    let out = fetch.arg(log).arg(RECORDS.to_string()).output().expect("it runs");
    let text = String::from_utf8(out.stdout).expect("figures");
    let figures: Vec<&str> = text.split_whitespace().collect();
    let [cost, seen, sum] = figures[..] else { panic!("{text:?}") };
    assert_eq!(seen.parse(), Ok(RECORDS));
    (cost.parse().expect("ns"), sum.parse().expect("a sum"))
}

fn fetch(dir: &Path) {
    let log = dir.join("a.log");
    let mut text = String::new();
    (0..RECORDS).for_each(|number| line(number, &mut text));
    fs::write(&log, text).expect("a log");
    let program = build(dir);
    let (mut core, mut c) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (core_cost, core_sum) = core_alone(&log);
        let (c_cost, c_sum) = from_c(&program, &log);
        assert_eq!(core_sum, c_sum, "the same records");
        core.push(core_cost);
        c.push(c_cost);
    }
    let (core, c) = (median(core), median(c));
    println!("a record walked in the core      {core:6.2} ns");
    println!("a record through next, from C    {c:6.2} ns, {:+.2} ns (at most +2)", c - core);
}

type ParseEntry = unsafe extern "C" fn(
    *mut ringtail_parser_t,
    *mut u8,
    usize,
    i64,
    *mut ringtail_record_t,
    usize,
    *mut ringtail_parsed_t,
) -> ringtail_status_t;

fn parse() {
    let mut text = String::new();
    (0..2000).for_each(|number| line(number, &mut text));
    let (mut rust, mut abi) = (Vec::new(), Vec::new());
    let limits = Limits { max_line: 1 << 20, max_record: 4 << 20 };
    let mut decoder = Decoder::new(Input::Fixed(Format::Cri), limits, CarryPool::new(&Budget::new(64 << 20)));
    let mut table = Table::default();
    let mut parser = ptr::null_mut();
    let options = ringtail_parser_options_t {
        struct_size: u32::try_from(size_of::<ringtail_parser_options_t>()).expect("small"),
        input: RINGTAIL_INPUT_CRI,
        max_line: 0,
        max_record: 0,
    };
    // SAFETY: both are what the function wants.
    assert_eq!(unsafe { ringtail_parser_new(&options, &mut parser) }, RINGTAIL_OK);
    // SAFETY: all zeros are a legal structure of integers and pointers.
    let (mut records, mut parsed): (Vec<ringtail_record_t>, ringtail_parsed_t) =
        unsafe { ((0..4096).map(|_| std::mem::zeroed()).collect(), std::mem::zeroed()) };
    parsed.struct_size = u32::try_from(size_of::<ringtail_parsed_t>()).expect("small");
    // Behind a pointer, as a program in C has it: it cannot become a part of this loop.
    let entry: ParseEntry = black_box(ringtail_parser_parse);
    let mut chunk = text.clone().into_bytes();
    let mut offset = 0;
    for _ in 0..2000 {
        let begin = Instant::now();
        table.clear();
        let at = Position { generation: 0, offset };
        let consumed = decoder.decode(&mut chunk, at, 0, &mut table).expect("nothing is carried");
        rust.push(begin.elapsed().as_nanos() as f64);
        assert_eq!((consumed, table.records.len()), (text.len(), 2000));
        offset += consumed as u64;
        let begin = Instant::now();
        // SAFETY: buffer, records and result are this function's own.
        let status = unsafe {
            entry(
                parser,
                chunk.as_mut_ptr(),
                chunk.len(),
                0,
                records.as_mut_ptr(),
                records.len(),
                &mut parsed,
            )
        };
        abi.push(begin.elapsed().as_nanos() as f64);
        assert_eq!((status, parsed.record_count, parsed.consumed), (RINGTAIL_OK, 2000, text.len()));
    }
    ringtail_parser_free(parser);
    let (rust, abi) = (median(rust), median(abi));
    println!("the decoder, in Rust             {:6.2} ns a line", rust / 2000.0);
    println!(
        "ringtail_parser_parse            {:6.2} ns a line, {:+.1}% (at most +10)",
        abi / 2000.0,
        100.0 * (abi / rust - 1.0)
    );
}

fn main() {
    // `cargo test --benches` runs it too: once is enough to see that it works.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    parse();
    fetch(dir.path());
}
