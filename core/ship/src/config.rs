//! What an output is told, and why it may not start.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ringtail_encode::{Compression, Selection};

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputConfig {
    /// Its name: the key of positions and the label of metrics. Unique.
    pub name: String,
    /// Where payloads go.
    pub sink: SinkConfig,
    /// How payloads are compressed; one payload is one whole frame.
    pub compression: Compression,
    /// Which attributes of a source go out.
    pub attributes: Selection,
    /// The number of lanes, at least one: each has one request in flight.
    pub concurrency: u32,
    /// This output's share of the payload budget, in bytes.
    pub payload_bytes: usize,
}

/// Where payloads go.
#[derive(Clone, PartialEq, Eq)]
pub enum SinkConfig {
    /// Nowhere: every batch is delivered at once, nothing is encoded.
    Null,
    /// Standard output.
    Stdout {
        /// The message alone, one a line, instead of ndjson.
        text: bool,
    },
    /// A file that grows.
    File {
        /// The file. Directories that are missing are made.
        path: PathBuf,
        /// When it is begun anew; never, where absent.
        rotate: Option<Rotate>,
    },
    /// HTTP POST.
    Http {
        /// `http://` or `https://`; a user and password in it are sent as basic authentication.
        url: String,
        /// Sent with every request.
        headers: Vec<(String, Secret)>,
        /// For one request, from connecting to the last byte of the answer.
        timeout: Duration,
    },
}

/// When a file is begun anew, and what stays: `file.1` (the newest) to `file.<keep>`, and small files that unclean ends
/// left, as long as all are at most `keep * max_bytes` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotate {
    /// A payload that would make the file larger goes to a new one; a payload is never split.
    pub max_bytes: u64,
    /// Rotated files that stay.
    pub keep: u32,
}

/// A text that is sent and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text, to be sent.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for SinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SinkConfig::Null => f.write_str("Null"),
            SinkConfig::Stdout { text } => f.debug_struct("Stdout").field("text", text).finish(),
            SinkConfig::File { path, rotate } => {
                f.debug_struct("File").field("path", path).field("rotate", rotate).finish()
            }
            // The URL may hold a password.
            SinkConfig::Http { headers, timeout, .. } => f
                .debug_struct("Http")
                .field("headers", headers)
                .field("timeout", timeout)
                .finish_non_exhaustive(),
        }
    }
}

/// Why outputs do not start. Nothing was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Two outputs have this name.
    Duplicate {
        /// The name.
        output: String,
    },
    /// Another output writes to the same file or to standard output as well.
    Shared {
        /// The second of them.
        output: String,
    },
    /// `concurrency` is zero.
    NoLanes {
        /// Whose.
        output: String,
    },
    /// The file cannot be written to, or its directory cannot be made.
    File {
        /// Whose.
        output: String,
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The URL is none, or neither `http://` nor `https://`. It is not repeated here: it may hold a password.
    Url {
        /// Whose.
        output: String,
        /// Why.
        reason: String,
    },
    /// A header's name or value has characters that HTTP does not allow. The value is not shown.
    Header {
        /// Whose.
        output: String,
        /// The header's name.
        header: String,
    },
    /// TLS cannot be used: the system has no certificates to check a server against, for example.
    Tls {
        /// Whose.
        output: String,
        /// Why.
        reason: String,
    },
    /// The system refuses a thread.
    Thread(io::Error),
    /// The shippers were stopped.
    Stopped,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Duplicate { output } => write!(f, "two outputs are called {output}"),
            StartError::Shared { output } => {
                write!(f, "output {output}: another output writes to the same place; give each its own")
            }
            StartError::NoLanes { output } => write!(f, "output {output}: concurrency must be at least 1"),
            StartError::File { output, path, error } => {
                write!(f, "output {output}: cannot write to {}: {error}", path.display())
            }
            StartError::Url { output, reason } => write!(f, "output {output}: url: {reason}"),
            StartError::Header { output, header } => {
                write!(f, "output {output}: header {header:?}: its name or value is not allowed in HTTP")
            }
            StartError::Tls { output, reason } => write!(f, "output {output}: TLS: {reason}"),
            StartError::Thread(error) => write!(f, "cannot start a thread: {error}"),
            StartError::Stopped => f.write_str("the outputs were stopped"),
        }
    }
}

impl std::error::Error for StartError {}

/// Refuses what is wrong in itself, before anything is opened.
pub(crate) fn validate(configs: &[OutputConfig]) -> Result<(), StartError> {
    let (mut names, mut places) = (HashSet::new(), HashSet::new());
    for config in configs {
        let output = || config.name.clone();
        if !names.insert(&config.name) {
            return Err(StartError::Duplicate { output: output() });
        }
        if config.concurrency == 0 {
            return Err(StartError::NoLanes { output: output() });
        }
        if config.sink.place().is_some_and(|place| !places.insert(place)) {
            return Err(StartError::Shared { output: output() });
        }
    }
    Ok(())
}

/// What two outputs must not write to at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Stdout,
    File(PathBuf),
}

impl SinkConfig {
    pub(crate) fn place(&self) -> Option<Place> {
        match self {
            SinkConfig::Null | SinkConfig::Http { .. } => None,
            SinkConfig::Stdout { .. } => Some(Place::Stdout),
            SinkConfig::File { path, .. } => Some(Place::File(path.clone())),
        }
    }
}
