//! What happened in a world, for whoever has to find out why a seed fails.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Lines kept; older ones are dropped.
const LINES: usize = 4000;

#[derive(Debug, Default)]
pub(super) struct History {
    lines: VecDeque<String>,
    /// Of all lines, dropped ones included.
    hasher: DefaultHasher,
}

impl History {
    pub(super) fn note(&mut self, now: Duration, what: fmt::Arguments<'_>) {
        let mut line = match self.lines.len() {
            LINES.. => self.lines.pop_front().unwrap_or_default(),
            _ => String::new(),
        };
        line.clear();
        // Writing to a string cannot fail.
        let _ = fmt::write(&mut line, format_args!("{:>10}.{:03} ", now.as_secs(), now.subsec_millis()));
        let _ = fmt::write(&mut line, what);
        line.hash(&mut self.hasher);
        self.lines.push_back(line);
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }

    pub(super) fn fingerprint(&self) -> u64 {
        self.hasher.finish()
    }
}

/// A result as a line of the history shows it: `ok`, or the name of the error.
pub(super) struct Outcome<'a, T>(pub(super) &'a std::io::Result<T>);

impl<T> fmt::Display for Outcome<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(_) => f.write_str("ok"),
            Err(error) => write!(f, "{:?}", error.kind()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_are_dropped_and_still_count_in_the_fingerprint() {
        let history = |first: &str| {
            let mut history = History::default();
            history.note(Duration::ZERO, format_args!("{first}"));
            (0..LINES).for_each(|line| history.note(Duration::ZERO, format_args!("{line}")));
            history
        };
        let (one, other) = (history("one"), history("other"));
        assert_eq!((one.lines().len(), one.lines()), (LINES, other.lines()));
        assert_ne!(one.fingerprint(), other.fingerprint());
    }
}
