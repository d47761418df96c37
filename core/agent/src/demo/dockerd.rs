//! Log files as dockerd's json-file driver writes and rotates them: `<containers>/<id>/<id>-json.log`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use flate2::{Compression, GzBuilder};

use super::container::{Runtime, Std};
use super::kubelet::with_suffix;
use super::stamp;

/// The driver's options.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `max-size`, in bytes.
    pub max_size: u64,
    /// `max-file`: the log itself and what was rotated; with 1 the file is unlinked and created anew.
    pub max_file: u32,
    /// `compress`: rotated files are gzipped.
    pub compress: bool,
}

/// A container's log.
#[derive(Debug)]
pub struct DockerLog {
    path: PathBuf,
    options: Options,
    file: File,
    size: u64,
    line: Vec<u8>,
    rotations: Arc<AtomicU64>,
    compression: Option<JoinHandle<io::Result<()>>>,
}

impl DockerLog {
    /// Creates `<containers>/<id>/<id>-json.log`.
    pub fn create(containers: &Path, id: &str, options: Options) -> io::Result<Self> {
        let dir = containers.join(id);
        fs::create_dir_all(&dir)?;
        let path = dir.join(format!("{id}-json.log"));
        let file = open(&path)?;
        Ok(DockerLog {
            path,
            options,
            file,
            size: 0,
            line: Vec::new(),
            rotations: Arc::default(),
            compression: None,
        })
    }

    /// The path that is written to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often it was rotated, to be watched from elsewhere.
    pub fn rotations(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.rotations)
    }

    /// Moby's `LogFile.rotate`: the last compression has to be over, the next one goes on beside the writing.
    fn rotate(&mut self) -> io::Result<()> {
        self.wait_for_compression()?;
        match self.options.max_file {
            0 | 1 => fs::remove_file(&self.path)?,
            max_file => self.shift(max_file)?,
        }
        self.file = open(&self.path)?;
        self.size = 0;
        if self.options.compress && self.options.max_file > 1 {
            let newest = with_suffix(&self.path, "1");
            self.compression = Some(thread::spawn(move || compress(&newest)));
        }
        self.rotations.fetch_add(1, Relaxed);
        Ok(())
    }

    fn shift(&self, max_file: u32) -> io::Result<()> {
        let name = |number: u32| match self.options.compress {
            true => with_suffix(&self.path, &format!("{number}.gz")),
            false => with_suffix(&self.path, &number.to_string()),
        };
        let missing_is_fine = |result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        missing_is_fine(fs::remove_file(name(max_file - 1)))?;
        for number in (2..max_file).rev() {
            missing_is_fine(fs::rename(name(number - 1), name(number)))?;
        }
        fs::rename(&self.path, with_suffix(&self.path, "1"))
    }

    fn wait_for_compression(&mut self) -> io::Result<()> {
        match self.compression.take() {
            Some(thread) => thread.join().unwrap_or_else(|_| Err(io::Error::other("a compression panicked"))),
            None => Ok(()),
        }
    }
}

impl Drop for DockerLog {
    fn drop(&mut self) {
        // What is left half compressed is what a dockerd that was killed leaves.
        let _ = self.wait_for_compression();
    }
}

/// Moby's `compressFile`: unlike kubelet it writes to the `.gz` itself, which is seen growing beside the original.
fn compress(path: &Path) -> io::Result<()> {
    let gz = with_suffix(path, "gz");
    let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o640).open(gz)?;
    let extra = "{\"lastTime\":\"2026-01-02T03:04:05Z\"}";
    let mut encoder = GzBuilder::new().extra(extra).write(file, Compression::fast());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    fs::remove_file(path)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(true).mode(0o640).open(path)
}

impl Runtime for DockerLog {
    fn append(&mut self, std: Std, part: &[u8], last: bool) -> io::Result<()> {
        if self.size >= self.options.max_size {
            self.rotate()?;
        }
        self.line.clear();
        self.line.extend_from_slice(b"{\"log\":\"");
        escape(part, &mut self.line);
        self.line.extend_from_slice(if last { b"\\n\",\"stream\":\"" } else { b"\",\"stream\":\"" });
        self.line.extend_from_slice(std.name().as_bytes());
        self.line.extend_from_slice(b"\",\"time\":\"");
        stamp::push_rfc3339(&mut self.line);
        self.line.extend_from_slice(b"\"}\n");
        self.file.write_all(&self.line)?;
        self.size += u64::try_from(self.line.len()).unwrap_or(0);
        Ok(())
    }
}

/// As Moby's jsonlog does: short escapes only for quote, backslash, newline and carriage return, the HTML
/// characters and the two separators that JavaScript minds as `\u`, what is not UTF-8 as U+FFFD.
fn escape(part: &[u8], into: &mut Vec<u8>) {
    for chunk in part.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => into.extend_from_slice(format!("\\{character}").as_bytes()),
                '\n' => into.extend_from_slice(b"\\n"),
                '\r' => into.extend_from_slice(b"\\r"),
                '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    into.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
                }
                _ => into.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            into.extend_from_slice(b"\\ufffd");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path, max_file: u32, compress: bool) -> DockerLog {
        DockerLog::create(dir, "abc", Options { max_size: 1, max_file, compress }).unwrap()
    }

    #[test]
    fn a_line_is_json_whatever_it_contains() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 2, false);
        let text = "q\" b\\ t\t r\r n\0 <&> \u{2028} \u{1f680} é";
        log.append(Std::Err, text.as_bytes(), true).unwrap();
        let line: serde_json::Value = serde_json::from_slice(&fs::read(log.path()).unwrap()).unwrap();
        assert_eq!(line["log"], format!("{text}\n"));
        assert_eq!(line["stream"], "stderr");
    }

    #[test]
    fn rotated_files_move_up_and_the_last_one_goes() {
        let dir = tempfile::tempdir().unwrap();
        for (max_file, compress, expected) in [
            (1, false, vec!["abc-json.log"]),
            (3, false, vec!["abc-json.log", "abc-json.log.1", "abc-json.log.2"]),
            (3, true, vec!["abc-json.log", "abc-json.log.1.gz", "abc-json.log.2.gz"]),
        ] {
            let dir = dir.path().join(format!("{max_file}{compress}"));
            let mut log = log(&dir, max_file, compress);
            for line in 0..5 {
                log.append(Std::Out, format!("line {line}").as_bytes(), true).unwrap();
            }
            log.wait_for_compression().unwrap();
            let mut names: Vec<_> =
                fs::read_dir(dir.join("abc")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            assert_eq!(names, expected);
            assert!(fs::read_to_string(log.path()).unwrap().contains("line 4"));
            assert_eq!(log.rotations().load(Relaxed), 4);
        }
    }
}
