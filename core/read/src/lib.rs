//! Which files, who they are, following, rotation: from paths to the next bytes to read.
//!
//! ```text
//! Scanner (its own thread)                            Lineage (on its shard)
//! patterns -> walk -> siblings -> identity --Listing--> generations: which file holds position P, what comes after
//! ```
//! Never here: records, pipelines, outputs; reading the bytes themselves is the engine's call to `io`.
//!
//! A *lineage* is one log over time: a path together with its rotated siblings. Its *generations* are its files,
//! numbered in the order in which they were written. The engine places a view at (generation, offset).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringtail_io::{File, Stat};

/// Which files one pipeline wants.
#[derive(Clone, Debug)]
pub struct FileSpec {
    /// The caller's number for it; comes back in [`Listing::specs`].
    pub id: u32,
    /// Files, directories or globs (`**` too), absolute.
    pub paths: Vec<String>,
    /// Globs of paths to leave out.
    pub exclude: Vec<String>,
    /// Files not written to for this long when they are first seen are left out.
    pub ignore_older: Option<Duration>,
}

/// A hash of the first `len` bytes of a file (decompressed in a `.gz`): `len` is [`HEAD_BYTES`] or, in a shorter file, what there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub len: u32,
    pub hash: u64,
}

/// A hash of the `len` undecoded bytes before `end`, at most [`TAIL_BYTES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    pub end: u64,
    pub len: u32,
    pub hash: u64,
}

/// Who a file is, over renames, copies, compression and restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub dev: u64,
    pub ino: u64,
    pub head: Head,
}

/// One file of a lineage as a scan saw it.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Where it lies.
    pub path: Arc<Path>,
    /// Whether it is compressed.
    pub gz: bool,
    pub stat: Stat,
    pub head: Head,
    /// Open, unless the bound on open files forbids it.
    pub file: Option<Arc<File>>,
}

/// All files of one lineage, as a scan saw them.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The lineage: the path, without symlinks, of the file that is written to.
    pub lineage: Arc<Path>,
    /// The path that was matched, the one under `/var/log/pods` preferred.
    pub shown: Arc<Path>,
    /// The specs that want it.
    pub specs: Vec<u32>,
    /// Oldest first; the one that is written to is last, where it exists.
    pub files: Vec<Sighting>,
}
