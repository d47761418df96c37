//! Waiting: timeouts, wakers, changes.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Bench, LONG, NOW, append};
use crate::lookout::COALESCE;
use crate::{Change, Event, Io, WatchError};

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

pub(super) fn a_wait_lasts_as_long_as_it_was_asked_to(mut io: Box<dyn Io>, bench: Bench) {
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

pub(super) fn a_waker_ends_the_present_or_the_next_wait_once(mut io: Box<dyn Io>, _: Bench) {
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
pub(super) fn a_waker_ends_a_wait_of_another_thread(mut io: Box<dyn Io>, _: Bench) {
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

pub(super) fn writes_are_reported_once_a_file_and_no_sooner_than_they_have_gathered(
    mut io: Box<dyn Io>,
    bench: Bench,
) {
    let (a, b) = (bench.path("a"), bench.path("b"));
    fs::write(&a, b"").and_then(|()| fs::write(&b, b"")).expect("write");
    io.watch(bench.dir.path()).expect("watch");
    for _ in 0..50 {
        append(&a, b"x");
        append(&b, b"y");
    }
    // The rest begins within the call: counted from before it, a slow machine cannot make it look shorter.
    let reported = Instant::now();
    assert_eq!(written(&changes(&mut *io)), ["a", "b"]);
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
pub(super) fn writes_to_an_unlinked_file_are_reported(mut io: Box<dyn Io>, bench: Bench) {
    let mut held = fs::File::create(bench.path("a")).expect("create");
    io.watch(bench.dir.path()).expect("watch");
    fs::remove_file(bench.path("a")).expect("unlink");
    held.write_all(b"still here").expect("write");
    assert_eq!(written(&changes(&mut *io)), ["a"]);
}

pub(super) fn truncation_is_reported(mut io: Box<dyn Io>, bench: Bench) {
    let file = fs::File::create(bench.path("a")).expect("create");
    file.set_len(100).expect("grow");
    io.watch(bench.dir.path()).expect("watch");
    file.set_len(0).expect("truncate");
    assert_eq!(written(&changes(&mut *io)), ["a"]);
}

pub(super) fn nothing_is_reported_after_unwatch(mut io: Box<dyn Io>, bench: Bench) {
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

pub(super) fn a_directory_that_goes_away_is_unwatched(mut io: Box<dyn Io>, bench: Bench) {
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

pub(super) fn only_directories_are_watched_and_each_once(mut io: Box<dyn Io>, bench: Bench) {
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
pub(super) fn dropped_changes_are_told(mut io: Box<dyn Io>, bench: Bench) {
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
