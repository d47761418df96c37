use std::path::Path;
use std::time::Duration;

use redb::{Database, ReadableDatabase, TableDefinition};
use ringtail_memory::{Budget, SlabPool};

use super::{Faults, World};
use crate::{Change, Clock, Event, Fs, Interest, Io, Read, Watch};

fn wait(watch: &mut impl Watch) -> Vec<Event> {
    let mut events = Vec::new();
    watch.wait(Duration::ZERO, &mut events);
    events
}

/// A watcher hears what appears and vanishes, under its name, at most every 10 ms.
#[test]
fn a_watch_hears_entries_and_writes_and_coalesces() {
    let world = World::new(1);
    world.mkdir_all("/log").expect("mkdir");
    let mut watch = world.watcher();
    let id = watch.watch(Path::new("/log"), Interest::Entries).expect("watched");
    assert_eq!(watch.watch(Path::new("/log"), Interest::Contents).expect("again"), id);
    world.append("/log/a", "one").expect("append");
    world.rename("/log/a", "/log/b").expect("rename");
    let changes = |events: Vec<Event>| -> Vec<(String, Change)> {
        let changed = |event| match event {
            Event::Changed { watch, name, change } if watch == id => (name.to_string_lossy().into(), change),
            other => panic!("{other:?}"),
        };
        events.into_iter().map(changed).collect()
    };
    let expected =
        [("a", Change::Appeared), ("a", Change::Written), ("a", Change::Vanished), ("b", Change::Appeared)];
    assert_eq!(changes(wait(&mut watch)), expected.map(|(name, change)| (name.to_owned(), change)));
    world.append("/log/b", "two").expect("append");
    world.append("/log/b", "three").expect("append");
    assert!(wait(&mut watch).is_empty(), "10 ms are not over");
    world.advance(Duration::from_millis(10));
    assert_eq!(changes(wait(&mut watch)), [("b".to_owned(), Change::Written)]);
    world.advance(Duration::from_millis(10));
    world.remove_dir_all("/log").expect("remove");
    let events = wait(&mut watch);
    assert!(matches!(events.last(), Some(Event::Unwatched { watch }) if *watch == id), "{events:?}");
}

/// Reads go through a renamed, then deleted file; a crash makes the old incarnation's handles stale.
#[test]
fn a_shard_reads_what_is_open_until_the_crash() {
    let world = World::new(2);
    world.create("/a", "hello").expect("create");
    let file = world.fs().open(Path::new("/a")).expect("open");
    world.rename("/a", "/b").expect("rename");
    world.append("/b", " world").expect("append");
    world.unlink("/b").expect("unlink");
    assert_eq!((file.stat().expect("stat").links, world.open_files()), (0, 1));
    let mut io = world.io();
    let buf = SlabPool::new(&Budget::new(4 << 20)).take().expect("slab");
    io.read(Read { id: 7, file: file.clone(), offset: 2, buf, at: 10 });
    let mut events = Vec::new();
    io.wait(Duration::ZERO, &mut events);
    let Some(Event::Read { read, result: Ok(9) }) = events.pop() else { panic!("no read") };
    assert_eq!((read.id, &read.buf[10..19], io.in_flight()), (7, &b"llo world"[..], 0));
    io.read(read);
    world.crash();
    io.wait(Duration::ZERO, &mut events);
    assert!(events.is_empty() && file.read_at(&mut [0; 4], 0).is_err());
    assert_eq!(world.open_files(), 0);
}

const TABLE: TableDefinition<'_, u64, u64> = TableDefinition::new("t");

/// A committed transaction survives every crash, an uncommitted one none.
#[test]
fn redb_keeps_what_was_committed_over_crashes() {
    for seed in 0..20 {
        let world = World::new(seed);
        world.set_faults(Faults { torn_write: 0.5, ..Faults::none() });
        let mut committed = 0;
        for _ in 0..5 {
            let storage = world.storage("/data/checkpoint").expect("storage");
            let db = Database::builder().set_cache_size(1 << 20).create_with_backend(storage).expect("open");
            if committed > 0 {
                let read = db.begin_read().expect("read").open_table(TABLE).expect("table");
                let found = read.get(0).expect("get").map(|value| value.value());
                assert_eq!(found, Some(committed), "seed {seed}: {:#?}", world.history());
            }
            for _ in 0..1 + world.random(5) {
                let write = db.begin_write().expect("begin");
                write.open_table(TABLE).expect("table").insert(0, committed + 1).expect("insert");
                write.commit().expect("commit");
                committed += 1;
            }
            let write = db.begin_write().expect("begin");
            write.open_table(TABLE).expect("table").insert(0, 999).expect("insert");
            world.crash();
        }
    }
}

/// Time moves only when the test says so.
#[test]
fn the_clock_stands_until_it_is_advanced() {
    let world = World::new(3);
    let clock = world.clock();
    let (now, wall) = (clock.now(), clock.wall_ns());
    world.advance(Duration::from_secs(2));
    world.jump_wall(-5_000_000_000);
    assert_eq!((clock.now() - now, clock.wall_ns() - wall), (Duration::from_secs(2), -3_000_000_000));
}
