//! The walk: from patterns to matched paths, through those directories only in which something can match.
//!
//! Each directory on the way is a node with the places that patterns have reached there. A node is worked out again only
//! when its directory changed. Directories that only literal names lead through are not listed at all.
//!
//! Which symlinks are followed: [`symlinks`]. What leads to a mount whose answers may take long is put off ([`far`]): a look at what is near
//! never asks it.
//!
//! Limits: [`MAX_DEPTH`] (which also ends loops of symlinks that the check of ancestors cannot see), [`MAX_ENTRIES`] matched paths.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::dirs::Dirs;
use crate::gather::gather;
use crate::maps::HashMap;
use crate::patterns::Patterns;

mod far;
mod names;
mod nodes;
mod places;
mod symlinks;

use far::{Ahead, Far};
use nodes::Node;
use places::Place;

/// How deep a walk goes.
const MAX_DEPTH: usize = 128;

/// How many paths may match, over all patterns.
pub(crate) const MAX_ENTRIES: usize = 1 << 18;

/// A path that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    /// Indexes into [`Patterns::specs`], ascending.
    pub(crate) specs: Vec<usize>,
    /// The path without symlinks.
    pub(crate) real: Arc<Path>,
    /// A link out of its directory that somebody else than kubelet made: the file may be anybody's.
    pub(crate) strays: bool,
    /// Where the path is a symlink itself: what it led to.
    link: Option<(u64, u64)>,
}

/// A directory to enter.
struct Todo {
    path: Arc<Path>,
    /// The places that patterns reached there.
    places: Arc<[Place]>,
    /// The directories above.
    above: Arc<Vec<(u64, u64)>>,
}

/// How far a walk goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// What leads to where answers may take long is put off.
    Near,
    All,
}

/// One way through the tree: how far it goes, whom it asks, and what is in the way.
struct Trip<'a> {
    reach: Reach,
    dirs: &'a mut Dirs,
    troubles: &'a mut Vec<Trouble>,
}

/// The walk's memory.
#[derive(Default)]
pub(crate) struct Walk {
    patterns: Patterns,
    nodes: HashMap<Arc<Path>, Node>,
    /// The nodes by their directory without symlinks.
    by_real: HashMap<Arc<Path>, Vec<Arc<Path>>>,
    matches: HashMap<Arc<Path>, Match>,
    /// Changes with every change of `matches`.
    version: u64,
    /// [`Walk::directories`] may have changed.
    moved: bool,
    /// More paths match than the limit allows.
    overflow: bool,
    /// Links that are not followed, and where they lead.
    refused: HashMap<Arc<Path>, Arc<Path>>,
    far: Far,
}

/// Something in the way of a walk.
pub(crate) type Trouble = (Arc<Path>, io::Error);

impl Walk {
    pub(crate) fn new(patterns: Patterns) -> Self {
        Walk { patterns, version: 1, ..Walk::default() }
    }

    pub(crate) fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// The paths that match.
    pub(crate) fn matches(&self) -> &HashMap<Arc<Path>, Match> {
        &self.matches
    }

    /// Which state `matches` has.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Whether paths were left out because more than [`MAX_ENTRIES`] match.
    pub(crate) fn overflow(&self) -> bool {
        self.overflow
    }

    /// Whether [`Walk::directories`] may have changed since this was asked last.
    pub(crate) fn directories_changed(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Looks at everything that is near, and puts off the rest: all of it where that `begins`, else what is new.
    pub(crate) fn scan(&mut self, begins: bool, dirs: &mut Dirs, troubles: &mut Vec<Trouble>) {
        let path: Arc<Path> = Arc::from(Path::new("/"));
        let places = (0..self.patterns.patterns.len()).map(|pattern| Place { pattern, component: 0 });
        let places = self.patterns.close(places.collect()).into();
        if begins {
            self.begin_far(dirs);
        }
        let root = Todo { path, places, above: Arc::default() };
        self.visit(vec![root], true, &mut Trip { reach: Reach::Near, dirs, troubles });
        self.check_links(&self.links(false, dirs), dirs);
        self.tell_refused(troubles);
    }

    /// Looks at one directory, by its path without symlinks, and at what is new below.
    pub(crate) fn scan_dir(&mut self, real: &Path, dirs: &mut Dirs, troubles: &mut Vec<Trouble>) {
        let paths = self.by_real.get(real).cloned().unwrap_or_default();
        let todo = paths.into_iter().filter_map(|path| Some(self.nodes.get(&path)?.again(path)));
        let reach = if dirs.fs.is_far(real) { Reach::All } else { Reach::Near };
        self.visit(todo.collect(), false, &mut Trip { reach, dirs, troubles });
    }

    /// Enters the directories and what lies below them: all of it, or only what is new.
    fn visit(&mut self, mut todo: Vec<Todo>, all: bool, trip: &mut Trip<'_>) {
        while let Some(next) = todo.pop() {
            if trip.reach == Reach::Near && trip.dirs.fs.is_far(&next.path) {
                self.put_off(next);
                continue;
            }
            let below = self.try_to_enter(next, Ahead::default(), trip);
            let known = |path: &Arc<Path>| self.nodes.contains_key(path);
            todo.extend(below.into_iter().filter(|below| all || !known(&below.path)));
        }
    }

    /// Brings one node up to date; its subdirectories come back. What is in the way is told.
    fn try_to_enter(&mut self, todo: Todo, ahead: Ahead, trip: &mut Trip<'_>) -> Vec<Todo> {
        let path = todo.path.clone();
        self.enter(todo, ahead, trip).unwrap_or_else(|error| {
            self.come_again(&path);
            // Anything else is not gone: what is known of it stays.
            match error.kind() {
                io::ErrorKind::NotFound => self.forget(&path),
                _ => trip.troubles.push((path, error)),
            }
            Vec::new()
        })
    }

    /// Brings one node up to date; its subdirectories come back.
    fn enter(&mut self, todo: Todo, ahead: Ahead, trip: &mut Trip<'_>) -> io::Result<Vec<Todo>> {
        let Todo { path, places, above } = todo;
        let path = &path;
        let lists = self.patterns.lists(&places);
        let (stat, version) = match lists {
            true => trip.dirs.look(path).map(|dir| (dir.stat, dir.names_version))?,
            false => (ahead.stat.unwrap_or_else(|| trip.dirs.fs.stat(path))?, 0),
        };
        let id = (stat.dev, stat.ino);
        if above.contains(&id) || above.len() >= MAX_DEPTH {
            self.forget(path);
            return Ok(Vec::new());
        }
        let known = self.nodes.get(path).filter(|node| (node.stat.dev, node.stat.ino) == id);
        if let Some(node) = known
            && node.places == places
            && lists
            && node.version == version
        {
            return Ok(self.below(node));
        }
        let real: Arc<Path> = match known {
            Some(node) => node.real.clone(),
            None => ahead.real.unwrap_or_else(|| trip.dirs.fs.canonical(path))?.into(),
        };
        if !self.may_enter(path, &places, &real) {
            self.forget(path);
            self.refuse(path, &real);
            return Ok(Vec::new());
        }
        let mut chain = above.to_vec();
        chain.push(id);
        let node = Node {
            places,
            real,
            stat,
            version,
            above: Arc::new(chain),
            dirs: Vec::new(),
            files: Vec::new(),
            expects: false,
        };
        Ok(self.work_out(path, node, trip))
    }

    /// Which names of a directory matter, and how; its subdirectories come back.
    fn work_out(&mut self, path: &Arc<Path>, mut node: Node, trip: &mut Trip<'_>) -> Vec<Todo> {
        node.expects = self.patterns.lists(&node.places);
        self.refused.retain(|refused, _| refused.parent() != Some(path));
        let mut named = self.named(path, &node.places, trip.dirs);
        if trip.reach == Reach::Near {
            self.leave_far(path, &mut named, &mut node, trip.dirs);
        }
        let far = named.iter().find(|named| trip.reach == Reach::All && trip.dirs.fs.is_far(&named.path));
        let place = far.map_or(path, |named| &named.path);
        let led = gather(&*trip.dirs.fs, place, named.len(), |at| self.led(&named[at], trip.dirs));
        let mut below = Vec::new();
        for (named, led) in named.into_iter().zip(led) {
            match led {
                Ok(led) => below.extend(self.note(named, led, &mut node)),
                Err(error) => {
                    // A link may come to lead somewhere without a change of this directory.
                    (node.expects, node.version) = (true, 0);
                    if error.kind() != io::ErrorKind::NotFound {
                        self.keep(path, &named.path, &mut node);
                        trip.troubles.push((named.path, error));
                    }
                }
            }
        }
        self.put(path, node);
        below
    }
}
