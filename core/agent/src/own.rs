//! The agent's own output, which it must never collect: each record would make another one.
//!
//! | what | how it is known |
//! |---|---|
//! | files of `file` outputs and their rotated ones | from the configuration |
//! | standard output and error, where they are files | `/proc/self/fd` |
//! | the log that a container runtime makes of them | the container's id, or the pod's uid and the container's name, which runtimes leave in `/proc/self/mountinfo` and `/proc/self/cgroup` |
//!
//! What it cannot know: a program that writes elsewhere what it gets from the agent.

use ringtail_config::literal;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use ringtail_ship::SinkConfig;
use rustix::fs::{FileType, fstat};

use crate::config::Config;

/// The length of a container's id in hexadecimal digits.
const CONTAINER_ID_LEN: usize = 64;

/// Makes every pipeline leave out what this process writes.
pub fn leave_out(config: &mut Config) {
    let own = globs(config);
    config.pipelines.iter_mut().for_each(|pipeline| pipeline.origin.exclude.extend(own.iter().cloned()));
}

/// Globs of everything that this process writes.
fn globs(config: &Config) -> Vec<String> {
    let files = config.outputs.iter().filter_map(|output| match &output.sink {
        SinkConfig::File { path, .. } => Some(path.clone()),
        SinkConfig::Stdout { .. } | SinkConfig::Null | SinkConfig::Http { .. } => None,
    });
    let mut globs: Vec<String> = files.flat_map(|path| file(&path)).collect();
    let descriptors = [redirected(std::io::stdout().as_fd()), redirected(std::io::stderr().as_fd())];
    globs.extend(descriptors.into_iter().flatten().flat_map(|path| file(&path)));
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    globs.extend(container(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup")));
    globs
}

/// A file and what it is renamed to, under the name given and under the one without symlinks.
fn file(path: &Path) -> Vec<String> {
    let mut names = vec![path.to_owned()];
    names.extend(resolved(path).filter(|resolved| resolved != path));
    names.iter().flat_map(|name| [literal(name), literal(name) + ".*"]).collect()
}

/// The same file without symlinks on its way. What is not there yet will be made there.
fn resolved(path: &Path) -> Option<PathBuf> {
    let there = path.parent()?.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let (above, real) = there?;
    Some(real.join(path.strip_prefix(above).ok()?))
}

/// The regular file that a descriptor writes to, if it does.
fn redirected(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    let stat = fstat(fd).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let number = std::os::fd::AsRawFd::as_raw_fd(&fd);
    fs::read_link(format!("/proc/self/fd/{number}")).ok()
}

/// The logs of the container that this process runs in: kubelet's by pod and container, docker's by id.
fn container(mountinfo: &str, cgroup: &str) -> Vec<String> {
    let mut globs = Vec::new();
    if let Some(uid) = between(mountinfo, "/kubelet/pods/") {
        // kubelet mounts a termination log from the container's own directory. Without one the whole pod is left out.
        let own = between(mountinfo, &format!("/kubelet/pods/{uid}/containers/"));
        globs.push(format!("/**/*_*_{uid}/{}", own.unwrap_or("*")));
    }
    let ids = cgroup
        .lines()
        .chain(mountinfo.lines().filter_map(|line| line.split_once("/containers/").map(|(_, rest)| rest)));
    for id in ids.flat_map(|text| text.split(|char: char| !char.is_ascii_hexdigit())) {
        let glob = format!("/**/{id}/{id}-json.log*");
        if id.len() == CONTAINER_ID_LEN && !globs.contains(&glob) {
            globs.push(glob);
        }
    }
    globs
}

/// The path component behind the first `prefix`.
fn between<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(prefix)?;
    let end = rest.find(|char: char| char == '/' || char.is_whitespace())?;
    (end > 0).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "2f0d1c9e-8f43-4a5f-9a52-7c5e1c1b1a10";

    #[test]
    fn in_a_pod_the_own_container_is_left_out_and_its_neighbours_are_not() {
        let mountinfo = format!(
            "700 690 0:50 / / rw - overlay overlay rw\n\
             710 700 8:1 /var/lib/kubelet/pods/{UID}/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw\n\
             711 700 8:1 /var/lib/kubelet/pods/{UID}/containers/ringtail/1a2b3c4d /dev/termination-log rw - ext4 x rw\n"
        );
        assert_eq!(container(&mountinfo, "0::/\n"), [format!("/**/*_*_{UID}/ringtail")]);
        let no_termination_log = mountinfo.lines().take(2).collect::<Vec<_>>().join("\n");
        assert_eq!(container(&no_termination_log, ""), [format!("/**/*_*_{UID}/*")]);
    }

    #[test]
    fn in_docker_the_id_is_in_the_mounts_or_in_the_cgroup() {
        let id = "0123456789abcdef".repeat(4);
        let mountinfo =
            format!("1 2 8:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 x rw\n");
        let expected = [format!("/**/{id}/{id}-json.log*")];
        assert_eq!(container(&mountinfo, "0::/\n"), expected);
        assert_eq!(container("", &format!("4:cpu:/docker/{id}\n")), expected);
        assert_eq!(container("1 2 8:1 / / rw - ext4 /dev/sda1 rw\n", "0::/user.slice\n"), [""; 0]);
    }

    #[test]
    fn a_file_and_its_rotated_ones_are_left_out_under_both_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let real = folder.path().canonicalize().expect("there");
        std::fs::create_dir(real.join("real [1]")).expect("made");
        std::os::unix::fs::symlink(real.join("real [1]"), real.join("link")).expect("made");
        let globs = file(&real.join("link/x.log"));
        assert_eq!(globs.len(), 4);
        assert!(globs[1].ends_with("link/x.log.*") && globs[2].ends_with(r"real \[1\]/x.log"), "{globs:?}");
        // Its directory is made when the output starts.
        let globs = file(&real.join("link/later/still/x.log"));
        assert!(globs[2].ends_with(r"real \[1\]/later/still/x.log"), "{globs:?}");
    }
}
