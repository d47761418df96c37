//! `ringtail doctor`: what this node offers, and what to do where it offers too little.
//!
//! It changes nothing but probe files in `data_dir` and in the directories of file outputs, which it removes again.

mod limits;
mod places;
mod report;

pub use report::{Finding, Report, State};

use std::io::{self, Write};
use std::path::Path;

use crate::cli::Common;
use crate::config;
use crate::cores;
use crate::environment;
use crate::exit::Exit;

/// Looks at this node, and at what the configuration names where one is given, and prints what it found.
/// [`Exit::Failed`] when something keeps the agent from working.
pub fn main(path: Option<&Path>, common: Common) -> Exit {
    let choice = match environment::io_choice() {
        Ok(choice) => choice,
        Err(error) => {
            eprintln!("ringtail: {error}");
            return Exit::Usage;
        }
    };
    let mut findings = limits::findings(choice);
    findings.push(processors());
    match path.map(|path| (path, config::load(path, &environment::variable))) {
        None => findings.extend(places::usual()),
        Some((path, Ok(loaded))) => {
            findings.push(Finding::ok("configuration", format!("{} is legal", path.display())));
            findings.extend(places::configured(&loaded.config));
        }
        Some((path, Err(problems))) => findings.push(Finding::fail(
            "configuration",
            format!("{} has {} errors", path.display(), problems.errors.len()),
            format!("ringtail check {}", path.display()),
        )),
    }
    print(&Report { findings }, common)
}

fn print(report: &Report, common: Common) -> Exit {
    let printed = match common.json {
        true => serde_json::to_string_pretty(report).map_err(io::Error::from),
        false => Ok(report.to_string()),
    };
    let written = printed.and_then(|text| writeln!(io::stdout().lock(), "{}", text.trim_end()));
    match written.is_ok() && !report.failed() {
        true => Exit::Done,
        false => Exit::Failed,
    }
}

fn processors() -> Finding {
    let cores = cores::available();
    Finding::ok(
        "processors",
        format!("{cores} for this process: `threads: auto` is {}", cores::threads(cores)),
    )
}
