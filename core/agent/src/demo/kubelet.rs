//! Rotates CRI logs as kubelet does (`pkg/kubelet/logs/container_log_manager.go`): one worker, in this order
//! for each log that is larger than the limit: remove the oldest rotated files, compress the others, rename the
//! log, have it reopened.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::cri::CriHandle;
use super::stamp;

/// When kubelet rotates, and what it keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `containerLogMaxSize`, in bytes.
    pub max_size: u64,
    /// `containerLogMaxFiles`: the log itself and what was rotated.
    pub max_files: usize,
    /// `containerLogMonitorInterval`.
    pub interval: Duration,
}

/// Kubelet's log manager, on a thread of its own until dropped.
#[derive(Debug)]
pub struct Kubelet {
    stop: Arc<AtomicBool>,
    rotations: Arc<AtomicU64>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Kubelet {
    /// Watches these logs.
    pub fn start(logs: Vec<CriHandle>, limits: Limits) -> Self {
        let (stop, rotations) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, rotated) = (Arc::clone(&stop), Arc::clone(&rotations));
        let thread = thread::spawn(move || {
            while !stopped.load(Relaxed) {
                thread::park_timeout(limits.interval);
                for log in logs.iter().filter(|log| log.size() > limits.max_size) {
                    if !stopped.load(Relaxed) && rotate(log, limits.max_files)? {
                        rotated.fetch_add(1, Relaxed);
                    }
                }
            }
            Ok(())
        });
        Kubelet { stop, rotations, thread: Some(thread) }
    }

    /// How many rotations it has done.
    pub fn rotations(&self) -> u64 {
        self.rotations.load(Relaxed)
    }

    /// Ends it and gives the first error it met.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        self.stop.store(true, Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.thread().unpark();
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the kubelet thread panicked")))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        // Who wants the error calls stop.
        let _ = self.end();
    }
}

/// One rotation. `false` when there is nothing to rename, or the name of this second is taken.
pub fn rotate(log: &CriHandle, max_files: usize) -> io::Result<bool> {
    let path = log.path();
    let rotated = with_suffix(path, &stamp::rotation_suffix());
    if !path.exists() || rotated.exists() {
        return Ok(false);
    }
    let siblings = remove_oldest(siblings(path)?, max_files)?;
    for sibling in siblings.iter().filter(|path| path.extension().is_none_or(|ext| ext != "gz")) {
        compress(sibling)?;
    }
    fs::rename(path, &rotated)?;
    // The runtime goes on writing to the renamed file until its call is answered.
    thread::sleep(Duration::from_millis(2));
    log.reopen()?;
    Ok(true)
}

/// The rotated files of a log, oldest first, without what an interrupted compression left.
fn siblings(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?.file_name();
        let suffix =
            entry.to_str().and_then(|entry| entry.strip_prefix(name)).filter(|rest| rest.starts_with('.'));
        match suffix {
            Some(suffix) if suffix.ends_with(".tmp") => fs::remove_file(dir.join(&entry))?,
            Some(_) => found.push(dir.join(&entry)),
            None => {}
        }
    }
    found.sort();
    Ok(found)
}

/// Leaves room for the file that is about to be rotated and the new log.
fn remove_oldest(mut siblings: Vec<PathBuf>, max_files: usize) -> io::Result<Vec<PathBuf>> {
    let keep = max_files.saturating_sub(2);
    let remove = siblings.len().saturating_sub(keep);
    for path in siblings.drain(..remove) {
        fs::remove_file(path)?;
    }
    Ok(siblings)
}

/// Writes `.tmp`, renames it to `.gz`, removes the original.
pub fn compress(path: &Path) -> io::Result<()> {
    let tmp = with_suffix(path, "tmp");
    let mut encoder = GzEncoder::new(File::create(&tmp)?, Compression::fast());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    fs::rename(&tmp, with_suffix(path, "gz"))?;
    fs::remove_file(path)
}

/// The path with a dot and a suffix at its end.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::container::{Runtime, Std};
    use super::super::cri::CriLog;
    use super::*;

    /// As after four rotations, with what an interrupted compression left.
    #[test]
    fn a_rotation_removes_the_oldest_compresses_the_others_and_renames_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = CriLog::create(dir.path(), "a_b_c", "d").unwrap();
        let path = log.handle().path().to_owned();
        for name in
            ["20260102-030401.gz", "20260102-030411.gz", "20260102-030421.gz", "20260102-030411.gz.tmp"]
        {
            fs::write(with_suffix(&path, name), "").unwrap();
        }
        fs::write(with_suffix(&path, "20260102-030431"), "the newest\n").unwrap();
        log.append(Std::Out, b"current", true).unwrap();

        assert!(rotate(&log.handle(), 5).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().len(), 0, "opened anew");
        let mut names: Vec<String> = fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.remove(0), "0.log");
        let rotated = names.pop().unwrap();
        assert!(rotated.len() == "0.log.20260102-030405".len(), "{rotated}");
        assert_eq!(
            names,
            ["20260102-030411.gz", "20260102-030421.gz", "20260102-030431.gz"]
                .map(|name| format!("0.log.{name}"))
        );
        assert!(
            fs::read_to_string(with_suffix(&path, rotated.strip_prefix("0.log.").unwrap()))
                .unwrap()
                .contains("current")
        );
        let mut text = String::new();
        let gz = File::open(with_suffix(&path, "20260102-030431.gz")).unwrap();
        flate2::read::GzDecoder::new(gz).read_to_string(&mut text).unwrap();
        assert_eq!(text, "the newest\n");

        log.append(Std::Out, b"new", true).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("new"));
    }
}
