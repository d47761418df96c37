//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// The column, from 1; 0 where the file as a whole is meant.
    pub column: usize,
}

impl Place {
    /// The file as a whole.
    pub fn whole(file: &Path) -> Self {
        Place { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}:{}", self.file.display(), self.column),
        }
    }
}

/// One thing that is wrong, or that may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Where it is written.
    #[serde(flatten)]
    pub place: Place,
    /// The key that it concerns, from the top: `outputs.main.type`; empty where there is none.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.is_empty() {
            true => write!(f, "{}: {}", self.place, self.message),
            false => write!(f, "{}: {}: {}", self.place, self.key, self.message),
        }
    }
}

/// Everything that was found in a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// What keeps it from being used.
    pub errors: Vec<Problem>,
    /// What is legal and perhaps not meant.
    pub warnings: Vec<Problem>,
}

impl Problems {
    /// In the order of files and lines.
    pub fn sort(&mut self) {
        self.errors.sort();
        self.warnings.sort();
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.errors.iter().try_for_each(|error| writeln!(f, "error: {error}"))?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}
