//! The files that are read: made once per run, in a directory that goes away with it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use ringtail_benches::corpus::{self, Payloads};
use tempfile::TempDir;

/// How many files the many-files measurements read.
const FILES: usize = 5_000;

pub(crate) struct Inputs {
    directory: TempDir,
    cri: String,
    docker: String,
    many: String,
    encoded: String,
}

impl Inputs {
    pub(crate) fn make(bytes: usize) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
        // As kubelet lays them out, so that the attributes are those of a pod.
        let pod = path("shop_checkout-7c5d9f8b6d-x2x7k_0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9");
        fs::create_dir_all(format!("{pod}/app")).expect("a directory");
        let (cri, docker) = (format!("{pod}/app/0.log"), path("docker.log"));
        fs::write(&cri, corpus::cri(Payloads::Plain, bytes).file).expect("a file");
        fs::write(&docker, corpus::docker(Payloads::Plain, bytes).file).expect("a file");
        let many = path("many");
        split(&cri, Path::new(&many));
        let inputs = Inputs { cri, docker, many, encoded: path("encoded"), directory };
        crate::measure::encode_to(&inputs.cri, &inputs.encoded);
        // What was just written must not be written back while others are measured.
        rustix::fs::sync();
        inputs
    }

    pub(crate) fn cri(&self) -> &str {
        &self.cri
    }

    pub(crate) fn docker(&self) -> &str {
        &self.docker
    }

    /// A directory of [`FILES`] CRI files.
    pub(crate) fn many(&self) -> &str {
        &self.many
    }

    /// What an output sends for [`Inputs::cri`], before compression.
    pub(crate) fn encoded(&self) -> &str {
        assert!(self.directory.path().exists());
        &self.encoded
    }
}

/// Deals the lines of a file out to many.
fn split(from: &str, to: &Path) {
    let text = fs::read(from).expect("just written");
    fs::create_dir(to).expect("a directory");
    let piece = text.len() / FILES;
    let mut rest = &text[..];
    for number in 0.. {
        if rest.is_empty() {
            return;
        }
        let least = piece.min(rest.len() - 1);
        let end = memchr::memchr(b'\n', &rest[least..]).map_or(rest.len(), |at| least + at + 1);
        let mut file = File::create(to.join(format!("{number}.log"))).expect("a file");
        file.write_all(&rest[..end]).expect("room");
        rest = &rest[end..];
    }
}
