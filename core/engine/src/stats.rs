//! What an engine counts. Written by shards with relaxed atomics, read by anyone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::maps::HashMap;

/// Why input bytes were lost; the `reason` of `ringtail_lost_bytes_total` as far as the engine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostReason {
    /// Truncated before they were read; or half a CRI or docker line, whose file ends before it does.
    Truncated,
    /// Deleted before they were read, or given up under `hold_deleted`.
    Deleted,
    /// Behind `max_line`.
    MaxLine,
    /// Behind `max_record`.
    MaxRecord,
}

impl LostReason {
    /// All reasons.
    pub const ALL: [LostReason; 4] =
        [LostReason::Truncated, LostReason::Deleted, LostReason::MaxLine, LostReason::MaxRecord];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            LostReason::Truncated => "truncated",
            LostReason::Deleted => "deleted",
            LostReason::MaxLine => "max_line",
            LostReason::MaxRecord => "max_record",
        }
    }
}

/// A count that one thread adds to and any may read.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts of one pipeline, over all shards.
#[derive(Debug, Default)]
pub(crate) struct PipelineStats {
    pub(crate) read_bytes: Count,
    pub(crate) records: Count,
    pub(crate) malformed_lines: Count,
}

/// Unread and unanswered bytes by pipeline and output.
pub(crate) type Lag = HashMap<(Arc<str>, Arc<str>), u64>;

/// Counts of one engine.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) lost: [Count; LostReason::ALL.len()],
    pub(crate) checkpoint_resets: Count,
    pub(crate) unreadable: Count,
    /// Turns of the scanner's loop.
    pub(crate) scanner_turns: Count,
    pipelines: Mutex<HashMap<Arc<str>, Arc<PipelineStats>>>,
    /// By shard.
    lag: Mutex<HashMap<usize, Lag>>,
}

impl Stats {
    pub(crate) fn lose(&self, reason: LostReason, bytes: u64) {
        self.lost[reason as usize].add(bytes);
    }

    /// The counts of the pipeline called `name`, which go on when it is changed.
    pub(crate) fn pipeline(&self, name: &Arc<str>) -> Arc<PipelineStats> {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        pipelines.entry(name.clone()).or_default().clone()
    }

    pub(crate) fn set_lag(&self, shard: usize, lag: Lag) {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, lag);
    }

    pub(crate) fn pipelines(&self) -> Vec<PipelineSnapshot> {
        let pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = |(name, stats): (&Arc<str>, &Arc<PipelineStats>)| PipelineSnapshot {
            name: name.to_string(),
            read_bytes: stats.read_bytes.get(),
            records: stats.records.get(),
            malformed_lines: stats.malformed_lines.get(),
        };
        pipelines.iter().map(snapshot).collect()
    }

    pub(crate) fn lag(&self) -> Vec<LagSnapshot> {
        let all = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums: HashMap<(&str, &str), u64> = HashMap::default();
        for ((pipeline, output), bytes) in all.values().flatten() {
            *sums.entry((pipeline, output)).or_default() += bytes;
        }
        let lag = |((pipeline, output), bytes): ((&str, &str), u64)| LagSnapshot {
            pipeline: pipeline.to_owned(),
            output: output.to_owned(),
            bytes,
        };
        sums.into_iter().map(lag).collect()
    }
}

/// What an engine has counted since its start, and what it holds now.
#[derive(Clone, Debug, Default)]
pub struct EngineStats {
    /// Per pipeline.
    pub pipelines: Vec<PipelineSnapshot>,
    /// Per pipeline and output.
    pub lag: Vec<LagSnapshot>,
    /// Input bytes lost, with the label of the reason.
    pub lost_bytes: Vec<(&'static str, u64)>,
    /// Bytes held now, with the label of the use.
    pub memory_bytes: Vec<(&'static str, u64)>,
    /// Files open now.
    pub open_files: u64,
    /// Checkpoints that were damaged and set aside.
    pub checkpoint_resets: u64,
    /// Files and directories that could not be looked at, each told when that began or changed, and compressed files that
    /// end too early.
    pub unreadable: u64,
}

/// Counts of one pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineSnapshot {
    /// Its name.
    pub name: String,
    /// Bytes read from files.
    pub read_bytes: u64,
    /// Records decoded.
    pub records: u64,
    /// Lines not in their file's format.
    pub malformed_lines: u64,
}

/// How far one output of one pipeline is behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LagSnapshot {
    /// The pipeline.
    pub pipeline: String,
    /// The output.
    pub output: String,
    /// Bytes of files that are not acknowledged yet.
    pub bytes: u64,
}
