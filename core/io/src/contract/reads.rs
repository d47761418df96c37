//! Reading, cancelling and dropping.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringtail_memory::SLAB_BYTES;
use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;

use super::{Bench, Files, LONG, NOW, append, noise, on_ring, slow};
use crate::file::OsFile;
use crate::mounts;
use crate::pread::Pread;
use crate::uring::Uring;
use crate::{Event, File, Io, Read};

/// Waits until all reads are back.
fn finish(backend: &mut dyn Io) -> BTreeMap<u64, (Read, io::Result<usize>)> {
    let (mut events, mut ended) = (Vec::new(), BTreeMap::new());
    let start = Instant::now();
    while backend.in_flight() > 0 {
        assert!(start.elapsed() < LONG, "{} reads do not come back", backend.in_flight());
        backend.wait(LONG, &mut events);
        for event in events.drain(..) {
            let Event::Read { read, result } = event else { panic!("{event:?}") };
            assert!(ended.insert(read.id, (read, result)).is_none(), "a read completed twice");
        }
    }
    ended
}

pub(super) fn reads_go_where_they_are_asked_to(mut io: Box<dyn Io>, bench: Bench) {
    let bytes = noise(100_000, 1);
    let file = bench.file("a", &bytes);
    let mut buf = bench.region(1000);
    buf[..300].fill(7);
    io.read(Read { id: 9, file, offset: 4321, buf, at: 300, least: 1 });
    assert_eq!(io.in_flight(), 1);
    let (read, result) = finish(&mut *io).remove(&9).expect("its read");
    assert_eq!(result.expect("bytes"), 700);
    assert!(read.buf[..300].iter().all(|byte| *byte == 7), "bytes before `at` are kept");
    assert_eq!(read.buf[300..], bytes[4321..][..700]);
}

pub(super) fn the_end_of_a_file_is_a_short_read_and_then_nothing(mut io: Box<dyn Io>, bench: Bench) {
    let file = bench.file("a", b"0123456789");
    for (id, offset) in [(0, 0), (1, 4), (2, 10), (3, 4096)] {
        io.read(bench.read(id, &file, offset, 64));
    }
    let lens = finish(&mut *io).into_values().map(|(_, result)| result.expect("read"));
    assert_eq!(lens.collect::<Vec<_>>(), [10, 6, 0, 0]);
    append(&bench.path("a"), b"more");
    io.read(bench.read(0, &file, 10, 64));
    let (read, result) = finish(&mut *io).remove(&0).expect("its read");
    assert_eq!(&read.buf[..result.expect("read")], b"more");
}

/// More than the ring takes at once: the rest waits, nothing is lost or mixed up.
pub(super) fn hundreds_of_reads_over_many_files_complete_once_each(mut io: Box<dyn Io>, bench: Bench) {
    let files: Vec<_> = (0..50)
        .map(|i| {
            let bytes = noise(40_000, i);
            (bench.file(&i.to_string(), &bytes), bytes)
        })
        .collect();
    let mut slab = bench.slabs.take().expect("slab");
    for round in 0..3u64 {
        for id in 0..500u64 {
            let (file, _) = &files[usize::try_from(id % 50).expect("small")];
            let read = Read {
                id,
                file: file.clone(),
                offset: id * 79 + round,
                buf: slab.split_to(512),
                at: 12,
                least: 1,
            };
            io.read(read);
        }
        let ended = finish(&mut *io);
        assert_eq!(ended.len(), 500);
        for (id, (read, result)) in ended {
            let (_, bytes) = &files[usize::try_from(id % 50).expect("small")];
            let from = usize::try_from(id * 79 + round).expect("small");
            let expected = &bytes[from..(from + 500).min(bytes.len())];
            assert_eq!(&read.buf[12..][..result.expect("read")], expected, "read {id}");
        }
    }
}

pub(super) fn reads_that_are_not_in_memory_complete(mut io: Box<dyn Io>, bench: Bench) {
    let bytes = noise(SLAB_BYTES, 5);
    for id in 0..12u64 {
        let path = bench.path(&id.to_string());
        fs::write(&path, &bytes).expect("write");
        let file = fs::File::open(&path).expect("open");
        file.sync_all().expect("sync");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("drop from memory");
        io.read(bench.read(id, &bench.open(&id.to_string()), 0, SLAB_BYTES));
    }
    for (_, (read, result)) in finish(&mut *io) {
        let len = result.expect("read");
        assert!(len > 0, "a part that is in memory may come alone, nothing means the end");
        assert!(read.buf[..len] == bytes[..len]);
    }
}

/// Where the first page is in memory and the next is not, a read that wants to go beyond the first does; fewer bytes than
/// it wants are the end of the file.
pub(super) fn a_read_brings_what_it_wants_at_least(mut io: Box<dyn Io>, bench: Bench) {
    const PAGE: usize = 4096;
    let bytes = noise(8 * PAGE, 6);
    let mut wanted = Vec::new();
    for id in 0..6u64 {
        let path = bench.path(&id.to_string());
        fs::write(&path, &bytes).expect("write");
        let cold = fs::File::open(&path).expect("open");
        cold.sync_all().expect("sync");
        fadvise(&cold, 0, None, Advice::DontNeed).expect("drop from memory");
        fadvise(&cold, 0, None, Advice::Random).expect("advice");
        cold.read_exact_at(&mut [0; 10], 0).expect("its first page");
        let (offset, len) =
            [(PAGE - 256, 2000), (8 * PAGE - 256, 2000), (8 * PAGE - 255, 2000)][wanted.len() % 3];
        let expected = &bytes[offset..(offset + len).min(bytes.len())];
        let mut read = bench.read(id, &bench.open(&id.to_string()), offset as u64, len);
        read.least = 257;
        wanted.push(expected);
        io.read(read);
    }
    for (id, (read, result)) in finish(&mut *io) {
        let (len, expected) = (result.expect("read"), wanted[usize::try_from(id).expect("small")]);
        assert!(len >= expected.len().min(257), "read {id}: {len}");
        assert!(read.buf[..len] == expected[..len]);
    }
}

pub(super) fn reads_of_a_remote_mount_complete(mut io: Box<dyn Io>, bench: Bench) {
    fs::write(bench.path("a"), b"far away").expect("write");
    for device in 0..100 {
        let fd = OwnedFd::from(fs::File::open(bench.path("a")).expect("open"));
        let file = Arc::new(File::from_os(OsFile::new(fd, Some(mounts::remote_of(device)))));
        for id in 0..20 {
            let slabs = Bench::new(Files::Plain);
            io.read(slabs.read(device * 20 + id, &file, 4, 64));
        }
    }
    let ended = finish(&mut *io);
    assert_eq!(ended.len(), 2000);
    assert!(ended.into_values().all(|(read, result)| result.is_ok_and(|len| &read.buf[..len] == b"away")));
}

pub(super) fn an_error_comes_with_its_read(mut io: Box<dyn Io>, bench: Bench) {
    let unreadable = OpenOptions::new().write(true).create(true).truncate(true).open(bench.path("a"));
    let file = Arc::new(File::from_os(OsFile::new(unreadable.expect("open").into(), None)));
    io.read(bench.read(3, &file, 0, 64));
    let (_, result) = finish(&mut *io).remove(&3).expect("its read");
    assert_eq!(result.expect_err("write only").raw_os_error(), Some(Errno::BADF.raw_os_error()));
}

pub(super) fn cancelled_reads_complete_once_and_give_back_their_buffers(mut io: Box<dyn Io>, bench: Bench) {
    let file = bench.file("a", &noise(4096, 1));
    let mut slab = bench.slabs.take().expect("slab");
    for id in 0..600 {
        io.read(Read { id, file: file.clone(), offset: 0, buf: slab.split_to(1024), at: 0, least: 1 });
        if id == 300 {
            io.wait(NOW, &mut Vec::new());
        }
    }
    drop(slab);
    (0..600).step_by(2).for_each(|id| io.cancel(id));
    io.cancel(12_345);
    for (id, (_, result)) in finish(&mut *io) {
        match result {
            Ok(len) => assert_eq!(len, 1024),
            Err(error) => {
                assert_eq!((id % 2, error.raw_os_error()), (0, Some(Errno::CANCELED.raw_os_error())));
            }
        }
    }
    assert_eq!(bench.slabs.idle(), 1);
}

pub(super) fn dropping_with_reads_in_flight_frees_their_buffers(mut io: Box<dyn Io>, bench: Bench) {
    let file = bench.file("a", &noise(SLAB_BYTES, 1));
    let mut ended = Vec::new();
    (0..20).for_each(|id| io.read(bench.read(id, &file, 0, SLAB_BYTES)));
    io.wait(NOW, &mut ended);
    (20..40).for_each(|id| io.read(bench.read(id, &file, 0, SLAB_BYTES)));
    drop((io, ended));
    let start = Instant::now();
    while bench.slabs.idle() < 40 {
        assert!(start.elapsed() < LONG, "buffers are lost");
        thread::yield_now();
    }
}

/// The kernel holds a buffer for as long as the read is there: only a cancellation ends one that has nothing to read.
#[test]
fn a_read_in_the_ring_keeps_its_buffer_until_it_is_cancelled() {
    on_ring(Uring::new(), Files::Slow, |mut io, bench| {
        // Pipes never come from `Fs::open`; here one stands for a disk that does not answer.
        let (silent, _writer) = std::io::pipe().expect("pipe");
        let file = slow(silent.into());
        io.read(bench.read(1, &file, 0, 64));
        io.wait(Duration::from_millis(20), &mut Vec::new());
        assert_eq!((io.in_flight(), bench.slabs.idle()), (1, 0));
        io.cancel(1);
        let (_, result) = finish(&mut *io).remove(&1).expect("its read");
        assert_eq!(result.expect_err("cancelled").raw_os_error(), Some(Errno::CANCELED.raw_os_error()));
        assert_eq!(bench.slabs.idle(), 1);
        let mut slab = bench.slabs.take().expect("slab");
        (0..300).for_each(|id| {
            io.read(Read { id, file: file.clone(), offset: 0, buf: slab.split_to(1), at: 0, least: 1 })
        });
        io.wait(NOW, &mut Vec::new());
        drop((io, slab));
        assert_eq!(bench.slabs.idle(), 1, "a drop cancels what can be cancelled");
    });
}

/// What cannot be cancelled in time is never handed out again. A ring that left its thread cannot cancel anything.
#[test]
fn buffers_that_the_kernel_may_still_write_to_are_leaked() {
    on_ring(Uring::new(), Files::Slow, |mut io, bench| {
        let (silent, _writer) = std::io::pipe().expect("pipe");
        let file = slow(silent.into());
        io.read(bench.read(1, &file, 0, 64));
        io.wait(NOW, &mut Vec::new());
        thread::spawn(move || drop(io)).join().expect("no panic");
        assert_eq!(bench.slabs.idle(), 0);
    });
}

/// What follows a read that had to wait for its device comes into memory without being asked for: the next reads do not
/// wait. (Where the directory lies in memory all of it is there anyway.)
#[test]
fn a_cold_file_is_read_ahead() {
    const LEN: u64 = 16 << 20;
    const PAGE: u64 = 4096;
    let bench = Bench::new(Files::Plain);
    let path = bench.path("a");
    fs::write(&path, noise(usize::try_from(LEN).expect("small"), 1)).expect("write");
    let cold = fs::File::open(&path).expect("open");
    cold.sync_all().expect("sync");
    fadvise(&cold, 0, None, Advice::DontNeed).expect("advice");
    // Looking brings in the page that is looked at, and with this no other: no page is looked at twice. A fast device
    // may answer before the look ends, but not many times in a row.
    fadvise(&cold, 0, None, Advice::Random).expect("advice");
    let cold = OsFile::new(OwnedFd::from(cold), None);
    let mut io = Pread::new("test".to_owned()).expect("descriptors");
    let file = bench.open("a");
    io.read(bench.read(0, &file, 0, 4096));
    let (_, result) = finish(&mut io).remove(&0).expect("its read");
    assert_eq!(result.expect("bytes"), 4096);
    let mut pages = (LEN / 4..LEN / 2 - PAGE).step_by(4096);
    let mut in_a_row = 0;
    while in_a_row < 16 {
        let page = pages.next().expect("nobody brought it in");
        if cold.read_resident(&mut [0], page).is_ok() {
            in_a_row += 1;
        } else {
            in_a_row = 0;
            thread::sleep(Duration::from_millis(10));
        }
    }
    assert_eq!(io.in_flight(), 0, "advice is not waited for");
}
