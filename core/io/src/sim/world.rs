//! The simulated machine: what all its faces share, and what the test does with it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::SimClock;
use super::disk::{Disk, NodeId};
use super::faults::{Faults, strikes};
use super::files::SimFs;
use super::history::{History, Outcome};
use super::reads::SimIo;
use super::storage::Journals;
use super::watcher::SimWatch;
use super::watches::Watches;

/// The monotonic time at which a world begins.
const START: Duration = Duration::from_secs(1_000);

/// The wall time at which a world begins: 2026-01-02T03:04:05Z.
const EPOCH_NS: i64 = 1_767_323_045_000_000_000;

/// One simulated machine. Cheap to clone; all clones are the same machine.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

pub(super) struct State {
    pub(super) rng: fastrand::Rng,
    pub(super) faults: Faults,
    pub(super) history: History,
    pub(super) disk: Disk,
    pub(super) watches: Watches,
    pub(super) journals: Journals,
    pub(super) now: Duration,
    /// The wall clock minus the monotonic one.
    pub(super) wall_offset_ns: i64,
    /// Counts crashes: what an earlier incarnation holds is dead.
    pub(super) incarnation: u64,
    /// The path that was just said to lead nowhere, by a fault.
    pub(super) missing: Option<PathBuf>,
    /// The times of the changes of directories that made a listing leave something out: one change does so to one listing.
    pub(super) unlisted: BTreeMap<NodeId, i64>,
    /// Reads of open files so far.
    pub(super) reads: u64,
    /// What is below it lies far.
    pub(super) far: Option<PathBuf>,
}

impl World {
    /// A machine with an empty root directory, without faults. The seed decides everything that is left to chance.
    pub fn new(seed: u64) -> Self {
        let mut state = State {
            rng: fastrand::Rng::with_seed(seed),
            faults: Faults::none(),
            history: History::default(),
            disk: Disk::new(),
            watches: Watches::default(),
            journals: Journals::default(),
            now: START,
            wall_offset_ns: EPOCH_NS - nanos(START),
            incarnation: 0,
            missing: None,
            unlisted: BTreeMap::new(),
            reads: 0,
            far: None,
        };
        state.disk.now_ns = state.wall_ns();
        World(Arc::new(Mutex::new(state)))
    }

    /// Opening, looking, listing.
    pub fn fs(&self) -> SimFs {
        SimFs::new(self.clone())
    }

    /// The clocks, which only [`World::advance`] and [`World::jump_wall`] move.
    pub fn clock(&self) -> SimClock {
        SimClock::new(self.clone())
    }

    /// A shard's way to the kernel, of the present incarnation.
    pub fn io(&self) -> SimIo {
        SimIo::new(self.clone())
    }

    /// A scanner's watches, of the present incarnation.
    pub fn watcher(&self) -> SimWatch {
        SimWatch::new(self.clone())
    }

    /// From now on these faults happen.
    pub fn set_faults(&self, faults: Faults) {
        let mut state = self.state();
        state.note(format_args!("{faults:?}"));
        state.faults = faults;
    }

    /// [`Faults::random`], drawn from the world's seed; returns them.
    pub fn random_faults(&self) -> Faults {
        let faults = Faults::random(&mut self.state().rng);
        self.set_faults(faults);
        faults
    }

    /// Ends what a fault made permanent: files whose reads all fail.
    pub fn heal(&self) {
        let mut state = self.state();
        state.note(format_args!("heal"));
        state.disk.heal();
    }

    /// Lets time pass, on both clocks.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state();
        state.now += by;
        state.disk.now_ns = state.wall_ns();
    }

    /// Sets the wall clock forward or, with a negative `by_ns`, back.
    pub fn jump_wall(&self, by_ns: i64) {
        let mut state = self.state();
        state.wall_offset_ns = state.wall_offset_ns.saturating_add(by_ns);
        state.disk.now_ns = state.wall_ns();
        state.note(format_args!("wall clock jumps by {by_ns} ns"));
    }

    /// Gives the file system another device number, as a reboot may.
    pub fn set_device(&self, dev: u64) {
        let mut state = self.state();
        state.note(format_args!("device {dev}"));
        state.disk.dev = dev;
    }

    /// Reads of open files so far.
    pub fn reads(&self) -> u64 {
        self.state().reads
    }

    /// What lies at `path` or below counts as [far](crate::Fs::is_far).
    pub fn set_far(&self, path: impl Into<PathBuf>) {
        self.state().far = Some(path.into());
    }

    /// Kills our process and cuts the power of its storage. Files and the programs that write them stay; open files,
    /// watches and reads in flight are forgotten: what an earlier incarnation still holds fails with `ESTALE` or
    /// stays silent, and may be dropped at any time. Of the storage all that was synced stays, and of the writes since
    /// then a random part, see [`World::storage`].
    pub fn crash(&self) {
        let mut state = self.state();
        state.forget_process("crash");
        let State { journals, disk, rng, faults, .. } = &mut *state;
        let (all, stayed) = journals.crash(disk, rng, faults);
        state.note(format_args!("storage: {stayed} of {all} unsynced calls stay"));
        state.disk.close_readers();
    }

    /// As [`World::crash`], but the power stays on: what was written to the storage is there, synced or not. This is
    /// what `kill -9` does.
    pub fn kill(&self) {
        let mut state = self.state();
        state.forget_process("kill");
        state.disk.close_readers();
    }

    /// The newest events, oldest first, at most some thousands: what a failing test prints beside its seed.
    pub fn history(&self) -> Vec<String> {
        self.state().history.lines()
    }

    /// A hash of all events since the beginning: equal for equal seeds and calls.
    pub fn fingerprint(&self) -> u64 {
        self.state().history.fingerprint()
    }

    /// Adds a line of the test's own to the history.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        self.state().note(what);
    }

    /// Files that our process holds open.
    pub fn open_files(&self) -> usize {
        self.state().disk.open_readers()
    }

    /// A number from the world's seed, below `bound` (which is not 0): one generator decides the whole run.
    pub fn random(&self, bound: u64) -> u64 {
        self.state().rng.u64(..bound)
    }

    pub(super) fn is(&self, other: &World) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A test that panics elsewhere still wants the history.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the disk, tells the watches and notes it.
    pub(super) fn change<T>(
        &self,
        what: fmt::Arguments<'_>,
        change: impl FnOnce(&mut Disk) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        let State { disk, watches, faults, rng, history, now, .. } = &mut *state;
        disk.reuse_ino = strikes(rng, faults.inode_reuse);
        let result = change(disk);
        history.note(*now, format_args!("{what}: {}", Outcome(&result)));
        for notice in disk.notices.drain(..) {
            watches.publish(&notice, faults, rng);
        }
        result
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl State {
    pub(super) fn note(&mut self, what: fmt::Arguments<'_>) {
        self.history.note(self.now, what);
    }

    pub(super) fn wall_ns(&self) -> i64 {
        nanos(self.now).saturating_add(self.wall_offset_ns)
    }

    /// Whether a fault of this probability happens now.
    pub(super) fn strikes(&mut self, chance: f64) -> bool {
        strikes(&mut self.rng, chance)
    }

    fn forget_process(&mut self, how: &str) {
        self.incarnation += 1;
        let State { history, now, incarnation, .. } = self;
        history.note(*now, format_args!("{how}: incarnation {incarnation}"));
        self.watches.close_all();
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
