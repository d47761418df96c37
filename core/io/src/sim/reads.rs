//! A shard's way to the simulated kernel.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::alarm::Alarm;
use super::disk::os_error;
use super::faults::strikes;
use super::history::Outcome;
use super::watches::InstanceId;
use super::world::{State, World};
use crate::{Backend, Event, Interest, Io, Read, ReadId, Waker, WatchError, WatchId};

/// Reads and watches of one shard in a [`World`].
///
/// [`Io::wait`] never sleeps and lets no time pass, whatever the timeout: it submits what is queued, hands out what is due at
/// the present time of the world, and returns, with nothing where nothing is due. The test advances the clock.
/// Without faults every read is due at once and completes in the order of submission.
#[derive(Debug)]
pub struct SimIo {
    world: World,
    instance: InstanceId,
    incarnation: u64,
    backend: Backend,
    /// Not yet submitted.
    queued: Vec<Read>,
    flying: Vec<Flight>,
}

/// A read that was submitted.
#[derive(Debug)]
struct Flight {
    read: Read,
    due: Duration,
    /// Present when the file was read at the submission and only its answer takes time; otherwise it is read when
    /// it is due. Both are what a kernel may do, and they differ when the file grows meanwhile.
    result: Option<io::Result<usize>>,
}

impl SimIo {
    pub(super) fn new(world: World) -> Self {
        let (instance, incarnation) = {
            let mut state = world.state();
            (state.watches.open(), state.incarnation)
        };
        let backend = Backend { name: "sim", reason: "a simulation".to_owned() };
        SimIo { world, instance, incarnation, backend, queued: Vec::new(), flying: Vec::new() }
    }
}

impl Io for SimIo {
    fn backend(&self) -> &Backend {
        &self.backend
    }

    /// # Panics
    /// When the file is not of this world.
    fn read(&mut self, read: Read) {
        assert!(read.file.sim().is_in(&self.world), "a file of another world");
        self.queued.push(read);
    }

    fn cancel(&mut self, id: ReadId) {
        let mut state = self.world.state();
        state.note(format_args!("{} cancels read {id}", self.instance));
        let chance = state.faults.cancel_ignored;
        if state.strikes(chance) {
            return;
        }
        let (due, result) = (state.now, Some(Err(os_error(libc::ECANCELED))));
        if let Some(at) = self.queued.iter().position(|read| read.id == id) {
            self.flying.push(Flight { read: self.queued.remove(at), due, result });
        } else if let Some(flight) = self.flying.iter_mut().find(|flight| flight.read.id == id) {
            (flight.due, flight.result) = (due, result);
        }
    }

    fn in_flight(&self) -> usize {
        self.queued.len() + self.flying.len()
    }

    fn watch(&mut self, dir: &Path) -> Result<WatchId, WatchError> {
        self.world.state().watch(self.instance, dir, Interest::Contents)
    }

    fn unwatch(&mut self, watch: WatchId) {
        self.world.state().watches.unwatch(self.instance, watch, true);
    }

    fn wait(&mut self, _timeout: Duration, events: &mut Vec<Event>) {
        let mut state = self.world.state();
        if state.incarnation != self.incarnation {
            return;
        }
        self.flying.extend(self.queued.drain(..).map(|read| state.submit(read)));
        state.complete(self.instance, &mut self.flying, events);
        state.changes(self.instance, events);
    }

    fn waker(&self) -> Waker {
        Waker::from_sim(Alarm)
    }
}

impl Drop for SimIo {
    fn drop(&mut self) {
        self.world.state().watches.close(self.instance);
    }
}

impl State {
    fn submit(&mut self, mut read: Read) -> Flight {
        let slow = strikes(&mut self.rng, self.faults.slow_read);
        let longest = u64::try_from(self.faults.slow_max.as_nanos()).unwrap_or(u64::MAX);
        if !slow || longest == 0 {
            return Flight { read, due: self.now, result: None };
        }
        let due = self.now + Duration::from_nanos(self.rng.u64(..=longest));
        let result = self.rng.bool().then(|| self.perform(&mut read));
        Flight { read, due, result }
    }

    fn perform(&mut self, read: &mut Read) -> io::Result<usize> {
        let Read { at, offset, least, .. } = *read;
        read.file.sim().read_in(self, &mut read.buf[at..], offset, least)
    }

    fn complete(&mut self, instance: InstanceId, flying: &mut Vec<Flight>, events: &mut Vec<Event>) {
        let now = self.now;
        let mut due: Vec<Flight> = flying.extract_if(.., |flight| flight.due <= now).collect();
        if due.len() > 1 && strikes(&mut self.rng, self.faults.reorder) {
            self.rng.shuffle(&mut due);
            let some = self.rng.usize(1..=due.len());
            flying.extend(due.drain(some..));
        }
        for Flight { mut read, result, .. } in due {
            let result = result.unwrap_or_else(|| self.perform(&mut read));
            let (id, offset, ino) = (read.id, read.offset, read.file.sim().ino(self));
            match &result {
                Ok(len) => {
                    self.note(format_args!("{instance} read {id}: {len} from {offset} of inode {ino}"))
                }
                Err(_) => self.note(format_args!("{instance} read {id}: {} of {ino}", Outcome(&result))),
            }
            events.push(Event::Read { read, result });
        }
    }
}
