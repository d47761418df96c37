//! Watches as inotify keeps them: per instance a queue of changes, bounded, where equal neighbours are one.
//!
//! An instance is an [`Io`](crate::Io)'s or a [`Watch`](crate::Watch)'s own. Its changes are handed out at most every
//! [`COALESCE`] of the world's time.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::time::Duration;

use super::disk::{NodeId, Notice};
use super::faults::{Faults, strikes};
use crate::{Change, Event, Interest, WatchId};

/// The least time between two reports of changes.
const COALESCE: Duration = Duration::from_millis(10);

/// Changes that an instance keeps before it overflows (`fs.inotify.max_queued_events`).
const QUEUE: usize = 16_384;

/// Names an instance; never used again.
pub(super) type InstanceId = u64;

/// All instances of a world.
#[derive(Debug, Default)]
pub(super) struct Watches {
    instances: BTreeMap<InstanceId, Instance>,
    next: InstanceId,
}

#[derive(Debug, Default)]
struct Instance {
    watches: BTreeMap<NodeId, Watched>,
    next_watch: i32,
    queue: VecDeque<Queued>,
    /// No changes are handed out before.
    quiet_until: Duration,
}

#[derive(Debug)]
struct Watched {
    id: WatchId,
    contents: bool,
    entries: bool,
    blind: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Queued {
    Changed { watch: WatchId, name: OsString, change: Change },
    Unwatched { watch: WatchId },
    Overflow,
}

impl Watches {
    pub(super) fn open(&mut self) -> InstanceId {
        self.next += 1;
        self.instances.insert(self.next, Instance::default());
        self.next
    }

    pub(super) fn close(&mut self, instance: InstanceId) {
        self.instances.remove(&instance);
    }

    pub(super) fn close_all(&mut self) {
        self.instances.clear();
    }

    /// Watches `dir`; nothing when the instance is from before a crash.
    pub(super) fn watch(
        &mut self,
        instance: InstanceId,
        dir: NodeId,
        interest: Interest,
        blind: bool,
    ) -> Option<WatchId> {
        let Instance { watches, next_watch, .. } = self.instances.get_mut(&instance)?;
        let watched = watches.entry(dir).or_insert_with(|| {
            *next_watch += 1;
            Watched { id: WatchId(*next_watch), contents: false, entries: false, blind }
        });
        match interest {
            Interest::Contents => watched.contents = true,
            Interest::Entries => watched.entries = true,
        }
        Some(watched.id)
    }

    /// Ends a watch; what is queued for it still comes when `keep_queued`.
    pub(super) fn unwatch(&mut self, instance: InstanceId, watch: WatchId, keep_queued: bool) {
        let Some(instance) = self.instances.get_mut(&instance) else { return };
        instance.watches.retain(|_, watched| watched.id != watch);
        if !keep_queued {
            instance.queue.retain(|queued| queued.watch() != Some(watch));
        }
    }

    /// Tells every instance that watches the directory.
    pub(super) fn publish(&mut self, notice: &Notice, faults: &Faults, rng: &mut fastrand::Rng) {
        for instance in self.instances.values_mut() {
            if let Some(queued) = instance.hear(notice) {
                let dropped = instance.queue.len() >= QUEUE || strikes(rng, faults.overflow);
                instance.push(if dropped { Queued::Overflow } else { queued });
            }
        }
    }

    /// Hands out what is queued, where the pause since the last time is over. True when there was something.
    pub(super) fn drain(&mut self, instance: InstanceId, now: Duration, events: &mut Vec<Event>) -> bool {
        let Some(instance) = self.instances.get_mut(&instance) else { return false };
        if instance.queue.is_empty() || now < instance.quiet_until {
            return false;
        }
        instance.quiet_until = now + COALESCE;
        events.extend(instance.queue.drain(..).map(|queued| match queued {
            Queued::Changed { watch, name, change } => Event::Changed { watch, name, change },
            Queued::Unwatched { watch } => Event::Unwatched { watch },
            Queued::Overflow => Event::Overflow,
        }));
        true
    }
}

impl Instance {
    fn hear(&mut self, notice: &Notice) -> Option<Queued> {
        match notice {
            Notice::Gone { dir } => {
                let watched = self.watches.remove(dir)?;
                (!watched.blind).then_some(Queued::Unwatched { watch: watched.id })
            }
            Notice::Changed { dir, name, change } => {
                let watched = self.watches.get(dir)?;
                let wanted = match change {
                    Change::Written => watched.contents,
                    Change::Appeared | Change::Vanished => watched.entries,
                };
                let queued = || Queued::Changed { watch: watched.id, name: name.clone(), change: *change };
                (wanted && !watched.blind).then(queued)
            }
        }
    }

    /// Equal neighbours are one, as in inotify.
    fn push(&mut self, queued: Queued) {
        if self.queue.back() != Some(&queued) {
            self.queue.push_back(queued);
        }
    }
}

impl Queued {
    fn watch(&self) -> Option<WatchId> {
        match self {
            Queued::Changed { watch, .. } | Queued::Unwatched { watch } => Some(*watch),
            Queued::Overflow => None,
        }
    }
}
