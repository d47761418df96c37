//! A shard's positions: rows for the checkpoint, claims for the scanner, lag for the operator, and the end of
//! lineages that are gone.

use std::sync::Arc;
use std::time::Duration;

use ringtail_parse::Format;
use ringtail_read::{Claim, Next};
use ringtail_record::Position;

use crate::checkpoint::Changes;
use crate::cursor::Streams;
use crate::maps::HashSet;
use crate::names::{CursorId, LineageId};
use crate::row::{Key, Row};
use crate::shard::{Followed, Running, Shard, Wish};
use crate::sink::Cursor;
use crate::stats::Lag;
use crate::view::{Phase, Standing, View};

/// Wishes that may wait for the scanner before hints to it are left out.
const MOST_HINTS: usize = 50_000;

impl Shard {
    /// Sends the rows of all cursors that moved, and what follows from where they stand now.
    pub(crate) fn write_positions(&mut self) {
        let dirty: Vec<CursorId> = self.sink.dirty.drain().collect();
        if dirty.is_empty() && self.first_starts.is_empty() {
            return;
        }
        let mut changes = Changes { pipelines: std::mem::take(&mut self.first_starts), ..Changes::default() };
        let lineages = dirty.iter().filter_map(|id| Some(self.sink.cursors.get(id)?.lineage));
        let moved: HashSet<LineageId> = lineages.collect();
        for id in &moved {
            if let Some(followed) = self.lineages.get_mut(id) {
                followed.lineage.learn_heads();
            }
        }
        for id in dirty {
            let Some(cursor) = self.sink.cursors.get_mut(&id) else { continue };
            cursor.progress.rest();
            let Some(cursor) = self.sink.cursors.get(&id) else { continue };
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

    /// Forgets a cursor whose pipeline is gone, but not where it stood: the pipeline may come back.
    fn forget_cursor(&mut self, id: CursorId) {
        let Some(cursor) = self.sink.cursors.get(&id) else { return };
        let row = self.row(cursor);
        let Some(Cursor { key, lineage, .. }) = self.sink.cursors.remove(&id).map(|cursor| *cursor) else {
            return;
        };
        let rows = self.parts.restored.entry(key.lineage.clone()).or_default();
        rows.retain(|(known, _)| *known != key);
        rows.push((key, row));
        let Some(followed) = self.lineages.get_mut(&lineage) else { return };
        followed.cursors.retain(|known| *known != id);
        if followed.cursors.is_empty() {
            self.forget_lineage(lineage);
        }
    }

    /// Takes note of what the open files are now, for what may become of them before the next start. May block; at a stop.
    pub(crate) fn measure_files(&mut self) {
        self.lineages.values_mut().for_each(|followed| followed.lineage.measure());
    }

    /// Marks every cursor, so that the next rows say exactly where all views stand.
    pub(crate) fn all_dirty(&mut self) {
        self.sink.dirty.extend(self.sink.cursors.keys());
    }

    fn row(&self, cursor: &Cursor) -> Row {
        let standing = self.standing(cursor);
        let files = self.lineages.get(&cursor.lineage).map(|followed| followed.lineage.records());
        Row { standing, tail: cursor.progress.tail(), files: files.unwrap_or_default() }
    }

    /// From where a restart would go on for a cursor, and in which format.
    pub(crate) fn standing(&self, cursor: &Cursor) -> Standing {
        Standing { streams: self.position(cursor), format: self.format(cursor) }
    }

    /// From where a restart would go on for a cursor.
    pub(crate) fn position(&self, cursor: &Cursor) -> Streams {
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

    /// The smallest position that a restart would read from, or an output that is away and may come back.
    fn oldest(&self, id: LineageId) -> Option<Position> {
        let followed = self.lineages.get(&id)?;
        let cursors = || followed.cursors.iter().filter_map(|id| self.sink.cursors.get(id));
        let is_away = |key: &Key| cursors().all(|cursor| cursor.key != *key);
        let away = self.restored(&followed.path).iter().filter(|(key, _)| is_away(key));
        // What is gone is not kept for it: it may never come back.
        let there = followed.lineage.oldest_readable().map(|generation| Position { generation, offset: 0 });
        let away = away.flat_map(|(_, row)| row.standing.streams).filter_map(|stood| Some(stood.max(there?)));
        let late = followed.views.iter().filter(|view| view.until.is_some()).map(|view| view.place);
        cursors().flat_map(|cursor| self.position(cursor)).chain(away).chain(late).min()
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

    /// Asks the scanner for something. What only helps it is left out while it does not listen: a mount may hang.
    pub(crate) fn ask(&self, wish: Wish) {
        let is_hint = matches!(wish, Wish::Claims(..) | Wish::Reopen(..) | Wish::Look(..));
        if is_hint && self.parts.wishes.len() >= MOST_HINTS {
            return;
        }

        let is_urgent = matches!(wish, Wish::Reopen(..) | Wish::Look(..));
        // The scanner ends after all shards; an error means that it panicked, which was told.
        if self.parts.wishes.send(wish).is_ok() && is_urgent {
            self.parts.scanner.wake();
        }
    }

    /// Forgets lineages whose files are gone, read by every view, and answered.
    pub(crate) fn sweep_finished(&mut self, now: Duration) {
        for id in std::mem::take(&mut self.finished) {
            let Some(followed) = self.lineages.get_mut(&id) else { continue };
            let Followed { lineage, views, cursors, .. } = &mut **followed;
            let is_read = views.iter().all(|view| {
                let next = lineage.next(view.place.generation, view.read_at(), now);
                view.phase == Phase::AtEnd && matches!(next, Next::Finished)
            });
            if !is_read {
                // Something came after all, or another view is behind: whoever is last says so again.
                continue;
            }
            let is_clear =
                |id: &CursorId| self.sink.cursors.get(id).is_none_or(|cursor| cursor.progress.is_clear());
            if !cursors.iter().all(is_clear) {
                self.finished.insert(id);
                continue;
            }
            let (cursors, path) = (cursors.clone(), followed.path.clone());
            let rows = self.parts.restored.remove(&path).unwrap_or_default();
            let mut changes = Changes::default();
            changes.rows.extend(rows.into_iter().map(|(key, _)| (key, None)));
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

    /// Follows a lineage no longer; its rows stay as they are.
    pub(crate) fn forget_lineage(&mut self, id: LineageId) {
        let Some(followed) = self.lineages.remove(&id) else { return };
        self.ask(Wish::Forget(followed.path.clone()));
        self.by_path.remove(&followed.path);
        self.polled.remove(&id);
        followed.watched.iter().for_each(|path| self.watches.leave(&mut *self.parts.io, path, id));
    }

    /// Publishes how far every output of every pipeline is behind, also where there is nothing to collect.
    pub(crate) fn measure_lag(&self) {
        let outputs = |running: &Arc<Running>| {
            let name = running.name.clone();
            running.outputs.clone().into_iter().map(move |output| ((name.clone(), output), 0))
        };
        let mut lag: Lag = self.pipelines.values().flat_map(outputs).collect();
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
        let at_rest = |followed: &Followed| followed.views.iter().all(|view| view.phase == Phase::AtEnd);
        let mut idle: Vec<_> = self.lineages.iter().filter(|(_, followed)| at_rest(followed)).collect();
        idle.sort_by_key(|(_, followed)| followed.active_at);
        let idle: Vec<LineageId> = idle.into_iter().map(|(id, _)| *id).collect();
        let mut left = wanted;
        for id in idle {
            if left == 0 {
                return;
            }
            let Some(followed) = self.lineages.get_mut(&id) else { continue };
            let numbers: Vec<u32> = followed.lineage.generations().iter().map(|file| file.number).collect();
            for number in numbers {
                // Many have none open: only what was really closed makes room.
                left = left.saturating_sub(usize::from(followed.lineage.close(number)));
            }
        }
    }

    /// Gives deleted files up that pass `hold_deleted`.
    pub(crate) fn enforce_hold(&mut self, now: Duration) {
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
