//! A FUSE file system that fails as it is told: it shows the files of a directory, answers late, with an error, or never.
//!
//! Spoken in the kernel's protocol (7.31, `linux/fuse.h`) over `/dev/fuse`, so that no library has to be installed. Only
//! what reading takes. Nothing is cached: every look and every read is asked for.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// The largest request: the kernel wants room for this much at least.
const REQUEST_BYTES: usize = 1 << 20;
const ROOT: u64 = 1;

/// What the kernel asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Lookup = 1,
    GetAttr = 3,
    Open = 14,
    Read = 15,
    StatFs = 17,
    Release = 18,
    Init = 26,
    OpenDir = 27,
    ReadDir = 28,
    ReleaseDir = 29,
}

const CALLS: [Call; 10] = [
    Call::Lookup,
    Call::GetAttr,
    Call::Open,
    Call::Read,
    Call::StatFs,
    Call::Release,
    Call::Init,
    Call::OpenDir,
    Call::ReadDir,
    Call::ReleaseDir,
];
/// These have no answer.
const FORGET: [u32; 3] = [2, 36, 42];

/// How it answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mood {
    /// These are never answered, until the mood changes.
    pub(crate) hang: Vec<Call>,
    /// These fail with an error.
    pub(crate) fail: Vec<Call>,
    /// So long takes a read, one after the other, as on a disk.
    pub(crate) delay: Duration,
    /// So late comes every answer, whatever else is asked meanwhile, as over a network.
    pub(crate) latency: Duration,
}

/// A mounted file system; unmounted, and what hangs let go, when dropped.
pub(crate) struct Fuse {
    point: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    device: File,
    backing: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mood: Mood,
    /// Requests without an answer, as they came.
    hanging: Vec<Vec<u8>>,
    /// By inode, where each was seen last.
    nodes: HashMap<u64, PathBuf>,
    /// What is open, by handle.
    files: HashMap<u64, Arc<File>>,
    /// What was asked.
    calls: Vec<Call>,
}

impl Fuse {
    /// Shows `backing` at `point`, both directories; the error says why that cannot be done on this machine.
    pub(crate) fn mount(backing: &Path, point: &Path) -> Result<Self, String> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|error| format!("/dev/fuse: {error}"))?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        let options = std::ffi::CString::new(options).expect("no zero in it");
        mount(
            "ringtail-test",
            point,
            "fuse.ringtail",
            MountFlags::NODEV | MountFlags::NOSUID,
            Some(options.as_c_str()),
        )
        .map_err(|error| format!("mount: {error}"))?;
        let mut state = State::default();
        state.nodes.insert(ROOT, backing.to_owned());
        let shared = Arc::new(Shared { device, backing: backing.to_owned(), state: Mutex::new(state) });
        let serving = shared.clone();
        let thread = thread::spawn(move || serving.serve());
        Ok(Fuse { point: point.to_owned(), shared, thread: Some(thread) })
    }

    /// From now on it answers like this; what hung and does not any more is answered now.
    pub(crate) fn mood(&self, mood: Mood) {
        let hung = {
            let mut state = self.shared.lock();
            state.mood = mood;
            std::mem::take(&mut state.hanging)
        };
        hung.iter().for_each(|request| self.shared.handle(request));
    }

    /// Never answers these from now on.
    pub(crate) fn hang(&self, calls: &[Call]) {
        self.mood(Mood { hang: calls.to_vec(), ..Mood::default() });
    }

    /// Never answers anything from now on.
    pub(crate) fn hang_all(&self) {
        self.hang(&CALLS);
    }

    /// Answers everything from now on.
    pub(crate) fn heal(&self) {
        self.mood(Mood::default());
    }

    /// Heals it when dropped: before an agent is that was made earlier, which cannot end while its calls hang.
    pub(crate) fn healed_at_the_end(&self) -> Healed<'_> {
        Healed(self)
    }

    /// What was asked since this was called last.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.shared.lock().calls)
    }

    /// Requests that wait for an answer in vain.
    pub(crate) fn hanging(&self) -> usize {
        self.shared.lock().hanging.len()
    }
}

/// See [`Fuse::healed_at_the_end`].
pub(crate) struct Healed<'a>(&'a Fuse);

impl Drop for Healed<'_> {
    fn drop(&mut self) {
        self.0.heal();
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.heal();
        // Fails only when it is gone already; the kernel then ends the server's reading.
        let _ = unmount(&self.point, UnmountFlags::DETACH);
        if let Some(thread) = self.thread.take()
            && !thread::panicking()
        {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(self: Arc<Self>) {
        let mut buffer = vec![0; REQUEST_BYTES];
        loop {
            match (&self.device).read(&mut buffer) {
                Ok(len) => self.handle(&buffer[..len]),
                // Interrupted before it came to us.
                Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
                // Unmounted.
                Err(_) => return,
            }
        }
    }

    fn handle(self: &Arc<Self>, request: &[u8]) {
        let code = u32_at(request, 4);
        if FORGET.contains(&code) {
            return;
        }
        let call = CALLS.into_iter().find(|call| *call as u32 == code);
        let mood = {
            let mut state = self.lock();
            state.calls.extend(call);
            if call.is_some_and(|call| state.mood.hang.contains(&call)) {
                state.hanging.push(request.to_vec());
                return;
            }
            state.mood.clone()
        };
        let failing = call.is_some_and(|call| mood.fail.contains(&call));
        let answer = match call {
            _ if failing => Err(Errno::IO),
            None => Err(Errno::NOSYS),
            Some(call) => self.answer(call, request),
        };
        if call == Some(Call::Read) {
            thread::sleep(mood.delay);
        }
        let unique = u64_at(request, 8);
        if mood.latency.is_zero() {
            return self.send(unique, answer);
        }
        let shared = self.clone();
        thread::spawn(move || {
            thread::sleep(mood.latency);
            shared.send(unique, answer);
        });
    }

    fn answer(&self, call: Call, request: &[u8]) -> Result<Vec<u8>, Errno> {
        let (node, body) = (u64_at(request, 16), &request[40..]);
        match call {
            Call::Init => Ok(init()),
            Call::Lookup => {
                let name = body.split(|&byte| byte == 0).next().unwrap_or_default();
                let name = std::str::from_utf8(name).map_err(|_| Errno::NOENT)?;
                let path = self.place(node)?.join(name);
                let about = about(&path)?;
                self.lock().nodes.insert(about.ino(), path);
                let mut answer = Vec::new();
                put(&mut answer, &[about.ino(), 0, 0, 0, 0]);
                attributes(&mut answer, &about);
                Ok(answer)
            }
            Call::GetAttr => {
                let mut answer = vec![0; 16];
                attributes(&mut answer, &self.about(node)?);
                Ok(answer)
            }
            // Reads go past the page cache.
            Call::Open => {
                let file = Arc::new(File::open(self.place(node)?).map_err(errno)?);
                let handle = u64::from(file.as_raw_fd().unsigned_abs());
                self.lock().files.insert(handle, file);
                Ok(opened(handle, 1))
            }
            Call::Read => {
                let file = self.lock().files.get(&u64_at(body, 0)).cloned();
                let file = file.ok_or(Errno::BADF)?;
                read(&file, body)
            }
            Call::Release => {
                self.lock().files.remove(&u64_at(body, 0));
                Ok(Vec::new())
            }
            Call::OpenDir => self.place(node).map(|_| opened(0, 0)),
            Call::ReadDir => self.entries(&self.place(node)?, body),
            Call::ReleaseDir => Ok(Vec::new()),
            Call::StatFs => Ok(vec![0; 80]),
        }
    }

    /// Where an inode is now: renames happen beside this file system.
    fn place(&self, node: u64) -> Result<PathBuf, Errno> {
        let known = self.lock().nodes.get(&node).cloned().ok_or(Errno::STALE)?;
        if node == ROOT || about(&known).is_ok_and(|about| about.ino() == node) {
            return Ok(known);
        }
        let mut entries = fs::read_dir(&self.backing).map_err(errno)?.filter_map(Result::ok);
        let moved = entries.find(|entry| entry.metadata().is_ok_and(|about| about.ino() == node));
        moved.map(|entry| entry.path()).ok_or(Errno::STALE)
    }

    fn about(&self, node: u64) -> Result<fs::Metadata, Errno> {
        let place = self.place(node);
        let is_it = |file: &&Arc<File>| file.metadata().is_ok_and(|about| about.ino() == node);
        match place {
            Ok(place) => about(&place),
            Err(error) => {
                let file = self.lock().files.values().find(is_it).cloned();
                file.ok_or(error)?.metadata().map_err(errno)
            }
        }
    }

    fn entries(&self, directory: &Path, body: &[u8]) -> Result<Vec<u8>, Errno> {
        let (from, size) = (u64_at(body, 8), u32_at(body, 16));
        let mut names: Vec<_> = fs::read_dir(directory).map_err(errno)?.filter_map(Result::ok).collect();
        names.sort_by_key(fs::DirEntry::file_name);
        let mut answer = Vec::new();
        for (at, entry) in (1_u64..).zip(&names).skip_while(|(at, _)| *at <= from) {
            let Ok(about) = entry.metadata() else { continue };
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            let padded = (24 + name.len()).next_multiple_of(8);
            if answer.len() + padded > usize::try_from(size).unwrap_or(0) {
                break;
            }
            put(&mut answer, &[about.ino(), at]);
            answer.extend_from_slice(&u32::try_from(name.len()).unwrap_or(0).to_ne_bytes());
            answer.extend_from_slice(&(about.mode() >> 12).to_ne_bytes());
            answer.extend_from_slice(name);
            answer.resize(answer.len().next_multiple_of(8), 0);
        }
        Ok(answer)
    }

    fn send(&self, unique: u64, answer: Result<Vec<u8>, Errno>) {
        let (code, body) = match answer {
            Ok(body) => (0, body),
            Err(error) => (-error.raw_os_error(), Vec::new()),
        };
        let mut bytes = Vec::with_capacity(16 + body.len());
        bytes.extend_from_slice(&u32::try_from(16 + body.len()).expect("small").to_ne_bytes());
        bytes.extend_from_slice(&code.to_ne_bytes());
        bytes.extend_from_slice(&unique.to_ne_bytes());
        bytes.extend_from_slice(&body);
        // Whoever asked may be gone, and so may the mount.
        let _ = (&self.device).write(&bytes);
    }
}

fn about(path: &Path) -> Result<fs::Metadata, Errno> {
    fs::symlink_metadata(path).map_err(errno)
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

fn read(file: &File, body: &[u8]) -> Result<Vec<u8>, Errno> {
    let (offset, size) = (u64_at(body, 8), u32_at(body, 16));
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let len = file.read_at(&mut bytes, offset).map_err(errno)?;
    bytes.truncate(len);
    Ok(bytes)
}

fn init() -> Vec<u8> {
    let mut answer = Vec::new();
    for number in [7_u32, 31, 0, 0, 0, 64 << 10, 1] {
        answer.extend_from_slice(&number.to_ne_bytes());
    }
    answer.resize(64, 0);
    answer
}

fn opened(handle: u64, flags: u32) -> Vec<u8> {
    let mut answer = handle.to_ne_bytes().to_vec();
    answer.resize(16, 0);
    answer[8..12].copy_from_slice(&flags.to_ne_bytes());
    answer
}

fn attributes(answer: &mut Vec<u8>, about: &fs::Metadata) {
    let time = |seconds: i64| u64::try_from(seconds).unwrap_or(0);
    let nanos = |nanos: i64| u32::try_from(nanos).unwrap_or(0);
    put(answer, &[about.ino(), about.size(), about.blocks()]);
    put(answer, &[time(about.atime()), time(about.mtime()), time(about.ctime())]);
    let links = u32::try_from(about.nlink()).unwrap_or(1);
    let nanos = [nanos(about.atime_nsec()), nanos(about.mtime_nsec()), nanos(about.ctime_nsec())];
    for number in nanos.into_iter().chain([about.mode(), links, about.uid(), about.gid(), 0, 4096, 0]) {
        answer.extend_from_slice(&number.to_ne_bytes());
    }
}

fn put(answer: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|number| answer.extend_from_slice(&number.to_ne_bytes()));
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
