//! The walk: from patterns to matched paths, through those directories only in which something can match.
//!
//! Each directory on the way is a node with the places that patterns have reached there. A node is worked out again only
//! when its directory changed. Directories that only literal names lead through are not listed at all.
//!
//! Which symlinks are followed: [`symlinks`]. What leads to a mount whose answers may take long is put off ([`far`]): a look at what is near
//! never asks it.
//!
//! Limits: [`MAX_DEPTH`] (which also ends loops of symlinks that the check of ancestors cannot see), [`MAX_ENTRIES`] matched paths.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ringtail_io::{Kind, Stat};

use crate::dirs::Dirs;
use crate::gather::gather;
use crate::maps::HashMap;
use crate::patterns::Patterns;

mod far;
mod places;
mod symlinks;

use far::{Ahead, Far};
use places::Place;

/// How deep a walk goes.
const MAX_DEPTH: usize = 128;

/// How many paths may match, over all patterns.
pub(crate) const MAX_ENTRIES: usize = 1 << 18;

/// One directory on the way.
struct Node {
    places: Arc<[Place]>,
    /// The directory without symlinks.
    real: Arc<Path>,
    stat: Stat,
    /// The listing that `dirs` and `files` were worked out from; 0 where none was needed.
    version: u64,
    /// Itself and all directories above, by device and inode.
    above: Arc<Vec<(u64, u64)>>,
    dirs: Vec<Arc<Path>>,
    files: Vec<Arc<Path>>,
    /// Whether a name that is not there yet may matter.
    expects: bool,
}

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

/// A name of a directory that patterns lead to.
struct Named {
    path: Arc<Path>,
    name: OsString,
    kind: Kind,
    /// The specs that want it as a file.
    files: Vec<usize>,
    /// The places below it.
    deeper: Vec<Place>,
}

/// What a name leads to, where the listing does not tell.
struct Led {
    stat: Stat,
    /// The path without symlinks, of a file behind a link that led elsewhere before.
    real: Option<Arc<Path>>,
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

    /// Directories, without symlinks, in which a new name may matter.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &Arc<Path>> {
        self.nodes.values().filter(|node| node.expects).map(|node| &node.real)
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
        self.visit(vec![Todo { path, places, above: Arc::default() }], true, Reach::Near, dirs, troubles);
        self.check_links(&self.links(false, dirs), dirs);
        self.tell_refused(troubles);
    }

    /// Looks at one directory, by its path without symlinks, and at what is new below.
    pub(crate) fn scan_dir(&mut self, real: &Path, dirs: &mut Dirs, troubles: &mut Vec<Trouble>) {
        let paths = self.by_real.get(real).cloned().unwrap_or_default();
        let todo = paths.into_iter().filter_map(|path| {
            let node = self.nodes.get(&path)?;
            Some(Todo { places: node.places.clone(), above: above(node), path })
        });
        let reach = if dirs.fs.is_far(real) { Reach::All } else { Reach::Near };
        self.visit(todo.collect(), false, reach, dirs, troubles);
    }

    /// Enters the directories and what lies below them: all of it, or only what is new.
    fn visit(
        &mut self,
        mut todo: Vec<Todo>,
        all: bool,
        reach: Reach,
        dirs: &mut Dirs,
        troubles: &mut Vec<Trouble>,
    ) {
        while let Some(next) = todo.pop() {
            if reach == Reach::Near && dirs.fs.is_far(&next.path) {
                self.put_off(next);
                continue;
            }
            let below = self.try_to_enter(next, Ahead::default(), reach, dirs, troubles);
            let known = |path: &Arc<Path>| self.nodes.contains_key(path);
            todo.extend(below.into_iter().filter(|below| all || !known(&below.path)));
        }
    }

    /// Brings one node up to date; its subdirectories come back. What is in the way is told.
    fn try_to_enter(
        &mut self,
        todo: Todo,
        ahead: Ahead,
        reach: Reach,
        dirs: &mut Dirs,
        troubles: &mut Vec<Trouble>,
    ) -> Vec<Todo> {
        let path = todo.path.clone();
        self.enter(todo, ahead, reach, dirs, troubles).unwrap_or_else(|error| {
            self.come_again(&path);
            // Anything else is not gone: what is known of it stays.
            match error.kind() {
                io::ErrorKind::NotFound => self.forget(&path),
                _ => troubles.push((path, error)),
            }
            Vec::new()
        })
    }

    /// The directory above leads here again with the next scan, though it may not change before.
    fn come_again(&mut self, path: &Path) {
        if let Some(above) = path.parent().and_then(|above| self.nodes.get_mut(above)) {
            above.version = 0;
        }
    }

    /// Brings one node up to date; its subdirectories come back.
    fn enter(
        &mut self,
        todo: Todo,
        ahead: Ahead,
        reach: Reach,
        dirs: &mut Dirs,
        troubles: &mut Vec<Trouble>,
    ) -> io::Result<Vec<Todo>> {
        let Todo { path, places, above } = todo;
        let path = &path;
        let lists = self.patterns.lists(&places);
        let (stat, version) = match lists {
            true => dirs.look(path).map(|dir| (dir.stat, dir.names_version))?,
            false => (ahead.stat.unwrap_or_else(|| dirs.fs.stat(path))?, 0),
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
            None => ahead.real.unwrap_or_else(|| dirs.fs.canonical(path))?.into(),
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
        Ok(self.work_out(path, node, reach, dirs, troubles))
    }

    /// The subdirectories of a node, as they were worked out.
    fn below(&self, node: &Node) -> Vec<Todo> {
        let todo = |path: &Arc<Path>| {
            let places = self.nodes.get(path)?.places.clone();
            Some(Todo { path: path.clone(), places, above: node.above.clone() })
        };
        node.dirs.iter().filter_map(todo).collect()
    }

    /// Which names of a directory matter, and how.
    fn work_out(
        &mut self,
        path: &Arc<Path>,
        mut node: Node,
        reach: Reach,
        dirs: &mut Dirs,
        troubles: &mut Vec<Trouble>,
    ) -> Vec<Todo> {
        let mut below = Vec::new();
        let lists = self.patterns.lists(&node.places);
        node.expects = lists;
        self.refused.retain(|refused, _| refused.parent() != Some(path));
        let mut named = self.named(path, &node, lists, dirs);
        let leads_far =
            |named: &mut Named| !is_told(named.kind) && reach == Reach::Near && dirs.fs.is_far(&named.path);
        let far: Vec<Named> = named.extract_if(.., leads_far).collect();
        if !far.is_empty() {
            // What they are stays, until their turn comes.
            far.iter().for_each(|named| self.keep(path, &named.path, &mut node));
            node.version = 0;
            self.put_off(Todo { path: path.clone(), places: node.places.clone(), above: above(&node) });
        }
        let far = named.iter().find(|named| reach == Reach::All && dirs.fs.is_far(&named.path));
        let place = far.map_or(path, |named| &named.path);
        let led = gather(&*dirs.fs, place, named.len(), |at| self.led(&named[at], lists, dirs));
        for (named, led) in named.into_iter().zip(led) {
            let child = named.path.clone();
            let (kind, link) = match led {
                None => (named.kind, None),
                Some(Ok(led)) => {
                    let is_link = named.kind != Kind::Other || !lists;
                    (led.stat.kind, is_link.then_some(led))
                }
                Some(Err(error)) => {
                    // A link may come to lead somewhere without a change of this directory.
                    (node.expects, node.version) = (true, 0);
                    if error.kind() != io::ErrorKind::NotFound {
                        self.keep(path, &child, &mut node);
                        troubles.push((child, error));
                    }
                    continue;
                }
            };
            match kind {
                Kind::Directory => {
                    let places = self.patterns.allowed(named.deeper, &child);
                    if !places.is_empty() {
                        node.dirs.push(child.clone());
                        below.push(Todo { path: child, places: places.into(), above: node.above.clone() });
                    }
                }
                Kind::File => {
                    node.expects = true;
                    if self.found(named, link, &node) {
                        node.files.push(child);
                    }
                }
                Kind::Symlink | Kind::Other => {}
            }
        }
        node.dirs.sort_unstable();
        node.files.sort_unstable();
        let before = self.take(path);
        let directory = |node: &Node| node.expects.then(|| node.real.clone());
        self.moved |= before.as_ref().and_then(directory) != directory(&node);
        if let Some(before) = before {
            before
                .dirs
                .iter()
                .filter(|dir| node.dirs.binary_search(dir).is_err())
                .for_each(|dir| self.forget(dir));
            before.files.iter().filter(|file| node.files.binary_search(file).is_err()).for_each(|file| {
                self.version += u64::from(self.matches.remove(file).is_some());
            });
        }
        self.by_real.entry(node.real.clone()).or_default().push(path.clone());
        self.nodes.insert(path.clone(), node);
        below
    }

    /// The names of a directory that patterns lead to.
    fn named(&self, path: &Arc<Path>, node: &Node, lists: bool, dirs: &mut Dirs) -> Vec<Named> {
        let names: Vec<(OsString, Kind)> = match lists.then(|| dirs.look(path)) {
            Some(Ok(dir)) => dir.entries.iter().map(|entry| (entry.name.clone(), entry.kind)).collect(),
            Some(Err(_)) => Vec::new(),
            None => self.patterns.literals(&node.places),
        };
        let named = names.into_iter().filter_map(|(name, kind)| {
            let (files, deeper) = self.patterns.follow(&node.places, &name);
            let is_wanted = !files.is_empty() || !deeper.is_empty();
            is_wanted.then(|| Named { path: path.join(&name).into(), name, kind, files, deeper })
        });
        named.collect()
    }

    /// What a name leads to, where that has to be asked.
    fn led(&self, named: &Named, lists: bool, dirs: &Dirs) -> Option<io::Result<Led>> {
        let is_link = named.kind != Kind::Other || !lists;
        let is_known = |stat: &Stat| {
            self.matches.get(&named.path).is_some_and(|known| known.link == Some((stat.dev, stat.ino)))
        };
        let ask = || {
            let stat = dirs.fs.stat(&named.path)?;
            let is_new = is_link && stat.kind == Kind::File && !is_known(&stat);
            let real = if is_new { Some(dirs.fs.canonical(&named.path)?.into()) } else { None };
            Ok(Led { stat, real })
        };
        (!is_told(named.kind)).then(ask)
    }

    /// What a directory's child was stays, where it cannot be asked now.
    fn keep(&self, path: &Arc<Path>, child: &Arc<Path>, node: &mut Node) {
        let Some(before) = self.nodes.get(path) else { return };
        node.expects |= before.expects;
        node.dirs.extend(before.dirs.iter().find(|dir| *dir == child).cloned());
        node.files.extend(before.files.iter().find(|file| *file == child).cloned());
    }

    /// Notes a matched file; whether some spec wants it. `led`: where the path is a symlink, what it leads to.
    fn found(&mut self, named: Named, led: Option<Led>, node: &Node) -> bool {
        let Named { path, name, files: specs, .. } = named;
        let path = &path;
        let (link, led_to) = led.map(|led| ((led.stat.dev, led.stat.ino), led.real)).unzip();
        let before = self.matches.get(path).filter(|known| link.is_some() && known.link == link);
        let real: Arc<Path> = match (led_to.flatten(), before) {
            (Some(real), _) => real,
            (None, Some(known)) => known.real.clone(),
            (None, None) if path.parent() == Some(&*node.real) => path.clone(),
            (None, None) => node.real.join(name).into(),
        };
        let wanted: Vec<usize> =
            specs.into_iter().filter(|spec| !self.excludes(*spec, path, &real)).collect();
        let (specs, strays) = self.followed(&wanted, path, node, &real);
        if specs.len() < wanted.len() {
            self.refuse(path, &real);
        }
        if specs.is_empty() {
            return false;
        }
        let found = Match { specs, real, strays, link };
        if self.matches.get(path) != Some(&found) {
            if self.matches.len() >= MAX_ENTRIES && !self.matches.contains_key(path) {
                self.overflow = true;
                return false;
            }
            self.matches.insert(path.clone(), found);
            self.version += 1;
        }
        true
    }

    /// Whether a spec leaves a file out under the path that it matched, whose directories were asked on the way, or under the
    /// one without symlinks.
    fn excludes(&self, spec: usize, path: &Path, real: &Path) -> bool {
        let spec = &self.patterns.specs[spec];
        spec.excludes(path) || real != path && real.ancestors().any(|above| spec.excludes(above))
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
    fn forget(&mut self, path: &Arc<Path>) {
        self.refused.retain(|refused, _| !refused.starts_with(path));
        let mut todo = vec![path.clone()];
        while let Some(path) = todo.pop() {
            let Some(node) = self.take(&path) else { continue };
            self.moved |= node.expects;
            todo.extend(node.dirs);
            for file in node.files {
                self.version += u64::from(self.matches.remove(&file).is_some());
            }
        }
    }
}

/// Whether a listing says all of a name.
fn is_told(kind: Kind) -> bool {
    matches!(kind, Kind::File | Kind::Directory)
}

/// The directories above a node.
fn above(node: &Node) -> Arc<Vec<(u64, u64)>> {
    Arc::new(node.above[..node.above.len() - 1].to_vec())
}
