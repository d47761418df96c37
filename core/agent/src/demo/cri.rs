//! Log files as containerd writes them for kubelet: `<pods>/<namespace>_<pod>_<uid>/<container>/0.log`, CRI lines.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::container::{Runtime, Std};
use super::stamp;

/// A container's log, and what kubelet needs to rotate it.
#[derive(Debug)]
pub struct CriLog {
    file: File,
    line: Vec<u8>,
    shared: Arc<Shared>,
}

/// What containerd and kubelet both know of a log.
#[derive(Debug)]
struct Shared {
    path: PathBuf,
    reopened: Mutex<Option<File>>,
    size: AtomicU64,
}

/// The side of kubelet: asks for the log's size, and for its reopening after a rename.
#[derive(Clone, Debug)]
pub struct CriHandle(Arc<Shared>);

impl CriHandle {
    /// The path that is written to.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How much was written since the last opening, in bytes.
    pub fn size(&self) -> u64 {
        self.0.size.load(Ordering::Relaxed)
    }

    /// The runtime's `ReopenContainerLog`: the path is opened anew at once, and what is printed next goes there.
    pub fn reopen(&self) -> io::Result<()> {
        let file = open(&self.0.path)?;
        self.0.size.store(file.metadata()?.len(), Ordering::Relaxed);
        *self.0.reopened() = Some(file);
        Ok(())
    }
}

impl Shared {
    fn reopened(&self) -> MutexGuard<'_, Option<File>> {
        self.reopened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CriLog {
    /// Creates `<pods>/<namespace>_<pod>_<uid>/<container>/0.log`; `pod` is the first three, joined by
    /// underscores.
    pub fn create(pods: &Path, pod: &str, container: &str) -> io::Result<Self> {
        let dir = pods.join(pod).join(container);
        fs::create_dir_all(&dir)?;
        Self::at(dir.join("0.log"))
    }

    /// Creates or continues a log of any path.
    pub fn at(path: PathBuf) -> io::Result<Self> {
        let file = open(&path)?;
        let size = file.metadata()?.len().into();
        let shared = Arc::new(Shared { path, reopened: Mutex::new(None), size });
        Ok(CriLog { file, line: Vec::new(), shared })
    }

    /// For kubelet.
    pub fn handle(&self) -> CriHandle {
        CriHandle(Arc::clone(&self.shared))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

impl Runtime for CriLog {
    fn append(&mut self, std: Std, part: &[u8], last: bool) -> io::Result<()> {
        // Held while writing, so that nothing is written to the old file once reopen has returned.
        let mut reopened = self.shared.reopened();
        if let Some(file) = reopened.take() {
            self.file = file;
        }
        self.line.clear();
        stamp::push_rfc3339(&mut self.line);
        self.line.push(b' ');
        self.line.extend_from_slice(std.name().as_bytes());
        self.line.extend_from_slice(if last { b" F " } else { b" P " });
        self.line.extend_from_slice(part);
        self.line.push(b'\n');
        self.file.write_all(&self.line)?;
        self.shared.size.fetch_add(u64::try_from(self.line.len()).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_marked_and_a_reopened_log_is_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = CriLog::create(dir.path(), "shop_web-0_uid", "web").unwrap();
        log.append(Std::Out, b"a ", false).unwrap();
        log.append(Std::Out, b"b", true).unwrap();
        let handle = log.handle();
        let old = handle.path().with_extension("log.old");
        fs::rename(handle.path(), &old).unwrap();
        log.append(Std::Err, b"still the old file", true).unwrap();
        handle.reopen().unwrap();
        log.append(Std::Err, b"", true).unwrap();

        let tails = |path: &Path| -> Vec<String> {
            let text = fs::read_to_string(path).unwrap();
            text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
        };
        assert_eq!(tails(&old), ["stdout P a ", "stdout F b", "stderr F still the old file"]);
        assert_eq!(tails(handle.path()), ["stderr F "]);
        assert_eq!(handle.size(), fs::metadata(handle.path()).unwrap().len());
    }
}
