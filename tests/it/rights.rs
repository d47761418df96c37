//! With the fewest rights: as a user that may only read.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ringtail_agent::demo::agent::Agent;

use crate::support::log::Log;
use crate::support::not_run;
use crate::support::program::{self, Io};
use crate::support::scene::{PATIENCE, Running, Scene, good_sink, require_exact};
use crate::support::until;

crate::support::on_both_backends! {
    a_user_with_one_capability_reads_what_only_root_may;
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
    assert_eq!(rights(agent.0.id()), (NOBODY, 0));
    agent.stop();
    assert_eq!(sink.verifier().messages(), 0);

    let Some(mut with) = as_nobody(io, true) else { return };
    with.arg("run").arg("--config").arg(&path);
    let agent = Running(Agent::spawn(with, &scene.path("agent.log")).expect("started"));
    require_exact(&sink, &log.written());
    assert_eq!(rights(agent.0.id()), (NOBODY, CAP_DAC_READ_SEARCH));
    let rotated = log.rotate("20260102-030405");
    [log.path(), &rotated].iter().for_each(|path| give(path, 0o600));
    log.print(100);
    require_exact(&sink, &log.written());
    // Not dumpable: the process's environment and memory are root's, though the process is not, and others of its user see
    // nothing of it.
    let environment = fs::metadata(format!("/proc/{}/environ", agent.0.id())).expect("runs");
    assert_eq!(environment.uid(), 0);
    let other =
        Other(Command::new("setpriv").args(OF_NOBODY).args(["sleep", "600"]).spawn().expect("starts"));
    // It becomes nobody's a little after its start.
    until("another process of the user is seen", PATIENCE, || is_seen(other.0.id()));
    assert!(!is_seen(agent.0.id()), "the agent's environment is open to its user");
    agent.stop();
}

/// The user of a process, and its capabilities as the kernel counts them.
fn rights(process: u32) -> (u32, u64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.split_ascii_whitespace().next().expect("a value").to_owned()
    };
    let capabilities = ["CapEff:", "CapPrm:", "CapBnd:"].map(|name| u64::from_str_radix(&field(name), 16));
    // What it may ever get is what it is allowed here, and never more than the one.
    assert_eq!(capabilities[2], Ok(CAP_DAC_READ_SEARCH), "{status}");
    assert_eq!(capabilities[0], capabilities[1], "{status}");
    (field("Uid:").parse().expect("a number"), capabilities[0].clone().expect("hexadecimal"))
}

/// linux/capability.h: number 2.
const CAP_DAC_READ_SEARCH: u64 = 1 << 2;

/// nobody without any right.
const OF_NOBODY: [&str; 6] =
    ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--"];

/// Whether nobody may read the environment of a process.
fn is_seen(process: u32) -> bool {
    let mut command = Command::new("setpriv");
    command.args(OF_NOBODY).args(["cat", &format!("/proc/{process}/environ")]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("setpriv runs").success()
}

/// Killed when dropped.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
