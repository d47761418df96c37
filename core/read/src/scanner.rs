//! The scanner: from specs to lineages and what changed in them. All its calls may block; it has a thread of its own.
//!
//! A quiet look costs a `stat` for each directory and for the two newest files of each lineage; the older ones are asked in
//! every eighth look. Nothing is opened, read or hashed before a `stat` says something else than the last one, and then
//! only what it is about.
//!
//! A look at everything ([`Scanner::begin`]) is gone on with in pieces ([`Scanner::go_on`]), each of which reports what it saw:
//! on a mount that answers slowly the whole may take minutes. What lies on such mounts, their directories too, comes last, and
//! what changes elsewhere meanwhile need not wait for it.
//!
//! Between scans the caller watches [`Scanner::directories`] and calls [`Scanner::scan_dir`] for those that changed (after
//! adding a watch, too: what happened before it is not told). Watches may be blind, so that everything is scanned now and
//! then.
//!
//! Hard links within one lineage are one file; two lineages that are linked are two.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringtail_io::{Clock, Fs};

use crate::dirs::Dirs;
use crate::identity::{Claim, FileRecord, Identity};
use crate::links::{LinkRefused, is_pod_log};
use crate::listing::{FileSpec, Listing};
use crate::look::Look;
use crate::maps::HashMap;
use crate::open::{OpenFile, OpenFiles};
use crate::patterns::{PatternError, Patterns, Spec, bytes};
use crate::resolve::refresh;
use crate::siblings::sibling;
use crate::stray;
use crate::survey::Surveys;
use crate::tracked::{Known, Tracked};
use crate::walk::{Match, Trouble, Walk};

/// Far lineages that are looked at at once.
const AT_ONCE: usize = 8;

/// What tells one trouble from another: the kind, and the operating system's number where there is one.
type Reason = (ErrorKind, Option<i32>);

/// Where kubelet keeps the logs, where nobody chose another place.
const PODS: &str = "/var/log/pods";

/// Something that a scan could not look at. Told when it begins or changes, not with each scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanError {
    /// What.
    pub path: Arc<Path>,
    /// Why. `QuotaExceeded`: more paths match than are followed.
    pub kind: ErrorKind,
    /// The same in words, with the operating system's number where it has one: not every number has a kind of its own.
    pub why: String,
    /// It is a symlink that is not followed, and leads here.
    pub leads_to: Option<Arc<Path>>,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.leads_to {
            None => f.write_str(&self.why),
            Some(to) => write!(
                f,
                "a symlink that leads out, to {}, is not followed; if that is a log, name it in `paths` of the same pipeline too",
                to.display()
            ),
        }
    }
}

/// What the last look cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Time that was spent.
    pub elapsed: Duration,
    /// Directories listed.
    pub listed: u64,
    /// Files asked for their size.
    pub files: u64,
    /// Bytes that came out of compressed files to tell who they are, beyond their heads.
    pub inflated: u64,
}

/// A file that was opened again.
#[derive(Clone, Debug)]
pub struct Reopened {
    /// The open file.
    pub file: Arc<OpenFile>,
    /// Which it is.
    pub identity: Identity,
}

/// The scanner. See the module's description.
pub struct Scanner {
    dirs: Dirs,
    clock: Arc<dyn Clock>,
    files: OpenFiles,
    walk: Walk,
    surveys: Surveys,
    /// Boxed, so that room in the map for more costs little, and growing it too: there may be tens of thousands.
    lineages: HashMap<Arc<Path>, Box<Tracked>>,
    /// The lineages by their directory.
    by_dir: HashMap<Arc<Path>, Vec<Arc<Path>>>,
    /// The state of the walk that `lineages` were taken from.
    mapped: u64,
    /// [`Scanner::directories`] may have changed.
    moved: bool,
    /// What lies near was not looked at since the specs were set.
    first: bool,
    /// Nor was what lies far.
    first_far: bool,
    /// It is still to be said which lineages no spec wants any more: not before a scan could look everywhere.
    sorts_out: bool,
    round: Option<Round>,
    errors: HashMap<Arc<Path>, Reason>,
    new_errors: Vec<ScanError>,
    cost: Cost,
}

/// A look at everything that is under way.
struct Round {
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

/// What there was before something that costs.
struct Before {
    now: Duration,
    listed: u64,
    inflated: u64,
}

impl Scanner {
    /// A scanner for `specs` that opens files within `files`.
    pub fn new(
        fs: Arc<dyn Fs>,
        clock: Arc<dyn Clock>,
        files: OpenFiles,
        specs: &[FileSpec],
    ) -> Result<Self, PatternError> {
        Ok(Scanner {
            dirs: Dirs::new(fs, clock.clone()),
            clock,
            files,
            walk: Walk::new(Patterns::new(specs)?),
            surveys: Surveys::default(),
            lineages: HashMap::default(),
            by_dir: HashMap::default(),
            mapped: 0,
            moved: true,
            first: true,
            first_far: true,
            sorts_out: true,
            round: None,
            errors: HashMap::default(),
            new_errors: Vec::new(),
            cost: Cost::default(),
        })
    }

    /// Other specs from the next scan on, which must be one of everything. Lineages that are known stay known; those
    /// that no spec wants any more are reported without specs.
    pub fn set_specs(&mut self, specs: &[FileSpec]) -> Result<(), PatternError> {
        self.walk = Walk::new(Patterns::new(specs)?);
        (self.mapped, self.moved, self.sorts_out) = (0, true, true);
        (self.first, self.first_far) = (true, true);
        self.round = None;
        self.lineages.values_mut().for_each(|tracked| tracked.specs.clear());
        Ok(())
    }

    /// What a checkpoint knows of a lineage; before the first scan. It is reported by that scan, whatever is left of it.
    pub fn restore(&mut self, lineage: &Arc<Path>, records: &[FileRecord], claims: Vec<Claim>) {
        let (log, stray) = stray::parse(lineage);
        if !self.lineages.contains_key(log) {
            let log: Arc<Path> = log.into();
            let Some(tracked) = Tracked::new(log.clone(), log, false) else { return };
            self.track(tracked);
        }
        if let Some(tracked) = self.lineages.get_mut(log) {
            tracked.restore(records, claims, stray);
        }
    }

    /// How far the shard has come in a lineage, once in a while; replaces what was said before. A claim that is never
    /// updated is still true, only less helpful: it then takes longer until a truncation is noticed, and a copy is
    /// recognized by less.
    pub fn claim(&mut self, lineage: &Path, claims: Vec<Claim>) {
        let (log, stray) = stray::parse(lineage);
        if let Some(tracked) = self.lineages.get_mut(log) {
            tracked.claim_for(claims, stray);
        }
    }

    /// The shard found something else where it had read a generation in this file: it holds other contents now, whatever
    /// its size and its time say. Says which directory has to be looked at; a far log is looked at when its turn comes.
    pub fn doubt(&mut self, lineage: &Path, generation: u32, file: Identity) -> Option<Arc<Path>> {
        let tracked = self.lineages.get_mut(stray::log_of(lineage))?;
        let holds =
            |known: &&mut Known| known.generation() == Some(generation) && known.id() == (file.dev, file.ino);
        tracked.files.iter_mut().filter(holds).for_each(|known| known.doubted = true);
        if !tracked.is_far {
            return Some(tracked.dir.clone());
        }
        if let Some(round) = &mut self.round
            && !round.queue.contains(&tracked.key)
        {
            round.queue.insert(0, tracked.key.clone());
        }
        None
    }

    /// Generations before this one are of no interest any more (see [`crate::Lineage::release_before`]).
    pub fn release_before(&mut self, lineage: &Path, generation: u32) {
        if let Some(tracked) = self.lineages.get_mut(lineage) {
            tracked.release_before(generation);
        }
    }

    /// The shard has dropped a lineage whose files are gone ([`crate::Next::Finished`]). Says whether it is forgotten here
    /// too; not when files have appeared since: their listing is on its way or will be.
    pub fn forget(&mut self, lineage: &Path) -> bool {
        let (log, stray) = stray::parse(lineage);
        let Some(tracked) = self.lineages.get_mut(log) else { return false };
        let gone = tracked.drop_lineage(stray);
        if tracked.dropped
            && (tracked.files.is_empty() && tracked.strays.is_empty())
            && let Some(tracked) = self.lineages.remove(log)
        {
            if let Some(keys) = self.by_dir.get_mut(&tracked.dir) {
                keys.retain(|key| **key != *log);
                if keys.is_empty() {
                    self.by_dir.remove(&tracked.dir);
                }
            }
            self.mapped = 0;
        }
        gone
    }

    /// Opens the file that holds a generation now. `NotFound` when none does, `ResourceBusy` at the bound on open files
    /// (idle ones will be closed: ask again). After another error the next scan tells what became of it.
    pub fn reopen(&mut self, lineage: &Path, generation: u32) -> io::Result<Reopened> {
        let files = self.lineages.get_mut(stray::log_of(lineage)).map(|tracked| &mut tracked.files);
        let known = files.into_iter().flatten().find(|known| known.generation() == Some(generation));
        let known = known.ok_or(ErrorKind::NotFound)?;
        let identity = Identity { dev: known.stat.dev, ino: known.stat.ino, head: known.head };
        if let Some(file) = known.open.upgrade() {
            return Ok(Reopened { file, identity });
        }
        let permit = self.files.permit().ok_or(ErrorKind::ResourceBusy)?;
        let (file, stat) = self.dirs.fs.open_as(&known.path)?;
        if (stat.dev, stat.ino) != known.id() {
            return Err(ErrorKind::NotFound.into());
        }
        let file = Arc::new(OpenFile::new(file, known.gz, permit));
        known.open = Arc::downgrade(&file);
        known.starved = false;
        Ok(Reopened { file, identity })
    }

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
            !queued.contains(&it.key) && (!it.is_far || !it.was_seen || changed.contains(&it.key))
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
        let changed = self.map_again(self.first_far, &mut troubles);
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

    /// Goes on with a look at everything until `budget` is used up, with one lineage, or a few far ones or their directories, at least, and reports
    /// the lineages in which something changed.
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

    /// The lineages that are looked at next: one, or several far ones in different directories.
    fn next(&mut self, round: &mut Round) -> Vec<Arc<Path>> {
        let (mut keys, mut dirs) = (Vec::new(), BTreeSet::new());
        while let Some(key) = round.queue.last() {
            if let Some(tracked) = self.lineages.get_mut(key) {
                let is_more = tracked.is_far && keys.len() < AT_ONCE && dirs.insert(tracked.dir.clone());
                if !keys.is_empty() && !is_more {
                    break;
                }
                tracked.looks += 1;
                dirs.insert(tracked.dir.clone());
            }
            keys.extend(round.queue.pop());
        }
        keys
    }

    /// The same for one directory, without symlinks, as [`Scanner::directories`] names it, and what is new below it.
    pub fn scan_dir(&mut self, dir: &Path) -> Vec<Listing> {
        let (before, mut troubles, mut files) = (self.before(), Vec::new(), 0);
        self.dirs.begin();
        self.walk.scan_dir(dir, &mut self.dirs, &mut troubles);
        let mut changed = self.map_again(false, &mut troubles);
        changed.retain(|key| key.parent() != Some(dir));
        changed.extend(self.by_dir.get(dir).into_iter().flatten().cloned());
        for key in &changed {
            self.refresh(std::slice::from_ref(key), &mut troubles, &mut files);
        }
        let mut present = HashMap::default();
        self.note(troubles, &mut present);
        self.errors.extend(present);
        self.cost = Cost { files, ..self.cost_since(&before) };
        self.listings(changed)
    }

    /// The directories, without symlinks, in which files come and go that matter: those of lineages, those that patterns
    /// lead to, and of patterns that lead nowhere yet, the last one that exists.
    pub fn directories(&self) -> Vec<Arc<Path>> {
        let has_files =
            |key: &Arc<Path>| self.lineages.get(key).is_some_and(|tracked| !tracked.files.is_empty());
        let lineages = self.by_dir.iter().filter(|(_, keys)| keys.iter().any(has_files)).map(|(dir, _)| dir);
        let all: BTreeSet<&Arc<Path>> = self.walk.directories().chain(lineages).collect();
        all.into_iter().cloned().collect()
    }

    /// Whether [`Scanner::directories`] may have changed since this was asked last: to name them all costs something.
    pub fn directories_changed(&mut self) -> bool {
        let walked = self.walk.directories_changed();
        std::mem::take(&mut self.moved) || walked
    }

    /// What could not be looked at, as far as it is new.
    pub fn take_errors(&mut self) -> Vec<ScanError> {
        std::mem::take(&mut self.new_errors)
    }

    /// What the last scan cost.
    pub fn last_cost(&self) -> Cost {
        self.cost
    }

    /// Lineages that are known.
    pub fn lineages(&self) -> usize {
        self.lineages.len()
    }

    /// Reports those of these lineages in which something changed.
    fn listings(&mut self, keys: Vec<Arc<Path>>) -> Vec<Listing> {
        let specs = &self.walk.patterns().specs;
        let undecided = self.sorts_out;
        let take = |tracked: &mut Tracked| match undecided && tracked.specs.is_empty() {
            true => Vec::new(),
            false => tracked.take_listings(|spec| specs[spec].id),
        };
        let lineages = &mut self.lineages;
        keys.iter().filter_map(|key| Some(take(lineages.get_mut(key)?))).flatten().collect()
    }

    fn before(&self) -> Before {
        Before { now: self.clock.now(), listed: self.dirs.listed, inflated: self.surveys.inflated() }
    }

    fn cost_since(&self, before: &Before) -> Cost {
        Cost {
            elapsed: self.clock.now().saturating_sub(before.now),
            listed: self.dirs.listed - before.listed,
            files: 0,
            inflated: self.surveys.inflated() - before.inflated,
        }
    }

    /// Takes the lineages from what the walk found, where that has changed; those that are new or wanted otherwise come back.
    fn map_again(&mut self, at_start: bool, troubles: &mut Vec<Trouble>) -> Vec<Arc<Path>> {
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
    fn sort_out(&mut self, queue: &mut Vec<Arc<Path>>) {
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

    fn track(&mut self, mut tracked: Tracked) {
        if let Some((dir, _)) = self.by_dir.get_key_value(&tracked.dir) {
            tracked.dir = dir.clone();
        }
        tracked.is_far = self.dirs.fs.is_far(&tracked.key);
        let (dir, key) = (tracked.dir.clone(), tracked.key.clone());
        if self.lineages.insert(key.clone(), Box::new(tracked)).is_none() {
            self.by_dir.entry(dir).or_default().push(key);
        }
    }

    /// A mount may come, or go, after its logs are known.
    fn measure_distance(&mut self) {
        for keys in self.by_dir.values() {
            let Some(is_far) = keys.first().map(|key| self.dirs.fs.is_far(key)) else { continue };
            for key in keys {
                if let Some(tracked) = self.lineages.get_mut(key) {
                    tracked.is_far = is_far;
                }
            }
        }
    }

    /// Looks at these lineages: several at once where they are far, each in a directory of its own.
    fn refresh(&mut self, keys: &[Arc<Path>], troubles: &mut Vec<Trouble>, stats: &mut u64) {
        let (specs, wall_ns) = (&self.walk.patterns().specs, self.clock.wall_ns());
        let shared = Shared { specs, files: &self.files, surveys: &self.surveys, wall_ns };
        if let [key] = keys {
            let Some(tracked) = self.lineages.get_mut(key) else { return };
            self.moved |= shared.look(tracked, &mut self.dirs, troubles, stats);
            return;
        }
        let apart = keys.iter().filter_map(|key| {
            let tracked = self.lineages.remove(key)?;
            let dirs = self.dirs.part(&tracked.dir);
            Some(Mutex::new(Apart { tracked, dirs, troubles: Vec::new(), stats: 0, moved: false }))
        });
        let apart: Vec<_> = apart.collect();
        let Some(place) = keys.first() else { return };
        self.dirs.fs.each(place, apart.len(), &|at| {
            let mut it = apart[at].lock().unwrap_or_else(PoisonError::into_inner);
            let Apart { tracked, dirs, troubles, stats, moved } = &mut *it;
            *moved = shared.look(tracked, dirs, troubles, stats);
        });
        for it in apart {
            let it = it.into_inner().unwrap_or_else(PoisonError::into_inner);
            self.moved |= it.moved;
            self.dirs.join(it.dirs);
            troubles.extend(it.troubles);
            *stats += it.stats;
            self.lineages.insert(it.tracked.key.clone(), it.tracked);
        }
    }

    /// Keeps what is new among the troubles, and adds all to those that are `present`.
    fn note(&mut self, mut troubles: Vec<Trouble>, present: &mut HashMap<Arc<Path>, Reason>) {
        if self.walk.overflow() {
            troubles.push((Arc::from(Path::new("/")), ErrorKind::QuotaExceeded.into()));
        }
        for (path, error) in troubles {
            let kind = error.kind();
            let reason = (kind, error.raw_os_error());
            if self.errors.get(&path) != Some(&reason) && present.get(&path) != Some(&reason) {
                let leads_to = LinkRefused::of(&error).map(|refused| refused.leads_to.clone());
                self.new_errors.push(ScanError {
                    path: path.clone(),
                    kind,
                    why: error.to_string(),
                    leads_to,
                });
            }
            present.insert(path, reason);
        }
    }
}

/// A lineage that is looked at beside others.
struct Apart {
    tracked: Box<Tracked>,
    /// What is known of its own directory.
    dirs: Dirs,
    troubles: Vec<Trouble>,
    stats: u64,
    moved: bool,
}

/// What looks at several lineages share.
struct Shared<'a> {
    specs: &'a [Spec],
    files: &'a OpenFiles,
    surveys: &'a Surveys,
    wall_ns: i64,
}

impl Shared<'_> {
    /// Looks at one lineage. Whether it has its first file now, or has lost its last.
    fn look(
        &self,
        tracked: &mut Tracked,
        dirs: &mut Dirs,
        troubles: &mut Vec<Trouble>,
        stats: &mut u64,
    ) -> bool {
        let had_files = !tracked.files.is_empty();
        let (specs, wanting) = (self.specs, tracked.specs.clone());
        // The most patient spec decides, the others see a little more.
        let ages: Option<Vec<Duration>> = wanting.iter().map(|spec| specs[*spec].ignore_older).collect();
        let oldest = ages.and_then(|ages| ages.into_iter().max());
        let excluded =
            |path: &Path| !wanting.is_empty() && wanting.iter().all(|spec| specs[*spec].excludes(path));
        let (fs, mut surveys) = (dirs.fs.clone(), self.surveys.clone());
        let look = Look {
            fs: &*fs,
            files: self.files,
            wall_ns: self.wall_ns,
            round: tracked.looks,
            ignore_older_ns: oldest.map(|age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)),
            excluded: &excluded,
            surveys: &mut surveys,
            opened: HashMap::default(),
            troubles,
            stats,
        };
        refresh(tracked, dirs, look);
        had_files == tracked.files.is_empty()
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

impl Cost {
    fn add(&mut self, more: &Cost) {
        self.elapsed += more.elapsed;
        self.listed += more.listed;
        self.files += more.files;
        self.inflated += more.inflated;
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
