//! What a configuration says, once it is found right.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ringtail_encode::{Compression, Selection};
use ringtail_parse::Input;
use ringtail_ship::SinkConfig;

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where checkpoints lie.
    pub data_dir: PathBuf,
    /// Bytes for slabs, carries and payloads together.
    pub memory: usize,
    /// How many shards, and packers.
    pub threads: Threads,
    /// Where metrics and health are served, if at all.
    pub admin: Option<SocketAddr>,
    /// How long deleted files are held for their unread rest.
    pub hold_deleted: HoldDeleted,
    /// Where records go, as written.
    pub outputs: Vec<Output>,
    /// What is collected, as written.
    pub pipelines: Vec<Pipeline>,
}

/// The number of shards, and of packers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// As many as the processors that this process may use.
    Auto,
    /// This many.
    Count(usize),
}

/// Limits on deleted files that still have unread bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldDeleted {
    /// Bytes on disk.
    pub max_bytes: u64,
    /// Time since the deletion.
    pub max_age: Duration,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// What kind of place, and which.
    pub sink: SinkConfig,
    /// How payloads are compressed.
    pub compression: Compression,
    /// Which attributes go out.
    pub attributes: Selection,
    /// When a batch is sealed.
    pub batch: Batch,
    /// Lanes.
    pub concurrency: u32,
}

/// When a batch is sealed: at the first limit that it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Bytes before compression.
    pub max_bytes: usize,
    /// Records.
    pub max_records: usize,
    /// Time since the first record.
    pub max_delay: Duration,
}

/// Files to outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Files, directories and globs, absolute.
    pub paths: Vec<String>,
    /// Globs of paths to leave out.
    pub exclude: Vec<String>,
    /// Files not written to for this long when first seen are left out.
    pub ignore_older: Option<Duration>,
    /// The format of the files.
    pub input: Input,
    /// Where files begin that are present at the first start.
    pub start: Start,
    /// Bytes of a line.
    pub max_line: usize,
    /// Bytes of a joined record.
    pub max_record: usize,
    /// How long an unfinished line waits for its rest.
    pub flush_after: Duration,
    /// Names of outputs.
    pub to: Vec<String>,
}

/// Where files begin that are present at a pipeline's first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest byte.
    Beginning,
    /// Behind what there is.
    End,
    /// This many bytes before the end.
    Last(u64),
}
