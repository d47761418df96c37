//! A shard's positions: rows for the checkpoint, claims for the scanner, lag for the operator, and the end of
//! lineages that are gone.

use ringtail_parse::Format;
use ringtail_read::Claim;
use ringtail_record::Position;

use crate::checkpoint::Changes;
use crate::cursor::Streams;
use crate::maps::HashSet;
use crate::names::{CursorId, LineageId};
use crate::row::Row;
use crate::shard::{Shard, Wish};
use crate::sink::Cursor;
use crate::stats::Lag;
use crate::view::{Standing, View};

impl Shard {
    /// Sends the rows of all cursors that moved, and what follows from where they stand now.
    pub(crate) fn write_positions(&mut self) {
        let dirty: Vec<CursorId> = self.sink.dirty.drain().collect();
        if dirty.is_empty() && self.first_starts.is_empty() {
            return;
        }
        let mut changes = Changes { pipelines: std::mem::take(&mut self.first_starts), ..Changes::default() };
        let mut moved = HashSet::default();
        for id in dirty {
            let Some(cursor) = self.sink.cursors.get(&id) else { continue };
            moved.insert(cursor.lineage);
            changes.rows.insert(cursor.key.clone(), Some(self.row(cursor)));
            if cursor.view.is_none() && cursor.progress.is_clear() {
                self.forget_cursor(id);
            }
        }
        self.parts.checkpoint.write(changes);
        for id in moved {
            self.release(id);
            self.claim(id);
        }
    }

    fn forget_cursor(&mut self, id: CursorId) {
        let lineage = self.sink.cursors.remove(&id).map(|cursor| cursor.lineage);
        if let Some(followed) = lineage.and_then(|lineage| self.lineages.get_mut(&lineage)) {
            followed.cursors.retain(|known| *known != id);
        }
    }

    /// Marks every cursor, so that the next rows say exactly where all views stand.
    pub(crate) fn all_dirty(&mut self) {
        self.sink.dirty.extend(self.sink.cursors.keys());
    }

    fn row(&self, cursor: &Cursor) -> Row {
        let standing = Standing { streams: self.position(cursor), format: self.format(cursor) };
        let files = self.lineages.get(&cursor.lineage).map(|followed| followed.lineage.records());
        Row { standing, tail: cursor.progress.tail(), files: files.unwrap_or_default() }
    }

    /// From where a restart would go on for a cursor.
    fn position(&self, cursor: &Cursor) -> Streams {
        let view = self.view_of(cursor);
        cursor.progress.positions(&view.map_or(cursor.stood.streams, View::positions))
    }

    fn format(&self, cursor: &Cursor) -> Option<Format> {
        self.view_of(cursor).map_or(cursor.stood.format, |view| view.decoder.format())
    }

    fn view_of(&self, cursor: &Cursor) -> Option<&View> {
        let followed = self.lineages.get(&cursor.lineage)?;
        followed.views.iter().find(|view| Some(view.id) == cursor.view)
    }

    /// The smallest position that a restart would read from.
    fn oldest(&self, id: LineageId) -> Option<Position> {
        let cursors = self.lineages.get(&id)?.cursors.iter().filter_map(|id| self.sink.cursors.get(id));
        cursors.flat_map(|cursor| self.position(cursor)).min()
    }

    /// Lets go of the files that nothing will read from again.
    fn release(&mut self, id: LineageId) {
        let Some(followed) = self.lineages.get(&id) else { return };
        if followed.lineage.generations().len() < 2 {
            return;
        }
        let Some(oldest) = self.oldest(id).map(|position| position.generation) else { return };
        let Some(followed) = self.lineages.get_mut(&id) else { return };
        if followed.lineage.generations().first().is_some_and(|file| file.number < oldest) {
            followed.lineage.release_before(oldest);
            let path = followed.path.clone();
            self.ask(Wish::Release(path, oldest));
        }
    }

    /// Tells the scanner how far a lineage was read, so that it recognises its files wherever they are moved.
    fn claim(&self, id: LineageId) {
        let Some(followed) = self.lineages.get(&id) else { return };
        let Some(view) =
            followed.views.iter().filter(|view| view.until.is_none()).max_by_key(|view| view.place)
        else {
            return;
        };
        let (generation, tail) = view.tail;
        let tail = if generation == view.place.generation { tail } else { Default::default() };
        let claim = Claim { generation: view.place.generation, consumed: view.place.offset, tail };
        self.ask(Wish::Claims(followed.path.clone(), vec![claim]));
    }

    /// Asks the scanner for something.
    pub(crate) fn ask(&self, wish: Wish) {
        // The scanner ends after all shards; an error means that it panicked, which was told.
        let _ = self.parts.wishes.send(wish);
    }

    /// Forgets lineages whose files are gone, read and answered.
    pub(crate) fn sweep_finished(&mut self) {
        for id in std::mem::take(&mut self.finished) {
            let Some(followed) = self.lineages.get(&id) else { continue };
            let cursors = followed.cursors.clone();
            let is_clear =
                |id: &CursorId| self.sink.cursors.get(id).is_none_or(|cursor| cursor.progress.is_clear());
            if !cursors.iter().all(is_clear) {
                self.finished.insert(id);
                continue;
            }
            let mut changes = Changes::default();
            for cursor in cursors {
                self.sink.dirty.remove(&cursor);
                if let Some(cursor) = self.sink.cursors.remove(&cursor) {
                    changes.rows.insert(cursor.key, None);
                }
            }
            self.parts.checkpoint.write(changes);
            self.forget_lineage(id);
        }
    }

    fn forget_lineage(&mut self, id: LineageId) {
        let Some(followed) = self.lineages.remove(&id) else { return };
        self.ask(Wish::Forget(followed.path.clone()));
        self.by_path.remove(&followed.path);
        self.polled.remove(&id);
        self.parts.restored.remove(&followed.path);
        self.watches.keep_only(&mut *self.parts.io, id, &HashSet::default(), &followed.directories);
    }

    /// Publishes how far every output of every pipeline is behind.
    pub(crate) fn measure_lag(&self) {
        let mut lag = Lag::default();
        for cursor in self.sink.cursors.values() {
            let behind = self.behind(cursor);
            *lag.entry((cursor.key.pipeline.clone(), cursor.key.output.clone())).or_default() += behind;
        }
        self.parts.stats.set_lag(self.parts.number, lag);
    }

    fn behind(&self, cursor: &Cursor) -> u64 {
        let Some(followed) = self.lineages.get(&cursor.lineage) else { return 0 };
        let Some(position) = self.position(cursor).into_iter().min() else { return 0 };
        let unread = |number: u32, size: u64| match number.cmp(&position.generation) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => size.saturating_sub(position.offset),
            std::cmp::Ordering::Greater => size,
        };
        followed.lineage.generations().iter().map(|file| unread(file.number, file.size)).sum()
    }

    /// Closes files that have been idle longest, as many as somebody else wanted to open.
    pub(crate) fn close_idle(&mut self) {
        let wanted = self.parts.open_files.wanted();
        if wanted == 0 {
            return;
        }
        let reading: HashSet<LineageId> = self.flights.values().map(|flight| flight.lineage).collect();
        let mut idle: Vec<_> = self.lineages.iter().filter(|(id, _)| !reading.contains(id)).collect();
        idle.sort_by_key(|(_, followed)| followed.active_at);
        let idle: Vec<LineageId> = idle.into_iter().take(wanted).map(|(id, _)| *id).collect();
        for id in idle {
            let Some(followed) = self.lineages.get_mut(&id) else { continue };
            let numbers: Vec<u32> = followed.lineage.generations().iter().map(|file| file.number).collect();
            for number in numbers {
                followed.lineage.close(number);
            }
        }
    }

    /// Gives deleted files up that pass `hold_deleted`.
    pub(crate) fn enforce_hold(&mut self, now: std::time::Duration) {
        let hold = self.parts.hold_deleted;
        let mut spare = hold.max_bytes;
        self.holding
            .retain(|id| self.lineages.get(id).is_some_and(|followed| followed.lineage.holds_deleted()));
        for id in self.holding.iter().copied().collect::<Vec<_>>() {
            let consumed = self.consumed(id);
            let Some(followed) = self.lineages.get_mut(&id) else { continue };
            let changes = followed.lineage.enforce(hold.max_age, &mut spare, now, consumed);
            for change in changes {
                self.take_change(id, change);
                self.changed(id);
            }
        }
    }
}
