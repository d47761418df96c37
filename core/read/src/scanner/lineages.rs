//! Which lineages there are, by what the walk found.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::Scanner;
use crate::dirs::Dirs;
use crate::links::is_pod_log;
use crate::maps::HashMap;
use crate::patterns::bytes;
use crate::siblings::sibling;
use crate::tracked::Tracked;
use crate::walk::{Match, Trouble};

/// Where kubelet keeps the logs, where nobody chose another place.
const PODS: &str = "/var/log/pods";

impl Scanner {
    /// Takes the lineages from what the walk found, where that has changed; those that are new or wanted otherwise come back.
    pub(super) fn map_again(&mut self, at_start: bool, troubles: &mut Vec<Trouble>) -> Vec<Arc<Path>> {
        if self.mapped == self.walk.version() {
            return Vec::new();
        }
        self.mapped = self.walk.version();
        let mut wanted: HashMap<Arc<Path>, Wanted> = HashMap::default();
        let matches = self.walk.matches();
        for (path, found) in matches {
            match fold(path, found, &self.lineages, &mut self.dirs) {
                Ok((key, shown)) => match wanted.entry(key) {
                    Entry::Vacant(new) => {
                        new.insert(Wanted { path: path.clone(), specs: found.specs.clone(), shown });
                    }
                    Entry::Occupied(known) => known.into_mut().add(path, found, shown, matches),
                },
                Err(trouble) => {
                    troubles.push(trouble);
                    self.mapped = 0;
                }
            }
        }
        let mut changed = Vec::new();
        for (key, Wanted { specs, shown, .. }) in wanted {
            if !self.lineages.contains_key(&key) {
                let at_start = if self.dirs.fs.is_far(&key) { self.first_far } else { at_start };
                let Some(tracked) = Tracked::new(key.clone(), shown.clone(), at_start) else {
                    continue;
                };
                self.track(tracked);
            }
            let tracked = self.lineages.get_mut(&key).expect("tracked");
            if tracked.specs != specs || tracked.shown != shown {
                (tracked.specs, tracked.shown, tracked.dirty) = (specs, shown, true);
                changed.push(key);
            }
        }
        changed
    }

    /// Reports the lineages that no spec wants, once a walk met nothing that hides what is wanted: those of them that were looked
    /// at are put into the `queue` again.
    pub(super) fn sort_out(&mut self, queue: &mut Vec<Arc<Path>>) {
        if !std::mem::take(&mut self.sorts_out) {
            return;
        }
        let queued: BTreeSet<Arc<Path>> = queue.iter().cloned().collect();
        let unwanted = self.lineages.values_mut().filter(|tracked| tracked.specs.is_empty());
        for tracked in unwanted {
            tracked.dirty = true;
            if !queued.contains(&tracked.key) {
                let at = if tracked.is_far { 0 } else { queue.len() };
                queue.insert(at, tracked.key.clone());
            }
        }
    }

    /// A mount may come, or go, after its logs are known.
    pub(super) fn measure_distance(&mut self) {
        for keys in self.by_dir.values() {
            let Some(is_far) = keys.first().map(|key| self.dirs.fs.is_far(key)) else { continue };
            for key in keys {
                if let Some(tracked) = self.lineages.get_mut(key) {
                    tracked.is_far = is_far;
                }
            }
        }
    }
}

/// The lineage of a matched path, and the path to show: a rotated file belongs to its base, where that is.
fn fold(
    path: &Arc<Path>,
    found: &Match,
    lineages: &HashMap<Arc<Path>, Box<Tracked>>,
    dirs: &mut Dirs,
) -> Result<(Arc<Path>, Arc<Path>), Trouble> {
    let real = &found.real;
    if let (Some(dir), Some(name)) = (real.parent(), real.file_name())
        && let Some(sibling) = sibling(bytes(name))
    {
        let base = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(sibling.base);
        let key: Arc<Path> = dir.join(base).into();
        if lineages.contains_key(&key) || has(dirs, dir, base)? {
            let shown = if *path == *real { key.clone() } else { path.with_file_name(base).into() };
            return Ok((key, shown));
        }
    }
    Ok((real.clone(), path.clone()))
}

/// Whether a directory has an entry of this name.
fn has(dirs: &mut Dirs, dir: &Path, name: &OsStr) -> Result<bool, Trouble> {
    let dir: Arc<Path> = dir.into();
    // A far one is not asked again each time something near has changed.
    if dirs.fs.is_far(&dir)
        && let Some(known) = dirs.known(&dir)
    {
        return Ok(known.has(name));
    }
    match dirs.look(&dir) {
        Ok(dir) => Ok(dir.has(name)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err((dir, error)),
    }
}

/// What is wanted of a lineage, by the paths that lead to it.
struct Wanted {
    /// Ascending.
    specs: Vec<usize>,
    shown: Arc<Path>,
    /// The path that `shown` comes from: the smallest by [`rank`].
    path: Arc<Path>,
}

impl Wanted {
    /// One more path leads to it.
    fn add(
        &mut self,
        path: &Arc<Path>,
        found: &Match,
        shown: Arc<Path>,
        matches: &HashMap<Arc<Path>, Match>,
    ) {
        self.specs.extend(&found.specs);
        self.specs.sort_unstable();
        self.specs.dedup();
        if rank(path, found) < rank(&self.path, &matches[&self.path]) {
            (self.path, self.shown) = (path.clone(), shown);
        }
    }
}

/// Which of several paths to a file is shown: the smallest of these. Last a link that strays, which a container may have made that
/// wants its neighbour's records to bear another name. What tells the pod, bases before rotated files, and kubelet's usual
/// place before others. Then a link before what it leads to, since it was made to say more; but not before what tells the pod
/// without being a link.
fn rank<'a>(path: &'a Path, found: &Match) -> (bool, bool, bool, bool, bool, &'a Path) {
    let rotated = path.file_name().is_some_and(|name| sibling(bytes(name)).is_some());
    let (tells_pod, is_link) = (is_pod_log(path), *path != *found.real);
    (found.strays, !tells_pod, rotated, !path.starts_with(PODS), is_link == tells_pod, path)
}
