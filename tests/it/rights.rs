//! With the fewest rights: under the shipped seccomp profile, as a user that may only read; and nothing told that is secret.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace;
use ringtail_agent::demo::Sink;
use ringtail_agent::demo::agent::Agent;
use ringtail_agent::demo::http::Answer;
use ringtail_agent::demo::sink::Reply;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, Signal, kill_process};
use seccompiler::{BpfProgram, apply_filter, compile_from_json};
use serde_json::{Value, json};

use crate::support::log::Log;
use crate::support::metrics::{free_addr, get};
use crate::support::not_run;
use crate::support::program::{self, Io, command};
use crate::support::scene::{PATIENCE, Running, STOP, Scene, good_sink, require_exact, verdict};
use crate::support::until;

crate::support::on_both_backends! {
    the_shipped_seccomp_profile_allows_all_that_the_agent_does;
    a_user_with_one_capability_reads_what_only_root_may;
    nothing_that_is_secret_is_printed_or_served;
}

/// The shipped profile, as a filter of this architecture.
fn profile() -> BpfProgram {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/seccomp/ringtail.json");
    let profile: Value = serde_json::from_slice(&fs::read(path).expect("shipped")).expect("JSON");
    assert_eq!(
        (&profile["defaultAction"], &profile["defaultErrnoRet"]),
        (&json!("SCMP_ACT_ERRNO"), &json!(1))
    );
    let rules = profile["syscalls"].as_array().expect("rules");
    assert!(rules.iter().all(|rule| rule["action"] == "SCMP_ACT_ALLOW"));
    let names = rules.iter().flat_map(|rule| rule["names"].as_array().expect("names"));
    let filter = |names: &[&Value]| {
        let allowed: Vec<Value> = names.iter().map(|name| json!({ "syscall": name })).collect();
        let thread = json!({ "mismatch_action": { "errno": 1 }, "match_action": "allow", "filter": allowed });
        let text = json!({ "thread": thread }).to_string();
        let arch = std::env::consts::ARCH.try_into().expect("an architecture that seccompiler knows");
        compile_from_json(text.as_bytes(), arch)
            .map(|mut filters| filters.remove("thread").expect("compiled"))
    };
    // A profile names calls of all architectures; what this one does not have is passed over, as runtimes do.
    let names: Vec<&Value> = names.filter(|name| filter(&[name]).is_ok()).collect();
    filter(&names).expect("compiles")
}

/// Does something on a thread under the profile, which the processes that it starts inherit.
fn under_profile<T: Send>(then: impl FnOnce() -> T + Send) -> T {
    let profile = profile();
    std::thread::scope(|scope| {
        let under = scope.spawn(move || {
            apply_filter(&profile).expect("the kernel takes the filter");
            then()
        });
        under.join().expect("ended")
    })
}

/// The program under the profile; killed when dropped. It is waited for from outside, since it starts no processes itself.
struct Confined(Option<Child>);

impl Confined {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null());
        Confined(Some(under_profile(|| command.spawn().expect("the program starts"))))
    }

    /// A clean stop.
    #[track_caller]
    fn stop(mut self) {
        let mut child = self.0.take().expect("runs");
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("an id");
        kill_process(id, Signal::TERM).expect("it runs");
        let mut status = None;
        until("it ends", STOP, || {
            status = child.try_wait().expect("a child of ours");
            status.is_some()
        });
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Both fail only when it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Rotations, compression, checkpoint, restart, HTTP and file outputs, metrics, reload, `collect`, `doctor`, SIGTERM.
fn the_shipped_seccomp_profile_allows_all_that_the_agent_does(io: Io) {
    let (scene, sink, admin) = (Scene::new(io), good_sink(), free_addr());
    let mut log = Log::create(scene.logs().join("0.log"));
    let out = scene.path("out.ndjson");
    let config = || {
        let pattern = scene.logs().join("*.log");
        let url = sink.url().replace("127.0.0.1", "localhost");
        scene.config().admin(admin).path(&pattern).http("main", &url, "compression: zstd,").file("out", &out)
    };
    let path = scene.write_config(&config());
    let start = || {
        let mut command = command(io);
        command.arg("run").arg("--config").arg(&path);
        let said =
            fs::File::options().create(true).append(true).open(scene.path("agent.log")).expect("a log");
        Confined::start(command.stderr(said).stdout(Stdio::null()))
    };
    log.print(500);
    let agent = start();
    require_exact(&sink, &log.written());
    ringtail_agent::demo::kubelet::compress(&log.rotate("20260102-030405")).expect("compressed");
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
    scene.write_config(&config().path(&scene.path("more/*.log")));
    until("the change is taken", PATIENCE, || scene.said().contains("the configuration was changed"));
    log.print(100);
    require_exact(&sink, &log.written());
    drop(agent);
    let agent = start();
    log.print(100);
    until("all arrives", PATIENCE, || verdict(&sink, &log.written()).nothing_lost());
    agent.stop();
    let said = scene.said();
    assert!(!said.contains("ermitted") && !said.contains("\"level\":\"ERROR\""), "{said}");
    for arguments in
        [vec!["collect", "--output", "null", log.path().to_str().expect("UTF-8")], vec!["doctor"]]
    {
        let mut command = command(io);
        command.args(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut confined = Confined::start(&mut command);
        let output = confined.0.take().expect("just started").wait_with_output().expect("ends");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

/// What the agent has no use for is refused, to root too.
#[test]
fn the_shipped_seccomp_profile_refuses_what_the_agent_does_not_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = |name: &str| mknodat(CWD, dir.path().join(name), FileType::Fifo, Mode::RUSR, 0).is_ok();
    assert!(node("before") && std::os::unix::fs::symlink("x", dir.path().join("before.link")).is_ok());
    let victim = Victim(Command::new("sleep").arg("600").spawn().expect("sleep is everywhere"));
    let refused = under_profile(|| {
        BTreeMap::from([
            ("chroot", std::os::unix::fs::chroot("/").is_err()),
            ("mknod", !node("after")),
            ("mount", mount("none", dir.path(), "tmpfs", MountFlags::empty(), None).is_err()),
            ("symlink", std::os::unix::fs::symlink("x", dir.path().join("after.link")).is_err()),
            ("chmod", fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).is_err()),
            ("ptrace", victim.trace() == Err(Errno::EPERM)),
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

/// A process that somebody may want to trace; killed when dropped.
struct Victim(Child);

impl Victim {
    /// Traces it until the calling thread ends; harmless to it.
    fn trace(&self) -> nix::Result<()> {
        let id = i32::try_from(self.0.id()).expect("process ids are below 2^22");
        ptrace::seize(nix::unistd::Pid::from_raw(id), ptrace::Options::empty())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// nobody, on every distribution.
const NOBODY: u32 = 65534;

/// The program as a user without rights, with or without the one capability; nothing where that cannot be had here.
fn as_nobody(io: Io, capable: bool) -> Option<Command> {
    let lacks = match rustix::process::geteuid().is_root() {
        false => Some("not root"),
        true if Command::new("setpriv").arg("--version").output().is_err() => {
            Some("setpriv is not installed (apt install util-linux)")
        }
        true => None,
    };
    if let Some(why) = lacks {
        not_run("the agent as a user with CAP_DAC_READ_SEARCH alone", why);
        return None;
    }
    let capability = if capable { "+dac_read_search" } else { "-all" };
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()]);
    command.args([format!("--inh-caps={capability}"), format!("--ambient-caps={capability}")]);
    command.arg("--bounding-set=-all,+dac_read_search").arg("--no-new-privs");
    command.arg("--").arg(program::path()).env("RINGTAIL_IO", io.name());
    Some(command)
}

/// Logs that only root may read, in directories that only root may enter.
fn a_user_with_one_capability_reads_what_only_root_may(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let mut log = Log::create(scene.logs().join("0.log"));
    let give =
        |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("given");
    give(log.path(), 0o600);
    give(&scene.logs(), 0o700);
    let config = scene.config().path(&scene.logs().join("*.log")).http("main", &sink.url(), "");
    let path = scene.write_config(&config);
    fs::create_dir(scene.path("data")).expect("a directory");
    std::os::unix::fs::chown(scene.path("data"), Some(NOBODY), Some(NOBODY)).expect("given away");
    [&path, &scene.path("data"), &scene.path("")].iter().for_each(|path| give(path, 0o755));

    let Some(mut without) = as_nobody(io, false) else { return };
    without.arg("run").arg("--config").arg(&path);
    let agent = Running(Agent::spawn(without, &scene.path("agent.log")).expect("started"));
    log.print(100);
    until("it is told", PATIENCE, || scene.said().contains("ermission denied"));
    agent.stop();
    assert_eq!(sink.verifier().messages(), 0);

    let Some(mut with) = as_nobody(io, true) else { return };
    with.arg("run").arg("--config").arg(&path);
    let agent = Running(Agent::spawn(with, &scene.path("agent.log")).expect("started"));
    require_exact(&sink, &log.written());
    let rotated = log.rotate("20260102-030405");
    [log.path(), &rotated].iter().for_each(|path| give(path, 0o600));
    log.print(100);
    require_exact(&sink, &log.written());
    // Not dumpable: the process's environment and memory are root's, though the process is not.
    let environment = fs::metadata(format!("/proc/{}/environ", agent.0.id())).expect("runs");
    assert_eq!(environment.uid(), 0);
    agent.stop();
}

const SECRETS: [&str; 4] = ["hunter2-in-url", "token-in-header", "password-in-file", "key-in-query"];

/// A configuration whose output fails in every way, with secrets from the environment and from files.
fn secret_config(scene: &Scene, url: &str, admin: &str) -> PathBuf {
    let file = scene.path("authorization");
    fs::write(&file, format!("Bearer {}\n", SECRETS[2])).expect("written");
    let host = url.strip_prefix("http://").expect("http");
    let text = format!(
        "data_dir: {}\nadmin: {admin}\noutputs:\n  main:\n    type: http\n    url: \"http://user:${{URL_SECRET}}@{host}?key=${{QUERY_SECRET}}\"\n    headers: {{X-Token: \"${{HEADER_SECRET}}\", Authorization: \"file:{}\"}}\n    timeout: 1s\n    batch: {{max_delay: 50ms}}\npipelines:\n  p:\n    from:\n      files: {{paths: [{}]}}\n    to: [main]\n",
        scene.path("data").display(),
        file.display(),
        scene.logs().join("*.log").display(),
    );
    let path = scene.path("ringtail.yaml");
    fs::write(&path, text).expect("written");
    path
}

fn with_secrets(mut command: Command) -> Command {
    for (name, at) in [("URL_SECRET", 0), ("HEADER_SECRET", 1), ("QUERY_SECRET", 3)] {
        command.env(name, SECRETS[at]);
    }
    command
}

#[track_caller]
fn require_no_secret(where_: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in {where_}:\n{text}");
    }
}

fn nothing_that_is_secret_is_printed_or_served(io: Io) {
    let refusing = Sink::start(|| Reply::refused(Answer::Status(403))).expect("a sink");
    let resetting = Sink::start(|| Reply::refused(Answer::Reset)).expect("a sink");
    let closed = format!("http://{}/x", free_addr());
    for url in [refusing.url(), resetting.url(), closed, "http://no-such-host.invalid/x".to_owned()] {
        let (scene, admin) = (Scene::new(io), free_addr());
        fs::write(scene.logs().join("0.log"), "2026-01-02T03:04:05Z stdout F line\n").expect("written");
        let path = secret_config(&scene, &url, &admin.to_string());
        for arguments in [
            vec!["check"],
            vec!["--json", "check"],
            vec!["doctor", "--config"],
            vec!["--json", "doctor", "--config"],
        ] {
            let mut command = with_secrets(command(io));
            let output = command.args(&arguments).arg(&path).output().expect("the program runs");
            require_no_secret(&format!("{arguments:?}"), &format!("{output:?}"));
        }
        let mut command = with_secrets(command(io));
        command.args(["--log-level", "trace", "run", "--config"]).arg(&path);
        let mut agent = Running(Agent::spawn(command, &scene.path("agent.log")).expect("started"));
        // Told once each: the start, and why the output fails.
        until("the output's failure is told", PATIENCE, || {
            scene.said().lines().any(|line| line.contains("\"output\":\"main\""))
        });
        agent.must_live();
        for page in ["/metrics", "/healthz", "/readyz"] {
            require_no_secret(page, &get(admin, page).expect("served").1);
        }
        fs::write(scene.path("ringtail.yaml"), "outputs: [").expect("written");
        agent.0.signal(Signal::HUP);
        std::thread::sleep(Duration::from_millis(300));
        agent.end(Signal::TERM);
        require_no_secret("the log", &scene.said());
    }
}
