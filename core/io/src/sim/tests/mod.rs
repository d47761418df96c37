//! The simulator against the real file system, against redb, and against its own promises.

mod against_disk;
mod faulty;
mod stored;
mod told;

use std::sync::Arc;
use std::time::Duration;

use ringtail_memory::{Budget, Region, SlabPool};

use super::World;
use crate::{Clock, Event, File, Io, Read, ReadId, Watch};

/// A buffer of `len` bytes.
fn buffer(len: usize) -> Region {
    SlabPool::new(&Budget::new(4 << 20)).take().expect("slab").split_to(len)
}

fn whole(id: ReadId, file: &Arc<File>, len: usize) -> Read {
    Read { id, file: file.clone(), offset: 0, buf: buffer(len), at: 0, least: 1 }
}

fn io_events(io: &mut impl Io) -> Vec<Event> {
    let mut events = Vec::new();
    io.wait(Duration::from_secs(1), &mut events);
    events
}

fn watch_events(watch: &mut impl Watch) -> Vec<Event> {
    let mut events = Vec::new();
    watch.wait(Duration::from_secs(1), &mut events);
    events
}

/// Time moves only when the test says so; waits of a second do not.
#[test]
fn the_clock_stands_until_it_is_advanced() {
    let world = World::new(3);
    let clock = world.clock();
    let (now, wall) = (clock.now(), clock.wall_ns());
    assert!(io_events(&mut world.io()).is_empty());
    world.advance(Duration::from_secs(2));
    world.jump_wall(-5_000_000_000);
    assert_eq!((clock.now() - now, clock.wall_ns() - wall), (Duration::from_secs(2), -3_000_000_000));
}
