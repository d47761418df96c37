//! How far `collect` has come, in one line of a terminal that is written over again and again.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::collection::Collection;

/// How often the line is written.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// See the module. Silent where standard error is no terminal, or where the records go to the same terminal.
pub struct Progress {
    visible: bool,
    started: Instant,
    shown: Option<Instant>,
    /// Of the collections that ended: bytes and records.
    done: (u64, u64),
}

impl Progress {
    /// Counts from now.
    pub fn new() -> Self {
        let visible = io::stderr().is_terminal() && !io::stdout().is_terminal();
        Progress { visible, started: Instant::now(), shown: None, done: (0, 0) }
    }

    /// Writes the line, if it is time.
    pub fn show(&mut self, collection: &Collection) {
        let now = Instant::now();
        if self.visible && self.shown.is_none_or(|shown| now - shown >= SHOW_EVERY) {
            self.shown = Some(now);
            self.write(counted(collection), "");
        }
    }

    /// Adds what a collection did that has ended.
    pub fn add(&mut self, collection: &Collection) {
        let (bytes, records) = counted(collection);
        self.done = (self.done.0 + bytes, self.done.1 + records);
    }

    /// Writes it a last time.
    pub fn finish(&self) {
        if self.visible {
            self.write((0, 0), "\n");
        }
    }

    fn write(&self, (bytes, records): (u64, u64), end: &str) {
        let line = line(self.done.0 + bytes, self.done.1 + records, self.started.elapsed());
        // A terminal that is gone takes nothing; the work goes on.
        let _ = write!(io::stderr().lock(), "\r\x1b[K{line}{end}");
    }
}

impl Default for Progress {
    fn default() -> Self {
        Progress::new()
    }
}

fn counted(collection: &Collection) -> (u64, u64) {
    let stats = collection.engine_stats();
    let bytes = stats.pipelines.iter().map(|pipeline| pipeline.read_bytes).sum();
    let records = stats.pipelines.iter().map(|pipeline| pipeline.records).sum();
    (bytes, records)
}

fn line(bytes: u64, records: u64, elapsed: Duration) -> String {
    let megabytes = bytes as f64 / 1e6;
    let rate = megabytes / elapsed.as_secs_f64().max(0.001);
    format!("{megabytes:.1} MB  {records} records  {rate:.0} MB/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_bytes_records_and_speed() {
        assert_eq!(line(1_500_000, 12, Duration::from_secs(3)), "1.5 MB  12 records  0 MB/s");
        assert_eq!(line(0, 0, Duration::ZERO), "0.0 MB  0 records  0 MB/s");
    }
}
