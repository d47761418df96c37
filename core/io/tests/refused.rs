//! A container whose seccomp profile refuses io_uring, as the default ones of Docker and containerd do.
#![allow(unsafe_code)]

use std::io;
use std::thread;
use std::time::Duration;

use ringtail_io::{Choice, Event, Fs, OpenError, Read, RealFs, open};
use ringtail_memory::{Budget, SlabPool};

/// Makes `io_uring_setup` fail with `errno` for the calling thread, for as long as it lives.
fn refuse_rings(errno: i32) {
    let errno = u32::try_from(errno).expect("positive");
    let setup = u32::try_from(libc::SYS_io_uring_setup).expect("small");
    let instruction =
        |code: u32, k, jt, jf| libc::sock_filter { code: u16::try_from(code).expect("16 bits"), k, jt, jf };
    let mut program = [
        // The number of the system call is the first word of `seccomp_data`.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, setup, 0, 1),
        instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno, 0, 0),
        instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    // SAFETY: takes four numbers.
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
    // SAFETY: the program outlives the call, which copies it.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}

fn without_rings(errno: i32, test: impl FnOnce() + Send + 'static) {
    let refused = thread::spawn(move || {
        refuse_rings(errno);
        test();
    });
    refused.join().expect("the test on the thread with the profile");
}

#[test]
fn where_a_profile_refuses_rings_the_fallback_reads_and_says_why_it_runs() {
    without_rings(libc::EPERM, || {
        let dir = tempfile::tempdir().expect("directory");
        std::fs::write(dir.path().join("a"), b"bytes").expect("write");
        let mut io = open(Choice::Auto).expect("the fallback");
        let reason = &io.backend().reason;
        assert!(reason.contains("io_uring_setup") && reason.contains("not permitted"), "{reason}");
        assert!(reason.contains("seccomp") || reason.contains("io_uring_disabled"), "{reason}");
        assert_eq!(io.backend().name, "pread");
        let slabs = SlabPool::new(&Budget::new(8 << 20));
        let file = RealFs.open(&dir.path().join("a")).expect("open");
        io.read(Read { id: 1, file, offset: 0, buf: slabs.take().expect("slab"), at: 0, least: 1 });
        let mut events = Vec::new();
        io.wait(Duration::from_secs(20), &mut events);
        assert!(matches!(&events[..], [Event::Read { result: Ok(5), .. }]), "{events:?}");
    });
}

#[test]
fn a_ring_that_was_asked_for_by_name_is_an_error_where_it_is_refused() {
    without_rings(libc::ENOSYS, || {
        let Err(OpenError::Ring(refusal)) = open(Choice::Uring) else { panic!("a ring was granted") };
        assert!(refusal.to_string().contains("CONFIG_IO_URING"), "{refusal}");
    });
}

#[test]
fn the_fallback_that_was_asked_for_says_so() {
    let io = open("pread".parse().expect("its name")).expect("the fallback");
    assert_eq!((io.backend().name, &*io.backend().reason), ("pread", "asked for"));
    let unknown = "epoll".parse::<Choice>().expect_err("not a backend");
    assert_eq!(unknown.to_string(), "no backend is called \"epoll\": it is auto, uring or pread");
}
