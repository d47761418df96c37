//! A remote mount's own threads, for calls that may never come back: opening, looking, listing, closing.
//!
//! Nobody waits for a mount that has answered nothing for [`PATIENCE`]: it counts as hung, and every further call fails at once, so
//! that one that never answers costs its callers one wait. Once in a while one call is let through, to see whether it answers others;
//! any answer ends it. Many answers may take as long as they like, but a call that gets none of its own for a while
//! ([`LONGEST`]) is given up though others are answered. A mount whose single answers take longer than that is never seen into.
//!
//! A call that was given up keeps its thread until it comes back, since nothing can end it, and its path is not asked for anything
//! else meanwhile: a file that hangs costs one thread. The others go on with those that are left. Without any, all calls fail at once.
//!
//! Limits: [`FAR_AT_ONCE`] threads a mount, which end when they have had nothing to do for [`IDLE`]; what waits for them is at most
//! one call of each caller, and the files that were closed meanwhile, for which nobody waits: they are closed one by one, after
//! the calls.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a mount may answer nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// Patiences that one call may get no answer while others are answered, and between two trials of a hung mount.
const LONGEST: u32 = 5;
/// Calls of a [far](crate::Fs::is_far) mount that may be under way at once, each on a thread of its own. Who has much to ask asks so
/// much at a time: more would wait behind it.
pub const FAR_AT_ONCE: usize = 8;
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
    /// What was asked by the calls that were given up and have not come back: each has a thread.
    given_up: Vec<Arc<Path>>,
    /// When the mount answered last.
    answered_at: Option<Instant>,
    /// It hangs, and was found to do so then.
    hung_at: Option<Instant>,
}

impl State {
    fn answered(&mut self, now: Instant) {
        (self.answered_at, self.hung_at) = (Some(now), None);
    }

    /// Whether something may be asked about `path`.
    fn admits(&mut self, path: &Path, now: Instant, trial_after: Duration) -> bool {
        if self.given_up.len() >= FAR_AT_ONCE || self.given_up.iter().any(|given_up| **given_up == *path) {
            return false;
        }
        let is_trial = self.hung_at.is_some_and(|at| now >= at + trial_after);
        let admits = self.hung_at.is_none() || is_trial;
        self.hung_at = if is_trial { Some(now) } else { self.hung_at };
        admits
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Tells of answers within one call that asks the mount more than once.
pub(crate) struct Pulse<'a> {
    shared: &'a Shared,
    alive_at: &'a Mutex<Option<Instant>>,
}

impl Pulse<'_> {
    /// The mount has answered something.
    pub(crate) fn answered(&self) {
        let now = Instant::now();
        *self.alive_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.shared.lock().answered(now);
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("queued", &self.calls.len()).field("given_up", &self.given_up).finish()
    }
}

/// One call's way back to who waits for it.
struct Slot<T> {
    answer: Mutex<Answer<T>>,
    came: Condvar,
    /// When the call began, or was answered something since.
    alive_at: Mutex<Option<Instant>>,
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

    /// Makes a call that asks about `path` on a thread of the mount. `TimedOut` when it is not answered in time, and at once while
    /// the mount hangs, or an earlier call that asked about the same has not come back.
    pub(crate) fn call<T, F>(&self, path: &Path, call: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Pulse<'_>) -> io::Result<T> + Send + 'static,
    {
        let longest = self.patience * LONGEST;
        let asked_at = Instant::now();
        if !self.shared.lock().admits(path, asked_at, longest) {
            return Err(hung());
        }
        let slot = Arc::new(Slot::new());
        let path: Arc<Path> = path.into();
        let (answering, shared, about) = (slot.clone(), self.shared.clone(), path.clone());
        let job = move || {
            if !answering.begin() {
                return;
            }
            let pulse = Pulse { shared: &shared, alive_at: &answering.alive_at };
            let result = call(&pulse);
            pulse.answered();
            let mut answer = answering.lock();
            match &*answer {
                // What comes too late is dropped here, where closing may block.
                Answer::GivenUp => shared.lock().given_up.retain(|given_up| !Arc::ptr_eq(given_up, &about)),
                Answer::Awaited | Answer::Here(_) => {
                    *answer = Answer::Here(result);
                    answering.came.notify_one();
                }
            }
        };
        self.shared.push(Box::new(job), |state| &mut state.calls)?;
        let silent_at =
            || self.shared.lock().answered_at.map_or(asked_at, |at| at.max(asked_at)) + self.patience;
        let give_up = |has_begun: bool| {
            let now = Instant::now();
            let is_silent = silent_at() <= now;
            let mut state = self.shared.lock();
            state.given_up.extend(has_begun.then_some(path));
            state.hung_at = if is_silent { Some(now) } else { state.hung_at };
        };
        let deadline = |alive_at: Option<Instant>| {
            let silent_at = silent_at();
            alive_at.map_or(silent_at, |at| silent_at.min(at + longest))
        };
        slot.wait(deadline, give_up).unwrap_or_else(|| Err(hung()))
    }

    /// Drops `what` on a thread of the mount.
    pub(crate) fn dispose(&self, what: impl Send + 'static) {
        let shared = self.shared.clone();
        let job = move || {
            drop(what);
            shared.lock().answered(Instant::now());
        };
        // Where no thread can be had it is dropped here: closing blocks only on few file systems.
        let _ = self.shared.push(Box::new(job), |state| &mut state.closings);
    }
}

fn hung() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the mount does not answer")
}

impl<T> Slot<T> {
    fn new() -> Self {
        Slot { answer: Mutex::new(Answer::Awaited), came: Condvar::new(), alive_at: Mutex::default() }
    }

    fn alive_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.alive_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call begins; not where it was given up while it waited for a thread.
    fn begin(&self) -> bool {
        let answer = self.lock();
        *self.alive_at() = Some(Instant::now());
        matches!(*answer, Answer::Awaited)
    }

    fn lock(&self) -> MutexGuard<'_, Answer<T>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer. When it does not come before `deadline`, which is told when the call was seen alive and may change meanwhile:
    /// nothing, none will be given, and `give_up` was told whether the call has begun before the other side can know.
    fn wait(&self, deadline: impl Fn(Option<Instant>) -> Instant, give_up: impl FnOnce(bool)) -> Option<T> {
        let mut answer = self.lock();
        loop {
            match std::mem::replace(&mut *answer, Answer::Awaited) {
                Answer::Here(result) => return Some(result),
                Answer::Awaited | Answer::GivenUp => {}
            }
            let alive_at = *self.alive_at();
            let left = deadline(alive_at).saturating_duration_since(Instant::now());
            if left.is_zero() {
                give_up(alive_at.is_some());
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
        if wanted > state.idle && state.threads < FAR_AT_ONCE {
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
            let are_many = state.closings.len() > MOST_CLOSINGS && state.hung_at.is_none();
            let call = if are_many { None } else { state.calls.pop_front() };
            let closes = call.is_none() && !state.is_closing && state.hung_at.is_none();
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

    /// Some path of the mount.
    fn at(number: usize) -> &'static Path {
        Path::new(["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8"][number])
    }

    /// The first call waits, the next ones do not, and all is well again when the mount answers.
    #[test]
    fn a_call_that_does_not_come_back_costs_one_wait_until_it_does() {
        let lane = Lane::with_patience(Duration::from_millis(100));
        assert_eq!(lane.call(at(0), |_| Ok(7)).expect("answered"), 7);
        let (answer, answered) = mpsc::channel::<()>();
        let began = Instant::now();
        let hung = lane.call(at(0), move |_| answered.recv().map_err(io::Error::other));
        assert_eq!(hung.expect_err("given up").kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() >= Duration::from_millis(100));
        let (dropped, was_dropped) = mpsc::channel::<()>();
        lane.dispose(dropped);
        let asked = Instant::now();
        for _ in 0..1000 {
            assert_eq!(lane.call(at(0), |_| Ok(())).expect_err("hung").kind(), ErrorKind::TimedOut);
        }
        assert!(asked.elapsed() < Duration::from_secs(5), "1000 calls did not wait");
        assert_eq!(was_dropped.try_recv(), Err(mpsc::TryRecvError::Empty), "closing waits its turn");
        answer.send(()).expect("the call still waits");
        assert_eq!(was_dropped.recv(), Err(mpsc::RecvError), "and gets it");
        assert_eq!(lane.call(at(0), |_| Ok(8)).expect("answered"), 8);
    }

    /// One file never answers. Others are answered meanwhile, by calls that nobody else waits for.
    #[test]
    fn a_call_that_gets_no_answer_is_given_up_while_others_are_answered() {
        let lane = Lane::with_patience(Duration::from_millis(200));
        let (answer, answered) = mpsc::channel::<()>();
        let has_ended = std::sync::atomic::AtomicBool::new(false);
        let order = std::sync::atomic::Ordering::Relaxed;
        let began = Instant::now();
        thread::scope(|scope| {
            let others = scope.spawn(|| {
                while !has_ended.load(order) {
                    assert!(lane.call(at(1), |_| Ok(())).is_ok(), "answered");
                    thread::sleep(Duration::from_millis(10));
                }
            });
            let hung = lane.call(at(0), move |_| answered.recv().map_err(io::Error::other));
            has_ended.store(true, order);
            assert_eq!(hung.expect_err("given up").kind(), ErrorKind::TimedOut);
            others.join().expect("no panic");
        });
        assert!(began.elapsed() >= Duration::from_millis(1000), "{:?}", began.elapsed());
        assert!(lane.call(at(1), |_| Ok(())).is_ok(), "the mount does not hang");
        let refused = lane.call(at(0), |_| -> io::Result<()> { panic!("asked again") });
        assert_eq!(refused.expect_err("it is not asked again").kind(), ErrorKind::TimedOut);
        answer.send(()).expect("the call still waits");
        let deadline = Instant::now() + Duration::from_secs(20);
        while lane.call(at(0), |_| Ok(())).is_err() {
            assert!(Instant::now() < deadline, "it is asked again once it has come back");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The file that never answers is asked first, so that the mount seems to hang. It is found that it answers others; up to eight
    /// such files keep a thread each, then nobody waits any more, until one comes back.
    #[test]
    fn a_mount_of_which_some_files_hang_is_tried_again_with_others() {
        let lane = Lane::with_patience(Duration::from_millis(20));
        let mut waiting = Vec::new();
        for number in 0..FAR_AT_ONCE {
            let (answer, answered) = mpsc::channel::<()>();
            let hang = move |_: &Pulse<'_>| answered.recv().map_err(io::Error::other);
            assert_eq!(lane.call(at(number), hang).expect_err("given up").kind(), ErrorKind::TimedOut);
            waiting.push(answer);
            assert!(lane.call(at(8), |_| Ok(())).is_err(), "it hangs");
            thread::sleep(Duration::from_millis(100));
            let tried = lane.call(at(8), |_| Ok(()));
            assert_eq!(tried.is_ok(), number + 1 < FAR_AT_ONCE, "while a thread is left: {number}");
        }
        assert_eq!(lane.shared.lock().threads, FAR_AT_ONCE);
        waiting.pop().expect("some").send(()).expect("the call still waits");
        let deadline = Instant::now() + Duration::from_secs(20);
        while lane.call(at(8), |_| Ok(())).is_err() {
            assert!(Instant::now() < deadline, "one that comes back is enough");
            thread::sleep(Duration::from_millis(1));
        }
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
            let listing = scope.spawn(|| lane.call(at(0), rounds));
            let other = scope.spawn(|| lane.call(at(1), late));
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
        assert_eq!(lane.call(at(0), |_| Ok(7)).expect("answered"), 7);
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
            answered += u32::from(lane.call(at(0), call).is_ok());
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while lane.call(at(0), |_| Ok(())).is_err() {
            assert!(Instant::now() < deadline, "nothing is stuck in the end; {answered} calls were answered");
            thread::sleep(Duration::from_millis(1));
        }
        assert!(lane.shared.lock().given_up.is_empty());
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
            for _ in 0..FAR_AT_ONCE {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < 4000 {
                        let counts = open.clone();
                        let file = lane.call(at(0), move |_| {
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
