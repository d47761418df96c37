//! The layout that every crate shares: record, source, batch, and the way a sealed batch is answered.
//!
//! Never here: clocks, files, threads, formats.

mod batch;
mod path;
mod pool;
mod position;
mod record;
mod sealed;
mod source;

pub use batch::{Batch, RecordView};
pub use pool::BatchPool;
pub use position::Position;
pub use record::{Flags, Record, Stream};
pub use sealed::{Acks, BatchId, Lost, Outcome, Outlet, Receipt, Sealed};
pub use source::{Attribute, Source, Value};
