//! The product on real files, real processes and a real container runtime.
//!
//! Each test starts the `ringtail` program: the one that cargo builds with these tests, or the one that the
//! variable `RINGTAIL_BIN` names. What depends on the I/O backend is stamped onto both, `RINGTAIL_IO=uring` and
//! `pread`. A part that cannot run here says `NOT RUN` with its reason; with `CI=true` that is a failure.

mod support;

mod collect;
mod crash;
mod docker;
mod input;
mod many;
mod outputs;
mod restart;
mod rotation;
mod state;
