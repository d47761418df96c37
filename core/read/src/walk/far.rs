//! What a walk puts off: directories and links that lead to mounts whose answers may take long. They are asked in pieces, after all
//! that is near, and several at once.
//!
//! A near directory with links that lead far is worked out twice: without these at first, then with them.
//!
//! Limits: [`FAR_AT_ONCE`] directories in a piece; the links of one directory are asked in one go.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringtail_io::{FAR_AT_ONCE, Stat};

use super::names::Named;
use super::nodes::Node;
use super::{Reach, Todo, Trip, Trouble, Walk};
use crate::dirs::Dirs;
use crate::gather::gather;
use crate::maps::HashSet;

/// What was put off.
#[derive(Default)]
pub(super) struct Far {
    todo: Vec<Todo>,
    links: Vec<Arc<Path>>,
    /// What was put off since the look at everything began: each has its turn once.
    seen: HashSet<Arc<Path>>,
}

/// What was asked of a directory before it is entered.
#[derive(Default)]
pub(super) struct Ahead {
    pub(super) stat: Option<io::Result<Stat>>,
    pub(super) real: Option<io::Result<PathBuf>>,
}

impl Walk {
    /// Whether something was put off.
    pub(crate) fn has_far(&self) -> bool {
        !self.far.todo.is_empty() || !self.far.links.is_empty()
    }

    /// Looks at some of what was put off.
    pub(crate) fn go_far(&mut self, dirs: &mut Dirs, troubles: &mut Vec<Trouble>) {
        let at = self.far.todo.len().saturating_sub(FAR_AT_ONCE);
        let mut todo = self.far.todo.split_off(at);
        todo.retain(|todo| self.is_led_to(&todo.path));
        if todo.is_empty() {
            let at = self.far.links.len().saturating_sub(FAR_AT_ONCE);
            let links = self.far.links.split_off(at);
            self.check_links(&links, dirs);
        }
        let ahead = self.ask_ahead(&todo, dirs);
        for (todo, ahead) in todo.into_iter().zip(ahead) {
            let below = self.try_to_enter(todo, ahead, &mut Trip { reach: Reach::All, dirs, troubles });
            let (far, near): (Vec<_>, Vec<_>) = below.into_iter().partition(|it| dirs.fs.is_far(&it.path));
            far.into_iter().for_each(|todo| self.put_off(todo));
            // The others were visited; not those that could not be.
            let near = near.into_iter().filter(|near| !self.nodes.contains_key(&near.path));
            self.visit(near.collect(), true, &mut Trip { reach: Reach::Near, dirs, troubles });
        }
        if !self.has_far() {
            self.tell_refused(troubles);
        }
    }

    /// A look at everything begins.
    pub(super) fn begin_far(&mut self, dirs: &Dirs) {
        self.far.seen = self.far.todo.iter().map(|todo| todo.path.clone()).collect();
        self.far.links = self.links(true, dirs);
    }

    pub(super) fn put_off(&mut self, todo: Todo) {
        if self.far.seen.insert(todo.path.clone()) {
            self.far.todo.push(todo);
        } else if !self.nodes.contains_key(&todo.path) {
            self.come_again(&todo.path);
        }
    }

    /// Takes the names out that lead far. What they are stays, until their turn comes.
    pub(super) fn leave_far(
        &mut self,
        path: &Arc<Path>,
        named: &mut Vec<Named>,
        node: &mut Node,
        dirs: &Dirs,
    ) {
        let far = named.extract_if(.., |named| !named.is_told() && dirs.fs.is_far(&named.path));
        let far: Vec<Named> = far.collect();
        if !far.is_empty() {
            far.iter().for_each(|named| self.keep(path, &named.path, node));
            node.version = 0;
            self.put_off(node.again(path.clone()));
        }
    }

    /// Whether the directory above still leads to one that was put off.
    fn is_led_to(&self, path: &Arc<Path>) -> bool {
        path.parent().is_none_or(|above| {
            self.nodes.get(above).is_some_and(|above| above.dirs.binary_search(path).is_ok())
        })
    }

    /// What entering these directories will ask.
    fn ask_ahead(&self, todo: &[Todo], dirs: &mut Dirs) -> Vec<Ahead> {
        let Some(first) = todo.first() else { return Vec::new() };
        let (fs, asking) = (dirs.fs.clone(), &*dirs);
        let answers = gather(&*fs, &first.path, todo.len(), |at| {
            let Todo { path, places, .. } = &todo[at];
            let lists = self.patterns().lists(places);
            let listed = lists.then(|| asking.ask(path));
            let stat = (!lists).then(|| fs.stat(path));
            let real = (!self.nodes.contains_key(path)).then(|| fs.canonical(path));
            (listed, Ahead { stat, real })
        });
        let taken = todo.iter().zip(answers).map(|(todo, (listed, ahead))| {
            // What fails tells why when it is entered.
            let _ = listed.map(|listed| dirs.take(&todo.path, listed).map(|_| ()));
            ahead
        });
        taken.collect()
    }
}
