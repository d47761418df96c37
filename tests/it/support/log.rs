//! A log that a test writes and rotates step by step.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ringtail_agent::demo::container::{Container, Written};
use ringtail_agent::demo::cri::CriLog;
use ringtail_agent::demo::kubelet;
use ringtail_agent::demo::message::Text;

/// The log of one container: CRI lines on two streams.
pub(crate) struct Log {
    container: Container<CriLog>,
    path: PathBuf,
}

impl Log {
    /// Creates it; the file's name is the container's.
    pub(crate) fn create(path: PathBuf) -> Self {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8").to_owned();
        Self::of(&name, path)
    }

    /// The log of a container of this name, in a file that may be there.
    pub(crate) fn of(name: &str, path: PathBuf) -> Self {
        let log = CriLog::at(path.clone()).expect("a log file");
        Log { container: Container::new(name, Text::Unicode, log), path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Prints this many messages, at least.
    pub(crate) fn print(&mut self, lines: u64) {
        let mut printed = 0;
        while printed < lines {
            printed += self.container.print().expect("printed");
        }
    }

    pub(crate) fn written(&self) -> Vec<Written> {
        self.container.written().to_vec()
    }

    /// Renames the file; the writer goes on writing to it.
    pub(crate) fn rename(&self, suffix: &str) -> PathBuf {
        let to = kubelet::with_suffix(&self.path, suffix);
        fs::rename(&self.path, &to).expect("renamed");
        to
    }

    /// What is printed next goes to a new file of the same path.
    pub(crate) fn reopen(&mut self) {
        self.container.runtime().handle().reopen().expect("reopened");
    }

    /// Rename and reopen.
    pub(crate) fn rotate(&mut self, suffix: &str) -> PathBuf {
        let to = self.rename(suffix);
        self.reopen();
        to
    }

    /// Unlinks the file; the writer goes on with a new one.
    pub(crate) fn unlink(&mut self) {
        fs::remove_file(&self.path).expect("unlinked");
        self.reopen();
    }

    /// As logrotate's copytruncate: a copy with the suffix, then the file is emptied in place.
    pub(crate) fn copytruncate(&mut self, suffix: &str) -> PathBuf {
        let to = kubelet::with_suffix(&self.path, suffix);
        fs::copy(&self.path, &to).expect("copied");
        self.truncate();
        to
    }

    /// Empties the file in place; the writer appends, so it goes on at the beginning.
    pub(crate) fn truncate(&mut self) {
        File::options().write(true).open(&self.path).and_then(|file| file.set_len(0)).expect("truncated");
    }
}
