//! The programs that write and rotate logs: what the test does to the files of a [`World`]. No fault hits them, and they
//! outlive a crash. Paths are absolute; errors are those of Linux.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::disk::{NodeId, os_error};
use super::world::World;
use crate::Stat;

impl World {
    /// Makes all missing directories on the way to `path`, and itself.
    pub fn mkdir_all(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        self.change(format_args!("mkdir -p {}", path.display()), |disk| disk.mkdir_all(path))
    }

    /// A file with these contents; an existing one is truncated first (`O_TRUNC`) and keeps its inode.
    pub fn create(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let (path, bytes) = (path.as_ref(), bytes.as_ref());
        let what = format_args!("create {} ({} bytes)", path.display(), bytes.len());
        self.change(what, |disk| disk.create(path, bytes, false).map(drop))
    }

    /// A file with these contents where there is none (`O_EXCL`).
    pub fn write_new(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let (path, bytes) = (path.as_ref(), bytes.as_ref());
        let what = format_args!("write new {} ({} bytes)", path.display(), bytes.len());
        self.change(what, |disk| disk.create(path, bytes, true).map(drop))
    }

    /// Appends, to a new file where there is none.
    pub fn append(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let (path, bytes) = (path.as_ref(), bytes.as_ref());
        let what = format_args!("append {} ({} bytes)", path.display(), bytes.len());
        self.change(what, |disk| disk.append(path, bytes))
    }

    /// Cuts a file to `len` bytes, or extends it with zeros.
    pub fn truncate(&self, path: impl AsRef<Path>, len: usize) -> io::Result<()> {
        let path = path.as_ref();
        self.change(format_args!("truncate {} to {len}", path.display()), |disk| {
            disk.truncate_node(disk.walk(path, true)?.found()?, len)
        })
    }

    /// Renames, replacing a file or an empty directory.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let what = format_args!("rename {} to {}", from.display(), to.display());
        self.change(what, |disk| disk.rename(from, to))
    }

    /// Takes away a name of a file or a symbolic link; who holds the file open goes on reading and writing it.
    pub fn unlink(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        self.change(format_args!("unlink {}", path.display()), |disk| disk.unlink(path))
    }

    /// A symbolic link at `path`; a relative `target` starts at its directory and need not exist.
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> io::Result<()> {
        let (target, path) = (target.as_ref(), path.as_ref());
        let what = format_args!("symlink {} at {}", target.display(), path.display());
        self.change(what, |disk| disk.symlink(target, path))
    }

    /// A second name for a file.
    pub fn link(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let what = format_args!("link {} at {}", from.display(), to.display());
        self.change(what, |disk| disk.link(from, to))
    }

    /// Copies the contents; an existing `to` is truncated first and keeps its inode.
    pub fn copy(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let what = format_args!("copy {} to {}", from.display(), to.display());
        self.change(what, |disk| disk.copy(from, to))
    }

    /// Removes a directory and everything below it.
    pub fn remove_dir_all(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        self.change(format_args!("rm -r {}", path.display()), |disk| disk.remove_dir_all(path))
    }

    /// Replaces `path` by `path.gz` as kubelet does: writes `path.tmp`, renames it, removes the original.
    pub fn gzip(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let with = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let (temporary, compressed) = (with(".tmp"), with(".gz"));
        self.create(&temporary, gzipped(&self.read(path)?)?)?;
        self.rename(&temporary, &compressed)?;
        self.unlink(path)
    }

    /// Flips one random bit of a file; `ENODATA` when it is empty.
    pub fn flip_bit(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let len = u64::try_from(self.read(path)?.len()).unwrap_or(u64::MAX);
        if len == 0 {
            return Err(os_error(libc::ENODATA));
        }
        let (at, bit) = (self.random(len), self.random(8));
        self.change(format_args!("flip bit {bit} of byte {at} of {}", path.display()), |disk| {
            let node = disk.walk(path, true)?.found()?;
            if let Some(byte) = usize::try_from(at).ok().and_then(|at| disk.bytes_mut(node).ok()?.get_mut(at))
            {
                *byte ^= 1 << bit;
            }
            Ok(())
        })
    }

    /// Opens for writing, as a container runtime does: the writer follows its file through renames and deletion. The
    /// file is created where there is none.
    pub fn writer(&self, path: impl AsRef<Path>) -> io::Result<Writer> {
        let path = path.as_ref();
        let node = self.change(format_args!("open {} to write", path.display()), |disk| {
            let node = match disk.walk(path, true)?.node {
                Some(node) => node,
                None => disk.create(path, &[], false)?,
            };
            disk.bytes(node)?;
            disk.node_mut(node)?.writers += 1;
            Ok(node)
        })?;
        Ok(Writer { world: self.clone(), node })
    }

    /// The contents of a file, whatever the faults.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let state = self.state();
        state.disk.bytes(state.disk.walk(path.as_ref(), true)?.found()?).cloned()
    }

    /// What lies at `path`, symbolic links followed, whatever the faults.
    pub fn stat(&self, path: impl AsRef<Path>) -> io::Result<Stat> {
        let state = self.state();
        state.disk.stat(state.disk.walk(path.as_ref(), true)?.found()?)
    }

    /// All paths, without following symbolic links, in the order of their names, whatever the faults.
    pub fn paths(&self) -> io::Result<Vec<PathBuf>> {
        self.state().disk.paths()
    }
}

/// A file open for writing. It is no part of our process: a crash leaves it open.
#[derive(Debug)]
pub struct Writer {
    world: World,
    node: NodeId,
}

impl Writer {
    /// Appends (`O_APPEND`).
    pub fn append(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let (bytes, ino) = (bytes.as_ref(), self.stat()?.ino);
        let what = format_args!("append inode {ino} ({} bytes)", bytes.len());
        self.world.change(what, |disk| disk.append_node(self.node, bytes))
    }

    /// Writes at `offset`; what lies between the end and `offset` becomes zero, as after a copytruncate under a
    /// program that keeps its own offset.
    pub fn write_at(&self, offset: usize, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let (bytes, ino) = (bytes.as_ref(), self.stat()?.ino);
        let what = format_args!("write inode {ino} at {offset} ({} bytes)", bytes.len());
        self.world.change(what, |disk| disk.write_node_at(self.node, offset, bytes))
    }

    /// Cuts to `len` bytes, or extends with zeros.
    pub fn truncate(&self, len: usize) -> io::Result<()> {
        let ino = self.stat()?.ino;
        let what = format_args!("truncate inode {ino} to {len}");
        self.world.change(what, |disk| disk.truncate_node(self.node, len))
    }

    /// Who and how large the file is now.
    pub fn stat(&self) -> io::Result<Stat> {
        self.world.state().disk.stat(self.node)
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.world.state();
        if let Ok(node) = state.disk.node_mut(self.node) {
            node.writers -= 1;
            state.disk.free_if_unused(self.node);
        }
    }
}

fn gzipped(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}
