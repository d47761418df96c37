//! kill -9 of a host: what it acknowledged is not read again, everything else is.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::backend;
use crate::build::Program;

/// After this long the position of what was acknowledged is on disk: one second, and two for a busy machine.
const KEPT_AFTER: Duration = Duration::from_secs(3);

fn append(path: &Path, range: std::ops::Range<usize>) {
    let lines: String = range.map(|line| format!("line {line}\n")).collect();
    let mut text = fs::read_to_string(path).unwrap_or_default();
    text.push_str(&lines);
    fs::write(path, text).expect("a log");
}

fn host(program: &Path, dir: &Path, until: usize) -> Child {
    let mut host = Command::new(program);
    host.arg(dir).arg(backend()).arg(until.to_string()).stdout(Stdio::piped());
    host.spawn().expect("the host runs")
}

/// What the host delivered until it said `mark`.
fn delivered_until(out: &mut impl BufRead, mark: &str) -> Vec<String> {
    out.lines().map(|line| line.expect("text")).take_while(|line| line != mark).collect()
}

#[test]
fn a_killed_host_gets_again_what_it_did_not_acknowledge_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("a.log");
    let program = Program::c("killed").build();
    append(&log, 0..1000);
    let mut first = host(&program, dir.path(), 1000);
    let mut out = BufReader::new(first.stdout.take().expect("piped"));
    let before = delivered_until(&mut out, "acknowledged");
    std::thread::sleep(KEPT_AFTER);
    // These are fetched, and never acknowledged.
    append(&log, 1000..1100);
    delivered_until(&mut out, "fetched");
    first.kill().expect("kill -9");
    first.wait().expect("its end");

    let mut second = host(&program, dir.path(), 100);
    let after = delivered_until(&mut BufReader::new(second.stdout.take().expect("piped")), "acknowledged");
    second.kill().expect("kill -9");
    second.wait().expect("its end");
    let lines = |range: std::ops::Range<usize>| range.map(|line| format!("line {line}")).collect::<Vec<_>>();
    assert_eq!((before, after), (lines(0..1000), lines(1000..1100)));
}

/// Killed at any moment: everything that was ever delivered is all there is.
#[test]
fn a_host_that_is_killed_again_and_again_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("a.log");
    let program = Program::c("killed").build();
    append(&log, 0..5000);
    let mut seen = BTreeSet::new();
    for kill_after in [1, 40, 7, 300] {
        let mut killed = host(&program, dir.path(), usize::MAX);
        let out = BufReader::new(killed.stdout.take().expect("piped"));
        let mut lines = out.lines();
        // Whole lines only: the last one may be cut by the kill.
        seen.extend(lines.by_ref().take(kill_after).map(|line| line.expect("text")));
        killed.kill().expect("kill -9");
        killed.wait().expect("its end");
        seen.extend(lines.map_while(Result::ok).filter(|line| line.starts_with("line ")));
    }
    let mut last = host(&program, dir.path(), usize::MAX);
    let out = BufReader::new(last.stdout.take().expect("piped"));
    for line in out.lines() {
        seen.insert(line.expect("text"));
        if seen.contains("line 4999") {
            break;
        }
    }
    last.kill().expect("kill -9");
    last.wait().expect("its end");
    let missing: Vec<usize> = (0..5000).filter(|line| !seen.contains(&format!("line {line}"))).collect();
    assert_eq!(missing, [], "missing of 5000");
}
