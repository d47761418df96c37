//! A reader as simple as it can be: scanner and lineages on real files, everything read to its end after each look.
//! It checks what a scenario says was written, byte by byte and in order.

#![allow(unreachable_pub, dead_code, reason = "each test takes what it needs")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use ringtail_io::{RealClock, RealFs};
use ringtail_read::{
    Change, Claim, Content, FileRecord, FileSpec, Lineage, Listing, LostReason, Next, OpenFiles, Scanner,
    Tail,
};
use tempfile::TempDir;

/// One lineage and its one view.
pub struct Log {
    pub lineage: Lineage,
    pub place: Option<(u32, u64)>,
    /// What was read, in order.
    pub read: Vec<u8>,
    /// What came late, out of order.
    pub late: Vec<u8>,
    pub finished: bool,
    /// The last bytes that were read of the generation in `place`.
    tail: Vec<u8>,
    /// What was claimed when it was restored.
    restored: Option<Claim>,
}

/// What a checkpoint would keep.
#[derive(Clone)]
pub struct Saved {
    pub lineage: Arc<Path>,
    pub records: Vec<FileRecord>,
    pub claim: Claim,
}

pub struct Follower {
    pub scanner: Scanner,
    pub files: OpenFiles,
    pub logs: BTreeMap<Arc<Path>, Log>,
    pub lost: Vec<(LostReason, u64)>,
    /// How often a log was emptied, with nothing known to be lost.
    pub emptied: usize,
    pub now: Duration,
    /// Whether the scanner is told how far was read.
    pub claims: bool,
    /// Whether files are closed once they are read.
    pub closes: bool,
}

impl Follower {
    pub fn new(paths: &[PathBuf]) -> Self {
        Self::with(paths, &[], 1000)
    }

    pub fn with(paths: &[PathBuf], saved: &[Saved], limit: usize) -> Self {
        let paths = paths.iter().map(|path| path.to_str().expect("UTF-8").to_owned()).collect();
        let spec = FileSpec { id: 7, paths, ..FileSpec::default() };
        Self::of(&spec, saved, limit)
    }

    pub fn of(spec: &FileSpec, saved: &[Saved], limit: usize) -> Self {
        let files = OpenFiles::new(limit);
        let (io, clock) = (Arc::new(RealFs), Arc::new(RealClock::new()));
        let mut scanner =
            Scanner::new(io, clock, files.clone(), std::slice::from_ref(spec)).expect("patterns");
        let mut logs = BTreeMap::new();
        for Saved { lineage, records, claim } in saved {
            scanner.restore(lineage, records, vec![*claim]);
            let restored = Lineage::restore(lineage.clone(), records.clone());
            let place = Some((claim.generation, claim.consumed));
            logs.insert(lineage.clone(), Log { place, restored: Some(*claim), ..Log::new(restored) });
        }
        Follower {
            scanner,
            files,
            logs,
            lost: Vec::new(),
            emptied: 0,
            now: Duration::ZERO,
            claims: true,
            closes: false,
        }
    }

    /// Looks and reads everything; the listings come back.
    pub fn look(&mut self) -> Vec<Listing> {
        let listings = self.scanner.scan_all();
        self.take(listings)
    }

    pub fn take(&mut self, listings: Vec<Listing>) -> Vec<Listing> {
        self.now += Duration::from_millis(100);
        for listing in &listings {
            let id = listing.lineage.clone();
            let log = self.logs.entry(id.clone()).or_insert_with(|| Log::new(Lineage::new(id)));
            let changes = log.apply(listing, self.now);
            self.note(&listing.lineage, changes);
        }
        // Only what the lineage itself keeps open is open while it is being read.
        let listings_without_files = listings
            .into_iter()
            .map(|mut listing| {
                listing.files.iter_mut().for_each(|file| file.file = None);
                listing
            })
            .collect();
        self.read();
        listings_without_files
    }

    /// What an event of the shard's own watch does.
    pub fn wake(&mut self) {
        self.logs.values_mut().for_each(|log| log.lineage.wake(None));
        self.read();
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.read();
    }

    pub fn read(&mut self) {
        let ids: Vec<_> = self.logs.keys().cloned().collect();
        for id in ids {
            let log = self.logs.get_mut(&id).expect("known");
            let changes = log.pump(&mut self.scanner, self.now);
            if self.closes {
                let numbers: Vec<u32> = log.lineage.generations().iter().map(|known| known.number).collect();
                numbers.iter().for_each(|number| _ = log.lineage.close(*number));
            }
            if self.claims && log.place.is_some() {
                let claim = log.claim();
                self.scanner.claim(&id, vec![claim]);
            }
            self.note(&id, changes);
        }
    }

    fn note(&mut self, id: &Arc<Path>, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Lost { reason, bytes, .. } => self.lost.push((reason, bytes)),
                Change::Late { generation, from, to } => {
                    let log = self.logs.get_mut(id).expect("known");
                    let bytes = log.fetch(generation, from, to, &mut self.scanner, self.now);
                    log.late.extend(bytes);
                }
                Change::Emptied { .. } => self.emptied += 1,
                Change::Found { .. } | Change::Grew { .. } | Change::Moved { .. } => {}
            }
        }
    }

    /// What a checkpoint would keep now, before a stop.
    pub fn save(mut self) -> Vec<Saved> {
        let mut saved = Vec::new();
        for (lineage, log) in &mut self.logs {
            let claim = log.claim();
            log.lineage.release_before(claim.generation);
            saved.push(Saved { lineage: lineage.clone(), records: log.lineage.records(), claim });
        }
        saved
    }

    /// What was read of the log, then of each stray.
    pub fn all_read(&self) -> String {
        let read: Vec<u8> = self.logs.values().flat_map(|log| log.read.clone()).collect();
        String::from_utf8(read).expect("text")
    }

    /// The only lineage.
    pub fn log(&self) -> &Log {
        assert_eq!(self.logs.len(), 1, "{:?}", self.logs.keys());
        self.logs.values().next().expect("one")
    }

    #[track_caller]
    pub fn expect(&self, written: &str) {
        let read = String::from_utf8_lossy(&self.log().read);
        if read != written {
            let at = read.bytes().zip(written.bytes()).take_while(|(a, b)| a == b).count();
            let piece = |text: &str| text.get(at..text.len().min(at + 60)).map(str::to_owned);
            panic!(
                "{} bytes were read, {} written; at {at} was read {:?}, was written {:?}",
                read.len(),
                written.len(),
                piece(&read),
                piece(written)
            );
        }
    }
}

impl Log {
    fn new(lineage: Lineage) -> Self {
        Log {
            lineage,
            place: None,
            read: Vec::new(),
            late: Vec::new(),
            finished: false,
            tail: Vec::new(),
            restored: None,
        }
    }

    fn apply(&mut self, listing: &Listing, now: Duration) -> Vec<Change> {
        let place = self.place.unwrap_or((0, 0));
        let consumed = |generation: u32| match generation.cmp(&place.0) {
            std::cmp::Ordering::Less => u64::MAX,
            std::cmp::Ordering::Equal => place.1,
            std::cmp::Ordering::Greater => 0,
        };
        let changes = self.lineage.apply(listing, now, consumed);
        if self.place.is_none() {
            self.place = self.lineage.begin(ringtail_read::Start::Beginning);
        }
        self.finished = false;
        changes
    }

    fn pump(&mut self, scanner: &mut Scanner, now: Duration) -> Vec<Change> {
        let mut changes = Vec::new();
        let Some((mut generation, mut offset)) = self.place else { return changes };
        for _ in 0..10_000 {
            match self.lineage.next(generation, offset, now) {
                Next::Read { file, turn, .. } => {
                    let bytes =
                        Content::new(file.file.clone(), file.gz).read(offset, 50_000).expect("readable");
                    if bytes.is_empty() {
                        changes.extend(self.lineage.at_end(generation, offset, turn, now));
                    }
                    offset += bytes.len() as u64;
                    self.tail.extend(&bytes);
                    self.tail.drain(..self.tail.len().saturating_sub(256));
                    self.read.extend(bytes);
                }
                Next::Reopen { generation, .. } => match scanner.reopen(self.lineage.id(), generation) {
                    Ok(reopened) => self.lineage.opened(generation, reopened.file, reopened.identity),
                    Err(_) => break,
                },
                Next::Advance { generation: to, offset: at } => {
                    (generation, offset) = (to, at);
                    self.tail.clear();
                }
                Next::Wait { .. } => break,
                Next::Finished => {
                    self.finished = true;
                    break;
                }
            }
        }
        self.place = Some((generation, offset));
        changes
    }

    fn fetch(
        &mut self,
        generation: u32,
        from: u64,
        to: u64,
        scanner: &mut Scanner,
        now: Duration,
    ) -> Vec<u8> {
        let id = self.lineage.id().clone();
        if let Ok(reopened) = scanner.reopen(&id, generation) {
            self.lineage.opened(generation, reopened.file, reopened.identity);
        }
        match self.lineage.next(generation, from, now) {
            Next::Read { file, .. } => Content::new(file.file.clone(), file.gz)
                .read(from, usize::try_from(to - from).expect("small"))
                .expect("readable"),
            other => panic!("late bytes cannot be read: {other:?}"),
        }
    }

    /// From what was read, as an engine does it: the file may hold something else by now.
    pub fn claim(&self) -> Claim {
        let (generation, consumed) = self.place.expect("placed");
        let unmoved =
            self.restored.filter(|claim| (claim.generation, claim.consumed) == (generation, consumed));
        unmoved.unwrap_or_else(|| Claim { generation, consumed, tail: Tail::new(consumed, &self.tail) })
    }
}

/// A log being written: lines with numbers, and everything that was ever written.
pub struct Writer {
    pub dir: TempDir,
    pub path: PathBuf,
    pub written: String,
    lines: usize,
}

impl Writer {
    pub fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().canonicalize().expect("exists").join(name);
        Writer { dir, path, written: String::new(), lines: 0 }
    }

    pub fn sibling(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// Appends lines to the log.
    pub fn lines(&mut self, count: usize) {
        let path = self.path.clone();
        self.lines_to(&path, count);
    }

    pub fn lines_to(&mut self, path: &Path, count: usize) {
        let mut text = String::new();
        for _ in 0..count {
            self.lines += 1;
            text += &format!("2026-01-02T03:04:05.{:09}Z stdout F line {}\n", self.lines, self.lines);
        }
        self.append(path, &text);
    }

    pub fn append(&mut self, path: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("open");
        file.write_all(text.as_bytes()).expect("write");
        self.written += text;
    }

    pub fn rename(&self, from: &str, to: &str) {
        fs::rename(self.sibling(from), self.sibling(to)).expect("rename");
    }

    pub fn remove(&self, suffix: &str) {
        fs::remove_file(self.sibling(suffix)).expect("remove");
    }

    /// As kubelet compresses: into a `.tmp`, renamed, then the original removed.
    pub fn gzip(&self, suffix: &str) {
        self.gzip_keep(suffix);
        self.remove(suffix);
    }

    pub fn gzip_keep(&self, suffix: &str) {
        let contents = fs::read(self.sibling(suffix)).expect("read");
        let tmp = self.sibling(&format!("{suffix}.tmp"));
        let mut gz = GzEncoder::new(fs::File::create(&tmp).expect("create"), Compression::fast());
        gz.write_all(&contents).expect("write");
        gz.finish().expect("finish");
        fs::rename(tmp, self.sibling(&format!("{suffix}.gz"))).expect("rename");
    }

    /// As logrotate's copytruncate.
    pub fn copytruncate(&self, suffix: &str) {
        fs::copy(&self.path, self.sibling(suffix)).expect("copy");
        fs::File::options().write(true).open(&self.path).expect("open").set_len(0).expect("truncate");
    }
}
