//! What a configuration says, once it is found right.

use std::net::SocketAddr;
use std::path::PathBuf;

use ringtail_config::Origin;
use ringtail_encode::{Compression, Selection};
use ringtail_engine::{BatchLimits, HoldDeleted};
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
    /// Where its records come from.
    pub origin: Origin,
    /// Names of outputs.
    pub to: Vec<String>,
}
