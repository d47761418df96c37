//! One shard's way to the kernel: what it asks for and what it is told.
//!
//! Never here: how it is done (`uring`, `pread`, `sim`).

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringtail_memory::Region;

use crate::file::File;
use crate::waker::Waker;
use crate::watch::{Change, WatchError, WatchId};

/// Reading and waiting, for one shard's thread.
pub trait Io: Send {
    /// Which backend this is.
    fn backend(&self) -> &Backend;

    /// Queues a read. Nothing reaches the kernel before [`Io::wait`], so that one system call serves many.
    fn read(&mut self, read: Read);

    /// Asks for an early end of a read in flight; it still completes, with whatever the kernel made of it.
    fn cancel(&mut self, id: ReadId);

    /// Reads that were queued and have not completed.
    fn in_flight(&self) -> usize;

    /// Watches `dir` for writes to its files. Watching the same directory again gives the same id.
    fn watch(&mut self, dir: &Path) -> Result<WatchId, WatchError>;

    /// Ends a watch. Events already queued may still come.
    fn unwatch(&mut self, watch: WatchId);

    /// Submits what is queued, waits until something completes, a change is seen, a [`Waker`] is called or `timeout`
    /// passes (zero: does not wait), and appends to `events`. Changes are coalesced: after a call that reported some,
    /// the next ones come 50 ms later at the earliest, also when a call is waiting for something else.
    fn wait(&mut self, timeout: Duration, events: &mut Vec<Event>);

    /// Ends a present or the next [`Io::wait`] from any thread.
    fn waker(&self) -> Waker;
}

/// Names one read of a shard; chosen by the caller, unique among its reads in flight.
pub type ReadId = u64;

/// A read into `buf[at..]`. The buffer belongs to the backend until the read's completion, also when it is cancelled.
#[derive(Debug)]
pub struct Read {
    /// Comes back with the completion.
    pub id: ReadId,
    /// What to read.
    pub file: Arc<File>,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// Where to put it.
    pub buf: Region,
    /// Bytes of `buf` before this are kept as they are.
    pub at: usize,
    /// Bytes that it brings at least, one or more: with fewer the file ended there when it was read.
    pub least: usize,
}

/// What happened while waiting.
#[derive(Debug)]
pub enum Event {
    /// A read ended.
    Read {
        /// The read, with its buffer.
        read: Read,
        /// Bytes read, fewer than asked for at least where the file ends, or why not. `ECANCELED` when it was cancelled.
        result: io::Result<usize>,
    },
    /// An entry of a watched directory was written to, truncated, created, renamed or deleted.
    Changed {
        /// Which directory.
        watch: WatchId,
        /// The entry's name.
        name: OsString,
        /// What happened to it.
        change: Change,
    },
    /// The watch is gone: its directory was deleted, moved or unmounted.
    Unwatched {
        /// Which watch; its id is not given again.
        watch: WatchId,
    },
    /// Events were dropped (`IN_Q_OVERFLOW`): anything may have changed.
    Overflow,
}

/// Which backend runs, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// `uring`, `pread` or `sim`: the label of `ringtail_io_backend`.
    pub name: &'static str,
    /// Why this one: what was asked for, or why the ring was refused, in words for an operator.
    pub reason: String,
}
