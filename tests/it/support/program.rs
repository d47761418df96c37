//! The program under test and its two I/O backends.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::not_run;

/// The value of `RINGTAIL_IO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Io {
    Uring,
    Pread,
}

impl Io {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Io::Uring => "uring",
            Io::Pread => "pread",
        }
    }
}

/// Runs a test on a backend, where the kernel grants it. Who sets `RINGTAIL_IO` runs all tests once for each
/// backend, and gets those of the one that is set.
pub(crate) fn with(io: Io, test: &str, run: impl FnOnce(Io)) {
    if std::env::var_os("RINGTAIL_IO").is_some_and(|asked| asked != io.name()) {
        return;
    }
    match io == Io::Pread || ring_is_granted() {
        true => run(io),
        false => not_run(&format!("{test} on io_uring"), "this kernel or container refuses io_uring"),
    }
}

/// Asked of the kernel itself, not of the program under test: 0 is refused with EINVAL where io_uring exists.
fn ring_is_granted() -> bool {
    static GRANTED: OnceLock<bool> = OnceLock::new();
    *GRANTED.get_or_init(|| {
        let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
        let disabled = !matches!(disabled.trim(), "" | "0");
        !disabled && io_uring::IoUring::new(2).is_ok()
    })
}

/// Where the program is.
pub(crate) fn path() -> PathBuf {
    match std::env::var_os("RINGTAIL_BIN") {
        Some(path) => path.into(),
        None => env!("CARGO_BIN_EXE_ringtail-under-test").into(),
    }
}

/// The program with a backend.
pub(crate) fn command(io: Io) -> Command {
    let mut command = Command::new(path());
    command.env("RINGTAIL_IO", io.name());
    command
}
