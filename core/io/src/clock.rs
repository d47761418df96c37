//! Time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time. Monotonic time never goes back; wall time may jump.
pub trait Clock: Send + Sync {
    /// Time since some fixed moment before the start.
    fn now(&self) -> Duration;

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    fn wall_ns(&self) -> i64;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// A clock whose monotonic time begins now.
    pub fn new() -> Self {
        RealClock { start: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        RealClock::new()
    }
}

impl Clock for RealClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall_ns(&self) -> i64 {
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => nanos(since),
            Err(before) => -nanos(before.duration()),
        }
    }
}
