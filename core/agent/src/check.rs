//! `ringtail check`: everything that is wrong with a configuration, with file, line and what to write instead.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::cli::Common;
use crate::config::{self, Loaded, Place, Problem, Problems};
use crate::environment;
use crate::exit::Exit;
use crate::matches;

#[derive(Serialize)]
struct Report<'a> {
    legal: bool,
    #[serde(flatten)]
    problems: &'a Problems,
}

/// Prints the errors and warnings of the configuration at `path`. [`Exit::Usage`] when there is an error.
pub fn main(path: &Path, common: Common) -> Exit {
    let (legal, problems) = match config::load(path, &environment::variable) {
        Ok(loaded) => {
            let mut warnings = loaded.warnings.clone();
            warnings.extend(unmatched(path, &loaded));
            (true, Problems { errors: Vec::new(), warnings })
        }
        Err(problems) => (false, problems),
    };
    let report = match (common.json, legal) {
        (true, _) => serde_json::to_string_pretty(&Report { legal, problems: &problems })
            .unwrap_or_else(|error| format!("{{\"legal\":{legal},\"error\":\"{error}\"}}")),
        (false, true) => format!("{problems}{}: ok", path.display()),
        (false, false) => format!("{problems}{}: {}", path.display(), count(problems.errors.len())),
    };
    // A reader that left does not change what was found.
    let _ = writeln!(io::stdout().lock(), "{report}");
    match legal {
        true => Exit::Done,
        false => Exit::Usage,
    }
}

/// What matches nothing yet: perhaps meant, perhaps mistyped; and what cannot be looked at.
fn unmatched(path: &Path, loaded: &Loaded) -> Vec<Problem> {
    let pipelines = &loaded.config.pipelines;
    let Some(matches) = matches::look(pipelines) else { return Vec::new() };
    let told = |message: &String| Problem {
        place: Place::whole(path),
        key: String::new(),
        message: message.clone(),
    };
    let mut warnings: Vec<Problem> = matches.errors.iter().map(told).collect();
    for ((pipeline, at), why) in &matches.unmatched {
        let (name, paths) = (&pipelines[*pipeline].name, &pipelines[*pipeline].origin.paths);
        warnings.push(Problem {
            place: loaded.path_places[*pipeline][*at].clone(),
            key: format!("pipelines.{name}.from.files.paths[{at}]"),
            message: format!("`{}` {why}", paths[*at]),
        });
    }
    warnings
}

fn count(errors: usize) -> String {
    format!("{errors} error{}", if errors == 1 { "" } else { "s" })
}
