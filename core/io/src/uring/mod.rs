//! The io_uring backend: what is in memory is read at once, what is not goes to the ring, with the watches and the waker.
//!
//! ```text
//! read() -> queue --in memory: preadv2(RWF_NOWAIT)---------------------> events
//!             \--not in memory--> missed -> slots -> [ the ring ] -> events
//!                                             a read's buffer is in its slot until its completion has been seen
//! ```
//! All that waits for a disk is submitted, and waited for, in one system call; the shard never sleeps on a cold page.
//!
//! Why not everything through the ring: for bytes in memory a ring costs more than the call that it saves. Measured on
//! Linux 6.18 in CPU time against a bare pread, both in batches of 64: 4 KiB reads 0.66 through the ring and 0.88
//! tried first; 16 KiB 0.70 and 0.78; 256 KiB one at a time 0.93 and 1.02. A read that misses pays 0.3 microseconds more.
//!
//! Limits: [`DEPTH`] reads in the kernel, the others wait in `missed`; what cannot be read within [`STOP_WAIT`] of a
//! drop is leaked, since the kernel may still write to it.
//!
//! Left out: registered buffers (they make the slabs resident at once, and count as locked memory) and registered files
//! (they save a reference count a read, beside a disk's wait). Files on remote mounts are read by the pools: the ring's
//! own workers are few, and shared by all its files.
#![allow(unsafe_code)]

mod refusal;
mod ring;

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::opcode;
use rustix::io::Errno;

pub use self::refusal::Refusal;
use self::ring::Ring;
use crate::lookout::{COALESCE, Lookout, deadline};
use crate::pool::Pools;
use crate::seam::{Backend, Event, Io, Read, ReadId};
use crate::waker::{Bell, Waker};
use crate::watch::{Interest, WatchError, WatchId};

/// Reads that are in the kernel at once.
const DEPTH: usize = 256;

/// How long a drop waits for reads in the kernel.
const STOP_WAIT: Duration = Duration::from_secs(1);

/// The mark of the poll on the bell; marks below [`DEPTH`] are slots.
const BELL: u64 = 1 << 32;
/// The mark of the poll on the watches.
const CHANGES: u64 = BELL + 1;

/// What the kernel's ring offers, for `ringtail doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingOffer {
    /// How rings are set up here.
    pub mode: &'static str,
    /// Whether entering the ring takes a timeout (Linux 5.11).
    pub timed_enter: bool,
    /// Whether writes, fsync and openat can go through a ring too.
    pub writes: bool,
}

/// Sets up a ring and tells what it can do.
pub fn ring_offer() -> Result<RingOffer, Refusal> {
    let ring = Ring::new()?;
    let writes = [opcode::Write::CODE, opcode::Fsync::CODE, opcode::OpenAt::CODE];
    Ok(RingOffer {
        mode: ring.mode(),
        timed_enter: ring.timed_enter(),
        writes: writes.into_iter().all(|code| ring.offers(code)),
    })
}

/// See the module.
pub(crate) struct Uring {
    ring: Ring,
    backend: Backend,
    /// Reads that were not tried yet.
    queue: VecDeque<Read>,
    /// Reads of what is not in memory, for which there was no slot.
    missed: VecDeque<Read>,
    /// Reads in the kernel, by mark. Nobody touches them there.
    slots: Vec<Option<Read>>,
    free: Vec<usize>,
    /// Reads that were cancelled in the queue.
    cancelled: Vec<Event>,
    pools: Pools,
    bell: Arc<Bell>,
    lookout: Lookout,
    bell_polled: bool,
    changes_polled: bool,
}

/// Why the backend cannot be had.
pub(crate) enum Unavailable {
    Ring(Refusal),
    Bell(io::Error),
}

impl Uring {
    pub(crate) fn new() -> Result<Self, Unavailable> {
        Self::on(Ring::new().map_err(Unavailable::Ring)?)
    }

    /// As on a kernel before 5.11.
    #[cfg(test)]
    pub(crate) fn without_timed_enter() -> Result<Self, Unavailable> {
        Self::on(Ring::new().map_err(Unavailable::Ring)?.without_timed_enter())
    }

    fn on(ring: Ring) -> Result<Self, Unavailable> {
        let bell = Arc::new(Bell::new().map_err(Unavailable::Bell)?);
        Ok(Uring {
            backend: Backend { name: "uring", reason: format!("the kernel grants a ring ({})", ring.mode()) },
            ring,
            queue: VecDeque::new(),
            missed: VecDeque::new(),
            slots: std::iter::repeat_with(|| None).take(DEPTH).collect(),
            free: (0..DEPTH).rev().collect(),
            cancelled: Vec::new(),
            pools: Pools::new(bell.clone()),
            bell,
            lookout: Lookout::new(COALESCE),
            bell_polled: false,
            changes_polled: false,
        })
    }

    /// Reads at once what is in memory.
    fn try_queued(&mut self, events: &mut Vec<Event>) {
        while let Some(mut read) = self.queue.pop_front() {
            let Read { at, offset, least, .. } = read;
            match read.file.os().read_resident_least(&mut read.buf[at..], offset, least) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.missed.push_back(read),
                result => events.push(Event::Read { read, result }),
            }
        }
    }

    /// Moves what has to wait for a disk into the ring while there are slots.
    fn start_missed(&mut self) {
        while let Some(slot) = self.free.last().copied() {
            let Some(read) = self.missed.pop_front() else { return };
            self.free.pop();
            let read = self.slots[slot].insert(read);
            let room = &mut read.buf[read.at..];
            let (start, len) = (room.as_mut_ptr(), room.len());
            // SAFETY: `slots` holds the file and the buffer until the completion (`finish`), or forgets them if that
            // does not come (`drop`). A region's bytes lie in a slab's mapping, so that they stay where they are when
            // the `Read` moves, and belong to this region alone.
            unsafe { self.ring.read(read.file.os().as_fd(), start, len, read.offset, slot as u64) };
        }
    }

    /// Takes the completions.
    fn reap(&mut self, events: &mut Vec<Event>) {
        while let Some((mark, result)) = self.ring.completion() {
            match mark {
                BELL => self.bell_polled = false,
                CHANGES => self.changes_polled = false,
                slot => self.finish(slot, result, events),
            }
        }
    }

    fn finish(&mut self, mark: u64, result: i32, events: &mut Vec<Event>) {
        let slot = usize::try_from(mark).ok().filter(|slot| *slot < DEPTH);
        let slot = slot.expect("a mark is one of three kinds");
        let read = self.slots[slot].take().expect("a slot is taken until its one completion");
        self.free.push(slot);
        let result = usize::try_from(result).map_err(|_| Errno::from_raw_os_error(-result));
        match result {
            // A file system that neither reads without waiting nor calls back; a ring's worker that was interrupted.
            Err(Errno::AGAIN | Errno::INTR) => self.pools.submit(read),
            // The ring may bring less than there is, too.
            Ok(1..) if result.is_ok_and(|count| count < read.least) => self.pools.submit(read),
            result => events.push(Event::Read { read, result: result.map_err(io::Error::from) }),
        }
    }

    /// Sees to it that the bell and changes end a sleep; when to wake at the latest.
    fn before_sleep(&mut self, now: Instant, deadline: Instant) -> Duration {
        if !std::mem::replace(&mut self.bell_polled, true) {
            self.ring.poll(self.bell.as_fd(), BELL);
        }
        let resting = self.lookout.resting(now);
        if let (None, false, Some(fd)) = (resting, self.changes_polled, self.lookout.watcher.fd()) {
            self.ring.poll(fd, CHANGES);
            self.changes_polled = true;
        }
        resting.map_or(deadline, |rest| rest.min(deadline)).saturating_duration_since(now)
    }

    fn in_kernel(&self) -> usize {
        DEPTH - self.free.len()
    }
}

impl Io for Uring {
    fn backend(&self) -> &Backend {
        &self.backend
    }

    fn read(&mut self, read: Read) {
        assert!(read.at < read.buf.len(), "a read without room would look like the end of the file");
        if read.file.os().remote_mount().is_some() {
            self.pools.submit(read);
        } else {
            self.queue.push_back(read);
        }
    }

    fn cancel(&mut self, id: ReadId) {
        let waiting = [&mut self.queue, &mut self.missed].into_iter().find_map(|queue| {
            let index = queue.iter().position(|read| read.id == id)?;
            queue.remove(index)
        });
        if let Some(read) = waiting {
            self.cancelled.push(Event::Read { read, result: Err(Errno::CANCELED.into()) });
        } else if let Some(slot) = self.slots.iter().position(|read| is(read, id)) {
            // Whatever comes of it, the read completes: until then its buffer stays in the slot. A later read in
            // the same slot is safe, since the kernel takes entries in their order.
            self.ring.cancel(slot as u64);
        } else {
            self.pools.cancel(id);
        }
    }

    fn in_flight(&self) -> usize {
        self.queue.len()
            + self.missed.len()
            + self.in_kernel()
            + self.cancelled.len()
            + self.pools.in_flight()
    }

    fn watch(&mut self, dir: &Path) -> Result<WatchId, WatchError> {
        self.lookout.watcher.watch(dir, Interest::Contents)
    }

    fn unwatch(&mut self, watch: WatchId) {
        self.lookout.watcher.unwatch(watch);
    }

    fn wait(&mut self, timeout: Duration, events: &mut Vec<Event>) {
        let before = events.len();
        let mut now = Instant::now();
        let deadline = deadline(now, timeout);
        events.append(&mut self.cancelled);
        self.try_queued(events);
        loop {
            self.start_missed();
            self.reap(events);
            // The bell first: whoever rings after this is heard in the next round.
            let woken = self.bell.answer();
            self.pools.collect(events);
            if !self.changes_polled {
                self.lookout.look(now, events.len() > before, events);
            }
            let over = woken || events.len() > before || now >= deadline;
            let sleep = (!over).then(|| self.before_sleep(now, deadline));
            if let Err(error) = self.ring.enter(sleep) {
                panic!("io_uring_enter: {error}; a ring is used by the thread that made it");
            }
            self.reap(events);
            if over || events.len() > before {
                return;
            }
            now = Instant::now();
        }
    }

    fn waker(&self) -> Waker {
        Waker::from_bell(self.bell.clone())
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        self.queue.clear();
        self.missed.clear();
        let taken = (0..DEPTH).filter(|slot| self.slots[*slot].is_some()).collect::<Vec<_>>();
        taken.into_iter().for_each(|slot| self.ring.cancel(slot as u64));
        let deadline = Instant::now() + STOP_WAIT;
        let mut ended = Vec::new();
        while self.in_kernel() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.ring.enter(Some(left)).is_err() {
                break;
            }
            self.reap(&mut ended);
        }
        // A disk that does not answer: the kernel may write to these later, so that nobody gets them again.
        self.slots.drain(..).flatten().for_each(std::mem::forget);
    }
}

fn is(slot: &Option<Read>, id: ReadId) -> bool {
    slot.as_ref().is_some_and(|read| read.id == id)
}
