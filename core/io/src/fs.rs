//! File-system calls that may block: opening, looking, listing.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::OFlags;

use crate::file::{File, OsFile, stat_of};
use crate::lane::{FAR_AT_ONCE, STACK_BYTES};
use crate::mounts;
use crate::straight;

/// File-system calls, any of which may block. Shared between threads.
pub trait Fs: Send + Sync {
    /// Opens a regular file for reading, by a path without symlinks as [`Fs::canonical`] gives it: a symlink on the way or
    /// at the end, put there since, is refused (`PermissionDenied`). FIFOs, sockets and devices are refused
    /// (`InvalidInput`) without being opened.
    fn open(&self, path: &Path) -> io::Result<Arc<File>> {
        self.open_as(path).map(|(file, _)| file)
    }

    /// The same, and what the file was just before.
    fn open_as(&self, path: &Path) -> io::Result<(Arc<File>, Stat)>;

    /// What lies at `path`, symlinks followed.
    fn stat(&self, path: &Path) -> io::Result<Stat>;

    /// The same, but of a symlink at the end of `path` itself.
    fn lstat(&self, path: &Path) -> io::Result<Stat>;

    /// The entries of a directory, in no order, without `.` and `..`; names and kinds only.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// The absolute path without symlinks.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;

    /// Whether `path` leads to a mount whose answers may take long. Not asked of the mount.
    fn is_far(&self, _path: &Path) -> bool {
        false
    }

    /// Does a piece of work for each number below `count`, in no order: one after the other or, where `place` is
    /// [far](Fs::is_far), [`FAR_AT_ONCE`] at once.
    fn each(&self, _place: &Path, count: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(work);
    }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// The inode number, where the file system tells it in listings; some have one number for all.
    pub ino: u64,
}

/// The file system of the machine. What leads to a mount that may never answer is asked on that mount's own threads,
/// and is `TimedOut` when it answers nothing for two seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

impl Fs for RealFs {
    fn open_as(&self, path: &Path) -> io::Result<(Arc<File>, Stat)> {
        let Some(mount) = mounts::remote_at(path) else {
            let (fd, stat) = straight::open(path)?;
            let remote = is_remote(rustix::fs::fstatfs(&fd)?.f_type);
            return Ok((opened(fd, remote.then_some(stat.dev))?, stat));
        };
        let (owned, device) = (path.to_owned(), mount.device);
        let (fd, stat, remote) = mount.lane.call(path, move |_| {
            let (fd, stat) = straight::open(&owned)?;
            // Another one may be mounted below.
            let remote = stat.dev == device || is_remote(rustix::fs::fstatfs(&fd)?.f_type);
            Ok((fd, stat, remote))
        })?;
        Ok((opened(fd, remote.then_some(stat.dev))?, stat))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        where_it_is(path, |path, _| Ok(stat_of(&rustix::fs::stat(path)?)))
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        where_it_is(path, |path, _| Ok(stat_of(&rustix::fs::lstat(path)?)))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        where_it_is(path, read_dir)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        where_it_is(path, |path, _| std::fs::canonicalize(path))
    }

    fn is_far(&self, path: &Path) -> bool {
        mounts::remote_at(path).is_some()
    }

    fn each(&self, place: &Path, count: usize, work: &(dyn Fn(usize) + Sync)) {
        if count < 2 || !self.is_far(place) {
            return (0..count).for_each(work);
        }
        let next = AtomicUsize::new(0);
        let serve = || {
            let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            numbers.take_while(|number| *number < count).for_each(work);
        };
        std::thread::scope(|scope| {
            for _ in 1..count.min(FAR_AT_ONCE) {
                // With fewer threads it only takes longer.
                let builder = std::thread::Builder::new().name("ringtail-look".into());
                if builder.stack_size(STACK_BYTES).spawn_scoped(scope, serve).is_err() {
                    break;
                }
            }
            serve();
        });
    }
}

/// Does something with `path` where it may block.
fn where_it_is<T, F>(path: &Path, call: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Path, &dyn Fn()) -> io::Result<T> + Send + 'static,
{
    match mounts::remote_at(path) {
        None => call(path, &|| {}),
        Some(mount) => {
            let owned = path.to_owned();
            mount.lane.call(path, move |pulse| call(&owned, &|| pulse.answered()))
        }
    }
}

/// An open file, and the device where that may never answer.
fn opened(fd: OwnedFd, remote: Option<u64>) -> io::Result<Arc<File>> {
    // On NONBLOCK files io_uring before 5.12 answers EAGAIN instead of waiting for the disk.
    rustix::fs::fcntl_setfl(&fd, OFlags::empty())?;
    Ok(Arc::new(File::from_os(OsFile::new(fd, remote.map(mounts::remote_of)))))
}

/// `answered`: to be called as the answers come, since a large directory takes many.
fn read_dir(path: &Path, answered: &dyn Fn()) -> io::Result<Vec<DirEntry>> {
    std::fs::read_dir(path)?
        .map(|entry| {
            let entry = entry?;
            answered();
            // Asks the kernel only where the file system does not tell kinds in listings; by then the entry may be
            // gone.
            let kind = entry.file_type().map_or(Kind::Other, kind_of);
            Ok(DirEntry { name: entry.file_name(), kind, ino: entry.ino() })
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
