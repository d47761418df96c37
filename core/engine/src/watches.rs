//! Which lineage a change in a watched directory concerns.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use ringtail_io::{Io, WatchError, WatchId};

use crate::maps::HashMap;
use crate::names::LineageId;

/// A shard's directory watches, and the names in them that it follows.
#[derive(Default)]
pub(crate) struct Watches {
    directories: HashMap<PathBuf, Watched>,
    by_id: HashMap<WatchId, PathBuf>,
    /// Whether the operator was told that watches ran out.
    told: bool,
}

struct Watched {
    /// None where the directory cannot be watched: its files are polled.
    id: Option<WatchId>,
    names: HashMap<OsString, LineageId>,
}

impl Watches {
    /// Follows the file at `path` for `lineage`. False when its directory cannot be watched and it must be polled.
    pub(crate) fn follow(&mut self, io: &mut dyn Io, path: &Path, lineage: LineageId) -> bool {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return false };
        if !self.directories.contains_key(directory) {
            let id = self.watch(io, directory);
            self.directories.insert(directory.to_owned(), Watched { id, names: HashMap::default() });
        }
        let Some(watched) = self.directories.get_mut(directory) else { return false };
        watched.names.insert(name.to_owned(), lineage);
        watched.id.is_some()
    }

    /// Follows the file at `path` for `lineage` no longer, and ends the watch of a directory that has none left.
    pub(crate) fn leave(&mut self, io: &mut dyn Io, path: &Path, lineage: LineageId) {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return };
        let Some(watched) = self.directories.get_mut(directory) else { return };
        if watched.names.get(name) == Some(&lineage) {
            watched.names.remove(name);
        }
        if watched.names.is_empty() {
            self.end(io, directory);
        }
    }

    /// The lineage that follows `name` in the directory that `watch` watches.
    pub(crate) fn find(&self, watch: WatchId, name: &OsStr) -> Option<LineageId> {
        self.directories.get(self.by_id.get(&watch)?)?.names.get(name).copied()
    }

    /// The watch ended by itself; returns the lineages that must be polled until their directory is seen again.
    pub(crate) fn lost(&mut self, watch: WatchId) -> Vec<LineageId> {
        let Some(directory) = self.by_id.remove(&watch) else { return Vec::new() };
        let watched = self.directories.remove(&directory);
        watched.map(|watched| watched.names.into_values().collect()).unwrap_or_default()
    }

    fn watch(&mut self, io: &mut dyn Io, directory: &Path) -> Option<WatchId> {
        match io.watch(directory) {
            Ok(id) => {
                self.by_id.insert(id, directory.to_owned());
                Some(id)
            }
            // Nothing to mend: that is how such mounts are.
            Err(WatchError::Remote) => None,
            Err(error) => {
                if !self.told {
                    self.told = true;
                    tracing::warn!(directory = %directory.display(), why = %error, "cannot watch a directory; its \
                        files, and others like it, are looked at once a second instead");
                }
                None
            }
        }
    }

    fn end(&mut self, io: &mut dyn Io, directory: &Path) {
        if let Some(Watched { id: Some(id), .. }) = self.directories.remove(directory) {
            self.by_id.remove(&id);
            io.unwatch(id);
        }
    }
}
