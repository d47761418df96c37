//! The bound on open files, shared by the scanner and all shards.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringtail_io::File;

use crate::head::Content;
use crate::identity::HEAD_BYTES;

/// How many log files may be open. Cheap to clone; all clones share the counts.
///
/// When an opening was refused, [`OpenFiles::wanted`] says how many; whoever holds idle files then closes that many,
/// longest idle first, and the scanner tries again with its next look.
#[derive(Clone, Debug)]
pub struct OpenFiles(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limit: usize,
    open: AtomicUsize,
    wanted: AtomicUsize,
}

impl OpenFiles {
    /// At most `limit` open files.
    pub fn new(limit: usize) -> Self {
        OpenFiles(Arc::new(Counts { limit, open: AtomicUsize::new(0), wanted: AtomicUsize::new(0) }))
    }

    /// The bound.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Files open now: `ringtail_open_files`.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Takes the number of openings that were refused since the last call: so many idle files should be closed.
    pub fn wanted(&self) -> usize {
        self.0.wanted.swap(0, Ordering::Relaxed)
    }

    /// A place for one more file, or nothing at the bound; that is remembered.
    pub(crate) fn permit(&self) -> Option<Permit> {
        let taken = self.0.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < self.0.limit).then_some(open + 1)
        });
        if taken.is_err() {
            self.0.wanted.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit(self.clone()))
    }
}

/// One place of [`OpenFiles`], given back on drop.
#[derive(Debug)]
pub(crate) struct Permit(OpenFiles);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open log file; counted until the last reference is dropped.
#[derive(Debug)]
pub struct OpenFile {
    /// What to read.
    pub file: Arc<File>,
    /// Whether what is read has to go through [`crate::Inflate`].
    pub gz: bool,
    /// How a compressed file ended when it was opened.
    pub(crate) end: Option<GzEnd>,
    _permit: Permit,
}

impl OpenFile {
    /// Asks a compressed file how it ends; blocks.
    pub(crate) fn new(file: Arc<File>, gz: bool, permit: Permit) -> Self {
        let end = || {
            let size = file.stat().ok()?.size;
            let len = Content::new(file.clone(), true).trailer().ok()??.len;
            Some(GzEnd { size, len })
        };
        OpenFile { end: gz.then(end).flatten(), file, gz, _permit: permit }
    }

    /// Reads its beginning, as far as it is in memory; how much that is.
    pub(crate) fn resident_head(&self, bytes: &mut [u8; HEAD_BYTES]) -> usize {
        let mut count = 0;
        while let Ok(more @ 1..) = self.file.read_resident(&mut bytes[count..], count as u64) {
            count += more;
        }
        count
    }
}

/// The end of a compressed file, if it is whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GzEnd {
    /// Compressed bytes.
    pub(crate) size: u64,
    /// What the last bytes say of the contents' length, modulo 2^32.
    len: u32,
}

impl GzEnd {
    /// How much of the contents lies behind `consumed` bytes of them, where `compressed` bytes of the file could be used: what the last
    /// bytes say, where that can be; else the compressed bytes that are left. None are left of a file that was cut off.
    pub(crate) fn rest(self, consumed: u64, compressed: u64) -> u64 {
        let left = self.size.saturating_sub(compressed);
        let consumed = u32::try_from(consumed % (1 << 32)).expect("a remainder");
        let rest = u64::from(self.len.wrapping_sub(consumed));
        if rest <= left.saturating_mul(MOST_INFLATED) { rest } else { left }
    }
}

/// Deflate makes of one byte at most so many.
const MOST_INFLATED: u64 = 1032;

impl Deref for OpenFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_damaged_file_is_what_its_end_says_where_that_can_be() {
        let end = GzEnd { size: 1000, len: 50_000 };
        assert_eq!(end.rest(20_000, 400), 30_000);
        assert_eq!(GzEnd { len: 5, ..end }.rest((1 << 32) - 10, 400), 15, "beyond 4 GiB");
        // Whatever stands at the end of a file that was cut off: nothing of it is left, or too little for that much.
        assert_eq!((end.rest(20_000, 1000), end.rest(20_000, 990), end.rest(50_001, 400)), (0, 10, 600));
    }

    #[test]
    fn a_refusal_is_remembered_and_a_dropped_permit_makes_room() {
        let files = OpenFiles::new(2);
        let (first, second) = (files.permit(), files.permit());
        assert!(first.is_some() && second.is_some());
        assert!(files.permit().is_none() && files.permit().is_none());
        assert_eq!((files.open(), files.wanted(), files.wanted()), (2, 2, 0));
        drop(first);
        assert!(files.permit().is_some());
    }
}
