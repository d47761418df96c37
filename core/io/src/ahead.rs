//! What to bring into the page cache before it is asked for.
//!
//! `RWF_NOWAIT` starts no read-ahead. A reader that tries it first runs through what the kernel brought in with the last
//! blocking read, and then waits for the device, again and again. So a file that was met outside the cache is kept
//! [`STEP_BYTES`] to twice as much ahead of its reader, by advice that a thread of the pool gives. Limits: [`FILES`]
//! files at once, the latest; a file whose end was met is forgotten. What is in memory costs nothing.

use std::ops::Range;
use std::sync::{Arc, Weak};

use crate::file::File;

/// What is asked for at once.
const STEP_BYTES: u64 = 4 << 20;
/// Where more files than this are cold, the pool's threads keep the device busy.
const FILES: usize = 8;

/// The files of one shard that are being read from their device.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    files: Vec<Stretch>,
    /// Which of them gives way to the next.
    next: usize,
}

#[derive(Debug)]
struct Stretch {
    /// Not kept open, or a deleted file would stay on the disk.
    file: Weak<File>,
    /// Everything before this was asked for.
    to: u64,
}

impl Ahead {
    /// `file` is not in memory at `offset`. What to bring in.
    pub(crate) fn missed(&mut self, file: &Arc<File>, offset: u64) -> Option<Range<u64>> {
        if let Some(index) = self.position(file) {
            return self.files[index].advance(offset);
        }
        let stretch = Stretch { file: Arc::downgrade(file), to: offset + 2 * STEP_BYTES };
        if self.files.len() < FILES {
            self.files.push(stretch);
        } else {
            self.files[self.next] = stretch;
            self.next = (self.next + 1) % FILES;
        }
        Some(offset..offset + 2 * STEP_BYTES)
    }

    /// `file` was in memory up to `offset`. What to bring in.
    pub(crate) fn hit(&mut self, file: &Arc<File>, offset: u64) -> Option<Range<u64>> {
        let index = self.position(file)?;
        self.files[index].advance(offset)
    }

    /// The end of `file` was met: what is written from now on is in memory.
    pub(crate) fn end(&mut self, file: &Arc<File>) {
        if let Some(index) = self.position(file) {
            self.files.swap_remove(index);
            self.next = 0;
        }
    }

    fn position(&self, file: &Arc<File>) -> Option<usize> {
        // A weak reference keeps its address from being used again.
        self.files.iter().position(|stretch| stretch.file.as_ptr() == Arc::as_ptr(file))
    }
}

impl Stretch {
    /// The reader is at `offset`; it may have gone back, or on by itself.
    fn advance(&mut self, offset: u64) -> Option<Range<u64>> {
        if offset + STEP_BYTES <= self.to && self.to <= offset + 2 * STEP_BYTES {
            return None;
        }
        let from = if self.to < offset || self.to > offset + 2 * STEP_BYTES { offset } else { self.to };
        self.to = offset + 2 * STEP_BYTES;
        Some(from..self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fs, RealFs};

    fn files(count: usize) -> (tempfile::TempDir, Vec<Arc<File>>) {
        let dir = tempfile::tempdir().expect("directory");
        let open = |number: usize| {
            let path = dir.path().join(number.to_string());
            std::fs::write(&path, b"").expect("write");
            RealFs.open(&path).expect("open")
        };
        let files = (0..count).map(open).collect();
        (dir, files)
    }

    /// A reader that misses once and then reads on has all of the file asked for, each byte once, one to two steps ahead.
    #[test]
    fn a_cold_file_is_asked_for_once_and_ahead_of_its_reader() {
        let (_dir, files) = files(1);
        let (file, mut ahead) = (&files[0], Ahead::default());
        assert_eq!(ahead.hit(file, 1 << 20), None, "nothing is asked for of what is in memory");
        let mut asked_to = ahead.missed(file, 0).map(|range| range.end).expect("cold");
        for offset in (0..100 << 20).step_by(256 << 10) {
            if let Some(range) = ahead.hit(file, offset) {
                assert_eq!(range.start, asked_to);
                asked_to = range.end;
            }
            assert!((offset + STEP_BYTES..=offset + 2 * STEP_BYTES).contains(&asked_to), "{offset}");
        }
        assert_eq!(ahead.missed(file, asked_to - STEP_BYTES), None, "it is on its way");
        ahead.end(file);
        assert_eq!(ahead.hit(file, asked_to), None);
    }

    /// A reader that jumps, back or far on, is followed.
    #[test]
    fn a_reader_that_jumps_is_followed() {
        let (_dir, files) = files(1);
        let mut ahead = Ahead::default();
        ahead.missed(&files[0], 1 << 30);
        assert_eq!(ahead.missed(&files[0], 0), Some(0..2 * STEP_BYTES));
        assert_eq!(ahead.hit(&files[0], 1 << 30), Some(1 << 30..(1 << 30) + 2 * STEP_BYTES));
    }

    /// However many files are cold, so many are remembered; the latest are.
    #[test]
    fn few_files_are_remembered() {
        let (_dir, files) = files(3 * FILES + 1);
        let mut ahead = Ahead::default();
        files.iter().for_each(|file| assert!(ahead.missed(file, 0).is_some()));
        assert_eq!(ahead.files.len(), FILES);
        assert_eq!(ahead.hit(&files[0], 2 * STEP_BYTES), None);
        assert!(ahead.hit(&files[3 * FILES], 2 * STEP_BYTES).is_some());
    }
}
