//! What the tests share.

pub(crate) mod bounds;
pub(crate) mod cgroup;
pub(crate) mod config;
pub(crate) mod descriptors;
pub(crate) mod dockerd;
pub(crate) mod faults;
pub(crate) mod fuse;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod profile;
pub(crate) mod program;
pub(crate) mod records;
pub(crate) mod scene;
pub(crate) mod tls;
pub(crate) mod tmpfs;

use std::io::Write;
use std::time::{Duration, Instant};

/// Waits until something holds, looking every few milliseconds; fails the test with what it waited for when it
/// takes too long.
#[track_caller]
pub(crate) fn until(what: &str, at_most: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + at_most;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {at_most:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Names a part that cannot run on this machine: in the file that `RINGTAIL_NOT_RUN` names, which who runs all
/// tests shows and, with `CI=true`, takes for a failure; without that file here.
#[track_caller]
pub(crate) fn not_run(what: &str, why: &str) {
    let told = format!("{what}: {why}\n");
    match std::env::var_os("RINGTAIL_NOT_RUN") {
        Some(path) => scene::append(path.as_ref(), told.as_bytes()),
        None => {
            assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "cannot run: {told}");
            // Unlike eprintln, this is shown for a test that passes.
            let _ = write!(std::io::stderr(), "NOT RUN: {told}");
        }
    }
}

/// Whether what takes longer is to run, too.
pub(crate) fn all() -> bool {
    std::env::var_os("RINGTAIL_TEST_ALL").is_some()
}

/// Stamps a test, a function of [`program::Io`], onto both backends.
macro_rules! on_both_backends {
    ($($(#[$about:meta])* $test:ident;)*) => {
        mod on_uring {
            $($(#[$about])* #[test] fn $test() { $crate::support::program::with(
                $crate::support::program::Io::Uring, stringify!($test), super::$test) })*
        }
        mod on_pread {
            $($(#[$about])* #[test] fn $test() { $crate::support::program::with(
                $crate::support::program::Io::Pread, stringify!($test), super::$test) })*
        }
    };
}
pub(crate) use on_both_backends;
