//! `ringtail doctor`: what this node offers, and what to do where it offers too little.
//!
//! It changes nothing but a probe file in `data_dir`, which it removes again.

mod limits;
mod report;

pub use report::{Finding, Report, State};

use std::io::{self, Write};

use crate::cli::Common;
use crate::exit::Exit;

/// Looks at this node and prints what it found; [`Exit::Failed`] when something keeps the agent from working.
pub fn main(common: Common) -> Exit {
    let report = Report { findings: limits::findings() };
    let printed = match common.json {
        true => serde_json::to_string_pretty(&report).map_err(io::Error::from),
        false => Ok(report.to_string()),
    };
    let written = printed.and_then(|text| writeln!(io::stdout().lock(), "{}", text.trim_end()));
    match written.is_ok() && !report.failed() {
        true => Exit::Done,
        false => Exit::Failed,
    }
}
