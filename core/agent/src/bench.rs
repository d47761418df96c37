//! `ringtail bench`: how fast each stage is on this machine, on one core, beside what bounds it.
//!
//! It reads and writes no files: what a disk or a network adds is another question. Every stage counts what comes
//! out, and a wrong count is a failure. The figures that documents quote come from `make bench`.

mod corpus;
mod stages;

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use serde::Serialize;

use crate::cli::Common;
use crate::exit::Exit;

/// What the command line says.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub struct Args {
    /// How long each stage runs.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    milliseconds: u64,
}

/// One stage's figure.
#[derive(Clone, Debug, Serialize)]
struct Figure {
    /// The stage.
    stage: &'static str,
    /// What is counted: bytes of the log, or bytes on the wire before compression.
    of: &'static str,
    /// Bytes a second.
    bytes_per_second: f64,
    /// What it is compared with, and the ratio.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<(&'static str, f64)>,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    optimized: bool,
    figures: Vec<Figure>,
}

/// Measures and prints.
pub fn main(args: Args, common: Common) -> Exit {
    let time = Duration::from_millis(args.milliseconds);
    let figures = match stages::measure(time) {
        Ok(figures) => figures,
        Err(why) => {
            eprintln!("ringtail: bench: {why}");
            return Exit::Failed;
        }
    };
    let report = Report { version: env!("CARGO_PKG_VERSION"), optimized: !cfg!(debug_assertions), figures };
    let text = match common.json {
        true => serde_json::to_string_pretty(&report).map_err(io::Error::from),
        false => Ok(report.to_string()),
    };
    match text.and_then(|text| writeln!(io::stdout().lock(), "{}", text.trim_end())) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Failed,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.optimized {
            writeln!(f, "A debug build: these figures say nothing.")?;
        }
        writeln!(f, "One core, in memory.\n")?;
        for Figure { stage, of, bytes_per_second, beside } in &self.figures {
            write!(f, "{stage:34} {:>9.0} MB/s of {of:4}", bytes_per_second / 1e6)?;
            match beside {
                Some((other, ratio)) => writeln!(f, "  {:>4.0}% of {other}", ratio * 100.0)?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

/// Repeats `pass`, which says how many bytes it went through, for `time`; bytes a second.
fn throughput(time: Duration, mut pass: impl FnMut() -> Result<usize, String>) -> Result<f64, String> {
    // The first pass warms caches and maps memory.
    pass()?;
    let started = Instant::now();
    let mut bytes = 0;
    loop {
        bytes += pass()?;
        let elapsed = started.elapsed();
        if elapsed >= time {
            return Ok(bytes as f64 / elapsed.as_secs_f64());
        }
    }
}
