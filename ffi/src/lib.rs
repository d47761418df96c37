//! `libringtail`: the C ABI over the same engine that `ringtail run` uses, for agents that embed it in place of their
//! own tailing code.
//!
//! ```text
//! engine --Sealed--> outlet --queue--> next() --view--> host --ack(token)--> Receipt --> positions
//!                                        ^-- done (memory goes back) --'
//! ```
//! The header is generated from these sources and committed as `include/ringtail.h`; what is said there is a promise.
//!
//! - `version`, `status`, `error`, `types`: the constants and structures of the ABI.
//! - `handle`, `entry`: what stands between a C call and the code: handles that are checked, panics that end here.
//! - `config`, `properties`: from texts to what the engine is told.
//! - `outlet`, `batch`, `sources`, `collector`, `stats`: a collection, and batches on their way through the host.
//! - `parser`, `joiner`, `encoder`: for hosts that keep their own tailer.
//!
//! Never here: the environment, signal handlers, output of any kind, a thread before `ringtail_collector_start`, a
//! process-wide limit that is changed.

mod batch;
mod collector;
mod config;
mod encoder;
mod entry;
mod error;
mod files;
mod handle;
mod joiner;
mod life;
mod outlet;
mod parser;
mod properties;
mod signals;
mod sized;
mod sources;
mod stats;
mod status;
mod text;
mod types;
mod version;

pub use batch::*;
pub use collector::*;
pub use config::*;
pub use encoder::*;
pub use entry::*;
pub use error::*;
pub use files::*;
pub use joiner::*;
pub use parser::*;
pub use stats::*;
pub use status::*;
pub use types::*;
pub use version::*;
