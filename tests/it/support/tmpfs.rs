//! A small disk.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

/// A file system in memory, of a size that is soon used up; unmounted when dropped.
pub(crate) struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one of `size` (as `mount -o size=` has it) at a directory that it makes; the error says why that cannot be done.
    pub(crate) fn mount(point: &Path, size: &str) -> Result<Self, String> {
        fs::create_dir_all(point).map_err(|error| error.to_string())?;
        mount("ringtail-test", point, "tmpfs", MountFlags::empty(), Some(options(size).as_c_str()))
            .map_err(|error| format!("mount: {error}"))?;
        Ok(Tmpfs(point.to_owned()))
    }

    pub(crate) fn resize(&self, size: &str) {
        mount_remount(&self.0, MountFlags::empty(), options(size)).expect("another size");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Fails only when it is gone already.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

fn options(size: &str) -> CString {
    CString::new(format!("size={size}")).expect("no zero in it")
}
