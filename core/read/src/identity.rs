//! Who a file is: device, inode, a hash of its head, and a hash of what lies before a position.

use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a [`Head`].
pub const HEAD_BYTES: usize = 1024;

/// Bytes of a [`Tail`].
pub const TAIL_BYTES: usize = 256;

/// A hash (xxh3) of the first `len` bytes of a file, decompressed in a `.gz`: `len` is [`HEAD_BYTES`] or, in a shorter
/// file, what there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Bytes hashed.
    pub len: u32,
    /// Their hash.
    pub hash: u64,
}

impl Head {
    /// The head of a file that begins with `bytes`; what lies behind [`HEAD_BYTES`] does not matter.
    pub fn new(bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(HEAD_BYTES)];
        Head { len: u32::try_from(bytes.len()).expect("at most HEAD_BYTES"), hash: xxh3_64(bytes) }
    }

    /// Whether a file that begins with `bytes` may be the one whose head this is: it is at least as long, and its first
    /// `len` bytes are the same. An empty head begins every file.
    pub fn begins(&self, bytes: &[u8]) -> bool {
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        bytes.get(..len).is_some_and(|head| len == 0 || xxh3_64(head) == self.hash)
    }
}

/// A hash (xxh3) of the `len` bytes before `end`, at most [`TAIL_BYTES`]; as they lie in the file, uncompressed but not
/// decoded. `len` 0 says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Where the hashed bytes end, in the uncompressed file.
    pub end: u64,
    /// Bytes hashed.
    pub len: u32,
    /// Their hash.
    pub hash: u64,
}

impl Tail {
    /// The tail at `end` of a file in which `before` lies before `end`; only its last [`TAIL_BYTES`] bytes matter.
    pub fn new(end: u64, before: &[u8]) -> Self {
        let bytes = &before[before.len().saturating_sub(TAIL_BYTES)..];
        Tail { end, len: u32::try_from(bytes.len()).expect("at most TAIL_BYTES"), hash: xxh3_64(bytes) }
    }

    /// Whether `before`, `len` bytes, is what was hashed. An empty tail says nothing, so that it is.
    pub fn is_of(&self, before: &[u8]) -> bool {
        self.len == 0 || Tail::new(self.end, before) == *self
    }

    /// Where the hashed bytes begin; nothing in a tail that cannot be.
    pub(crate) fn start(&self) -> Option<u64> {
        self.end.checked_sub(u64::from(self.len)).filter(|_| self.len as usize <= TAIL_BYTES)
    }
}

/// Who a file is, over renames, copies, compression and restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its file system.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
    /// How it begins.
    pub head: Head,
}

/// A generation as a checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRecord {
    /// Its number.
    pub generation: u32,
    /// The file that it was last seen in.
    pub identity: Identity,
    /// Uncompressed bytes that were seen in it (of a generation only ever seen compressed: the compressed ones).
    pub size: u64,
    /// Where that file lay.
    pub path: Arc<Path>,
    /// Whether that file is compressed.
    pub gz: bool,
}

/// What the shard knows of a generation and the scanner does not: how far it was consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Its number.
    pub generation: u32,
    /// Bytes consumed, by the view that is furthest. A file that is shorter does not hold this generation.
    pub consumed: u64,
    /// What lies before some position up to `consumed`; checked wherever the generation is looked for.
    pub tail: Tail,
}
