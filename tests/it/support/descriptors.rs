//! Which files of a scene a process has open, and what it watches.

use std::fs;
use std::path::Path;

/// The paths of open files below `directory`, as the kernel names them: those of deleted files end in ` (deleted)`.
pub(crate) fn open_below(directory: &Path, process: u32) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let paths = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    paths.filter(|path| path.starts_with(directory)).map(|path| path.display().to_string()).collect()
}

/// Those of them that are deleted.
pub(crate) fn deleted_below(directory: &Path, process: u32) -> Vec<String> {
    let open = open_below(directory, process);
    open.into_iter().filter(|path| path.ends_with(" (deleted)")).collect()
}

/// The inotify watches of a process.
pub(crate) fn watches(process: u32) -> usize {
    let about = fs::read_dir(format!("/proc/{process}/fdinfo")).into_iter().flatten().flatten();
    let texts = about.filter_map(|about| fs::read_to_string(about.path()).ok());
    texts.map(|text| text.lines().filter(|line| line.starts_with("inotify ")).count()).sum()
}
