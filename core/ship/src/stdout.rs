//! Standard output: payloads one after the other, each whole before the next.
//!
//! It waits for room before each write, so that a reader that has stopped (a pager) cannot hold up a stop. A pipe that
//! has room takes [`PIPE_BYTES`] without blocking; the descriptor is shared with the shell, so it is not switched to
//! non-blocking.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crossbeam_channel::TryRecvError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use crate::output::Done;
use crate::payload::Payload;
use crate::writer::{Failure, Writer};

/// Bytes of one write to a pipe or terminal: `PIPE_BUF`, which a pipe that polls writable takes at once.
const PIPE_BYTES: usize = 4096;

/// Bytes of one write to a regular file.
const FILE_BYTES: usize = 1 << 20;

/// How long a full pipe is waited for before it is asked whether to give up.
const LOOK_UP: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Writes to a descriptor that somebody else may hold as well.
pub(crate) struct Stdout {
    fd: OwnedFd,
    write_bytes: usize,
    /// Bytes of the next payload that are written already.
    begun: usize,
}

impl Stdout {
    /// The process's standard output.
    pub(crate) fn open() -> io::Result<Self> {
        Stdout::over(io::stdout().as_fd().try_clone_to_owned()?)
    }

    fn over(fd: OwnedFd) -> io::Result<Self> {
        let regular = FileType::from_raw_mode(fstat(&fd)?.st_mode) == FileType::RegularFile;
        Ok(Stdout { fd, write_bytes: if regular { FILE_BYTES } else { PIPE_BYTES }, begun: 0 })
    }

    fn write_rest(&mut self, bytes: &[u8], abandoned: &Done) -> Result<(), Failure> {
        while self.begun < bytes.len() {
            self.wait_for_room(abandoned)?;
            let end = bytes.len().min(self.begun + self.write_bytes);
            match rustix::io::write(&self.fd, &bytes[self.begun..end]) {
                Ok(written) => self.begun += written,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(Errno::PIPE) => return Err(Failure::Closed),
                Err(error) => return Err(Failure::Retry(error.into())),
            }
        }
        self.begun = 0;
        Ok(())
    }

    fn wait_for_room(&self, abandoned: &Done) -> Result<(), Failure> {
        loop {
            // Events besides OUT (an error, a reader that left) make the write tell what it is.
            match poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], Some(&LOOK_UP)) {
                Ok(0) | Err(Errno::INTR) if abandoned.try_recv() == Err(TryRecvError::Disconnected) => {
                    return Err(Failure::Abandoned);
                }
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(Failure::Retry(error.into())),
            }
        }
    }
}

impl Writer for Stdout {
    fn write(&mut self, payloads: &[Payload], abandoned: &Done) -> (usize, Result<(), Failure>) {
        for (written, payload) in payloads.iter().enumerate() {
            if let Err(failure) = self.write_rest(&payload.bytes, abandoned) {
                return (written, Err(failure));
            }
        }
        (payloads.len(), Ok(()))
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}
