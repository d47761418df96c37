//! A shard's lineages: what the scanner saw becomes views and cursors, which part when an output is slow and meet
//! again at the end of the file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringtail_read::{Change, Lineage, Listing, LostReason as ReadLost, Start, Tail, log_of};
use ringtail_record::{Position, Source};
use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::Changes;
use crate::cursor::Progress;
use crate::maps::{HashMap, HashSet};
use crate::names::{CursorId, LineageId, ViewId};
use crate::reading::find;
use crate::row::{Key, Row, known_files};
use crate::shard::{Followed, Running, Shard};
use crate::sink::Cursor;
use crate::stats::LostReason;
use crate::view::{Lens, Phase, Standing, View};

/// An output without credit for this long leaves its siblings' view, so that they go on.
const PART_AFTER: Duration = Duration::from_millis(100);

/// How long a view that gave its carries up waits before it reads again what was in them.
const FORGOTTEN_FOR: Duration = Duration::from_secs(1);

/// How long a cursor whose batch was given back waits before it is read for again.
const RESEND_AFTER: Duration = Duration::from_secs(1);

/// Which view a cursor may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    /// Any that stands where it stands.
    Shared,
    /// As `Shared`, but it begins in the middle of a line, whose rest is not wanted.
    MidLine,
    /// Only one of cursors of the same output and lane: the others are not to wait for it.
    Apart,
}

/// Whether the file that a lineage is named after is not there: it was deleted, or rotated and not begun anew.
fn lacks_base(listing: &Listing) -> bool {
    !listing.files.iter().any(|file| file.path == listing.lineage)
}

/// The number by which a lineage chooses its shard and its lanes, for a stray that of its log; stable over restarts.
pub(crate) fn hash_of(lineage: &Path) -> u64 {
    use std::os::unix::ffi::OsStrExt;
    xxh3_64(log_of(lineage).as_os_str().as_bytes())
}

impl Shard {
    /// The pipelines that run from now on. Those that are gone let their cursors go at once; the others' files
    /// come with the next listings.
    pub(crate) fn set_pipelines(&mut self, pipelines: HashMap<u32, Arc<Running>>) {
        self.pipelines = pipelines;
        let names: HashSet<&str> = self.pipelines.values().map(|running| &*running.name).collect();
        let gone = |cursor: &Cursor| !names.contains(&*cursor.key.pipeline);
        let gone: Vec<CursorId> =
            self.sink.cursors.iter().filter(|(_, cursor)| gone(cursor)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|cursor| self.detach(cursor));
    }

    /// What the scanner saw of one lineage.
    pub(crate) fn take_listing(&mut self, listing: &Listing) {
        let now = self.now();
        let id = match self.by_path.get(&listing.lineage) {
            Some(id) => *id,
            None if !self.concerns(listing) => return,
            None => self.follow(listing),
        };
        let consumed = self.consumed(id);
        let Some(followed) = self.lineages.get_mut(&id) else { return };
        followed.specs.clone_from(&listing.specs);
        if followed.shown != listing.shown {
            followed.shown = listing.shown.clone();
            followed.source = Arc::new(Source::from_path(&listing.shown));
        }
        let changes = followed.lineage.apply(listing, now, consumed);
        if followed.lineage.holds_deleted() {
            self.holding.insert(id);
        }
        if !changes.iter().all(|change| self.is_answered(id, change)) {
            // A row that knows its files as they once were would not know them again, even where no answer comes.
            self.sink.dirty.extend(self.lineages.get(&id).into_iter().flat_map(|followed| &followed.cursors));
        }
        changes.into_iter().for_each(|change| self.take_change(id, change));
        self.watch(id, listing);
        self.reconcile(id, lacks_base(listing));
        self.drop_vanished(id, listing);
        self.changed(id);
    }

    /// Whether a change says only that a file grew, and all that is in it was answered: the rows of those answers say where it
    /// ends, and a listing follows every line of a log that has few.
    fn is_answered(&self, id: LineageId, change: &Change) -> bool {
        let Change::Grew { generation } = *change else { return false };
        let Some(followed) = self.lineages.get(&id) else { return false };
        let known = followed.lineage.generations().iter().find(|known| known.number == generation);
        let end = known.filter(|known| !known.gz).map(|known| Position { generation, offset: known.size });
        let stands = |id: &CursorId| self.position(self.sink.cursors.get(id)?).into_iter().min();
        end.is_some() && followed.cursors.iter().all(|id| stands(id) >= end)
    }

    /// Whether a lineage that is not followed has to be: a running pipeline wants it, or had a position in it when
    /// its files vanished, which may be a loss to count.
    fn concerns(&self, listing: &Listing) -> bool {
        let runs = |key: &Key| self.pipelines.values().any(|running| running.name == key.pipeline);
        let is_restored = || self.restored(&listing.lineage).iter().any(|(key, _)| runs(key));
        !listing.specs.is_empty() || (lacks_base(listing) && is_restored())
    }

    /// Ends a lineage whose files vanished while the agent was down: what that lost was counted just now, and its
    /// rows must not count it again at the next start.
    fn drop_vanished(&mut self, id: LineageId, listing: &Listing) {
        let Some(followed) = self.lineages.get(&id) else { return };
        if !listing.files.is_empty() || !followed.cursors.is_empty() || followed.lineage.holds_deleted() {
            return;
        }
        let rows = self.parts.restored.remove(&listing.lineage).unwrap_or_default();
        let rows = rows.into_iter().map(|(key, _)| (key, None)).collect();
        self.parts.checkpoint.write(Changes { rows, ..Changes::default() });
        self.forget_lineage(id);
    }

    /// What a listing or a read told about a lineage.
    pub(crate) fn take_change(&mut self, id: LineageId, change: Change) {
        match change {
            Change::Found { .. } | Change::Grew { .. } | Change::Moved { .. } => {}
            Change::Late { generation, from, to } => self.read_late(id, generation, from, to),
            Change::Emptied { path, .. } => {
                tracing::info!(file = %path.display(), "the log was emptied or made anew, without a copy: what was \
                    written to it after it was last read, mostly nothing, is lost and cannot be counted");
            }
            Change::Lost { reason, bytes, path, .. } => {
                let why = match reason {
                    ReadLost::Truncated => LostReason::Truncated,
                    ReadLost::Deleted => LostReason::Deleted,
                };
                self.parts.stats.lose(why, bytes);
                if bytes == 0 {
                    self.parts.stats.unreadable.add(1);
                    tracing::warn!(file = %path.display(), "the file ends too early; how much is lost cannot be known");
                } else {
                    tracing::warn!(file = %path.display(), bytes, reason = why.label(), "bytes were lost unread");
                }
            }
        }
    }

    /// How far each generation of a lineage was read by the slowest view; what no view reads counts from the rows.
    pub(crate) fn consumed(&self, id: LineageId) -> impl Fn(u32) -> u64 + use<> {
        let views = || self.lineages.get(&id).into_iter().flat_map(|followed| &followed.views);
        let late: Vec<Position> =
            views().filter(|view| view.until.is_some()).map(|view| view.place).collect();
        let places: Vec<Position> = match self.lineages.get(&id) {
            Some(followed) if followed.views.is_empty() => self
                .restored(&followed.path)
                .iter()
                .filter_map(|(_, row)| row.standing.streams.into_iter().min())
                .collect(),
            Some(followed) => followed
                .views
                .iter()
                .filter(|view| view.until.is_none())
                .map(|view| Position { offset: view.read_at(), ..view.place })
                .collect(),
            None => Vec::new(),
        };
        let slowest = places.into_iter().min();
        move |generation| match slowest {
            None => 0,
            Some(place) if place.generation > generation => {
                let left = late.iter().filter(|place| place.generation == generation);
                left.map(|place| place.offset).min().unwrap_or(u64::MAX)
            }
            Some(place) if place.generation == generation => place.offset,
            Some(_) => 0,
        }
    }

    /// What the last run left of a lineage.
    pub(crate) fn restored(&self, lineage: &Path) -> &[(Key, Row)] {
        self.parts.restored.get(lineage).map_or(&[], Vec::as_slice)
    }

    /// Begins to follow a lineage.
    fn follow(&mut self, listing: &Listing) -> LineageId {
        let id = LineageId(self.number());
        let path = &listing.lineage;
        let files = known_files(self.restored(path).iter().map(|(_, row)| row));
        let lineage = match files.is_empty() {
            false => Lineage::restore(path.clone(), files),
            true => Lineage::new(path.clone()),
        };
        self.by_path.insert(path.clone(), id);
        let followed = Followed {
            lineage,
            path: path.clone(),
            hash: hash_of(path),
            shown: listing.shown.clone(),
            source: Arc::new(Source::from_path(&listing.shown)),
            specs: Vec::new(),
            // Most lineages have one of each for ever, and `Vec` would begin with room for four.
            views: Vec::with_capacity(1),
            cursors: Vec::with_capacity(1),
            watched: Vec::new(),
            active_at: Duration::ZERO,
        };
        self.lineages.insert(id, Box::new(followed));
        id
    }

    /// Watches the directories of a lineage's files under the names they have now.
    fn watch(&mut self, id: LineageId, listing: &Listing) {
        let Some(followed) = self.lineages.get_mut(&id) else { return };
        let mut all = true;
        for file in &listing.files {
            all &= self.watches.follow(&mut *self.parts.io, &file.path, id);
        }
        let paths = listing.files.iter().map(|file| file.path.clone()).collect();
        for former in std::mem::replace(&mut followed.watched, paths) {
            if !followed.watched.contains(&former) {
                self.watches.leave(&mut *self.parts.io, &former, id);
            }
        }
        // A deleted file has no name to be told by, and may still be written to.
        let is_told = all && !followed.lineage.holds_deleted();
        if is_told {
            self.polled.remove(&id)
        } else {
            self.polled.insert(id)
        };
    }

    /// A directory watch ended: its files are polled until a listing says more.
    pub(crate) fn unwatched(&mut self, id: LineageId) {
        self.polled.insert(id);
        self.changed(id);
    }

    /// Looks at the files that no watch tells about.
    pub(crate) fn poll(&mut self) {
        let polled: Vec<LineageId> = self.polled.iter().copied().collect();
        polled.into_iter().for_each(|id| self.changed(id));
    }

    /// Gives a lineage the cursors that its pipelines want, and takes away the others. A lineage without its base is wanted
    /// by nobody's patterns: there, whoever has a cursor or a row keeps it, to read what is held and what was rotated.
    fn reconcile(&mut self, id: LineageId, lacks_base: bool) {
        let Some(followed) = self.lineages.get(&id) else { return };
        if followed.specs.iter().any(|spec| !self.pipelines.contains_key(spec)) {
            // A scan that was under way when the pipelines changed: the next one tells.
            return;
        }
        let owned = |running: &Running| {
            let cursors = followed.cursors.iter().filter_map(|id| self.sink.cursors.get(id));
            let rows = self.restored(&followed.path).iter().map(|(key, _)| key);
            cursors.map(|cursor| &cursor.key).chain(rows).any(|key| key.pipeline == running.name)
        };
        let has_files = !followed.lineage.generations().is_empty();
        let wanted: Vec<Arc<Running>> = match lacks_base && followed.specs.is_empty() {
            true if !has_files => Vec::new(),
            true => self.pipelines.values().filter(|running| owned(running)).cloned().collect(),
            false => followed.specs.iter().filter_map(|spec| self.pipelines.get(spec)).cloned().collect(),
        };
        for cursor in followed.cursors.clone() {
            let is_wanted = self.sink.cursors.get(&cursor).is_none_or(|cursor| {
                let names = |running: &Arc<Running>| {
                    running.name == cursor.key.pipeline && running.outputs.contains(&cursor.key.output)
                };
                cursor.view.is_none() || wanted.iter().any(names)
            });
            if !is_wanted {
                self.detach(cursor);
            }
        }
        for running in wanted {
            for number in 0..running.outputs.len() {
                self.attach(id, &running, number);
            }
        }
    }

    /// Gives `output` of a pipeline a cursor in a lineage, or moves the one it has to the pipeline's present settings.
    fn attach(&mut self, id: LineageId, running: &Running, output: usize) {
        let Some(followed) = self.lineages.get(&id) else { return };
        let key = Key {
            pipeline: running.name.clone(),
            output: running.outputs[output].clone(),
            lineage: followed.path.clone(),
        };
        let hash = followed.hash;
        let config = &running.config;
        let lens = Lens { input: config.input, limits: config.limits, flush_after: config.flush_after };
        let outbox = self.sink.outbox(&config.outputs[output]);
        let lane = self.sink.lane_of(outbox, hash);
        let known = followed
            .cursors
            .iter()
            .copied()
            .find(|known| self.sink.cursors.get(known).is_some_and(|cursor| cursor.key == key));
        if let Some(cursor_id) = known {
            let Some(cursor) = self.sink.cursors.get_mut(&cursor_id) else { return };
            (cursor.outbox, cursor.lane) = (outbox, lane);
            let view = cursor.view;
            if view.and_then(|view| self.view_mut(id, view)).is_some_and(|view| view.lens == lens) {
                return;
            }
            let stood = self.leave_view(id, cursor_id);
            self.join_view(id, cursor_id, lens, stood, Join::Shared);
            return;
        }
        let Some((stood, tail, mid_line)) = self.origin(id, running, &key) else { return };
        let cursor_id = CursorId(self.number());
        let progress = Progress::new(stood.streams, tail);
        let stats = running.stats.clone();
        let counts = output == 0;
        let cursor = Cursor { key, lineage: id, view: None, outbox, lane, progress, stats, counts, stood };
        self.sink.cursors.insert(cursor_id, Box::new(cursor));
        // Written at once: otherwise a restart before the first answer would begin somewhere else.
        self.sink.dirty.insert(cursor_id);
        if let Some(followed) = self.lineages.get_mut(&id) {
            followed.cursors.push(cursor_id);
        }
        let how = if mid_line { Join::MidLine } else { Join::Shared };
        self.join_view(id, cursor_id, lens, stood, how);
    }

    /// Where a new cursor begins: where the last run left it, or where the pipeline says. The last value tells
    /// whether that may be in the middle of a line.
    fn origin(
        &mut self,
        id: LineageId,
        running: &Running,
        key: &Key,
    ) -> Option<(Standing, (u32, Tail), bool)> {
        if let Some((_, Row { standing, tail, .. })) =
            self.restored(&key.lineage).iter().find(|(known, _)| known == key)
        {
            return Some((*standing, *tail, false));
        }
        let lineage = &self.lineages.get(&id)?.lineage;
        // `start` concerns what is there when a pipeline starts for the first time.
        let has_started = running.has_started || self.started.contains(&running.name);
        let overruled = self.parts.was_reset || has_started || !lineage.at_start();
        let start = if overruled { Start::Beginning } else { running.config.start };
        let (generation, offset) = lineage.begin(start)?;
        let mid_line = start != Start::Beginning && offset > 0;
        let standing = Standing { streams: [Position { generation, offset }; 3], format: None };
        Some((standing, Default::default(), mid_line))
    }

    /// Puts a cursor into the view that stands where it stands, or into a new one, whose number comes back.
    fn join_view(
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
    fn leave_view(&mut self, id: LineageId, cursor_id: CursorId) -> Standing {
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
    fn detach(&mut self, cursor_id: CursorId) {
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
    fn read_late(&mut self, id: LineageId, generation: u32, from: u64, to: u64) {
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
