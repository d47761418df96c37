//! Where a symlink may lead, and what is said of one that leads elsewhere.

use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use crate::patterns::bytes;

/// The length of a container id in hexadecimal digits.
const CONTAINER_ID_LEN: usize = 64;

/// A symlink that is not followed: the error of a [`crate::ScanError`] that is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkRefused {
    pub(crate) leads_to: Arc<Path>,
}

impl LinkRefused {
    pub(crate) fn error(leads_to: &Arc<Path>) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, LinkRefused { leads_to: leads_to.clone() })
    }

    /// What `error` is, if it is one of these.
    pub(crate) fn of(error: &io::Error) -> Option<&LinkRefused> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for LinkRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a symlink that leads out, to {}", self.leads_to.display())
    }
}

impl std::error::Error for LinkRefused {}

/// Whether a path without symlinks has the form of a log that a runtime writes, wherever it lies: kubelet's and docker's
/// links lead there. What else lies beside (docker's `config.v2.json` has the container's environment) has not.
pub(crate) fn is_runtime_log(path: &Path) -> bool {
    is_pod_log(path) || is_docker_log(path)
}

/// `<namespace>_<pod>_<uid>/<container>/<restart>.log`, rotated or not: a path that tells the pod.
pub(crate) fn is_pod_log(path: &Path) -> bool {
    let mut parts = path.iter().rev().map(bytes);
    let (Some(file), Some(_container), Some(pod)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let digits = file.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut names = pod.split(|byte| *byte == b'_');
    digits > 0
        && file[digits..].starts_with(b".log")
        && names.clone().count() == 3
        && names.all(|name| !name.is_empty())
}

/// `<id>/<id>-json.log`, rotated or not.
fn is_docker_log(path: &Path) -> bool {
    let mut parts = path.iter().rev().map(bytes);
    let (Some(file), Some(id)) = (parts.next(), parts.next()) else { return false };
    id.len() == CONTAINER_ID_LEN
        && id.iter().all(u8::is_ascii_hexdigit)
        && file.strip_prefix(id).is_some_and(|rest| rest.starts_with(b"-json.log"))
}
