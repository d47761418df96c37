//! What a configuration says, once it is found right.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ringtail_encode::{Compression, Selection};
use ringtail_engine::{BatchLimits, HoldDeleted};
use ringtail_parse::{Input, Limits};
use ringtail_read::Start;
use ringtail_ship::SinkConfig;

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where checkpoints lie; nowhere, when there is no configuration.
    pub data_dir: Option<PathBuf>,
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
    pub batch: BatchLimits,
    /// Lanes.
    pub concurrency: u32,
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
    /// Limits on lines and joined records.
    pub limits: Limits,
    /// How long an unfinished line waits for its rest.
    pub flush_after: Duration,
    /// Names of outputs.
    pub to: Vec<String>,
}
