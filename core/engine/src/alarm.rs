//! Whether one of the engine's threads ended by a panic: then the collection cannot go on whole, and whoever runs it is told.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Tell = Box<dyn Fn(&str) + Send>;

/// Shared by the engine and its threads.
#[derive(Clone, Default)]
pub(crate) struct Alarm(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    tell: Option<Tell>,
    /// The thread that panicked first.
    rung: Option<String>,
}

impl Alarm {
    /// Calls `tell` with the name of the thread that panics, at once if one did already.
    pub(crate) fn listen(&self, tell: impl Fn(&str) + Send + 'static) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.rung {
            Some(thread) => tell(thread),
            None => state.tell = Some(Box::new(tell)),
        }
    }

    /// To be held by the thread called `name` as long as it runs.
    pub(crate) fn guard(&self, name: &str) -> Guard {
        Guard { alarm: self.clone(), name: name.to_owned() }
    }

    fn ring(&self, thread: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tell) = state.tell.take() {
            tell(thread);
        }
        state.rung.get_or_insert_with(|| thread.to_owned());
    }
}

/// Rings when it is dropped by a panic.
pub(crate) struct Guard {
    alarm: Alarm,
    name: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.alarm.ring(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(alarm: &Alarm) -> Arc<Mutex<Vec<String>>> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        alarm.listen(move |thread| telling.lock().expect("no panic here").push(thread.to_owned()));
        told
    }

    #[test]
    fn a_panic_is_told_once_also_to_whoever_listens_later_and_an_end_is_not() {
        let alarm = Alarm::default();
        let before = told(&alarm);
        let run = |name: &'static str, panics: bool| {
            let guard = alarm.guard(name);
            let body = move || {
                let _guard = guard;
                assert!(!panics, "as the test wants it");
            };
            let _ = thread::spawn(body).join();
        };
        run("well", false);
        run("ill", true);
        run("ill too", true);
        assert_eq!(*before.lock().expect("told"), ["ill"]);
        assert_eq!(*told(&alarm).lock().expect("told"), ["ill"]);
    }
}
