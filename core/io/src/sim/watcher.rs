//! A scanner's watches.

use std::path::Path;
use std::time::Duration;

use super::alarm::Alarm;
use super::watches::InstanceId;
use super::world::{State, World};
use crate::{Event, Interest, Waker, Watch, WatchError, WatchId};

/// The directory watches of one thread in a [`World`].
#[derive(Debug)]
pub struct SimWatch {
    world: World,
    instance: InstanceId,
}

impl SimWatch {
    pub(super) fn new(world: World) -> Self {
        let instance = world.state().watches.open();
        SimWatch { world, instance }
    }
}

impl Watch for SimWatch {
    fn watch(&mut self, dir: &Path, interest: Interest) -> Result<WatchId, WatchError> {
        self.world.state().watch(self.instance, dir, interest)
    }

    fn unwatch(&mut self, watch: WatchId) {
        self.world.state().watches.unwatch(self.instance, watch, false);
    }

    /// Never sleeps and lets no time pass, whatever the timeout.
    fn wait(&mut self, _timeout: Duration, events: &mut Vec<Event>) {
        self.world.state().changes(self.instance, events);
    }

    fn waker(&self) -> Waker {
        Waker::from_sim(Alarm)
    }
}

impl Drop for SimWatch {
    fn drop(&mut self) {
        self.world.state().watches.close(self.instance);
    }
}

impl State {
    /// Watches `dir`, for a scanner or a shard.
    pub(super) fn watch(
        &mut self,
        instance: InstanceId,
        dir: &Path,
        interest: Interest,
    ) -> Result<WatchId, WatchError> {
        let node = self.disk.walk(dir, true).and_then(|walk| walk.found()).map_err(WatchError::Failed)?;
        self.disk.entries(node).map_err(WatchError::Failed)?;
        if self.strikes(self.faults.watch_exhausted) {
            self.note(format_args!("watch {}: exhausted", dir.display()));
            return Err(WatchError::Exhausted);
        }
        let blind = self.strikes(self.faults.blind_watch);
        let watch = self.watches.watch(instance, node, interest, blind).ok_or(WatchError::Exhausted)?;
        let sight = if blind { ", blind" } else { "" };
        self.note(format_args!("{instance} watches {} as {}{sight}", dir.display(), watch.0));
        Ok(watch)
    }

    /// Appends the changes that `instance` has to hear, where they are not late.
    pub(super) fn changes(&mut self, instance: InstanceId, events: &mut Vec<Event>) {
        if self.strikes(self.faults.late_changes) {
            return;
        }
        let at = events.len();
        if self.watches.drain(instance, self.now, events) {
            for event in &events[at..] {
                self.note(format_args!("{instance} hears {event:?}"));
            }
        }
    }
}
