//! What the scanner uses: opening, looking, listing and watching for entries.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ringtail_io::{Change, Event, Fs, Interest, Kind, RealFs, RealWatch, Watch};

const LONG: Duration = Duration::from_secs(20);

fn make_fifo(path: &Path) {
    let name = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &name,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("fifo");
}

/// A pod can put anything where a log is expected: a FIFO nobody writes to must not hold the scanner.
#[test]
fn only_regular_files_are_opened_and_nothing_blocks() {
    let dir = tempfile::tempdir().expect("directory");
    make_fifo(&dir.path().join("fifo"));
    for path in [&dir.path().join("fifo"), dir.path(), Path::new("/dev/null")] {
        assert_eq!(RealFs.open(path).expect_err("not a file").kind(), ErrorKind::InvalidInput, "{path:?}");
    }
    assert_eq!(RealFs.open(&dir.path().join("none")).expect_err("none").kind(), ErrorKind::NotFound);
}

#[test]
fn an_open_file_tells_who_it_is_also_after_it_was_deleted() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("a");
    fs::write(&path, b"0123456789").expect("write");
    let file = RealFs.open(&path).expect("open");
    let seen = RealFs.stat(&path).expect("stat");
    assert_eq!(file.stat().expect("stat"), seen);
    assert_eq!((seen.size, seen.links, seen.kind), (10, 1, Kind::File));
    let modified = fs::metadata(&path).expect("metadata").modified().expect("time");
    let modified = modified.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
    assert_eq!(i64::try_from(modified), Ok(seen.modified_ns));
    fs::remove_file(&path).expect("delete");
    assert_eq!(file.stat().expect("stat").links, 0);
    let mut buf = [0; 8];
    assert_eq!(file.read_at(&mut buf, 7).expect("read"), 3);
    assert_eq!(&buf[..3], b"789");
    assert_eq!(file.read_at(&mut buf, 10).expect("read"), 0);
}

#[test]
fn a_listing_tells_names_and_kinds_and_symlinks_are_resolved_on_request() {
    let dir = tempfile::tempdir().expect("directory");
    let root = RealFs.canonical(dir.path()).expect("canonical");
    fs::write(root.join("file"), b"").and_then(|()| fs::create_dir(root.join("dir"))).expect("make");
    std::os::unix::fs::symlink("file", root.join("link")).expect("link");
    make_fifo(&root.join("fifo"));
    let listing = RealFs.read_dir(&root).expect("listing");
    let kinds: BTreeMap<_, _> =
        listing.into_iter().map(|entry| (entry.name.into_string().expect("text"), entry.kind)).collect();
    let expected =
        [("dir", Kind::Directory), ("fifo", Kind::Other), ("file", Kind::File), ("link", Kind::Symlink)];
    assert_eq!(kinds, expected.map(|(name, kind)| (name.into(), kind)).into());
    assert_eq!(RealFs.stat(&root.join("link")).expect("stat").kind, Kind::File);
    assert_eq!(RealFs.canonical(&root.join("dir/../link")).expect("canonical"), root.join("file"));
}

#[test]
fn entries_that_appear_and_vanish_are_reported_in_order_and_writes_are_not() {
    let dir = tempfile::tempdir().expect("directory");
    let mut watch = RealWatch::new().expect("watch");
    let id = watch.watch(dir.path(), Interest::Entries).expect("watch");
    let mut file = fs::File::create(dir.path().join("0.log")).expect("create");
    file.write_all(b"line\n").expect("write");
    fs::rename(dir.path().join("0.log"), dir.path().join("0.log.1")).expect("rotate");
    fs::remove_file(dir.path().join("0.log.1")).expect("delete");
    let mut events = Vec::new();
    watch.wait(LONG, &mut events);
    let seen = events.iter().map(|event| match event {
        Event::Changed { watch, name, change } if *watch == id => (name.to_str().expect("text"), *change),
        other => panic!("{other:?}"),
    });
    let expected = [
        ("0.log", Change::Appeared),
        ("0.log", Change::Vanished),
        ("0.log.1", Change::Appeared),
        ("0.log.1", Change::Vanished),
    ];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
}

/// A directory may be wanted for its entries by one pattern and its contents by another.
#[test]
fn interests_in_one_directory_add_up() {
    let dir = tempfile::tempdir().expect("directory");
    let mut watch = RealWatch::new().expect("watch");
    let id = watch.watch(dir.path(), Interest::Entries).expect("watch");
    assert_eq!(watch.watch(dir.path(), Interest::Contents).expect("watch"), id);
    fs::write(dir.path().join("a"), b"x").expect("write");
    let mut events = Vec::new();
    watch.wait(LONG, &mut events);
    let changes = events.iter().map(|event| match event {
        Event::Changed { change, .. } => *change,
        other => panic!("{other:?}"),
    });
    assert_eq!(changes.collect::<Vec<_>>(), [Change::Appeared, Change::Written]);
}

#[test]
fn a_waker_ends_the_scanners_wait() {
    let mut watch = RealWatch::new().expect("watch");
    let waker = watch.waker();
    let start = Instant::now();
    let caller = thread::spawn(move || waker.wake());
    watch.wait(LONG, &mut Vec::new());
    assert!(start.elapsed() < LONG / 2);
    caller.join().expect("caller");
    let start = Instant::now();
    watch.wait(Duration::from_millis(15), &mut Vec::new());
    assert!(start.elapsed() >= Duration::from_millis(15));
}
