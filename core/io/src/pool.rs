//! Threads for reads that block: what is not in the page cache, and what lies on a mount that may never answer.
//!
//! Local files may be advised too: what a reader will want is brought into the page cache. Nobody waits for that.
//!
//! Every remote mount has a pool of its own, so that one that hangs stops only itself. Limits: [`LOCAL_THREADS`] for
//! local files, [`REMOTE_THREADS`] a mount, [`MOUNTS`] mounts (more share); threads start when there is work and
//! end when they have had none for [`IDLE`]. A pool that is dropped does not wait for its threads: each owns what
//! it reads into, and ends after its read.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use crate::file::File;
use crate::seam::{Event, Read, ReadId};
use crate::waker::Bell;

const LOCAL_THREADS: usize = 8;
const REMOTE_THREADS: usize = 4;
const MOUNTS: usize = 32;
const IDLE: Duration = Duration::from_secs(10);
/// A thread calls pread and nothing deep.
const STACK_BYTES: usize = 128 << 10;

/// The pools of one shard.
#[derive(Debug)]
pub(crate) struct Pools {
    bell: Arc<Bell>,
    local: Pool,
    /// By device number.
    remote: Vec<(u64, Pool)>,
}

impl Pools {
    /// Pools that ring `bell` after each read.
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Pools { local: Pool::new(LOCAL_THREADS, bell.clone()), remote: Vec::new(), bell }
    }

    /// Reads in its own time.
    pub(crate) fn submit(&mut self, read: Read) {
        match read.file.os().remote_mount() {
            None => self.local.submit(read),
            Some(device) => self.mount(device).submit(read),
        }
    }

    /// Brings a part of a local file into the page cache.
    pub(crate) fn fetch(&mut self, file: Arc<File>, range: Range<u64>) {
        self.local.queue(Job::Fetch(file, range));
    }

    /// Takes a read back that no thread has begun; it completes with `ECANCELED`.
    pub(crate) fn cancel(&mut self, id: ReadId) {
        self.all().for_each(|pool| pool.cancel(id));
    }

    /// Appends the reads that ended.
    pub(crate) fn collect(&mut self, events: &mut Vec<Event>) {
        self.all().filter(|pool| pool.in_flight > 0).for_each(|pool| pool.collect(events));
    }

    /// Reads that were submitted and not collected.
    pub(crate) fn in_flight(&self) -> usize {
        self.local.in_flight + self.remote.iter().map(|(_, pool)| pool.in_flight).sum::<usize>()
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Pool> {
        std::iter::once(&mut self.local).chain(self.remote.iter_mut().map(|(_, pool)| pool))
    }

    fn mount(&mut self, device: u64) -> &mut Pool {
        let known = self.remote.iter().position(|(mount, _)| *mount == device);
        let index = known.unwrap_or_else(|| {
            // Mounts come and go with containers.
            self.remote.retain(|(_, pool)| pool.in_flight > 0);
            if self.remote.len() < MOUNTS {
                self.remote.push((device, Pool::new(REMOTE_THREADS, self.bell.clone())));
            }
            self.remote.len() - 1
        });
        &mut self.remote[index].1
    }
}

#[derive(Debug)]
struct Pool {
    limit: usize,
    in_flight: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bell: Arc<Bell>,
    state: Mutex<State>,
    work: Condvar,
}

/// What a thread does.
#[derive(Debug)]
enum Job {
    Read(Read),
    /// Advice: has no completion.
    Fetch(Arc<File>, Range<u64>),
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Job>,
    done: Vec<Event>,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
    closed: bool,
}

impl Pool {
    fn new(limit: usize, bell: Arc<Bell>) -> Self {
        let shared = Shared { bell, state: Mutex::default(), work: Condvar::new() };
        Pool { limit, in_flight: 0, shared: Arc::new(shared) }
    }

    fn submit(&mut self, read: Read) {
        self.in_flight += 1;
        self.queue(Job::Read(read));
    }

    fn queue(&mut self, job: Job) {
        let mut state = self.shared.lock();
        state.queue.push_back(job);
        if state.queue.len() <= state.idle || state.threads == self.limit {
            self.shared.work.notify_one();
            return;
        }
        let shared = self.shared.clone();
        let builder = thread::Builder::new().name("ringtail-read".into()).stack_size(STACK_BYTES);
        match builder.spawn(move || shared.serve()) {
            Ok(_) => state.threads += 1,
            // The process may have no more threads: with none at all the shard reads itself, and blocks.
            Err(_) if state.threads == 0 => {
                if let Some(Job::Read(read)) = state.queue.pop_back() {
                    state.done.push(perform(read));
                    self.shared.bell.ring();
                }
            }
            Err(_) => {}
        }
    }

    fn cancel(&mut self, id: ReadId) {
        let mut state = self.shared.lock();
        let found = state.queue.iter().position(|job| matches!(job, Job::Read(read) if read.id == id));
        if let Some(Job::Read(read)) = found.and_then(|index| state.queue.remove(index)) {
            state.done.push(Event::Read { read, result: Err(Errno::CANCELED.into()) });
            self.shared.bell.ring();
        }
    }

    fn collect(&mut self, events: &mut Vec<Event>) {
        let mut state = self.shared.lock();
        self.in_flight -= state.done.len();
        events.append(&mut state.done);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.queue.clear();
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread.
    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                let event = match job {
                    Job::Read(read) => Some(perform(read)),
                    Job::Fetch(file, range) => {
                        file.os().fetch(range);
                        None
                    }
                };
                state = self.lock();
                if let Some(event) = event {
                    state.done.push(event);
                    self.bell.ring();
                }
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (woken, waited) = self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

fn perform(mut read: Read) -> Event {
    let Read { at, offset, least, .. } = read;
    let result: io::Result<usize> = read.file.os().read_blocking(&mut read.buf[at..], offset, least);
    Event::Read { read, result }
}
