//! Logs that look like each other: who is who is not told by their first bytes, their size or their inode number.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use ringtail_agent::demo::kubelet::with_suffix;

use crate::support::program::Io;
use crate::support::records::{records, text};
use crate::support::scene::{PATIENCE, Running, Scene, append};
use crate::support::until;

crate::support::on_both_backends! {
    tiny_and_identical_logs_are_told_apart;
    a_log_in_the_place_and_with_the_inode_of_another_is_new;
}

/// Logs, and how many records of each message they have had.
struct Twins {
    scene: Scene,
    written: BTreeMap<(PathBuf, String), usize>,
}

impl Twins {
    fn new(io: Io) -> Self {
        Twins { scene: Scene::new(io), written: BTreeMap::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scene.logs().join(name)
    }

    fn start(&self) -> Running {
        let config = self.scene.config().path(&self.path("*.log")).files("input: raw");
        self.scene.start(&config.file("main", &self.scene.path("out.ndjson")))
    }

    fn write(&mut self, name: &str, lines: &[&str]) {
        for line in lines {
            append(&self.path(name), format!("{line}\n").as_bytes());
            *self.written.entry((self.path(name), (*line).to_owned())).or_default() += 1;
        }
    }

    /// Waits until everything is there, which is each record as often as its line was written.
    #[track_caller]
    fn require(&self) {
        let count = self.written.values().sum::<usize>();
        until("all arrive", PATIENCE, || records(&self.scene).len() >= count);
        let mut got = BTreeMap::new();
        for record in records(&self.scene) {
            let key = (text(&record, "log.file.path").into(), text(&record, "message").to_owned());
            *got.entry(key).or_default() += 1;
        }
        let is_wrong = |key: &&(PathBuf, String)| got.get(*key) != self.written.get(*key);
        let wrong: Vec<_> = got.keys().chain(self.written.keys()).filter(is_wrong).collect();
        assert!(wrong.is_empty(), "{} logs and lines are wrong, as {:?}", wrong.len(), wrong.first());
    }
}

/// Thirty logs that begin with the same byte, then with the same line, then with the same 2 KiB (more than any collector takes
/// for a fingerprint), with restarts and a rotation in between.
fn tiny_and_identical_logs_are_told_apart(io: Io) {
    let mut twins = Twins::new(io);
    let names: Vec<String> = (0..30).map(|log| format!("{log}.log")).collect();
    let banner = "=".repeat(2048);
    let mut agent = twins.start();
    let each = |twins: &mut Twins, lines: &[&str]| names.iter().for_each(|name| twins.write(name, lines));
    each(&mut twins, &["x"]);
    twins.require();
    agent.stop();
    each(&mut twins, &["x"]);
    agent = twins.start();
    twins.require();
    each(&mut twins, &[&banner]);
    twins.require();
    agent.stop();
    for name in &names {
        // One of them goes on in a new file that begins as it did.
        let path = twins.path(name);
        fs::rename(&path, with_suffix(&path, "20260102-030405")).expect("renamed");
    }
    each(&mut twins, &["x", "x", &banner]);
    agent = twins.start();
    twins.require();
    for name in &names {
        twins.write(name, &[name]);
    }
    twins.require();
    agent.stop();
    agent = twins.start();
    each(&mut twins, &["end"]);
    twins.require();
    agent.stop();
}

/// Deleted and made anew with the same beginning, while the agent runs and while it does not. Most file systems give the new
/// file the old one's inode number at once.
fn a_log_in_the_place_and_with_the_inode_of_another_is_new(io: Io) {
    let mut twins = Twins::new(io);
    let inode = |twins: &Twins, name: &str| fs::metadata(twins.path(name)).expect("a log").ino();
    let mut again = 0;
    let mut agent = twins.start();
    for round in 0..6 {
        let (old, new) = (format!("old-{round}.log"), format!("new-{round}.log"));
        // In its place, or under another name.
        let next = if round % 2 == 0 { &old } else { &new };
        twins.write(&old, &["the same first line", "one"]);
        twins.require();
        let before = inode(&twins, &old);
        let running = match round < 3 {
            true => Some(agent),
            false => {
                agent.stop();
                None
            }
        };
        fs::remove_file(twins.path(&old)).expect("unlinked");
        twins.write(next, &["the same first line", "another", "two"]);
        again += u32::from(inode(&twins, next) == before);
        agent = running.unwrap_or_else(|| twins.start());
        twins.require();
    }
    agent.stop();
    println!("FIG inode numbers used again: {again} of 6");
}
