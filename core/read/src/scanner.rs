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
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringtail_io::{Clock, Fs};

use crate::dirs::Dirs;
use crate::identity::{Claim, FileRecord, Identity};
use crate::listing::{FileSpec, Listing};
use crate::maps::HashMap;
use crate::open::{OpenFile, OpenFiles};
use crate::patterns::{PatternError, Patterns};
use crate::stray;
use crate::survey::Surveys;
use crate::tracked::{Known, Tracked};
use crate::walk::Walk;

mod errors;
mod lineages;
mod looks;
mod round;

use errors::Reason;
pub use errors::ScanError;
use round::Round;

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
        if let Some(round) = &mut self.round {
            round.have_last(&tracked.key);
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
}

impl Cost {
    fn add(&mut self, more: &Cost) {
        self.elapsed += more.elapsed;
        self.listed += more.listed;
        self.files += more.files;
        self.inflated += more.inflated;
    }
}
