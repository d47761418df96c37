//! The checkpoint's storage: a file of the simulated file system whose writes are volatile until they are synced.
//!
//! A journal per file keeps what was written since the last sync, with the bytes that it replaced, so that a crash can
//! take it back: no copy of the whole file is ever made.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use redb::StorageBackend;

use super::disk::{Disk, NodeId, os_error};
use super::faults::{Faults, strikes};
use super::world::{State, World};
use super::writer::Writer;

/// What a disk writes as a whole or not at all, in bytes.
const SECTOR: usize = 512;

/// What was not synced, per file.
#[derive(Debug, Default)]
pub(super) struct Journals(BTreeMap<NodeId, Vec<Entry>>);

#[derive(Debug)]
enum Entry {
    Write {
        off: usize,
        old: Vec<u8>,
        new: Vec<u8>,
    },
    /// `cut` is what lay behind the new end.
    Resize {
        old_len: usize,
        new_len: usize,
        cut: Vec<u8>,
    },
}

impl World {
    /// The file at `path` as a storage for redb, made where there is none, its directory too. One at a time.
    ///
    /// After [`World::crash`] all that was synced is there, and of what was written since then all, nothing, or a random
    /// part in units of calls; with [`Faults::torn_write`] also in units of sectors.
    pub fn storage(&self, path: impl AsRef<Path>) -> io::Result<SimStorage> {
        let path = path.as_ref();
        if let Some(dir) = path.parent() {
            self.mkdir_all(dir)?;
        }
        let file = self.writer(path)?;
        let incarnation = self.state().incarnation;
        Ok(SimStorage { file, incarnation })
    }
}

/// A storage for redb in a [`World`]. After a crash it only fails.
#[derive(Debug)]
pub struct SimStorage {
    /// Keeps the file while it is open; its own writing is not used.
    file: Writer,
    incarnation: u64,
}

impl SimStorage {
    fn call<T>(&self, call: impl FnOnce(&mut State, NodeId) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.file.world().state();
        if state.incarnation != self.incarnation {
            return Err(os_error(libc::ESTALE));
        }
        call(&mut state, self.file.node())
    }
}

impl StorageBackend for SimStorage {
    fn len(&self) -> io::Result<u64> {
        self.call(|state, node| Ok(state.disk.stat(node)?.size))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.call(|state, node| {
            let at = index(offset)?;
            let end = at.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(state.disk.bytes(node)?.get(at..end).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(|state, node| {
            let len = index(len)?;
            let grows = len > state.disk.bytes(node)?.len();
            state.storage_fault("resize", grows)?;
            state.journals.resize(&mut state.disk, node, len)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call(|state, node| {
            state.storage_fault("sync", false)?;
            state.note(format_args!("storage: synced"));
            state.journals.0.remove(&node);
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.call(|state, node| {
            state.storage_fault("write", true)?;
            state.journals.write(&mut state.disk, node, index(offset)?, data)
        })
    }
}

impl State {
    fn storage_fault(&mut self, call: &str, takes_space: bool) -> io::Result<()> {
        let errno = if strikes(&mut self.rng, self.faults.storage_error) {
            libc::EIO
        } else if takes_space && strikes(&mut self.rng, self.faults.storage_full) {
            libc::ENOSPC
        } else {
            return Ok(());
        };
        let error = os_error(errno);
        self.note(format_args!("storage: {call} fails: {:?}", error.kind()));
        Err(error)
    }
}

impl Journals {
    fn write(&mut self, disk: &mut Disk, node: NodeId, off: usize, data: &[u8]) -> io::Result<()> {
        let end = off.checked_add(data.len()).ok_or_else(|| os_error(libc::EFBIG))?;
        if disk.bytes(node)?.len() < end {
            self.resize(disk, node, end)?;
        }
        let place = &mut disk.bytes_mut(node)?[off..end];
        let entry = Entry::Write { off, old: place.to_vec(), new: data.to_vec() };
        place.copy_from_slice(data);
        self.0.entry(node).or_default().push(entry);
        Ok(())
    }

    fn resize(&mut self, disk: &mut Disk, node: NodeId, new_len: usize) -> io::Result<()> {
        let bytes = disk.bytes_mut(node)?;
        let old_len = bytes.len();
        let cut = if new_len < old_len { bytes.split_off(new_len) } else { Vec::new() };
        bytes.resize(new_len, 0);
        self.0.entry(node).or_default().push(Entry::Resize { old_len, new_len, cut });
        Ok(())
    }

    /// Leaves what a power cut leaves. Returns how many unsynced calls there were, and how many of them stayed.
    pub(super) fn crash(
        &mut self,
        disk: &mut Disk,
        rng: &mut fastrand::Rng,
        faults: &Faults,
    ) -> (usize, usize) {
        let (mut all, mut stayed) = (0, 0);
        for (node, entries) in std::mem::take(&mut self.0) {
            let Ok(bytes) = disk.bytes_mut(node) else { continue };
            entries.iter().rev().for_each(|entry| entry.undo(bytes));
            let kept = [0.0, 0.5, 0.9, 1.0][rng.usize(..4)];
            for entry in &entries {
                all += 1;
                if strikes(rng, kept) {
                    stayed += 1;
                    let torn = strikes(rng, faults.torn_write);
                    entry.redo(bytes, || !torn || rng.bool());
                }
            }
        }
        (all, stayed)
    }
}

impl Entry {
    fn undo(&self, bytes: &mut Vec<u8>) {
        match self {
            Entry::Write { off, old, .. } => {
                // Missing only when the test itself has cut the file meanwhile.
                if let Some(place) = bytes.get_mut(*off..*off + old.len()) {
                    place.copy_from_slice(old);
                }
            }
            Entry::Resize { old_len, cut, .. } => {
                bytes.truncate(*old_len);
                bytes.extend_from_slice(cut);
                bytes.resize(*old_len, 0);
            }
        }
    }

    /// Does it again, on a file that may lack what came before, of every sector asking `kept`.
    fn redo(&self, bytes: &mut Vec<u8>, mut kept: impl FnMut() -> bool) {
        let (off, new) = match self {
            Entry::Resize { new_len, .. } => return bytes.resize(*new_len, 0),
            Entry::Write { off, new, .. } => (*off, new),
        };
        if bytes.len() < off + new.len() {
            bytes.resize(off + new.len(), 0);
        }
        let mut at = 0;
        while at < new.len() {
            let end = (((off + at) / SECTOR + 1) * SECTOR - off).min(new.len());
            if kept() {
                bytes[off + at..off + end].copy_from_slice(&new[at..end]);
            }
            at = end;
        }
    }
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| os_error(libc::EFBIG))
}
