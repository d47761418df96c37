//! Notices that the configuration changed: a file, the files of a directory, or the symlinks that a ConfigMap swaps.
//!
//! It looks once a second instead of watching: that works on every file system, costs a few system calls, and sees the
//! swap of a link anywhere on the path.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the files looked like: their real paths, and what changes when they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Look(Vec<(PathBuf, u64, u64, i64, i64)>);

/// The configuration at one path.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    /// As it was loaded last, or refused.
    settled: Look,
    /// As it was a second ago.
    last: Look,
}

impl Watched {
    /// Watches from its present state on.
    pub fn new(path: &Path) -> Self {
        let look = look(path);
        Watched { path: path.to_owned(), settled: look.clone(), last: look }
    }

    /// Whether it changed since this was last true, and has been left alone for one look since: a file that is being
    /// written is not read.
    pub fn changed(&mut self) -> bool {
        let now = look(&self.path);
        let resting = now == self.last;
        self.last = now;
        if !resting || self.last == self.settled {
            return false;
        }
        self.settled = self.last.clone();
        true
    }
}

fn look(path: &Path) -> Look {
    let mut files: Vec<PathBuf> = match fs::read_dir(path) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => vec![path.to_owned()],
    };
    files.sort();
    let state = |file: PathBuf| {
        let metadata = fs::metadata(&file).ok()?;
        let real = fs::canonicalize(&file).ok()?;
        Some((real, metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
    };
    Look(files.into_iter().filter_map(state).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_change_is_told_once_and_only_when_the_file_rests() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.yaml");
        fs::write(&file, "a").expect("written");
        let mut watched = Watched::new(&file);
        assert!(!watched.changed());
        fs::write(&file, "ab").expect("written");
        assert!(!watched.changed(), "perhaps still being written");
        fs::write(&file, "abc").expect("written");
        assert!(!watched.changed());
        assert!(watched.changed());
        assert!(!watched.changed());
        fs::remove_file(&file).expect("removed");
        assert!(!watched.changed());
        assert!(watched.changed());
    }

    /// Kubelet writes a new directory and swaps the link `..data`; names and sizes of the files may stay the same.
    #[test]
    fn the_swap_of_a_config_map_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        for version in ["..1", "..2"] {
            fs::create_dir(root.join(version)).expect("made");
            fs::write(root.join(version).join("x.yaml"), "same").expect("written");
        }
        symlink("..1", root.join("..data")).expect("linked");
        symlink("..data/x.yaml", root.join("x.yaml")).expect("linked");
        for path in [root.to_owned(), root.join("x.yaml")] {
            let mut watched = Watched::new(&path);
            let next = if root.join("..data").read_link().expect("a link") == Path::new("..1") {
                "..2"
            } else {
                "..1"
            };
            symlink(next, root.join("..new")).expect("linked");
            fs::rename(root.join("..new"), root.join("..data")).expect("swapped");
            assert!(!watched.changed());
            assert!(watched.changed(), "{}", path.display());
        }
    }
}
