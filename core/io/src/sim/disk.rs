//! The simulated file system: inodes, names, directories, symbolic links. A plain model, without faults or chance.
//!
//! What an operation does to a directory's entries is left in [`Disk::notices`], for whoever watches.
//! Here: the nodes and the primitive changes to them. The operations by path are in `tree.rs`, the way from a path to a
//! node in `walk.rs`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use crate::{Change, Kind, Stat};

/// A node for its whole life; unlike inode numbers never used again.
pub(super) type NodeId = u64;

/// The root directory.
pub(super) const ROOT: NodeId = 0;

/// What a watch may have to hear.
#[derive(Debug)]
pub(super) enum Notice {
    /// The entry `name` of the directory changed.
    Changed { dir: NodeId, name: OsString, change: Change },
    /// The directory was deleted or moved.
    Gone { dir: NodeId },
}

#[derive(Debug)]
pub(super) enum Body {
    File(Vec<u8>),
    Directory(BTreeMap<OsString, NodeId>),
    Symlink(PathBuf),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) ino: u64,
    pub(super) modified_ns: i64,
    /// Directories that list it, and as what. The oldest name first.
    pub(super) names: Vec<(NodeId, OsString)>,
    /// Handles of the incarnation that runs.
    pub(super) readers: usize,
    /// Handles of the programs that write logs; they outlive a crash of ours.
    pub(super) writers: usize,
    /// Every read of it fails, until the world is healed.
    pub(super) broken: bool,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) dev: u64,
    /// The wall clock, for the modification times; kept up to date by the world.
    pub(super) now_ns: i64,
    /// Whether the next new node gets the inode number that was freed last; chosen by the world.
    pub(super) reuse_ino: bool,
    pub(super) notices: Vec<Notice>,
    nodes: BTreeMap<NodeId, Node>,
    next_node: NodeId,
    next_ino: u64,
    free_inos: Vec<u64>,
}

/// The error that the kernel reports as `errno`.
pub(super) fn os_error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

impl Disk {
    pub(super) fn new() -> Self {
        let mut disk = Disk {
            dev: 0xfd00,
            now_ns: 0,
            reuse_ino: false,
            notices: Vec::new(),
            nodes: BTreeMap::new(),
            next_node: ROOT,
            next_ino: 2,
            free_inos: Vec::new(),
        };
        disk.allocate(Body::Directory(BTreeMap::new()));
        disk
    }

    /// The node; `ESTALE` when it is freed, which only a handle from before a crash can see.
    pub(super) fn node(&self, id: NodeId) -> io::Result<&Node> {
        self.nodes.get(&id).ok_or_else(|| os_error(libc::ESTALE))
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> io::Result<&mut Node> {
        self.nodes.get_mut(&id).ok_or_else(|| os_error(libc::ESTALE))
    }

    pub(super) fn stat(&self, id: NodeId) -> io::Result<Stat> {
        let node = self.node(id)?;
        let (kind, size, links) = match &node.body {
            Body::File(bytes) => (Kind::File, bytes.len(), node.names.len()),
            Body::Directory(_) => (Kind::Directory, 4096, 2),
            Body::Symlink(target) => (Kind::Symlink, target.as_os_str().len(), node.names.len()),
        };
        let (size, links) = (size as u64, links as u64);
        Ok(Stat {
            dev: self.dev,
            ino: node.ino,
            size,
            modified_ns: node.modified_ns,
            links,
            kind,
            guarded: kind == Kind::Directory,
        })
    }

    pub(super) fn bytes(&self, id: NodeId) -> io::Result<&Vec<u8>> {
        match &self.node(id)?.body {
            Body::File(bytes) => Ok(bytes),
            Body::Directory(_) => Err(os_error(libc::EISDIR)),
            Body::Symlink(_) => Err(os_error(libc::ELOOP)),
        }
    }

    /// The contents to change; the caller reports it with [`Disk::written`] where watches should hear of it.
    pub(super) fn bytes_mut(&mut self, id: NodeId) -> io::Result<&mut Vec<u8>> {
        match &mut self.node_mut(id)?.body {
            Body::File(bytes) => Ok(bytes),
            Body::Directory(_) => Err(os_error(libc::EISDIR)),
            Body::Symlink(_) => Err(os_error(libc::ELOOP)),
        }
    }

    pub(super) fn entries(&self, dir: NodeId) -> io::Result<&BTreeMap<OsString, NodeId>> {
        match &self.node(dir)?.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(os_error(libc::ENOTDIR)),
        }
    }

    fn entries_mut(&mut self, dir: NodeId) -> io::Result<&mut BTreeMap<OsString, NodeId>> {
        match &mut self.node_mut(dir)?.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(os_error(libc::ENOTDIR)),
        }
    }

    /// A new node under a name that is free.
    pub(super) fn add(&mut self, dir: NodeId, name: &OsStr, body: Body) -> io::Result<NodeId> {
        self.entries(dir)?;
        let id = self.allocate(body);
        self.attach(dir, name, id)?;
        Ok(id)
    }

    /// Gives `id` the name, which is free.
    pub(super) fn attach(&mut self, dir: NodeId, name: &OsStr, id: NodeId) -> io::Result<()> {
        self.entries_mut(dir)?.insert(name.to_owned(), id);
        self.node_mut(id)?.names.push((dir, name.to_owned()));
        self.listed(dir, name, Change::Appeared)
    }

    /// Takes the name away, silently where it is replaced; the node goes when nothing refers to it any more.
    pub(super) fn detach(&mut self, dir: NodeId, name: &OsStr, silent: bool) -> io::Result<()> {
        let id = self.entries_mut(dir)?.remove(name).ok_or_else(|| os_error(libc::ENOENT))?;
        let node = self.node_mut(id)?;
        node.names.retain(|(of, known)| (*of, known.as_os_str()) != (dir, name));
        if matches!(node.body, Body::Directory(_)) {
            self.notices.push(Notice::Gone { dir: id });
        }
        if !silent {
            self.listed(dir, name, Change::Vanished)?;
        }
        self.free_if_unused(id);
        Ok(())
    }

    /// Renames the entry onto a name that is free.
    pub(super) fn move_entry(&mut self, from: (NodeId, &OsStr), to: (NodeId, &OsStr)) -> io::Result<()> {
        let id = self.entries_mut(from.0)?.remove(from.1).ok_or_else(|| os_error(libc::ENOENT))?;
        self.entries_mut(to.0)?.insert(to.1.to_owned(), id);
        let node = self.node_mut(id)?;
        for place in node.names.iter_mut().filter(|(of, known)| (*of, known.as_os_str()) == from) {
            *place = (to.0, to.1.to_owned());
        }
        if matches!(node.body, Body::Directory(_)) {
            self.notices.push(Notice::Gone { dir: id });
        }
        self.listed(from.0, from.1, Change::Vanished)?;
        self.listed(to.0, to.1, Change::Appeared)
    }

    /// The contents of `id` changed. Watches hear of it under its oldest name, and not at all once it is unlinked
    /// (as with `IN_EXCL_UNLINK`).
    pub(super) fn written(&mut self, id: NodeId) -> io::Result<()> {
        let now_ns = self.now_ns;
        let node = self.node_mut(id)?;
        node.modified_ns = now_ns;
        if let Some((dir, name)) = node.names.first().cloned() {
            self.notices.push(Notice::Changed { dir, name, change: Change::Written });
        }
        Ok(())
    }

    pub(super) fn free_if_unused(&mut self, id: NodeId) {
        let unused =
            |node: &Node| node.names.is_empty() && node.readers == 0 && node.writers == 0 && id != ROOT;
        if self.nodes.get(&id).is_some_and(unused)
            && let Some(node) = self.nodes.remove(&id)
        {
            self.free_inos.push(node.ino);
        }
    }

    /// Forgets the readers of all nodes.
    pub(super) fn close_readers(&mut self) {
        let held: Vec<NodeId> =
            self.nodes.iter().filter(|(_, node)| node.readers > 0).map(|(id, _)| *id).collect();
        for id in held {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.readers = 0;
            }
            self.free_if_unused(id);
        }
    }

    /// Ends the persistent read errors.
    pub(super) fn heal(&mut self) {
        self.nodes.values_mut().for_each(|node| node.broken = false);
    }

    /// Handles that readers hold.
    pub(super) fn open_readers(&self) -> usize {
        self.nodes.values().map(|node| node.readers).sum()
    }

    fn allocate(&mut self, body: Body) -> NodeId {
        let reused = if self.reuse_ino { self.free_inos.pop() } else { None };
        let ino = reused.unwrap_or_else(|| {
            self.next_ino += 1;
            self.next_ino - 1
        });
        let id = self.next_node;
        self.next_node += 1;
        let modified_ns = self.now_ns;
        let node = Node { ino, modified_ns, names: Vec::new(), readers: 0, writers: 0, broken: false, body };
        self.nodes.insert(id, node);
        id
    }

    fn listed(&mut self, dir: NodeId, name: &OsStr, change: Change) -> io::Result<()> {
        let now_ns = self.now_ns;
        self.node_mut(dir)?.modified_ns = now_ns;
        self.notices.push(Notice::Changed { dir, name: name.to_owned(), change });
        Ok(())
    }
}
