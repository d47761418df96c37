//! What kubelet's and docker's paths say about a container.
//!
//! kubelet writes `<podLogsDir>/<namespace>_<pod>_<uid>/<container>/<restart>.log` (by default under
//! `/var/log/pods`) and links it as `/var/log/containers/<pod>_<namespace>_<container>-<id>.log`, whose name is
//! cut at 255 bytes, so that the id may be incomplete. Docker writes `<root>/containers/<id>/<id>-json.log`.

use std::path::Path;

use crate::source::Attribute;

/// The length of a container id in hexadecimal digits.
const CONTAINER_ID_LEN: usize = 64;

/// The attributes that `path` alone tells; none when it has neither layout.
pub(crate) fn kubelet_attributes(path: &Path) -> Vec<Attribute> {
    let parts: Vec<&str> =
        path.components().rev().take(3).filter_map(|part| part.as_os_str().to_str()).collect();
    let [file, parent, grandparent] = parts[..] else { return Vec::new() };
    pod_log(file, parent, grandparent)
        .or_else(|| container_link(file, parent))
        .or_else(|| docker_log(file, parent))
        .unwrap_or_default()
}

/// `<namespace>_<pod>_<uid>/<container>/<restart>.log[.<rotation>]`. Neither names nor uid can contain `_`.
fn pod_log(file: &str, container: &str, pod: &str) -> Option<Vec<Attribute>> {
    let (restart, _) = file.split_once(".log")?;
    let restart = restart.parse::<u32>().ok()?;
    let mut names = pod.split('_');
    let (namespace, name, uid) = (names.next()?, names.next()?, names.next()?);
    if names.next().is_some() || [namespace, name, uid, container].iter().any(|part| part.is_empty()) {
        return None;
    }
    Some(vec![
        Attribute::text("k8s.namespace.name", namespace),
        Attribute::text("k8s.pod.name", name),
        Attribute::text("k8s.pod.uid", uid),
        Attribute::text("k8s.container.name", container),
        Attribute::int("k8s.container.restart_count", restart.into()),
    ])
}

/// `containers/<pod>_<namespace>_<container>-<id>.log`.
fn container_link(file: &str, parent: &str) -> Option<Vec<Attribute>> {
    if parent != "containers" {
        return None;
    }
    let mut names = file.strip_suffix(".log")?.split('_');
    let (pod, namespace, rest) = (names.next()?, names.next()?, names.next()?);
    let (container, id) = rest.rsplit_once('-')?;
    if names.next().is_some() || [pod, namespace, container].iter().any(|part| part.is_empty()) {
        return None;
    }
    let mut attributes = vec![
        Attribute::text("k8s.namespace.name", namespace),
        Attribute::text("k8s.pod.name", pod),
        Attribute::text("k8s.container.name", container),
    ];
    if is_container_id(id) {
        attributes.push(Attribute::text("container.id", id));
    }
    Some(attributes)
}

/// `<id>/<id>-json.log[.<n>]`.
fn docker_log(file: &str, parent: &str) -> Option<Vec<Attribute>> {
    let rest = file.strip_prefix(parent)?;
    (rest.starts_with("-json.log") && is_container_id(parent))
        .then(|| vec![Attribute::text("container.id", parent)])
}

fn is_container_id(text: &str) -> bool {
    text.len() == CONTAINER_ID_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(path: &str) -> Vec<Attribute> {
        kubelet_attributes(Path::new(path))
    }

    #[test]
    fn a_pod_directory_tells_everything_but_the_id() {
        let expected = vec![
            Attribute::text("k8s.namespace.name", "shop"),
            Attribute::text("k8s.pod.name", "web-0"),
            Attribute::text("k8s.pod.uid", "8f1c"),
            Attribute::text("k8s.container.name", "app"),
            Attribute::int("k8s.container.restart_count", 3),
        ];
        assert_eq!(attributes("/var/log/pods/shop_web-0_8f1c/app/3.log"), expected);
        assert_eq!(attributes("/host/var/log/pods/shop_web-0_8f1c/app/3.log.20260102-030405.gz"), expected);
    }

    #[test]
    fn a_link_tells_the_id_unless_it_was_cut() {
        let id = "0123456789abcdef".repeat(4);
        let whole = attributes(&format!("/var/log/containers/web-0_shop_app-{id}.log"));
        assert_eq!(
            whole[1..],
            [
                Attribute::text("k8s.pod.name", "web-0"),
                Attribute::text("k8s.container.name", "app"),
                Attribute::text("container.id", &id),
            ]
        );
        let cut = attributes(&format!("/var/log/containers/web-0_shop_app-{}.log", &id[..60]));
        assert_eq!(cut, whole[..3]);
    }

    #[test]
    fn docker_s_own_directory_tells_the_id() {
        let id = "f".repeat(64);
        let path = format!("/var/lib/docker/containers/{id}/{id}-json.log.1");
        assert_eq!(attributes(&path), [Attribute::text("container.id", &id)]);
    }

    #[test]
    fn other_paths_tell_nothing() {
        for path in [
            "",
            "/",
            "x.log",
            "/var/log/app/x.log",
            "/a/b_c/d/0.log",
            "/a/b_c_d_e/f/0.log",
            "/a/__/f/0.log",
            "/a/b_c_d/f/x.log",
            "/var/log/containers/a_b.log",
            "/docker/containers/abc/abc-json.log",
        ] {
            assert_eq!(attributes(path), [], "{path}");
        }
    }
}
