//! A position in a lineage.

/// A place in one log over time: which of its files, and how far in that file.
///
/// Ordered: a later generation is a later file. Offsets count the bytes of the file as it was written, inside a
/// `.gz` the decompressed ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the file in its lineage; never reused.
    pub generation: u32,
    /// Bytes from the beginning of the file.
    pub offset: u64,
}
