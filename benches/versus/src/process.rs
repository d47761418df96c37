//! A collector's process: started on a processor of its own, watched, ended.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a collector may take to end after SIGTERM.
const END_MAX: Duration = Duration::from_secs(30);

/// Which processors the collector gets, and which the rest: one for the collector where there are two or more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) collector: CpuSet,
    pub(crate) rest: CpuSet,
    pub(crate) shared: bool,
}

impl Cores {
    pub(crate) fn divide() -> io::Result<Self> {
        let all = sched_getaffinity(None)?;
        let (mut collector, mut rest) = (CpuSet::new(), all);
        let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| all.is_set(*cpu));
        let last = last.ok_or_else(|| io::Error::other("no processor"))?;
        collector.set(last);
        let shared = all.count() == 1;
        if !shared {
            rest.unset(last);
        }
        Ok(Cores { collector, rest, shared })
    }
}

/// A running collector.
pub(crate) struct Subject {
    child: Child,
    pid: Pid,
    /// What it printed.
    log: PathBuf,
    peak_mib: f64,
}

/// How a collector ended.
pub(crate) struct Ended {
    /// User and system time of its whole life, and that of the children it waited for.
    pub(crate) cpu_s: f64,
    pub(crate) peak_mib: f64,
    pub(crate) how: String,
    pub(crate) well: bool,
}

impl Subject {
    /// Starts `command` in `dir` with what it prints kept there.
    pub(crate) fn start(
        command: &[String],
        env: &BTreeMap<String, String>,
        dir: &Path,
        cores: Cores,
    ) -> io::Result<Self> {
        let (program, args) = command.split_first().ok_or_else(|| io::Error::other("no command"))?;
        let log = dir.join("printed");
        let file = File::create(&log)?;
        let mut command = Command::new(program);
        command.args(args).envs(env).current_dir(dir).stdin(Stdio::null());
        command.stdout(file.try_clone()?).stderr(file);
        // A child has the affinity of the thread that starts it.
        sched_setaffinity(None, &cores.collector)?;
        let child = command.spawn();
        sched_setaffinity(None, &cores.rest)?;
        let child = child.map_err(|error| io::Error::other(format!("{program}: {error}")))?;
        let pid = Pid::from_child(&child);
        Ok(Subject { child, pid, log, peak_mib: 0.0 })
    }

    /// Whether it still runs; notes its memory.
    pub(crate) fn runs(&mut self) -> bool {
        self.peak_mib = self.peak_mib.max(self.mib("VmHWM:"));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(self.pid), options), Ok(None))
    }

    /// CPU seconds so far, with those of the children it waited for. Still known of a process that ended and was not
    /// waited for.
    pub(crate) fn cpu_s(&self) -> f64 {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero())).unwrap_or_default();
        cpu_s_in(&stat, 4)
    }

    /// Resident memory now.
    pub(crate) fn resident_mib(&self) -> f64 {
        self.mib("VmRSS:")
    }

    fn mib(&self, key: &str) -> f64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).unwrap_or_default();
        let kib =
            status.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.parse().ok());
        kib.unwrap_or(0.0) / 1024.0
    }

    /// The end of what it printed.
    pub(crate) fn printed(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Asks it to end, if it has not by itself; kills it when it takes too long.
    pub(crate) fn end(mut self) -> io::Result<Ended> {
        let asked = self.runs();
        if asked {
            kill_process(self.pid, Signal::TERM)?;
        }
        let deadline = Instant::now() + END_MAX;
        let mut killed = false;
        while self.runs() {
            if Instant::now() > deadline && !killed {
                self.child.kill()?;
                killed = true;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let cpu_s = self.cpu_s();
        let status = self.child.wait()?;
        let by_signal = asked && status.signal() == Some(Signal::TERM.as_raw());
        let how = how(status, asked, killed);
        Ok(Ended { cpu_s, peak_mib: self.peak_mib, how, well: !killed && (status.success() || by_signal) })
    }
}

/// The first `count` of utime, stime, cutime and cstime (fields 14 to 17) in the text of a `/proc/<pid>/stat`, whose
/// second field is the name in parentheses and may hold anything.
pub(crate) fn cpu_s_in(stat: &str, count: usize) -> f64 {
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ').skip(11).take(count);
    seconds(fields.filter_map(|field| field.parse::<u64>().ok()).sum())
}

/// In which the kernel counts.
pub(crate) fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

fn how(status: ExitStatus, asked: bool, killed: bool) -> String {
    match (killed, asked) {
        (true, _) => format!("killed: it did not end within {} s", END_MAX.as_secs()),
        (false, true) => format!("asked to end: {status}"),
        (false, false) => format!("ended by itself: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(dir: &Path, script: &str) -> Subject {
        let command = ["sh", "-c", script].map(str::to_owned);
        Subject::start(&command, &BTreeMap::new(), dir, Cores::divide().expect("cores")).expect("started")
    }

    #[test]
    fn the_time_and_the_words_of_a_process_that_ended_by_itself_are_known() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut subject =
            start(dir.path(), "echo working; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exit 3");
        while subject.runs() {
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(subject.printed(), "working");
        let ended = subject.end().expect("ended");
        assert!(ended.cpu_s > 0.02, "{}", ended.cpu_s);
        assert!(ended.peak_mib > 0.1, "{}", ended.peak_mib);
        assert!(!ended.well && ended.how.contains("by itself"), "{}", ended.how);
    }

    #[test]
    fn a_process_that_ends_when_asked_ended_well() {
        let dir = tempfile::tempdir().expect("a directory");
        let ended = start(dir.path(), "exec sleep 100").end().expect("ended");
        assert!(ended.well, "{}", ended.how);
    }
}
