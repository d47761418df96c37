//! Whether the shards have anything left to do.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::stats::Count;

/// What an idle shard has taken note of: each order to the shards begins a new epoch, so that a shard that was idle
/// before it took the order does not count as idle after it.
pub(crate) type Epoch = u64;

/// In which epoch each shard was idle last; whoever waits is woken when all are.
#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<State>,
    changed: Condvar,
    /// How many turns each shard's loop has made.
    turns: Vec<Count>,
}

#[derive(Debug)]
struct State {
    epoch: Epoch,
    idle_in: Vec<Option<Epoch>>,
}

impl State {
    fn is_idle(&self) -> bool {
        self.idle_in.iter().all(|epoch| *epoch == Some(self.epoch))
    }
}

impl Activity {
    pub(crate) fn new(shards: usize) -> Self {
        let state = State { epoch: 0, idle_in: vec![None; shards] };
        let turns = (0..shards).map(|_| Count::default()).collect();
        Activity { state: Mutex::new(state), changed: Condvar::new(), turns }
    }

    /// A shard makes a turn.
    pub(crate) fn turn(&self, shard: usize) {
        self.turns[shard].add(1);
    }

    /// How many turns a shard has made.
    pub(crate) fn turns(&self, shard: usize) -> u64 {
        self.turns[shard].get()
    }

    /// Begins an epoch: nobody is idle before having taken note of it.
    pub(crate) fn begin(&self) -> Epoch {
        let mut state = self.state();
        state.epoch += 1;
        state.epoch
    }

    /// A shard that has taken note of `epoch` has nothing to do, or has something again.
    pub(crate) fn set_idle(&self, shard: usize, epoch: Epoch, idle: bool) {
        self.state().idle_in[shard] = idle.then_some(epoch);
        if idle {
            self.changed.notify_all();
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.state().is_idle()
    }

    /// Waits until all shards are idle; false when `timeout` passed first.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        while !state.is_idle() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
