//! Records to a wire format, and compression.
//!
//! ```text
//! Batch --ndjson--> 64 KiB block --compressor--> payload
//! ```
//! - [`Packer`] turns batches into payloads, each a whole frame, and keeps its buffers between them.
//! - [`Wire`] is the format, [`Selection`] which attributes go out with it.
//! - [`Compression`] is the frame around it.
//!
//! Pure: no clock, no file, no thread. Limits: a block is 64 KiB, whatever a message's length; the rendered
//! attributes of the sources seen are kept up to about 1 MiB.

mod attributes;
mod block;
mod compression;
mod escape;
mod ndjson;
mod packer;
mod selection;
mod time;

pub use compression::{Compression, UnknownCompression};
pub use packer::{Packed, Packer, Wire};
pub use selection::{BadPattern, Selection};
