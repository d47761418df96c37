//! The kernel, behind one seam: reading, watching, file-system calls, time and the checkpoint's storage.
//!
//! Two real backends, chosen at start ([`open`]): io_uring, and `preadv2(RWF_NOWAIT)` with epoll and a bounded pool of
//! threads for what would block. One simulated ([`sim`]): seeded, single-threaded, with injected faults.
//!
//! - [`Io`] belongs to one shard's thread: reads, directory watches, waiting.
//! - [`Fs`] is shared: open, stat, list. Its calls may block, so that only the scanner's thread makes them.
//! - [`Clock`] is shared.
//!
//! Never here: what the bytes mean, which files are wanted.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringtail_memory::Region;

/// Names one read of a shard; chosen by the caller, unique among its reads in flight.
pub type ReadId = u64;

/// Names one directory watch of an [`Io`] or a [`Watcher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(pub i32);

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
}

/// What happened while waiting.
#[derive(Debug)]
pub enum Event {
    /// A read ended: bytes read (0 at the end of the file), or why not. `ECANCELED` when it was cancelled.
    Read { read: Read, result: io::Result<usize> },
    /// A file called `name` in the watched directory was written to, truncated, created, renamed, deleted or closed.
    Changed { watch: WatchId, name: OsString, change: Change },
    /// The watch is gone: its directory was deleted, moved or unmounted.
    Unwatched { watch: WatchId },
    /// Events were dropped (`IN_Q_OVERFLOW`): anything may have changed.
    Overflow,
}

/// What happened to a directory's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its contents changed (`IN_MODIFY`).
    Written,
    /// It appeared under this name: created or moved here.
    Appeared,
    /// It disappeared from this name: deleted or moved away.
    Vanished,
}

/// Which changes a watch reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// [`Change::Written`]: what a shard needs.
    Contents,
    /// [`Change::Appeared`] and [`Change::Vanished`]: what the scanner needs.
    Entries,
}

/// Why a directory is not watched; its files are polled instead.
#[derive(Debug)]
pub enum WatchError {
    /// `fs.inotify.max_user_watches` (ENOSPC) or instances (EMFILE) are used up.
    Exhausted,
    /// The directory cannot be watched.
    Failed(io::Error),
}

/// Which backend runs, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// `uring`, `pread` or `sim`: the label of `ringtail_io_backend`.
    pub name: &'static str,
    /// Why this one: what was asked for, or why the ring was refused, in words for an operator.
    pub reason: String,
}

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
    /// the next ones come 10 ms later at the earliest, also when a call is waiting for something else.
    fn wait(&mut self, timeout: Duration, events: &mut Vec<Event>);

    /// Ends a present or the next [`Io::wait`] from any thread.
    fn waker(&self) -> Waker;
}

/// File-system calls, any of which may block. Shared between threads.
pub trait Fs: Send + Sync {
    /// Opens a regular file for reading. Never blocks on a FIFO or a device: those are refused (`InvalidInput`).
    fn open(&self, path: &Path) -> io::Result<Arc<File>>;

    /// What lies at `path`, symlinks followed.
    fn stat(&self, path: &Path) -> io::Result<Stat>;

    /// The entries of a directory, in no order, without `.` and `..`; names and kinds only.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// The absolute path without symlinks.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
}

/// Time. Monotonic time never goes back; wall time may jump.
pub trait Clock: Send + Sync {
    /// Time since some fixed moment before the start.
    fn now(&self) -> Duration;

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    fn wall_ns(&self) -> i64;
}

/// What `stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The file system.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// The last change of the contents, nanoseconds since 1970.
    pub modified_ns: i64,
    /// Names that the inode has: 0 once it is deleted.
    pub links: u64,
    /// What it is.
    pub kind: Kind,
}

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else, or not known.
    Other,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name.
    pub name: OsString,
    /// What it is, the link itself where it is one.
    pub kind: Kind,
}

/// An open file, real or simulated. Closed when the last reference is dropped.
#[derive(Debug)]
pub struct File {}

/// Ends a wait from any thread. Cheap to clone; many calls before the next wait count as one.
#[derive(Clone, Debug)]
pub struct Waker {}
