//! inotify: one instance, its watches, and what its events mean here.
//!
//! The instance is made with the first watch, so that a node whose `max_user_instances` are used up still reads; it
//! polls instead.
//!
//! Flags not taken: `IN_EXCL_UNLINK` (a container goes on writing to a log that was unlinked: those writes must be
//! seen), `IN_CLOSE_WRITE` (every write was seen as `IN_MODIFY`), `IN_ATTRIB` (the rescan finds what became readable),
//! `IN_DELETE_SELF` (`IN_IGNORED` follows it in any case).

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::mounts;
use crate::seam::Event;
use crate::watch::{Change, Interest, WatchError, WatchId};

/// Bytes of events that one `read` takes: an event is at most 16 + 256.
const BUFFER_BYTES: usize = 16 << 10;

/// Events that one look takes at most: the default length of the kernel's queue, so that fast writers do not
/// keep a look from ending.
const EVENTS_PER_LOOK: usize = 16 << 10;

/// An inotify instance and the watches that are alive.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// Made with the first watch.
    fd: Option<OwnedFd>,
    live: HashSet<i32>,
    buffer: Box<[MaybeUninit<u8>]>,
    /// The writes of the present look, by hash of watch and name, to their place among its events.
    written: HashMap<u64, usize>,
    hasher: RandomState,
}

impl Watcher {
    pub(crate) fn new() -> Self {
        Watcher {
            fd: None,
            live: HashSet::new(),
            buffer: Box::new([MaybeUninit::uninit(); BUFFER_BYTES]),
            written: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// What to poll for changes; nothing before the first watch.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// See [`Watch::watch`](crate::Watch::watch). Mounts that may never answer are not asked: looking the directory up
    /// might not come back, and they do not tell of what others write.
    pub(crate) fn watch(&mut self, dir: &Path, interest: Interest) -> Result<WatchId, WatchError> {
        if mounts::remote_at(dir).is_some() {
            return Err(WatchError::Remote);
        }
        let wanted = match interest {
            Interest::Contents => WatchFlags::MODIFY,
            Interest::Entries => {
                WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE
            }
        };
        // ONLYDIR: a watch on a file would report changes without a name.
        let flags = wanted | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR | WatchFlags::MASK_ADD;
        let fd = match &mut self.fd {
            Some(fd) => fd,
            none => {
                none.insert(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(refused)?)
            }
        };
        let watch = inotify::add_watch(&*fd, dir, flags).map_err(refused)?;
        self.live.insert(watch);
        Ok(WatchId(watch))
    }

    /// See [`Watch::unwatch`](crate::Watch::unwatch).
    pub(crate) fn unwatch(&mut self, watch: WatchId) {
        if let (true, Some(fd)) = (self.live.remove(&watch.0), &self.fd) {
            // Fails when the kernel has removed it already and its IN_IGNORED is still in the queue.
            let _ = inotify::remove_watch(fd, watch.0);
        }
    }

    /// Appends what happened since the last look, several writes to one file as one; whether there was anything.
    pub(crate) fn look(&mut self, events: &mut Vec<Event>) -> bool {
        let Watcher { fd: Some(fd), live, buffer, written, hasher } = self else { return false };
        let before = events.len();
        written.clear();
        let mut reader = inotify::Reader::new(&*fd, buffer);
        let mut taken = 0;
        while taken < EVENTS_PER_LOOK || !reader.is_buffer_empty() {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                // EAGAIN: that was all. Nothing else is documented for this descriptor and buffer.
                Err(_) => break,
            };
            taken += 1;
            let (watch, flags) = (WatchId(event.wd()), event.events());
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                events.push(Event::Overflow);
                continue;
            }
            if flags.intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT) {
                if live.remove(&watch.0) {
                    events.push(Event::Unwatched { watch });
                }
                if flags.contains(ReadFlags::MOVE_SELF) {
                    // The watch would follow the directory to where nobody looks for it.
                    let _ = inotify::remove_watch(&*fd, watch.0);
                }
                continue;
            }
            let Some(name) = event.file_name().filter(|_| live.contains(&watch.0)) else { continue };
            let name = OsStr::from_bytes(name.to_bytes());
            let Some(change) = change_of(flags) else { continue };
            if change == Change::Written {
                let place = *written.entry(hasher.hash_one((watch, name))).or_insert(events.len());
                if is_write_to(events.get(place), watch, name) {
                    continue;
                }
            }
            events.push(Event::Changed { watch, name: name.to_owned(), change });
        }
        events.len() > before
    }
}

fn change_of(flags: ReadFlags) -> Option<Change> {
    if flags.contains(ReadFlags::MODIFY) {
        Some(Change::Written)
    } else if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
        Some(Change::Appeared)
    } else if flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
        Some(Change::Vanished)
    } else {
        None
    }
}

fn is_write_to(event: Option<&Event>, watch: WatchId, name: &OsStr) -> bool {
    matches!(event, Some(Event::Changed { watch: known, name: called, change: Change::Written })
        if *known == watch && called == name)
}

fn refused(error: Errno) -> WatchError {
    match error {
        Errno::NOSPC | Errno::MFILE | Errno::NFILE => WatchError::Exhausted,
        error => WatchError::Failed(error.into()),
    }
}
