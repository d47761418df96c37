//! What a file holds after rotations, failures and unclean ends.

mod common;

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use common::{PATIENCE, Shard, all_delivered, eventually, messages, output, within};
use ringtail_encode::Compression;
use ringtail_record::{Outcome, Outlet};
use ringtail_ship::{OutputConfig, Rotate, Shippers, SinkConfig, StartError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn file(path: &Path, compression: Compression, rotate: Option<Rotate>) -> OutputConfig {
    let mut config = output("file", SinkConfig::File { path: path.to_owned(), rotate });
    config.compression = compression;
    config
}

fn start(config: OutputConfig) -> (Shippers, std::sync::Arc<dyn Outlet>) {
    let shippers = Shippers::start(vec![config], 1, 1).expect("start");
    let outlet = shippers.outlet("file").expect("outlet");
    (shippers, outlet)
}

/// Delivers each message as a batch of its own and stops cleanly.
fn deliver(config: OutputConfig, texts: &[&str]) {
    let (shippers, outlet) = start(config);
    let shard = Shard::new();
    for (id, text) in texts.iter().enumerate() {
        shard.ship(&*outlet, 0, id as u64, &[text]);
    }
    assert!(all_delivered(&shard.answers.wait(texts.len())));
    assert_eq!(shippers.stop(within(PATIENCE)), []);
}

/// The messages of a file, decoded by its format's own decoder. A torn end fails.
fn read(path: &Path, compression: Compression) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = Vec::new();
    match compression {
        Compression::None => text = bytes,
        Compression::Zstd => text = zstd::decode_all(&bytes[..]).expect("zstd"),
        Compression::Gzip => {
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text).map(drop).expect("gzip")
        }
        // The decoder ends at the end of each frame.
        Compression::Lz4 => {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                lz4_flex::frame::FrameDecoder::new(&mut rest).read_to_end(&mut text).expect("lz4");
            }
        }
    }
    messages(&text)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    path.with_added_extension(number.to_string())
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Rotated files keep their order and their number; each is whole and none is larger than it may be.
#[test]
fn a_full_file_moves_on_and_keep_of_them_stay() {
    for compression in Compression::ALL {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("deep/er/out.ndjson");
        let line = "x".repeat(100);
        let texts: Vec<String> = (0..12).map(|n| format!("{n}:{line}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        deliver(file(&path, compression, None), &texts[..1]);
        let payload = fs::metadata(&path).expect("file").len();
        // Compressed sizes differ by a few bytes: three fit, four do not.
        let rotate = Rotate { max_bytes: payload * 7 / 2, keep: 2 };
        deliver(file(&path, compression, Some(rotate)), &texts[1..]);
        assert_eq!(read(&numbered(&path, 2), compression), texts[3..6], "{compression}");
        assert_eq!(read(&numbered(&path, 1), compression), texts[6..9]);
        assert_eq!(read(&path, compression), texts[9..12]);
        let expected = ["out.ndjson", "out.ndjson.1", "out.ndjson.2"];
        assert_eq!(entries(&directory.path().join("deep/er")), expected, "no mark is left");
    }
}

/// After a clean stop a file goes on; after an unclean end with a torn frame, what follows stands in a new file, and
/// that decodes.
#[test]
fn a_torn_end_moves_aside_and_spoils_nothing_that_follows() {
    for compression in Compression::ALL {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("out");
        deliver(file(&path, compression, None), &["a"]);
        deliver(file(&path, compression, None), &["b"]);
        assert_eq!(read(&path, compression), ["a", "b"], "{compression}: a clean stop goes on");
        let whole = fs::read(&path).expect("file");

        // The process dies in the middle of a write: nothing of it runs any more.
        let (shippers, outlet) = start(file(&path, compression, None));
        let shard = Shard::new();
        shard.ship(&*outlet, 0, 0, &["c"]);
        shard.answers.wait(1);
        mem::forget((shippers, outlet));
        let mut torn = OpenOptions::new().append(true).open(&path).expect("open");
        torn.write_all(&whole[..whole.len() / 3]).expect("write");

        deliver(file(&path, compression, None), &["d"]);
        deliver(file(&path, compression, None), &["e"]);
        assert_eq!(read(&path, compression), ["d", "e"], "{compression}: a new file");
        let aside = fs::read(numbered(&path, 1)).expect("aside");
        assert!(aside.starts_with(&whole) && aside.len() > whole.len(), "nothing of it is cut");
        assert_eq!(entries(directory.path()), ["out", "out.1"]);
    }
}

/// Without compression a file that ends in a whole line is no torn file, whoever wrote it and however it was left.
#[test]
fn whole_lines_are_appended_to_and_another_format_is_not() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("out");
    fs::write(&path, "{\"message\":\"older\"}\n").expect("write");
    deliver(file(&path, Compression::None, None), &["a"]);
    assert_eq!(read(&path, Compression::None), ["older", "a"]);
    deliver(file(&path, Compression::Zstd, None), &["b"]);
    deliver(file(&path, Compression::Gzip, None), &["c"]);
    deliver(file(&path, Compression::None, None), &["d"]);
    assert_eq!(read(&path, Compression::None), ["d"]);
    assert_eq!(read(&numbered(&path, 1), Compression::Gzip), ["c"]);
    assert_eq!(read(&numbered(&path, 2), Compression::Zstd), ["b"]);
    assert_eq!(read(&numbered(&path, 3), Compression::None), ["older", "a"]);
}

/// Somebody else's logrotate moves the file away, or an operator deletes it: what follows stands at the path.
#[test]
fn a_file_that_was_moved_or_deleted_is_made_anew() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("out");
    let (shippers, outlet) = start(file(&path, Compression::None, None));
    let shard = Shard::new();
    shard.ship(&*outlet, 0, 0, &["a"]);
    shard.answers.wait(1);
    fs::rename(&path, directory.path().join("moved")).expect("rename");
    shard.ship(&*outlet, 0, 1, &["b"]);
    shard.answers.wait(2);
    assert_eq!(read(&path, Compression::None), ["b"]);
    fs::remove_dir_all(directory.path()).expect("delete all");
    shard.ship(&*outlet, 0, 2, &["c"]);
    shard.answers.wait(3);
    assert_eq!(read(&path, Compression::None), ["c"]);
    assert_eq!(shippers.stats()[0].retries, 0);
}

#[test]
fn a_place_that_cannot_be_written_to_is_told_at_the_start() {
    let directory = tempfile::tempdir().expect("directory");
    let taken = directory.path().join("file");
    fs::write(&taken, "").expect("write");
    for path in [taken.join("below"), directory.path().to_owned(), PathBuf::from("/dev/full")] {
        let error = Shippers::start(vec![file(&path, Compression::None, None)], 1, 1).expect_err("wrong");
        assert!(matches!(&error, StartError::File { .. }), "{error}");
        assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    }
    let twice = vec![file(&taken, Compression::None, None), {
        let mut config = file(&taken, Compression::None, None);
        config.name = "other".into();
        config
    }];
    assert!(matches!(Shippers::start(twice, 1, 1), Err(StartError::Shared { output }) if output == "other"));
}

/// The disk is full in the middle of a payload: nothing is answered, the file is cut back to whole payloads, and when
/// there is room again everything arrives once and in order.
///
/// A limit on the size of files stands for the full disk (the kernel writes a part, then fails with EFBIG in place of
/// ENOSPC), since a small file system of one's own needs privileges. The limit holds for a whole process: the test runs
/// in a child, which a shell starts with SIGXFSZ ignored.
#[test]
fn a_full_disk_tears_nothing_and_loses_nothing() {
    if std::env::var_os("RINGTAIL_TEST_CHILD").is_some() {
        return with_a_full_disk();
    }
    let script = r#"trap "" XFSZ; exec "$0" a_full_disk_tears_nothing_and_loses_nothing --exact"#;
    let child = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().expect("this test"))
        .env("RINGTAIL_TEST_CHILD", "1")
        .output()
        .expect("sh");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

fn with_a_full_disk() {
    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(8 << 10), ..limit }).expect("limit");
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("out");
    let (shippers, outlet) = start(file(&path, Compression::None, None));
    let shard = Shard::new();
    let texts: Vec<String> = (0..5).map(|n| n.to_string().repeat(3 << 10)).collect();
    for (id, text) in texts.iter().enumerate() {
        shard.ship(&*outlet, 0, id as u64, &[text]);
    }
    shard.answers.wait(2);
    eventually("some attempts fail", || shippers.stats()[0].retries >= 3);
    assert_eq!(shard.answers.so_far(), [(0, Outcome::Delivered), (1, Outcome::Delivered)]);
    let error = shippers.stats()[0].last_error.clone().expect("error").text;
    assert!(error.contains("out: File too large"), "{error}");
    let is_whole =
        || fs::read(&path).is_ok_and(|bytes| bytes.ends_with(b"\n") && messages(&bytes) == texts[..2]);
    eventually("the file is cut back", is_whole);

    setrlimit(Resource::Fsize, limit).expect("limit");
    assert!(all_delivered(&shard.answers.wait(5)));
    assert_eq!(read(&path, Compression::None), texts);
    assert_eq!(shippers.stop(within(PATIENCE)), []);
}

/// A full disk does not hold up a stop: what is not written is returned.
#[test]
fn a_stop_ends_while_a_write_keeps_failing() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("below/out");
    let (shippers, outlet) = start(file(&path, Compression::None, None));
    let shard = Shard::new();
    fs::remove_dir_all(directory.path().join("below")).expect("delete");
    fs::write(directory.path().join("below"), "in the way").expect("write");
    shard.ship(&*outlet, 0, 0, &["a"]);
    eventually("an attempt fails", || shippers.stats()[0].retries > 0);
    let start = Instant::now();
    assert_eq!(shippers.stop(Instant::now())[0].batches, 1);
    assert!(start.elapsed().as_millis() < 900);
    assert_eq!(shard.answers.so_far(), [(0, Outcome::Returned)]);
}
