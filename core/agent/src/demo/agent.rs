//! The agent as a child process, and what it costs.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time, user and system.
    pub cpu: Duration,
    /// Resident memory now, in bytes.
    pub rss: u64,
    /// The most resident memory it ever had, in bytes.
    pub peak_rss: u64,
}

/// `ringtail run` in a process of its own; killed when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    log: PathBuf,
    usage: Usage,
}

impl Agent {
    /// Starts `program run --config config`; standard output and error are appended to `log`. The process gets
    /// a group of its own, so that a terminal's Ctrl-C leaves it to us.
    pub fn start(program: &Path, config: &Path, log: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(config);
        Self::spawn(command, log)
    }

    /// The same for a command that is made by the caller.
    pub fn spawn(mut command: Command, log: &Path) -> io::Result<Self> {
        let output = append_to(log)?;
        command.stdout(output);
        Self::follow(command, log)
    }

    /// The same for a command whose standard output has been seen to.
    pub fn follow(mut command: Command, log: &Path) -> io::Result<Self> {
        let child = command.process_group(0).stdin(Stdio::null()).stderr(append_to(log)?).spawn()?;
        Ok(Agent { child, log: log.to_owned(), usage: Usage::default() })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far; what was known last when it has ended.
    pub fn usage(&mut self) -> Usage {
        if let Some(usage) = read_usage(self.child.id()) {
            self.usage = usage;
        }
        self.usage
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal; nothing when it has ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may end meanwhile; its id stays ours until it is waited for.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end at most this long.
    pub fn wait(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + at_most;
        loop {
            self.usage();
            match self.ended() {
                Some(status) => return Some(status),
                None if Instant::now() >= deadline => return None,
                None => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// What it said, on both outputs.
    pub fn said(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn append_to(log: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(log)
}

/// From `/proc`; `None` when the process is gone.
fn read_usage(id: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold blanks; user and system time are fields 14 and 15, the state behind the
    // name is 3.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    // A zombie has no memory and its last times.
    Some(Usage {
        cpu: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)),
        rss: kib("VmRSS:")? * 1024,
        peak_rss: kib("VmHWM:")? * 1024,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_measured_signalled_and_heard() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do :; done"]);
        let mut agent = Agent::spawn(command, &dir.path().join("log")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !(agent.said().contains("up") && agent.usage().cpu > Duration::ZERO) {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(10));
        }
        assert!(agent.usage().rss > 0 && agent.usage().peak_rss >= agent.usage().rss);
        agent.signal(Signal::TERM);
        assert_eq!(agent.wait(Duration::from_secs(20)).unwrap().code(), Some(3));
        assert!(agent.said().contains("bye") && agent.usage().cpu > Duration::ZERO);
    }
}
