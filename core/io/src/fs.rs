//! File-system calls that may block: opening, looking, listing.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::file::{File, OsFile, stat_of};
use crate::mounts;
use crate::straight;

/// File-system calls, any of which may block. Shared between threads.
pub trait Fs: Send + Sync {
    /// Opens a regular file for reading, by a path without symlinks as [`Fs::canonical`] gives it: a symlink on the way or
    /// at the end, put there since, is refused (`PermissionDenied`). FIFOs, sockets and devices are refused
    /// (`InvalidInput`) without being opened.
    fn open(&self, path: &Path) -> io::Result<Arc<File>>;

    /// What lies at `path`, symlinks followed.
    fn stat(&self, path: &Path) -> io::Result<Stat>;

    /// The same, but of a symlink at the end of `path` itself.
    fn lstat(&self, path: &Path) -> io::Result<Stat>;

    /// The entries of a directory, in no order, without `.` and `..`; names and kinds only.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// The absolute path without symlinks.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
}

/// What `stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The file system.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// The last change of the contents, nanoseconds since 1970.
    pub modified_ns: i64,
    /// Names that the inode has: 0 once it is deleted.
    pub links: u64,
    /// What it is.
    pub kind: Kind,
    /// A directory in which nobody but root and this process's user may make names.
    pub guarded: bool,
}

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else, or not known.
    Other,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name.
    pub name: OsString,
    /// What it is, the link itself where it is one.
    pub kind: Kind,
}

/// The file system of the machine. What leads to a mount that may never answer is asked on that mount's own thread, and is
/// `TimedOut` when no answer comes in two seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

impl Fs for RealFs {
    fn open(&self, path: &Path) -> io::Result<Arc<File>> {
        let (fd, remote) = where_it_is(path, open)?;
        let remote = remote.map(mounts::remote_of);
        Ok(Arc::new(File::from_os(OsFile::new(fd, remote))))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        where_it_is(path, |path| Ok(stat_of(&rustix::fs::stat(path)?)))
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        where_it_is(path, |path| Ok(stat_of(&rustix::fs::lstat(path)?)))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        where_it_is(path, read_dir)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        where_it_is(path, |path| std::fs::canonicalize(path))
    }
}

/// Does something with `path` where it may block.
fn where_it_is<T, F>(path: &Path, call: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Path) -> io::Result<T> + Send + 'static,
{
    match mounts::remote_at(path) {
        None => call(path),
        Some(mount) => {
            let path = path.to_owned();
            mount.lane.call(move || call(&path))
        }
    }
}

/// Opens a regular file; its device where that is remote.
fn open(path: &Path) -> io::Result<(OwnedFd, Option<u64>)> {
    let fd = straight::open(path)?;
    let Stat { dev, .. } = stat_of(&rustix::fs::fstat(&fd)?);
    // On NONBLOCK files io_uring before 5.12 answers EAGAIN instead of waiting for the disk.
    rustix::fs::fcntl_setfl(&fd, OFlags::empty())?;
    let remote = is_remote(rustix::fs::fstatfs(&fd)?.f_type);
    Ok((fd, remote.then_some(dev)))
}

fn read_dir(path: &Path) -> io::Result<Vec<DirEntry>> {
    std::fs::read_dir(path)?
        .map(|entry| {
            let entry = entry?;
            // Asks the kernel only where the file system does not tell kinds in listings; by then the entry may be
            // gone.
            let kind = entry.file_type().map_or(Kind::Other, kind_of);
            Ok(DirEntry { name: entry.file_name(), kind })
        })
        .collect()
}

fn kind_of(kind: std::fs::FileType) -> Kind {
    if kind.is_file() {
        Kind::File
    } else if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Symlink
    } else {
        Kind::Other
    }
}

/// File systems whose server may never answer: NFS, CIFS, SMB2, FUSE, 9p, Ceph (`linux/magic.h`; CIFS's are in its
/// own headers).
fn is_remote(magic: rustix::fs::FsWord) -> bool {
    const REMOTE: [u32; 7] =
        [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997, 0x00c3_6400, 0x5346_414f];
    // The kernel's word is as wide as a register and may be sign-extended: the low 32 bits are the number.
    u32::try_from(magic & 0xffff_ffff).is_ok_and(|magic| REMOTE.contains(&magic))
}
