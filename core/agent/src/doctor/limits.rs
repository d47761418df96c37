//! What the kernel grants to this process.

use ringtail_io::{Choice, Limits, ring_offer};

use super::Finding;

/// Below this many open files, a node with many containers makes the agent close idle files early.
const OPEN_FILES_WANTED: u64 = 65_536;
/// A watch is taken for each directory with log files.
const WATCHES_WANTED: u64 = 8_192;
/// A shard takes one instance, the scanner another, and other programs of this user theirs.
const INSTANCES_WANTED: u64 = 64;
/// Bursts of changes between two looks.
const QUEUE_WANTED: u64 = 16_384;

/// The ring, and what limits how many files can be followed, and how.
pub(super) fn findings(choice: Choice) -> Vec<Finding> {
    let limits = Limits::read();
    vec![
        ring(choice),
        open_files(limits.open_files),
        inotify("max_user_watches", limits.watches, WATCHES_WANTED),
        inotify("max_user_instances", limits.watchers, INSTANCES_WANTED),
        inotify("max_queued_events", limits.queued_changes, QUEUE_WANTED),
        locked_memory(limits.locked_bytes),
    ]
}

fn ring(choice: Choice) -> Finding {
    match (ring_offer(), choice) {
        (Ok(_), Choice::Pread) => {
            Finding::ok("ring", "io_uring works, and RINGTAIL_IO=pread keeps it unused")
        }
        (Ok(offer), _) => Finding::ok("ring", format!("io_uring works ({})", offer.mode)),
        (Err(refusal), Choice::Uring) => Finding::fail(
            "ring",
            refusal.to_string(),
            "unset RINGTAIL_IO=uring, or let the kernel grant a ring",
        ),
        (Err(refusal), _) => Finding::warn(
            "ring",
            refusal.to_string(),
            "nothing is lost: preadv2 is used, which is as fast on files in the page cache",
        ),
    }
}

fn open_files((current, maximum): (Option<u64>, Option<u64>)) -> Finding {
    let text = |limit: Option<u64>| limit.map_or("unlimited".into(), |limit| limit.to_string());
    let found = format!("{}, may be raised to {}", text(current), text(maximum));
    match maximum.is_none_or(|maximum| maximum >= OPEN_FILES_WANTED) {
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
fn locked_memory(limit: Option<u64>) -> Finding {
    let found = match limit {
        None => "unlimited".into(),
        Some(bytes) => format!("{bytes} bytes; enough: buffers are never registered with the ring"),
    };
    Finding::ok("locked memory", found)
}

fn inotify(limit: &str, value: Option<u64>, wanted: u64) -> Finding {
    let name = format!("inotify {limit}");
    match value {
        Some(value) if value >= wanted => Finding::ok(name, value.to_string()),
        Some(value) => Finding::warn(
            name,
            value.to_string(),
            format!("sysctl fs.inotify.{limit}={wanted}; where it runs out, files are polled every 2 s"),
        ),
        None => Finding::warn(
            name,
            format!("/proc/sys/fs/inotify/{limit} cannot be read"),
            "mount /proc; without inotify, files are polled every 2 s",
        ),
    }
}
