//! Reading inside a `.gz`: compressed bytes come from the file, their contents go the way of all bytes.

use ringtail_io::Read;
use ringtail_read::{Inflate, InflateError};

use crate::names::{LineageId, ViewId};
use crate::reading::find;
use crate::shard::{Flight, Shard};
use crate::view::View;

/// How far a view has come in a compressed file.
pub(crate) struct GzProgress {
    inflate: Inflate,
    compressed: u64,
}

impl GzProgress {
    /// The progress of `view`, begun anew where it has none: everything before its place is inflated and skipped.
    pub(crate) fn of(view: &mut View) -> &mut GzProgress {
        let from = view.read_at();
        view.gz.get_or_insert_with(|| GzProgress { inflate: Inflate::new(from), compressed: 0 })
    }

    /// The next compressed byte to read.
    pub(crate) fn compressed_offset(&self) -> u64 {
        self.compressed
    }
}

impl Shard {
    /// `n` compressed bytes came: inflates what has room in one large buffer, and has the rest read again.
    pub(crate) fn inflate(&mut self, id: LineageId, view_id: ViewId, flight: &Flight, read: Read, n: usize) {
        let Some(view) = self.view_mut(id, view_id) else {
            return self.buffers.recycle(read.buf, flight.size);
        };
        let half_line = view.half_line.take();
        let bytes = half_line.as_deref().unwrap_or(&[]);
        let room = self.buffers.large(bytes, 0);
        let Some(view) = self.view_mut(id, view_id) else {
            return self.buffers.recycle(read.buf, flight.size);
        };
        view.half_line = half_line;
        let Ok((mut region, at)) = room else {
            self.buffers.recycle(read.buf, flight.size);
            return self.stall_without_memory(id, view_id);
        };
        let progress = GzProgress::of(view);
        let done = progress.inflate.inflate(&read.buf[read.at..read.at + n], &mut region[at..]);
        if let Ok(done) = done {
            progress.compressed += done.consumed as u64;
        }
        self.buffers.recycle(read.buf, flight.size);
        match done {
            Ok(done) if done.produced > 0 => {
                let read = Read { buf: region, at, ..read };
                self.take_bytes(id, view_id, crate::buffers::ReadSize::Large, read, done.produced);
            }
            Ok(_) => {
                self.buffers.recycle(region, crate::buffers::ReadSize::Large);
                self.ready.push_back((id, view_id));
            }
            Err(error) => {
                self.buffers.recycle(region, crate::buffers::ReadSize::Large);
                self.tell_damage(id, view_id, &error);
                self.give_up(id, view_id);
            }
        }
    }

    /// The end of a compressed file. Its contents may have been cut off: then the rest is lost.
    pub(crate) fn gz_ended(&mut self, id: LineageId, view_id: ViewId, flight: &Flight) {
        let whole = |view: &View| view.gz.as_ref().is_none_or(|progress| progress.inflate.is_complete());
        if self.view_mut(id, view_id).is_some_and(|view| !whole(view)) {
            return self.give_up(id, view_id);
        }
        self.found_end(id, view_id, flight.turn);
    }

    /// Nothing more can be read from the file that a view is in.
    pub(crate) fn give_up(&mut self, id: LineageId, view_id: ViewId) {
        let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return };
        let view = &followed.views[at];
        let compressed = view.gz.as_ref().map_or(0, GzProgress::compressed_offset);
        let lost = followed.lineage.give_up(view.place.generation, view.read_at(), compressed);
        self.ready.push_back((id, view_id));
        if let Some(change) = lost {
            self.take_change(id, change);
        }
    }

    fn tell_damage(&mut self, id: LineageId, view_id: ViewId, error: &InflateError) {
        let Some((followed, at)) = find(&mut self.lineages, id, view_id) else { return };
        let path = followed.path_of(followed.views[at].place.generation);
        tracing::error!(file = %path.display(), %error, "a compressed log file cannot be read further");
    }
}
