//! One generation of a lineage, and what a listing does to it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::{FileRecord, HEAD_BYTES, Head, Identity};
use crate::listing::{Listing, Sighting};
use crate::next::{Change, LostReason, Turn};
use crate::open::OpenFile;

/// One stretch of a log's contents and where it lies.
#[derive(Debug)]
pub struct Generation {
    /// Its number; later ones have larger numbers.
    pub number: u32,
    /// The file that holds it, or held it last.
    pub identity: Identity,
    /// Where that file lies or lay.
    pub path: Arc<Path>,
    /// Whether that file is compressed.
    pub gz: bool,
    /// Uncompressed bytes that were seen (of one only ever seen compressed: the compressed ones).
    pub size: u64,
    /// Bytes before this are not wanted.
    pub begin: u64,
    /// It was empty, and somebody asked its file since.
    pub(crate) begun: bool,
    pub(crate) open: Option<Handle>,
    pub(crate) fate: Fate,
    /// The turn in which its end was found, and where.
    pub(crate) ended: Option<(Turn, u64)>,
    /// How far it was read when a view left it.
    pub(crate) left: Option<u64>,
}

/// An open file, which may be another one than the name leads to by now.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) file: Arc<OpenFile>,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

/// What became of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Present,
    /// The name is gone, the open file is not.
    Deleted {
        since: Duration,
    },
    /// Nothing more can be read; a listing may find it again.
    Gone,
    /// What is there cannot be read; listings that have it change nothing.
    Spoiled,
}

impl Generation {
    pub(crate) fn new(sighting: &Sighting) -> Self {
        let mut generation = Generation {
            number: sighting.generation,
            identity: Identity::default(),
            path: sighting.path.clone(),
            gz: sighting.gz,
            size: 0,
            begin: sighting.begin,
            begun: false,
            open: None,
            fate: Fate::Present,
            ended: None,
            left: None,
        };
        generation.take(sighting);
        generation
    }

    pub(crate) fn restored(record: FileRecord) -> Self {
        let FileRecord { generation, identity, size, path, gz } = record;
        Generation {
            number: generation,
            identity,
            path,
            gz,
            size,
            begin: 0,
            begun: false,
            open: None,
            fate: Fate::Present,
            ended: None,
            left: None,
        }
    }

    /// Takes over what a scan saw.
    pub(crate) fn take(&mut self, sighting: &Sighting) {
        let Sighting { stat, path, gz, file, .. } = sighting;
        self.identity = sighting.identity();
        self.path = path.clone();
        self.gz = *gz;
        self.fate = Fate::Present;
        if !gz || self.size == 0 {
            self.size = stat.size;
        }
        if let (None, Some(file)) = (&self.open, file) {
            self.open = Some(Handle { file: file.clone(), dev: stat.dev, ino: stat.ino });
        }
    }

    pub(crate) fn is_readable(&self) -> bool {
        !matches!(self.fate, Fate::Gone | Fate::Spoiled)
    }

    /// The open file, where the name still leads to it.
    pub(crate) fn file_in_place(&self) -> Option<&Arc<OpenFile>> {
        let Handle { file, dev, ino } = self.open.as_ref()?;
        ((*dev, *ino) == (self.identity.dev, self.identity.ino) && !file.gz).then_some(file)
    }

    /// Whether anything was ever seen to be in it.
    pub(crate) fn has_content(&self) -> bool {
        self.size > 0 || self.begun
    }

    /// The open file, where asking it never blocks.
    pub(crate) fn file_to_ask(&self) -> Option<Arc<OpenFile>> {
        let Handle { file, .. } = self.open.as_ref()?;
        file.file.remote_mount().is_none().then(|| file.clone())
    }

    /// Whether more of its beginning would tell more.
    pub(crate) fn has_short_head(&self) -> bool {
        (self.identity.head.len as usize) < HEAD_BYTES
    }

    /// Its file begins with `bytes`. False, and nothing changes, where it began otherwise before.
    pub(crate) fn lengthen_head(&mut self, bytes: &[u8]) -> bool {
        let is_same = self.identity.head.begins(bytes);
        if is_same {
            self.identity.head = Head::new(bytes);
        }
        is_same
    }

    /// Whether it is known without reading that nothing follows `offset`.
    pub(crate) fn known_end(&self, offset: u64) -> bool {
        self.open.is_none() && !self.gz && offset >= self.size
    }

    /// Whether the open file has no name any more; how large it is then, no listing will tell, so that it is noted. Never blocks.
    pub(crate) fn measure_unlinked(&mut self) -> bool {
        let Some(file) = self.file_to_ask() else { return false };
        let Some(stat) = file.stat().ok().filter(|stat| stat.links == 0) else { return false };
        if !file.gz {
            self.size = self.size.max(stat.size);
        }
        true
    }

    /// How large it is as far as can be told without blocking, its open file by now: no listing tells of a deleted one.
    pub(crate) fn held(&self) -> u64 {
        let size = self.file_to_ask().and_then(|file| file.stat().ok()).map_or(0, |stat| stat.size);
        self.size.max(size)
    }

    /// What the end of an open `.gz` says of the rest behind `consumed` bytes, where nobody saw its contents uncompressed and
    /// `compressed` bytes of it could be used.
    pub(crate) fn measure_gz(&mut self, consumed: u64, compressed: u64) {
        let end = self.open.as_ref().and_then(|open| open.file.end);
        if let Some(end) = end.filter(|end| self.size == end.size) {
            self.size = consumed.saturating_add(end.rest(consumed, compressed));
        }
    }

    pub(crate) fn lose(&mut self, reason: LostReason, consumed: u64) -> Option<Change> {
        self.open = None;
        self.fate = Fate::Gone;
        let bytes = self.size.saturating_sub(consumed.max(self.begin));
        (bytes > 0).then(|| Change::Lost { generation: self.number, reason, bytes, path: self.path.clone() })
    }
}

/// A known generation that the listing does not have any more.
pub(crate) fn vanish(
    known: &mut Generation,
    listing: &Listing,
    now: Duration,
    consumed: impl Fn(u32) -> u64,
) -> Option<Change> {
    if known.fate != Fate::Present {
        return None;
    }
    let id = (known.identity.dev, known.identity.ino);
    // What is open may be another file than the name led to last, as the original of a `.gz` is: whatever got the inode number
    // of the `.gz`, the original can be read. An open file that is listed for another generation was emptied.
    let is_other = known.open.as_ref().is_some_and(|open| (open.dev, open.ino) != id);
    let is_reused = listing.has(id, |_| true);
    let is_held = (is_other || !is_reused) && known.measure_unlinked();
    if !is_held && is_reused {
        // A file that nobody holds open and that lies elsewhere may have got the inode number after this one was deleted.
        let is_elsewhere = known.open.is_none() && !listing.has(id, |path| *path == known.path);
        let reason = if is_elsewhere { LostReason::Deleted } else { LostReason::Truncated };
        let emptied = Change::Emptied { generation: known.number, path: known.path.clone() };
        return known.lose(reason, consumed(known.number)).or(Some(emptied).filter(|_| !is_elsewhere));
    }
    if known.open.is_none() {
        return known.lose(LostReason::Deleted, consumed(known.number));
    }
    known.fate = Fate::Deleted { since: now };
    Some(Change::Grew { generation: known.number })
}

/// A known generation as the listing has it.
pub(crate) fn see(
    known: &mut Generation,
    sighting: &Sighting,
    listing: &Listing,
    consumed: impl Fn(u32) -> u64,
    changes: &mut Vec<Change>,
) {
    if known.fate == Fate::Spoiled {
        return;
    }
    let generation = known.number;
    let before = (known.identity.dev, known.identity.ino, known.size);
    let moved = (before.0, before.1) != (sighting.stat.dev, sighting.stat.ino);
    if let Some(Handle { dev, ino, .. }) = known.open
        && (dev, ino) != (sighting.stat.dev, sighting.stat.ino)
    {
        // The old file is still worth reading, unless it holds something else now or has nothing more.
        let reused = listing.has((dev, ino), |_| true);
        known.measure_unlinked();
        if reused || consumed(generation) >= known.size {
            known.open = None;
        }
    }
    known.take(sighting);
    if moved {
        changes.push(Change::Moved { generation });
    }
    match known.left {
        Some(from) if !known.gz && known.size > from => {
            changes.push(Change::Late { generation, from, to: known.size });
            known.left = Some(known.size);
        }
        _ if known.size != before.2 => changes.push(Change::Grew { generation }),
        _ => {}
    }
}
