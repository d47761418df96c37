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

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::payload::testing::payload;
    use crate::stats::Stats;
    use crate::writer;
    use crate::{output::Queue, payload::Message};

    /// More than a pipe holds, to a reader that stops in between.
    #[test]
    fn a_slow_reader_gets_every_payload_whole_and_in_order() {
        let (mut reader, pipe) = io::pipe().expect("pipe");
        let stats = Arc::new(Stats::new("o"));
        let texts: Vec<String> = (0..9).map(|n| format!("{}\n", n.to_string().repeat(30_000))).collect();
        let payloads: Vec<_> = texts.iter().map(|text| payload(text, &stats)).collect();
        let thread = std::thread::spawn(move || {
            let (_alive, abandoned) = crossbeam_channel::bounded(0);
            let (written, result) = Stdout::over(pipe.into()).expect("pipe").write(&payloads, &abandoned);
            assert!(written == 9 && result.is_ok());
        });
        let mut text = String::new();
        while text.len() < 100_000 {
            let mut piece = [0; 1000];
            let n = reader.read(&mut piece).expect("read");
            text.push_str(std::str::from_utf8(&piece[..n]).expect("digits"));
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(120));
        reader.read_to_string(&mut text).expect("the rest");
        thread.join().expect("writer");
        assert_eq!(text, texts.concat());
    }

    /// `collect | head`: the reader leaves, the output says so, and everything else is returned.
    #[test]
    fn a_closed_pipe_ends_the_output_and_is_seen() {
        let (reader, pipe) = io::pipe().expect("pipe");
        drop(reader);
        let stats = Arc::new(Stats::new("o"));
        let stdout = Stdout::over(pipe.into()).expect("pipe");
        let service = writer::start(stdout, 1, Vec::new(), stats.clone()).expect("thread");
        let Queue::Thread(queue) = &service.queues[0] else { panic!("a thread's queue") };
        for _ in 0..2 {
            let _ = queue.send(Message::Payload(payload("a\n", &stats)));
        }
        assert!(service.done.recv().is_err());
        let seen = stats.snapshot(0);
        assert!(seen.closed_pipe);
        assert_eq!((seen.returned, seen.retries, seen.in_flight), (2, 0, 0));
    }

    /// A pager that nobody scrolls: the pipe is full, and a stop does not wait for it.
    #[test]
    fn a_full_pipe_holds_up_no_stop() {
        let (_reader, pipe) = io::pipe().expect("pipe");
        let stats = Arc::new(Stats::new("o"));
        let stdout = Stdout::over(pipe.into()).expect("pipe");
        let mut service = writer::start(stdout, 1, Vec::new(), stats.clone()).expect("thread");
        let Queue::Thread(queue) = &service.queues[0] else { panic!("a thread's queue") };
        queue.send(Message::Payload(payload(&"x".repeat(1 << 20), &stats))).expect("open");
        std::thread::sleep(Duration::from_millis(20));
        let start = Instant::now();
        drop(service.abandon.take());
        assert!(service.done.recv().is_err());
        assert!(start.elapsed() < Duration::from_secs(1));
        assert_eq!(stats.snapshot(0).returned, 1);
    }

    /// `> file`: the place where the shell left off is kept.
    #[test]
    fn a_redirected_output_is_appended_to() {
        let mut file = tempfile::tempfile().expect("file");
        io::Write::write_all(&mut file, b"before\n").expect("write");
        let stats = Arc::new(Stats::new("o"));
        let mut stdout = Stdout::over(file.try_clone().expect("clone").into()).expect("file");
        let (_alive, abandoned) = crossbeam_channel::bounded(0);
        assert_eq!(stdout.write(&[payload("after\n", &stats)], &abandoned).0, 1);
        let mut text = String::new();
        file.rewind().expect("rewind");
        file.read_to_string(&mut text).expect("read");
        assert_eq!(text, "before\nafter\n");
    }
}
