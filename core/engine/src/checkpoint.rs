//! The checkpoint: positions on disk, in redb, on a storage that `io` provides.
//!
//! One transaction for all that changed, fsync'd. Two tables: `positions` ([`Row`] by [`Key`]) and `pipelines` (the
//! names that have had their first start). A file that does not open, fails its integrity check or holds a row that
//! does not decode is *damaged*; what to do then is the caller's: [`open_or_reset`] sets it aside. A file that is whole, but
//! of another version of this program or not a checkpoint at all, is *unknown*: it is left as it is, and an error.

use std::fmt;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Database, MultimapTableHandle as _, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, TableHandle as _,
};
use ringtail_io::FileStorage;

use crate::maps::{HashMap, HashSet};
use crate::row::{Key, NoRow, Row};

const POSITIONS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("positions");
const PIPELINES: TableDefinition<'_, &str, ()> = TableDefinition::new("pipelines");

/// The beginning of every file of redb, the version of its format that is in use here, and where a file says its own: in both
/// slots of its header, of which one may be torn.
const REDB_MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
const REDB_VERSION: u8 = 3;
const REDB_SLOTS: [usize; 2] = [64, 192];

/// redb's page cache. The whole of a node's checkpoint is about 2 MB.
const CACHE_BYTES: usize = 1 << 20;

/// The checkpoint's file in a `data_dir`.
pub(crate) const FILE_NAME: &str = "checkpoint.redb";

/// An open checkpoint.
pub(crate) struct Checkpoint {
    database: Database,
}

/// What a checkpoint holds when it is opened.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) rows: HashMap<Key, Row>,
    pub(crate) pipelines: HashSet<Arc<str>>,
    /// The file was damaged and set aside: whatever is present now is read from its beginning.
    pub(crate) was_reset: bool,
}

/// Changes to write in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) rows: HashMap<Key, Option<Row>>,
    pub(crate) pipelines: HashSet<Arc<str>>,
}

/// Why a checkpoint does not open or cannot be written.
#[derive(Debug)]
pub enum CheckpointError {
    /// The bytes are not a whole checkpoint.
    Damaged(String),
    /// A whole file that this build cannot read: of another version, or not a checkpoint. It was not changed.
    Unknown(String),
    /// The file cannot be opened, read or written.
    Unusable(String),
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckpointError::Damaged(why) => write!(f, "damaged: {why}"),
            CheckpointError::Unknown(why) => write!(
                f,
                "{why}; it was left as it is: run the version of ringtail that wrote it, or move it away, and the files \
                 present are read again from their beginning"
            ),
            CheckpointError::Unusable(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for CheckpointError {}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.pipelines.is_empty()
    }

    /// Takes over `newer`, whose rows win.
    pub(crate) fn merge(&mut self, newer: Changes) {
        self.rows.extend(newer.rows);
        self.pipelines.extend(newer.pipelines);
    }
}

impl Checkpoint {
    /// Opens or creates a checkpoint on `storage` and reads all of it.
    pub(crate) fn open(storage: impl StorageBackend) -> Result<(Checkpoint, Restored), CheckpointError> {
        if let Some(version) = version_of(&storage).filter(|version| *version != REDB_VERSION) {
            let why = format!("it is in format {version} of redb, and this build knows {REDB_VERSION}");
            return Err(CheckpointError::Unknown(why));
        }
        let is_new = storage.len().map_err(|error| CheckpointError::Unusable(error.to_string()))? == 0;
        // redb asserts on some damage: a panic here means damage, and must not end the agent.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut database =
                redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(storage)?;
            // Passing after a repair is passing: an unclean end leaves the allocator's state to be rebuilt.
            database.check_integrity()?;
            let checkpoint = Checkpoint { database };
            let restored = checkpoint.read(is_new)?;
            Ok((checkpoint, restored))
        }));
        opened.unwrap_or_else(|panic| Err(CheckpointError::Damaged(panic_text(&*panic))))
    }

    /// Writes `changes` in one durable transaction.
    pub(crate) fn commit(&self, changes: &Changes) -> Result<(), CheckpointError> {
        let transaction = self.database.begin_write().map_err(redb::Error::from)?;
        {
            let mut positions = transaction.open_table(POSITIONS).map_err(redb::Error::from)?;
            for (key, row) in &changes.rows {
                match row {
                    Some(row) => {
                        positions.insert(&*key.encode(), &*row.encode()).map_err(redb::Error::from)?
                    }
                    None => positions.remove(&*key.encode()).map_err(redb::Error::from)?,
                };
            }
            let mut pipelines = transaction.open_table(PIPELINES).map_err(redb::Error::from)?;
            for name in &changes.pipelines {
                pipelines.insert(&**name, ()).map_err(redb::Error::from)?;
            }
        }
        transaction.commit().map_err(redb::Error::from)?;
        Ok(())
    }

    fn read(&self, is_new: bool) -> Result<Restored, CheckpointError> {
        if is_new {
            // Creates the tables.
            self.commit(&Changes::default())?;
        }
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        require_tables(&transaction)?;
        let mut restored = Restored::default();
        let positions = transaction.open_table(POSITIONS).map_err(redb::Error::from)?;
        for entry in positions.iter().map_err(redb::Error::from)? {
            let (key, row) = entry.map_err(redb::Error::from)?;
            let key = Key::decode(key.value())
                .map_err(|_| CheckpointError::Damaged("a key does not decode".to_owned()))?;
            restored.rows.insert(key, Row::decode(row.value())?);
        }
        let pipelines = transaction.open_table(PIPELINES).map_err(redb::Error::from)?;
        for entry in pipelines.iter().map_err(redb::Error::from)? {
            let (name, ()) = entry.map(|(name, mark)| (name, mark.value())).map_err(redb::Error::from)?;
            restored.pipelines.insert(name.value().into());
        }
        Ok(restored)
    }
}

/// The first transaction makes both tables, and they stay: a file with none has lost them, and one with others is not ours.
fn require_tables(transaction: &ReadTransaction) -> Result<(), CheckpointError> {
    let tables = transaction.list_tables().map_err(redb::Error::from)?;
    let mut tables: Vec<String> = tables.map(|table| table.name().to_owned()).collect();
    let others = transaction.list_multimap_tables().map_err(redb::Error::from)?;
    tables.extend(others.map(|table| table.name().to_owned()));
    tables.sort_unstable();
    let ours = [PIPELINES.name(), POSITIONS.name()];
    match tables.is_empty() {
        true => Err(CheckpointError::Damaged("it has no tables".to_owned())),
        false if tables == ours => Ok(()),
        false => Err(CheckpointError::Unknown(format!(
            "it has the tables {tables:?} and not those of a checkpoint, {ours:?}"
        ))),
    }
}

/// The version of redb's format that a file says in both places; nothing for a new file and a damaged one.
fn version_of(storage: &impl StorageBackend) -> Option<u8> {
    let mut header = [0; 320];
    if storage.len().ok()? < 320 {
        return None;
    }
    storage.read(0, &mut header).ok()?;
    let [first, second] = REDB_SLOTS.map(|slot| header[slot]);
    (header.starts_with(REDB_MAGIC) && first == second && first != 0).then_some(first)
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checkpoint")
    }
}

impl From<NoRow> for CheckpointError {
    fn from(error: NoRow) -> Self {
        match error {
            NoRow::Damaged => CheckpointError::Damaged("a position does not decode".to_owned()),
            NoRow::Version(version) => CheckpointError::Unknown(format!(
                "its positions are of version {version}, and this build knows {}",
                crate::row::VERSION
            )),
        }
    }
}

impl From<redb::Error> for CheckpointError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. } => {
                CheckpointError::Unknown(format!("it is not a checkpoint of this version: {error}"))
            }
            // A file that is shorter than it says was cut: that is damage, not a disk's failure.
            redb::Error::Io(error)
                if !matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
            {
                CheckpointError::Unusable(error.to_string())
            }
            redb::Error::PreviousIo | redb::Error::DatabaseAlreadyOpen => {
                CheckpointError::Unusable(error.to_string())
            }
            other => CheckpointError::Damaged(other.to_string()),
        }
    }
}

impl From<redb::DatabaseError> for CheckpointError {
    fn from(error: redb::DatabaseError) -> Self {
        redb::Error::from(error).into()
    }
}

/// Opens the checkpoint in `data_dir`; a damaged one is renamed to `checkpoint.redb.damaged-N` and a new one begun.
pub(crate) fn open_or_reset(data_dir: &Path) -> Result<(Checkpoint, Restored), CheckpointError> {
    let path = data_dir.join(FILE_NAME);
    match open_file(&path) {
        Err(CheckpointError::Damaged(why)) => {
            let aside = set_aside(&path)?;
            tracing::error!(
                checkpoint = %path.display(), set_aside = %aside.display(), why,
                "the checkpoint is damaged and was set aside; the files present are read again from their \
                 beginning: expect repeated records"
            );
            let (checkpoint, restored) = open_file(&path)?;
            Ok((checkpoint, Restored { was_reset: true, ..restored }))
        }
        opened => opened,
    }
}

pub(crate) fn open_file(path: &Path) -> Result<(Checkpoint, Restored), CheckpointError> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) {
        // redb would begin a new one in it, and nobody would know that there were positions.
        return Err(CheckpointError::Damaged("it is empty".to_owned()));
    }
    let storage = FileStorage::open(path).map_err(|error| CheckpointError::Unusable(error.to_string()))?;
    Checkpoint::open(storage)
}

fn set_aside(path: &Path) -> Result<PathBuf, CheckpointError> {
    let names = (1u32..).map(|n| PathBuf::from(format!("{}.damaged-{n}", path.display())));
    let free =
        names.into_iter().find(|name| !name.exists()).unwrap_or_else(|| path.with_extension("damaged"));
    std::fs::rename(path, &free).map_err(|error| CheckpointError::Unusable(error.to_string()))?;
    Ok(free)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown damage".to_owned())
}
