//! The names of a directory that patterns lead to, and what they are.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ringtail_io::Kind;

use super::nodes::Node;
use super::places::Place;
use super::{MAX_ENTRIES, Match, Todo, Walk};
use crate::dirs::Dirs;

/// A name of a directory that patterns lead to.
pub(super) struct Named {
    pub(super) path: Arc<Path>,
    name: OsString,
    /// As the listing tells it; a symlink where none was needed.
    kind: Kind,
    /// The specs that want it as a file.
    files: Vec<usize>,
    /// The places below it.
    deeper: Vec<Place>,
}

impl Named {
    /// Whether the listing says all of it.
    pub(super) fn is_told(&self) -> bool {
        matches!(self.kind, Kind::File | Kind::Directory)
    }
}

/// What a name leads to.
pub(super) struct Led {
    kind: Kind,
    /// Where the name may be a symlink.
    link: Option<Link>,
}

/// Where a symlink leads.
struct Link {
    id: (u64, u64),
    /// The path without symlinks, of a file behind a link that led elsewhere before.
    real: Option<Arc<Path>>,
}

impl Walk {
    /// The names of a directory that patterns lead to.
    pub(super) fn named(&self, path: &Arc<Path>, places: &[Place], dirs: &mut Dirs) -> Vec<Named> {
        let names: Vec<(OsString, Kind)> = match self.patterns.lists(places).then(|| dirs.look(path)) {
            Some(Ok(dir)) => dir.entries.iter().map(|entry| (entry.name.clone(), entry.kind)).collect(),
            Some(Err(_)) => Vec::new(),
            None => self.patterns.literals(places),
        };
        let named = names.into_iter().filter_map(|(name, kind)| {
            let (files, deeper) = self.patterns.follow(places, &name);
            let is_wanted = !files.is_empty() || !deeper.is_empty();
            is_wanted.then(|| Named { path: path.join(&name).into(), name, kind, files, deeper })
        });
        named.collect()
    }

    /// What a name leads to; it is asked where the listing does not tell.
    pub(super) fn led(&self, named: &Named, dirs: &Dirs) -> io::Result<Led> {
        if named.is_told() {
            return Ok(Led { kind: named.kind, link: None });
        }
        let stat = dirs.fs.stat(&named.path)?;
        let (kind, id) = (stat.kind, (stat.dev, stat.ino));
        if named.kind != Kind::Symlink {
            return Ok(Led { kind, link: None });
        }
        let is_known = self.matches.get(&named.path).is_some_and(|known| known.link == Some(id));
        let real = match kind == Kind::File && !is_known {
            true => Some(dirs.fs.canonical(&named.path)?.into()),
            false => None,
        };
        Ok(Led { kind, link: Some(Link { id, real }) })
    }

    /// Notes what a name is to its directory; where that is a subdirectory to enter, it comes back.
    pub(super) fn note(&mut self, named: Named, led: Led, node: &mut Node) -> Option<Todo> {
        let path = named.path.clone();
        match led.kind {
            Kind::Directory => {
                let places = self.patterns.allowed(named.deeper, &path);
                if places.is_empty() {
                    return None;
                }
                node.dirs.push(path.clone());
                Some(Todo { path, places: places.into(), above: node.above.clone() })
            }
            Kind::File => {
                node.expects = true;
                if self.found(named, led.link, node) {
                    node.files.push(path);
                }
                None
            }
            Kind::Symlink | Kind::Other => None,
        }
    }

    /// Notes a matched file; whether some spec wants it.
    fn found(&mut self, named: Named, link: Option<Link>, node: &Node) -> bool {
        let Named { path, name, files: specs, .. } = named;
        let path = &path;
        let (link, led_to) = link.map(|link| (link.id, link.real)).unzip();
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
    pub(super) fn excludes(&self, spec: usize, path: &Path, real: &Path) -> bool {
        let spec = &self.patterns.specs[spec];
        spec.excludes(path) || real != path && real.ancestors().any(|above| spec.excludes(above))
    }
}
