//! Open files.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FileType;
use rustix::io::{Errno, ReadWriteFlags};

use crate::fs::{Kind, Stat};
use crate::sim;

/// An open file, real or simulated. Closed when the last reference is dropped.
#[derive(Debug)]
pub struct File {
    repr: Repr,
}

/// What stands behind a [`File`]. Each backend takes its own kind; a file of the other kind is a programmer's error.
#[derive(Debug)]
enum Repr {
    Os(OsFile),
    /// The simulator gives [`sim::Handle`] its `stat` and `read_at`.
    Sim(sim::Handle),
}

impl File {
    /// Who and how large the file is now.
    pub fn stat(&self) -> io::Result<Stat> {
        match &self.repr {
            Repr::Os(file) => file.stat(),
            Repr::Sim(handle) => handle.stat(),
        }
    }

    /// Reads into `buf` from `offset`, in bytes; blocks. Short before the end of the file only if the kernel says
    /// so; 0 at the end.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.repr {
            Repr::Os(file) => file.read_at(buf, offset),
            Repr::Sim(handle) => handle.read_at(buf, offset),
        }
    }

    pub(crate) fn from_os(file: OsFile) -> Self {
        File { repr: Repr::Os(file) }
    }

    /// For the simulator's `Fs`.
    pub(crate) fn from_sim(handle: sim::Handle) -> Self {
        File { repr: Repr::Sim(handle) }
    }

    /// # Panics
    /// On a simulated file: backends and files of two worlds were mixed.
    pub(crate) fn os(&self) -> &OsFile {
        match &self.repr {
            Repr::Os(file) => file,
            Repr::Sim(_) => panic!("a simulated file was given to the kernel"),
        }
    }

    /// # Panics
    /// On a real file: backends and files of two worlds were mixed.
    pub(crate) fn sim(&self) -> &sim::Handle {
        match &self.repr {
            Repr::Sim(handle) => handle,
            Repr::Os(_) => panic!("a real file was given to the simulator"),
        }
    }
}

/// Linux 5.9 and 5.10 answer `RWF_NOWAIT` with 0 also where pages are missing (preadv2(2), BUGS).
static NOWAIT_LIES: LazyLock<bool> = LazyLock::new(|| {
    let kernel = rustix::system::uname();
    let release = kernel.release().to_bytes();
    release.starts_with(b"5.9.") || release.starts_with(b"5.10.")
});

/// A file of the operating system.
#[derive(Debug)]
pub(crate) struct OsFile {
    fd: OwnedFd,
    /// The device, on a network or FUSE mount, which may never answer.
    remote_mount: Option<u64>,
    /// The file system refused `RWF_NOWAIT` once: it is not asked again.
    nowait_refused: AtomicBool,
}

impl OsFile {
    pub(crate) fn new(fd: OwnedFd, remote_mount: Option<u64>) -> Self {
        OsFile { fd, remote_mount, nowait_refused: AtomicBool::new(false) }
    }

    /// As on a file system without `RWF_NOWAIT`: every read goes the way of what is not in memory.
    #[cfg(test)]
    pub(crate) fn refusing_nowait(self) -> Self {
        OsFile { nowait_refused: AtomicBool::new(true), ..self }
    }

    pub(crate) fn remote_mount(&self) -> Option<u64> {
        self.remote_mount
    }

    pub(crate) fn stat(&self) -> io::Result<Stat> {
        Ok(stat_of(&rustix::fs::fstat(&self.fd)?))
    }

    /// Reads what is in memory, perhaps less than there is; `WouldBlock` when a plain read is needed to know more.
    pub(crate) fn read_resident(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.remote_mount.is_some() || self.nowait_refused.load(Ordering::Relaxed) {
            return Err(Errno::AGAIN.into());
        }
        let mut slices = [IoSliceMut::new(buf)];
        loop {
            return match rustix::io::preadv2(&self.fd, &mut slices, offset, ReadWriteFlags::NOWAIT) {
                Err(Errno::INTR) => continue,
                Ok(0) if *NOWAIT_LIES && self.stat()?.size > offset => Err(Errno::AGAIN.into()),
                // The file system cannot, the kernel (before 4.14) or a seccomp profile does not know the call.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
                    self.nowait_refused.store(true, Ordering::Relaxed);
                    Err(Errno::AGAIN.into())
                }
                result => Ok(result?),
            };
        }
    }

    pub(crate) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match rustix::io::pread(&self.fd, &mut *buf, offset) {
                Err(Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }
}

impl AsFd for OsFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The part of the kernel's `stat` that is used here.
pub(crate) fn stat_of(stat: &rustix::fs::Stat) -> Stat {
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Stat {
        dev: stat.st_dev,
        ino: stat.st_ino,
        // The kernel gives no negative sizes.
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified_ns: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanos),
        links: stat.st_nlink,
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        },
    }
}
