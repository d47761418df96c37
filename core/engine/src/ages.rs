//! What earlier builds left: a checkpoint of every version that was ever released, from which every later build goes on.
//!
//! `tests/fixtures/checkpoint-<version>.redb.gz` was written by a build of that version of the rows, over the logs of [`LOGS`].
//! None of them is ever changed. The one of the version in the making comes with `BLESS=1`, once. Its paths begin with
//! [`ELSEWHERE`] and its inodes are 0: a test puts those of its own files in their places, and nothing else.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use ringtail_io::Choice;
use ringtail_memory::Credit;
use ringtail_parse::{Input, Limits};
use ringtail_read::Start;
use ringtail_record::{Outcome, Outlet, Sealed};

use crate::checkpoint::{Changes, CheckpointError, FILE_NAME, Restored, open_file, open_or_reset};
use crate::row::{Key, Row, VERSION};
use crate::{BatchLimits, Engine, EngineConfig, HoldDeleted, Mode, Pipeline, PipelineOutput};

/// Where the logs lay that a kept checkpoint is about.
const ELSEWHERE: &str = "/elsewhere";

/// The logs: each of a pod, a container of Docker, an application; one rotated. A number is the line's.
const LOGS: [(&str, std::ops::Range<u32>); 4] = [
    ("pod/0.log.20260102-030405", 0..40),
    ("pod/0.log", 40..50),
    ("docker/c-json.log", 100..120),
    ("app/app.log", 200..230),
];

/// The logs that are appended to.
const LIVE: [&str; 3] = ["pod/0.log", "docker/c-json.log", "app/app.log"];

fn line(log: &str, number: u32) -> String {
    let time = "2026-01-02T03:04:05.123456789Z";
    match log.split_once('/') {
        Some(("pod", _)) => format!("{time} stdout F line {number}\n"),
        Some(("docker", _)) => {
            format!("{{\"log\":\"line {number}\\n\",\"stream\":\"stderr\",\"time\":\"{time}\"}}\n")
        }
        _ => format!("line {number}\n"),
    }
}

fn append(dir: &Path, log: &str, numbers: std::ops::Range<u32>) {
    let path = dir.join(log);
    fs::create_dir_all(path.parent().expect("in a directory")).expect("a directory");
    let text: String = numbers.map(|number| line(log, number)).collect();
    let mut file = fs::File::options().create(true).append(true).open(path).expect("a log");
    file.write_all(text.as_bytes()).expect("written");
}

/// An output that takes everything and keeps the messages.
struct Taken {
    credit: Credit,
    queue: Credit,
    messages: Mutex<Vec<String>>,
}

impl Outlet for Taken {
    fn lanes(&self) -> u32 {
        1
    }

    fn credit(&self) -> &Credit {
        &self.credit
    }

    fn queue_credit(&self, _: u32) -> &Credit {
        &self.queue
    }

    fn hand_over(&self, sealed: Sealed) {
        let bodies = sealed.batch.iter().map(|record| String::from_utf8_lossy(record.body).into_owned());
        self.messages.lock().expect("nobody panics").extend(bodies);
        sealed.receipt.settle(Outcome::Delivered);
    }
}

/// Collects the logs in `dir` until `count` messages have come, and some time more; what came, sorted.
fn collect(dir: &Path, count: usize) -> Vec<String> {
    let taken = Arc::new(Taken {
        credit: Credit::new(1 << 20),
        queue: Credit::new(1 << 20),
        messages: Mutex::default(),
    });
    let config = EngineConfig {
        data_dir: Some(dir.to_owned()),
        memory: 16 << 20,
        shards: 2,
        io: Choice::Auto,
        open_files: 100,
        hold_deleted: HoldDeleted::default(),
        mode: Mode::Follow,
    };
    let path = |log: &&str| dir.join(log).to_str().expect("UTF-8").to_owned();
    let pipeline = Pipeline {
        name: "logs".to_owned(),
        paths: LIVE.iter().map(path).collect(),
        exclude: Vec::new(),
        ignore_older: None,
        input: Input::Auto,
        limits: Limits { max_line: 1 << 20, max_record: 4 << 20 },
        flush_after: Duration::from_secs(5),
        start: Start::Beginning,
        outputs: vec![PipelineOutput {
            name: "main".to_owned(),
            outlet: taken.clone(),
            batch: BatchLimits { max_delay: Duration::from_millis(50), ..BatchLimits::default() },
        }],
    };
    let engine = Engine::start(config, vec![pipeline]).expect("it starts on what is there");
    let deadline = Instant::now() + Duration::from_secs(30);
    while taken.messages.lock().expect("nobody panics").len() < count && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    // What would be repeated comes within this time.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(engine.stats().checkpoint_resets, 0);
    assert!(engine.stop(Duration::from_secs(30)).all_answered);
    let mut messages = taken.messages.lock().expect("nobody panics").clone();
    messages.sort();
    messages
}

/// The same rows about files in another directory.
fn moved(
    restored: &Restored,
    from: &Path,
    to: &Path,
    inode: impl Fn(&Path) -> (u64, u64),
) -> Vec<(Key, Row)> {
    let path = |path: &Path| -> Arc<Path> { to.join(path.strip_prefix(from).expect("below")).into() };
    let row = |(key, row): (&Key, &Row)| {
        let (mut key, mut row) = (key.clone(), row.clone());
        key.lineage = path(&key.lineage);
        for file in &mut row.files {
            file.path = path(&file.path);
            (file.identity.dev, file.identity.ino) = inode(&file.path);
        }
        (key, row)
    };
    restored.rows.iter().map(row).collect()
}

fn kept(version: u8) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/checkpoint-{version}.redb.gz"))
}

/// Writes the checkpoint that is to be kept of this build's version.
fn bless() {
    let dir = tempfile::tempdir().expect("a directory");
    LOGS.iter().for_each(|(log, numbers)| append(dir.path(), log, numbers.clone()));
    assert_eq!(collect(dir.path(), 100).len(), 100);
    let (_, restored) = open_file(&dir.path().join(FILE_NAME)).expect("just written");
    let rows = moved(&restored, dir.path(), Path::new(ELSEWHERE), |_| (0, 0));
    let new = dir.path().join("kept.redb");
    let (checkpoint, _) = open_file(&new).expect("a new one");
    let rows = rows.into_iter().map(|(key, row)| (key, Some(row))).collect();
    checkpoint.commit(&Changes { rows, pipelines: restored.pipelines }).expect("written");
    drop(checkpoint);
    fs::create_dir_all(kept(VERSION).parent().expect("a directory")).expect("a directory");
    let mut packed = GzEncoder::new(fs::File::create(kept(VERSION)).expect("a file"), Compression::best());
    packed.write_all(&fs::read(new).expect("written")).expect("written");
    packed.finish().expect("written");
}

/// Nothing that an earlier build delivered comes again, and nothing that it did not deliver is left out.
#[test]
fn a_checkpoint_of_every_version_is_gone_on_from() {
    if std::env::var_os("BLESS").is_some() && !kept(VERSION).exists() {
        bless();
    }
    for version in 1..=VERSION {
        let file = fs::File::open(kept(version)).expect("one is kept of every version: see BLESS above");
        let (dir, mut bytes) = (tempfile::tempdir().expect("a directory"), Vec::new());
        GzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
        let path = dir.path().join(FILE_NAME);
        fs::write(&path, bytes).expect("written");
        LOGS.iter().for_each(|(log, numbers)| append(dir.path(), log, numbers.clone()));
        let inode = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).expect("a log");
        let (checkpoint, restored) = open_file(&path).expect("known to every later build");
        assert_eq!((restored.rows.len(), restored.was_reset), (3, false));
        assert_eq!(restored.pipelines, ["logs".into()].into_iter().collect());
        let mut changes = Changes::default();
        changes.rows.extend(restored.rows.keys().map(|key| (key.clone(), None)));
        let rows = moved(&restored, Path::new(ELSEWHERE), dir.path(), inode);
        changes.rows.extend(rows.into_iter().map(|(key, row)| (key, Some(row))));
        checkpoint.commit(&changes).expect("written");
        drop(checkpoint);
        for (log, number) in LIVE.iter().zip([900, 901, 902]) {
            append(dir.path(), log, number..number + 1);
        }
        assert_eq!(collect(dir.path(), 3), ["line 900", "line 901", "line 902"], "version {version}");
    }
}

/// A file of redb with these rows in a table of this name.
fn foreign(path: &Path, table: &str, rows: &[(&[u8], &[u8])]) {
    let database = redb::Database::create(path).expect("a new file");
    let transaction = database.begin_write().expect("it works");
    let name = redb::TableDefinition::<&[u8], &[u8]>::new(table);
    let mut open = transaction.open_table(name).expect("a table");
    rows.iter().for_each(|(key, value)| drop(open.insert(*key, *value).expect("inserted")));
    drop(open);
    transaction.commit().expect("committed");
}

/// A checkpoint that cannot be understood is an error that says what to do, and is not replaced by an empty one.
#[track_caller]
fn require_unknown(dir: &Path, why: &str) {
    let error = match open_or_reset(dir) {
        Err(error @ CheckpointError::Unknown(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(
        error.contains(why) && error.contains("run the version") && error.contains("move it away"),
        "{error}"
    );
    assert_eq!(fs::read_dir(dir).expect("a directory").count(), 1, "nothing is set aside, nothing is begun");
}

#[test]
fn positions_of_a_later_version_are_an_error_and_stay() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(FILE_NAME);
    let (checkpoint, _) = open_file(&path).expect("a new one");
    drop(checkpoint);
    let body = [VERSION + 1, 7, 7, 7];
    let later = [&body[..], &xxhash_rust::xxh3::xxh3_64(&body).to_le_bytes()].concat();
    foreign(&path, "positions", &[(b"p\0o\0/l", &later)]);
    require_unknown(dir.path(), &format!("of version {}", VERSION + 1));
    let config = EngineConfig {
        data_dir: Some(dir.path().to_owned()),
        memory: 16 << 20,
        shards: 1,
        io: Choice::Pread,
        open_files: 100,
        hold_deleted: HoldDeleted::default(),
        mode: Mode::Follow,
    };
    let told = Engine::start(config, Vec::new()).map(drop).expect_err("it does not start").to_string();
    assert!(told.contains(FILE_NAME) && !told.contains("writable"), "{told}");
}

#[test]
fn a_file_of_redb_that_is_no_checkpoint_is_an_error_and_gets_no_tables() {
    for table in ["accounts", "positions"] {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(FILE_NAME);
        foreign(&path, table, &[(b"a", b"b")]);
        for _ in 0..2 {
            require_unknown(dir.path(), table);
        }
    }
}

/// Its tables may be what was lost: nobody would know that there were positions.
#[test]
fn a_file_without_any_table_is_damaged() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(redb::Database::create(dir.path().join(FILE_NAME)).expect("a new file"));
    let (_, restored) = open_or_reset(dir.path()).expect("a new one in its place");
    assert!(restored.was_reset && restored.rows.is_empty());
}

/// Found by fuzzing: after a kill, two changed bytes (that there is a root of tables, and one of the last commit's pages) took the
/// checkpoint for a new one.
#[test]
fn a_checkpoint_that_lost_its_root_does_not_open_empty() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(FILE_NAME);
    let (checkpoint, _) = open_file(&path).expect("a new one");
    for name in ["first", "second"] {
        let changes = Changes { pipelines: [name.into()].into_iter().collect(), ..Changes::default() };
        checkpoint.commit(&changes).expect("written");
    }
    // As a kill leaves it: not closed.
    let killed = fs::read(&path).expect("written");
    drop(checkpoint);
    let pages = (4096..killed.len()).step_by(4096).filter(|page| killed[*page] != 0);
    for (page, root) in pages.flat_map(|page| [(page, 65), (page, 193)]) {
        let mut bytes = killed.clone();
        (bytes[page], bytes[root]) = (!bytes[page], 0);
        fs::write(&path, &bytes).expect("written");
        if let Ok((_, restored)) = open_file(&path) {
            assert!(restored.pipelines.contains("first"), "page {page}, root {root}: {restored:?}");
        }
    }
}

/// The header says the version twice; a single one that is wrong is damage.
#[test]
fn a_later_format_of_redb_is_an_error_and_a_flipped_bit_is_damage() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(FILE_NAME);
    drop(open_file(&path).expect("a new one"));
    let whole = fs::read(&path).expect("written");
    for version in [1, 2, 4] {
        let mut bytes = whole.clone();
        (bytes[64], bytes[192]) = (version, version);
        fs::write(&path, &bytes).expect("written");
        require_unknown(dir.path(), &format!("format {version} of redb"));
        for slot in [64, 192] {
            let mut bytes = whole.clone();
            bytes[slot] = version;
            fs::write(&path, &bytes).expect("written");
            assert!(!matches!(open_file(&path), Err(CheckpointError::Unknown(_))), "slot at {slot}");
        }
    }
}
