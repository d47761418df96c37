//! Ending another thread's wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use crate::sim;

/// Ends a wait from any thread. Cheap to clone; many calls before the next wait count as one.
#[derive(Clone, Debug)]
pub struct Waker {
    repr: Repr,
}

#[derive(Clone, Debug)]
enum Repr {
    Os(Arc<Bell>),
    /// The simulator gives [`sim::Alarm`] its `wake`.
    Sim(sim::Alarm),
}

impl Waker {
    /// Ends the present or the next wait.
    pub fn wake(&self) {
        match &self.repr {
            Repr::Os(bell) => bell.ring(),
            Repr::Sim(alarm) => alarm.wake(),
        }
    }

    pub(crate) fn from_bell(bell: Arc<Bell>) -> Self {
        Waker { repr: Repr::Os(bell) }
    }

    /// For the simulator.
    pub(crate) fn from_sim(alarm: sim::Alarm) -> Self {
        Waker { repr: Repr::Sim(alarm) }
    }
}

/// An eventfd and whether it was rung: the waiting side polls the descriptor and then calls [`Bell::answer`].
#[derive(Debug)]
pub(crate) struct Bell {
    fd: OwnedFd,
    rung: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Bell { fd, rung: AtomicBool::new(false) })
    }

    /// Costs a system call only when the bell was silent.
    pub(crate) fn ring(&self) {
        // Release: what was done before the ringing is seen by who answers.
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Cannot fail: the counter is 0 or 1, and the descriptor is ours.
            let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        }
    }

    /// Whether it was rung since the last answer; silences it.
    ///
    /// The descriptor is drained before the flag is cleared: a ringing in between finds the flag set and writes nothing,
    /// and counts as answered now, which it is, since the answer acquires what it released.
    pub(crate) fn answer(&self) -> bool {
        if !self.rung.load(Ordering::Relaxed) {
            return false;
        }
        let mut count = [0; 8];
        // EAGAIN when the ringer has set the flag and not yet written: the write then causes one idle wake-up.
        let _ = rustix::io::read(&self.fd, &mut count);
        self.rung.swap(false, Ordering::AcqRel)
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
