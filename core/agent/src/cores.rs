//! How many processors this process may use: its affinity, and the CPU limit of its cgroup (v1 and v2).

use std::fmt;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

/// Processors, in thousandths: a container may have half of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cores(u64);

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 1000 {
            0 => write!(f, "{}", self.0 / 1000),
            _ => write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000),
        }
    }
}

/// What this process may use.
pub fn available() -> Cores {
    // Counts the affinity, and of quotas those of the process's own cgroup only.
    let affinity = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let affinity = Cores(u64::try_from(affinity).unwrap_or(1) * 1000);
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    quota(Path::new("/sys/fs/cgroup"), &membership).map_or(affinity, |quota| quota.min(affinity))
}

/// The shards, and packers, that `threads: auto` stands for: whole processors, at least one.
pub fn threads(cores: Cores) -> usize {
    usize::try_from(cores.0 / 1000).unwrap_or(1).max(1)
}

/// The smallest limit of the cgroup and of those above it. Seen from inside a container the path may lie outside of
/// what is mounted; then the root of the mount is the container's own cgroup.
fn quota(root: &Path, membership: &str) -> Option<Cores> {
    let mut smallest: Option<Cores> = None;
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (base, read): (PathBuf, fn(&Path) -> Option<Cores>) = match controllers {
            "" => (root.into(), quota_v2),
            list if list.split(',').any(|controller| controller == "cpu") => (root.join(list), quota_v1),
            _ => continue,
        };
        let inside = path.trim_start_matches('/');
        let chain = Path::new(inside).ancestors().map(|part| base.join(part));
        for dir in chain {
            smallest = [smallest, read(&dir)].into_iter().flatten().min();
        }
    }
    smallest
}

/// `cpu.max`: `max 100000` or `50000 100000`, microseconds in each period.
fn quota_v2(dir: &Path) -> Option<Cores> {
    let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota.parse().ok()?, period.parse().ok()?)
}

/// `cpu.cfs_quota_us` is -1 where there is no limit, which is no unsigned number.
fn quota_v1(dir: &Path) -> Option<Cores> {
    let number = |name: &str| fs::read_to_string(dir.join(name)).ok()?.trim().parse::<u64>().ok();
    ratio(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
}

fn ratio(quota: u64, period: u64) -> Option<Cores> {
    quota.checked_mul(1000)?.checked_div(period).map(Cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    #[test]
    fn the_smallest_limit_on_the_way_to_the_root_counts() {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), "cpu.max", "max 100000\n");
        write(root.path(), "kubepods/cpu.max", "300000 100000\n");
        write(root.path(), "kubepods/pod1/cpu.max", "50000 100000\n");
        write(root.path(), "kubepods/pod1/app/cpu.max", "max 100000\n");
        assert_eq!(quota(root.path(), "0::/kubepods/pod1/app\n"), Some(Cores(500)));
        assert_eq!(quota(root.path(), "0::/kubepods\n"), Some(Cores(3000)));
        assert_eq!(quota(root.path(), "0::/\n"), None);
        // From inside a container: the host's path is not mounted, the root is the container's.
        assert_eq!(quota(&root.path().join("kubepods/pod1"), "0::/outside/of/it\n"), Some(Cores(500)));
    }

    #[test]
    fn version_one_is_understood_beside_others() {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), "cpu,cpuacct/docker/a/cpu.cfs_quota_us", "150000\n");
        write(root.path(), "cpu,cpuacct/docker/a/cpu.cfs_period_us", "100000\n");
        write(root.path(), "cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
        write(root.path(), "cpu,cpuacct/cpu.cfs_period_us", "100000\n");
        let membership = "12:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n1:name=systemd:/\n";
        assert_eq!(quota(root.path(), membership), Some(Cores(1500)));
    }

    #[test]
    fn half_a_processor_is_one_thread() {
        assert_eq!([500, 1000, 1500, 4000].map(|cores| threads(Cores(cores))), [1, 1, 1, 4]);
        assert_eq!([500, 2000].map(|cores| Cores(cores).to_string()), ["0.500", "2"]);
    }
}
