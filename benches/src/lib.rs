//! What the benches share: a corpus whose right answer is known, the bare loops that the stages are held against, and
//! the way a file is fed to either in chunks.
//!
//! Every bench checks its own result, counts and a checksum, before anything is timed: a fast wrong answer fails.

pub mod bare;
pub mod batches;
pub mod corpus;
pub mod feed;
