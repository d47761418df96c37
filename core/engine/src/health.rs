//! Whether the threads are alive: each counts its turns, and whoever asks sees that none ended and all went on turning.
//!
//! A turn costs one relaxed addition and no look at a clock; the time is taken by whoever asks. A thread that hangs is
//! told from the second question on, when the count stood still between two that are far enough apart.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a shard may take for a turn: it waits for a second at most, and what blocks is done elsewhere.
pub(crate) const SHARD_HANGS_AFTER: Duration = Duration::from_secs(30);

/// How long the checkpointer may take: a disk may be slow to sync.
pub(crate) const CHECKPOINTER_HANGS_AFTER: Duration = Duration::from_secs(60);

/// How long the scanner may take: the first look goes through everything that there is.
pub(crate) const SCANNER_HANGS_AFTER: Duration = Duration::from_secs(300);

/// A thread without which nothing is collected any more; only a new start helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    /// Which.
    pub thread: String,
    /// How long it has made no turn, at least; nothing when it has ended.
    pub hangs_for: Option<Duration>,
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hangs_for {
            None => write!(f, "{} has ended", self.thread),
            Some(time) => write!(f, "{} hangs: no turn for {} s", self.thread, time.as_secs()),
        }
    }
}

impl std::error::Error for Unhealthy {}

/// What is asked of a thread.
pub(crate) struct Vital {
    pub(crate) thread: String,
    pub(crate) has_ended: bool,
    pub(crate) turns: u64,
    pub(crate) hangs_after: Duration,
}

/// What the threads were seen to do.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// By thread: its turns, and since when they stand there.
    seen: Mutex<BTreeMap<String, (u64, Instant)>>,
}

impl Health {
    /// Looks at all threads; the first that does not work is the error.
    pub(crate) fn check(&self, vitals: Vec<Vital>, now: Instant) -> Result<(), Unhealthy> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Ok(());
        for Vital { thread, has_ended, turns, hangs_after } in vitals {
            let last = seen.entry(thread.clone()).or_insert((turns, now));
            if last.0 != turns {
                *last = (turns, now);
            }
            let still = now.saturating_duration_since(last.1);
            let hangs_for = (!has_ended).then_some(still);
            if found.is_ok() && (has_ended || still >= hangs_after) {
                found = Err(Unhealthy { thread, hangs_for });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_ended_or_makes_no_turn_is_told_and_one_that_goes_on_is_not() {
        let (health, start) = (Health::default(), Instant::now());
        let vital = |thread: &str, turns, has_ended| Vital {
            thread: thread.to_owned(),
            has_ended,
            turns,
            hangs_after: SHARD_HANGS_AFTER,
        };
        let ask = |turns: [u64; 2], seconds| {
            let vitals = vec![vital("shard 0", turns[0], false), vital("shard 1", turns[1], false)];
            health.check(vitals, start + Duration::from_secs(seconds)).map_err(|why| why.to_string())
        };
        assert_eq!(ask([1, 1], 0), Ok(()));
        assert_eq!(ask([9, 1], 29), Ok(()));
        assert_eq!(ask([10, 1], 31), Err("shard 1 hangs: no turn for 31 s".to_owned()));
        assert_eq!(ask([11, 2], 40), Ok(()), "it was only slow");
        assert_eq!(ask([12, 2], 69), Ok(()));
        assert_eq!(ask([12, 3], 100), Err("shard 0 hangs: no turn for 31 s".to_owned()));
        let ended = health.check(vec![vital("scanner", 5, true)], start);
        assert_eq!(ended.map_err(|why| why.to_string()), Err("scanner has ended".to_owned()));
    }
}
