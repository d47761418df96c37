//! The backend for kernels and containers that refuse io_uring: `preadv2(RWF_NOWAIT)` on the shard's own thread, and a
//! bounded pool of threads for what would block.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::ahead::Ahead;
use crate::lookout::{COALESCE, Lookout, deadline};
use crate::pool::Pools;
use crate::seam::{Backend, Event, Io, Read, ReadId};
use crate::waker::{Bell, Waker};
use crate::watch::{Interest, WatchError, WatchId};

/// See the module.
#[derive(Debug)]
pub(crate) struct Pread {
    backend: Backend,
    queue: VecDeque<Read>,
    pools: Pools,
    ahead: Ahead,
    bell: Arc<Bell>,
    lookout: Lookout,
    /// Reads that were cancelled in the queue.
    cancelled: Vec<Event>,
}

impl Pread {
    /// Fails when descriptors are used up.
    pub(crate) fn new(reason: String) -> io::Result<Self> {
        let bell = Arc::new(Bell::new()?);
        Ok(Pread {
            backend: Backend { name: "pread", reason },
            queue: VecDeque::new(),
            pools: Pools::new(bell.clone()),
            ahead: Ahead::default(),
            bell,
            lookout: Lookout::new(COALESCE),
            cancelled: Vec::new(),
        })
    }

    /// Reads at once what is in memory and gives the rest to the pools.
    fn start(&mut self, events: &mut Vec<Event>) {
        while let Some(mut read) = self.queue.pop_front() {
            let Read { at, offset, least, .. } = read;
            match read.file.os().read_resident_least(&mut read.buf[at..], offset, least) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.missed(read),
                result => {
                    if let Ok(count) = result {
                        self.hit(&read, count);
                    }
                    events.push(Event::Read { read, result });
                }
            }
        }
    }
}

impl Pread {
    fn missed(&mut self, read: Read) {
        // The kernel reads ahead on its own on the blocking reads that a remote mount gets.
        let ahead = match read.file.remote_mount() {
            None => self.ahead.missed(&read.file, read.offset).map(|range| (read.file.clone(), range)),
            Some(_) => None,
        };
        // The read first: what it waits for is wanted first.
        self.pools.submit(read);
        if let Some((file, range)) = ahead {
            self.pools.fetch(file, range);
        }
    }

    fn hit(&mut self, read: &Read, count: usize) {
        if count < read.least {
            return self.ahead.end(&read.file);
        }
        let to = read.offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if let Some(range) = self.ahead.hit(&read.file, to) {
            self.pools.fetch(read.file.clone(), range);
        }
    }
}

impl Io for Pread {
    fn backend(&self) -> &Backend {
        &self.backend
    }

    fn read(&mut self, read: Read) {
        assert!(read.at < read.buf.len(), "a read without room would look like the end of the file");
        self.queue.push_back(read);
    }

    fn cancel(&mut self, id: ReadId) {
        let found = self.queue.iter().position(|read| read.id == id);
        match found.and_then(|index| self.queue.remove(index)) {
            Some(read) => self.cancelled.push(Event::Read { read, result: Err(Errno::CANCELED.into()) }),
            None => self.pools.cancel(id),
        }
    }

    fn in_flight(&self) -> usize {
        self.queue.len() + self.cancelled.len() + self.pools.in_flight()
    }

    fn watch(&mut self, dir: &Path) -> Result<WatchId, WatchError> {
        self.lookout.watcher.watch(dir, Interest::Contents)
    }

    fn unwatch(&mut self, watch: WatchId) {
        self.lookout.watcher.unwatch(watch);
    }

    fn wait(&mut self, timeout: Duration, events: &mut Vec<Event>) {
        let before = events.len();
        let deadline = deadline(Instant::now(), timeout);
        events.append(&mut self.cancelled);
        self.start(events);
        loop {
            // The bell first: whoever rings after this is heard in the next round.
            let woken = self.bell.answer();
            self.pools.collect(events);
            let now = Instant::now();
            self.lookout.look(now, events.len() > before, events);
            if woken || events.len() > before || now >= deadline {
                return;
            }
            self.lookout.sleep(&self.bell, now, deadline);
        }
    }

    fn waker(&self) -> Waker {
        Waker::from_bell(self.bell.clone())
    }
}
