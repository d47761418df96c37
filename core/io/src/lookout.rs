//! Looking at the watches: not more often than every so many milliseconds, and sleeping in between.
//!
//! A log that is written to line by line would otherwise wake its reader once a line: 10,000 lines a second cost 3.2% of
//! a core with a look per event, 0.5% with one every 10 ms, and 0.3% with one every 50 ms.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::seam::Event;
use crate::waker::{Bell, Waker};
use crate::watch::{Interest, Watch, WatchError, WatchId};
use crate::watcher::Watcher;

/// How long changes of contents gather after some were reported: a record waits longer than that for its batch.
pub(crate) const COALESCE: Duration = Duration::from_millis(50);

/// How long changes of entries gather: a file that is rotated away quickly must be opened before it is deleted.
const COALESCE_ENTRIES: Duration = Duration::from_millis(10);

/// The longest wait: `Instant` cannot hold any `Duration`, and waking once an hour costs nothing.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// When a wait of `timeout` that begins at `now` ends.
pub(crate) fn deadline(now: Instant, timeout: Duration) -> Instant {
    now + timeout.min(LONGEST_WAIT)
}

/// A watcher with the time of its next look.
#[derive(Debug)]
pub(crate) struct Lookout {
    pub(crate) watcher: Watcher,
    rest: Duration,
    rest_until: Instant,
}

impl Lookout {
    /// A lookout that rests for `rest` after changes were seen.
    pub(crate) fn new(rest: Duration) -> Self {
        Lookout { watcher: Watcher::new(), rest, rest_until: Instant::now() }
    }

    /// The end of the rest after the last look, when that is still to come and there is anything to look at.
    pub(crate) fn resting(&self, now: Instant) -> Option<Instant> {
        (self.watcher.fd().is_some() && now < self.rest_until).then_some(self.rest_until)
    }

    /// Appends what changed, unless it rests. It rests after changes were seen, and after any look of a `busy` caller,
    /// who comes again at once: the others sleep on the descriptor.
    pub(crate) fn look(&mut self, now: Instant, busy: bool, events: &mut Vec<Event>) {
        if now < self.rest_until {
            return;
        }
        if self.watcher.look(events) || busy {
            self.rest_until = now + self.rest;
        }
    }

    /// Sleeps until `bell` rings, changes can be looked at, or `deadline`; may end early.
    ///
    /// `ppoll`, not epoll: there are two descriptors and one of them comes and goes, so that an epoll set would cost a
    /// system call for every change of it, and knows only milliseconds before Linux 5.11.
    pub(crate) fn sleep(&self, bell: &Bell, now: Instant, deadline: Instant) {
        let resting = self.resting(now);
        let until = resting.map_or(deadline, |rest| rest.min(deadline));
        let timeout = Timespec::try_from(until.saturating_duration_since(now)).ok();
        let bell = PollFd::new(bell, PollFlags::IN);
        // EINTR ends the sleep early; nothing else can happen to descriptors that are ours.
        let _ = match self.watcher.fd().filter(|_| resting.is_none()) {
            Some(fd) => poll(&mut [bell, PollFd::from_borrowed_fd(fd, PollFlags::IN)], timeout.as_ref()),
            None => poll(&mut [bell], timeout.as_ref()),
        };
    }
}

/// The machine's directory watches, for the scanner.
#[derive(Debug)]
pub struct RealWatch {
    bell: Arc<Bell>,
    lookout: Lookout,
}

impl RealWatch {
    /// No watch yet. Fails when descriptors are used up.
    pub fn new() -> io::Result<Self> {
        Ok(RealWatch { bell: Arc::new(Bell::new()?), lookout: Lookout::new(COALESCE_ENTRIES) })
    }
}

impl Watch for RealWatch {
    fn watch(&mut self, dir: &Path, interest: Interest) -> Result<WatchId, WatchError> {
        self.lookout.watcher.watch(dir, interest)
    }

    fn unwatch(&mut self, watch: WatchId) {
        self.lookout.watcher.unwatch(watch);
    }

    fn wait(&mut self, timeout: Duration, events: &mut Vec<Event>) {
        let before = events.len();
        let mut now = Instant::now();
        let deadline = deadline(now, timeout);
        loop {
            let woken = self.bell.answer();
            self.lookout.look(now, false, events);
            if woken || events.len() > before || now >= deadline {
                return;
            }
            self.lookout.sleep(&self.bell, now, deadline);
            now = Instant::now();
        }
    }

    fn waker(&self) -> Waker {
        Waker::from_bell(self.bell.clone())
    }
}
