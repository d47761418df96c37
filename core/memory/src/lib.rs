//! Every byte that ringtail holds on behalf of a log line.
//!
//! - [`Slab`](SlabPool)s hold what was read: 1 MiB mappings, reused last-in first-out.
//! - [`Carry`]s hold what is unfinished between two reads: half lines, partials, open records.
//! - [`Credit`] is an output's share of the bytes that wait for an acknowledgement.
//! - [`Budget`] bounds all three.
//!
//! Never here: clocks, files, threads, knowledge of what the bytes mean. `unsafe` is confined to `slab.rs`.

mod budget;
mod carry;
mod credit;
mod frozen;
mod slab;
mod sync;

pub use budget::{Budget, Lease, Use};
pub use carry::{Carry, CarryPool, Exhausted};
pub use credit::{Credit, CreditLease};
pub use frozen::Frozen;
pub use slab::{Region, SLAB_BYTES, SlabPool};
