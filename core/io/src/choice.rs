//! Which backend runs.

use std::str::FromStr;
use std::{fmt, io};

use crate::pread::Pread;
use crate::seam::Io;
use crate::uring::{Refusal, Unavailable, Uring};

/// What the operator asked for (`RINGTAIL_IO`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The ring, where the kernel grants one.
    #[default]
    Auto,
    /// The ring or nothing.
    Uring,
    /// `preadv2` and a pool of threads.
    Pread,
}

impl FromStr for Choice {
    type Err = UnknownBackend;

    fn from_str(text: &str) -> Result<Self, UnknownBackend> {
        match text {
            "auto" => Ok(Choice::Auto),
            "uring" => Ok(Choice::Uring),
            "pread" => Ok(Choice::Pread),
            other => Err(UnknownBackend(other.into())),
        }
    }
}

/// No backend is called this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBackend(String);

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no backend is called {:?}: it is auto, uring or pread", self.0)
    }
}

impl std::error::Error for UnknownBackend {}

/// Why there is no backend.
#[derive(Debug)]
pub enum OpenError {
    /// The ring was asked for by name and is refused.
    Ring(Refusal),
    /// No eventfd: descriptors or memory are used up.
    Eventfd(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Ring(refusal) => write!(f, "{refusal}"),
            OpenError::Eventfd(error) => write!(f, "eventfd: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Makes a backend for the calling thread, which is the one that uses and drops it: the kernel refuses others at the ring.
pub fn open(choice: Choice) -> Result<Box<dyn Io>, OpenError> {
    let reason = match choice {
        Choice::Pread => "asked for".into(),
        Choice::Auto | Choice::Uring => match Uring::new() {
            Ok(ring) => return Ok(Box::new(ring)),
            Err(Unavailable::Bell(error)) => return Err(OpenError::Eventfd(error)),
            Err(Unavailable::Ring(refusal)) if choice == Choice::Uring => {
                return Err(OpenError::Ring(refusal));
            }
            Err(Unavailable::Ring(refusal)) => refusal.to_string(),
        },
    };
    Ok(Box::new(Pread::new(reason).map_err(OpenError::Eventfd)?))
}
