//! The live figures: one line that is refreshed in place on a terminal, a line each few seconds otherwise.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::agent::Usage;

/// How often the figures are refreshed on a terminal.
const REFRESH: Duration = Duration::from_millis(250);
/// How often a line is printed elsewhere.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// What is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) written: u64,
    pub(super) delivered: u64,
    pub(super) repeated: u64,
    pub(super) message_bytes: u64,
    pub(super) rotations: u64,
    pub(super) usage: Usage,
}

/// Where it is shown.
pub(super) struct Screen {
    terminal: bool,
    start: Instant,
    shown: Option<(Instant, Figures)>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Screen { terminal: io::stderr().is_terminal(), start: Instant::now(), shown: None }
    }

    /// Shows the figures if it is time to.
    pub(super) fn show(&mut self, figures: Figures) {
        let now = Instant::now();
        let every = if self.terminal { REFRESH } else { LINE_EVERY };
        let (since, before) = self.shown.unwrap_or((self.start, Figures::default()));
        if now - since < every {
            return;
        }
        let mut text = String::new();
        if self.shown.is_none() {
            text.push_str(
                "   time     written   delivered   waiting  repeated    MB/s  CPU %  memory  rotations\n",
            );
        }
        if self.terminal {
            text.push_str("\r\x1b[2K");
        }
        text.push_str(&line(now - self.start, figures, before, now - since));
        if !self.terminal {
            text.push('\n');
        }
        self.shown = Some((now, figures));
        // A closed standard error takes the figures, not the verdict.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Leaves the line of the terminal.
    pub(super) fn end(&self) {
        if self.terminal && self.shown.is_some() {
            let _ = io::stderr().write_all(b"\n");
        }
    }
}

fn line(elapsed: Duration, now: Figures, before: Figures, since: Duration) -> String {
    let waiting = now.written.saturating_sub(now.delivered);
    let megabytes = per_second(now.message_bytes.saturating_sub(before.message_bytes), since) / 1e6;
    let cpu = now.usage.cpu.saturating_sub(before.usage.cpu).as_secs_f64() / since.as_secs_f64() * 100.0;
    format!(
        "{:>6.1}s  {:>10}  {:>10}  {waiting:>8}  {:>8}  {megabytes:>6.1}  {cpu:>5.1}  {:>6}  {:>9}",
        elapsed.as_secs_f64(),
        now.written,
        now.delivered,
        now.repeated,
        mebibytes(now.usage.rss),
        now.rotations,
    )
}

/// A rate of counts below 2^52, which a float holds exactly.
#[allow(clippy::cast_precision_loss)]
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-3)
}

/// As `12 MiB`.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}
