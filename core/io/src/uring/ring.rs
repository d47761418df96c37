//! The ring itself: setting it up as well as the kernel can, restricted to what is used of it, and entering it with a timeout.
//!
//! No seccomp profile sees what is asked for inside a ring. So the ring itself refuses (since Linux 5.10) all but the
//! operations of [`USED`], every flag of an entry and every further registration.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::register::{Probe, Restriction};
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{Builder, IoUring, cqueue, opcode, squeue};
use rustix::io::Errno;

use super::refusal::Refusal;

/// Entries of the submission queue: [`DEPTH`](super::DEPTH) reads, as many cancellations, and the polls.
/// The completion queue has twice as many.
const ENTRIES: u32 = 512;

/// Completions with this mark say nothing that anyone waits for (the result of a cancellation).
const IGNORED: u64 = u64::MAX;
/// The completion of a timeout of ours.
const TIMER: u64 = u64::MAX - 1;

/// A way to set a ring up.
struct Mode {
    name: &'static str,
    set: fn(&mut Builder),
    /// Whether the ring refuses what is not used of it.
    restricted: bool,
}

/// The best first: a kernel that does not know the flags answers EINVAL.
const MODES: [Mode; 4] = [
    Mode {
        // Linux 6.1: completions are handled when the shard waits, not by interrupting it.
        name: "single issuer, deferred task running",
        set: |builder| {
            builder.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun().setup_taskrun_flag();
        },
        restricted: true,
    },
    Mode {
        // Linux 5.19.
        name: "cooperative task running",
        set: |builder| {
            builder.setup_coop_taskrun().setup_taskrun_flag();
        },
        restricted: true,
    },
    // Linux 5.10.
    Mode { name: "plain", set: |_| {}, restricted: true },
    Mode { name: "plain, unrestricted", set: |_| {}, restricted: false },
];

/// The operations that are used, none of which the backend can do without: Linux 5.6 has all of them.
const USED: [(&str, u8); 5] = [
    ("READ", opcode::Read::CODE),
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("TIMEOUT", opcode::Timeout::CODE),
    ("TIMEOUT_REMOVE", opcode::TimeoutRemove::CODE),
];

/// One ring, used by the thread that made it.
pub(super) struct Ring {
    ring: IoUring,
    mode: &'static str,
    /// The operations that the kernel knows.
    known: Probe,
    /// Whether entering takes a timeout (Linux 5.11); else a timeout operation ends the wait.
    timed_enter: bool,
    /// Timeout operations in the kernel.
    timers: u32,
}

impl Ring {
    pub(super) fn new() -> Result<Self, Refusal> {
        let (mode, ring) = set_up()?;
        let timed_enter = ring.params().is_feature_ext_arg();
        let mut known = Probe::new();
        // Kernels before 5.6 cannot tell, and lack READ.
        let tells = ring.submitter().register_probe(&mut known).is_ok();
        if let Some((name, _)) = USED.iter().find(|(_, code)| !tells || !known.is_supported(*code)) {
            return Err(Refusal::lacks(name));
        }
        if mode.restricted {
            restrict(&ring).map_err(Refusal::of)?;
        }
        Ok(Ring { ring, mode: mode.name, known, timed_enter, timers: 0 })
    }

    /// How it was set up.
    pub(super) fn mode(&self) -> &'static str {
        self.mode
    }

    pub(super) fn timed_enter(&self) -> bool {
        self.timed_enter
    }

    /// As a kernel before 5.11 has it.
    #[cfg(test)]
    pub(super) fn without_timed_enter(mut self) -> Self {
        self.timed_enter = false;
        self
    }

    /// Whether the kernel knows an operation. This ring refuses it nevertheless if it is not one of [`USED`].
    pub(super) fn offers(&self, code: u8) -> bool {
        self.known.is_supported(code)
    }

    /// Queues a poll for input; one completion with `mark`.
    pub(super) fn poll(&mut self, fd: BorrowedFd<'_>, mark: u64) {
        const POLLIN: u32 = 1;
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), POLLIN).build().user_data(mark);
        // SAFETY: names no memory; the kernel takes its own reference to the file at submission.
        unsafe { self.push(&entry) }
    }

    /// Queues the cancellation of what was queued with `mark`.
    pub(super) fn cancel(&mut self, mark: u64) {
        let entry = opcode::AsyncCancel::new(mark).build().user_data(IGNORED);
        // SAFETY: names no memory.
        unsafe { self.push(&entry) }
    }

    /// Queues a read of at most `len` bytes.
    ///
    /// # Safety
    /// `fd` stays open and nobody touches `start..start + len`, which is writable, until the completion with `mark` has been seen.
    pub(super) unsafe fn read(
        &mut self,
        fd: BorrowedFd<'_>,
        start: *mut u8,
        len: usize,
        offset: u64,
        mark: u64,
    ) {
        // Reads of 4 GiB come back short.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let entry = opcode::Read::new(Fd(fd.as_raw_fd()), start, len).offset(offset).build();
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.push(&entry.user_data(mark)) }
    }

    /// # Safety
    /// Memory that the entry names stays valid until its completion has been seen.
    unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: as the caller promised.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            // Full: the kernel takes the entries when it is entered.
            if let Err(error) = self.enter(None) {
                panic!("io_uring_enter: {error}");
            }
        }
    }

    /// Submits what is queued and, with `sleep`, waits that long for a completion; may end early. One system call, or
    /// none when there is nothing to do.
    ///
    /// # Errors
    /// Only those that mean a misuse, such as `EEXIST`: the ring was taken to another thread.
    pub(super) fn enter(&mut self, sleep: Option<Duration>) -> io::Result<()> {
        let result = match sleep {
            None => {
                let queue = self.ring.submission();
                // Deferred completions, and those that found no room, are only handled inside the call.
                if queue.is_empty() && !queue.taskrun() && !queue.cq_overflow() {
                    return Ok(());
                }
                drop(queue);
                self.ring.submitter().submit()
            }
            Some(sleep) if self.timed_enter => {
                let timeout = Timespec::from(sleep);
                self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&timeout))
            }
            Some(sleep) => self.enter_with_timer(sleep),
        };
        match result.map_err(|error| Errno::from_io_error(&error)) {
            Ok(_) => Ok(()),
            // The time is over; a signal came; completions must be taken first.
            Err(Some(Errno::TIME | Errno::INTR | Errno::BUSY)) => Ok(()),
            // The kernel is short of memory: what is in flight frees some.
            Err(Some(Errno::AGAIN | Errno::NOMEM)) => {
                std::thread::sleep(Duration::from_millis(1));
                Ok(())
            }
            Err(errno) => Err(errno.map_or_else(io::Error::last_os_error, io::Error::from)),
        }
    }

    fn enter_with_timer(&mut self, sleep: Duration) -> io::Result<usize> {
        if self.timers > 0 {
            let entry = opcode::TimeoutRemove::new(TIMER).build().user_data(IGNORED);
            // SAFETY: names no memory.
            unsafe { self.push(&entry) };
        }
        let timeout = Timespec::from(sleep);
        let entry = opcode::Timeout::new(&raw const timeout).build().user_data(TIMER);
        self.timers += 1;
        // SAFETY: the kernel copies the timeout when the entry is submitted, which is in this function, or, when it
        // submits only a part, not before the ring is entered again: see below.
        unsafe { self.push(&entry) };
        let result = self.ring.submitter().submit_and_wait(1);
        while !self.ring.submission().is_empty() {
            // The timeout on this stack must not stay in the queue.
            self.ring.submitter().submit()?;
        }
        result
    }

    /// The next completion that somebody waits for: its mark and result.
    pub(super) fn completion(&mut self) -> Option<(u64, i32)> {
        loop {
            let entry: cqueue::Entry = self.ring.completion().next()?;
            match entry.user_data() {
                IGNORED => {}
                TIMER => self.timers -= 1,
                mark => return Some((mark, entry.result())),
            }
        }
    }
}

/// A ring; a restricted one is disabled until [`restrict`] was there.
fn set_up() -> Result<(&'static Mode, IoUring), Refusal> {
    let mut refused = None;
    for mode in &MODES {
        let mut builder = IoUring::builder();
        (mode.set)(&mut builder);
        if mode.restricted {
            builder.setup_r_disabled();
        }
        match builder.build(ENTRIES) {
            Ok(ring) => return Ok((mode, ring)),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => refused = Some(error),
            Err(error) => return Err(Refusal::of(error)),
        }
    }
    Err(Refusal::of(refused.unwrap_or_else(io::Error::last_os_error)))
}

/// Has the ring refuse all that is not used of it, for good, and enables it for the calling thread.
fn restrict(ring: &IoUring) -> io::Result<()> {
    ring.submitter().register_restrictions(&mut USED.map(|(_, code)| Restriction::sqe_op(code)))?;
    ring.submitter().register_enable_rings()
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    /// What the kernel answers to one entry.
    fn answer(ring: &mut Ring, entry: squeue::Entry) -> Option<Errno> {
        // SAFETY: the caller's memory lives until the completion has been seen, in this function.
        unsafe { ring.push(&entry.user_data(7)) };
        loop {
            ring.enter(Some(Duration::from_secs(1))).expect("entered");
            if let Some((7, result)) = ring.completion() {
                return (result < 0).then(|| Errno::from_raw_os_error(-result));
            }
        }
    }

    /// The kernel knows all of them (Linux 5.15), a ring without restrictions does them, ours refuses them.
    #[test]
    fn the_ring_refuses_what_is_not_used_of_it() {
        let mut ring = match Ring::new() {
            Ok(ring) => ring,
            Err(refusal) => {
                assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "not run: {refusal}");
                return eprintln!("not run: {refusal}");
            }
        };
        let dir = tempfile::tempdir().expect("a directory");
        let name = |name: &str| CString::new(dir.path().join(name).as_os_str().as_bytes()).expect("no NUL");
        let (old, new, made) = (name("old"), name("new"), name("made"));
        std::fs::write(dir.path().join("old"), b"bytes").expect("written");
        let file =
            std::fs::File::options().read(true).write(true).open(dir.path().join("old")).expect("opened");
        let (fd, cwd) = (Fd(file.as_fd().as_raw_fd()), Fd(libc::AT_FDCWD));
        let (text, mut buf) = (*b"BYTES", [0_u8; 5]);
        let entries = || {
            [
                ("WRITE", opcode::Write::new(fd, text.as_ptr(), 5).build()),
                ("OPENAT", opcode::OpenAt::new(cwd, made.as_ptr()).flags(libc::O_CREAT).mode(0o600).build()),
                ("LINKAT", opcode::LinkAt::new(cwd, old.as_ptr(), cwd, new.as_ptr()).build()),
                ("SYMLINKAT", opcode::SymlinkAt::new(cwd, old.as_ptr(), made.as_ptr()).build()),
                ("RENAMEAT", opcode::RenameAt::new(cwd, old.as_ptr(), cwd, new.as_ptr()).build()),
                ("UNLINKAT", opcode::UnlinkAt::new(cwd, old.as_ptr()).build()),
                ("SOCKET", opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build()),
                ("NOP", opcode::Nop::new().build()),
            ]
        };
        for (name, entry) in entries() {
            assert_eq!(answer(&mut ring, entry), Some(Errno::ACCESS), "{name}");
        }
        // What is used, with a flag that is not.
        let read = opcode::Read::new(fd, buf.as_mut_ptr(), 5).build();
        assert_eq!(answer(&mut ring, read.clone().flags(squeue::Flags::IO_LINK)), Some(Errno::ACCESS));
        assert!(ring.ring.submitter().register_files(&[fd.0]).is_err(), "a registration");
        assert_eq!(answer(&mut ring, read), None);
        assert_eq!(&buf, b"bytes");
        assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 1);
        let free = IoUring::new(8).expect("another ring");
        let mut free = Ring { ring: free, mode: "free", ..Ring::new().unwrap_or_else(|why| panic!("{why}")) };
        assert_eq!(answer(&mut free, entries()[2].1.clone()), None, "without restrictions a link is made");
    }
}
