//! Files that the scanner itself has open for a look, beside those that [`OpenFiles`] counts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ringtail_io::sim::{SimFs, World};
use ringtail_io::{Clock, DirEntry, File, Fs, Stat};
use ringtail_read::{FileSpec, OpenFiles, Scanner};

/// All is far, and asked eight at a time on threads as on the real machine.
struct Far {
    fs: SimFs,
    open: Mutex<Vec<Weak<File>>>,
    most: AtomicUsize,
    threads: AtomicUsize,
    most_threads: AtomicUsize,
}

impl Fs for Far {
    fn open_as(&self, path: &Path) -> io::Result<(Arc<File>, Stat)> {
        std::thread::sleep(Duration::from_millis(2));
        let (file, stat) = self.fs.open_as(path)?;
        let mut open = self.open.lock().expect("no panic");
        open.push(Arc::downgrade(&file));
        open.retain(|file| file.strong_count() > 0);
        self.most.fetch_max(open.len(), Ordering::Relaxed);
        Ok((file, stat))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.fs.stat(path)
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        self.fs.lstat(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.fs.read_dir(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.fs.canonical(path)
    }

    fn is_far(&self, _: &Path) -> bool {
        true
    }

    fn each(&self, _: &Path, count: usize, work: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let serve = || {
            let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            numbers.take_while(|number| *number < count).for_each(work);
        };
        std::thread::scope(|scope| {
            for _ in 1..count.min(8) {
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
        fs: world.fs(),
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
