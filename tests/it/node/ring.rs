//! A kernel that refuses io_uring: to a process by its seccomp profile, to everybody by a sysctl.

use std::fs;
use std::process::Command;

use seccompiler::{apply_filter, compile_from_json};
use serde_json::{Value, json};

use crate::support::log::Log;
use crate::support::metrics::{free_addr, get};
use crate::support::not_run;
use crate::support::program::{self, Io};
use crate::support::scene::{PATIENCE, Scene, good_sink, require_exact};

/// What Docker's and containerd's default profiles answer, and what Podman's does.
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Left to choose, the agent reads without the ring and says why in its log, its metrics and `doctor`; told to use the ring
/// it ends, and says why.
#[track_caller]
fn require_the_fallback_is_told(why: &[&str]) {
    let (scene, sink, admin) = (Scene::new(Io::Pread), good_sink(), free_addr());
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().admin(admin).path(&scene.logs().join("*.log")).http("main", &sink.url(), "");
    let agent = scene.start_under(&config, &["env", "RINGTAIL_IO=auto"]);
    log.print(500);
    require_exact(&sink, &log.written());
    log.rotate("20260102-030405");
    log.print(500);
    require_exact(&sink, &log.written());
    let (_, metrics) = get(admin, "/metrics").expect("served");
    let backend = metrics.lines().find(|line| line.starts_with("ringtail_io_backend{")).expect("a gauge");
    assert!(backend.contains("backend=\"pread\"") && backend.ends_with(" 1"), "{backend}");
    agent.stop();
    let said = scene.said();
    let start = said.lines().find(|line| line.contains(" started")).expect("the line that says what runs");
    assert!(start.contains("pread"), "{start}");
    let chosen = doctor("auto");
    assert_eq!(chosen["state"], "warn", "{chosen}");

    let mut agent = scene.start_under(&config, &["env", "RINGTAIL_IO=uring"]);
    let status = agent.0.wait(PATIENCE).expect("it ends by itself");
    assert_eq!(status.code(), Some(1));
    let asked = &scene.said()[said.len()..];
    let wanted = doctor("uring");
    assert_eq!(wanted["state"], "fail", "{wanted}");
    for text in [backend, start, asked, &chosen.to_string(), &wanted.to_string()] {
        assert!(why.iter().all(|why| text.contains(why)), "{why:?} is not in {text}");
    }
}

/// What `doctor` finds of the ring.
fn doctor(io: &str) -> Value {
    let mut command = Command::new(program::path());
    let output = command.args(["doctor", "--json"]).env("RINGTAIL_IO", io).output().expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().find(|finding| finding["name"] == "ring").expect("the ring").clone()
}

/// Does something on a thread that gets `errno` for `io_uring_setup`, as do the processes that it starts.
fn without_rings(errno: u32, then: impl FnOnce() + Send) {
    let thread = json!({
        "mismatch_action": "allow", "match_action": { "errno": errno }, "filter": [{ "syscall": "io_uring_setup" }]
    });
    let text = json!({ "thread": thread }).to_string();
    let arch = std::env::consts::ARCH.try_into().expect("an architecture that seccompiler knows");
    let filter =
        compile_from_json(text.as_bytes(), arch).expect("compiles").remove("thread").expect("compiled");
    std::thread::scope(|scope| {
        let under = scope.spawn(move || {
            apply_filter(&filter).expect("the kernel takes the filter");
            then();
        });
        under.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// The default seccomp profiles of Docker and containerd.
#[test]
fn where_a_profile_forbids_rings_the_agent_reads_without_and_says_why() {
    if fs::read_to_string(SYSCTL).is_ok_and(|value| value.trim() != "0") {
        return not_run(
            "a profile that forbids rings",
            "here kernel.io_uring_disabled forbids them, and is named for it",
        );
    }
    without_rings(EPERM, || {
        require_the_fallback_is_told(&["io_uring_setup", "not permitted", "seccomp profile"]);
    });
}

/// A profile that answers as an old kernel does.
#[test]
fn where_a_profile_hides_rings_the_agent_reads_without_and_says_why() {
    without_rings(ENOSYS, || require_the_fallback_is_told(&["io_uring_setup", "CONFIG_IO_URING"]));
}

const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

/// The sysctl with another value; it gets its own back when dropped.
struct Sysctl(String);

impl Sysctl {
    fn set(value: &str) -> std::io::Result<Self> {
        let before = Sysctl(fs::read_to_string(SYSCTL)?);
        fs::write(SYSCTL, value)?;
        Ok(before)
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SYSCTL, &self.0) {
            eprintln!("{SYSCTL} cannot be set back to {}: {error}", self.0);
        }
    }
}

/// It is one for the whole machine: only where nothing else runs, which is what `RINGTAIL_ALONE` says (scripts/test).
#[test]
fn where_the_sysctl_forbids_rings_the_agent_reads_without_and_says_why() {
    if std::env::var_os("RINGTAIL_ALONE").is_none() {
        return;
    }
    match Sysctl::set("2") {
        Ok(_forbidden) => require_the_fallback_is_told(&["io_uring_setup", "kernel.io_uring_disabled is 2"]),
        Err(error) => not_run("a node with kernel.io_uring_disabled=2", &format!("{SYSCTL}: {error}")),
    }
}
