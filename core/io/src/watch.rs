//! Directories that are watched, for whoever waits for changes and reads nothing.
//!
//! A shard watches through its [`Io`](crate::Io), the scanner through a [`Watch`] of its own.

use std::path::Path;
use std::time::Duration;
use std::{fmt, io};

use crate::seam::Event;
use crate::waker::Waker;

/// Watching directories, for one thread.
pub trait Watch: Send {
    /// Watches `dir` (symlinks followed; anything but a directory is refused) for changes of its entries. Watching
    /// the same directory again gives the same id and adds to what it reports.
    fn watch(&mut self, dir: &Path, interest: Interest) -> Result<WatchId, WatchError>;

    /// Ends a watch. Nothing is reported for it any more.
    fn unwatch(&mut self, watch: WatchId);

    /// Waits until a change is seen, a [`Waker`] is called or `timeout` passes (zero: does not wait), and appends to
    /// `events`, never an [`Event::Read`]. Coalesced as in [`Io::wait`](crate::Io::wait).
    fn wait(&mut self, timeout: Duration, events: &mut Vec<Event>);

    /// Ends a present or the next [`Watch::wait`] from any thread.
    fn waker(&self) -> Waker;
}

/// Names one directory watch of an [`Io`](crate::Io) or a [`Watch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(pub i32);

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
    /// It lies on a network or FUSE mount, which does not tell of what others write and may never answer.
    Remote,
    /// The directory cannot be watched.
    Failed(io::Error),
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WatchError::Exhausted => f.write_str(
                "inotify watches or instances are used up: raise fs.inotify.max_user_watches or max_user_instances",
            ),
            WatchError::Remote => f.write_str("it lies on a network or FUSE mount"),
            WatchError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WatchError {}
