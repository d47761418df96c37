//! Open files.

use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use rustix::fs::{Advice, FileType, Mode};
use rustix::io::{Errno, ReadWriteFlags};

use crate::fs::{Kind, Stat};
use crate::mounts::Mount;
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
    /// Who and how large the file is now. On a remote mount `TimedOut` after two seconds.
    pub fn stat(&self) -> io::Result<Stat> {
        match &self.repr {
            Repr::Os(file) => file.stat(),
            Repr::Sim(handle) => handle.stat(),
        }
    }

    /// Reads into `buf` from `offset`, in bytes; blocks, on a remote mount for two seconds at most (`TimedOut`). Short
    /// before the end of the file only if the kernel says so; 0 at the end.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.repr {
            Repr::Os(file) => file.read_at(buf, offset),
            Repr::Sim(handle) => handle.read_at(buf, offset),
        }
    }

    /// The device number of the mount, where it lies on one that may never answer: NFS, CIFS, FUSE.
    pub fn remote_mount(&self) -> Option<u64> {
        match &self.repr {
            Repr::Os(file) => file.remote_mount(),
            Repr::Sim(_) => None,
        }
    }

    /// Reads what is in memory, perhaps less than there is; never blocks. `WouldBlock` when a plain read is needed to know
    /// more.
    pub fn read_resident(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.repr {
            Repr::Os(file) => file.read_resident(buf, offset),
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

/// The kernel starts no more on one advice than the device's read-ahead, 128 KiB where nobody changed it.
const FETCH_BYTES: usize = 128 << 10;

/// A file of the operating system.
#[derive(Debug)]
pub(crate) struct OsFile {
    handle: Handle,
    /// The file system refused `RWF_NOWAIT` once: it is not asked again.
    nowait_refused: AtomicBool,
}

/// A descriptor, closed where that may block: FUSE asks its server.
#[derive(Debug)]
struct Handle {
    fd: Arc<OwnedFd>,
    /// The mount, where it may never answer.
    mount: Option<Arc<Mount>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(mount) = &self.mount {
            mount.lane.dispose(self.fd.clone());
        }
    }
}

impl OsFile {
    pub(crate) fn new(fd: OwnedFd, mount: Option<Arc<Mount>>) -> Self {
        OsFile { handle: Handle { fd: Arc::new(fd), mount }, nowait_refused: AtomicBool::new(false) }
    }

    /// As on a file system without `RWF_NOWAIT`: every read goes the way of what is not in memory.
    #[cfg(test)]
    pub(crate) fn refusing_nowait(self) -> Self {
        OsFile { nowait_refused: AtomicBool::new(true), ..self }
    }

    /// The device, on a network or FUSE mount, which may never answer.
    pub(crate) fn remote_mount(&self) -> Option<u64> {
        self.handle.mount.as_ref().map(|mount| mount.device)
    }

    pub(crate) fn stat(&self) -> io::Result<Stat> {
        self.where_it_is(|fd| Ok(stat_of(&rustix::fs::fstat(fd)?)))
    }

    /// Does something with the descriptor where it may block.
    fn where_it_is<T, F>(&self, call: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&OwnedFd) -> io::Result<T> + Send + 'static,
    {
        match &self.handle.mount {
            None => call(&self.handle.fd),
            Some(mount) => {
                let fd = self.handle.fd.clone();
                let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
                mount.lane.call(Path::new(&name), move |_| call(&fd))
            }
        }
    }

    /// Reads what is in memory, perhaps less than there is; `WouldBlock` when a plain read is needed to know more.
    pub(crate) fn read_resident(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.handle.mount.is_some() || self.nowait_refused.load(Ordering::Relaxed) {
            return Err(Errno::AGAIN.into());
        }
        let mut slices = [IoSliceMut::new(buf)];
        loop {
            return match rustix::io::preadv2(&self.handle.fd, &mut slices, offset, ReadWriteFlags::NOWAIT) {
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

    /// The same for what a shard wants: with fewer than `least` bytes, the file ends there.
    pub(crate) fn read_resident_least(&self, buf: &mut [u8], offset: u64, least: usize) -> io::Result<usize> {
        let count = self.read_resident(buf, offset)?;
        // The next page may be missing.
        let is_short = count > 0 && count < least;
        if is_short && self.stat()?.size > offset + count as u64 {
            Err(Errno::AGAIN.into())
        } else {
            Ok(count)
        }
    }

    /// For whoever may not wait for ever, the scanner.
    pub(crate) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.handle.mount.is_none() {
            return pread(&self.handle.fd, buf, offset);
        }
        let mut bytes = vec![0; buf.len()];
        let read = self.where_it_is(move |fd| {
            let count = pread(fd, &mut bytes, offset)?;
            bytes.truncate(count);
            Ok(bytes)
        })?;
        buf[..read.len()].copy_from_slice(&read);
        Ok(read.len())
    }

    /// Has a part of the file brought into the page cache; returns before it is there, but may block. Advice: where it
    /// is not taken, the next read waits.
    pub(crate) fn fetch(&self, range: Range<u64>) {
        for offset in range.step_by(FETCH_BYTES) {
            let len = NonZeroU64::new(FETCH_BYTES as u64);
            if rustix::fs::fadvise(&self.handle.fd, offset, len, Advice::WillNeed).is_err() {
                return;
            }
        }
    }

    /// For threads that nobody waits for. With fewer than `least` bytes, the file ends there.
    pub(crate) fn read_blocking(&self, buf: &mut [u8], offset: u64, least: usize) -> io::Result<usize> {
        let mut count = 0;
        loop {
            // A server may give less than there is.
            let more = pread(&self.handle.fd, &mut buf[count..], offset + count as u64)?;
            count += more;
            if more == 0 || count >= least {
                return Ok(count);
            }
        }
    }
}

fn pread(fd: &OwnedFd, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pread(fd, &mut *buf, offset) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

impl AsFd for OsFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.fd.as_fd()
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
        guarded: is_guarded(stat),
    }
}

fn is_guarded(stat: &rustix::fs::Stat) -> bool {
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    // The group's bits bound what access lists grant, too.
    let is_private = !Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH);
    is_directory && is_private && (stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw())
}
