//! Whether the shards have anything left to do.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One flag per shard; whoever waits is woken when all are set.
#[derive(Debug)]
pub(crate) struct Activity {
    idle: Mutex<Vec<bool>>,
    changed: Condvar,
}

impl Activity {
    pub(crate) fn new(shards: usize) -> Self {
        Activity { idle: Mutex::new(vec![false; shards]), changed: Condvar::new() }
    }

    /// All shards have something to do until they say otherwise.
    pub(crate) fn reset(&self) {
        self.idle().fill(false);
    }

    pub(crate) fn set_idle(&self, shard: usize, idle: bool) {
        self.idle()[shard] = idle;
        if idle {
            self.changed.notify_all();
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.idle().iter().all(|idle| *idle)
    }

    /// Waits until all shards are idle; false when `timeout` passed first.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut idle = self.idle();
        while !idle.iter().all(|idle| *idle) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            idle = self.changed.wait_timeout(idle, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn idle(&self) -> MutexGuard<'_, Vec<bool>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
