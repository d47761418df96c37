//! A node in a temporary directory: containers of both runtimes that print, rotated as kubelet and dockerd rotate.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::container::{Container, Printer, Written};
use super::cri::CriLog;
use super::dockerd::{DockerLog, Options};
use super::kubelet::{Kubelet, Limits};
use super::load::Load;
use super::message::Text;

const MIB: u64 = 1024 * 1024;
/// Pods whose logs containerd writes.
const PODS: usize = 5;
/// The defaults of kubelet are 10 MiB, 5 files and 10 s; smaller here, so that a short run sees many rotations.
/// A file is still there for some seconds after its rotation, as on a node.
const KUBELET: Limits = Limits { max_size: 4 * MIB, max_files: 5, interval: Duration::from_millis(1100) };
/// Each way in which dockerd rotates.
const DOCKER: [(&str, Options); 3] = [
    ("d0c4e1", Options { max_size: 4 * MIB, max_file: 3, compress: false }),
    ("d0c4e2", Options { max_size: 4 * MIB, max_file: 4, compress: true }),
    ("d0c4e3", Options { max_size: 4 * MIB, max_file: 1, compress: false }),
];

/// How many containers a node runs.
pub(super) const CONTAINERS: usize = PODS + DOCKER.len();

/// A node at work.
pub(super) struct Node {
    load: Load,
    kubelet: Kubelet,
    docker_rotations: Vec<Arc<AtomicU64>>,
}

impl Node {
    /// Starts all containers below `dir`, which together print `lines_per_second`.
    pub(super) fn start(dir: &Path, lines_per_second: u64) -> io::Result<Self> {
        let mut containers: Vec<Box<dyn Printer>> = Vec::new();
        let mut handles = Vec::new();
        for pod in 0..PODS {
            let name = format!("shop_web-{pod}_0f4e9a52-6d0e-4c1f-8a53-0000000000{pod:02}");
            let log = CriLog::create(&dir.join("pods"), &name, "web")?;
            handles.push(log.handle());
            containers.push(Box::new(Container::new(&format!("web-{pod}"), Text::Unicode, log)));
        }
        let mut docker_rotations = Vec::new();
        for (id, options) in DOCKER {
            let log = DockerLog::create(&dir.join("containers"), id, options)?;
            docker_rotations.push(log.rotations());
            containers.push(Box::new(Container::new(id, Text::Ascii, log)));
        }
        let each = lines_per_second.div_ceil(u64::try_from(CONTAINERS).unwrap_or(1));
        Ok(Node {
            load: Load::start(containers, each),
            kubelet: Kubelet::start(handles, KUBELET),
            docker_rotations,
        })
    }

    /// What each stream has written so far.
    pub(super) fn written(&self) -> &[Written] {
        self.load.written()
    }

    /// How many rotations there have been.
    pub(super) fn rotations(&self) -> u64 {
        let docker: u64 = self.docker_rotations.iter().map(|count| count.load(Relaxed)).sum();
        self.kubelet.rotations() + docker
    }

    /// Whether a writer cannot go on.
    pub(super) fn failed(&self) -> bool {
        self.load.failed()
    }

    /// Ends the writing; what was written, and the first error of a writer or of kubelet.
    pub(super) fn stop(self) -> (Vec<Written>, io::Result<()>) {
        let written = self.load.written().to_vec();
        let result = self.load.stop().map(drop);
        (written, self.kubelet.stop().and(result))
    }
}
