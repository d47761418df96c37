//! What the fuzzer may do with what nobody else may see: rows and the checkpoint. In the build only when it is asked for.

use std::collections::BTreeMap;
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
        check_layout(&row, bytes);
        // What says whether a file is a `.gz` is 0 or 1 when we write it.
        assert_eq!(Row::decode(&row.encode()), Ok(row.clone()));
        assert_eq!(row.encode().len(), summed.len());
    }
    if let Ok(key) = Key::decode(bytes) {
        assert_eq!(key.encode(), bytes);
    }
}

/// The fields that have a fixed place, and the path of the only file, by the table in `row.rs`: what reads and writes the
/// same wrong place agrees with itself, and not with the checkpoints of other versions.
fn check_layout(row: &Row, bytes: &[u8]) {
    let number = |at: usize, len: usize| {
        bytes[at..at + len].iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    for (at, position) in [2, 14, 26].into_iter().zip(row.standing.streams) {
        assert_eq!((number(at, 4), number(at + 4, 8)), (position.generation.into(), position.offset));
    }
    let (generation, Tail { end, len, hash }) = row.tail;
    assert_eq!([number(38, 4), number(42, 8), number(50, 4)], [generation.into(), end, len.into()]);
    assert_eq!([number(54, 8), number(62, 4)], [hash, row.files.len() as u64]);
    let [FileRecord { generation, identity: Identity { dev, ino, head }, size, path, gz }] = &row.files[..]
    else {
        return;
    };
    assert_eq!([number(66, 4), number(70, 8), number(78, 8)], [u64::from(*generation), *dev, *ino]);
    assert_eq!([number(86, 4), number(90, 8), number(98, 8)], [u64::from(head.len), head.hash, *size]);
    assert_eq!((bytes[106] != 0, &bytes[111..]), (*gz, path.as_os_str().as_encoded_bytes()));
}

/// A checkpoint of three commits is damaged as `edits` say (a place, and what is written there) and opened: it is found
/// damaged, or holds what one of the last two commits left, and can be written again. No panic passes.
///
/// # Panics
/// Where that is not so.
pub fn checkpoint(seed: u8, cut: Option<u64>, edits: &[(u64, u8)]) {
    let written = Written::of(seed);
    let memory = Memory::from(written.bytes.clone());
    memory.damage(cut, &written.used, edits);
    let is_new = memory.bytes().is_empty();
    match Checkpoint::open(memory.clone()) {
        Err(CheckpointError::Damaged(_)) => {}
        // The version stands in two places.
        Err(CheckpointError::Unknown(why)) => {
            assert!(edits.len() > 1, "one byte made another version of it: {why}")
        }
        Err(CheckpointError::Unusable(why)) => panic!("memory is always usable: {why}"),
        Ok((checkpoint, restored)) => {
            let known =
                |state: &Restored| state.rows == restored.rows && state.pipelines == restored.pipelines;
            assert!(is_new || written.states.iter().any(known), "not what was committed: {restored:?}");
            checkpoint.commit(&changes(seed, COMMITS)).expect("what opens can be written");
        }
    }
}

/// Commits of a checkpoint before it is damaged.
const COMMITS: u8 = 3;

/// A checkpoint before it is damaged.
struct Written {
    bytes: Vec<u8>,
    /// Where blocks of `bytes` begin in which something stands: most of them were never written.
    used: Vec<usize>,
    /// What the last two commits left: redb keeps that many.
    states: Vec<Restored>,
}

/// Bytes of a block that is looked at as a whole.
const BLOCK: usize = 64;

impl Written {
    /// Written once for each seed: that takes longer than damaging and opening it.
    fn of(seed: u8) -> Arc<Written> {
        static KNOWN: Mutex<BTreeMap<u8, Arc<Written>>> = Mutex::new(BTreeMap::new());
        // The bits that make a difference.
        let seed = seed & 0b111_1101;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(seed).or_insert_with(|| Arc::new(Written::new(seed))).clone()
    }

    fn new(seed: u8) -> Written {
        let memory = Memory::default();
        let mut states = vec![Restored::default()];
        let (checkpoint, _) = Checkpoint::open(memory.clone()).expect("a new checkpoint");
        for commit in 0..COMMITS {
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
        let closed = memory.bytes().clone();
        // As a kill leaves it, or closed.
        let bytes = if seed & 1 == 0 { killed } else { closed };
        let blocks = bytes.chunks(BLOCK).enumerate();
        let used = blocks.filter(|(_, block)| **block != [0; BLOCK][..block.len()]).map(|(at, _)| at * BLOCK);
        Written { used: used.collect(), bytes, states: states.split_off(states.len() - 2) }
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

impl From<Vec<u8>> for Memory {
    fn from(bytes: Vec<u8>) -> Self {
        Memory(Arc::new(Mutex::new(bytes)))
    }
}

impl Memory {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every second place of an edit is in one of the `used` blocks, the others are anywhere.
    fn damage(&self, cut: Option<u64>, used: &[usize], edits: &[(u64, u8)]) {
        let mut bytes = self.bytes();
        let at = |place: u64, len: usize| usize::try_from(place % len.max(1) as u64).unwrap_or(0);
        if let Some(cut) = cut {
            let cut = at(cut, bytes.len());
            bytes.truncate(cut);
        }
        for (place, value) in edits {
            let place = match place.is_multiple_of(2) {
                true => {
                    let place = at(place / 2, used.len() * BLOCK);
                    used.get(place / BLOCK).map_or(0, |block| block + place % BLOCK)
                }
                false => at(*place, bytes.len()),
            };
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
