//! Logs none of whose bytes become a record: they are read once, and let go, like any other.
//!
//! What filters out every line will be like this; until there are filters, blank lines, holes of zeros and what lies beyond
//! a limit are.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use ringtail_agent::demo::kubelet::with_suffix;

use crate::support::descriptors::open_below;
use crate::support::metrics::{free_addr, metric};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Running, Scene, append, good_sink};
use crate::support::until;

crate::support::on_both_backends! {
    a_killed_agent_does_not_read_again_what_held_no_record;
    a_rotated_log_that_held_no_record_is_let_go;
}

/// Bytes of each barren log.
const LEN: usize = 2 << 20;

/// A position is written a second after it has moved; the rest is for a busy machine.
const WRITTEN: Duration = Duration::from_millis(1000 + 1500);

/// Logs in the format of CRI, of one kind of such bytes each. A message that goes on for ever is a record when it passes its
/// limit, and nothing after that.
fn barren(scene: &Scene) -> Vec<PathBuf> {
    let part = format!("2026-01-02T03:04:05.678901234Z stdout P {}\n", "x".repeat(8 << 10));
    let kinds: [(&str, &[u8]); 3] =
        [("blank", b"\n"), ("zeros", b"\0"), ("endless-message", part.as_bytes())];
    let write = |(name, bytes): (&str, &[u8])| {
        let path = scene.logs().join(format!("{name}.log"));
        append(&path, &bytes.repeat(LEN / bytes.len()));
        path
    };
    kinds.map(write).into()
}

fn size(paths: &[PathBuf]) -> u64 {
    paths.iter().map(|path| fs::metadata(path).expect("a log").len()).sum()
}

/// After a kill, only what was not yet there is read: not the whole of such a log, again with every start.
fn a_killed_agent_does_not_read_again_what_held_no_record(io: Io) {
    let (scene, sink, admin) = (Scene::new(io), good_sink(), free_addr());
    let logs = barren(&scene);
    let size = size(&logs);
    let config = scene.config().admin(admin).path(&scene.logs().join("*.log")).files("input: cri");
    let config = config.from("max_line: 64KiB").from("max_record: 256KiB").http("main", &sink.url(), "");
    let read = || metric(admin, "ringtail_read_bytes_total", "").unwrap_or(0.0);
    let has_read = |at_least: u64| read() >= format!("{at_least}").parse().expect("a number");
    let agent = scene.start(&config);
    until("all is read", PATIENCE, || has_read(size));
    thread::sleep(WRITTEN);
    agent.kill();

    let agent = scene.start(&config);
    let line = b"\n2026-01-02T03:04:05.678901234Z stderr F here\n";
    logs.iter().for_each(|log| append(log, line));
    until("what is new is read", PATIENCE, || has_read((line.len() * logs.len()).try_into().expect("few")));
    // Longer than it takes to read them again.
    thread::sleep(Duration::from_millis(500));
    let again = read();
    println!("{again} bytes of {size} were read after the kill");
    assert!(again < 100_000.0, "{again} bytes of {size} were read after the kill");
    agent.stop();
}

/// Renamed and begun anew, with nothing in it but blank lines either: the old files are closed.
fn a_rotated_log_that_held_no_record_is_let_go(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let config = scene.config().path(&scene.logs().join("*.log")).files("input: cri");
    let config = config.from("max_line: 64KiB").from("max_record: 256KiB").http("main", &sink.url(), "");
    let agent: Running = scene.start(&config);
    let logs = barren(&scene);
    let open = |end: &str| {
        let open = open_below(&scene.logs(), agent.0.id());
        open.iter().filter(|path| path.ends_with(end)).count()
    };
    until("all are open", PATIENCE, || open(".log") == logs.len());
    for log in &logs {
        fs::rename(log, with_suffix(log, "20260102-030405")).expect("renamed");
        append(log, b"\n\n\n");
    }
    until("the new ones are open", PATIENCE, || open(".log") == logs.len());
    until("the rotated ones are closed", PATIENCE / 2, || open("-030405") == 0);
    agent.stop();
}
