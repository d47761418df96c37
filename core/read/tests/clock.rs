//! A clock that was set back: what lies before the files of the checkpoint is told by names that are no times.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringtail_io::Clock;
use ringtail_io::sim::World;
use ringtail_read::{FileRecord, FileSpec, Listing, OpenFiles, Scanner, Sighting};

const LOG: &str = "/var/log/app.log";

fn scanner(world: &World) -> Scanner {
    let spec = FileSpec { id: 7, paths: vec![LOG.to_owned()], ..FileSpec::default() };
    let clock: Arc<dyn Clock> = Arc::new(world.clock());
    Scanner::new(Arc::new(world.fs()), clock, OpenFiles::new(100), &[spec]).expect("patterns")
}

fn rotated(number: u32) -> String {
    format!("{LOG}.{number}")
}

/// Five files of which the checkpoint knows the two newest, after a restart with a clock that is a day behind: the others were read
/// before, and are not read again.
#[test]
fn numbered_files_from_before_the_checkpoint_stay_old_where_the_clock_was_set_back() {
    let world = World::new(1);
    world.mkdir_all("/var/log").expect("an empty world");
    for file in 0..5 {
        for number in (1..file).rev() {
            world.rename(rotated(number), rotated(number + 1)).expect("it is there");
        }
        if file > 0 {
            world.rename(LOG, rotated(1)).expect("it is there");
        }
        world.append(LOG, format!("contents of file {file}\n")).expect("a log");
        world.advance(Duration::from_secs(10));
    }
    let all: Vec<Listing> = scanner(&world).scan_all();
    let known: Vec<FileRecord> =
        all[0].files.iter().map(Sighting::record).filter(|file| file.generation >= 3).collect();
    assert_eq!(known.len(), 2);
    world.jump_wall(-86_400_000_000_000);
    let mut scanner = scanner(&world);
    scanner.restore(&Arc::from(Path::new(LOG)), &known, Vec::new());
    let listings = scanner.scan_all();
    let files: Vec<u32> =
        listings.iter().flat_map(|listing| &listing.files).map(|file| file.generation).collect();
    assert_eq!(files, [3, 4], "{listings:?}");
}
