//! A look at everything, in pieces.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringtail_io::FAR_AT_ONCE;

use super::errors::Reason;
use super::{Cost, Scanner};
use crate::listing::Listing;
use crate::maps::HashMap;
use crate::tracked::Tracked;
use crate::walk::Trouble;

/// Files of far lineages that are looked at in one go: twice what their mount answers at once, since each is asked for more than once;
/// and no more, since each may be open.
const FILES_AT_ONCE: usize = 2 * FAR_AT_ONCE;

/// A look at everything that is under way.
pub(super) struct Round {
    /// The lineages that are still to be looked at, the next one last.
    queue: Vec<Arc<Path>>,
    /// What could not be looked at so far.
    errors: HashMap<Arc<Path>, Reason>,
    /// Some of it hides what is wanted.
    hides: bool,
    /// Directories that were not asked for since this scan are of no interest any more.
    scan: u64,
    cost: Cost,
}

impl Round {
    /// A lineage is looked at behind all others, if it is not among them.
    pub(super) fn have_last(&mut self, key: &Arc<Path>) {
        if !self.queue.contains(key) {
            self.queue.insert(0, key.clone());
        }
    }
}

impl Scanner {
    /// Looks at everything, and reports the lineages in which something changed since they were reported last.
    pub fn scan_all(&mut self) -> Vec<Listing> {
        self.begin();
        self.scan_rest()
    }

    /// Goes on with a look at everything to its end.
    pub fn scan_rest(&mut self) -> Vec<Listing> {
        let mut listings = Vec::new();
        while self.is_looking() {
            listings.extend(self.go_on(Duration::MAX));
        }
        listings
    }

    /// Begins a look at everything: finds out which files match of those that are near. [`Scanner::go_on`] looks at them. Where an
    /// earlier look is not at its end, its rest belongs to this one, and what it has seen on mounts that answer slowly is not asked
    /// again.
    pub fn begin(&mut self) {
        let (before, mut troubles) = (self.before(), Vec::new());
        self.dirs.begin_round();
        self.walk.scan(self.round.is_none(), &mut self.dirs, &mut troubles);
        let at_start = std::mem::take(&mut self.first);
        let changed = self.map_again(at_start, &mut troubles);
        self.measure_distance();
        let mut round = self.round.take().unwrap_or_else(|| Round {
            queue: self.lineages.values().filter(|it| it.is_far).map(|it| it.key.clone()).collect(),
            errors: HashMap::default(),
            hides: false,
            scan: self.dirs.scan(),
            cost: Cost::default(),
        });
        let queued: BTreeSet<Arc<Path>> = round.queue.iter().cloned().collect();
        let changed: BTreeSet<Arc<Path>> = changed.into_iter().collect();
        let is_far = |key: &Arc<Path>| self.lineages.get(key).is_some_and(|it| it.is_far);
        let (rest, near_rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut round.queue).into_iter().partition(is_far);
        let new = |it: &&Tracked| {
            !queued.contains(&it.key) && (!it.is_far || it.looks == 0 || changed.contains(&it.key))
        };
        let (far, near): (Vec<&Tracked>, Vec<&Tracked>) =
            self.lineages.values().map(|it| &**it).filter(new).partition(|it| it.is_far);
        let keys = |them: Vec<&Tracked>| them.into_iter().map(|it| it.key.clone()).collect::<Vec<_>>();
        // The last comes first. What was not looked at yet comes before what was, so that all have their turn: also where one is
        // looked at in vain again and again.
        round.queue = [keys(far), rest, keys(near), near_rest].concat();
        round.cost.add(&self.cost_since(&before));
        self.end_walk(&mut round, troubles);
        self.round = Some(round);
    }

    /// Notes what a walk met, and ends it where it has looked at everything.
    fn end_walk(&mut self, round: &mut Round, troubles: Vec<Trouble>) {
        // What may not be looked at is hidden for good.
        round.hides |= troubles.iter().any(|trouble| trouble.1.kind() != ErrorKind::PermissionDenied);
        self.note(troubles, &mut round.errors);
        if !self.walk.has_far() {
            self.first_far = false;
            if !round.hides {
                self.sort_out(&mut round.queue);
            }
        }
    }

    /// Whether all that is near was looked at.
    fn is_at_far(&self, round: &Round) -> bool {
        let is_far = |key: &Arc<Path>| self.lineages.get(key).is_some_and(|it| it.is_far);
        round.queue.last().is_none_or(is_far)
    }

    /// Finds out which files match of those that are far, for `budget` or until all of them are known.
    fn walk_far(&mut self, round: &mut Round, budget: Duration) {
        let (began, mut troubles) = (self.clock.now(), Vec::new());
        while self.walk.has_far() {
            self.dirs.go_on();
            self.walk.go_far(&mut self.dirs, &mut troubles);
            if self.clock.now().saturating_sub(began) >= budget {
                break;
            }
        }
        let changed = self.map_again(false, &mut troubles);
        let queued: BTreeSet<&Arc<Path>> = round.queue.iter().collect();
        let new = changed.into_iter().filter(|key| !queued.contains(key));
        let is_far = |key: &Arc<Path>| self.lineages.get(key).is_some_and(|it| it.is_far);
        let (far, near): (Vec<_>, Vec<_>) = new.partition(is_far);
        round.queue = [far, std::mem::take(&mut round.queue), near].concat();
        self.end_walk(round, troubles);
    }

    /// Whether a look at everything is under way.
    pub fn is_looking(&self) -> bool {
        self.round.is_some()
    }

    /// Whether it is at what lies near, which comes first.
    pub fn is_looking_near(&self) -> bool {
        let next = self.round.as_ref().and_then(|round| round.queue.last());
        next.is_some_and(|key| self.lineages.get(key).is_some_and(|it| !it.is_far))
    }

    /// Leaves out of a look at everything what may take long; which specs want each of these lineages comes back.
    pub fn leave_far(&mut self) -> Vec<Vec<u32>> {
        let Some(mut round) = self.round.take() else { return Vec::new() };
        self.walk_far(&mut round, Duration::MAX);
        let (lineages, specs) = (&self.lineages, &self.walk.patterns().specs);
        let far = round.queue.extract_if(.., |key| lineages.get(key).is_some_and(|it| it.is_far));
        let wanting =
            far.filter_map(|key| Some(lineages.get(&key)?.specs.iter().map(|spec| specs[*spec].id)));
        let wanting = wanting.map(Iterator::collect).collect();
        self.round = Some(round);
        wanting
    }

    /// Goes on with a look at everything until `budget` is used up, with one lineage, or a few far ones or their directories, at least,
    /// and reports the lineages in which something changed.
    pub fn go_on(&mut self, budget: Duration) -> Vec<Listing> {
        let Some(mut round) = self.round.take() else { return Vec::new() };
        let (before, mut troubles) = (self.before(), Vec::new());
        let (mut looked, mut files) = (Vec::new(), 0);
        let began_near = !self.is_at_far(&round);
        loop {
            let is_far = self.is_at_far(&round);
            // What is near is told first.
            if is_far && began_near && !looked.is_empty() {
                break;
            }
            if is_far && self.walk.has_far() {
                self.walk_far(&mut round, budget.saturating_sub(self.cost_since(&before).elapsed));
                if self.walk.has_far() && self.is_at_far(&round) {
                    break;
                }
            }
            let keys = self.next(&mut round);
            if keys.is_empty() {
                break;
            }
            self.dirs.go_on();
            self.refresh(&keys, &mut troubles, &mut files);
            looked.extend(keys);
            if self.clock.now().saturating_sub(before.now) >= budget {
                break;
            }
        }
        self.note(troubles, &mut round.errors);
        round.cost.add(&Cost { files, ..self.cost_since(&before) });
        self.cost = round.cost;
        match round.queue.is_empty() && !self.walk.has_far() {
            true => {
                self.dirs.sweep(round.scan);
                self.errors = round.errors;
            }
            false => self.round = Some(round),
        }
        self.listings(looked)
    }

    /// The lineages that are looked at next: one, or several far ones in different directories, which together have no more files than
    /// keep a mount busy.
    fn next(&mut self, round: &mut Round) -> Vec<Arc<Path>> {
        let (mut keys, mut dirs, mut files) = (Vec::new(), BTreeSet::new(), 0);
        while let Some(key) = round.queue.last() {
            let Some(tracked) = self.lineages.get_mut(key) else {
                round.queue.pop();
                continue;
            };
            files += 1 + self.dirs.known(&tracked.dir).map_or(0, |dir| dir.siblings(&tracked.base).count());
            let joins = tracked.is_far && files <= FILES_AT_ONCE && dirs.insert(tracked.dir.clone());
            if !keys.is_empty() && !joins {
                break;
            }
            tracked.looks += 1;
            keys.extend(round.queue.pop());
            if !tracked.is_far {
                break;
            }
        }
        keys
    }
}
