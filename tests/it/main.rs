//! The product on real files, real processes and a real container runtime.
//!
//! Each test starts the `ringtail` program: the one that cargo builds with these tests, or the one that the
//! variable `RINGTAIL_BIN` names. What depends on the I/O backend is stamped onto both; where `RINGTAIL_IO` is set,
//! that one alone is run. A part that cannot run here is told: see `support::not_run`. `RINGTAIL_TEST_ALL=1` makes
//! the long ones longer, `RINGTAIL_ALONE=1` allows what concerns the whole machine, `RINGTAIL_SEED` repeats a run
//! under kill -9, `RINGTAIL_KEEP=1` keeps a failed test's files.

mod support;

mod alike;
mod barren;
mod churn;
mod collect;
mod crash;
mod docker;
mod down;
mod fair;
mod formats;
mod held;
mod huge;
mod input;
mod many;
mod node;
mod outputs;
mod paths;
mod peers;
mod restart;
mod rights;
mod rotation;
mod seccomp;
mod secrets;
mod short;
mod state;
mod torture;
