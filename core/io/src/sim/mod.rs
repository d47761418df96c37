//! The simulator: seeded, single-threaded, with injected faults.

use std::io;

use crate::fs::Stat;

/// A simulated open file, behind a [`File`](crate::File).
#[derive(Debug)]
pub(crate) enum Handle {}

impl Handle {
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        match *self {}
    }

    pub(crate) fn read_at(&self, _buf: &mut [u8], _offset: u64) -> io::Result<usize> {
        match *self {}
    }
}

/// A simulated wake-up, behind a [`Waker`](crate::Waker).
#[derive(Clone, Debug)]
pub(crate) enum Alarm {}

impl Alarm {
    pub(crate) fn wake(&self) {
        match *self {}
    }
}
