//! The file sink: payloads appended whole, durable before they are answered.
//!
//! ```text
//! append* -> fdatasync -> answers          append fails: cut back to the last whole payload, sync, wait, again
//!    \--> full: fdatasync -> rotate -> append
//! ```
//! **An unclean start begins a new file**, since what follows a torn end would be spoilt by it; the old one moves aside
//! along the rotation chain, and nothing in it is cut: it may hold what somebody else wrote. A torn end is known
//! - without compression by a last byte that is not a newline. The torn record was never answered: it comes again;
//! - with compression by a mark, an empty file beside it (`.<name>.open`), made before the first byte is written and
//!   removed after the last sync. A torn frame cannot be told from its end, and walking all frames of a large file, or
//!   decompressing a gzip, would delay the start;
//! - by a first byte of another format, after `compression` was changed.
//!
//! A file that somebody moved or deleted is left, and a new one made at its path. Limits: one payload over
//! `rotate.max_bytes` makes a file of its own.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringtail_encode::Compression;

use crate::config::Rotate;
use crate::output::Done;
use crate::payload::Payload;
use crate::rotate::{remove, shift, sync_directory};
use crate::stats::{Stats, add};
use crate::writer::{Failure, Writer};

/// Appends payloads to a file.
pub(crate) struct FileWriter {
    path: PathBuf,
    rotate: Option<Rotate>,
    compression: Compression,
    open: Option<OpenFile>,
    /// The mark is there, and it is ours.
    marked: bool,
    /// A cut failed, so that the file may end in half a payload.
    torn: bool,
    stats: Arc<Stats>,
}

struct OpenFile {
    file: File,
    /// Which file it is: device and inode.
    id: (u64, u64),
    /// Bytes: whole payloads.
    len: u64,
    /// Bytes that are durable.
    synced: u64,
}

impl FileWriter {
    /// A writer that opens its file when there is something to write.
    pub(crate) fn new(
        path: &Path,
        rotate: Option<Rotate>,
        compression: Compression,
        stats: Arc<Stats>,
    ) -> Self {
        FileWriter {
            path: path.to_owned(),
            rotate,
            compression,
            open: None,
            marked: false,
            torn: false,
            stats,
        }
    }

    /// Whether the file can be written to, without changing what is there. Makes the directories that are missing.
    pub(crate) fn probe(&self) -> io::Result<()> {
        fs::create_dir_all(self.directory())?;
        match fs::metadata(&self.path) {
            Ok(found) if !found.is_file() => Err(not_regular()),
            Ok(_) => OpenOptions::new().append(true).open(&self.path).map(drop),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                OpenOptions::new().append(true).create(true).open(&self.path).map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes and syncs; `done` counts the payloads that are durable, also when a later one fails.
    fn append_all(&mut self, payloads: &[Payload], done: &mut usize) -> io::Result<()> {
        self.reopen_if_moved()?;
        for (written, payload) in payloads.iter().enumerate() {
            if self.is_full(payload.bytes.len() as u64) {
                self.sync()?;
                *done = written;
                self.begin_new()?;
            }
            if let Err(error) = self.append(&payload.bytes) {
                self.sync()?;
                *done = written;
                return Err(error);
            }
        }
        self.sync()?;
        *done = payloads.len();
        Ok(())
    }

    fn is_full(&self, more: u64) -> bool {
        let len = self.open.as_ref().map_or(0, |open| open.len);
        self.rotate.is_some_and(|rotate| len > 0 && len.saturating_add(more) > rotate.max_bytes)
    }

    /// Appends one payload, or nothing of it.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let open = self.opened()?;
        match open.file.write_all(bytes) {
            Ok(()) => {
                open.len += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                let whole = open.len;
                self.cut(whole);
                Err(error)
            }
        }
    }

    /// Makes durable what was appended. After a failure the kernel may call pages clean that never reached the disk, so
    /// what is not durable is cut off and will be written again.
    fn sync(&mut self) -> io::Result<()> {
        // Without it, what was appended cannot be vouched for: it is written again.
        let Some(open) = &mut self.open else { return Err(io::Error::other("the file was given up")) };
        if open.synced == open.len {
            return Ok(());
        }
        add(&self.stats.syncs, 1);
        if let Err(error) = open.file.sync_data() {
            let synced = open.synced;
            self.cut(synced);
            return Err(error);
        }
        open.synced = open.len;
        Ok(())
    }

    /// Cuts the file back to `len`. A file that cannot be cut is given up: the next attempt begins a new one.
    fn cut(&mut self, len: u64) {
        if let Some(open) = &mut self.open {
            match open.file.set_len(len) {
                Ok(()) => {
                    open.len = len;
                    open.synced = open.synced.min(len);
                }
                Err(_) => {
                    self.torn = true;
                    self.open = None;
                }
            }
        }
    }

    /// Moves the full file aside and opens an empty one.
    fn begin_new(&mut self) -> io::Result<()> {
        self.open = None;
        shift(&self.path, self.rotate)?;
        self.opened().map(drop)
    }

    /// Leaves a file that is no longer the one at the path, and takes notice when somebody else changed its length.
    fn reopen_if_moved(&mut self) -> io::Result<()> {
        if let Some(open) = &mut self.open {
            match fs::metadata(&self.path) {
                Ok(found) if open.id == (found.dev(), found.ino()) => {
                    (open.len, open.synced) = (found.len(), found.len());
                }
                Ok(_) => self.open = None,
                Err(error) if error.kind() == ErrorKind::NotFound => self.open = None,
                Err(error) => return Err(error),
            }
        }
        self.opened().map(drop)
    }

    /// The open file; opens it, after an unclean end a new one.
    fn opened(&mut self) -> io::Result<&mut OpenFile> {
        if self.open.is_none() {
            fs::create_dir_all(self.directory())?;
            if self.is_unclean()? {
                shift(&self.path, self.rotate)?;
            }
            self.mark()?;
            let file = OpenOptions::new().append(true).create(true).open(&self.path)?;
            sync_directory(&self.path)?;
            let found = file.metadata()?;
            if !found.is_file() {
                return Err(not_regular());
            }
            self.torn = false;
            let (id, len) = ((found.dev(), found.ino()), found.len());
            self.open = Some(OpenFile { file, id, len, synced: len });
        }
        self.open.as_mut().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Whether what is at the path may not be appended to.
    fn is_unclean(&self) -> io::Result<bool> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(not_regular());
        }
        if found.len() == 0 {
            return Ok(false);
        }
        let mut head = Vec::new();
        (&mut file).take(4).read_to_end(&mut head)?;
        if self.torn || format_of(&head) != self.compression {
            return Ok(true);
        }
        if self.compression != Compression::None {
            return Ok(!self.marked && self.mark_path().try_exists()?);
        }
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        Ok(last != *b"\n")
    }

    /// Leaves the mark of a compressed file that is being written.
    fn mark(&mut self) -> io::Result<()> {
        if self.compression != Compression::None {
            File::create(self.mark_path())?;
            sync_directory(&self.path)?;
            self.marked = true;
        }
        Ok(())
    }

    fn mark_path(&self) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".open");
        self.path.with_file_name(name)
    }

    fn directory(&self) -> &Path {
        directory(&self.path)
    }
}

impl Writer for FileWriter {
    fn write(&mut self, payloads: &[Payload], _: &Done) -> (usize, Result<(), Failure>) {
        let mut done = 0;
        let result = self.append_all(payloads, &mut done).map_err(|error| {
            let text = format!("{}: {error}", self.path.display());
            Failure::Retry(io::Error::new(error.kind(), text))
        });
        (done, result)
    }

    fn close(&mut self) -> io::Result<()> {
        if self.open.is_some() {
            self.sync()?;
        }
        self.open = None;
        if self.marked && !self.torn {
            remove(&self.mark_path())?;
            sync_directory(&self.path)?;
        }
        Ok(())
    }
}

/// The directory that `path` lies in.
pub(crate) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What a file that begins with `head` holds, by the magic numbers of RFC 8878, the lz4 frame format and RFC 1952.
fn format_of(head: &[u8]) -> Compression {
    match head {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        [0x04, 0x22, 0x4d, 0x18, ..] => Compression::Lz4,
        [0x1f, 0x8b, ..] => Compression::Gzip,
        _ => Compression::None,
    }
}

fn not_regular() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "not a regular file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::testing::payload;

    /// One sync for a group, one more for each file that fills up within it, none for a group without payloads.
    #[test]
    fn a_group_is_one_sync() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("out");
        let stats = Arc::new(Stats::new("o"));
        let rotate = Some(Rotate { max_bytes: 6, keep: 9 });
        let mut writer = FileWriter::new(&path, rotate, Compression::None, stats.clone());
        let group: Vec<_> =
            ["a\n", "b\n", "c\n", "d\n", "long line\n", "e\n"].map(|text| payload(text, &stats)).into();
        let mut syncs_after = |group: &[Payload]| {
            let (_, done) = crossbeam_channel::bounded(0);
            let (written, result) = writer.write(group, &done);
            assert!(written == group.len() && result.is_ok(), "{result:?}");
            stats.syncs.load(std::sync::atomic::Ordering::Relaxed)
        };
        assert_eq!(syncs_after(&group[..2]), 1);
        assert_eq!(syncs_after(&[]), 1);
        assert_eq!(syncs_after(&group[2..]), 1 + 4);
        let text = |name: &str| fs::read_to_string(directory.path().join(name)).expect("file");
        assert_eq!(
            [text("out.3"), text("out.2"), text("out.1"), text("out")],
            ["a\nb\nc\n", "d\n", "long line\n", "e\n"]
        );
    }
}
