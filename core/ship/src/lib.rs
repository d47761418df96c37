//! Sealed batches to backends.
//!
//! ```text
//! shard --hand_over--> [packer's queue] --> packer --> [lane's queue] --> lane --> backend
//!                       <= 4 MiB each       encode,     <= the output's    one request in flight,
//!                                           compress       credit          retries keep their place
//! ```
//! Only answers travel back: [`Delivered`](ringtail_record::Outcome) once the backend has it, `Lost` when it refuses for
//! good, `Returned` when the output ends first.
//!
//! - [`Shippers`] owns all outputs and threads: start, reload, figures, stop.
//! - An output's [`Outlet`](ringtail_record::Outlet) is all that shards see of it. Handing over never blocks: both
//!   queues are bounded by credit that the shard took before.
//! - Batches of one lane are encoded by one packer and delivered in their order; lanes do not wait for one another.
//!
//! Never here: files that are read, formats that are parsed, positions. Nothing is dropped because it is late: what is
//! not refused is tried until the output ends.

mod config;
mod shippers;

mod output;
mod packer;
mod payload;

mod backoff;
mod file;
mod hidden;
mod http;
mod rotate;
mod stdout;
mod tls;
mod writer;

mod stats;

pub use config::{OutputConfig, Rotate, Secret, SinkConfig, StartError};
pub use packer::PACKER_QUEUE_BYTES;
pub use shippers::{RETIRE_GRACE, Shippers, Unanswered};
pub use stats::{LastError, OutputStats};
