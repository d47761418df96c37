//! Limits of this process and of the kernel.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::Finding;

/// Below this many open files, a node with many containers makes the agent close idle files early.
const OPEN_FILES_WANTED: u64 = 65_536;
/// A watch is taken for each directory with log files.
const WATCHES_WANTED: u64 = 8_192;

/// What limits how many files can be followed, and how.
pub(super) fn findings() -> Vec<Finding> {
    vec![
        open_files(),
        locked_memory(),
        inotify("max_user_watches", WATCHES_WANTED),
        inotify("max_user_instances", 8),
    ]
}

fn open_files() -> Finding {
    let limit = getrlimit(Resource::Nofile);
    let text = |value: Option<u64>| value.map_or("unlimited".into(), |value| value.to_string());
    let found = format!("{} (at most {})", text(limit.current), text(limit.maximum));
    match limit.maximum.is_none_or(|maximum| maximum >= OPEN_FILES_WANTED) {
        true => Finding::ok("open files", found),
        false => Finding::warn(
            "open files",
            found,
            format!(
                "raise the hard limit to {OPEN_FILES_WANTED} (LimitNOFILE= of systemd, ulimit -Hn); with fewer, idle files are closed and opened again"
            ),
        ),
    }
}

/// Old kernels count the ring's own memory here; the ring is small, and pread needs none.
fn locked_memory() -> Finding {
    let found = match getrlimit(Resource::Memlock).current {
        None => "unlimited".into(),
        Some(bytes) => format!("{bytes} bytes; not needed: buffers are never registered with the ring"),
    };
    Finding::ok("locked memory", found)
}

fn inotify(limit: &str, wanted: u64) -> Finding {
    let path = format!("/proc/sys/fs/inotify/{limit}");
    let name = format!("inotify {limit}");
    match fs::read_to_string(&path).map(|text| text.trim().parse::<u64>()) {
        Ok(Ok(value)) if value >= wanted => Finding::ok(name, value.to_string()),
        Ok(Ok(value)) => Finding::warn(
            name,
            value.to_string(),
            format!("sysctl fs.inotify.{limit}={wanted}; where it runs out, files are polled every 2 s"),
        ),
        Ok(Err(_)) | Err(_) => {
            Finding::warn(name, format!("{path} cannot be read"), "mount /proc, or ignore this")
        }
    }
}
