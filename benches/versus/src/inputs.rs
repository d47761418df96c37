//! The log files that every collector gets: the same bytes on every machine and in every run.
//!
//! Payloads are the mix of the benches, 212 bytes in the mean, one in eight on standard error. Files lie as kubelet and
//! dockerd lay them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use fastrand::Rng;
use ringtail_benches::corpus;
use serde::{Deserialize, Serialize};

use crate::tally::{Stream, Written, write_message};

/// What the log files look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// As containerd writes for kubelet; every message fits in one line.
    Cri,
    /// As dockerd's json-file driver writes; every message fits in one line.
    DockerJson,
    /// As [`Format::Cri`], and one message in fifty is of several lines, with lines of the other stream between them.
    CriPartials,
}

impl Format {
    /// As configurations of the harness call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Cri => "cri",
            Format::DockerJson => "docker-json",
            Format::CriPartials => "cri-partials",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Log files on disk.
pub(crate) struct Inputs {
    dir: PathBuf,
    format: Format,
    files: Vec<PathBuf>,
    pub(crate) written: Written,
    pub(crate) bytes: u64,
}

impl Inputs {
    /// Writes `count` files of about `bytes` together below `dir`.
    pub(crate) fn make(dir: &Path, format: Format, count: usize, bytes: usize) -> io::Result<Self> {
        let mut inputs =
            Inputs { dir: dir.to_owned(), format, files: Vec::new(), written: Written::default(), bytes: 0 };
        for number in 0..count {
            let path = dir.join(place(format, number));
            fs::create_dir_all(path.parent().expect("it has a directory"))?;
            let mut writer = Writer::new(format, number, BufWriter::new(File::create(&path)?));
            while writer.bytes < bytes / count {
                writer.message()?;
            }
            writer.file.flush()?;
            inputs.bytes += writer.bytes as u64;
            inputs.written.0.push(writer.numbers);
            inputs.files.push(path);
        }
        Ok(inputs)
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// The directory that holds them, and no other file.
    pub(crate) fn root(&self) -> &Path {
        &self.dir
    }

    /// A glob that matches the files, and only them.
    pub(crate) fn glob(&self) -> String {
        let below = match self.format {
            Format::Cri | Format::CriPartials => "*/*/*.log",
            Format::DockerJson => "*/*-json.log",
        };
        format!("{}/{below}", self.dir.display())
    }

    /// Reads all of it, so that the page cache holds it.
    pub(crate) fn warm(&self) -> io::Result<()> {
        for path in &self.files {
            io::copy(&mut File::open(path)?, &mut io::sink())?;
        }
        Ok(())
    }
}

/// Where file `number` lies below the root of all.
fn place(format: Format, number: usize) -> PathBuf {
    match format {
        Format::Cri | Format::CriPartials => {
            format!(
                "shop_web-{number:05}_{:08x}-0000-4000-8000-{number:012x}/app/0.log",
                0x5eed_0000 + number
            )
        }
        Format::DockerJson => format!("{number:064x}/{number:064x}-json.log"),
    }
    .into()
}

/// One file's writer.
struct Writer {
    format: Format,
    number: usize,
    file: BufWriter<File>,
    random: Rng,
    numbers: [usize; 2],
    bytes: usize,
    since_ns: u64,
    payload: String,
    message: String,
    time: String,
    line: Vec<u8>,
}

impl Writer {
    fn new(format: Format, number: usize, file: BufWriter<File>) -> Self {
        Writer {
            format,
            number,
            file,
            random: Rng::with_seed(20_260_102 + number as u64),
            numbers: [0, 0],
            bytes: 0,
            since_ns: 0,
            payload: String::new(),
            message: String::new(),
            time: String::new(),
            line: Vec::new(),
        }
    }

    /// Writes the next message; a partial one brings a line of the other stream.
    fn message(&mut self) -> io::Result<()> {
        let stream = if self.random.u32(..8) == 0 { Stream::Err } else { Stream::Out };
        if self.format != Format::CriPartials || self.random.u32(..50) != 0 {
            self.prepare(stream, corpus::mixed);
            return match self.format {
                Format::DockerJson => self.docker(stream),
                Format::Cri | Format::CriPartials => self.cri(stream, 'F', 0..self.message.len()),
            };
        }
        self.prepare(stream, corpus::long);
        let parts = self.parts();
        let long = self.message.clone();
        for (at, part) in parts.iter().enumerate() {
            let last = at + 1 == parts.len();
            self.cri(stream, if last { 'F' } else { 'P' }, part.clone())?;
            if at == 0 && !last {
                let other = if stream == Stream::Out { Stream::Err } else { Stream::Out };
                self.prepare(other, corpus::mixed);
                self.cri(other, 'F', 0..self.message.len())?;
                self.message.clone_from(&long);
            }
        }
        Ok(())
    }

    /// Makes the next message of `stream`, and its time.
    fn prepare(&mut self, stream: Stream, payload: fn(&mut Rng, &mut String)) {
        self.payload.clear();
        payload(&mut self.random, &mut self.payload);
        let number = &mut self.numbers[usize::from(stream == Stream::Err)];
        self.message.clear();
        write_message(self.number, stream, *number, &self.payload, &mut self.message);
        *number += 1;
    }

    /// The message in pieces as containerd cuts it.
    fn parts(&self) -> Vec<std::ops::Range<usize>> {
        let len = self.message.len();
        (0..len).step_by(corpus::PART_BYTES).map(|from| from..len.min(from + corpus::PART_BYTES)).collect()
    }

    fn tick(&mut self) {
        self.since_ns += self.random.u64(1..200_000);
        self.time.clear();
        corpus::push_time(self.since_ns, &mut self.time);
        self.line.clear();
    }

    fn cri(&mut self, stream: Stream, tag: char, part: std::ops::Range<usize>) -> io::Result<()> {
        self.tick();
        self.line.extend_from_slice(format!("{} {} {tag} ", self.time, stream.name()).as_bytes());
        self.line.extend_from_slice(&self.message.as_bytes()[part]);
        self.write()
    }

    fn docker(&mut self, stream: Stream) -> io::Result<()> {
        self.tick();
        self.line.extend_from_slice(b"{\"log\":\"");
        corpus::push_escaped(&self.message, &mut self.line);
        let rest = format!("\\n\",\"stream\":\"{}\",\"time\":\"{}\"}}", stream.name(), self.time);
        self.line.extend_from_slice(rest.as_bytes());
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        self.line.push(b'\n');
        self.bytes += self.line.len();
        self.file.write_all(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Tally;

    fn make(format: Format) -> (tempfile::TempDir, Inputs) {
        let dir = tempfile::tempdir().expect("a directory");
        let inputs = Inputs::make(dir.path(), format, 3, 600_000).expect("written");
        (dir, inputs)
    }

    /// Every file is found by the glob's suffix, its lines hold the messages, and their number is what is said.
    #[test]
    fn whole_lines_hold_every_message_once() {
        let (_dir, inputs) = make(Format::Cri);
        let mut tally = Tally::new(&inputs.written);
        for path in &inputs.files {
            for line in fs::read_to_string(path).expect("text").lines() {
                let mut fields = line.splitn(4, ' ');
                let (Some(_), Some(stream), Some("F")) = (fields.next(), fields.next(), fields.next()) else {
                    panic!("{line}");
                };
                tally.record(fields.next().expect("a message").as_bytes(), Some(stream));
            }
        }
        assert!(tally.verdict().is_right(), "{:?}", tally.verdict());
        let on_disk: u64 = inputs.files.iter().map(|path| fs::metadata(path).expect("it").len()).sum();
        assert_eq!(inputs.bytes, on_disk);
    }

    #[test]
    fn docker_lines_are_json_and_hold_every_message_once() {
        let (_dir, inputs) = make(Format::DockerJson);
        let mut tally = Tally::new(&inputs.written);
        for path in &inputs.files {
            for line in fs::read_to_string(path).expect("text").lines() {
                let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let text = |key: &str| value[key].as_str().expect("text").to_owned();
                tally.record(text("log").as_bytes(), Some(&text("stream")));
            }
        }
        assert!(tally.verdict().is_right(), "{:?}", tally.verdict());
    }

    /// Joined per stream they are right; joined across streams, or not at all, they are not.
    #[test]
    fn partial_messages_are_right_when_joined_per_stream_only() {
        let (_dir, inputs) = make(Format::CriPartials);
        let joined = |per_stream: bool| {
            let mut tally = Tally::new(&inputs.written);
            for path in &inputs.files {
                let mut open = [String::new(), String::new()];
                for line in fs::read_to_string(path).expect("text").lines() {
                    let fields: Vec<&str> = line.splitn(4, ' ').collect();
                    let open = &mut open[usize::from(per_stream && fields[1] == "stderr")];
                    open.push_str(fields[3]);
                    if fields[2] == "F" {
                        tally.record(open.as_bytes(), None);
                        open.clear();
                    }
                }
            }
            tally.verdict()
        };
        assert!(joined(true).is_right(), "{:?}", joined(true));
        assert!(joined(false).lost > 0, "{:?}", joined(false));
    }
}
