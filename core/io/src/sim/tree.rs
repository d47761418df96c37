//! The operations of the simulated file system by path, as the programs that write and rotate logs use them.
//! Errors are those of Linux.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Body, Disk, NodeId, ROOT, os_error};

impl Disk {
    /// All missing directories on the way to `path`, and itself.
    pub(super) fn mkdir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut at = path;
        let walk = loop {
            match self.walk(at, true) {
                Ok(walk) if walk.node.is_some() => break walk,
                Err(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
                _ => missing.push(at.file_name().ok_or_else(|| os_error(libc::EINVAL))?),
            }
            at = at.parent().unwrap_or(Path::new("/"));
        };
        let mut dir = walk.found()?;
        self.entries(dir)?;
        for name in missing.into_iter().rev() {
            if self.entries(dir)?.contains_key(name) {
                // A symbolic link that leads nowhere.
                return Err(os_error(libc::EEXIST));
            }
            dir = self.add(dir, name, Body::Directory(BTreeMap::new()))?;
        }
        Ok(())
    }

    /// A file with these contents: an existing one is truncated and written again, or refused when `fresh`.
    pub(super) fn create(&mut self, path: &Path, bytes: &[u8], fresh: bool) -> io::Result<NodeId> {
        // With O_EXCL the kernel does not follow a symbolic link at the end, not even one that leads nowhere.
        let walk = self.walk(path, !fresh)?;
        let id = match walk.node {
            Some(_) if fresh => return Err(os_error(libc::EEXIST)),
            Some(id) => {
                self.truncate_node(id, 0)?;
                id
            }
            None => {
                let (dir, name) = walk.entry()?;
                self.add(dir, name, Body::File(Vec::new()))?
            }
        };
        self.append_node(id, bytes)?;
        Ok(id)
    }

    /// Appends, to a new file where there is none.
    pub(super) fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        match self.walk(path, true)?.node {
            Some(id) => self.append_node(id, bytes),
            None => self.create(path, bytes, false).map(drop),
        }
    }

    pub(super) fn append_node(&mut self, id: NodeId, bytes: &[u8]) -> io::Result<()> {
        let held = self.bytes_mut(id)?;
        if bytes.is_empty() {
            return Ok(());
        }
        held.extend_from_slice(bytes);
        self.written(id)
    }

    /// Writes at `off`; what lies between the end and `off` becomes zero.
    pub(super) fn write_node_at(&mut self, id: NodeId, off: usize, bytes: &[u8]) -> io::Result<()> {
        let held = self.bytes_mut(id)?;
        let end = off.checked_add(bytes.len()).ok_or_else(|| os_error(libc::EFBIG))?;
        if held.len() < end {
            held.resize(end, 0);
        }
        held[off..end].copy_from_slice(bytes);
        self.written(id)
    }

    /// Cuts to `len`, or extends with zeros.
    pub(super) fn truncate_node(&mut self, id: NodeId, len: usize) -> io::Result<()> {
        self.bytes_mut(id)?.resize(len, 0);
        self.written(id)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (source, target) = (self.walk(from, false)?, self.walk(to, false)?);
        let id = source.found()?;
        let (old, new) = (source.entry()?, target.entry()?);
        if target.node == Some(id) {
            return Ok(());
        }
        if target.above.contains(&id) {
            return Err(os_error(libc::EINVAL));
        }
        let is_dir = |node: NodeId| self.entries(node).is_ok();
        if let Some(replaced) = target.node {
            match (is_dir(id), is_dir(replaced)) {
                // What is renamed lies below what it would replace.
                _ if source.above.contains(&replaced) => return Err(os_error(libc::ENOTEMPTY)),
                (true, true) if !self.entries(replaced)?.is_empty() => return Err(os_error(libc::ENOTEMPTY)),
                (true, false) => return Err(os_error(libc::ENOTDIR)),
                (false, true) => return Err(os_error(libc::EISDIR)),
                _ => self.detach(new.0, new.1, true)?,
            }
        }
        self.move_entry(old, new)
    }

    /// Takes away a name of a file or a symbolic link.
    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let walk = self.walk(path, false)?;
        if self.entries(walk.found()?).is_ok() {
            return Err(os_error(libc::EISDIR));
        }
        let (dir, name) = walk.entry()?;
        self.detach(dir, name, false)
    }

    pub(super) fn symlink(&mut self, target: &Path, path: &Path) -> io::Result<()> {
        let walk = self.walk(path, false)?;
        if walk.node.is_some() {
            return Err(os_error(libc::EEXIST));
        }
        let (dir, name) = walk.entry()?;
        self.add(dir, name, Body::Symlink(target.to_owned())).map(drop)
    }

    /// A second name for a file.
    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.walk(from, false)?.found()?;
        let walk = self.walk(to, false)?;
        if walk.node.is_some() {
            return Err(os_error(libc::EEXIST));
        }
        if self.entries(id).is_ok() {
            return Err(os_error(libc::EPERM));
        }
        let (dir, name) = walk.entry()?;
        self.attach(dir, name, id)
    }

    pub(super) fn copy(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let bytes = self.bytes(self.walk(from, true)?.found()?)?.clone();
        self.create(to, &bytes, false).map(drop)
    }

    /// A directory and everything below it, the deepest first; of a symbolic link only the link.
    pub(super) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let walk = self.walk(path, false)?;
        let id = walk.found()?;
        let (above, name) = walk.entry()?;
        if matches!(self.node(id)?.body, Body::Symlink(_)) {
            return self.detach(above, name, false);
        }
        let mut dirs = vec![(above, name.to_owned(), id)];
        let mut at = 0;
        while at < dirs.len() {
            let dir = dirs[at].2;
            let children: Vec<(OsString, NodeId)> =
                self.entries(dir)?.iter().map(|(name, id)| (name.clone(), *id)).collect();
            for (name, child) in children {
                match self.entries(child) {
                    Ok(_) => dirs.push((dir, name, child)),
                    Err(_) => self.detach(dir, &name, false)?,
                }
            }
            at += 1;
        }
        for (dir, name, _) in dirs.into_iter().rev() {
            self.detach(dir, &name, false)?;
        }
        Ok(())
    }

    /// All paths, without following symbolic links, in the order of their names.
    pub(super) fn paths(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        let mut dirs = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, dir)) = dirs.pop() {
            for (name, child) in self.entries(dir)? {
                let path = path.join(name);
                if self.entries(*child).is_ok() {
                    dirs.push((path.clone(), *child));
                }
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }
}
