//! A shard that hands over batches and remembers the answers, and a backend that does as it is told.
#![allow(dead_code, unreachable_pub, reason = "every test file uses its own part")]

pub mod backend;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ringtail_encode::{Compression, Selection};
use ringtail_memory::{Budget, Region, SlabPool};
use ringtail_record::{
    Acks, Batch, BatchId, Flags, Outcome, Outlet, Receipt, Record, Sealed, Source, Stream,
};
use ringtail_ship::{OutputConfig, Secret, SinkConfig};

/// Longer than anything here takes; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Answers in the order in which they came.
#[derive(Default)]
pub struct Answers {
    came: Mutex<Vec<(BatchId, Outcome)>>,
    more: Condvar,
}

impl Acks for Answers {
    fn settled(&self, id: BatchId, outcome: Outcome) {
        self.came.lock().expect("answers").push((id, outcome));
        self.more.notify_all();
    }
}

impl Answers {
    pub fn so_far(&self) -> Vec<(BatchId, Outcome)> {
        self.came.lock().expect("answers").clone()
    }

    /// Waits for `n` answers.
    pub fn wait(&self, n: usize) -> Vec<(BatchId, Outcome)> {
        let came = self.came.lock().expect("answers");
        let (came, late) =
            self.more.wait_timeout_while(came, PATIENCE, |came| came.len() < n).expect("answers");
        assert!(!late.timed_out(), "{n} answers expected, came: {came:?}");
        came.clone()
    }
}

/// Seals batches.
pub struct Shard {
    pub answers: Arc<Answers>,
    pub slabs: SlabPool,
    source: Arc<Source>,
}

impl Shard {
    pub fn new() -> Self {
        let slabs = SlabPool::new(&Budget::new(64 << 20));
        Shard { answers: Arc::default(), slabs, source: Arc::new(Source::from_path(Path::new("/t.log"))) }
    }

    /// Hands `messages` over as one batch, once there is credit and a slab.
    pub fn ship(&self, outlet: &dyn Outlet, lane: u32, id: BatchId, messages: &[&str]) {
        let start = Instant::now();
        while !self.try_ship(outlet, lane, id, messages) {
            assert!(start.elapsed() < PATIENCE, "no credit for batch {id}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The same, if there is credit and a slab.
    pub fn try_ship(&self, outlet: &dyn Outlet, lane: u32, id: BatchId, messages: &[&str]) -> bool {
        let Some(slab) = self.slabs.take() else { return false };
        let bytes = messages.iter().map(|message| message.len() + 200).sum();
        let Some(queued) = outlet.queue_credit(lane).take(bytes) else { return false };
        let Some(credit) = outlet.credit().take(bytes) else { return false };
        let receipt = Receipt::new(id, self.answers.clone());
        outlet.hand_over(Sealed { batch: self.batch(slab, messages), lane, credit, queued, receipt });
        true
    }

    fn batch(&self, mut slab: Region, messages: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for message in messages {
            let mut region = slab.split_to(message.len());
            region.copy_from_slice(message.as_bytes());
            let record = Record {
                time_ns: 0,
                buffer: 0,
                off: 0,
                len: u32::try_from(message.len()).expect("short"),
                source: 0,
                stream: Stream::Stdout,
                flags: Flags::NONE,
            };
            batch.append(&region.freeze(), &self.source, [record]);
            // Its line has a newline too.
            batch.count_input(message.len() as u64 + 1);
        }
        batch
    }
}

pub fn output(name: &str, sink: SinkConfig) -> OutputConfig {
    OutputConfig {
        name: name.to_owned(),
        sink,
        compression: Compression::None,
        attributes: Selection::all(),
        concurrency: 1,
        payload_bytes: 4 << 20,
    }
}

pub fn http(name: &str, url: &str) -> OutputConfig {
    let headers = vec![("authorization".to_owned(), Secret::new("Bearer hunter2"))];
    output(name, SinkConfig::Http { url: url.to_owned(), headers, timeout: PATIENCE })
}

/// The messages of an ndjson text.
pub fn messages(ndjson: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(ndjson).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'), "torn: {text}");
    let message = |line: &str| {
        let (_, rest) = line.split_once("\"message\":\"").unwrap_or_else(|| panic!("no message: {line}"));
        rest.split_once('"').expect("closing quote").0.to_owned()
    };
    text.lines().map(message).collect()
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// `n` answers, all delivered.
pub fn all_delivered(answers: &[(BatchId, Outcome)]) -> bool {
    answers.iter().all(|(_, outcome)| *outcome == Outcome::Delivered)
}

/// From now on.
pub fn within(time: Duration) -> Instant {
    Instant::now() + time
}
