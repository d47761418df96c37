//! Under the shipped seccomp profile the agent does all that it does, and nobody does anything else.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::ptrace;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use ringtail_agent::demo::agent::Agent;
use ringtail_agent::demo::kubelet::compress;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::mount::{MountFlags, mount};
use rustix::process::Signal;

use crate::support::log::Log;
use crate::support::metrics::{free_addr, get};
use crate::support::not_run;
use crate::support::profile::{Profile, REFUSED, under_profile};
use crate::support::program::{Io, command};
use crate::support::scene::{PATIENCE, Running, Scene, good_sink, require_exact, verdict};
use crate::support::tls::TlsSink;
use crate::support::until;

crate::support::on_both_backends! {
    the_shipped_profile_allows_all_that_the_agent_does;
}

/// Rotations, compression, copytruncate, kill and restart, HTTP by name, HTTPS and file outputs, a name that does not
/// exist, metrics, reload, SIGTERM; `collect`, `check`, `doctor`.
fn the_shipped_profile_allows_all_that_the_agent_does(io: Io) {
    let (scene, sink, tls, admin) = (Scene::new(io), good_sink(), TlsSink::start(), free_addr());
    let mut log = Log::create(scene.logs().join("0.log"));
    let (out, roots) = (scene.path("out.ndjson"), scene.path("roots.pem"));
    fs::write(&roots, &tls.certificate).expect("written");
    let config = || {
        let url = sink.url().replace("127.0.0.1", "localhost");
        let config = scene.config().admin(admin).path(&scene.logs().join("*.log"));
        let config = config.http("main", &url, "compression: zstd,").http("tls", &tls.url, "");
        config.file("out", &out)
    };
    let path = scene.write_config(&config().http("lost", "http://no-such-host.invalid/", ""));
    let start = || {
        let mut command = command(io);
        command.arg("run").arg("--config").arg(&path).env("SSL_CERT_FILE", &roots);
        Running(Agent::spawn(under_profile(&command), &scene.path("agent.log")).expect("started"))
    };
    log.print(500);
    let mut agent = start();
    require_exact(&sink, &log.written());
    compress(&log.rotate("20260102-030405")).expect("compressed");
    log.print(500);
    require_exact(&sink, &log.written());
    log.copytruncate("1");
    log.print(500);
    require_exact(&sink, &log.written());
    log.unlink();
    log.print(500);
    require_exact(&sink, &log.written());
    assert!(get(admin, "/metrics").is_some_and(|(status, body)| status == 200 && body.contains(io.name())));
    assert_eq!(get(admin, "/healthz").map(|(status, _)| status), Some(200));
    until("HTTPS works", PATIENCE, || tls.requests() > 0);
    until("the unknown name is told", PATIENCE, || scene.said().contains("\"output\":\"lost\""));
    scene.write_config(&config().path(&scene.path("more/*.log")));
    agent.0.signal(Signal::HUP);
    until("the change is taken", PATIENCE, || scene.said().contains("the configuration was changed"));
    log.print(100);
    require_exact(&sink, &log.written());
    agent.end(Signal::KILL);
    let agent = start();
    log.print(100);
    until("all arrives", PATIENCE, || verdict(&sink, &log.written()).nothing_lost());
    agent.stop();
    let said = scene.said();
    assert!(!said.contains("ermitted") && !said.contains("\"level\":\"ERROR\""), "{said}");
    let [log, path] = [log.path(), &path].map(|path| path.to_str().expect("UTF-8"));
    for arguments in [
        &["collect", "--output", "null", log][..],
        &["doctor"],
        &["check", path],
        &["doctor", "--config", path],
    ] {
        let mut command = command(io);
        command.args(arguments).env("SSL_CERT_FILE", &roots);
        let output = under_profile(&command).stdin(Stdio::null()).output().expect("it runs");
        let told = [output.stdout.clone(), output.stderr.clone()].concat();
        let told = String::from_utf8_lossy(&told);
        // What `doctor` finds wrong with outputs is no wonder.
        assert!(output.status.success() || arguments[0] == "doctor", "{arguments:?}: {told}");
        assert!(!told.contains("ermitted"), "{arguments:?}: {told}");
    }
}

/// Does something on a thread under the profile.
fn confined<T: Send>(then: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let under = scope.spawn(move || {
            Profile::shipped().apply();
            then()
        });
        under.join().expect("ended")
    })
}

/// What the agent has no use for is refused, to root too.
#[test]
fn the_shipped_profile_refuses_what_the_agent_does_not_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = |name: &str| mknodat(CWD, dir.path().join(name), FileType::Fifo, Mode::RUSR, 0).is_ok();
    let family = |family| socket(family, SockType::Datagram, SockFlag::empty(), None).map(drop);
    assert!(node("before") && std::os::unix::fs::symlink("x", dir.path().join("before.link")).is_ok());
    assert_eq!(family(AddressFamily::Netlink), Ok(()));
    fs::write(dir.path().join("file"), "x").expect("written");
    let own = fs::File::open("/proc/self/ns/uts").expect("a namespace");
    let victim = Victim(Command::new("sleep").arg("600").spawn().expect("sleep is everywhere"));
    let link = |to: &str| fs::hard_link(dir.path().join("file"), dir.path().join(to));
    let refused = confined(|| {
        BTreeMap::from([
            ("chroot", std::os::unix::fs::chroot("/").is_err()),
            ("mknod", !node("after")),
            ("mount", mount("none", dir.path(), "tmpfs", MountFlags::empty(), None).is_err()),
            ("symlink", std::os::unix::fs::symlink("x", dir.path().join("after.link")).is_err()),
            ("link", link("hard.link").is_err()),
            ("chmod", fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).is_err()),
            ("ptrace", victim.trace() == Err(Errno::EPERM)),
            ("kill", victim.kill() == Err(Errno::EPERM)),
            ("setns", setns(&own, CloneFlags::CLONE_NEWUTS) == Err(Errno::EPERM)),
            ("unshare", unshare(CloneFlags::CLONE_NEWUSER) == Err(Errno::EPERM)),
            ("a process", Command::new("true").spawn().is_err_and(|why| why.raw_os_error() == Some(1))),
            ("AF_NETLINK", family(AddressFamily::Netlink) == Err(Errno::EPERM)),
            ("AF_PACKET", family(AddressFamily::Packet) == Err(Errno::EPERM)),
            ("AF_VSOCK", family(AddressFamily::Vsock) == Err(Errno::EPERM)),
        ])
    });
    let allowed: Vec<_> = refused.iter().filter(|(_, refused)| !**refused).collect();
    assert!(allowed.is_empty(), "allowed: {allowed:?}");
    // Only now: a process that somebody traces already is refused, too.
    if let Err(error) = victim.trace() {
        not_run(
            "ptrace under the seccomp profile",
            &format!("it is refused without the profile, too: {error}"),
        );
    }
}

/// Threads start although clone3 is not there, and the three families of sockets are.
#[test]
fn the_shipped_profile_allows_threads_and_the_sockets_of_the_agent() {
    let made = confined(|| {
        let families = [AddressFamily::Unix, AddressFamily::Inet, AddressFamily::Inet6];
        let sockets =
            families.map(|family| socket(family, SockType::Stream, SockFlag::empty(), None).is_ok());
        (std::thread::spawn(|| 7).join().is_ok_and(|seven| seven == 7), sockets)
    });
    // A machine may have no IPv6.
    assert_eq!((made.0, &made.1[..2]), (true, &[true, true][..]));
}

/// Every flag of `clone`, and calls that cannot be tried without harm: what the filter answers to them.
#[test]
fn the_shipped_profile_lets_no_namespace_and_no_process_be_made() {
    let profile = Profile::shipped();
    let clone = |flags: u64| profile.answer(libc::SYS_clone, [flags, 0, 0, 0, 0, 0]);
    let flags = |flags: libc::c_int| u64::from(flags.cast_unsigned());
    // As glibc and musl start threads.
    let (glibc, musl) = (0x003d_0f00, 0x007d_0f00);
    assert_eq!((clone(glibc), clone(musl)), (None, None));
    for namespace in [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ] {
        assert_eq!(clone(glibc | flags(namespace)), Some(REFUSED), "{namespace:#x}");
        assert_eq!(clone(flags(namespace)), Some(REFUSED), "{namespace:#x}");
    }
    let (fork, vfork) = (flags(libc::SIGCHLD), flags(libc::SIGCHLD | libc::CLONE_VM | libc::CLONE_VFORK));
    assert_eq!((clone(fork), clone(vfork)), (Some(REFUSED), Some(REFUSED)));
    let answer = |call, first| profile.answer(call, [first, 0, 0, 0, 0, 0]);
    assert_eq!(answer(libc::SYS_clone3, 0), Some(libc::ENOSYS.cast_unsigned()));
    for call in [
        libc::SYS_bpf,
        libc::SYS_delete_module,
        libc::SYS_execveat,
        libc::SYS_finit_module,
        libc::SYS_init_module,
        libc::SYS_kexec_load,
        libc::SYS_keyctl,
        libc::SYS_memfd_create,
        libc::SYS_mount,
        libc::SYS_move_mount,
        libc::SYS_open_by_handle_at,
        libc::SYS_perf_event_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pivot_root,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_ptrace,
        libc::SYS_reboot,
        libc::SYS_setns,
        libc::SYS_settimeofday,
        libc::SYS_umount2,
        libc::SYS_unshare,
        libc::SYS_userfaultfd,
    ] {
        assert_eq!(answer(call, 0), Some(REFUSED), "{call}");
    }
    for family in 0..64 {
        let expected = (![1, 2, 10].contains(&family)).then_some(REFUSED);
        assert_eq!(answer(libc::SYS_socket, family), expected, "family {family}");
        assert_eq!(answer(libc::SYS_socketpair, family), (family != 1).then_some(REFUSED), "family {family}");
    }
    for call in [libc::SYS_io_uring_setup, libc::SYS_openat2, libc::SYS_execve, libc::SYS_geteuid] {
        assert_eq!(answer(call, 0), None, "{call}");
    }
}

/// A process that somebody may want to trace or kill; killed when dropped.
struct Victim(Child);

impl Victim {
    fn id(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).expect("process ids are below 2^22"))
    }

    /// Traces it until the calling thread ends; harmless to it.
    fn trace(&self) -> nix::Result<()> {
        ptrace::seize(self.id(), ptrace::Options::empty())
    }

    fn kill(&self) -> nix::Result<()> {
        nix::sys::signal::kill(self.id(), None)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
