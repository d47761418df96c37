//! What watches tell.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use super::{io_events, watch_events};
use crate::sim::World;
use crate::{Change, Event, Interest, Io, Watch, WatchId};

const PAUSE: Duration = Duration::from_millis(10);

fn changes(events: Vec<Event>, of: WatchId) -> Vec<(String, Change)> {
    let changed = |event| match event {
        Event::Changed { watch, name, change } if watch == of => (name.to_string_lossy().into(), change),
        other => panic!("{other:?}"),
    };
    events.into_iter().map(changed).collect()
}

fn named<const N: usize>(expected: [(&str, Change); N]) -> Vec<(String, Change)> {
    expected.map(|(name, change)| (name.to_owned(), change)).to_vec()
}

/// One watch of both kinds hears everything in order; equal neighbours are one; a report is followed by a pause.
#[test]
fn entries_and_writes_are_told_in_order_and_at_most_every_ten_milliseconds() {
    let world = World::new(1);
    world.mkdir_all("/log").expect("mkdir");
    let mut watch = world.watcher();
    let id = watch.watch(Path::new("/log"), Interest::Entries).expect("watched");
    assert_eq!(watch.watch(Path::new("/log"), Interest::Contents).expect("again"), id);
    world.append("/log/a", "one").expect("append");
    world.rename("/log/a", "/log/b").expect("rename");
    let expected =
        [("a", Change::Appeared), ("a", Change::Written), ("a", Change::Vanished), ("b", Change::Appeared)];
    assert_eq!(changes(watch_events(&mut watch), id), named(expected));
    world.append("/log/b", "two").expect("append");
    world.append("/log/b", "three").expect("append");
    assert!(watch_events(&mut watch).is_empty(), "the pause is not over");
    world.advance(PAUSE);
    assert_eq!(changes(watch_events(&mut watch), id), named([("b", Change::Written)]));
    world.advance(PAUSE);
    world.unlink("/log/b").expect("unlink");
    watch.unwatch(id);
    assert!(watch_events(&mut watch).is_empty());
}

/// A shard hears writes only, of a writer that holds its file also under the new name, and nothing once it is deleted.
#[test]
fn a_held_file_is_told_under_its_present_name() {
    let world = World::new(2);
    world.mkdir_all("/log").expect("mkdir");
    world.symlink("log", "/link").expect("symlink");
    let writer = world.writer("/log/0.log").expect("writer");
    let mut io = world.io();
    let id = io.watch(Path::new("/link")).expect("watched");
    assert_eq!(io.watch(Path::new("/log")).expect("the same directory"), id);
    writer.append("x").expect("append");
    world.rename("/log/0.log", "/log/0.log.1").expect("rename");
    writer.append("y").expect("append");
    world.append("/log/0.log", "z").expect("append");
    world.unlink("/log/0.log.1").expect("unlink");
    writer.append("unheard").expect("append");
    let expected = [("0.log", Change::Written), ("0.log.1", Change::Written), ("0.log", Change::Written)];
    assert_eq!(changes(io_events(&mut io), id), named(expected));
}

/// A deleted or renamed directory ends its watch, once.
#[test]
fn a_directory_that_goes_ends_its_watch() {
    let world = World::new(3);
    world.mkdir_all("/a/b").expect("mkdir");
    world.mkdir_all("/c").expect("mkdir");
    let mut watch = world.watcher();
    let [b, c] = ["/a/b", "/c"].map(|dir| watch.watch(Path::new(dir), Interest::Entries).expect("watched"));
    world.remove_dir_all("/a").expect("remove");
    world.rename("/c", "/d").expect("rename");
    world.create("/d/x", "unheard").expect("create");
    let gone: Vec<WatchId> = watch_events(&mut watch)
        .into_iter()
        .map(|event| match event {
            Event::Unwatched { watch } => watch,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(gone, [b, c]);
    let again = watch.watch(Path::new("/d"), Interest::Entries).expect("watched");
    assert!(again != c, "ids are not given again");
}

/// What nobody fetches does not grow without bound: beyond the limit it is an overflow.
#[test]
fn a_full_queue_overflows() {
    let world = World::new(4);
    let mut watch = world.watcher();
    watch.watch(Path::new("/"), Interest::Entries).expect("watched");
    for nth in 0..20_000 {
        world.create(format!("/{nth}"), "").expect("create");
    }
    let events = watch_events(&mut watch);
    assert_eq!(events.len(), 16_385);
    assert!(matches!(events.last(), Some(Event::Overflow)));
}

/// Compression as kubelet does it is seen as a temporary file, its renaming, and the original's end; the contents stay.
#[test]
fn compression_is_told_step_by_step_and_keeps_the_contents() {
    let world = World::new(5);
    world.create("/0.log.1", "line\n".repeat(1000)).expect("create");
    let mut watch = world.watcher();
    let id = watch.watch(Path::new("/"), Interest::Entries).expect("watched");
    world.gzip("/0.log.1").expect("gzip");
    let expected = [
        ("0.log.1.tmp", Change::Appeared),
        ("0.log.1.tmp", Change::Vanished),
        ("0.log.1.gz", Change::Appeared),
        ("0.log.1", Change::Vanished),
    ];
    assert_eq!(changes(watch_events(&mut watch), id), named(expected));
    assert_eq!(world.paths().expect("paths"), [Path::new("/0.log.1.gz")]);
    let mut plain = String::new();
    let compressed = world.read("/0.log.1.gz").expect("read");
    flate2::read::GzDecoder::new(&compressed[..]).read_to_string(&mut plain).expect("gzip");
    assert_eq!(plain, "line\n".repeat(1000));
}
