//! A container that prints numbered messages on its two streams, through a runtime that writes its log file.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::message::{Messages, Text};

/// Where container runtimes cut a line, in bytes: containerd's default, and the size of dockerd's copy buffer.
pub const CUT_LEN: usize = 16 * 1024;
/// One message in this many goes to stderr.
const STDERR_EVERY: u8 = 4;

/// One of a process's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Std {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Std {
    /// As log files name it.
    pub fn name(self) -> &'static str {
        match self {
            Std::Out => "stdout",
            Std::Err => "stderr",
        }
    }

    fn other(self) -> Std {
        match self {
            Std::Out => Std::Err,
            Std::Err => Std::Out,
        }
    }

    fn index(self) -> usize {
        match self {
            Std::Out => 0,
            Std::Err => 1,
        }
    }
}

/// Writes what a container prints to its log file, in the format and with the rotation of one container runtime.
pub trait Runtime: Send {
    /// Appends one part of a line, at most [`CUT_LEN`] bytes without a newline; `last` when the line ends here.
    fn append(&mut self, std: Std, part: &[u8], last: bool) -> io::Result<()>;
}

/// How many whole messages of a stream are in its log file; shared between the writer and who watches it.
#[derive(Clone, Debug)]
pub struct Written {
    /// The stream's name.
    pub stream: Arc<str>,
    count: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Written {
    /// Nothing written yet.
    pub fn new(stream: &str) -> Self {
        Written { stream: stream.into(), count: Arc::default(), bytes: Arc::default() }
    }

    /// Whole messages.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Their length, in bytes, without what the runtime's format adds.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Counts one message.
    pub fn add(&self, len: usize) {
        self.count.fetch_add(1, Relaxed);
        self.bytes.fetch_add(u64::try_from(len).unwrap_or(0), Relaxed);
    }
}

/// One stream of a container.
struct Side {
    messages: Messages,
    written: Written,
    line: String,
}

/// A container that prints.
pub struct Container<R> {
    runtime: R,
    sides: [Side; 2],
    random: fastrand::Rng,
}

impl<R: Runtime> Container<R> {
    /// A container whose streams are `<name>/stdout` and `<name>/stderr`.
    pub fn new(name: &str, text: Text, runtime: R) -> Self {
        let side = |std: Std| {
            let name = format!("{name}/{}", std.name());
            Side { written: Written::new(&name), messages: Messages::new(&name, text), line: String::new() }
        };
        let seed = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
        Container { runtime, sides: [side(Std::Out), side(Std::Err)], random: fastrand::Rng::with_seed(seed) }
    }

    /// What it has printed, to be watched from elsewhere.
    pub fn written(&self) -> [Written; 2] {
        [self.sides[0].written.clone(), self.sides[1].written.clone()]
    }

    /// The runtime that writes its log.
    pub fn runtime(&mut self) -> &mut R {
        &mut self.runtime
    }

    /// Prints the next message on one of its streams. When it is too long for one line of the log, the other
    /// stream prints a message in between, since the two are cut and written independently. Returns how many
    /// messages were printed.
    pub fn print(&mut self) -> io::Result<u64> {
        let std = if self.random.u8(0..STDERR_EVERY) == 0 { Std::Err } else { Std::Out };
        self.next(std);
        if self.side(std).line.len() <= CUT_LEN {
            self.append_all(std, 0)?;
            return Ok(1);
        }
        self.append_part(std, 0)?;
        self.next(std.other());
        self.append_all(std.other(), 0)?;
        self.append_all(std, CUT_LEN)?;
        Ok(2)
    }

    fn side(&mut self, std: Std) -> &mut Side {
        &mut self.sides[std.index()]
    }

    fn next(&mut self, std: Std) {
        let side = self.side(std);
        side.messages.next_into(&mut side.line);
    }

    fn append_all(&mut self, std: Std, mut from: usize) -> io::Result<()> {
        while self.append_part(std, from)? {
            from += CUT_LEN;
        }
        let side = self.side(std);
        side.written.add(side.line.len());
        Ok(())
    }

    /// Appends what begins at `from`; whether the message goes on behind it.
    fn append_part(&mut self, std: Std, from: usize) -> io::Result<bool> {
        let line = self.sides[std.index()].line.as_bytes();
        let end = line.len().min(from + CUT_LEN);
        let last = end == line.len();
        self.runtime.append(std, &line[from..end], last)?;
        Ok(!last)
    }
}

/// A container of any runtime.
pub trait Printer: Send {
    /// See [`Container::print`].
    fn print(&mut self) -> io::Result<u64>;
    /// See [`Container::written`].
    fn written(&self) -> Vec<Written>;
}

impl<R: Runtime> Printer for Container<R> {
    fn print(&mut self) -> io::Result<u64> {
        Container::print(self)
    }

    fn written(&self) -> Vec<Written> {
        Container::written(self).to_vec()
    }
}
