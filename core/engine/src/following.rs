//! A shard's lineages: what the scanner saw becomes cursors, one per pipeline and output, in views.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringtail_read::{Change, Lineage, Listing, LostReason as ReadLost, Start, Tail, log_of};
use ringtail_record::{Position, Source};
use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::Changes;
use crate::cursor::Progress;
use crate::maps::{HashMap, HashSet};
use crate::names::{CursorId, LineageId};
use crate::row::{Key, Row, known_files};
use crate::shard::{Followed, Running, Shard};
use crate::sharing::Join;
use crate::sink::Cursor;
use crate::stats::LostReason;
use crate::view::{Lens, Standing};

/// How often files are looked at on a mount that has more to read than it can give at once.
const POLL_BUSY_EVERY: Duration = Duration::from_secs(5);

/// Whether it is read from a mount that may never answer, as NFS, CIFS or FUSE.
fn is_far(followed: &Followed) -> bool {
    followed.lineage.open_files().any(|(_, file)| file.remote_mount().is_some())
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
        self.reconcile(id, !listing.has_log());
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
        !listing.specs.is_empty() || (!listing.has_log() && is_restored())
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
            log: Some(log_of(path)).filter(|log| *log != &**path).map(Arc::from),
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

    /// Looks at the files that no watch tells about. On a mount that cannot serve all who wait for it, looking may take it as
    /// long as reading: there not every time.
    pub(crate) fn poll(&mut self, now: Duration) {
        let spares_far = self.remote.has_waiting() && now < self.polled_far_at + POLL_BUSY_EVERY;
        if !spares_far {
            self.polled_far_at = now;
        }
        let is_spared = |id: &LineageId| spares_far && self.lineages.get(id).is_some_and(|it| is_far(it));
        let polled: Vec<LineageId> = self.polled.iter().copied().filter(|id| !is_spared(id)).collect();
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
}
