//! What every entry goes through: a panic, which would be a defect of this library, ends here and never in the host.
#![allow(unsafe_code)]

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, Once, PoisonError};

use crate::status::{RINGTAIL_EPANIC, ringtail_status_t};

/// What the last panic said, for the error that tells of it.
static LAST: Mutex<String> = Mutex::new(String::new());
static QUIET: Once = Once::new();

/// Keeps panics from being printed: a library has no output. The hook is the one of the library's own copy of the Rust
/// runtime; a host that is written in Rust too keeps its own.
pub(crate) fn be_quiet() {
    QUIET.call_once(|| {
        panic::set_hook(Box::new(|info| {
            *LAST.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
        }));
    });
}

/// What the last panic in this process's copy of the library said.
pub(crate) fn last_panic() -> String {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Runs the body of an entry. What it leaves behind after a panic is not used again: every lock that was held is
/// poisoned, and says so to the next call.
pub(crate) fn enter(body: impl FnOnce() -> ringtail_status_t) -> ringtail_status_t {
    enter_or(RINGTAIL_EPANIC, body)
}

/// The same for an entry whose answer is no status: `otherwise` after a panic.
pub(crate) fn enter_or<R>(otherwise: R, body: impl FnOnce() -> R) -> R {
    be_quiet();
    panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// Panics inside the library, so that a host can prove that it survives one. Declared under `RINGTAIL_EXPERIMENTAL`.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_test_panic() -> ringtail_status_t {
    enter(|| panic!("asked for by ringtail_test_panic"))
}
