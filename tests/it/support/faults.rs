//! How a backend fails: seeded, so that a run can be repeated as far as the machine allows.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ringtail_agent::demo::http::Answer;
use ringtail_agent::demo::sink::Reply;

/// The longest that an answer to a request that was taken is delayed.
pub(crate) const MAX_DELAY: Duration = Duration::from_millis(300);

/// A policy for a sink that works most of the time.
pub(crate) struct Faults {
    state: Mutex<State>,
}

struct State {
    random: fastrand::Rng,
    dead_until: Instant,
    over: bool,
}

impl Faults {
    pub(crate) fn seeded(seed: u64) -> Arc<Self> {
        let random = fastrand::Rng::with_seed(seed);
        Arc::new(Faults { state: Mutex::new(State { random, dead_until: Instant::now(), over: false }) })
    }

    /// From now on everything is taken.
    pub(crate) fn over(&self) {
        self.state.lock().expect("no test panics with the lock held").over = true;
    }

    pub(crate) fn reply(&self) -> Reply {
        let mut state = self.state.lock().expect("no test panics with the lock held");
        if state.over {
            return Reply::OK;
        }
        if Instant::now() < state.dead_until {
            return Reply::refused(Answer::Reset);
        }
        match state.random.u8(0..100) {
            0..4 => Reply::refused(Answer::Status(500)),
            4..7 => Reply { answer: Answer::Status(503), ..Reply::OK },
            7..10 => Reply::refused(Answer::TooMany(1)),
            10..14 => Reply::refused(Answer::Reset),
            14..17 => Reply { answer: Answer::Reset, ..Reply::OK },
            17..25 => Reply { delay: MAX_DELAY, ..Reply::OK },
            25..27 => {
                state.dead_until = Instant::now() + Duration::from_millis(700);
                Reply::refused(Answer::Reset)
            }
            _ => Reply::OK,
        }
    }
}
