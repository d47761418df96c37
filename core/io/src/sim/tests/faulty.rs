//! What faults may do and what they may not; and that a seed decides all of it.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use super::{buffer, io_events, watch_events, whole};
use crate::sim::{Faults, World};
use crate::{Event, Fs, Interest, Io, Read, Watch, WatchError};

const LOG: &str = "/log/a";

fn world(seed: u64, faults: Faults) -> World {
    let world = World::new(seed);
    world.mkdir_all("/log").expect("mkdir");
    world.set_faults(faults);
    world
}

/// A deleted file is read by who holds it; a crash makes handles and reads of the old incarnation dead.
#[test]
fn what_is_open_is_read_until_the_crash() {
    let world = world(2, Faults::none());
    world.create(LOG, "hello").expect("create");
    let file = world.fs().open(Path::new(LOG)).expect("open");
    world.rename(LOG, "/log/b").expect("rename");
    world.append("/log/b", " world").expect("append");
    world.unlink("/log/b").expect("unlink");
    assert_eq!((file.stat().expect("stat").links, world.open_files()), (0, 1));
    let mut io = world.io();
    io.read(Read { id: 7, file: file.clone(), offset: 2, buf: buffer(100), at: 10, least: 1 });
    let Some(Event::Read { read, result: Ok(9) }) = io_events(&mut io).pop() else { panic!("no read") };
    assert_eq!((read.id, &read.buf[10..19], io.in_flight()), (7, &b"llo world"[..], 0));
    io.read(read);
    world.crash();
    assert!(io_events(&mut io).is_empty());
    assert_eq!(
        file.read_at(&mut [0; 4], 0).map_err(|error| error.kind()),
        Err(ErrorKind::StaleNetworkFileHandle)
    );
    assert_eq!(world.open_files(), 0);
    let mut next = world.io();
    let id = next.watch(Path::new("/log")).expect("watch");
    drop((file, io));
    world.append(LOG, "x").expect("append");
    let events = io_events(&mut next);
    assert!(matches!(&events[..], [Event::Changed { watch, .. }] if *watch == id), "{events:?}");
}

/// Under all faults at once every read completes exactly once, with bytes that are in the file at its offset.
#[test]
fn every_read_completes_once_and_never_with_wrong_bytes() {
    let contents: Vec<u8> = (0..4000u32).flat_map(u32::to_le_bytes).collect();
    let mut ends = [0; 4];
    for seed in 0..50 {
        let world = world(seed, Faults::none());
        world.random_faults();
        world.create(LOG, &contents).expect("create");
        let Ok(file) = world.fs().open(Path::new(LOG)) else { continue };
        let (mut io, mut open) = (world.io(), BTreeSet::new());
        for id in 0..64 {
            let offset = world.random(17_000);
            io.read(Read { id, file: file.clone(), offset, buf: buffer(512), at: 100, least: 1 });
            open.insert(id);
            if world.random(4) == 0 {
                io.cancel(world.random(64));
            }
            for _ in 0..if id == 63 { 100 } else { 1 } {
                world.advance(Duration::from_millis(world.random(200)));
                for event in io_events(&mut io) {
                    let Event::Read { read, result } = event else { panic!("{event:?}") };
                    assert!(open.remove(&read.id), "read {} came twice", read.id);
                    ends[end(&read, result, &contents)] += 1;
                }
            }
        }
        assert!(open.is_empty() && io.in_flight() == 0, "seed {seed}: {open:?}: {:#?}", world.history());
    }
    assert!(ends.iter().all(|count| *count > 0), "some faults did not strike: {ends:?}");
}

/// How a read ended: 0 whole, 1 short, 2 cancelled, 3 failed. Checks what it brought.
fn end(read: &Read, result: io::Result<usize>, contents: &[u8]) -> usize {
    match result.map_err(|error| error.raw_os_error()) {
        Ok(len) => {
            let rest = usize::try_from(read.offset).ok().and_then(|at| contents.get(at..)).unwrap_or(&[]);
            assert_eq!(read.buf[100..100 + len], rest[..len]);
            assert_eq!(len == 0, rest.is_empty(), "only the end of the file is empty");
            usize::from(len < rest.len().min(412))
        }
        Err(Some(libc::ECANCELED)) => 2,
        Err(Some(libc::EIO)) => 3,
        Err(other) => panic!("{other:?}"),
    }
}

/// A slow read is not there before its time, and may answer with what the file held when it was submitted.
#[test]
fn slow_reads_take_virtual_time_and_may_be_of_the_past() {
    let faults = Faults { slow_read: 1.0, slow_max: Duration::from_secs(1), ..Faults::none() };
    let (mut past, mut present) = (0, 0);
    for seed in 0..30 {
        let world = world(seed, faults);
        world.create(LOG, "one").expect("create");
        let (mut io, file) = (world.io(), world.fs().open(Path::new(LOG)).expect("open"));
        io.read(whole(1, &file, 10));
        assert!(io_events(&mut io).is_empty() && io.in_flight() == 1);
        world.append(LOG, "two").expect("append");
        world.advance(Duration::from_secs(1));
        match io_events(&mut io).pop() {
            Some(Event::Read { result: Ok(3), .. }) => past += 1,
            Some(Event::Read { result: Ok(6), .. }) => present += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(past > 0 && present > 0);
}

/// A broken file fails until the world is healed; others go on.
#[test]
fn a_broken_file_stays_broken_until_it_is_healed() {
    let world = world(5, Faults { broken_file: 1.0, ..Faults::none() });
    world.create(LOG, "x").expect("create");
    world.create("/log/b", "x").expect("create");
    let open = |path| world.fs().open(Path::new(path)).expect("open");
    let (broken, other) = (open(LOG), open("/log/b"));
    assert!(broken.read_at(&mut [0], 0).is_err());
    world.set_faults(Faults::none());
    assert!(broken.read_at(&mut [0], 0).is_err() && other.read_at(&mut [0], 0).is_ok());
    world.heal();
    assert!(broken.read_at(&mut [0], 0).is_ok());
}

/// Refused, blind and overflowing watches, failing calls, incomplete listings.
#[test]
fn faults_of_watches_and_calls_strike() {
    let all = |faults| world(6, faults);
    let dir = Path::new("/log");
    let refused = all(Faults { watch_exhausted: 1.0, ..Faults::none() });
    assert!(matches!(refused.watcher().watch(dir, Interest::Entries), Err(WatchError::Exhausted)));
    assert!(matches!(
        refused.watcher().watch(Path::new("/no"), Interest::Entries),
        Err(WatchError::Failed(_))
    ));

    let heard = |world: &World| {
        let mut watch = world.watcher();
        watch.watch(dir, Interest::Entries).expect("watched");
        (0..3).for_each(|nth| world.create(format!("/log/{nth}"), "x").expect("create"));
        (watch_events(&mut watch), watch)
    };
    assert!(heard(&all(Faults { blind_watch: 1.0, ..Faults::none() })).0.is_empty());
    let (events, _) = heard(&all(Faults { overflow: 1.0, ..Faults::none() }));
    assert!(matches!(events[..], [Event::Overflow]), "{events:?}");
    let late = all(Faults { late_changes: 1.0, ..Faults::none() });
    let (events, mut watch) = heard(&late);
    assert!(events.is_empty());
    late.set_faults(Faults::none());
    assert_eq!(watch_events(&mut watch).len(), 3);

    late.set_faults(Faults { missed_entry: 1.0, ..Faults::none() });
    assert_eq!(late.fs().read_dir(dir).expect("list").len(), 2);
    late.set_faults(Faults { open_error: 1.0, stat_error: 1.0, read_dir_error: 1.0, ..Faults::none() });
    let fs = late.fs();
    assert!(fs.open(Path::new("/log/0")).is_err() && fs.stat(dir).is_err() && fs.read_dir(dir).is_err());
    assert_eq!(late.open_files(), 0);
}

/// A new file may get the inode number of a deleted one, but not of one that is still held open.
#[test]
fn inode_numbers_are_used_again_when_their_file_is_gone() {
    let world = world(7, Faults { inode_reuse: 1.0, ..Faults::none() });
    let ino = |path: &str| world.stat(path).expect("stat").ino;
    world.create(LOG, "x").expect("create");
    let first = ino(LOG);
    let held = world.fs().open(Path::new(LOG)).expect("open");
    world.unlink(LOG).expect("unlink");
    world.create(LOG, "y").expect("create");
    assert_ne!(ino(LOG), first);
    drop(held);
    world.create("/log/b", "z").expect("create");
    assert_eq!(ino("/log/b"), first);
}

/// A run over everything that draws from the seed.
fn run(seed: u64) -> (u64, Vec<String>) {
    let world = world(seed, Faults::none());
    world.random_faults();
    let (fs, mut io, mut watch) = (world.fs(), world.io(), world.watcher());
    let _ = (io.watch(Path::new("/log")), watch.watch(Path::new("/log"), Interest::Entries));
    for id in 0..200 {
        let path = format!("/log/{}", world.random(4));
        let _ = match world.random(5) {
            0 => world.rename(&path, "/log/old"),
            1 => world.unlink(&path),
            2 => world.gzip(&path),
            _ => world.append(&path, "some bytes"),
        };
        if let Ok(file) = fs.open(Path::new(&path)) {
            io.read(whole(id, &file, 64));
        }
        if let Ok(names) = fs.read_dir(Path::new("/log")) {
            world.note(format_args!("{names:?}"));
        }
        world.advance(Duration::from_millis(world.random(30)));
        io_events(&mut io);
        watch_events(&mut watch);
    }
    (world.fingerprint(), world.history())
}

#[test]
fn equal_seeds_give_equal_histories_and_others_do_not() {
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1).0, run(2).0);
}
