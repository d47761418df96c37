//! What the fuzzer may do with what nobody else may see: rows and the checkpoint. In the build only when it is asked for.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use ringtail_read::{FileRecord, Head, Identity, Tail};
use ringtail_record::Position;

use crate::checkpoint::{Changes, Checkpoint, CheckpointError, Restored};
use crate::row::{Key, Row};
use crate::view::Standing;

/// Bytes of a value, then of a key: what decodes is encoded as it was, and nothing else decodes.
///
/// # Panics
/// Where that is not so.
pub fn row(bytes: &[u8]) {
    if let Ok(row) = Row::decode(bytes) {
        assert_eq!(Row::decode(&row.encode()), Ok(row));
    }
    // The checksum keeps mutations out: they are also tried behind it.
    let summed = [bytes, &xxhash_rust::xxh3::xxh3_64(bytes).to_le_bytes()].concat();
    if let Ok(row) = Row::decode(&summed) {
        // What says whether a file is a `.gz` is 0 or 1 when we write it.
        assert_eq!(Row::decode(&row.encode()), Ok(row.clone()));
        assert_eq!(row.encode().len(), summed.len());
    }
    if let Ok(key) = Key::decode(bytes) {
        assert_eq!(key.encode(), bytes);
    }
}

/// A checkpoint of three commits is damaged as `edits` say (a place, and what is written there) and opened: it is found
/// damaged, or holds what one of the commits left, and can be written again. No panic passes.
///
/// # Panics
/// Where that is not so.
pub fn checkpoint(seed: u8, cut: Option<u64>, edits: &[(u64, u8)]) {
    let memory = Memory::default();
    let mut states = vec![Restored::default()];
    let (checkpoint, _) = Checkpoint::open(memory.clone()).expect("a new checkpoint");
    for commit in 0..3 {
        let changes = changes(seed, commit);
        checkpoint.commit(&changes).expect("memory");
        let last = states.last().expect("one");
        let mut next =
            Restored { rows: last.rows.clone(), pipelines: last.pipelines.clone(), was_reset: false };
        for (key, row) in changes.rows {
            match row {
                Some(row) => next.rows.insert(key, row),
                None => next.rows.remove(&key),
            };
        }
        next.pipelines.extend(changes.pipelines);
        states.push(next);
    }
    let killed = memory.bytes().clone();
    drop(checkpoint);
    if seed.is_multiple_of(2) {
        // As a kill leaves it: not closed.
        *memory.bytes() = killed;
    }
    memory.damage(cut, edits);
    match Checkpoint::open(memory.clone()) {
        Err(CheckpointError::Damaged(_) | CheckpointError::Unknown(_)) => {}
        Err(CheckpointError::Unusable(why)) => panic!("memory is always usable: {why}"),
        Ok((checkpoint, restored)) => {
            let known =
                |state: &Restored| state.rows == restored.rows && state.pipelines == restored.pipelines;
            assert!(states.iter().any(known), "rows that were never committed: {restored:?}");
            let _ = checkpoint.commit(&changes(seed, 3));
        }
    }
}

/// What the commit of this number changes.
fn changes(seed: u8, commit: u8) -> Changes {
    let mut changes = Changes::default();
    for number in 0..=(seed >> 2) % 32 {
        let row = (number % 5 != commit).then(|| sample(number, commit));
        changes.rows.insert(key(number), row);
    }
    changes.pipelines.insert(format!("pipeline-{commit}").into());
    changes
}

fn key(number: u8) -> Key {
    let lineage = Path::new("/var/log/pods").join(number.to_string()).join("0.log").into();
    Key { pipeline: Arc::from("logs"), output: Arc::from("main"), lineage }
}

fn sample(number: u8, commit: u8) -> Row {
    let position = Position { generation: number.into(), offset: u64::from(commit) << 20 };
    let head = Head { len: 256, hash: u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) };
    let file = FileRecord {
        generation: number.into(),
        identity: Identity { dev: 1, ino: number.into(), head },
        size: u64::from(commit) << 20,
        path: Path::new("/var/log/pods/0.log").into(),
        gz: number.is_multiple_of(2),
    };
    Row {
        standing: Standing { streams: [position; 3], format: None },
        tail: (number.into(), Tail { end: 5, len: 5, hash: 7 }),
        files: vec![file; usize::from(number % 4)],
    }
}

/// A storage in memory that outlives its database.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn damage(&self, cut: Option<u64>, edits: &[(u64, u8)]) {
        let mut bytes = self.bytes();
        let at = |place: u64, len: usize| usize::try_from(place % len.max(1) as u64).unwrap_or(0);
        if let Some(cut) = cut {
            let cut = at(cut, bytes.len());
            bytes.truncate(cut);
        }
        for (place, value) in edits {
            let place = at(*place, bytes.len());
            if let Some(byte) = bytes.get_mut(place) {
                *byte = *value;
            }
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

impl StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes();
        let range = usize::try_from(offset).ok().and_then(|at| bytes.get(at..at.checked_add(out.len())?));
        out.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len =
            usize::try_from(len).ok().filter(|len| *len <= LARGEST).ok_or(io::ErrorKind::StorageFull)?;
        self.bytes().resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.bytes();
        let range =
            usize::try_from(offset).ok().and_then(|at| bytes.get_mut(at..at.checked_add(data.len())?));
        range.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }
}

/// A damaged length must not become memory.
const LARGEST: usize = 64 << 20;
