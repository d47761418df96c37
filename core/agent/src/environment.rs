//! The environment of this process: read here, nowhere else.

use std::env;

/// The value of a variable, where it is set and UTF-8.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
