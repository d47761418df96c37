//! What the kernel grants to this process, for `ringtail doctor`, and taking all of it.

use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Limits that a collector meets. Nothing: unlimited, or not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Directories that a user may watch (`fs.inotify.max_user_watches`).
    pub watches: Option<u64>,
    /// inotify instances of a user; a shard takes one, the scanner another.
    pub watchers: Option<u64>,
    /// Changes that wait in one instance before the rest is dropped.
    pub queued_changes: Option<u64>,
    /// Open files: the limit in force, and how far it may be raised.
    pub open_files: (Option<u64>, Option<u64>),
    /// Bytes that may be locked.
    pub locked_bytes: Option<u64>,
}

impl Limits {
    /// Those of this process, now.
    pub fn read() -> Self {
        let files = getrlimit(Resource::Nofile);
        Limits {
            watches: inotify_limit("max_user_watches"),
            watchers: inotify_limit("max_user_instances"),
            queued_changes: inotify_limit("max_queued_events"),
            open_files: (files.current, files.maximum),
            locked_bytes: getrlimit(Resource::Memlock).current,
        }
    }
}

fn inotify_limit(name: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok()
}

/// Raises the limit of open files as far as it goes without privileges; the limit afterwards, nothing if there is none.
/// Nothing here calls `select`, which is what the low default is for.
pub fn raise_nofile() -> io::Result<Option<u64>> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_raised_to_what_is_allowed() {
        let raised = raise_nofile().expect("raising to the hard limit needs no privilege");
        let limits = Limits::read();
        assert_eq!(limits.open_files, (raised, raised));
        assert!(limits.watches.is_some() && limits.watchers.is_some());
    }
}
