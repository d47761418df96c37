//! One agent a `data_dir`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::{fmt, process};

/// The file in the directory.
const NAME: &str = "lock";
/// Bytes of a holder's text that are read: a pid and a host name fit.
const HOLDER_BYTES: u64 = 512;

/// An exclusive hold on a directory, until it is dropped or the process ends, however it ends.
///
/// The file stays: removing it would let two processes lock two files of one name.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Why a directory is not held.
#[derive(Debug)]
pub enum LockError {
    /// By another process, which says this about itself (`pid 42 on host node-1`).
    Held(String),
    /// The file cannot be made, locked or written.
    Failed(io::Error),
}

impl DirLock {
    /// Takes the lock of `dir`, which exists, or tells who has it. Does not wait.
    pub fn try_acquire(dir: &Path) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(dir.join(NAME)).map_err(LockError::Failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(LockError::Failed(error)),
        }
        let uname = rustix::system::uname();
        let text = format!("pid {} on host {}\n", process::id(), uname.nodename().to_string_lossy());
        file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(LockError::Failed)?;
        Ok(DirLock { _file: file })
    }
}

/// What the holder wrote; it may be just about to write.
fn holder(file: &mut File) -> String {
    let mut text = Vec::new();
    match file.take(HOLDER_BYTES).read_to_end(&mut text) {
        Ok(_) if !text.is_empty() => String::from_utf8_lossy(&text).trim().into(),
        _ => "a process that has not said who it is".into(),
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held(holder) => write!(f, "held by {holder}"),
            LockError::Failed(error) => write!(f, "cannot be locked: {error}"),
        }
    }
}

impl std::error::Error for LockError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who_the_first_is() {
        let dir = tempfile::tempdir().expect("directory");
        let first = DirLock::try_acquire(dir.path()).expect("nobody has it");
        let refused = DirLock::try_acquire(dir.path());
        let expected = format!("pid {} on host ", process::id());
        assert!(matches!(refused, Err(LockError::Held(holder)) if holder.starts_with(&expected)));
        drop(first);
        DirLock::try_acquire(dir.path()).expect("it was given back");
    }

    #[test]
    fn a_directory_that_is_not_there_cannot_be_locked() {
        let dir = tempfile::tempdir().expect("directory");
        let missing = DirLock::try_acquire(&dir.path().join("missing"));
        assert!(matches!(missing, Err(LockError::Failed(error)) if error.kind() == io::ErrorKind::NotFound));
    }
}
