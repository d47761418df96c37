//! A shard's lineages: what the scanner saw becomes views and cursors, which part when an output is slow and meet
//! again at the end of the file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringtail_read::{Change, Lineage, Listing, LostReason as ReadLost, Start, Tail};
use ringtail_record::{Position, Source};
use xxhash_rust::xxh3::xxh3_64;

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

/// The number by which a lineage chooses its shard and its lanes; stable over restarts.
pub(crate) fn hash_of(lineage: &Path) -> u64 {
    use std::os::unix::ffi::OsStrExt;
    xxh3_64(lineage.as_os_str().as_bytes())
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
            None if listing.files.is_empty() && self.restored(&listing.lineage).is_empty() => return,
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
        if !changes.is_empty() {
            // A row that knows its files as they once were would not know them again, even where no answer comes.
            self.sink.dirty.extend(&followed.cursors);
        }
        if followed.lineage.holds_deleted() {
            self.holding.insert(id);
        }
        for change in changes {
            self.take_change(id, change);
        }
        self.watch(id, listing);
        self.reconcile(id);
        self.changed(id);
    }

    /// What a listing or a read told about a lineage.
    pub(crate) fn take_change(&mut self, id: LineageId, change: Change) {
        match change {
            Change::Found { .. } | Change::Grew { .. } | Change::Moved { .. } => {}
            Change::Late { generation, from, to } => self.read_late(id, generation, from, to),
            Change::Lost { reason, bytes, path, .. } => {
                let why = match reason {
                    ReadLost::Truncated => LostReason::Truncated,
                    ReadLost::Deleted => LostReason::Deleted,
                };
                self.parts.stats.lose(why, bytes);
                tracing::warn!(file = %path.display(), bytes, reason = why.label(), "bytes were lost unread");
            }
        }
    }

    /// How far each generation of a lineage was read by the slowest view; what no view reads counts from the rows.
    pub(crate) fn consumed(&self, id: LineageId) -> impl Fn(u32) -> u64 + use<> {
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
            Some(place) if place.generation > generation => u64::MAX,
            Some(place) if place.generation == generation => place.offset,
            Some(_) => 0,
        }
    }

    /// What the last run left of a lineage.
    fn restored(&self, lineage: &Path) -> &[(Key, Row)] {
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
        self.lineages.insert(
            id,
            Followed {
                lineage,
                path: path.clone(),
                hash: hash_of(path),
                shown: listing.shown.clone(),
                source: Arc::new(Source::from_path(&listing.shown)),
                specs: Vec::new(),
                // Most lineages have one of each for ever, and `Vec` would begin with room for four.
                views: Vec::with_capacity(1),
                cursors: Vec::with_capacity(1),
                directories: HashSet::default(),
                polled: false,
                active_at: Duration::ZERO,
            },
        );
        id
    }

    /// Watches the directories of a lineage's files under the names they have now.
    fn watch(&mut self, id: LineageId, listing: &Listing) {
        let Some(followed) = self.lineages.get_mut(&id) else { return };
        let paths: HashSet<&Path> = listing.files.iter().map(|file| &*file.path).collect();
        self.watches.keep_only(&mut *self.parts.io, id, &paths, &followed.directories);
        followed.directories = paths.iter().filter_map(|path| path.parent()).map(Path::to_owned).collect();
        let mut all = true;
        for path in paths {
            all &= self.watches.follow(&mut *self.parts.io, path, id);
        }
        followed.polled = !all;
        if all {
            self.polled.remove(&id)
        } else {
            self.polled.insert(id)
        };
    }

    /// A directory watch ended: its files are polled until a listing says more.
    pub(crate) fn unwatched(&mut self, id: LineageId) {
        if let Some(followed) = self.lineages.get_mut(&id) {
            followed.polled = true;
            self.polled.insert(id);
        }
        self.changed(id);
    }

    /// Looks at the files that no watch tells about.
    pub(crate) fn poll(&mut self) {
        let polled: Vec<LineageId> = self.polled.iter().copied().collect();
        polled.into_iter().for_each(|id| self.changed(id));
    }

    /// Gives a lineage the cursors that its pipelines want, and takes away the others.
    fn reconcile(&mut self, id: LineageId) {
        let Some(followed) = self.lineages.get(&id) else { return };
        let wanted: Vec<Arc<Running>> =
            followed.specs.iter().filter_map(|spec| self.pipelines.get(spec)).cloned().collect();
        for cursor in followed.cursors.clone() {
            let is_wanted = self.sink.cursors.get(&cursor).is_none_or(|cursor| {
                cursor.view.is_none()
                    || wanted.iter().any(|running| {
                        running.name == cursor.key.pipeline && running.outputs.contains(&cursor.key.output)
                    })
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
            return self.join_view(id, cursor_id, lens, stood, false);
        }
        let Some((stood, tail, mid_line)) = self.origin(id, running, &key) else { return };
        let cursor_id = CursorId(self.number());
        let progress = Progress::new(stood.streams, tail);
        let stats = running.stats.clone();
        let cursor = Cursor { key, lineage: id, view: None, outbox, lane, progress, stats, stood };
        self.sink.cursors.insert(cursor_id, cursor);
        // Written at once: otherwise a restart before the first answer would begin somewhere else.
        self.sink.dirty.insert(cursor_id);
        if let Some(followed) = self.lineages.get_mut(&id) {
            followed.cursors.push(cursor_id);
        }
        self.join_view(id, cursor_id, lens, stood, mid_line);
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
        let overruled = self.parts.was_reset || running.has_started || !lineage.at_start();
        let start = if overruled { Start::Beginning } else { running.config.start };
        let (generation, offset) = lineage.begin(start)?;
        let mid_line = start != Start::Beginning && offset > 0;
        let standing = Standing { streams: [Position { generation, offset }; 3], format: None };
        Some((standing, Default::default(), mid_line))
    }

    /// Puts a cursor into the view that stands where it stands, or into a new one.
    fn join_view(
        &mut self,
        id: LineageId,
        cursor_id: CursorId,
        lens: Lens,
        standing: Standing,
        mid_line: bool,
    ) {
        let number = ViewId(self.number());
        let mut view = View::new(number, lens, standing, &self.parts.carries);
        if mid_line {
            // From the byte before: if that is a newline, the line to discard is empty.
            view.place.offset -= 1;
            view.discards_line = true;
        }
        let Some(followed) = self.lineages.get_mut(&id) else { return };
        let fits = |known: &&mut View| {
            let same_begin = known.place == view.place && known.discards_line == view.discards_line;
            known.stands_with(&view)
                || (same_begin && known.lens == lens && known.skip == view.skip && known.half_line.is_none())
        };
        let joined = match followed.views.iter_mut().find(fits) {
            Some(known) => known,
            None => {
                followed.views.push(view);
                self.ready.push_back((id, number));
                if followed.views.len() > 1 {
                    self.parted.insert(id);
                }
                let last = followed.views.len() - 1;
                &mut followed.views[last]
            }
        };
        joined.cursors.push(cursor_id);
        if let Some(cursor) = self.sink.cursors.get_mut(&cursor_id) {
            cursor.view = Some(joined.id);
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
        let number = ViewId(self.number());
        let Some(followed) = self.lineages.get_mut(&id) else { return };
        let mut late = Vec::new();
        for view in
            followed.views.iter().filter(|view| view.until.is_none() && view.place.generation > generation)
        {
            let streams = [Position { generation, offset: from }; 3];
            let standing = Standing { streams, format: view.decoder.format() };
            let mut fresh = View::new(number, view.lens, standing, &self.parts.carries);
            fresh.cursors.clone_from(&view.cursors);
            fresh.until = Some(Position { generation, offset: to });
            late.push(fresh);
        }
        for mut view in late {
            view.id = ViewId(self.number());
            self.ready.push_back((id, view.id));
            if let Some(followed) = self.lineages.get_mut(&id) {
                followed.views.push(view);
            }
        }
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
                self.join_parted(id, cursor, lens, stood);
            }
        }
    }

    /// As `join_view`, but never back into the view that still has credit.
    fn join_parted(&mut self, id: LineageId, cursor_id: CursorId, lens: Lens, standing: Standing) {
        let outbox = self.sink.cursors.get(&cursor_id).map(|cursor| (cursor.outbox, cursor.lane));
        let number = ViewId(self.number());
        let Some(followed) = self.lineages.get_mut(&id) else { return };
        let cursors = &self.sink.cursors;
        let same_outbox = |view: &View| {
            view.cursors
                .iter()
                .all(|known| cursors.get(known).map(|cursor| (cursor.outbox, cursor.lane)) == outbox)
        };
        let fresh = View::new(number, lens, standing, &self.parts.carries);
        let at = followed
            .views
            .iter()
            .position(|view| same_outbox(view) && view.skip == standing.streams && view.place == fresh.place);
        let view = match at {
            Some(at) => &mut followed.views[at],
            None => {
                followed.views.push(fresh);
                let last = followed.views.len() - 1;
                let view = &mut followed.views[last];
                view.phase = Phase::Stalled;
                self.stalled.push((id, number));
                self.parted.insert(id);
                view
            }
        };
        view.cursors.push(cursor_id);
        if let Some(cursor) = self.sink.cursors.get_mut(&cursor_id) {
            cursor.view = Some(view.id);
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
        let Shard { unfinished, lineages, .. } = self;
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
        }
    }
}
