//! Which symlinks a walk follows, and what they lead to.
//!
//! The directories before a pattern's first wildcard, or before its last name, are the operator's: links there
//! are followed anywhere. Behind them whoever runs in a container may have made a link: it is followed when it leads to below the
//! directory that it stands in, or to a file that a pattern of the same pipeline names by its own path, and so would read anyway.
//! Kubelet's own links lead to the log of their container ([`crate::links`]): they are followed where a pattern names kubelet's
//! directory and only root may write there. What leads elsewhere is refused and told. What is opened later is the path
//! without symlinks that was judged here, and only if it has none by then.
//!
//! Limits: [`MAX_REFUSED`] refused links that are told.

use std::path::Path;
use std::sync::Arc;

use super::nodes::Node;
use super::places::Place;
use super::{Match, Trouble, Walk};
use crate::dirs::Dirs;
use crate::gather::gather;
use crate::links::{LinkRefused, kubelet_dir};
use crate::patterns::Component;

/// How many refused links are told.
const MAX_REFUSED: usize = 1024;

impl Walk {
    /// The matched paths that are symlinks to files that lie far, or near.
    pub(super) fn links(&self, far: bool, dirs: &Dirs) -> Vec<Arc<Path>> {
        // A mount may come, or go, after its links are known.
        let is_it = |found: &Match| found.link.is_some() && dirs.fs.is_far(&found.real) == far;
        self.matches.iter().filter(|(_, found)| is_it(found)).map(|(path, _)| path.clone()).collect()
    }

    /// Resolves those of these symlinks anew that lead to another file than they did.
    pub(super) fn check_links(&mut self, links: &[Arc<Path>], dirs: &Dirs) {
        let ask = |path: &Arc<Path>| {
            let link = self.matches.get(path)?.link?;
            // A link that leads nowhere for the moment keeps its place: kubelet's do between rename and reopen.
            let stat = dirs.fs.stat(path).ok()?;
            let is_same = link == (stat.dev, stat.ino);
            let real = (!is_same).then(|| dirs.fs.canonical(path).ok()).flatten()?;
            Some(((stat.dev, stat.ino), Arc::from(real)))
        };
        let Some(place) = links.first() else { return };
        let led = gather(&*dirs.fs, place, links.len(), |at| ask(&links[at]));
        for (path, led) in links.iter().zip(led) {
            if let Some((link, real)) = led {
                self.lead_to(path, link, real);
            }
        }
    }

    /// A matched link leads elsewhere by now.
    pub(super) fn lead_to(&mut self, path: &Arc<Path>, link: (u64, u64), real: Arc<Path>) {
        let Some(dir) = path.parent().and_then(|dir| self.nodes.get(dir)) else { return };
        let Some(before) = self.matches.get(path) else { return };
        let wanted: Vec<usize> =
            before.specs.iter().copied().filter(|spec| !self.excludes(*spec, path, &real)).collect();
        let (specs, strays) = self.followed(&wanted, path, dir, &real);
        self.version += u64::from(specs != before.specs || real != before.real);
        self.refused.remove(path);
        if specs.len() < wanted.len() {
            self.refuse(path, &real);
        }
        match specs.is_empty() {
            true => self.matches.remove(path),
            false => {
                let found = Match { specs, real, strays, link: Some(link) };
                self.matches.insert(path.clone(), found)
            }
        };
    }

    /// Whether a directory may be entered under this path: the operator names it, or it lies below the one above.
    pub(super) fn may_enter(&self, path: &Path, places: &[Place], real: &Path) -> bool {
        // A `**` is left where it is while it stands for more and more directories.
        let depth = path.iter().skip(1).count();
        let named = |place: &Place| {
            let components = &self.patterns.patterns[place.pattern].components;
            let literal = |component: &Component| matches!(component, Component::Literal(_));
            place.component == depth && depth < components.len() && components[..depth].iter().all(literal)
        };
        let above = path.parent().and_then(|above| self.nodes.get(above));
        places.iter().any(named) || above.is_none_or(|above| real.starts_with(&above.real))
    }

    /// The specs for which `path`, in the directory `node`, may lead to this file, and whether it strays.
    pub(super) fn followed(
        &self,
        specs: &[usize],
        path: &Path,
        node: &Node,
        real: &Path,
    ) -> (Vec<usize>, bool) {
        if real.starts_with(&node.real) {
            return (specs.to_vec(), false);
        }
        let is_kubelets = |spec: &usize| self.is_kubelets(*spec, path, node, real);
        let may = |spec: &usize| self.names(*spec, real) || is_kubelets(spec);
        (specs.iter().copied().filter(may).collect(), !specs.iter().any(is_kubelets))
    }

    /// Whether a link of kubelet's to a log of its container stands where nobody but root makes links: below a directory that a
    /// pattern of the pipeline names.
    pub(super) fn is_kubelets(&self, spec: usize, path: &Path, node: &Node, real: &Path) -> bool {
        let Some(kubelets) = kubelet_dir(path, real) else { return false };
        let mut above = path.ancestors().skip(2).take_while(|dir| dir.starts_with(kubelets));
        self.patterns.of_pipeline(spec).any(|(_, pattern)| pattern.names_dir(kubelets))
            && node.stat.guarded
            && above.all(|dir| self.nodes.get(dir).is_some_and(|node| node.stat.guarded))
    }

    /// Whether a pattern of the spec's pipeline names this path itself.
    pub(super) fn names(&self, spec: usize, path: &Path) -> bool {
        let start = self.patterns.of_pipeline(spec).map(|(pattern, _)| Place { pattern, component: 0 });
        let (mut places, mut specs) = (self.patterns.close(start.collect()), Vec::new());
        for name in path.iter().skip(1) {
            (specs, places) = self.patterns.follow(&places, name);
        }
        !specs.is_empty()
    }

    /// Leaves a link out; it is told.
    pub(super) fn refuse(&mut self, path: &Arc<Path>, real: &Arc<Path>) {
        if self.refused.len() < MAX_REFUSED || self.refused.contains_key(path) {
            self.refused.insert(path.clone(), real.clone());
        }
    }

    pub(super) fn tell_refused(&self, troubles: &mut Vec<Trouble>) {
        troubles.extend(self.refused.iter().map(|(path, to)| (path.clone(), LinkRefused::error(to))));
    }
}
