//! The rotation chain: `file` becomes `file.1`, that `file.2`, and so on.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::config::Rotate;
use crate::file::directory;

/// Numbers that are looked at: a chain is never longer.
const CHAIN_MAX: usize = 100_000;

/// Moves `path` and its chain one number on. What `rotate` does not keep is removed, the oldest first: beyond `keep` files,
/// or `keep` times `max_bytes` bytes. Files of less than half of `max_bytes` are not counted, only their bytes: unclean
/// ends make them, and some crashes in a row must not remove what was kept.
/// Repeating a shift that a crash interrupted is safe: a number that is missing ends the chain that must move.
pub(crate) fn shift(path: &Path, rotate: Option<Rotate>) -> io::Result<()> {
    let mut sizes = vec![fs::symlink_metadata(path)?.len()];
    while let Some(size) = size_of(&numbered(path, sizes.len()))?
        && sizes.len() <= CHAIN_MAX
    {
        sizes.push(size);
    }
    let kept = rotate.map_or(sizes.len(), |rotate| kept(&sizes, rotate)).min(CHAIN_MAX);
    for number in kept.max(1)..sizes.len() {
        remove(&numbered(path, number))?;
    }
    for number in (1..kept).rev() {
        fs::rename(numbered(path, number), numbered(path, number + 1))?;
    }
    if kept == 0 {
        remove(path)?;
    } else {
        fs::rename(path, numbered(path, 1))?;
    }
    sync_directory(path)
}

/// How many of these files, of these sizes, the newest first, are kept.
fn kept(sizes: &[u64], Rotate { max_bytes, keep }: Rotate) -> usize {
    let (mut files, mut bytes) = (0_u64, 0_u64);
    let fits = |size: &&u64| {
        files += u64::from(size.saturating_mul(2) >= max_bytes);
        bytes = bytes.saturating_add(**size);
        files <= u64::from(keep) && bytes <= u64::from(keep).saturating_mul(max_bytes)
    };
    let kept = sizes.iter().take_while(fits).count();
    // A single payload may be larger than a file should be.
    kept.max(usize::from(keep > 0))
}

/// Makes the names in `path`'s directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

/// A file's size, where there is one.
fn size_of(path: &Path) -> io::Result<Option<u64>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<(String, String)> {
        let mut found: Vec<_> = fs::read_dir(directory)
            .expect("directory")
            .map(|entry| {
                let path = entry.expect("entry").path();
                let name = path.file_name().expect("name").to_string_lossy().into_owned();
                (name, fs::read_to_string(path).expect("text"))
            })
            .collect();
        found.sort();
        found
    }

    fn shifted(keep: Option<u32>, times: u32) -> Vec<(String, String)> {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("f");
        for n in 0..times {
            fs::write(&path, n.to_string()).expect("write");
            shift(&path, keep.map(|keep| Rotate { max_bytes: 1, keep })).expect("shift");
        }
        names(directory.path())
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_newest_is_number_one_and_only_keep_of_them_stay() {
        assert_eq!(shifted(Some(2), 5), owned(&[("f.1", "4"), ("f.2", "3")]));
        assert_eq!(shifted(Some(1), 3), owned(&[("f.1", "2")]));
        assert_eq!(shifted(Some(0), 3), []);
        assert_eq!(shifted(None, 3), owned(&[("f.1", "2"), ("f.2", "1"), ("f.3", "0")]));
    }

    #[test]
    fn a_lowered_keep_removes_what_is_beyond_it_and_a_gap_is_no_error() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("f");
        for (name, text) in [("f", "0"), ("f.1", "1"), ("f.2", "2"), ("f.3", "3"), ("f.5", "5")] {
            fs::write(directory.path().join(name), text).expect("write");
        }
        shift(&path, Some(Rotate { max_bytes: 1, keep: 2 })).expect("shift");
        assert_eq!(names(directory.path()), owned(&[("f.1", "0"), ("f.2", "1"), ("f.5", "5")]));
    }

    #[test]
    fn small_files_that_crashes_left_push_no_full_one_out_before_their_bytes_do() {
        let rotate = Rotate { max_bytes: 100, keep: 2 };
        assert_eq!(kept(&[3, 3, 3, 100, 3, 80], rotate), 6);
        assert_eq!(kept(&[3, 3, 100, 90, 99], rotate), 4);
        assert_eq!(kept(&[40, 40, 40, 40, 39, 2], rotate), 5);
        assert_eq!(kept(&[500, 100], rotate), 1);
        assert_eq!(kept(&[3, 3], Rotate { keep: 0, ..rotate }), 0);
    }
}
