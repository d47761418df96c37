//! What a read brought: bytes, an end, an error, or another file than the one that was meant.

use std::io;
use std::sync::Arc;

use ringtail_io::{File, Read};
use ringtail_read::{Tail, Turn};

use crate::buffers::{ReadSize, SMALL_READ};
use crate::config::Mode;
use crate::names::{LineageId, ViewId};
use crate::reading::{RETRY_AFTER, find};
use crate::shard::{Flight, Shard, Wish};
use crate::view::{Known, Phase};

/// Where the end is the end, a file that fails this often in a row is given up.
const MOST_FAILURES: u32 = 3;

/// The error of a read that was cancelled, on Linux.
const ECANCELED: i32 = 125;

impl Shard {
    /// A read ended.
    pub(crate) fn complete(&mut self, read: Read, result: io::Result<usize>) {
        let Some(flight) = self.flights.remove(&read.id) else { return };
        match flight.mount {
            None => self.large_in_flight -= usize::from(flight.size == ReadSize::Large),
            Some(mount) => {
                self.remote.ended(mount, flight.size);
                self.wake_remote();
            }
        }
        let (id, view_id) = (flight.lineage, flight.view);
        if self.draining && flight.mount.is_some() {
            // It was not waited for; the last answers may be on their way already.
            return self.buffers.recycle(read.buf, flight.size);
        }
        let is_current = self.view_mut(id, view_id).is_some_and(|view| {
            view.phase = Phase::Ready;
            view.place.generation == flight.generation
        });
        if !is_current {
            // The view was dropped or moved meanwhile: what was read is not wanted.
            self.buffers.recycle(read.buf, flight.size);
            return self.ready.push_back((id, view_id));
        }
        match result {
            Ok(0) if flight.gz => {
                self.buffers.recycle(read.buf, flight.size);
                self.gz_ended(id, view_id, &flight);
            }
            Ok(n) if flight.gz => self.inflate(id, view_id, &flight, read, n),
            Ok(n) => self.arrived(id, view_id, &flight, read, n),
            Err(error) => {
                self.buffers.recycle(read.buf, flight.size);
                self.failed(id, view_id, &error);
            }
        }
    }

    /// `n` bytes of a file came, what is known of it among them. Where it is not, the file was emptied and written anew, and
    /// what came is of no use before the scanner has said what it holds now.
    fn arrived(&mut self, id: LineageId, view_id: ViewId, flight: &Flight, mut read: Read, n: usize) {
        let known = flight.known.again();
        let address = Arc::as_ptr(&read.file).addr();
        let Some(view) = self.view_mut(id, view_id) else { return };
        let short = view.short.take().filter(|(file, _)| *file == address);
        if n < known && view.seen_in != address {
            // A copy of what was read, made before the last of it was written, or an emptied file: how it begins tells.
            view.short = Some((address, flight.turn));
            self.buffers.recycle(read.buf, flight.size);
            return self.ready.push_back((id, view_id));
        }
        if !flight.known.is_in(&read.buf[read.at..read.at + n]) {
            self.buffers.recycle(read.buf, flight.size);
            return self.replaced(id, view_id, &read.file);
        }
        if let Some((_, turn)) = short {
            // The copy has nothing more.
            self.buffers.recycle(read.buf, flight.size);
            return self.found_end(id, view_id, turn);
        }
        if self.proves(id, view_id, flight, &read) {
            self.buffers.recycle(read.buf, flight.size);
            return self.ready.push_back((id, view_id));
        }
        if n == known {
            self.buffers.recycle(read.buf, flight.size);
            return self.found_end(id, view_id, flight.turn);
        }
        let new = self.clamp(id, view_id, n - known);
        let Some(view) = self.view_mut(id, view_id) else { return };
        let seen = Tail::new(view.read_at() + new as u64, &read.buf[read.at..read.at + known + new]);
        (view.seen, view.seen_in, view.is_unproven) = ((view.place.generation, seen), address, false);
        // A read that filled a small buffer is followed by large ones, one that hardly touched a large one by small ones.
        view.size = match flight.size {
            ReadSize::Small if n == SMALL_READ => ReadSize::Large,
            ReadSize::Large if n < SMALL_READ => ReadSize::Small,
            unchanged => unchanged,
        };
        // With less than there is room for, asking the file once more is cheaper than another read that finds nothing.
        let may_end = n < read.buf.len() - read.at && flight.mount.is_none();
        let ends = may_end && read.file.stat().is_ok_and(|stat| stat.size == seen.end);
        read.at += known;
        self.take_bytes(id, view_id, flight.size, read, new);
        if ends && self.view_mut(id, view_id).is_some_and(|view| view.read_at() == seen.end) {
            self.note_end(id, view_id, flight.turn);
        }
    }

    /// Where nothing was known of what lies before the next byte: whether the read was for that alone. First comes what lies there,
    /// then the file's beginning: where that is still the same, so was what was seen before it.
    fn proves(&mut self, id: LineageId, view_id: ViewId, flight: &Flight, read: &Read) -> bool {
        let Some(view) = self.view_mut(id, view_id) else { return false };
        let at = view.read_at();
        if !flight.known.is_proof(at) {
            return false;
        }
        view.failures = 0;
        view.is_unproven = matches!(flight.known, Known::Nothing(_));
        if let Known::Nothing(len) = flight.known {
            let seen = Tail::new(at, &read.buf[read.at..read.at + len]);
            (view.seen, view.seen_in) = ((flight.generation, seen), Arc::as_ptr(&read.file).addr());
        }
        true
    }

    /// The file that a view is in holds something else now. The scanner alone can tell what, and where the rest of what it
    /// held may be found; for a deleted file nobody can.
    fn replaced(&mut self, id: LineageId, view_id: ViewId, file: &Arc<File>) {
        let (now, consumed) = (self.now(), self.consumed(id));
        let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return };
        let view = &mut followed.views[at];
        let generation = view.place.generation;
        let mut open = followed.lineage.open_files();
        let is_known = open.any(|(number, open)| number == generation && Arc::ptr_eq(&open.file, file));
        drop(open);
        // Another file holds the generation by now: that is to be read, and nothing said of this one.
        if !is_known || followed.lineage.leave_old_file(generation) {
            return self.ready.push_back((id, view_id));
        }
        if let Some(change) = followed.lineage.was_replaced(generation, consumed(generation)) {
            self.ready.push_back((id, view_id));
            return self.take_change(id, change);
        }
        view.phase = Phase::AtEnd;
        let held = followed.lineage.generations().iter().find(|known| known.number == generation);
        if let Some(file) = held.map(|known| known.identity) {
            let path = followed.path.clone();
            self.ask(Wish::Look(path, generation, file));
        }
        self.timers.push((now + RETRY_AFTER, id, view_id));
    }

    /// Of `n` bytes read, those that a view for late bytes is to deliver.
    fn clamp(&mut self, id: LineageId, view_id: ViewId, n: usize) -> usize {
        let Some(view) = self.view_mut(id, view_id) else { return n };
        let left = view.until.map(|until| until.offset.saturating_sub(view.read_at()));
        left.and_then(|left| usize::try_from(left).ok()).map_or(n, |left| left.min(n))
    }

    pub(crate) fn found_end(&mut self, id: LineageId, view_id: ViewId, turn: Turn) {
        self.ready.push_back((id, view_id));
        self.note_end(id, view_id, turn);
    }

    fn note_end(&mut self, id: LineageId, view_id: ViewId, turn: Turn) {
        let now = self.now();
        let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return };
        let (generation, offset) = (followed.views[at].place.generation, followed.views[at].read_at());
        let lost = followed.lineage.at_end(generation, offset, turn, now);
        if let Some(change) = lost {
            self.take_change(id, change);
        }
    }

    fn failed(&mut self, id: LineageId, view_id: ViewId, error: &io::Error) {
        let now = self.now();
        let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return };
        // A cancelled read has no errno's kind of its own; nothing was wrong with the file.
        if error.raw_os_error() != Some(ECANCELED) {
            let path = followed.path_of(followed.views[at].place.generation);
            tracing::warn!(file = %path.display(), %error, "cannot read a log file; trying again");
        }
        let once = self.parts.mode == Mode::Once;
        let Some(view) = self.view_mut(id, view_id) else { return };
        view.phase = Phase::AtEnd;
        view.failures += 1;
        if once && view.failures > MOST_FAILURES {
            view.phase = Phase::Ready;
            return self.give_up(id, view_id);
        }
        self.timers.push((now + RETRY_AFTER, id, view_id));
    }
}
