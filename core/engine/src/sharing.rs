//! Cursors that stand at the same place share a view. They part when an output is slow, and meet again at the end of the file.

use std::time::Duration;

use ringtail_record::Position;

use crate::cursor::Progress;
use crate::names::{CursorId, LineageId, ViewId};
use crate::reading::find;
use crate::shard::Shard;
use crate::view::{Lens, Phase, Standing, View};

/// An output without credit for this long leaves its siblings' view, so that they go on.
const PART_AFTER: Duration = Duration::from_millis(100);

/// How long a view that gave its carries up waits before it reads again what was in them.
const FORGOTTEN_FOR: Duration = Duration::from_secs(1);

/// How long a cursor whose batch was given back waits before it is read for again.
const RESEND_AFTER: Duration = Duration::from_secs(1);

/// Which view a cursor may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// Any that stands where it stands.
    Shared,
    /// As `Shared`, but it begins in the middle of a line, whose rest is not wanted.
    MidLine,
    /// Only one of cursors of the same output and lane: the others are not to wait for it.
    Apart,
}

impl Shard {
    /// Puts a cursor into the view that stands where it stands, or into a new one, whose number comes back.
    pub(crate) fn join_view(
        &mut self,
        id: LineageId,
        cursor_id: CursorId,
        lens: Lens,
        standing: Standing,
        how: Join,
    ) -> Option<ViewId> {
        let number = ViewId(self.number());
        let mut view = View::new(number, lens, standing, &self.parts.carries);
        view.seen =
            self.sink.cursors.get(&cursor_id).map(|cursor| cursor.progress.tail()).unwrap_or_default();
        if how == Join::MidLine {
            // From the byte before: if that is a newline, the line to discard is empty.
            view.place.offset -= 1;
            view.discards_line = true;
        }
        let cursors = &self.sink.cursors;
        let lane = |id: &CursorId| cursors.get(id).map(|cursor| (cursor.outbox, cursor.lane));
        let own_lane = lane(&cursor_id);
        let followed = self.lineages.get_mut(&id)?;
        let fits = |known: &View| {
            let allowed = how != Join::Apart || known.cursors.iter().all(|other| lane(other) == own_lane);
            allowed && (known.stands_with(&view) || known.begins_with(&view))
        };
        let at = followed.views.iter().position(fits).unwrap_or_else(|| {
            followed.views.push(view);
            self.ready.push_back((id, number));
            if followed.views.len() > 1 {
                self.parted.insert(id);
            }
            followed.views.len() - 1
        });
        let joined = &mut followed.views[at];
        joined.cursors.push(cursor_id);
        let joined = joined.id;
        if let Some(cursor) = self.sink.cursors.get_mut(&cursor_id) {
            cursor.view = Some(joined);
        }
        (joined == number).then_some(number)
    }

    /// An output gave batches of a cursor back and will not deliver them: what was not answered is read again, a little
    /// later, since an output that is being replaced gives back at once whatever it gets.
    pub(crate) fn rewind(&mut self, cursor_id: CursorId, now: Duration) {
        let Some(cursor) = self.sink.cursors.get(&cursor_id) else { return };
        let (id, view_id, tail) = (cursor.lineage, cursor.view, cursor.progress.tail());
        let standing = self.standing(cursor);
        let lens = view_id.and_then(|view| self.view_mut(id, view)).map(|view| view.lens);
        self.leave_view(id, cursor_id);
        if let Some(cursor) = self.sink.cursors.get_mut(&cursor_id) {
            cursor.progress = Progress::new(standing.streams, tail);
            cursor.stood = standing;
        }
        self.sink.dirty.insert(cursor_id);
        let Some(lens) = lens else { return };
        let fresh = self.join_view(id, cursor_id, lens, standing, Join::Apart);
        if let Some(view) = fresh.and_then(|view| self.view_mut(id, view)) {
            view.phase = Phase::AtEnd;
            let view = view.id;
            self.timers.push((now + RESEND_AFTER, id, view));
        }
    }

    /// Takes a cursor out of its view; returns where that stands. A view without cursors ends.
    pub(crate) fn leave_view(&mut self, id: LineageId, cursor_id: CursorId) -> Standing {
        let view_id = self.sink.cursors.get_mut(&cursor_id).and_then(|cursor| cursor.view.take());
        let stood = self.sink.cursors.get(&cursor_id).map(|cursor| cursor.stood).unwrap_or_default();
        let Some((followed, at)) = view_id.and_then(|view| find(&mut self.lineages, id, view)) else {
            return stood;
        };
        let view = &mut followed.views[at];
        view.cursors.retain(|known| *known != cursor_id);
        let (streams, view_id, is_empty) = (view.standing(), view.id, view.cursors.is_empty());
        if is_empty {
            self.drop_view(id, view_id);
        }
        streams
    }

    /// A cursor's pipeline or output is gone: it waits for its last answers only.
    pub(crate) fn detach(&mut self, cursor_id: CursorId) {
        let Some(id) = self.sink.cursors.get(&cursor_id).map(|cursor| cursor.lineage) else { return };
        let stood = self.leave_view(id, cursor_id);
        if let Some(cursor) = self.sink.cursors.get_mut(&cursor_id) {
            cursor.stood = stood;
        }
        self.sink.dirty.insert(cursor_id);
    }

    /// Ends a view. A read of it in flight completes and is thrown away.
    pub(crate) fn drop_view(&mut self, id: LineageId, view_id: ViewId) {
        if let Some(followed) = self.lineages.get_mut(&id) {
            followed.views.retain(|view| view.id != view_id);
        }
        for (read, flight) in &self.flights {
            if flight.view == view_id {
                self.parts.io.cancel(*read);
            }
        }
    }

    /// Bytes that were written to a file after its view had gone on are read by a view of their own. They come after
    /// what was written to the next file, and no position waits for them: the order is lost, the bytes are not.
    pub(crate) fn read_late(&mut self, id: LineageId, generation: u32, from: u64, to: u64) {
        let Shard { lineages, parts, last_number, ready, .. } = self;
        let Some(followed) = lineages.get_mut(&id) else { return };
        let mut late = Vec::new();
        for view in
            followed.views.iter().filter(|view| view.until.is_none() && view.place.generation > generation)
        {
            let streams = [Position { generation, offset: from }; 3];
            let standing = Standing { streams, format: view.decoder.format() };
            *last_number += 1;
            let mut fresh = View::new(ViewId(*last_number), view.lens, standing, &parts.carries);
            fresh.cursors.clone_from(&view.cursors);
            fresh.until = Some(Position { generation, offset: to });
            late.push(fresh);
        }
        ready.extend(late.iter().map(|view| (id, view.id)));
        followed.views.extend(late);
    }

    /// Outputs that have been without credit for a while, though siblings have some, leave the common view.
    pub(crate) fn part_uneven_views(&mut self, now: Duration) {
        for (id, view_id) in self.stalled.clone() {
            let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { continue };
            let view = &followed.views[at];
            let blocked = |cursor: &CursorId| self.sink.blocked_since(*cursor);
            let slow: Vec<CursorId> = view
                .cursors
                .iter()
                .copied()
                .filter(|cursor| blocked(cursor).is_some_and(|since| now >= since + PART_AFTER))
                .collect();
            let has_credit = view.cursors.iter().any(|cursor| blocked(cursor).is_none());
            if slow.is_empty() || !has_credit || view.until.is_some() {
                continue;
            }
            let lens = view.lens;
            for cursor in slow {
                let stood = self.leave_view(id, cursor);
                self.join_view(id, cursor, lens, stood, Join::Apart);
            }
        }
    }

    /// Views that stand at the same place at the end of the file become one again.
    pub(crate) fn rejoin_views(&mut self) {
        let Shard { parted, lineages, sink, .. } = self;
        parted.retain(|id| {
            let Some(followed) = lineages.get_mut(id) else { return false };
            let mut at = 1;
            while at < followed.views.len() {
                let (front, back) = followed.views.split_at_mut(at);
                let view = &mut back[0];
                let at_end = |view: &View| view.phase == Phase::AtEnd;
                let twin =
                    front.iter_mut().find(|twin| at_end(twin) && at_end(view) && twin.stands_with(view));
                let Some(twin) = twin else {
                    at += 1;
                    continue;
                };
                for cursor in view.cursors.drain(..) {
                    if let Some(cursor) = sink.cursors.get_mut(&cursor) {
                        cursor.view = Some(twin.id);
                    }
                    twin.cursors.push(cursor);
                }
                // The cursors of one pipeline stand together, as they were made.
                twin.cursors.sort_unstable();
                followed.views.remove(at);
            }
            followed.views.len() > 1
        });
    }

    /// Takes the carries of the view that has been idle longest, other than `but`: what it held is read again.
    pub(crate) fn forget_longest_idle(&mut self, but: ViewId) {
        let now = self.now();
        let Shard { unfinished, lineages, timers, .. } = self;
        let held = unfinished.iter().filter(|(_, view)| *view != but).filter_map(|(id, view_id)| {
            let views = &lineages.get(id)?.views;
            let view = views.iter().find(|known| known.id == *view_id && known.phase != Phase::Reading)?;
            Some((view.fed_at, *id, *view_id))
        });
        let Some((_, id, view_id)) = held.min_by_key(|(fed_at, ..)| *fed_at) else { return };
        unfinished.remove(&(id, view_id));
        if let Some((followed, at)) = find(lineages, id, view_id) {
            let stands = followed.views[at].stands();
            followed.views[at].forget(stands);
            // It reads again what it gave up once there may be memory.
            timers.push((now + FORGOTTEN_FOR, id, view_id));
        }
    }
}
