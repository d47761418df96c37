//! A shard's reads of mounts that may never answer: NFS, CIFS, FUSE. Bounded apart from the others, so that those that hang
//! keep nobody else from reading, and hold little memory.
//!
//! Limits: [`A_MOUNT`] reads of one mount at a time, and [`LARGE`] large ones of all of them; the views that want more wait
//! for the end of one.

use std::collections::VecDeque;

use ringtail_io::File;

use crate::buffers::ReadSize;
use crate::maps::HashMap;
use crate::names::{LineageId, ViewId};

/// Reads of one mount in flight: as many as it has threads.
const A_MOUNT: usize = 4;

/// Large reads in flight: each may keep a slab.
const LARGE: usize = 4;

/// Such a mount, by the device number of its files.
pub(crate) type Mount = u64;

/// The reads of a shard in flight.
#[derive(Default)]
pub(crate) struct RemoteReads {
    mounts: HashMap<Mount, Reads>,
    all: usize,
    large: usize,
}

#[derive(Default)]
struct Reads {
    in_flight: usize,
    waiting: VecDeque<(LineageId, ViewId)>,
}

impl RemoteReads {
    /// The mount that a file lies on, if it is one that may never answer.
    pub(crate) fn mount_of(file: &File) -> Option<Mount> {
        file.remote_mount()
    }

    /// Whether another read of `mount` may begin; if not, `view` is named by [`ended`](Self::ended) or
    /// [`due`](Self::due).
    pub(crate) fn may_begin(&mut self, mount: Mount, view: (LineageId, ViewId)) -> bool {
        let reads = self.mounts.entry(mount).or_default();
        let may = reads.in_flight < A_MOUNT;
        if !may {
            reads.waiting.push_back(view);
        }
        may
    }

    /// How large a read may be that would be of this size.
    pub(crate) fn size(&self, wanted: ReadSize) -> ReadSize {
        match wanted {
            ReadSize::Large if self.large < LARGE => ReadSize::Large,
            ReadSize::Large | ReadSize::Small => ReadSize::Small,
        }
    }

    pub(crate) fn begun(&mut self, mount: Mount, size: ReadSize) {
        self.mounts.entry(mount).or_default().in_flight += 1;
        self.all += 1;
        self.large += usize::from(size == ReadSize::Large);
    }

    pub(crate) fn ended(&mut self, mount: Mount, size: ReadSize) {
        self.all -= 1;
        self.large -= usize::from(size == ReadSize::Large);
        if let Some(reads) = self.mounts.get_mut(&mount) {
            reads.in_flight -= 1;
        }
    }

    /// Reads in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.all
    }

    /// Whether views wait.
    pub(crate) fn has_waiting(&self) -> bool {
        self.mounts.values().any(|reads| !reads.waiting.is_empty())
    }

    /// The views that may go on: as many of each mount as it has reads left. Forgets mounts that nobody reads.
    pub(crate) fn due(&mut self) -> Vec<(LineageId, ViewId)> {
        let mut due = Vec::new();
        self.mounts.retain(|_, reads| {
            let left = A_MOUNT.saturating_sub(reads.in_flight).min(reads.waiting.len());
            due.extend(reads.waiting.drain(..left));
            reads.in_flight > 0 || !reads.waiting.is_empty()
        });
        due
    }
}
