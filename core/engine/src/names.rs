//! The numbers by which a shard knows its own things; never reused while it runs.

/// A cursor: one (pipeline, output, lineage).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CursorId(pub(crate) u64);

/// A view: one way through one lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ViewId(pub(crate) u64);

/// A lineage of this shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LineageId(pub(crate) u64);
