//! A remote mount's own thread, for calls that may never come back: opening, looking, listing, closing.
//!
//! Nobody waits for it longer than [`PATIENCE`]. While a call that was given up has not come back, the mount counts as
//! hung and every further call fails at once, so that one that never answers costs its callers one wait. A mount whose
//! answers take longer than that is never seen into.
//!
//! Limits: one thread a mount, which ends when it has had nothing to do for [`IDLE`]; what waits for it is at most one call
//! of each caller, and the files that were closed meanwhile.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a call is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(10);
/// A thread makes one system call at a time and lists directories.
const STACK_BYTES: usize = 128 << 10;

/// The thread of one mount, and what waits for it.
#[derive(Debug)]
pub(crate) struct Lane {
    shared: Arc<Shared>,
    patience: Duration,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Box<dyn FnOnce() + Send>>,
    /// Whether there is a thread, and whether it waits for work.
    has_thread: bool,
    /// Calls that were given up and have not come back.
    stuck: u32,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("queued", &self.queue.len()).field("stuck", &self.stuck).finish()
    }
}

/// One call's way back to who waits for it.
struct Slot<T> {
    answer: Mutex<Answer<T>>,
    came: Condvar,
}

enum Answer<T> {
    Awaited,
    Here(T),
    GivenUp,
}

impl Lane {
    pub(crate) fn new() -> Self {
        Lane::with_patience(PATIENCE)
    }

    fn with_patience(patience: Duration) -> Self {
        let shared = Shared { state: Mutex::default(), work: Condvar::new() };
        Lane { shared: Arc::new(shared), patience }
    }

    /// Makes a call on the mount's thread. `TimedOut` when it does not come back in time, and at once while an earlier one
    /// has not.
    pub(crate) fn call<T, F>(&self, call: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let slot = Arc::new(Slot { answer: Mutex::new(Answer::Awaited), came: Condvar::new() });
        let (answering, shared) = (slot.clone(), self.shared.clone());
        let job = move || {
            let result = call();
            let mut answer = answering.lock();
            match &*answer {
                // What comes too late is dropped here, where closing may block.
                Answer::GivenUp => shared.lock().stuck -= 1,
                Answer::Awaited | Answer::Here(_) => {
                    *answer = Answer::Here(result);
                    answering.came.notify_one();
                }
            }
        };
        if self.shared.lock().stuck > 0 {
            return Err(hung());
        }
        self.shared.push(Box::new(job))?;
        let give_up = || self.shared.lock().stuck += 1;
        slot.wait(Instant::now() + self.patience, give_up).unwrap_or_else(|| Err(hung()))
    }

    /// Drops `what` on the mount's thread.
    pub(crate) fn dispose(&self, what: impl Send + 'static) {
        // Where no thread can be had it is dropped here: closing blocks only on few file systems.
        let _ = self.shared.push(Box::new(move || drop(what)));
    }
}

fn hung() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the mount does not answer")
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, Answer<T>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer. When it does not come before `deadline`: nothing, none will be given, and `give_up` was called before
    /// the other side can know.
    fn wait(&self, deadline: Instant, give_up: impl FnOnce()) -> Option<T> {
        let mut answer = self.lock();
        loop {
            match std::mem::replace(&mut *answer, Answer::Awaited) {
                Answer::Here(result) => return Some(result),
                Answer::Awaited | Answer::GivenUp => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                give_up();
                *answer = Answer::GivenUp;
                return None;
            }
            (answer, _) = self.came.wait_timeout(answer, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        let mut state = self.lock();
        if !state.has_thread {
            let shared = self.clone();
            let builder = thread::Builder::new().name("ringtail-mount".into()).stack_size(STACK_BYTES);
            builder.spawn(move || shared.serve())?;
            state.has_thread = true;
        }
        state.queue.push_back(job);
        self.work.notify_one();
        Ok(())
    }

    /// The life of the thread.
    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                job();
                state = self.lock();
                continue;
            }
            let (woken, waited) = self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if waited.timed_out() && state.queue.is_empty() {
                state.has_thread = false;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// The first call waits, the next ones do not, and all is well again when the mount answers.
    #[test]
    fn a_call_that_does_not_come_back_costs_one_wait_until_it_does() {
        let lane = Lane::with_patience(Duration::from_millis(100));
        assert_eq!(lane.call(|| Ok(7)).expect("answered"), 7);
        let (answer, answered) = mpsc::channel::<()>();
        let began = Instant::now();
        let hung = lane.call(move || answered.recv().map_err(io::Error::other));
        assert_eq!(hung.expect_err("given up").kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() >= Duration::from_millis(100));
        let (dropped, was_dropped) = mpsc::channel::<()>();
        lane.dispose(dropped);
        let asked = Instant::now();
        for _ in 0..1000 {
            assert_eq!(lane.call(|| Ok(())).expect_err("hung").kind(), ErrorKind::TimedOut);
        }
        assert!(asked.elapsed() < Duration::from_secs(5), "1000 calls did not wait");
        assert_eq!(was_dropped.try_recv(), Err(mpsc::TryRecvError::Empty), "closing waits its turn");
        answer.send(()).expect("the call still waits");
        assert_eq!(was_dropped.recv(), Err(mpsc::RecvError), "and gets it");
        assert_eq!(lane.call(|| Ok(8)).expect("answered"), 8);
    }

    /// However an answer and the end of the patience meet, each call is answered or given up, and none stays stuck.
    #[test]
    fn answers_and_the_end_of_patience_may_meet() {
        let lane = Lane::with_patience(Duration::from_micros(300));
        let mut answered = 0;
        for round in 0..2000_u64 {
            let call = move || {
                thread::sleep(Duration::from_micros(round % 400));
                Ok(round)
            };
            answered += u32::from(lane.call(call).is_ok());
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while lane.call(|| Ok(())).is_err() {
            assert!(Instant::now() < deadline, "nothing is stuck in the end; {answered} calls were answered");
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(lane.shared.lock().stuck, 0);
    }
}
