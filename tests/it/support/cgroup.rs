//! A control group with little memory and half a processor, of either version.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Its directories, one a controller in version 1; removed when dropped, by when its processes have ended.
pub(crate) struct Cgroup {
    memory: PathBuf,
    cpu: PathBuf,
}

impl Cgroup {
    /// With `memory` bytes and this many thousandths of a processor; the error says why that cannot be done.
    pub(crate) fn new(memory: u64, cpu: u32) -> Result<Self, String> {
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("ringtail-test-{}-{}", std::process::id(), fastrand::u32(..));
        let is_second = root.join("cgroup.controllers").exists();
        let place =
            |controller: &str| if is_second { root.join(&name) } else { root.join(controller).join(&name) };
        let group = Cgroup { memory: place("memory"), cpu: place("cpu") };
        group.set(is_second, memory, cpu).map_err(|error| format!("a control group: {error}"))?;
        Ok(group)
    }

    fn set(&self, is_second: bool, memory: u64, cpu: u32) -> io::Result<()> {
        fs::create_dir_all(&self.memory)?;
        fs::create_dir_all(&self.cpu)?;
        if is_second {
            fs::write(self.memory.join("memory.max"), memory.to_string())?;
            return fs::write(self.cpu.join("cpu.max"), format!("{} 100000", cpu * 100));
        }
        fs::write(self.memory.join("memory.limit_in_bytes"), memory.to_string())?;
        fs::write(self.cpu.join("cpu.cfs_period_us"), "100000")?;
        fs::write(self.cpu.join("cpu.cfs_quota_us"), (cpu * 100).to_string())
    }

    /// A command that starts another in this group.
    pub(crate) fn wrap(&self) -> [String; 4] {
        let enter = |place: &Path| format!("echo $$ > {}/cgroup.procs", place.display());
        let script = format!("{} && {} && exec \"$@\"", enter(&self.memory), enter(&self.cpu));
        ["sh".into(), "-c".into(), script, "in-group".into()]
    }

    /// The most memory that it ever used, in bytes, what the kernel holds on its behalf included; 0 where that is not kept
    /// (version 2 before Linux 5.19).
    pub(crate) fn peak(&self) -> u64 {
        let peaks = ["memory.peak", "memory.max_usage_in_bytes"];
        let text = peaks.iter().find_map(|name| fs::read_to_string(self.memory.join(name)).ok());
        text.map_or(0, |text| text.trim().parse().expect("a number"))
    }

    /// Processes that the kernel killed for their memory.
    pub(crate) fn killed(&self) -> u64 {
        let events = ["memory.events", "memory.oom_control"];
        let text = events.iter().find_map(|name| fs::read_to_string(self.memory.join(name)).ok());
        let text = text.unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.parse().ok()).expect("the kernel counts them")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A group that has processes left cannot be removed; its agent was waited for.
        let _ = fs::remove_dir(&self.memory);
        let _ = fs::remove_dir(&self.cpu);
    }
}
