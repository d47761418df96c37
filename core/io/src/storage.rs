//! Where the checkpoint's database lies: a file, behind redb's storage seam.
//!
//! The file is made readable by its owner only, and its name is made durable with it. Errors pass through as they
//! are: what to do about a full disk is the checkpointer's to say. Locking is [`DirLock`](crate::DirLock)'s.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// A database in a file.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
}

impl FileStorage {
    /// Opens the file at `path`, or makes it, in a directory that exists.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let file = match options.clone().create_new(true).open(path) {
            Ok(file) => {
                // A file survives a power cut by the fsync of its directory.
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
                file
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path)?,
            Err(error) => return Err(error),
        };
        Ok(FileStorage { file })
    }
}

impl redb::StorageBackend for FileStorage {
    fn len(&self) -> io::Result<u64> {
        // Asked of the file system each time: it is asked rarely, and a number of our own could be wrong after a
        // failed call.
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use redb::{Builder, ReadableDatabase, StorageBackend, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<'_, &str, u64> = TableDefinition::new("positions");

    fn database(path: &Path) -> redb::Database {
        let storage = FileStorage::open(path).expect("storage");
        Builder::new().create_with_backend(storage).expect("database")
    }

    #[test]
    fn a_database_keeps_what_was_committed_over_a_reopening() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("checkpoints.redb");
        let db = database(&path);
        let write = db.begin_write().expect("transaction");
        write.open_table(TABLE).expect("table").insert("a", 42).expect("insert");
        write.commit().expect("commit");
        drop(db);
        let read = database(&path).begin_read().expect("transaction");
        assert_eq!(read.open_table(TABLE).expect("table").get("a").expect("get").expect("there").value(), 42);
        let mode = std::fs::metadata(&path).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn growing_gives_zeros_and_reading_past_the_end_is_an_error() {
        let dir = tempfile::tempdir().expect("directory");
        let storage = FileStorage::open(&dir.path().join("file")).expect("storage");
        storage.write(0, b"abc").expect("write");
        storage.set_len(6).expect("grow");
        let mut bytes = [9; 6];
        storage.read(0, &mut bytes).expect("read");
        assert_eq!((bytes, storage.len().expect("length")), (*b"abc\0\0\0", 6));
        let past = storage.read(1, &mut bytes);
        assert_eq!(past.expect_err("past the end").kind(), io::ErrorKind::UnexpectedEof);
    }
}
