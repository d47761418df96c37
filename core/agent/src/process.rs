//! This process: what it takes from the node, from `/proc`, and that nobody else looks into it.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::metrics::Page;

/// Keeps other processes of the same user, and core dumps, from this one's memory and environment, where secrets are. A
/// debugger of root still attaches.
pub fn keep_to_itself() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "this process can be dumped, with the secrets of its environment and configuration");
    }
}

/// What a process takes. Zero where `/proc` does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Processor time, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Bytes of memory that are resident.
    pub resident_bytes: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// File descriptors.
    pub open_fds: u64,
    /// File descriptors that are allowed.
    pub max_fds: u64,
    /// Threads.
    pub threads: u64,
    /// When it started, in seconds since 1970.
    pub start_seconds: f64,
}

impl Process {
    /// This process, now.
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count());
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Process {
            open_fds: u64::try_from(open).unwrap_or(0),
            max_fds: limit.unwrap_or(u64::MAX),
            ..parse(&stat, &boot, clock_ticks_per_second(), page_size()).unwrap_or_default()
        }
    }

    pub(crate) fn figures(&self, page: &mut Page) {
        page.family(
            "process_cpu_seconds_total",
            "Processor time, user and system, in seconds.",
            "counter",
            [([], self.cpu_seconds)],
        );
        page.gauges(
            "process_resident_memory_bytes",
            "Bytes of memory that are resident.",
            [([], self.resident_bytes)],
        );
        page.gauges("process_virtual_memory_bytes", "Bytes of address space.", [([], self.virtual_bytes)]);
        page.gauges("process_open_fds", "File descriptors.", [([], self.open_fds)]);
        page.gauges("process_max_fds", "File descriptors that are allowed.", [([], self.max_fds)]);
        page.gauges("process_threads", "Threads.", [([], self.threads)]);
        page.family(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
            "gauge",
            [([], self.start_seconds)],
        );
    }
}

/// proc(5): the fields of `stat` behind the name, which may contain anything but is closed by the last parenthesis.
fn parse(stat: &str, boot: &str, ticks: u64, page: usize) -> Option<Process> {
    let (_, behind_name) = stat.rsplit_once(") ")?;
    // The field numbered 3 in the manual comes first here.
    let fields: Vec<&str> = behind_name.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<u64>().ok()?;
    let seconds = |clock: u64| clock as f64 / ticks as f64;
    Some(Process {
        cpu_seconds: seconds(field(14)? + field(15)?),
        threads: field(20)?,
        start_seconds: boot as f64 + seconds(field(22)?),
        virtual_bytes: field(23)?,
        resident_bytes: field(24)?.saturating_mul(u64::try_from(page).ok()?),
        ..Process::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let process = Process::now();
        assert!(process.resident_bytes > 1 << 20 && process.virtual_bytes >= process.resident_bytes);
        assert!(process.open_fds >= 3 && process.threads >= 1 && process.start_seconds > 1.7e9);
    }

    #[test]
    fn a_name_with_parentheses_is_no_trouble() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 5 0 1000 4096000 3 1 1 1 1 1 1 1 1 1 1 1 1 1 1";
        let process = parse(stat, "cpu 1 2\nbtime 1700000000\n", 100, 4096).expect("well-formed");
        assert_eq!((process.cpu_seconds, process.threads, process.resident_bytes), (3.0, 5, 3 * 4096));
        assert_eq!(process.start_seconds, 1_700_000_010.0);
    }
}
