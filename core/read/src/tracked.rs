//! A lineage as the scanner knows it: which of its files holds which generation.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Weak};

use ringtail_io::Stat;

use crate::dirs::Dir;
use crate::identity::{Claim, FileRecord, HEAD_BYTES, Head, Identity};
use crate::listing::{Listing, Place, Sighting};
use crate::open::OpenFile;
use crate::stray;

/// How many generations without a file are remembered, the newest ones.
const MAX_ORPHANS: usize = 64;

/// What a file is to its lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It holds this generation.
    Holds(u32),
    /// It begins as this generation does, which another file holds: a copy, perhaps an unfinished one.
    Copies(u32),
    /// Too little to tell (an empty rotated file, a `.gz` that was only begun): looked at again with each scan.
    Pending,
    /// Older than what the checkpoint knows.
    Old,
    /// Left out by `exclude` while it has this name.
    Excluded,
    /// Left out by `ignore_older` until it changes.
    Ignored,
    /// Cannot be read: tried again with each scan.
    Unreadable,
}

/// A file that is there.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) path: Arc<Path>,
    pub(crate) gz: bool,
    pub(crate) stat: Stat,
    pub(crate) head: Head,
    pub(crate) role: Role,
    /// Bytes before this are not wanted.
    pub(crate) begin: u64,
    /// Open somewhere.
    pub(crate) open: Weak<OpenFile>,
    /// Open and not handed out yet.
    pub(crate) fresh: Option<Arc<OpenFile>>,
    /// The shard says that it holds something else now.
    pub(crate) doubted: bool,
    /// It should be opened, and the bound on open files did not allow it.
    pub(crate) starved: bool,
}

impl Known {
    pub(crate) fn id(&self) -> (u64, u64) {
        (self.stat.dev, self.stat.ino)
    }

    pub(crate) fn generation(&self) -> Option<u32> {
        match self.role {
            Role::Holds(generation) => Some(generation),
            _ => None,
        }
    }

    /// Whether it may be something else with the next look, although nothing changes.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.starved || self.doubted || matches!(self.role, Role::Pending | Role::Unreadable)
    }

    /// Takes over how it begins. Emptied after it was asked how large it is, it has no more than that.
    pub(crate) fn begin_with(&mut self, head: Head) {
        self.head = head;
        if !self.gz && (head.len as usize) < HEAD_BYTES {
            self.stat.size = self.stat.size.min(head.len.into());
        }
    }

    fn sighting(&mut self) -> Option<Sighting> {
        let generation = self.generation()?;
        let file = self.fresh.take().or_else(|| self.open.upgrade());
        let Known { path, gz, stat, head, begin, .. } = self;
        Some(Sighting {
            generation,
            path: path.clone(),
            gz: *gz,
            stat: *stat,
            head: *head,
            begin: *begin,
            file,
        })
    }
}

/// A generation without a file: deleted, truncated, or from the checkpoint and not found yet.
#[derive(Clone, Debug)]
pub(crate) struct Orphan {
    pub(crate) generation: u32,
    pub(crate) identity: Identity,
    /// Uncompressed bytes that were seen, or compressed ones.
    pub(crate) size: u64,
    pub(crate) gz: bool,
    pub(crate) begin: u64,
    /// The scanner itself saw it, uncompressed, and not only a checkpoint knows it.
    pub(crate) witnessed: bool,
    /// Where the last run saw it.
    pub(crate) path: Option<Arc<Path>>,
    /// The shard may have it open.
    pub(crate) open: Weak<OpenFile>,
}

impl From<&Known> for Option<Orphan> {
    fn from(known: &Known) -> Self {
        let Known { stat, head, gz, begin, open, .. } = known;
        let identity = Identity { dev: stat.dev, ino: stat.ino, head: *head };
        let (size, gz, begin, open) = (stat.size, *gz, *begin, open.clone());
        let (witnessed, path) = (!gz, None);
        known.generation().map(|generation| Orphan {
            generation,
            identity,
            size,
            gz,
            begin,
            witnessed,
            path,
            open,
        })
    }
}

/// What a listing had of a lineage.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listed {
    /// The listing.
    version: u64,
    /// See [`Dir::print_of`]; 0: the directory is not there.
    pub(crate) print: u64,
    /// The directory's last change.
    pub(crate) modified_ns: i64,
}

/// A lineage.
#[derive(Clone, Debug)]
pub(crate) struct Tracked {
    /// `dir` and `base` joined.
    pub(crate) key: Arc<Path>,
    pub(crate) dir: Arc<Path>,
    pub(crate) base: OsString,
    pub(crate) shown: Arc<Path>,
    /// On a mount whose answers may take long, as far as is known.
    pub(crate) is_far: bool,
    /// Indexes of the specs that want it.
    pub(crate) specs: Vec<usize>,
    pub(crate) at_start: bool,
    /// The number of the next new generation.
    pub(crate) next: u32,
    /// Oldest first, the base last.
    pub(crate) files: Vec<Known>,
    /// Ascending.
    pub(crate) orphans: Vec<Orphan>,
    /// Generations that are lineages of their own.
    pub(crate) strays: BTreeSet<u32>,
    pub(crate) claims: Vec<Claim>,
    /// What stood in `dir` when `files` were taken from it.
    pub(crate) listed: Listed,
    /// Some look had a result: before that nothing is known of the files, which is not the same as that there are none.
    pub(crate) was_seen: bool,
    /// When the last look with a result took place, in wall time.
    pub(crate) seen_ns: i64,
    /// Looks at everything in which it had its turn.
    pub(crate) looks: u64,
    /// How many looks in succession ended at a file that may not be read.
    pub(crate) refused: u32,
    /// Something is to be reported.
    pub(crate) dirty: bool,
    /// Something was ever reported, or the shard knows it from a checkpoint.
    pub(crate) reported: bool,
    /// The shard has dropped the log, whose files are gone; strays are still there.
    pub(crate) dropped: bool,
}

impl Tracked {
    /// A lineage without files; nothing when the path has no name.
    pub(crate) fn new(key: Arc<Path>, shown: Arc<Path>, at_start: bool) -> Option<Self> {
        let (dir, base) = (key.parent()?.into(), key.file_name()?.to_owned());
        Some(Tracked {
            key,
            dir,
            base,
            shown,
            is_far: false,
            specs: Vec::new(),
            at_start,
            next: 0,
            files: Vec::with_capacity(1),
            orphans: Vec::new(),
            strays: BTreeSet::new(),
            claims: Vec::new(),
            listed: Listed::default(),
            was_seen: false,
            seen_ns: 0,
            looks: 0,
            refused: 0,
            dirty: false,
            reported: false,
            dropped: false,
        })
    }

    /// Takes over what a checkpoint knows of it, or of a stray of it.
    pub(crate) fn restore(&mut self, records: &[FileRecord], claims: Vec<Claim>, stray: Option<u32>) {
        self.orphans.extend(records.iter().map(|record| {
            let FileRecord { generation, identity, size, gz, .. } = *record;
            let (witnessed, path, open) = (false, Some(record.path.clone()), Weak::new());
            Orphan { generation, identity, size, gz, begin: 0, witnessed, path, open }
        }));
        self.orphans.sort_by_key(|orphan| orphan.generation);
        // What nothing can be read of has no record, and yet its number.
        let records = self.orphans.iter().map(|orphan| orphan.generation);
        let known = records.chain(claims.iter().map(|claim| claim.generation)).chain(stray);
        self.next = known.map(|number| number.saturating_add(1)).fold(self.next, u32::max);
        // As long as nothing but strays of it is known.
        self.dropped = stray.is_some() && (self.dropped || !self.reported);
        self.strays.extend(stray);
        self.claim_for(claims, stray);
        (self.dirty, self.reported) = (true, true);
    }

    /// Takes over how far the shard has come, in the log or in a stray of it.
    pub(crate) fn claim_for(&mut self, claims: Vec<Claim>, stray: Option<u32>) {
        let Tracked { strays, claims: known, .. } = self;
        known.retain(|claim| match stray {
            Some(generation) => claim.generation != generation,
            None => strays.contains(&claim.generation),
        });
        known.extend(claims);
    }

    /// Drops the log, or a stray, where its files are gone. Says whether they are.
    pub(crate) fn drop_lineage(&mut self, stray: Option<u32>) -> bool {
        match stray {
            Some(generation) => self.forget_stray(generation),
            None => {
                let is_stray = |known: &Known| known.generation().is_some_and(|it| self.strays.contains(&it));
                self.dropped = self.files.iter().all(is_stray);
                self.dropped
            }
        }
    }

    fn forget_stray(&mut self, generation: u32) -> bool {
        let is_gone = !self.files.iter().any(|known| known.generation() == Some(generation));
        if is_gone {
            self.strays.remove(&generation);
            self.orphans.retain(|orphan| orphan.generation != generation);
            self.claims.retain(|claim| claim.generation != generation);
        }
        is_gone
    }

    /// What a listing has of it.
    pub(crate) fn listed_in(&self, dir: &Dir) -> Listed {
        let print =
            if dir.version == self.listed.version { self.listed.print } else { dir.print_of(&self.base) };
        Listed { version: dir.version, print, modified_ns: dir.stat.modified_ns }
    }

    /// A look had a result.
    pub(crate) fn end_look(&mut self, listed: Listed, wall_ns: i64) {
        let unreadable = self.files.iter().any(|known| known.role == Role::Unreadable);
        self.refused = if unreadable { self.refused } else { 0 };
        (self.listed, self.was_seen, self.seen_ns) = (listed, true, wall_ns);
    }

    /// How far a generation was consumed, as far as the shard said.
    pub(crate) fn claim(&self, generation: u32) -> Claim {
        let found = self.claims.iter().find(|claim| claim.generation == generation);
        found.copied().unwrap_or(Claim { generation, ..Claim::default() })
    }

    /// Whether readers have gone on from a generation of the log to a later one.
    pub(crate) fn was_left(&self, generation: u32) -> bool {
        let in_log = |number: u32| !self.strays.contains(&number);
        in_log(generation)
            && self.claims.iter().any(|claim| claim.generation > generation && in_log(claim.generation))
    }

    /// Remembers generations that have no file any more, the newest ones.
    pub(crate) fn set_orphans(&mut self, mut orphans: Vec<Orphan>) {
        orphans.sort_by_key(|orphan| orphan.generation);
        self.orphans = orphans.split_off(orphans.len().saturating_sub(MAX_ORPHANS));
    }

    pub(crate) fn release_before(&mut self, generation: u32) {
        let is_kept = |number: u32| number >= generation || self.strays.contains(&number);
        self.orphans.retain(|orphan| is_kept(orphan.generation));
        self.claims.retain(|claim| is_kept(claim.generation));
    }

    /// What there is to report, if anything: of the log, and of each of its strays.
    pub(crate) fn take_listings(&mut self, spec_id: impl Fn(usize) -> u32) -> Vec<Listing> {
        if !self.was_seen || !std::mem::take(&mut self.dirty) {
            return Vec::new();
        }
        let mut specs: Vec<u32> = self.specs.iter().map(|spec| spec_id(*spec)).collect();
        specs.sort_unstable();
        // All logs are told at once after a start, and `collect` would begin with room for four.
        let mut files = Vec::with_capacity(self.files.len());
        files.extend(self.files.iter_mut().filter_map(Known::sighting));
        let mut of_strays: Vec<Sighting> =
            files.extract_if(.., |seen| self.strays.contains(&seen.generation)).collect();
        let listing = |stray: Option<u32>, files: Vec<Sighting>| {
            let is_own = |number| stray.map_or(!self.strays.contains(&number), |stray| stray == number);
            let others = self.files.iter().filter(|known| !known.generation().is_some_and(is_own));
            Listing {
                lineage: stray.map_or(self.key.clone(), |stray| stray::lineage_of(&self.key, stray)),
                shown: self.shown.clone(),
                specs: specs.clone(),
                at_start: self.at_start,
                files,
                beside: others.map(Place::of).collect(),
            }
        };
        let mut listings = Vec::with_capacity(1);
        if !files.is_empty() || self.reported {
            (self.reported, self.dropped) = (true, self.dropped && files.is_empty());
            listings.push(listing(None, files));
        }
        for stray in &self.strays {
            let files = of_strays.extract_if(.., |seen| seen.generation == *stray).collect();
            listings.push(listing(Some(*stray), files));
        }
        listings
    }
}
