//! The kernel, behind one seam: reading, watching, file-system calls, time and the checkpoint's storage.
//!
//! Two real backends, chosen at start ([`open`]): io_uring, and `preadv2(RWF_NOWAIT)` with poll and bounded pools of
//! threads for what would block. One simulated ([`sim`]): seeded, single-threaded, with injected faults.
//!
//! - [`Io`] belongs to one shard's thread: reads, directory watches, waiting.
//! - [`Fs`] is shared: open, stat, list. Its calls may block, so that only the scanner's thread makes them.
//! - [`Clock`] is shared.
//!
//! Never here: what the bytes mean, which files are wanted.

mod ahead;
mod choice;
mod clock;
#[cfg(test)]
mod contract;
mod file;
mod fs;
mod lane;
mod limits;
mod lock;
mod lookout;
mod mounts;
mod pool;
mod pread;
mod seam;
pub mod sim;
mod storage;
mod straight;
mod uring;
mod waker;
mod watch;
mod watcher;

pub use choice::{Choice, OpenError, UnknownBackend, open};
pub use clock::{Clock, RealClock};
pub use file::File;
pub use fs::{DirEntry, Fs, Kind, RealFs, Stat};
pub use lane::FAR_AT_ONCE;
pub use limits::{Limits, raise_nofile};
pub use lock::{DirLock, LockError};
pub use lookout::RealWatch;
pub use seam::{Backend, Event, Io, Read, ReadId};
pub use storage::FileStorage;
pub use uring::{Refusal, RingOffer, ring_offer};
pub use waker::Waker;
pub use watch::{Change, Interest, Watch, WatchError, WatchId};
