//! Opening, looking and listing, and the files that are open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{NodeId, os_error};
use super::history::Outcome;
use super::world::{State, World};
use crate::{DirEntry, File, Fs, Kind, Stat};

/// Errors of opening and listing that are nobody's fault.
const OPEN_ERRORS: [i32; 4] = [libc::EACCES, libc::ENOENT, libc::EIO, libc::EMFILE];

/// Errors of looking: it needs no descriptor.
const STAT_ERRORS: [i32; 3] = [libc::EACCES, libc::ENOENT, libc::EIO];

/// How long after a change a listing may have been under way while it happened, in nanoseconds.
const CHANGING_NS: i64 = 1_000_000_000;

/// The file system of a [`World`], with its faults.
#[derive(Clone, Debug)]
pub struct SimFs(World);

impl SimFs {
    pub(super) fn new(world: World) -> Self {
        SimFs(world)
    }

    /// Does `call`, or fails by chance with one of `errors`; notes it.
    fn call<T>(
        &self,
        name: &str,
        path: &Path,
        (chance, errors): (f64, &[i32]),
        call: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.0.state();
        let error = if state.strikes(chance) { errors[state.rng.usize(..errors.len())] } else { 0 };
        // A name that is there is missing for a moment only, while it or a directory above is renamed.
        let was_missing = state.missing.take().is_some_and(|missing| missing == path);
        let result = match error {
            0 => call(&mut state),
            libc::ENOENT if was_missing => call(&mut state),
            error => Err(os_error(error)),
        };
        if error == libc::ENOENT && result.is_err() {
            state.missing = Some(path.to_owned());
        }
        state.note(format_args!("{name} {}: {}", path.display(), Outcome(&result)));
        result
    }
}

impl Fs for SimFs {
    fn open_as(&self, path: &Path) -> io::Result<(Arc<File>, Stat)> {
        let chance = self.0.state().faults.open_error;
        let (node, incarnation, stat) = self.call("open", path, (chance, &OPEN_ERRORS), |state| {
            let node = state.disk.walk_straight(path)?;
            let stat = state.disk.stat(node)?;
            let kind = stat.kind;
            if kind != Kind::File {
                let reason = format!("not a regular file: {kind:?}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
            state.disk.node_mut(node)?.readers += 1;
            Ok((node, state.incarnation, stat))
        })?;
        Ok((Arc::new(File::from_sim(Handle { world: self.0.clone(), node, incarnation })), stat))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let chance = self.0.state().faults.stat_error;
        self.call("stat", path, (chance, &STAT_ERRORS), |state| {
            state.disk.stat(state.disk.walk(path, true)?.found()?)
        })
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        let chance = self.0.state().faults.stat_error;
        self.call("lstat", path, (chance, &STAT_ERRORS), |state| {
            state.disk.stat(state.disk.walk(path, false)?.found()?)
        })
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let chance = self.0.state().faults.read_dir_error;
        self.call("list", path, (chance, &OPEN_ERRORS), |state| {
            let State { disk, rng, faults, unlisted, .. } = state;
            let directory = disk.walk(path, true)?.found()?;
            let modified_ns = disk.stat(directory)?.modified_ns;
            let is_changing =
                disk.now_ns - modified_ns < CHANGING_NS && unlisted.get(&directory) != Some(&modified_ns);
            let mut found = Vec::new();
            for (name, node) in disk.entries(directory)? {
                let Stat { kind, ino, .. } = disk.stat(*node)?;
                found.push(DirEntry { name: name.clone(), kind, ino });
            }
            rng.shuffle(&mut found);
            if is_changing && super::faults::strikes(rng, faults.missed_entry) {
                found.pop();
                unlisted.insert(directory, modified_ns);
            }
            Ok(found)
        })
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        let chance = self.0.state().faults.stat_error;
        self.call("canonical", path, (chance, &STAT_ERRORS), |state| {
            let walk = state.disk.walk(path, true)?;
            walk.found()?;
            Ok(walk.path)
        })
    }

    fn is_far(&self, path: &Path) -> bool {
        self.0.state().far.as_ref().is_some_and(|far| path.starts_with(far))
    }
}

/// A simulated open file, behind a [`File`]. Its node stays readable until it is closed, whatever its names.
#[derive(Debug)]
pub(crate) struct Handle {
    world: World,
    node: NodeId,
    incarnation: u64,
}

impl Handle {
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        let state = self.world.state();
        self.check(&state)?;
        state.disk.stat(self.node)
    }

    pub(crate) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_in(&mut self.world.state(), buf, offset, 1)
    }

    /// Reads, with the faults of reading.
    pub(super) fn read_in(
        &self,
        state: &mut State,
        buf: &mut [u8],
        offset: u64,
        least: usize,
    ) -> io::Result<usize> {
        self.check(state)?;
        let State { disk, rng, faults, reads, .. } = state;
        *reads += 1;
        let node = disk.node_mut(self.node)?;
        node.broken |= super::faults::strikes(rng, faults.broken_file);
        if node.broken || super::faults::strikes(rng, faults.read_error) {
            return Err(os_error(libc::EIO));
        }
        let bytes = disk.bytes(self.node)?;
        let at = usize::try_from(offset).map_or(bytes.len(), |at| at.min(bytes.len()));
        let mut len = buf.len().min(bytes.len() - at);
        if len > least && super::faults::strikes(rng, faults.short_read) {
            len = rng.usize(least..len);
        }
        buf[..len].copy_from_slice(&bytes[at..at + len]);
        Ok(len)
    }

    pub(super) fn is_in(&self, world: &World) -> bool {
        self.world.is(world)
    }

    /// The inode number, for the history.
    pub(super) fn ino(&self, state: &State) -> u64 {
        state.disk.node(self.node).map_or(0, |node| node.ino)
    }

    fn check(&self, state: &State) -> io::Result<()> {
        if self.incarnation == state.incarnation { Ok(()) } else { Err(os_error(libc::ESTALE)) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.world.state();
        if self.incarnation == state.incarnation
            && let Ok(node) = state.disk.node_mut(self.node)
        {
            node.readers -= 1;
            state.disk.free_if_unused(self.node);
        }
    }
}
