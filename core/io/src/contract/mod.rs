//! What every real backend promises, stamped onto each of them.
//!
//! Where the kernel refuses a ring, the ring's half says that it did not run; with `CI=true` that is a failure.

mod reads;
mod waits;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringtail_memory::{Budget, Region, SLAB_BYTES, SlabPool};

use self::reads::*;
use self::waits::*;
use crate::file::OsFile;
use crate::pread::Pread;
use crate::uring::{Unavailable, Uring};
use crate::{File, Fs, Io, Read, RealFs};

/// Longer than anything takes; a wait this long that ends by itself is a failure.
const LONG: Duration = Duration::from_secs(20);
const NOW: Duration = Duration::ZERO;

/// Where a read finds its bytes.
#[derive(Clone, Copy)]
enum Files {
    /// In memory, mostly.
    Plain,
    /// On a file system that cannot tell: the ring or the pool reads everything.
    Slow,
}

macro_rules! on_every_backend {
    ($($scenario:ident)*) => {
        mod pread {
            $(#[test] fn $scenario() { super::on_pread(super::Files::Plain, super::$scenario); })*
        }
        mod pread_of_slow_files {
            $(#[test] fn $scenario() { super::on_pread(super::Files::Slow, super::$scenario); })*
        }
        mod uring {
            $(#[test] fn $scenario() { super::on_ring(super::Uring::new(), super::Files::Plain, super::$scenario); })*
        }
        mod uring_of_slow_files {
            $(#[test] fn $scenario() { super::on_ring(super::Uring::new(), super::Files::Slow, super::$scenario); })*
        }
        mod uring_of_slow_files_on_linux_5_10 {
            $(#[test] fn $scenario() {
                super::on_ring(super::Uring::without_timed_enter(), super::Files::Slow, super::$scenario);
            })*
        }
    };
}

on_every_backend! {
    reads_go_where_they_are_asked_to
    the_end_of_a_file_is_a_short_read_and_then_nothing
    hundreds_of_reads_over_many_files_complete_once_each
    reads_that_are_not_in_memory_complete
    a_read_brings_what_it_wants_at_least
    reads_of_a_remote_mount_complete
    an_error_comes_with_its_read
    cancelled_reads_complete_once_and_give_back_their_buffers
    dropping_with_reads_in_flight_frees_their_buffers
    a_wait_lasts_as_long_as_it_was_asked_to
    a_waker_ends_the_present_or_the_next_wait_once
    a_waker_ends_a_wait_of_another_thread
    writes_are_reported_once_a_file_and_no_sooner_than_they_have_gathered
    writes_to_an_unlinked_file_are_reported
    truncation_is_reported
    nothing_is_reported_after_unwatch
    a_directory_that_goes_away_is_unwatched
    only_directories_are_watched_and_each_once
    dropped_changes_are_told
}

fn on_pread(files: Files, scenario: fn(Box<dyn Io>, Bench)) {
    scenario(Box::new(Pread::new("test".into()).expect("eventfd")), Bench::new(files));
}

fn on_ring(ring: Result<Uring, Unavailable>, files: Files, scenario: fn(Box<dyn Io>, Bench)) {
    match ring {
        Ok(ring) => scenario(Box::new(ring), Bench::new(files)),
        Err(Unavailable::Bell(error)) => panic!("eventfd: {error}"),
        Err(Unavailable::Ring(refusal)) => {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "not run: {refusal}");
            eprintln!("not run: {refusal}");
        }
    }
}

/// A directory for files, and slabs to read into.
struct Bench {
    files: Files,
    dir: tempfile::TempDir,
    slabs: SlabPool,
}

impl Bench {
    fn new(files: Files) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        Bench { files, dir, slabs: SlabPool::new(&Budget::new(128 * SLAB_BYTES)) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Arc<File> {
        fs::write(self.path(name), bytes).expect("write");
        self.open(name)
    }

    fn open(&self, name: &str) -> Arc<File> {
        match self.files {
            Files::Plain => RealFs.open(&self.path(name)).expect("open"),
            Files::Slow => {
                let fd = OwnedFd::from(fs::File::open(self.path(name)).expect("open"));
                slow(fd)
            }
        }
    }

    fn region(&self, len: usize) -> Region {
        self.slabs.take().expect("slab").split_to(len)
    }

    fn read(&self, id: u64, file: &Arc<File>, offset: u64, len: usize) -> Read {
        Read { id, file: file.clone(), offset, buf: self.region(len), at: 0, least: 1 }
    }
}

fn slow(fd: OwnedFd) -> Arc<File> {
    Arc::new(File::from_os(OsFile::new(fd, None).refusing_nowait()))
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| random.u8(..)).collect()
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(bytes)).expect("append");
}
