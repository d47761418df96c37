//! Random operations on a real directory and on a world: results, names, contents, links, identity and open files agree.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::sim::{World, Writer};
use crate::{File, Fs, Kind, RealFs, Stat};

/// Names that collide often, some of which lead through directories and symbolic links.
const PATHS: [&str; 9] = ["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "a/b"];

#[derive(Clone, Copy, Debug)]
enum Op {
    MkdirAll,
    Create,
    WriteNew,
    Append,
    Truncate,
    Rename,
    Unlink,
    Symlink,
    Link,
    Copy,
    RemoveDirAll,
    OpenWriter,
    AppendHeld,
    WriteHeld,
    OpenReader,
}

const OPS: [Op; 15] = [
    Op::MkdirAll,
    Op::Create,
    Op::WriteNew,
    Op::Append,
    Op::Truncate,
    Op::Rename,
    Op::Unlink,
    Op::Symlink,
    Op::Link,
    Op::Copy,
    Op::RemoveDirAll,
    Op::OpenWriter,
    Op::AppendHeld,
    Op::WriteHeld,
    Op::OpenReader,
];

/// One operation's operands.
struct Step {
    op: Op,
    from: &'static str,
    to: &'static str,
    len: usize,
    bytes: Vec<u8>,
}

/// The real directory and what is open in it.
struct Real {
    root: tempfile::TempDir,
    writer: Option<fs::File>,
    readers: Vec<Arc<File>>,
}

/// The same in a world, at its root.
struct Simulated {
    world: World,
    writer: Option<Writer>,
    readers: Vec<Arc<File>>,
}

impl Real {
    fn apply(&mut self, step: &Step) -> io::Result<()> {
        let (from, to) = (self.root.path().join(step.from), self.root.path().join(step.to));
        let writing = || OpenOptions::new().write(true).create(true).clone();
        match step.op {
            Op::MkdirAll => fs::create_dir_all(from),
            Op::Create => writing().truncate(true).open(from)?.write_all(&step.bytes),
            Op::WriteNew => writing().create_new(true).open(from)?.write_all(&step.bytes),
            Op::Append => OpenOptions::new().append(true).create(true).open(from)?.write_all(&step.bytes),
            Op::Truncate => OpenOptions::new().write(true).open(from)?.set_len(step.len as u64),
            Op::Rename => fs::rename(from, to),
            Op::Unlink => fs::remove_file(from),
            Op::Symlink => symlink(step.from, to),
            Op::Link => fs::hard_link(from, to),
            Op::Copy => {
                let bytes = fs::read(from)?;
                writing().truncate(true).open(to)?.write_all(&bytes)
            }
            Op::RemoveDirAll => fs::remove_dir_all(from),
            Op::OpenWriter => {
                self.writer = None;
                self.writer = Some(OpenOptions::new().append(true).create(true).open(from)?);
                Ok(())
            }
            Op::AppendHeld => self.writer.as_ref().map_or(Ok(()), |mut file| file.write_all(&step.bytes)),
            Op::WriteHeld => {
                let Some(file) = &self.writer else { return Ok(()) };
                // Linux appends whatever the offset when O_APPEND is set; through /proc the inode is opened anew.
                use std::os::fd::AsRawFd;
                let again =
                    OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
                again.write_all_at(&step.bytes, step.len as u64)
            }
            Op::OpenReader => {
                self.readers.push(RealFs.open(&from)?);
                Ok(())
            }
        }
    }
}

impl Simulated {
    fn apply(&mut self, step: &Step) -> io::Result<()> {
        let world = self.world.clone();
        let (from, to) = (Path::new("/").join(step.from), Path::new("/").join(step.to));
        match step.op {
            Op::MkdirAll => world.mkdir_all(from),
            Op::Create => world.create(from, &step.bytes),
            Op::WriteNew => world.write_new(from, &step.bytes),
            Op::Append => world.append(from, &step.bytes),
            Op::Truncate => world.truncate(from, step.len),
            Op::Rename => world.rename(from, to),
            Op::Unlink => world.unlink(from),
            Op::Symlink => world.symlink(step.from, to),
            Op::Link => world.link(from, to),
            Op::Copy => world.copy(from, to),
            Op::RemoveDirAll => world.remove_dir_all(from),
            Op::OpenWriter => {
                self.writer = None;
                self.writer = Some(world.writer(from)?);
                Ok(())
            }
            Op::AppendHeld => self.writer.as_ref().map_or(Ok(()), |writer| writer.append(&step.bytes)),
            Op::WriteHeld => {
                self.writer.as_ref().map_or(Ok(()), |writer| writer.write_at(step.len, &step.bytes))
            }
            Op::OpenReader => {
                self.readers.push(world.fs().open(&from)?);
                Ok(())
            }
        }
    }
}

/// What can be seen of one path: its entry's kind, what it leads to, who that is, what it holds.
type Seen = (Kind, Result<(Kind, u64, u64, usize, PathBuf), Option<i32>>, Option<Vec<u8>>);

/// Everything below `root`, inode numbers replaced by the order in which they are met.
fn look(fs: &dyn Fs, root: &Path) -> BTreeMap<PathBuf, Seen> {
    let (mut seen, mut inodes, mut dirs) = (BTreeMap::new(), Vec::new(), vec![root.to_owned()]);
    while let Some(dir) = dirs.pop() {
        let mut entries = fs.read_dir(&dir).expect("list");
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            let path = dir.join(&entry.name);
            if entry.kind == Kind::Directory {
                dirs.push(path.clone());
            }
            let found = fs.stat(&path).map_err(|error| error.raw_os_error()).map(|stat| {
                let nth = inodes.iter().position(|ino| *ino == stat.ino).unwrap_or(inodes.len());
                if nth == inodes.len() {
                    inodes.push(stat.ino);
                }
                let (size, links) = if stat.kind == Kind::File { (stat.size, stat.links) } else { (0, 0) };
                let canonical = fs.canonical(&path).expect("it is there");
                (
                    stat.kind,
                    size,
                    links,
                    nth,
                    canonical.strip_prefix(root).expect("below the root").to_owned(),
                )
            });
            let contents = fs.open(&path).ok().map(|file| contents(&file));
            let path = path.strip_prefix(root).expect("below the root").to_owned();
            seen.insert(path, (entry.kind, found, contents));
        }
    }
    seen
}

fn contents(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    let len = file.read_at(&mut bytes, 0).expect("read");
    bytes.truncate(len);
    bytes
}

fn held(readers: &[Arc<File>]) -> Vec<(u64, u64, Vec<u8>)> {
    let view = |file: &Arc<File>| {
        let Stat { size, links, .. } = file.stat().expect("stat");
        (size, links, contents(file))
    };
    readers.iter().map(view).collect()
}

fn step(rng: &mut fastrand::Rng) -> Step {
    let mut path = || PATHS[rng.usize(..PATHS.len())];
    let (from, to) = (path(), path());
    let len = rng.usize(..20);
    Step { op: OPS[rng.usize(..OPS.len())], from, to, len, bytes: vec![rng.u8(..); len] }
}

#[test]
fn a_world_behaves_as_a_real_directory_does() {
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut real =
            Real { root: tempfile::tempdir().expect("directory"), writer: None, readers: Vec::new() };
        let mut sim = Simulated { world: World::new(seed), writer: None, readers: Vec::new() };
        let root = real.root.path().canonicalize().expect("root");
        for nth in 0..60 {
            let step = step(&mut rng);
            let outcomes = [real.apply(&step), sim.apply(&step)];
            let story = || {
                let Step { op, from, to, .. } = &step;
                format!(
                    "seed {seed}, step {nth}: {op:?} {from} {to}: {outcomes:?}\n{:#?}",
                    sim.world.history()
                )
            };
            let [expected, got] = outcomes.each_ref().map(|outcome| match (outcome, step.op) {
                (Ok(()), _) => Ok(()),
                // These are several calls each: which of them fails first is not part of the model.
                (Err(_), Op::MkdirAll | Op::Copy | Op::RemoveDirAll) => Err(None),
                // XFS says EEXIST where others say ENOTEMPTY; POSIX allows both.
                (Err(error), Op::Rename) if error.raw_os_error() == Some(libc::EEXIST) => {
                    Err(Some(libc::ENOTEMPTY))
                }
                (Err(error), _) => Err(error.raw_os_error()),
            });
            assert_eq!(got, expected, "{}", story());
            assert_eq!(look(&sim.world.fs(), Path::new("/")), look(&RealFs, &root), "{}", story());
            assert_eq!(held(&sim.readers), held(&real.readers), "{}", story());
        }
    }
}
