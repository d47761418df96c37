//! How far patterns have come at a directory, and where its names lead them.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use ringtail_io::Kind;

use crate::patterns::{Component, Patterns};

/// How far a pattern was followed: its index, and which component comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) pattern: usize,
    pub(super) component: usize,
}

impl Patterns {
    /// Whether all names of a directory matter, not only those that patterns spell out.
    pub(super) fn lists(&self, places: &[Place]) -> bool {
        places.iter().any(|place| !matches!(self.component(*place), Some(Component::Literal(_))))
    }

    /// What `name` is to the places of its directory: the specs that want it as a file, and the places below it.
    pub(super) fn follow(&self, places: &[Place], name: &OsStr) -> (Vec<usize>, Vec<Place>) {
        let (mut specs, mut deeper) = (Vec::new(), Vec::new());
        for &place in places {
            let pattern = &self.patterns[place.pattern];
            let next = Place { component: place.component + 1, ..place };
            let is_last = next.component == pattern.components.len();
            match self.component(place) {
                None => specs.push(pattern.spec),
                Some(Component::AnyDepth) => {
                    deeper.push(place);
                    if is_last {
                        specs.push(pattern.spec);
                    }
                }
                Some(component) if component.matches(name) => {
                    if is_last {
                        specs.push(pattern.spec);
                    }
                    if !is_last || pattern.exact {
                        deeper.push(next);
                    }
                }
                Some(_) => {}
            }
        }
        specs.sort_unstable();
        specs.dedup();
        (specs, self.close(deeper))
    }

    /// Adds the places behind each `**`, since it may stand for no directory. (Nothing lies behind a last one.)
    pub(super) fn close(&self, mut places: Vec<Place>) -> Vec<Place> {
        let mut at = 0;
        while let Some(&place) = places.get(at) {
            let behind = place.component + 1;
            let ends = behind == self.patterns[place.pattern].components.len();
            if matches!(self.component(place), Some(Component::AnyDepth)) && !ends {
                places.push(Place { component: behind, ..place });
            }
            at += 1;
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Without the places whose spec leaves this directory out.
    pub(super) fn allowed(&self, mut places: Vec<Place>, dir: &Path) -> Vec<Place> {
        places.retain(|place| !self.specs[self.patterns[place.pattern].spec].excludes(dir));
        places
    }

    /// What comes next at a place; nothing at the end of an exact pattern.
    pub(super) fn component(&self, place: Place) -> Option<&Component> {
        self.patterns[place.pattern].components.get(place.component)
    }

    /// The names that literal places wait for.
    pub(super) fn literals(&self, places: &[Place]) -> Vec<(OsString, Kind)> {
        let mut names: Vec<_> = places
            .iter()
            .filter_map(|place| match self.component(*place) {
                Some(Component::Literal(name)) => Some((name.clone(), Kind::Symlink)),
                _ => None,
            })
            .collect();
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        names.dedup_by(|a, b| a.0 == b.0);
        names
    }
}
