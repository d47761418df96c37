//! What an engine is told to do: its limits, and its pipelines with their outputs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ringtail_io::Choice;
use ringtail_parse::{Input, Limits};
use ringtail_read::Start;
use ringtail_record::Outlet;

/// One engine: a collection with its own threads, memory and checkpoint.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where checkpoints lie; without it positions are not kept.
    pub data_dir: Option<PathBuf>,
    /// Bytes for slabs, carries and payloads together.
    pub memory: usize,
    /// Threads that read and parse, at least one.
    pub shards: usize,
    /// Which I/O backend.
    pub io: Choice,
    /// Files that may be open at the same time.
    pub open_files: usize,
    /// How long deleted files are held for their unread rest.
    pub hold_deleted: HoldDeleted,
    /// Whether files are followed, or read to their present end.
    pub mode: Mode,
}

/// How much of deleted files is held for their unread rest, over all files of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldDeleted {
    /// Bytes of deleted files held open.
    pub max_bytes: u64,
    /// Time since a file was found deleted.
    pub max_age: Duration,
}

impl Default for HoldDeleted {
    fn default() -> Self {
        HoldDeleted { max_bytes: 1 << 30, max_age: Duration::from_secs(3600) }
    }
}

/// What happens at the end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// More is expected: unfinished lines wait for their rest.
    Follow,
    /// The end is the end: unfinished lines are delivered, batches are sealed at once, and
    /// [`Engine::is_idle`](crate::Engine::is_idle) tells when all is answered.
    Once,
}

/// One pipeline: files to outputs.
#[derive(Clone)]
pub struct Pipeline {
    /// Its name: part of the checkpoint's key.
    pub name: String,
    /// Files, directories and globs to read, absolute.
    pub paths: Vec<String>,
    /// Globs of paths to leave out.
    pub exclude: Vec<String>,
    /// Files not written to for this long when first seen are left out.
    pub ignore_older: Option<Duration>,
    /// The format of the files.
    pub input: Input,
    /// Limits on lines and joined records.
    pub limits: Limits,
    /// How long an unfinished raw line or an open partial waits for its rest.
    pub flush_after: Duration,
    /// Where files begin that are present at the pipeline's first start.
    pub start: Start,
    /// Where its records go.
    pub outputs: Vec<PipelineOutput>,
}

impl Pipeline {
    /// Whether another configuration means the same: then the running pipeline need not be disturbed.
    pub(crate) fn is_same(&self, other: &Pipeline) -> bool {
        let (a, b) = (self, other);
        a.outputs.len() == b.outputs.len()
            && a.outputs.iter().zip(&b.outputs).all(|(a, b)| a.is_same(b))
            && (&a.name, &a.paths, &a.exclude, a.ignore_older)
                == (&b.name, &b.paths, &b.exclude, b.ignore_older)
            && (a.input, a.limits, a.flush_after, a.start) == (b.input, b.limits, b.flush_after, b.start)
    }
}

/// One output of a pipeline.
#[derive(Clone)]
pub struct PipelineOutput {
    /// Its name: part of the checkpoint's key.
    pub name: String,
    /// The output itself. Pipelines that name the same output share it.
    pub outlet: Arc<dyn Outlet>,
    /// When a batch is sealed.
    pub batch: BatchLimits,
}

impl PipelineOutput {
    fn is_same(&self, other: &PipelineOutput) -> bool {
        self.name == other.name && self.batch == other.batch && Arc::ptr_eq(&self.outlet, &other.outlet)
    }
}

/// When a batch is sealed: at the first limit that it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// About the size on the wire before compression, in bytes.
    pub max_bytes: usize,
    /// Records.
    pub max_records: usize,
    /// Time since its first record.
    pub max_delay: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        BatchLimits { max_bytes: 1 << 20, max_records: 8192, max_delay: Duration::from_secs(1) }
    }
}
