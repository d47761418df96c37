#![allow(unreachable_pub, reason = "a module of tests")]
#![allow(dead_code, reason = "each test file uses its own part")]
//! What the engine's tests share: a directory of logs, an output that keeps everything in memory.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ringtail_engine::{BatchLimits, Engine, EngineConfig, HoldDeleted, Mode, Pipeline, PipelineOutput};
use ringtail_io::Choice;
use ringtail_memory::Credit;
use ringtail_parse::{Input, Limits};
use ringtail_read::Start;
use ringtail_record::{Flags, Outcome, Outlet, Sealed, Stream};
use tempfile::TempDir;

/// A directory of logs and a data_dir, for one backend.
pub struct Setup {
    choice: Choice,
    directory: TempDir,
}

impl Setup {
    pub fn new(choice: Choice) -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("data")).unwrap();
        fs::create_dir(directory.path().join("logs")).unwrap();
        Setup { choice, directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name)
    }

    /// The same with directories of its own.
    pub fn apart(&self, name: &str) -> Self {
        let directory = tempfile::Builder::new().prefix(name).tempdir_in(self.directory.path()).unwrap();
        fs::create_dir(directory.path().join("data")).unwrap();
        fs::create_dir(directory.path().join("logs")).unwrap();
        Setup { choice: self.choice, directory }
    }

    pub fn start(&self, mode: Mode, paths: &[&str], outputs: &[(&str, &Arc<Memory>)]) -> Engine {
        Engine::start(self.config(mode), vec![self.pipeline("test", paths, outputs)]).unwrap()
    }

    pub fn config(&self, mode: Mode) -> EngineConfig {
        EngineConfig {
            data_dir: Some(self.directory.path().join("data")),
            memory: 32 << 20,
            shards: 2,
            io: self.choice,
            open_files: 1000,
            hold_deleted: HoldDeleted::default(),
            mode,
        }
    }

    pub fn pipeline(&self, name: &str, paths: &[&str], outputs: &[(&str, &Arc<Memory>)]) -> Pipeline {
        let output = |(name, memory): &(&str, &Arc<Memory>)| PipelineOutput {
            name: (*name).to_owned(),
            outlet: (*memory).clone(),
            batch: BatchLimits { max_delay: Duration::from_millis(50), ..BatchLimits::default() },
        };
        Pipeline {
            name: name.to_owned(),
            paths: paths.iter().map(|path| self.path(path).to_str().unwrap().to_owned()).collect(),
            exclude: Vec::new(),
            ignore_older: None,
            input: Input::Auto,
            limits: Limits { max_line: 1 << 20, max_record: 4 << 20 },
            flush_after: Duration::from_secs(5),
            start: Start::Beginning,
            outputs: outputs.iter().map(output).collect(),
        }
    }
}

/// An output that keeps every message, and answers at once or when it is released.
pub struct Memory {
    credit: Credit,
    queue: Credit,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    messages: Vec<(Stream, String)>,
    flags: Vec<Flags>,
    input_bytes: Vec<u64>,
    holding: bool,
    refusing: bool,
    held: Vec<Sealed>,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        let state = Mutex::default();
        Arc::new(Memory { credit: Credit::new(4 << 20), queue: Credit::new(4 << 20), state })
    }

    pub fn holding() -> Arc<Self> {
        let memory = Memory::new();
        memory.state.lock().unwrap().holding = true;
        memory
    }

    /// Answers what is held, in its order; what comes meanwhile waits behind it.
    pub fn release(&self) {
        loop {
            let held = {
                let mut state = self.state.lock().unwrap();
                state.holding = !state.held.is_empty();
                std::mem::take(&mut state.held)
            };
            if held.is_empty() {
                return;
            }
            held.into_iter().for_each(|sealed| self.take(sealed));
        }
    }

    pub fn len(&self) -> usize {
        self.state.lock().unwrap().messages.len()
    }

    /// Different messages.
    pub fn distinct(&self) -> usize {
        self.messages().into_iter().collect::<std::collections::HashSet<_>>().len()
    }

    /// Batches held.
    pub fn holds(&self) -> usize {
        self.state.lock().unwrap().held.len()
    }

    pub fn messages(&self) -> Vec<String> {
        self.state.lock().unwrap().messages.iter().map(|(_, text)| text.clone()).collect()
    }

    /// What each batch stands for, in bytes of input.
    pub fn input_bytes(&self) -> Vec<u64> {
        self.state.lock().unwrap().input_bytes.clone()
    }

    /// The messages of one stream with their flags.
    pub fn flagged(&self, stream: Stream) -> Vec<(String, Flags)> {
        let state = self.state.lock().unwrap();
        let all = state.messages.iter().zip(&state.flags);
        all.filter(|((known, _), _)| *known == stream)
            .map(|((_, text), flags)| (text.clone(), *flags))
            .collect()
    }

    pub fn text(&self) -> String {
        self.messages().concat()
    }

    pub fn text_of(&self, stream: &str) -> String {
        let state = self.state.lock().unwrap();
        state
            .messages
            .iter()
            .filter(|(known, _)| known.name() == stream)
            .map(|(_, text)| text.as_str())
            .collect()
    }

    /// Gives back what is held, and all that comes from now on: an output that is being replaced.
    pub fn refuse(&self) {
        let held = {
            let mut state = self.state.lock().unwrap();
            (state.holding, state.refusing) = (false, true);
            std::mem::take(&mut state.held)
        };
        drop(held);
    }

    /// Delivers the first `batches` of what is held; their messages.
    pub fn deliver(&self, batches: usize) -> Vec<String> {
        let held: Vec<Sealed> = self.state.lock().unwrap().held.drain(..batches).collect();
        let before = self.len();
        held.into_iter().for_each(|sealed| self.take(sealed));
        self.messages().split_off(before)
    }

    /// Gives back the first `batches` of what is held.
    pub fn give_back(&self, batches: usize) {
        let held: Vec<Sealed> = self.state.lock().unwrap().held.drain(..batches).collect();
        drop(held);
    }

    fn take(&self, sealed: Sealed) {
        let mut state = self.state.lock().unwrap();
        state.input_bytes.push(sealed.batch.input_bytes());
        for record in sealed.batch.iter() {
            state.messages.push((record.stream, String::from_utf8_lossy(record.body).into_owned()));
            state.flags.push(record.flags);
        }
        drop(state);
        let Sealed { receipt, credit, queued, batch, .. } = sealed;
        drop((credit, queued, batch));
        receipt.settle(Outcome::Delivered);
    }
}

impl Outlet for Memory {
    fn lanes(&self) -> u32 {
        1
    }

    fn credit(&self) -> &Credit {
        &self.credit
    }

    fn queue_credit(&self, _lane: u32) -> &Credit {
        &self.queue
    }

    fn hand_over(&self, sealed: Sealed) {
        let mut state = self.state.lock().unwrap();
        if state.holding {
            state.held.push(sealed);
        } else if state.refusing {
            drop(state);
            // Without an answer: the receipt says `Returned` by itself.
            drop(sealed);
        } else {
            drop(state);
            self.take(sealed);
        }
    }
}

/// Runs a scenario on each backend that this machine has; with `CI=true` it must have both.
pub fn on_both(scenario: impl Fn(Setup)) {
    for choice in [Choice::Pread, Choice::Uring] {
        match ringtail_io::open(choice) {
            Ok(_) => scenario(Setup::new(choice)),
            Err(error) if std::env::var_os("CI").is_none() => eprintln!("not run on {choice:?}: {error}"),
            Err(error) => panic!("{choice:?}: {error}"),
        }
    }
}

pub fn cri(tags: &str, message: &str) -> String {
    format!("2026-01-02T03:04:05.123456789Z {tags} {message}\n")
}

pub fn append(path: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Like `assert_eq!`, but says where the first difference is instead of printing everything.
pub fn assert_same(got: &[String], expected: &[String]) {
    let differs = got.iter().zip(expected).position(|(got, expected)| got != expected);
    assert!(
        differs.is_none() && got.len() == expected.len(),
        "{} for {} messages; first difference at {differs:?}: {:?}",
        got.len(),
        expected.len(),
        differs.map(|at| (&got[at], &expected[at]))
    );
}

pub fn eventually(condition: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
