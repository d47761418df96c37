//! The bound on open files, shared by the scanner and all shards.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringtail_io::File;

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
    pub(crate) _permit: Permit,
}

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
