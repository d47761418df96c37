//! A directory, a sink, and the agent between them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use ringtail_agent::demo::agent::Agent;
use ringtail_agent::demo::container::Written;
use ringtail_agent::demo::sink::Reply;
use ringtail_agent::demo::{Sink, Verdict};
use rustix::process::Signal;
use tempfile::TempDir;

use super::config::Config;
use super::program::{self, Io};
use super::until;

/// How long anything may take that does not depend on a fault; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A stop's bound, the product's and some for a busy machine.
pub(crate) const STOP: Duration = Duration::from_secs(45);

/// Removed with all it contains at its end. Agents that it starts end with it, since they are killed when dropped.
pub(crate) struct Scene {
    dir: TempDir,
    io: Io,
}

impl Scene {
    pub(crate) fn new(io: Io) -> Self {
        let dir = tempfile::Builder::new().prefix("ringtail-test-").tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("logs")).expect("a directory");
        Scene { dir, io }
    }

    pub(crate) fn path(&self, rest: &str) -> PathBuf {
        self.dir.path().join(rest)
    }

    /// Where the log files are.
    pub(crate) fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// Checkpoints go to `data`.
    pub(crate) fn config(&self) -> Config {
        Config::new(&self.path("data"))
    }

    /// Writes the configuration, all at once as an editor does.
    pub(crate) fn write_config(&self, config: &Config) -> PathBuf {
        let path = self.path("ringtail.yaml");
        let next = self.path("ringtail.yaml.next");
        fs::write(&next, config.text()).expect("a written file");
        fs::rename(next, &path).expect("a renamed file");
        path
    }

    pub(crate) fn start(&self, config: &Config) -> Running {
        self.start_with(config, self.io)
    }

    /// The agent started by another program, which becomes it: `setpriv`, `prlimit`, `sh -c 'exec "$@"'`.
    pub(crate) fn start_under(&self, config: &Config, wrap: &[&str]) -> Running {
        let mut command = Command::new(wrap[0]);
        command.args(&wrap[1..]).arg(program::path()).env("RINGTAIL_IO", self.io.name());
        self.run(command, config)
    }

    /// Lets every user see the scene and read its configuration.
    pub(crate) fn let_others_in(&self) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(self.dir.path(), fs::Permissions::from_mode(0o755)).expect("allowed");
    }

    fn start_with(&self, config: &Config, io: Io) -> Running {
        self.run(program::command(io), config)
    }

    fn run(&self, mut command: Command, config: &Config) -> Running {
        command.arg("run").arg("--config").arg(self.write_config(config));
        Running(Agent::spawn(command, &self.path("agent.log")).expect("the program starts"))
    }

    /// What the agents said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.path("agent.log")).unwrap_or_default()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.said();
            eprintln!("on {}, the agent said:\n{}", self.io.name(), last_lines(&said, 40));
            if std::env::var_os("RINGTAIL_KEEP").is_some() {
                self.dir.disable_cleanup(true);
                eprintln!("kept: {}", self.dir.path().display());
            }
        }
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// An agent at work, killed when dropped.
pub(crate) struct Running(pub(crate) Agent);

impl Running {
    /// A clean stop, which has to succeed within its bound.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        let status = self.end(Signal::TERM);
        assert!(status.success(), "a clean stop ends with 0, not {status}");
    }

    /// kill -9.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        self.end(Signal::KILL);
    }

    #[track_caller]
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        self.0.signal(signal);
        let status = self.0.wait(STOP);
        status.unwrap_or_else(|| panic!("the agent goes on {STOP:?} after {signal:?}"))
    }

    /// Does something while the agent does not look.
    pub(crate) fn blink(&self, then: impl FnOnce()) {
        self.0.signal(Signal::STOP);
        let state = || fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        until("the agent is stopped", PATIENCE, || state().contains(") T "));
        then();
        self.0.signal(Signal::CONT);
    }

    /// Fails the test when the agent has ended by itself.
    #[track_caller]
    pub(crate) fn must_live(&mut self) {
        if let Some(status) = self.0.ended() {
            panic!("the agent ended by itself with {status}");
        }
    }
}

/// A sink that takes everything.
pub(crate) fn good_sink() -> Sink {
    Sink::start(|| Reply::OK).expect("a sink on the loopback address")
}

/// Waits until all that is written so far has arrived, or nothing more arrives for a while.
pub(crate) fn settle(sink: &Sink, written: &[Written], stall: Duration) {
    let all = |sink: &Sink| {
        let verifier = sink.verifier();
        written.iter().all(|written| verifier.delivered_of(&written.stream) >= written.count())
    };
    let (mut seen, mut moved) = (0, std::time::Instant::now());
    while !all(sink) && moved.elapsed() < stall {
        let now = sink.verifier().messages();
        if now != seen {
            (seen, moved) = (now, std::time::Instant::now());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The verdict over these streams.
pub(crate) fn verdict(sink: &Sink, written: &[Written]) -> Verdict {
    sink.verifier().verdict(written.iter().map(|written| (written.stream.as_ref(), written.count())))
}

/// Waits until all has arrived and requires each message once, in order.
#[track_caller]
pub(crate) fn require_exact(sink: &Sink, written: &[Written]) {
    settle(sink, written, PATIENCE / 2);
    let verdict = verdict(sink, written);
    assert!(verdict.exact(), "{verdict}");
}

/// Appends bytes to a file.
pub(crate) fn append(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    let mut file = fs::File::options().create(true).append(true).open(path).expect("a log file");
    file.write_all(bytes).expect("written");
}
