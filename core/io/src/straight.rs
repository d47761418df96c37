//! Opening without a detour: no symlink on the way, nothing but a regular file at the end.
//!
//! Whoever can write in a directory of a path can put a symlink there between the moment when the path was looked at and
//! the one when it is opened. `openat2(RESOLVE_NO_SYMLINKS)` (Linux 5.6) refuses that at once; where the kernel or a seccomp
//! profile does not know the call, the path is walked component by component with `O_NOFOLLOW`.
//!
//! What lies at the end is first taken without being opened (`O_PATH`), since even opening acts on some devices, then
//! opened by its descriptor. A hard link cannot be told from the file: that is for `fs.protected_hardlinks`, the kernel's
//! default of all distributions, to prevent.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

use crate::file::stat_of;
use crate::fs::{Kind, Stat};

/// The kernel or a seccomp profile refused `openat2` once: it is not asked again.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// NONBLOCK so that a FIFO without a writer, put where a log is expected, does not hold the opening.
const READING: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Opens the regular file at `path`, which is absolute; says what it was just before.
pub(crate) fn open(path: &Path) -> io::Result<(OwnedFd, Stat)> {
    let found = find(path, REFUSED.load(Ordering::Relaxed))?;
    let stat = require_regular(&found)?;
    match openat(CWD, format!("/proc/self/fd/{}", found.as_raw_fd()), READING, Mode::empty()) {
        Ok(fd) => Ok((fd, stat)),
        // Without /proc the path is gone once more.
        Err(Errno::NOENT | Errno::NOTDIR) => {
            let fd = resolve(path, READING, REFUSED.load(Ordering::Relaxed)).map_err(told)?;
            let stat = require_regular(&fd)?;
            Ok((fd, stat))
        }
        Err(error) => Err(error.into()),
    }
}

/// What lies at `path`, not opened.
fn find(path: &Path, refused: bool) -> io::Result<OwnedFd> {
    resolve(path, OFlags::PATH | OFlags::CLOEXEC, refused).map_err(told)
}

fn resolve(path: &Path, flags: OFlags, refused: bool) -> Result<OwnedFd, Errno> {
    if refused {
        return walk(path, flags);
    }
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // Opening for reading is never EPERM by itself; older container runtimes answer so to calls they do not know.
        Err(Errno::NOSYS | Errno::PERM) => {
            REFUSED.store(true, Ordering::Relaxed);
            walk(path, flags)
        }
        result => result,
    }
}

fn walk(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let names: Vec<&OsStr> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(Ok(name)),
            Component::ParentDir => Some(Err(Errno::LOOP)),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect::<Result<_, _>>()?;
    let (last, above) = names.split_last().ok_or(Errno::ISDIR)?;
    let mut dir = openat(CWD, "/", through, Mode::empty())?;
    for name in above {
        dir = match openat(&dir, *name, through, Mode::empty()) {
            // A symlink is no directory where links are not followed; perhaps it is one again by now.
            Err(Errno::NOTDIR) if !is_file(&dir, name) => return Err(Errno::LOOP),
            result => result?,
        };
    }
    let fd = openat(&dir, *last, flags | OFlags::NOFOLLOW, Mode::empty())?;
    // With O_PATH a symlink is opened itself.
    if stat_of(&fstat(&fd)?).kind == Kind::Symlink { Err(Errno::LOOP) } else { Ok(fd) }
}

/// Whether something lies there that is neither a symlink nor a directory.
fn is_file(dir: &OwnedFd, name: &OsStr) -> bool {
    let stat = rustix::fs::statat(dir.as_fd(), name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| !matches!(stat_of(&stat).kind, Kind::Symlink | Kind::Directory))
}

fn require_regular(fd: &OwnedFd) -> io::Result<Stat> {
    let stat = stat_of(&fstat(fd)?);
    match stat.kind {
        Kind::File => Ok(stat),
        kind => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not a regular file: {kind:?}"))),
    }
}

fn told(error: Errno) -> io::Error {
    match error {
        Errno::LOOP => {
            let reason = "a symlink stands where there was none when the path was looked at";
            io::Error::new(io::ErrorKind::PermissionDenied, reason)
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use super::*;

    fn kind(path: &Path, refused: bool) -> Result<(), io::ErrorKind> {
        find(path, refused).and_then(|fd| require_regular(&fd)).map(drop).map_err(|error| error.kind())
    }

    /// A directory without symlinks on the way to it.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("there");
        (folder, root)
    }

    #[test]
    fn only_a_regular_file_on_a_straight_path_is_opened_on_either_way() {
        let (_folder, root) = folder();
        fs::create_dir(root.join("dir")).expect("made");
        fs::write(root.join("dir/x.log"), "x\n").expect("written");
        symlink(root.join("dir"), root.join("link")).expect("made");
        symlink("x.log", root.join("dir/y.log")).expect("made");
        rustix::fs::mknodat(CWD, root.join("fifo"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).expect("made");
        for refused in [false, true] {
            assert_eq!(kind(&root.join("dir/x.log"), refused), Ok(()), "{refused}");
            let fd = resolve(&root.join("dir/x.log"), READING, refused).expect("opened");
            assert_eq!(io::read_to_string(fs::File::from(fd)).expect("read"), "x\n");
            for path in ["link/x.log", "dir/y.log", "link"] {
                assert_eq!(
                    kind(&root.join(path), refused),
                    Err(io::ErrorKind::PermissionDenied),
                    "{path} {refused}"
                );
            }
            assert_eq!(kind(&root.join("fifo"), refused), Err(io::ErrorKind::InvalidInput), "{refused}");
            assert_eq!(kind(&root.join("dir"), refused), Err(io::ErrorKind::InvalidInput), "{refused}");
            assert_eq!(kind(&root.join("none"), refused), Err(io::ErrorKind::NotFound), "{refused}");
            assert_eq!(
                kind(&root.join("dir/x.log/z"), refused),
                Err(io::ErrorKind::NotADirectory),
                "{refused}"
            );
        }
    }

    #[test]
    fn what_is_opened_can_be_read() {
        let (_folder, root) = folder();
        fs::write(root.join("x.log"), "x\n").expect("written");
        let (fd, _) = open(&root.join("x.log")).expect("opened");
        assert_eq!(io::read_to_string(fs::File::from(fd)).expect("read"), "x\n");
    }

    /// A directory of the path is swapped for a symlink to another one all the time: what is opened is never the other's.
    #[test]
    fn a_component_that_is_swapped_meanwhile_leads_nowhere() {
        let (_folder, root) = folder();
        for (dir, text) in [("kept", "log\n"), ("secret", "secret\n")] {
            fs::create_dir(root.join(dir)).expect("made");
            fs::write(root.join(dir).join("x.log"), text).expect("written");
        }
        let (dir, aside) = (root.join("dir"), root.join("aside"));
        fs::rename(root.join("kept"), &dir).expect("renamed");
        symlink(root.join("secret"), &aside).expect("made");
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let (stopped, swapped) = (stop.clone(), (dir.clone(), aside));
        let swapping = std::thread::spawn(move || {
            let (a, b) = swapped;
            while !stopped.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, &a, CWD, &b, rustix::fs::RenameFlags::EXCHANGE)
                    .expect("exchanged");
            }
        });
        let (mut opened, mut refused, began) = (0, 0, Instant::now());
        while (opened == 0 || refused == 0 || began.elapsed() < Duration::from_millis(500))
            && began.elapsed() < Duration::from_secs(30)
        {
            for walks in [false, true] {
                match find(&dir.join("x.log"), walks) {
                    Ok(fd) => {
                        let text =
                            fs::read_to_string(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("read");
                        assert_eq!(text, "log\n");
                        opened += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
                        refused += 1;
                    }
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        swapping.join().expect("ended");
        assert!(opened > 0 && refused > 0, "{opened} opened, {refused} refused");
    }
}
