//! A directory that never rests: each time it is listed, the log is rotated right after, and perhaps an older file is compressed
//! meanwhile.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use ringtail_io::sim::{Meddle, World};
use ringtail_io::{Clock, DirEntry};
use ringtail_read::{FileSpec, OpenFiles, Scanner};

const LOG: &str = "/var/log/app.log";

/// How the log is rotated.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Rename,
    Compress,
    CopyTruncate,
}

#[derive(Debug)]
struct Restless {
    world: World,
    rests: AtomicBool,
    way: Way,
    rotations: AtomicU32,
}

fn rotated(number: u32) -> String {
    format!("{LOG}.20260102-{number:06}")
}

fn contents(number: u32) -> String {
    format!("contents {number}\n")
}

impl Meddle for Restless {
    fn world(&self) -> &World {
        &self.world
    }

    fn listed(&self, entries: &mut Vec<DirEntry>) -> io::Result<()> {
        if self.rests.load(Ordering::Relaxed) {
            return Ok(());
        }
        let number = self.rotations.fetch_add(1, Ordering::Relaxed);
        if self.way == Way::Compress && number > 1 {
            // Its new name was passed already, and its old one is gone when that is come to.
            let old = PathBuf::from(rotated(number - 2));
            self.world.gzip(&old)?;
            entries.retain(|entry| Some(entry.name.as_os_str()) != old.file_name());
        }
        match self.way {
            Way::Rename | Way::Compress => self.world.rename(LOG, rotated(number))?,
            Way::CopyTruncate => {
                self.world.copy(LOG, rotated(number))?;
                self.world.truncate(LOG, 0)?;
            }
        }
        self.world.append(LOG, contents(number + 1))?;
        self.world.advance(Duration::from_millis(100));
        Ok(())
    }
}

/// Every file that was rotated before the log that a look saw is found by that look, so that the numbers are those of the contents,
/// and nothing is taken for gone.
#[test]
fn files_of_a_directory_that_never_rests_are_numbered_in_their_order() {
    for way in [Way::Rename, Way::Compress, Way::CopyTruncate] {
        let world = World::new(1);
        world.mkdir_all("/var/log").expect("an empty world");
        world.append(LOG, contents(0)).expect("a log");
        let (rests, rotations) = (AtomicBool::new(true), AtomicU32::new(0));
        let fs = Arc::new(Restless { world: world.clone(), rests, way, rotations });
        let spec = FileSpec { id: 7, paths: vec![LOG.to_owned()], ..FileSpec::default() };
        let clock: Arc<dyn Clock> = Arc::new(world.clock());
        let mut scanner = Scanner::new(fs.clone(), clock, OpenFiles::new(1000), &[spec]).expect("patterns");
        let mut told = 0;
        for (look, rests) in [true, false, false, false, false, true].into_iter().enumerate() {
            fs.rests.store(rests, Ordering::Relaxed);
            world.append(format!("/var/log/{look}.txt"), "").expect("something to list the directory for");
            world.advance(Duration::from_secs(5));
            for listing in scanner.scan_all() {
                assert_eq!(&*listing.lineage, Path::new(LOG), "a stray: {:?}", listing.files);
                for file in &listing.files {
                    let head = ringtail_read::Head::new(contents(file.generation).as_bytes());
                    assert_eq!(file.head, head, "{} is {:?}", file.generation, file.path);
                }
                assert!(
                    listing.files.len() >= told,
                    "{way:?}: of {told} files only {:?} are there",
                    listing.files
                );
                told = listing.files.len();
            }
        }
        let all = fs.rotations.load(Ordering::Relaxed) as usize + 1;
        assert_eq!(told, all, "{way:?}");
        assert!(all > 10, "it never rested: {all}");
    }
}
