//! A shard's reads: from a view that wants bytes to the read, the next file, or rest.

use std::sync::Arc;
use std::time::Duration;

use ringtail_io::Read;
use ringtail_parse::LineEnd;
use ringtail_read::{Lineage, Next, OpenFile, Turn};
use ringtail_record::Position;

use crate::buffers::{NoMemory, ReadSize, SMALL_READ};
use crate::config::Mode;
use crate::gz::GzProgress;
use crate::maps::HashMap;
use crate::names::{LineageId, ViewId};
use crate::remote::RemoteReads;
use crate::shard::{Flight, Followed, Shard, Wish};
use crate::view::{Known, Phase, View};

/// How long a file that could not be read is left alone.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Shard {
    /// Submits reads for the views that want them, in turn: one read each, so that bytes are shared fairly.
    pub(crate) fn submit_reads(&mut self) {
        while self.has_room() {
            let Some((lineage, view)) = self.ready.pop_front() else { return };
            self.start(lineage, view);
        }
    }

    /// Something may be there to read for all views of `lineage`.
    pub(crate) fn changed(&mut self, lineage: LineageId) {
        let Some(followed) = self.lineages.get_mut(&lineage) else { return };
        followed.lineage.wake(None);
        for view in &mut followed.views {
            match view.phase {
                Phase::AtEnd => {
                    view.phase = Phase::Ready;
                    self.ready.push_back((lineage, view.id));
                }
                Phase::Stalled => followed.lineage.learn_size(),
                Phase::Ready | Phase::Reading => {}
            }
        }
    }

    /// Views that waited for credit or memory try again.
    pub(crate) fn wake_stalled(&mut self) {
        for (lineage, view) in std::mem::take(&mut self.stalled) {
            self.requeue(lineage, view, Phase::Stalled);
        }
    }

    /// Views that waited for the end of a read of a remote mount try again.
    pub(crate) fn wake_remote(&mut self) {
        for (lineage, view) in self.remote.due() {
            self.requeue(lineage, view, Phase::Stalled);
        }
    }

    /// Views whose time has come try again.
    pub(crate) fn wake_timed(&mut self, now: Duration) {
        let due: Vec<_> = self.timers.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, lineage, view) in due {
            // What was the end then may not be it any more: a deleted file has no events.
            if let Some(followed) = self.lineages.get_mut(&lineage) {
                followed.lineage.wake(None);
            }
            self.requeue(lineage, view, Phase::AtEnd);
        }
    }

    fn requeue(&mut self, lineage: LineageId, view: ViewId, from: Phase) {
        if let Some(view) = self.view_mut(lineage, view)
            && view.phase == from
        {
            view.phase = Phase::Ready;
            let id = view.id;
            self.ready.push_back((lineage, id));
        }
    }

    pub(crate) fn view_mut(&mut self, lineage: LineageId, view: ViewId) -> Option<&mut View> {
        self.lineages.get_mut(&lineage)?.views.iter_mut().find(|known| known.id == view)
    }

    /// What `view` does next: a read, a step to the next file, or rest.
    fn start(&mut self, id: LineageId, view_id: ViewId) {
        let now = self.now();
        let Some((mut followed, mut at)) = find(&mut self.lineages, id, view_id) else { return };
        if followed.views[at].phase != Phase::Ready {
            return;
        }
        if self.draining {
            followed.views[at].phase = Phase::AtEnd;
            return;
        }
        if followed.log.is_some() {
            if self.is_ahead_of_log(id) {
                return self.stall(id, view_id);
            }
            let Some(found) = find(&mut self.lineages, id, view_id) else { return };
            (followed, at) = found;
        }
        let view = &mut followed.views[at];
        if view.cursors.iter().any(|cursor| self.sink.blocked_since(*cursor).is_some()) {
            return self.stall(id, view_id);
        }
        // The half line counts: what follows it was written later.
        let reached = Position { offset: view.read_at(), ..view.place };
        if view.until.is_some_and(|until| reached >= until) {
            return self.end_late(id, view_id, now);
        }
        match followed.lineage.next(view.place.generation, view.read_at(), now) {
            Next::Advance { .. } | Next::Finished if view.until.is_some() => self.end_late(id, view_id, now),
            Next::Read { file, .. }
                if RemoteReads::mount_of(&file)
                    .is_some_and(|mount| !self.remote.may_begin(mount, (id, view_id))) =>
            {
                view.phase = Phase::Stalled;
            }
            Next::Read { file, size_hint, head, turn, .. } => {
                if size_hint > SMALL_READ as u64 {
                    view.size = ReadSize::Large;
                }
                // A network or FUSE mount may show an old size or old contents for a while: there the scanner alone judges.
                let is_plain = !file.gz && RemoteReads::mount_of(&file).is_none();
                let known = view.known(is_plain, &file.file, head);
                self.read(id, view_id, &file, known, turn);
            }
            Next::Advance { generation, offset } => self.advance(id, view_id, generation, offset),
            Next::Reopen { generation, .. } => {
                let path = followed.path.clone();
                view.phase = Phase::AtEnd;
                self.ask(Wish::Reopen(path, generation));
                self.timers.push((now + RETRY_AFTER, id, view_id));
            }
            Next::Wait { until } => {
                view.phase = Phase::AtEnd;
                self.timers.extend(until.map(|until| (until, id, view_id)));
                self.at_rest(id, view_id);
            }
            Next::Finished => {
                view.phase = Phase::AtEnd;
                match self.flush_view(id, view_id, LineEnd::EndOfFile, now) {
                    Ok(()) => _ = self.finished.insert(id),
                    Err(NoMemory) => self.stall_without_memory(id, view_id),
                }
            }
        }
    }

    /// Whether a stray would be read before what is older than it: its log's readers are not in the file yet that was the log when it was
    /// found.
    fn is_ahead_of_log(&self, id: LineageId) -> bool {
        let stray = self.lineages.get(&id);
        let log = stray.and_then(|stray| self.lineages.get(self.by_path.get(stray.log.as_ref()?)?));
        let (Some(stray), Some(log)) = (stray, log) else { return false };
        let Some(own) = stray.lineage.generations().first().map(|file| file.number) else { return false };
        let numbers = log.lineage.generations().iter().map(|file| file.number);
        let was_log = numbers.filter(|number| *number < own).max();
        let places = log.views.iter().filter(|view| view.until.is_none()).map(|view| view.place.generation);
        places.min().is_some_and(|place| Some(place) < was_log)
    }

    /// A view tries again at the next tick.
    pub(crate) fn stall(&mut self, id: LineageId, view_id: ViewId) {
        if let Some(view) = self.view_mut(id, view_id) {
            view.phase = Phase::Stalled;
            self.stalled.push((id, view_id));
        }
    }

    /// The late bytes of a file have been read: nothing follows them.
    fn end_late(&mut self, id: LineageId, view_id: ViewId, now: Duration) {
        match self.flush_view(id, view_id, LineEnd::EndOfFile, now) {
            Ok(()) => self.drop_view(id, view_id),
            Err(NoMemory) => self.stall_without_memory(id, view_id),
        }
    }

    /// At the end for now. When the end is the end, nothing goes on waiting for its rest.
    fn at_rest(&mut self, id: LineageId, view_id: ViewId) {
        if self.parts.mode == Mode::Follow {
            return;
        }
        let now = self.now();
        if self.flush_view(id, view_id, LineEnd::EndOfFile, now).is_err() {
            return self.stall_without_memory(id, view_id);
        }
        // Should it come after all, it is no line of its own.
        if let Some(view) = self.view_mut(id, view_id) {
            view.discards_line |= std::mem::take(&mut view.has_gap);
        }
    }

    fn read(&mut self, id: LineageId, view_id: ViewId, file: &Arc<OpenFile>, known: Known, turn: Turn) {
        let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return };
        let view = &mut followed.views[at];
        let half_line = view.half_line.as_deref().unwrap_or(&[]);
        let mount = RemoteReads::mount_of(file);
        let wanted = match mount {
            Some(_) => self.remote.size(view.size),
            None if known.is_proof(view.read_at()) => ReadSize::Small,
            None => view.size,
        };
        let (size, room) = match wanted {
            ReadSize::Large if !file.gz => (ReadSize::Large, self.buffers.large(half_line, known.again())),
            ReadSize::Large | ReadSize::Small => {
                (ReadSize::Small, self.buffers.small().map(|region| (region, known.again())))
            }
        };
        let Ok((buf, in_buf)) = room else {
            self.stall(id, view_id);
            let now = self.now();
            return self.sink.relieve(now, &self.parts.carries);
        };
        let offset = match known {
            _ if file.gz => GzProgress::of(view).compressed_offset(),
            Known::Head(_) => 0,
            Known::Tail(_) | Known::Nothing(_) => view.read_at() - known.again() as u64,
        };
        view.phase = Phase::Reading;
        let generation = view.place.generation;
        let read_id = self.number();
        match mount {
            None => self.large_in_flight += usize::from(size == ReadSize::Large),
            Some(mount) => self.remote.begun(mount, size),
        }
        let flight = Flight { lineage: id, view: view_id, size, generation, gz: file.gz, turn, known, mount };
        self.flights.insert(read_id, flight);
        let at = in_buf - known.again();
        let least = known.least();
        self.parts.io.read(Read { id: read_id, file: file.file.clone(), offset, buf, at, least });
    }

    /// Leaves a file for the next one: its last line has ended, newline or not. Open partials go on, but not over a gap:
    /// their rest may be what is missing, and what comes next another record's.
    fn advance(&mut self, id: LineageId, view_id: ViewId, generation: u32, offset: u64) {
        let now = self.now();
        let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return };
        let view = &mut followed.views[at];
        let stands = Position { offset: view.read_at(), ..view.place };
        view.has_gap |= is_gap(&followed.lineage, stands, generation);
        if self.flush_line(id, view_id, LineEnd::EndOfFile, now).is_err() {
            return self.stall_without_memory(id, view_id);
        }
        let has_gap = self.view_mut(id, view_id).is_some_and(|view| view.has_gap);
        if has_gap && self.flush_partials(id, view_id, now).is_err() {
            return self.stall_without_memory(id, view_id);
        }
        let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return };
        let view = &mut followed.views[at];
        view.place = Position { generation, offset };
        view.half_line = None;
        self.sink.dirty.extend(&view.cursors);
        if std::mem::take(&mut view.has_gap) {
            view.decoder.leave_gap();
        }
        view.discards_line = false;
        view.gz = None;
        self.ready.push_back((id, view_id));
    }
}

/// A view and the lineage it belongs to, found by their numbers.
pub(crate) fn find(
    lineages: &mut HashMap<LineageId, Box<Followed>>,
    id: LineageId,
    view: ViewId,
) -> Option<(&mut Followed, usize)> {
    let followed = lineages.get_mut(&id)?;
    let at = followed.views.iter().position(|known| known.id == view)?;
    Some((followed, at))
}

/// Whether something between `from` and the file `to` was lost: read by nobody, and not there any more.
fn is_gap(lineage: &Lineage, from: Position, to: u32) -> bool {
    let left = lineage.generations().iter().filter(|file| (from.generation..to).contains(&file.number));
    let mut unread = left.filter(|file| {
        let read = if file.number == from.generation { from.offset } else { file.begin };
        file.size > read
    });
    let readable = lineage.records();
    unread.any(|file| !readable.iter().any(|record| record.generation == file.number))
}
