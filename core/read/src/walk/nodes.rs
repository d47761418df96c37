//! The directories on the way, as a walk remembers them.

use std::path::Path;
use std::sync::Arc;

use ringtail_io::Stat;

use super::places::Place;
use super::{Todo, Walk};

/// One directory on the way.
pub(super) struct Node {
    pub(super) places: Arc<[Place]>,
    /// The directory without symlinks.
    pub(super) real: Arc<Path>,
    pub(super) stat: Stat,
    /// The listing that `dirs` and `files` were worked out from; 0 where none was needed.
    pub(super) version: u64,
    /// Itself and all directories above, by device and inode.
    pub(super) above: Arc<Vec<(u64, u64)>>,
    pub(super) dirs: Vec<Arc<Path>>,
    pub(super) files: Vec<Arc<Path>>,
    /// Whether a name that is not there yet may matter.
    pub(super) expects: bool,
}

impl Node {
    /// The node's directory, to be entered at `path` once more.
    pub(super) fn again(&self, path: Arc<Path>) -> Todo {
        let above = Arc::new(self.above[..self.above.len() - 1].to_vec());
        Todo { path, places: self.places.clone(), above }
    }

    /// The directory, where a new name in it may matter.
    fn watched(&self) -> Option<&Arc<Path>> {
        self.expects.then_some(&self.real)
    }
}

impl Walk {
    /// Directories, without symlinks, in which a new name may matter.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &Arc<Path>> {
        self.nodes.values().filter_map(Node::watched)
    }

    /// The subdirectories of a node, as they were worked out.
    pub(super) fn below(&self, node: &Node) -> Vec<Todo> {
        let todo = |path: &Arc<Path>| {
            let places = self.nodes.get(path)?.places.clone();
            Some(Todo { path: path.clone(), places, above: node.above.clone() })
        };
        node.dirs.iter().filter_map(todo).collect()
    }

    /// The directory above leads here again with the next scan, though it may not change before.
    pub(super) fn come_again(&mut self, path: &Path) {
        if let Some(above) = path.parent().and_then(|above| self.nodes.get_mut(above)) {
            above.version = 0;
        }
    }

    /// What a directory's child was stays, where it cannot be asked now.
    pub(super) fn keep(&self, path: &Arc<Path>, child: &Arc<Path>, node: &mut Node) {
        let Some(before) = self.nodes.get(path) else { return };
        node.expects |= before.expects;
        node.dirs.extend(before.dirs.iter().find(|dir| *dir == child).cloned());
        node.files.extend(before.files.iter().find(|file| *file == child).cloned());
    }

    /// Puts a node in its place; what the one before led to and this one does not is forgotten.
    pub(super) fn put(&mut self, path: &Arc<Path>, mut node: Node) {
        node.dirs.sort_unstable();
        node.files.sort_unstable();
        let before = self.take(path);
        self.moved |= before.as_ref().and_then(Node::watched) != node.watched();
        if let Some(before) = before {
            let is_gone = |known: &[Arc<Path>], it: &Arc<Path>| known.binary_search(it).is_err();
            before.dirs.iter().filter(|dir| is_gone(&node.dirs, dir)).for_each(|dir| self.forget(dir));
            before.files.iter().filter(|file| is_gone(&node.files, file)).for_each(|file| self.unmatch(file));
        }
        self.by_real.entry(node.real.clone()).or_default().push(path.clone());
        self.nodes.insert(path.clone(), node);
    }

    /// Takes a node out.
    fn take(&mut self, path: &Arc<Path>) -> Option<Node> {
        let node = self.nodes.remove(path)?;
        if let Some(paths) = self.by_real.get_mut(&node.real) {
            paths.retain(|known| known != path);
            if paths.is_empty() {
                self.by_real.remove(&node.real);
            }
        }
        Some(node)
    }

    /// Drops a directory and all below it.
    pub(super) fn forget(&mut self, path: &Arc<Path>) {
        self.refused.retain(|refused, _| !refused.starts_with(path));
        let mut todo = vec![path.clone()];
        while let Some(path) = todo.pop() {
            let Some(node) = self.take(&path) else { continue };
            self.moved |= node.expects;
            todo.extend(node.dirs);
            node.files.iter().for_each(|file| self.unmatch(file));
        }
    }

    fn unmatch(&mut self, file: &Arc<Path>) {
        self.version += u64::from(self.matches.remove(file).is_some());
    }
}
