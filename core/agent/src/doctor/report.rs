//! What was found, for people and for programs.

use std::fmt;

use serde::Serialize;

/// How good or bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, but less well than it could.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub name: String,
    /// How good it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// Something as it should be.
    pub fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Finding { name: name.into(), state: State::Ok, found: found.into(), remedy: None }
    }

    /// Something that works less well than it could.
    pub fn warn(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { name: name.into(), state: State::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Something that does not work.
    pub fn fail(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { state: State::Fail, ..Finding::warn(name, found, remedy) }
    }
}

/// Everything that was looked at, in that order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether something does not work.
    pub fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.state == State::Fail)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or(0);
        for Finding { name, state, found, remedy } in &self.findings {
            let mark = match state {
                State::Ok => "ok  ",
                State::Warn => "warn",
                State::Fail => "FAIL",
            };
            writeln!(f, "{mark}  {name:width$}  {found}")?;
            if let Some(remedy) = remedy {
                writeln!(f, "      {:width$}  -> {remedy}", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_each_thing_and_its_remedy_below_it() {
        let report =
            Report { findings: vec![Finding::ok("a", "fine"), Finding::fail("long", "broken", "mend it")] };
        assert_eq!(report.to_string(), "ok    a     fine\nFAIL  long  broken\n            -> mend it\n");
        assert!(report.failed());
    }
}
