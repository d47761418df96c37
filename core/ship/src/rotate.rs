//! The rotation chain: `file` becomes `file.1`, that `file.2`, and so on.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::file::directory;

/// Numbers that are looked at: a chain is never longer.
const CHAIN_MAX: u32 = 100_000;

/// Moves `path` and its chain one number on. At most `keep` of them stay, where it is given; older ones are removed.
/// Repeating a shift that a crash interrupted is safe: a number that is missing ends the chain that must move.
pub(crate) fn shift(path: &Path, keep: Option<u32>) -> io::Result<()> {
    let keep = keep.unwrap_or(CHAIN_MAX).min(CHAIN_MAX);
    let mut end = 1;
    while end <= CHAIN_MAX && exists(&numbered(path, end))? {
        end += 1;
    }
    // What lies beyond `keep` goes, the file that would get there included.
    for number in keep.max(1)..end {
        remove(&numbered(path, number))?;
    }
    for number in (1..end.min(keep)).rev() {
        fs::rename(numbered(path, number), numbered(path, number + 1))?;
    }
    if keep == 0 {
        remove(path)?;
    } else {
        fs::rename(path, numbered(path, 1))?;
    }
    sync_directory(path)
}

/// Makes the names in `path`'s directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
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
            shift(&path, keep).expect("shift");
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
        shift(&path, Some(2)).expect("shift");
        assert_eq!(names(directory.path()), owned(&[("f.1", "0"), ("f.2", "1"), ("f.5", "5")]));
    }
}
