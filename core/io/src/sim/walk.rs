//! From a path to a node: `.`, `..` and symbolic links as the kernel treats them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::disk::{Body, Disk, NodeId, ROOT, os_error};

/// Symbolic links that one path may lead through, as in Linux (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Where a path leads to. Its last name need not exist.
#[derive(Debug)]
pub(super) struct Walk {
    /// The path without symbolic links.
    pub(super) path: PathBuf,
    /// The directories above, the root first, the one that lists it last.
    pub(super) above: Vec<NodeId>,
    /// What lies there.
    pub(super) node: Option<NodeId>,
}

impl Walk {
    /// What lies there, or `ENOENT`.
    pub(super) fn found(&self) -> io::Result<NodeId> {
        self.node.ok_or_else(|| os_error(libc::ENOENT))
    }

    /// The directory that lists it, and its name there; `EBUSY` for the root, as the kernel says.
    pub(super) fn entry(&self) -> io::Result<(NodeId, &OsStr)> {
        let name = self.path.file_name().ok_or_else(|| os_error(libc::EBUSY))?;
        Ok((self.above.last().copied().unwrap_or(ROOT), name))
    }
}

impl Disk {
    /// Follows `path`, which is absolute; also through a symbolic link at its end when `follow`.
    pub(super) fn walk(&self, path: &Path, follow: bool) -> io::Result<Walk> {
        let mut todo: Vec<OsString> = Vec::new();
        push_names(path, &mut todo);
        let (mut dirs, mut at, mut links) = (vec![ROOT], PathBuf::from("/"), 0);
        while let Some(name) = todo.pop() {
            if name == ".." {
                if dirs.len() > 1 {
                    dirs.pop();
                    at.pop();
                }
                continue;
            }
            let dir = dirs.last().copied().unwrap_or(ROOT);
            let entries: &BTreeMap<OsString, NodeId> = self.entries(dir)?;
            let last = todo.is_empty();
            let Some(child) = entries.get(&name).copied() else {
                if !last {
                    return Err(os_error(libc::ENOENT));
                }
                at.push(name);
                return Ok(Walk { path: at, above: dirs, node: None });
            };
            match &self.node(child)?.body {
                Body::Symlink(target) if follow || !last => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(os_error(libc::ELOOP));
                    }
                    if target.is_absolute() {
                        dirs.truncate(1);
                        at = PathBuf::from("/");
                    }
                    push_names(target, &mut todo);
                }
                Body::Directory(_) => {
                    dirs.push(child);
                    at.push(name);
                }
                _ if last => {
                    at.push(name);
                    return Ok(Walk { path: at, above: dirs, node: Some(child) });
                }
                _ => return Err(os_error(libc::ENOTDIR)),
            }
        }
        let node = dirs.pop();
        Ok(Walk { path: at, above: dirs, node })
    }

    /// What lies at `path`, where no symbolic link is on the way nor at its end.
    pub(super) fn walk_straight(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        let ancestors: Vec<&Path> = path.ancestors().collect();
        for path in ancestors.into_iter().rev() {
            node = self.walk(path, false)?.found()?;
            if let Body::Symlink(_) = self.node(node)?.body {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a symbolic link is on the way"));
            }
        }
        Ok(node)
    }
}

/// The names of `path`, so that the first is popped first.
fn push_names(path: &Path, todo: &mut Vec<OsString>) {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    todo.extend(names);
}
