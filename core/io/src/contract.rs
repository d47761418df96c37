//! What every real backend promises, stamped onto each of them.
//!
//! Where the kernel refuses a ring, the ring's half says that it did not run; with `CI=true` that is a failure.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringtail_memory::{Budget, Region, SLAB_BYTES, SlabPool};
use rustix::io::Errno;

use crate::file::OsFile;
use crate::lookout::COALESCE;
use crate::pread::Pread;
use crate::uring::{Unavailable, Uring};
use crate::{Change, Event, File, Fs, Io, Read, RealFs, WatchError};

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
    reads_of_a_remote_mount_complete
    an_error_comes_with_its_read
    cancelled_reads_complete_once_and_give_back_their_buffers
    dropping_with_reads_in_flight_frees_their_buffers
    a_wait_lasts_as_long_as_it_was_asked_to
    a_waker_ends_the_present_or_the_next_wait_once
    a_waker_ends_a_wait_of_another_thread
    writes_are_reported_once_a_file_and_not_more_often_than_every_10_ms
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
        Read { id, file: file.clone(), offset, buf: self.region(len), at: 0 }
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

/// Waits until all reads are back.
fn finish(io: &mut dyn Io) -> BTreeMap<u64, (Read, std::io::Result<usize>)> {
    let (mut events, mut ended) = (Vec::new(), BTreeMap::new());
    let start = Instant::now();
    while io.in_flight() > 0 {
        assert!(start.elapsed() < LONG, "{} reads do not come back", io.in_flight());
        io.wait(LONG, &mut events);
        for event in events.drain(..) {
            let Event::Read { read, result } = event else { panic!("{event:?}") };
            assert!(ended.insert(read.id, (read, result)).is_none(), "a read completed twice");
        }
    }
    ended
}

/// The changes of one wait that has some.
fn changes(io: &mut dyn Io) -> Vec<Event> {
    let (mut events, start) = (Vec::new(), Instant::now());
    while events.is_empty() {
        assert!(start.elapsed() < LONG, "no change is reported");
        io.wait(LONG, &mut events);
    }
    events
}

fn written<'a>(events: &'a [Event]) -> Vec<&'a OsStr> {
    let name = |event: &'a Event| match event {
        Event::Changed { name, change: Change::Written, .. } => name.as_os_str(),
        other => panic!("{other:?}"),
    };
    events.iter().map(name).collect()
}

/// Nothing comes within a few coalescing times.
fn assert_quiet(io: &mut dyn Io) {
    let mut events = Vec::new();
    for _ in 0..3 {
        io.wait(COALESCE * 2, &mut events);
    }
    assert!(events.is_empty(), "{events:?}");
}

fn reads_go_where_they_are_asked_to(mut io: Box<dyn Io>, bench: Bench) {
    let bytes = noise(100_000, 1);
    let file = bench.file("a", &bytes);
    let mut buf = bench.region(1000);
    buf[..300].fill(7);
    io.read(Read { id: 9, file, offset: 4321, buf, at: 300 });
    assert_eq!(io.in_flight(), 1);
    let (read, result) = finish(&mut *io).remove(&9).expect("its read");
    assert_eq!(result.expect("bytes"), 700);
    assert!(read.buf[..300].iter().all(|byte| *byte == 7), "bytes before `at` are kept");
    assert_eq!(read.buf[300..], bytes[4321..][..700]);
}

fn the_end_of_a_file_is_a_short_read_and_then_nothing(mut io: Box<dyn Io>, bench: Bench) {
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
fn hundreds_of_reads_over_many_files_complete_once_each(mut io: Box<dyn Io>, bench: Bench) {
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
            let read =
                Read { id, file: file.clone(), offset: id * 79 + round, buf: slab.split_to(512), at: 12 };
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

fn reads_that_are_not_in_memory_complete(mut io: Box<dyn Io>, bench: Bench) {
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

fn reads_of_a_remote_mount_complete(mut io: Box<dyn Io>, bench: Bench) {
    fs::write(bench.path("a"), b"far away").expect("write");
    for device in 0..100 {
        let fd = OwnedFd::from(fs::File::open(bench.path("a")).expect("open"));
        let file = Arc::new(File::from_os(OsFile::new(fd, Some(device))));
        for id in 0..20 {
            let slabs = Bench::new(Files::Plain);
            io.read(slabs.read(device * 20 + id, &file, 4, 64));
        }
    }
    let ended = finish(&mut *io);
    assert_eq!(ended.len(), 2000);
    assert!(ended.into_values().all(|(read, result)| result.is_ok_and(|len| &read.buf[..len] == b"away")));
}

fn an_error_comes_with_its_read(mut io: Box<dyn Io>, bench: Bench) {
    let unreadable = OpenOptions::new().write(true).create(true).truncate(true).open(bench.path("a"));
    let file = Arc::new(File::from_os(OsFile::new(unreadable.expect("open").into(), None)));
    io.read(bench.read(3, &file, 0, 64));
    let (_, result) = finish(&mut *io).remove(&3).expect("its read");
    assert_eq!(result.expect_err("write only").raw_os_error(), Some(Errno::BADF.raw_os_error()));
}

fn cancelled_reads_complete_once_and_give_back_their_buffers(mut io: Box<dyn Io>, bench: Bench) {
    let file = bench.file("a", &noise(4096, 1));
    let mut slab = bench.slabs.take().expect("slab");
    for id in 0..600 {
        io.read(Read { id, file: file.clone(), offset: 0, buf: slab.split_to(1024), at: 0 });
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

fn dropping_with_reads_in_flight_frees_their_buffers(mut io: Box<dyn Io>, bench: Bench) {
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

fn a_wait_lasts_as_long_as_it_was_asked_to(mut io: Box<dyn Io>, bench: Bench) {
    io.watch(bench.dir.path()).expect("watch");
    for timeout in [5, 30, 60].map(Duration::from_millis) {
        let (start, mut events) = (Instant::now(), Vec::new());
        io.wait(timeout, &mut events);
        assert!(start.elapsed() >= timeout && events.is_empty());
        // Generous, for a loaded machine: a wait that lost its timeout would be found anyway.
        assert!(start.elapsed() < timeout + Duration::from_secs(5));
    }
    let start = Instant::now();
    (0..100).for_each(|_| io.wait(NOW, &mut Vec::new()));
    assert!(start.elapsed() < Duration::from_secs(5));
}

fn a_waker_ends_the_present_or_the_next_wait_once(mut io: Box<dyn Io>, _: Bench) {
    for _ in 0..3 {
        (0..10).for_each(|_| io.waker().wake());
        let start = Instant::now();
        io.wait(LONG, &mut Vec::new());
        assert!(start.elapsed() < LONG / 2);
        let start = Instant::now();
        io.wait(Duration::from_millis(20), &mut Vec::new());
        assert!(start.elapsed() >= Duration::from_millis(20), "ten calls are one");
    }
}

/// A thousand wake-ups, each answered before the next is sent: none is lost, whenever it falls.
fn a_waker_ends_a_wait_of_another_thread(mut io: Box<dyn Io>, _: Bench) {
    let waker = io.waker();
    let (ask, asked) = crossbeam_channel::bounded::<u32>(1);
    let (answer, answered) = crossbeam_channel::bounded::<u32>(1);
    let caller = thread::spawn(move || {
        for i in 0..1000 {
            ask.send(i).expect("the waiting side is there");
            waker.wake();
            assert_eq!(answered.recv_timeout(LONG), Ok(i));
        }
    });
    let mut seen = 0;
    while seen < 1000 {
        let start = Instant::now();
        io.wait(LONG, &mut Vec::new());
        assert!(start.elapsed() < LONG / 2, "a call was lost");
        for i in asked.try_iter() {
            seen += 1;
            answer.send(i).expect("the calling side is there");
        }
    }
    caller.join().expect("caller");
}

fn writes_are_reported_once_a_file_and_not_more_often_than_every_10_ms(mut io: Box<dyn Io>, bench: Bench) {
    let (a, b) = (bench.path("a"), bench.path("b"));
    fs::write(&a, b"").and_then(|()| fs::write(&b, b"")).expect("write");
    io.watch(bench.dir.path()).expect("watch");
    for _ in 0..50 {
        append(&a, b"x");
        append(&b, b"y");
    }
    assert_eq!(written(&changes(&mut *io)), ["a", "b"]);
    let reported = Instant::now();
    append(&a, b"x");
    // Waiting for reads in between does not bring it forward.
    let file = bench.open("a");
    let mut early = Vec::new();
    io.read(bench.read(1, &file, 0, 64));
    io.wait(LONG, &mut early);
    assert!(matches!(&early[..], [Event::Read { .. }]) || reported.elapsed() >= COALESCE, "{early:?}");
    early.retain(|event| matches!(event, Event::Changed { .. }));
    if early.is_empty() {
        early = changes(&mut *io);
    }
    assert_eq!(written(&early), ["a"]);
    assert!(reported.elapsed() >= COALESCE - Duration::from_millis(1));
    assert_quiet(&mut *io);
}

/// A container goes on writing to its log after `rm`.
fn writes_to_an_unlinked_file_are_reported(mut io: Box<dyn Io>, bench: Bench) {
    let mut held = fs::File::create(bench.path("a")).expect("create");
    io.watch(bench.dir.path()).expect("watch");
    fs::remove_file(bench.path("a")).expect("unlink");
    held.write_all(b"still here").expect("write");
    assert_eq!(written(&changes(&mut *io)), ["a"]);
}

fn truncation_is_reported(mut io: Box<dyn Io>, bench: Bench) {
    let file = fs::File::create(bench.path("a")).expect("create");
    file.set_len(100).expect("grow");
    io.watch(bench.dir.path()).expect("watch");
    file.set_len(0).expect("truncate");
    assert_eq!(written(&changes(&mut *io)), ["a"]);
}

fn nothing_is_reported_after_unwatch(mut io: Box<dyn Io>, bench: Bench) {
    fs::write(bench.path("a"), b"").expect("write");
    let watch = io.watch(bench.dir.path()).expect("watch");
    append(&bench.path("a"), b"queued");
    io.unwatch(watch);
    io.unwatch(watch);
    append(&bench.path("a"), b"later");
    assert_quiet(&mut *io);
    io.watch(bench.dir.path()).expect("watch again");
    append(&bench.path("a"), b"seen");
    assert_eq!(written(&changes(&mut *io)), ["a"]);
}

fn a_directory_that_goes_away_is_unwatched(mut io: Box<dyn Io>, bench: Bench) {
    for leave in [|dir: &Path| fs::remove_dir(dir), |dir: &Path| fs::rename(dir, dir.with_file_name("away"))]
    {
        let dir = bench.path("pod");
        fs::create_dir(&dir).expect("directory");
        let watch = io.watch(&dir).expect("watch");
        leave(&dir).expect("goes away");
        let events = changes(&mut *io);
        assert!(matches!(&events[..], [Event::Unwatched { watch: gone }] if *gone == watch), "{events:?}");
    }
    fs::write(bench.path("away/a"), b"").expect("write");
    assert_quiet(&mut *io);
}

fn only_directories_are_watched_and_each_once(mut io: Box<dyn Io>, bench: Bench) {
    fs::write(bench.path("a"), b"").expect("write");
    let failed = |result| matches!(result, Err(WatchError::Failed(_)));
    assert!(failed(io.watch(&bench.path("a"))) && failed(io.watch(&bench.path("missing"))));
    fs::create_dir(bench.path("dir")).expect("directory");
    std::os::unix::fs::symlink(bench.path("dir"), bench.path("link")).expect("link");
    let watch = io.watch(&bench.path("dir")).expect("watch");
    assert_eq!(io.watch(&bench.path("link")).expect("watch"), watch);
    assert_ne!(io.watch(bench.dir.path()).expect("watch"), watch);
}

/// The kernel's queue is full: the caller has to look for itself, and changes afterwards are reported again.
fn dropped_changes_are_told(mut io: Box<dyn Io>, bench: Bench) {
    let limit = crate::Limits::read().queued_changes.expect("inotify");
    assert!(limit <= 1 << 20, "raised so far that this test would take long");
    let open = |name| fs::File::create(bench.path(name)).expect("create");
    let (mut a, mut b) = (open("a"), open("b"));
    io.watch(bench.dir.path()).expect("watch");
    // Equal neighbours in the queue are one.
    for _ in 0..=limit / 2 {
        a.write_all(b"x").and_then(|()| b.write_all(b"x")).expect("write");
    }
    let mut events = Vec::new();
    while !events.iter().any(|event| matches!(event, Event::Overflow)) {
        events = changes(&mut *io);
    }
    a.write_all(b"x").expect("write");
    while !matches!(&changes(&mut *io)[..], [Event::Changed { .. }]) {}
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
        (0..300)
            .for_each(|id| io.read(Read { id, file: file.clone(), offset: 0, buf: slab.split_to(1), at: 0 }));
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
