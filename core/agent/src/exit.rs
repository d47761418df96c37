//! How a command ends.

use std::process::ExitCode;

/// The exit code of a command, the same for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 0: it did what was asked.
    Done = 0,
    /// 1: it failed, or found what it looks for.
    Failed = 1,
    /// 2: wrong usage or configuration.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
