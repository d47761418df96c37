//! Files that the scanner itself has open for a look, beside those that [`OpenFiles`] counts.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ringtail_io::sim::{Call, Meddle, World};
use ringtail_io::{Clock, FAR_AT_ONCE, File};
use ringtail_read::{FileSpec, OpenFiles, Scanner};

/// All is far, and asked eight at a time on threads as on the real machine.
struct Far {
    world: World,
    open: Mutex<Vec<Weak<File>>>,
    most: AtomicUsize,
    threads: AtomicUsize,
    most_threads: AtomicUsize,
}

impl Meddle for Far {
    fn world(&self) -> &World {
        &self.world
    }

    fn before(&self, call: Call, _: &Path) -> io::Result<()> {
        if call == Call::Open {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn opened(&self, file: &Arc<File>) {
        let mut open = self.open.lock().expect("no panic");
        open.push(Arc::downgrade(file));
        open.retain(|file| file.strong_count() > 0);
        self.most.fetch_max(open.len(), Ordering::Relaxed);
    }

    fn leads_far(&self, _: &Path) -> bool {
        true
    }

    fn work(&self, _: &Path, count: usize, work: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let serve = || {
            let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            numbers.take_while(|number| *number < count).for_each(work);
        };
        std::thread::scope(|scope| {
            for _ in 1..count.min(FAR_AT_ONCE) {
                scope.spawn(|| {
                    let threads = self.threads.fetch_add(1, Ordering::Relaxed) + 1;
                    self.most_threads.fetch_max(threads, Ordering::Relaxed);
                    serve();
                    self.threads.fetch_sub(1, Ordering::Relaxed);
                });
            }
            serve();
        });
    }
}

/// Eight far logs with 40 rotated files each, in directories of their own, of which 16 files may be open. What a look has open beside
/// these is what one log needs, or `nofile` 256 is not enough where it was; and it has as many threads as a mount serves.
#[test]
fn looks_at_several_far_logs_at_once_have_no_more_files_open_than_one_and_no_threads_without_end() {
    const ROTATED: usize = 40;
    let world = World::new(1);
    for dir in 0..8 {
        world.mkdir_all(format!("/far/{dir}")).expect("made");
        for number in (0..=ROTATED).rev() {
            let name = if number == 0 { "0.log".to_owned() } else { format!("0.log.{number}") };
            world.append(format!("/far/{dir}/{name}"), format!("{number} of {dir}\n")).expect("written");
            world.advance(Duration::from_secs(1));
        }
    }
    world.advance(Duration::from_secs(60));
    let fs = Arc::new(Far {
        world: world.clone(),
        open: Mutex::default(),
        most: AtomicUsize::new(0),
        threads: AtomicUsize::new(0),
        most_threads: AtomicUsize::new(0),
    });
    let spec = FileSpec { id: 7, paths: vec!["/far/*/*.log".to_owned()], ..FileSpec::default() };
    let clock: Arc<dyn Clock> = Arc::new(world.clock());
    let mut scanner = Scanner::new(fs.clone(), clock, OpenFiles::new(16), &[spec]).expect("patterns");
    let told = scanner.scan_all();
    assert_eq!(told.len(), 8);
    let (files, threads) = (fs.most.load(Ordering::Relaxed), fs.most_threads.load(Ordering::Relaxed));
    println!("{files} files and {threads} threads at most");
    assert!(files <= 16 + ROTATED + 8 && threads <= 16, "{files} files and {threads} threads at most");
}
