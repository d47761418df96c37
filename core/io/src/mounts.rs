//! Which paths lie on mounts that may never answer: NFS, CIFS, FUSE and their like, told without touching them.
//!
//! The kernel's table of mounts says where they are; a path is followed to it from the root, link by link, and never
//! beyond the first of them. Where there are none, nothing of this is done.
//!
//! Limits: the table is looked at every [`LOOK_EVERY`], and what was found for a directory is believed for
//! [`BELIEVED`]: a mount, or a link to one, that is made and hangs within that time is not known for one yet.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::lane::Lane;

const LOOK_EVERY: Duration = Duration::from_millis(200);
const BELIEVED: Duration = Duration::from_secs(10);
/// Directories whose place is remembered; beyond that they are followed anew.
const MAX_REMEMBERED: usize = 100_000;
/// Links on one path, as in the kernel.
const MAX_LINKS: u32 = 40;

/// File systems that ask somebody else, by name; what follows a dot says which.
const REMOTE: [&str; 18] = [
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse", "fuseblk", "virtiofs", "9p", "ceph", "afs", "autofs",
    "coda", "lustre", "gpfs", "beegfs", "orangefs", "davfs",
];

/// A mount that may never answer.
#[derive(Debug)]
pub(crate) struct Mount {
    /// The device number of its files.
    pub(crate) device: u64,
    /// What may block is done here.
    pub(crate) lane: Lane,
}

impl Mount {
    fn new(device: u64) -> Self {
        Mount { device, lane: Lane::new() }
    }
}

/// The mount that a path leads to, when it is one that may never answer. Relative paths are taken for local ones.
pub(crate) fn remote_at(path: &Path) -> Option<Arc<Mount>> {
    MOUNTS.lock().unwrap_or_else(PoisonError::into_inner).remote_at(path)
}

/// The mount of this device, known for a remote one from an open file.
pub(crate) fn remote_of(device: u64) -> Arc<Mount> {
    MOUNTS.lock().unwrap_or_else(PoisonError::into_inner).mount(device)
}

/// Mounts are a fact of the process, and so is that one of them hangs.
static MOUNTS: LazyLock<Mutex<Mounts>> = LazyLock::new(|| Mutex::new(Mounts::new()));

struct Mounts {
    table: Option<File>,
    looked_at: Option<Instant>,
    /// Where remote mounts are.
    by_point: HashMap<PathBuf, Arc<Mount>>,
    /// Those that the table did not tell, by device.
    strays: HashMap<u64, Arc<Mount>>,
    /// Directories that were followed, and when that is not believed any more.
    known: HashMap<PathBuf, (Place, Instant)>,
}

/// Where a path leads.
#[derive(Clone, Debug)]
enum Place {
    Remote(Arc<Mount>),
    /// The path without links, as far as it exists.
    Local(PathBuf),
}

impl Mounts {
    fn new() -> Self {
        let table = File::open("/proc/self/mountinfo").ok();
        let (by_point, strays, known) = Default::default();
        Mounts { table, looked_at: None, by_point, strays, known }
    }

    fn remote_at(&mut self, path: &Path) -> Option<Arc<Mount>> {
        self.look();
        if self.by_point.is_empty() {
            return None;
        }
        let place = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => match self.directory(parent) {
                Place::Local(real) => self.follow(real, Path::new(name)),
                remote => remote,
            },
            _ => self.follow("/".into(), path),
        };
        match place {
            Place::Remote(mount) => Some(mount),
            Place::Local(_) => None,
        }
    }

    /// Where a directory is, which many files share.
    fn directory(&mut self, path: &Path) -> Place {
        let now = Instant::now();
        match self.known.get(path) {
            Some((place, until)) if *until > now => return place.clone(),
            _ => {}
        }
        let place = self.follow("/".into(), path);
        if self.known.len() >= MAX_REMEMBERED {
            self.known.clear();
        }
        self.known.insert(path.to_owned(), (place.clone(), now + BELIEVED));
        place
    }

    /// Reads the table when it has changed.
    fn look(&mut self) {
        let now = Instant::now();
        let Some(table) = &mut self.table else { return };
        if self.looked_at.is_some_and(|at| now < at + LOOK_EVERY) {
            return;
        }
        // A change of the table is told as an exceptional condition, once.
        let mut changed = [PollFd::new(&*table, PollFlags::PRI)];
        let told = poll(&mut changed, Some(&Timespec::default())).is_ok_and(|count| count > 0);
        if self.looked_at.replace(now).is_some() && !told {
            return;
        }
        let mut bytes = Vec::new();
        if table.rewind().and_then(|()| table.read_to_end(&mut bytes)).is_err() {
            return;
        }
        let mut before = std::mem::take(&mut self.by_point);
        self.known.clear();
        self.strays.clear();
        for (point, device) in remote_mounts(&bytes) {
            let known = before.values().find(|mount| mount.device == device).cloned();
            let mount = known.unwrap_or_else(|| Arc::new(Mount::new(device)));
            before.insert(point.clone(), mount.clone());
            self.by_point.insert(point, mount);
        }
    }

    fn mount(&mut self, device: u64) -> Arc<Mount> {
        let known = self.by_point.values().find(|mount| mount.device == device).cloned();
        known.unwrap_or_else(|| {
            self.strays.entry(device).or_insert_with(|| Arc::new(Mount::new(device))).clone()
        })
    }

    /// Goes along `path` as the kernel does, from a directory without links, up to the first remote mount.
    fn follow(&self, mut real: PathBuf, path: &Path) -> Place {
        let mut todo: Vec<OsString> = Vec::new();
        let mut links = 0;
        push(&mut todo, path);
        loop {
            if let Some(mount) = self.by_point.get(&real) {
                return Place::Remote(mount.clone());
            }
            let Some(name) = todo.pop() else { return Place::Local(real) };
            if name == ".." {
                real.pop();
                continue;
            }
            real.push(&name);
            if self.by_point.contains_key(&real) {
                continue;
            }
            match std::fs::read_link(&real) {
                Ok(_) if links == MAX_LINKS => return Place::Local(real),
                Ok(target) => {
                    links += 1;
                    match target.is_absolute() {
                        true => real = PathBuf::from("/"),
                        false => drop(real.pop()),
                    }
                    push(&mut todo, &target);
                }
                // Not a link.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {}
                // The kernel comes no further either.
                Err(_) => return Place::Local(real),
            }
        }
    }
}

/// Puts the components of `path` in front of what is to be gone along; the next one lies at the end.
fn push(todo: &mut Vec<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => todo.push(name.to_owned()),
            Component::ParentDir => todo.push("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

/// The remote mounts of a `mountinfo`: where, and the device of their files. Of several at one place the last counts.
fn remote_mounts(table: &[u8]) -> HashMap<PathBuf, u64> {
    let mut mounts = HashMap::new();
    for line in table.split(|&byte| byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let Some(dash) = fields.iter().skip(6).position(|field| *field == b"-") else { continue };
        let (Some(device), Some(point), Some(kind)) = (fields.get(2), fields.get(4), fields.get(dash + 7))
        else {
            continue;
        };
        let point = PathBuf::from(OsString::from_vec(unescape(point)));
        match (is_remote(kind), device_number(device)) {
            (true, Some(device)) => drop(mounts.insert(point, device)),
            _ => drop(mounts.remove(&point)),
        }
    }
    mounts
}

fn is_remote(kind: &[u8]) -> bool {
    let kind = kind.split(|&byte| byte == b'.').next().unwrap_or(kind);
    REMOTE.iter().any(|remote| remote.as_bytes() == kind)
}

/// `major:minor`, as `stat` has it in one number.
fn device_number(text: &[u8]) -> Option<u64> {
    let (major, minor) = std::str::from_utf8(text).ok()?.split_once(':')?;
    Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
}

/// Blank, tab, newline and backslash stand there as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.filter(|_| byte == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) => {
                plain.push(code);
                rest = &after[3..];
            }
            None => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const TABLE: &str = "\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:50 / /mnt/nfs\\040share rw shared:2 master:1 - nfs4 server:/x rw
31 22 0:51 / /mnt/s3 rw - fuse.s3fs s3fs rw
32 22 0:52 / /mnt/tmp rw - tmpfs tmpfs rw
33 22 0:53 / /mnt/over rw - cifs //server/x rw
34 22 0:54 / /mnt/over rw - tmpfs tmpfs rw
not a mount
35 22 - / /short - nfs
";

    #[test]
    fn the_table_names_the_mounts_that_may_hang() {
        let mut found: Vec<_> = remote_mounts(TABLE.as_bytes()).into_iter().collect();
        found.sort();
        let expected = [("/mnt/nfs share", 50), ("/mnt/s3", 51)];
        assert_eq!(found, expected.map(|(point, minor)| (point.into(), rustix::fs::makedev(0, minor))));
    }

    /// Links are followed as far as the mount, never into it: what lies there need not exist.
    #[test]
    fn a_path_is_followed_to_the_mount_through_links() {
        let dir = tempfile::tempdir().expect("directory");
        let root = dir.path().canonicalize().expect("canonical");
        std::fs::create_dir_all(root.join("local/deep")).expect("directories");
        symlink(root.join("mount/x"), root.join("local/absolute")).expect("link");
        symlink("../mount", root.join("local/relative")).expect("link");
        symlink("loop", root.join("local/loop")).expect("link");
        let mount = Arc::new(Mount::new(1));
        let mut mounts = Mounts { table: None, ..Mounts::new() };
        mounts.by_point.insert(root.join("mount"), mount);
        for (path, remote) in [
            ("mount", true),
            ("mount/any/thing", true),
            ("mountain", false),
            ("local/deep", false),
            ("local/none/x", false),
            ("local/absolute", true),
            ("local/relative/a", true),
            ("local/deep/../../mount/a", true),
            ("local/loop/a", false),
        ] {
            assert_eq!(mounts.remote_at(&root.join(path)).is_some(), remote, "{path}");
        }
    }
}
