//! One collection: shards that read and parse, batches, routing, cursors, acknowledgements, checkpoints.
//!
//! ```text
//! scanner --listings--> shard: views --chunks--> decoder --records--> open batches --sealed--> outlets
//!                         ^  positions <--answers------------------------------------------------/
//!                         \--claims--> scanner        positions --rows--> checkpointer (redb)
//! ```
//! [`Engine`] wires them and owns their threads. A shard owns its lineages outright; nothing is shared on its path.
//!
//! Never here: what a backend is (an output is an `Outlet`), configuration text, the environment.

mod activity;
#[cfg(test)]
mod ages;
mod alarm;
mod arrival;
mod buffers;
mod checkpoint;
mod checkpointer;
mod config;
mod cursor;
mod decoding;
mod engine;
mod following;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gz;
mod health;
mod maps;
mod names;
mod outbox;
mod positions;
mod reading;
mod remote;
mod renamed;
mod row;
mod scanning;
mod shard;
mod sharing;
#[cfg(test)]
mod simulation;
mod sink;
mod stats;
mod view;
mod watches;

pub use checkpoint::CheckpointError;
pub use config::{BatchLimits, EngineConfig, HoldDeleted, Mode, Pipeline, PipelineOutput};
pub use engine::{Engine, StartError, StopReport};
pub use health::Unhealthy;
pub use stats::{EngineStats, LagSnapshot, LostReason, PipelineSnapshot};
