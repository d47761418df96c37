//! A remote mount's own threads, for calls that may never come back: opening, looking, listing, closing.
//!
//! Nobody waits for a mount that has answered nothing for [`PATIENCE`]. While a call that was given up has not come back, the
//! mount counts as hung and every further call fails at once, so that one that never answers costs its callers one wait. A
//! mount whose single answers take longer than that is never seen into; many answers may take as long as they like.
//!
//! Limits: [`THREADS`] threads a mount, which end when they have had nothing to do for [`IDLE`]; what waits for them is at most
//! one call of each caller, and the files that were closed meanwhile, for which nobody waits: they are closed one by one, after
//! the calls.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a mount may answer nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// Calls of a mount that may be under way at once.
pub(crate) const THREADS: usize = 8;
/// Files that may wait to be closed, one after the other behind the calls. Where there are more, they come first, and several at once:
/// each is an open file still.
const MOST_CLOSINGS: usize = 64;
const IDLE: Duration = Duration::from_secs(10);
/// A thread makes one system call at a time and lists directories.
pub(crate) const STACK_BYTES: usize = 128 << 10;

/// The threads of one mount, and what waits for them.
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
    calls: VecDeque<Job>,
    closings: VecDeque<Job>,
    /// One of the threads closes a file.
    is_closing: bool,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
    /// Calls that were given up and have not come back.
    stuck: u32,
    /// When the mount answered last.
    answered_at: Option<Instant>,
}

type Job = Box<dyn FnOnce() + Send>;

/// Tells of answers within one call that asks the mount more than once.
pub(crate) struct Pulse<'a>(&'a Shared);

impl Pulse<'_> {
    /// The mount has answered something.
    pub(crate) fn answered(&self) {
        self.0.lock().answered_at = Some(Instant::now());
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("queued", &self.calls.len()).field("stuck", &self.stuck).finish()
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

    /// Makes a call on a thread of the mount. `TimedOut` when the mount does not answer in time, and at once while an earlier
    /// call has not come back.
    pub(crate) fn call<T, F>(&self, call: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Pulse<'_>) -> io::Result<T> + Send + 'static,
    {
        let slot = Arc::new(Slot { answer: Mutex::new(Answer::Awaited), came: Condvar::new() });
        let (answering, shared) = (slot.clone(), self.shared.clone());
        let job = move || {
            let pulse = Pulse(&shared);
            let result = call(&pulse);
            pulse.answered();
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
        let asked_at = Instant::now();
        self.shared.push(Box::new(job), |state| &mut state.calls)?;
        let deadline =
            || self.shared.lock().answered_at.map_or(asked_at, |at| at.max(asked_at)) + self.patience;
        let give_up = || self.shared.lock().stuck += 1;
        slot.wait(deadline, give_up).unwrap_or_else(|| Err(hung()))
    }

    /// Drops `what` on a thread of the mount.
    pub(crate) fn dispose(&self, what: impl Send + 'static) {
        // Where no thread can be had it is dropped here: closing blocks only on few file systems.
        let _ = self.shared.push(Box::new(move || drop(what)), |state| &mut state.closings);
    }
}

fn hung() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the mount does not answer")
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, Answer<T>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer. When it does not come before `deadline`, which may change meanwhile: nothing, none will be given, and
    /// `give_up` was called before the other side can know.
    fn wait(&self, deadline: impl Fn() -> Instant, give_up: impl FnOnce()) -> Option<T> {
        let mut answer = self.lock();
        loop {
            match std::mem::replace(&mut *answer, Answer::Awaited) {
                Answer::Here(result) => return Some(result),
                Answer::Awaited | Answer::GivenUp => {}
            }
            let left = deadline().saturating_duration_since(Instant::now());
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

    fn push(self: &Arc<Self>, job: Job, queue: fn(&mut State) -> &mut VecDeque<Job>) -> io::Result<()> {
        let mut state = self.lock();
        queue(&mut state).push_back(job);
        let wanted = state.calls.len() + usize::from(!state.is_closing && !state.closings.is_empty());
        if wanted > state.idle && state.threads < THREADS {
            let shared = self.clone();
            let builder = thread::Builder::new().name("ringtail-mount".into()).stack_size(STACK_BYTES);
            match builder.spawn(move || shared.serve()) {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    let unserved = queue(&mut state).pop_back();
                    drop(state);
                    drop(unserved);
                    return Err(error);
                }
                // Those that there are come to it.
                Err(_) => {}
            }
        }
        self.work.notify_one();
        Ok(())
    }

    /// The life of a thread.
    fn serve(&self) {
        let mut state = self.lock();
        loop {
            // What hangs already is not asked for more.
            let are_many = state.closings.len() > MOST_CLOSINGS && state.stuck == 0;
            let call = if are_many { None } else { state.calls.pop_front() };
            let closes = call.is_none() && !state.is_closing && state.stuck == 0;
            let job = call.or_else(|| if are_many || closes { state.closings.pop_front() } else { None });
            if let Some(job) = job {
                state.is_closing |= closes;
                drop(state);
                job();
                state = self.lock();
                state.is_closing &= !closes;
                continue;
            }
            state.idle += 1;
            let (woken, waited) = self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.calls.is_empty() && state.closings.is_empty() {
                state.threads -= 1;
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
        assert_eq!(lane.call(|_| Ok(7)).expect("answered"), 7);
        let (answer, answered) = mpsc::channel::<()>();
        let began = Instant::now();
        let hung = lane.call(move |_| answered.recv().map_err(io::Error::other));
        assert_eq!(hung.expect_err("given up").kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() >= Duration::from_millis(100));
        let (dropped, was_dropped) = mpsc::channel::<()>();
        lane.dispose(dropped);
        let asked = Instant::now();
        for _ in 0..1000 {
            assert_eq!(lane.call(|_| Ok(())).expect_err("hung").kind(), ErrorKind::TimedOut);
        }
        assert!(asked.elapsed() < Duration::from_secs(5), "1000 calls did not wait");
        assert_eq!(was_dropped.try_recv(), Err(mpsc::TryRecvError::Empty), "closing waits its turn");
        answer.send(()).expect("the call still waits");
        assert_eq!(was_dropped.recv(), Err(mpsc::RecvError), "and gets it");
        assert_eq!(lane.call(|_| Ok(8)).expect("answered"), 8);
    }

    /// Listing a large directory asks again and again; and where several wait, one answer shows that the mount answers.
    #[test]
    fn a_mount_that_goes_on_answering_is_waited_for() {
        let lane = Lane::with_patience(Duration::from_millis(200));
        let rounds = |pulse: &Pulse<'_>| {
            for _ in 0..8 {
                thread::sleep(Duration::from_millis(60));
                pulse.answered();
            }
            Ok(())
        };
        let late = |_: &Pulse<'_>| {
            thread::sleep(Duration::from_millis(400));
            Ok(())
        };
        thread::scope(|scope| {
            let listing = scope.spawn(|| lane.call(rounds));
            let other = scope.spawn(|| lane.call(late));
            assert!(listing.join().expect("no panic").is_ok());
            assert!(other.join().expect("no panic").is_ok());
        });
    }

    /// Of hundreds of files that were read, each is closed by asking the mount.
    #[test]
    fn closing_keeps_no_call_waiting() {
        struct Slow(Arc<Mutex<u32>>);
        impl Drop for Slow {
            fn drop(&mut self) {
                thread::sleep(Duration::from_millis(5));
                *self.0.lock().expect("no panic") += 1;
            }
        }
        let (lane, closed) = (Lane::new(), Arc::new(Mutex::new(0)));
        (0..200).for_each(|_| lane.dispose(Slow(closed.clone())));
        assert_eq!(lane.call(|_| Ok(7)).expect("answered"), 7);
        assert!(*closed.lock().expect("no panic") < 200);
        let deadline = Instant::now() + Duration::from_secs(60);
        while *closed.lock().expect("no panic") < 200 {
            assert!(Instant::now() < deadline, "all are closed in the end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// However an answer and the end of the patience meet, each call is answered or given up, and none stays stuck.
    #[test]
    fn answers_and_the_end_of_patience_may_meet() {
        let lane = Lane::with_patience(Duration::from_micros(300));
        let mut answered = 0;
        for round in 0..2000_u64 {
            let call = move |_: &Pulse<'_>| {
                thread::sleep(Duration::from_micros(round % 400));
                Ok(round)
            };
            answered += u32::from(lane.call(call).is_ok());
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while lane.call(|_| Ok(())).is_err() {
            assert!(Instant::now() < deadline, "nothing is stuck in the end; {answered} calls were answered");
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(lane.shared.lock().stuck, 0);
    }

    /// As a look at many new files does: each is opened, told apart and closed, eight at a time; closing asks the server too. What is
    /// still open must not grow with the number of files.
    #[test]
    fn files_are_closed_about_as_fast_as_they_are_opened() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        struct Fd(Arc<AtomicUsize>);
        impl Drop for Fd {
            fn drop(&mut self) {
                thread::sleep(Duration::from_millis(2));
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let (lane, open, most) = (Lane::new(), Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < 4000 {
                        let counts = open.clone();
                        let file = lane.call(move |_| {
                            // A lookup, an open, a read.
                            thread::sleep(Duration::from_millis(6));
                            counts.fetch_add(1, Ordering::Relaxed);
                            Ok(Fd(counts))
                        });
                        most.fetch_max(open.load(Ordering::Relaxed), Ordering::Relaxed);
                        lane.dispose(file.expect("answered"));
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!(most < 200, "{most} files were open at once, of 4000 that were opened and let go");
    }
}
