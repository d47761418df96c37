//! What a record costs in allocations, over the whole way from a file to an output: nothing, once all has grown. A batch
//! costs a few, whatever it holds.

mod common;

use std::alloc::System;
use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::Setup;
use ringtail_engine::{BatchLimits, Engine, EngineConfig, Mode, PipelineOutput};
use ringtail_io::Choice;
use ringtail_memory::Credit;
use ringtail_record::{Outcome, Outlet, Sealed};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations for a batch: the list of its cursors, and what grows by and by.
const PER_BATCH: f64 = 3.0;

/// Batches until everything has grown.
const WARM: u64 = 20;

/// Answers at once and keeps nothing but counts.
struct Null {
    credit: Credit,
    queue: Credit,
    /// When everything had grown, and now.
    seen: Mutex<[Seen; 2]>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    batches: u64,
    records: u64,
    allocations: u64,
}

impl Seen {
    fn since(self, warm: Seen) -> Seen {
        Seen {
            batches: self.batches - warm.batches,
            records: self.records - warm.records,
            allocations: self.allocations - warm.allocations,
        }
    }
}

fn allocations() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.allocations + stats.reallocations) as u64
}

impl Null {
    fn new() -> Arc<Self> {
        Arc::new(Null { credit: Credit::new(4 << 20), queue: Credit::new(4 << 20), seen: Mutex::default() })
    }
}

impl Outlet for Null {
    fn lanes(&self) -> u32 {
        1
    }

    fn credit(&self) -> &Credit {
        &self.credit
    }

    fn queue_credit(&self, _lane: u32) -> &Credit {
        &self.queue
    }

    fn hand_over(&self, sealed: Sealed) {
        let Sealed { batch, credit, queued, receipt, .. } = sealed;
        let mut seen = self.seen.lock().expect("nobody panicked");
        let [warm, now] = &mut *seen;
        now.batches += 1;
        now.records += batch.len() as u64;
        now.allocations = allocations();
        if now.batches == WARM {
            *warm = *now;
        }
        drop((seen, batch, credit, queued));
        receipt.settle(Outcome::Delivered);
    }
}

/// Lines of `text`, many enough for some hundred batches.
fn collect(text: &str, lines: u64) -> Seen {
    let setup = Setup::new(Choice::Pread);
    fs::write(setup.path("0.log"), text).expect("a disk");
    let null = Null::new();
    let mut pipeline = setup.pipeline("test", &["*.log"], &[]);
    // Small batches, so that few lines make many.
    let batch = BatchLimits { max_bytes: 64 << 10, ..BatchLimits::default() };
    pipeline.outputs.push(PipelineOutput { name: "null".into(), outlet: null.clone(), batch });
    let config = EngineConfig { shards: 1, data_dir: None, ..setup.config(Mode::Once) };
    let engine = Engine::start(config, vec![pipeline]).expect("an engine");
    assert!(engine.wait_idle(Duration::from_secs(120)), "all was read");
    assert!(engine.stop(Duration::from_secs(10)).all_answered);
    let [warm, end] = *null.seen.lock().expect("nobody panicked");
    assert_eq!(end.records, lines);
    end.since(warm)
}

/// The counts are the whole process's: one test, so that nothing runs beside it.
#[test]
fn a_record_allocates_nothing_and_a_batch_a_few_times() {
    let lines = 100_000;
    let mut cri = String::new();
    let mut docker = String::new();
    for n in 0..lines {
        let stamp = format!("2026-01-02T03:{:02}:{:02}.{:09}Z", n / 60 % 60, n % 60, n);
        writeln!(cri, "{stamp} stdout F line {n} of a log that says little").expect("memory");
        writeln!(docker, r#"{{"log":"line {n} \"quoted\"\n","stream":"stderr","time":"{stamp}"}}"#)
            .expect("memory");
    }
    for (format, text) in [("CRI", &cri), ("docker json-file", &docker)] {
        let steady = collect(text, lines);
        let per_batch = steady.allocations as f64 / steady.batches as f64;
        println!(
            "{format}: {per_batch:.2} a batch; {} batches of {} records",
            steady.batches, steady.records
        );
        assert!(steady.batches > 100 && steady.records > 100 * steady.batches, "{format}: a steady state");
        assert!(per_batch <= PER_BATCH, "{format}: {per_batch} allocations a batch");
    }
}
