//! What a collector delivered: files below one directory, written by itself or by the HTTP sink; how far it is, and
//! what is in them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::rival::Records;
use crate::tally::{MARK, Tally, Verdict, Written};

/// What is looked at once.
const PIECE: usize = 1 << 20;

/// Counts the messages in growing files.
pub(crate) struct Progress {
    dir: PathBuf,
    read_to: HashMap<PathBuf, u64>,
    count: u64,
    piece: Vec<u8>,
}

impl Progress {
    pub(crate) fn of(dir: &Path) -> Self {
        Progress { dir: dir.to_owned(), read_to: HashMap::new(), count: 0, piece: vec![0; PIECE] }
    }

    /// Messages so far, by how they begin.
    pub(crate) fn count(&mut self) -> io::Result<u64> {
        for path in files(&self.dir)? {
            let Ok(file) = File::open(&path) else { continue };
            let offset = self.read_to.entry(path).or_default();
            loop {
                let n = file.read_at(&mut self.piece, *offset)?;
                self.count += memchr::memmem::find_iter(&self.piece[..n], MARK).count() as u64;
                // A mark may be half written, or lie across two pieces: its beginning is looked at again.
                let kept = (1..MARK.len()).rev().find(|kept| self.piece[..n].ends_with(&MARK[..*kept]));
                let used = n - kept.unwrap_or(0);
                *offset += used as u64;
                if n < PIECE {
                    break;
                }
            }
        }
        Ok(self.count)
    }
}

/// Takes everything below `dir` apart and counts it.
pub(crate) fn verdict(dir: &Path, records: &Records, written: &Written) -> io::Result<Verdict> {
    let mut tally = Tally::new(written);
    for path in files(dir)? {
        match records {
            Records::Json { message, stream } => json_lines(&path, message, stream, &mut tally)?,
            Records::Protobuf => {
                let mut bytes = Vec::new();
                File::open(path)?.read_to_end(&mut bytes)?;
                tally.protobuf(&bytes);
            }
        }
    }
    Ok(tally.verdict())
}

fn json_lines(path: &Path, message: &[String], stream: &[String], tally: &mut Tally) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(PIECE, File::open(path)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        match serde_json::from_slice::<Value>(&line) {
            Ok(value) => {
                let (messages, streams) = (at(&value, message), at(&value, stream));
                if messages.is_empty() {
                    tally.malformed();
                }
                for (number, message) in messages.iter().enumerate() {
                    let stream = streams.get(number).and_then(|stream| stream.as_str());
                    tally.record(message.as_str().unwrap_or_default().as_bytes(), stream);
                }
            }
            Err(_) if line.trim_ascii().is_empty() => {}
            Err(_) => tally.malformed(),
        }
        line.clear();
    }
    Ok(())
}

/// The values that `path` leads to; none for an empty path.
fn at<'a>(value: &'a Value, path: &[String]) -> Vec<&'a Value> {
    if path.is_empty() {
        return Vec::new();
    }
    path.iter().fold(vec![value], |values, key| {
        let step = |value: &'a Value| -> Vec<&'a Value> {
            match (key.as_str(), value) {
                ("*", Value::Array(all)) => all.iter().collect(),
                (key, value) => value.get(key).into_iter().collect(),
            }
        };
        values.into_iter().flat_map(step).collect()
    })
}

/// Every file below `dir`, in the order of the paths.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let list = if entry.file_type()?.is_dir() { &mut dirs } else { &mut found };
            list.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_mark_that_is_half_written_is_counted_once_when_it_is_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut progress = Progress::of(dir.path());
        assert_eq!(progress.count().expect("read"), 0);
        let mut file = File::create(dir.path().join("a")).expect("a file");
        file.write_all(b"{vsb:1} {vs").expect("written");
        assert_eq!(progress.count().expect("read"), 1);
        file.write_all(b"b:2}\nv").expect("written");
        assert_eq!(progress.count().expect("read"), 2);
        file.write_all(&[vec![b'x'; PIECE - 3], b"vsb:3".to_vec()].concat()).expect("written");
        assert_eq!(progress.count().expect("read"), 3);
        assert_eq!(progress.count().expect("read"), 3);
    }

    #[test]
    fn paths_lead_into_arrays_and_keys_with_dots() {
        let value = serde_json::json!({"a": [{"b.c": 1}, {"b.c": 2}, {}]});
        let path = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        assert_eq!(at(&value, &path(&["a", "*", "b.c"])), [&Value::from(1), &Value::from(2)]);
        assert!(at(&value, &path(&["a", "b.c"])).is_empty());
        assert!(at(&value, &[]).is_empty());
    }
}
