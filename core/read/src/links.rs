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

/// The directory of kubelet's that `link`, a path as it was matched, stands in or below, if it has the form of one of
/// kubelet's links and `real` that of the same container's log:
///
/// | link | log |
/// |---|---|
/// | `containers/<pod>_<namespace>_<container>-<id>.log` | `<namespace>_<pod>_<uid>/<container>/<n>.log`, or `<id>/<id>-json.log` |
/// | `pods/<namespace>_<pod>_<uid>/<container>/<n>.log` | `<id>/<id>-json.log` |
///
/// Whoever writes there can choose all of it: the form alone allows nothing. What else lies beside a log (docker's
/// `config.v2.json` has the container's environment) has not the form.
pub(crate) fn kubelet_dir<'a>(link: &'a Path, real: &Path) -> Option<&'a Path> {
    let name = bytes(link.file_name()?);
    let dir = link.parent()?;
    let is_named = |dir: &Path, name: &str| dir.file_name().is_some_and(|last| last == name);
    if is_named(dir, "containers") && (is_link_to_pod_log(name, real) || is_link_to_docker_log(name, real)) {
        return Some(dir);
    }
    let pods = dir.parent()?.parent()?;
    (is_named(pods, "pods") && is_pod_log(link) && docker_id(real).is_some()).then_some(pods)
}

/// The longest name of a file. kubelet cuts off what is longer, before the `.log`.
const NAME_MAX: usize = 255;

/// Whether a link in kubelet's `containers` is named after the pod and the container whose log this is.
fn is_link_to_pod_log(link: &[u8], log: &Path) -> bool {
    let mut parts = log.iter().rev().skip(1).map(bytes);
    let (true, Some(container), Some(pod)) = (is_pod_log(log), parts.next(), parts.next()) else {
        return false;
    };
    let mut names = pod.split(|byte| *byte == b'_');
    let (Some(namespace), Some(pod)) = (names.next(), names.next()) else { return false };
    let expected = [pod, b"_", namespace, b"_", container, b"-"].concat();
    let Some(stem) = link.strip_suffix(b".log") else { return false };
    stem.starts_with(&expected) || link.len() == NAME_MAX && expected.starts_with(stem)
}

/// Whether a link in kubelet's `containers` ends in the id of the container whose log this is.
fn is_link_to_docker_log(link: &[u8], log: &Path) -> bool {
    let (Some(stem), Some(id)) = (link.strip_suffix(b".log"), docker_id(log)) else { return false };
    let Some(dash) = stem.iter().rposition(|byte| *byte == b'-') else { return false };
    let named = &stem[dash + 1..];
    named == id || link.len() == NAME_MAX && !named.is_empty() && id.starts_with(named)
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

/// The container's id in `<id>/<id>-json.log`, rotated or not.
fn docker_id(path: &Path) -> Option<&[u8]> {
    let mut parts = path.iter().rev().map(bytes);
    let (file, id) = (parts.next()?, parts.next()?);
    let is_log = id.len() == CONTAINER_ID_LEN
        && id.iter().all(u8::is_ascii_hexdigit)
        && file.strip_prefix(id).is_some_and(|rest| rest.starts_with(b"-json.log"));
    is_log.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn dir(link: &str, real: &str) -> Option<String> {
        let fill = |text: &str| text.replace("ID", ID);
        kubelet_dir(Path::new(&fill(link)), Path::new(&fill(real))).map(|dir| dir.display().to_string())
    }

    #[test]
    fn the_links_of_kubelet_are_known_and_lead_to_the_log_of_their_own_container() {
        let containers = Some("/var/log/containers".to_owned());
        let link = "/var/log/containers/web-0_shop_app-ID.log";
        for log in [
            "/x/shop_web-0_8f1c/app/3.log",
            "/x/shop_web-0_8f1c/app/3.log.20260102-030405",
            "/d/ID/ID-json.log",
        ] {
            assert_eq!(dir(link, log), containers, "{log}");
        }
        assert_eq!(dir("/v/pods/shop_web-0_8f1c/app/0.log", "/d/ID/ID-json.log"), Some("/v/pods".to_owned()));
        let other = ID.replace('0', "1");
        for (link, log) in [
            (link, "/x/shop_web-1_8f1c/app/3.log"),
            (link, "/x/bank_web-0_8f1c/app/3.log"),
            (link, "/x/shop_web-0_8f1c/sidecar/3.log"),
            (link, &format!("/d/{other}/{other}-json.log")),
            (link, "/d/ID/config.v2.json"),
            (link, "/etc/shadow"),
            ("/srv/logs/web-0_shop_app-ID.log", "/d/ID/ID-json.log"),
            ("/srv/logs/shop_web-0_8f1c/app/0.log", "/d/ID/ID-json.log"),
            ("/v/pods/shop_web-0_8f1c/app/0.log", "/x/shop_web-1_8f1c/app/0.log"),
            ("/v/pods/shop_web-0_8f1c/app/sub/0.log", "/d/ID/ID-json.log"),
            ("/v/pods/uid/app/0.log", "/d/ID/ID-json.log"),
            ("/0.log", "/d/ID/ID-json.log"),
        ] {
            assert_eq!(dir(link, log), None, "{link} {log}");
        }
    }

    /// ext4 has names of 255 bytes.
    #[test]
    fn a_link_whose_name_kubelet_cut_off_is_known_by_what_is_left() {
        let pod = "p".repeat(150);
        let cut = |text: String| format!("/var/log/containers/{}.log", &text[..NAME_MAX - 4]);
        let id_cut = cut(format!("{pod}_shop_{}-{ID}", "c".repeat(50)));
        assert!(dir(&id_cut, "/d/ID/ID-json.log").is_some());
        assert!(dir(&id_cut, &format!("/x/shop_{pod}_8f1c/{}/0.log", "c".repeat(50))).is_some());
        assert!(dir(&id_cut, &format!("/d/{0}/{0}-json.log", ID.replace('0', "1"))).is_none());
        let container = "c".repeat(200);
        let container_cut = cut(format!("{pod}_shop_{container}-{ID}"));
        assert!(dir(&container_cut, &format!("/x/shop_{pod}_8f1c/{container}/0.log")).is_some());
        assert!(dir(&container_cut, &format!("/x/bank_{pod}_8f1c/{container}/0.log")).is_none());
    }
}
