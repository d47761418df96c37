//! The environment of this process: read here, nowhere else.

use std::env;

use ringtail_io::{Choice, UnknownBackend};

/// The value of a variable, where it is set and UTF-8.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// The I/O backend that `RINGTAIL_IO` asks for: `uring`, `pread`, or `auto` where it is not set.
pub fn io_choice() -> Result<Choice, UnknownBackend> {
    match variable("RINGTAIL_IO") {
        Some(name) if !name.is_empty() => name.parse(),
        _ => Ok(Choice::Auto),
    }
}
