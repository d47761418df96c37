//! What a scan could not look at.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::Scanner;
use crate::links::LinkRefused;
use crate::maps::HashMap;
use crate::walk::Trouble;

/// What tells one trouble from another: the kind, and the operating system's number where there is one.
pub(super) type Reason = (ErrorKind, Option<i32>);

/// Something that a scan could not look at. Told when it begins or changes, not with each scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanError {
    /// What.
    pub path: Arc<Path>,
    /// Why. `QuotaExceeded`: more paths match than are followed.
    pub kind: ErrorKind,
    /// The same in words, with the operating system's number where it has one: not every number has a kind of its own.
    pub why: String,
    /// It is a symlink that is not followed, and leads here.
    pub leads_to: Option<Arc<Path>>,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.leads_to {
            None => f.write_str(&self.why),
            Some(to) => write!(
                f,
                "a symlink that leads out, to {}, is not followed; if that is a log, name it in `paths` of the same pipeline too",
                to.display()
            ),
        }
    }
}

impl Scanner {
    /// Keeps what is new among the troubles, and adds all to those that are `present`.
    pub(super) fn note(&mut self, mut troubles: Vec<Trouble>, present: &mut HashMap<Arc<Path>, Reason>) {
        if self.walk.overflow() {
            troubles.push((Arc::from(Path::new("/")), ErrorKind::QuotaExceeded.into()));
        }
        for (path, error) in troubles {
            let kind = error.kind();
            let reason = (kind, error.raw_os_error());
            if self.errors.get(&path) != Some(&reason) && present.get(&path) != Some(&reason) {
                let leads_to = LinkRefused::of(&error).map(|refused| refused.leads_to.clone());
                self.new_errors.push(ScanError {
                    path: path.clone(),
                    kind,
                    why: error.to_string(),
                    leads_to,
                });
            }
            present.insert(path, reason);
        }
    }
}
