//! `ringtail collect`: one-off, to standard output.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

use ringtail_agent::demo::Verifier;
use ringtail_agent::demo::agent::Agent;
use ringtail_agent::demo::container::Written;
use ringtail_agent::demo::kubelet;
use ringtail_agent::demo::sink::take_ndjson;

use crate::support::log::Log;
use crate::support::program::{Io, command};
use crate::support::scene::{PATIENCE, Running, Scene};
use crate::support::until;

crate::support::on_both_backends! {
    a_glob_and_a_directory_give_every_line_once_in_order;
    a_file_alone_comes_without_its_siblings;
    text_is_the_message_only;
    a_closed_pipe_ends_it_well;
    an_unreadable_file_is_told_and_the_rest_goes_on;
    half_a_line_at_the_end_is_told_and_not_delivered;
    following_goes_through_a_rotation;
}

fn collect(io: Io, args: &[&str]) -> Command {
    let mut command = command(io);
    command.arg("collect").args(args);
    command
}

fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the program runs")
}

/// A log with two rotated siblings, one of them compressed.
fn rotated(scene: &Scene) -> Log {
    let mut log = Log::create(scene.logs().join("0.log"));
    log.print(300);
    kubelet::compress(&log.rotate("20260102-030405")).expect("compressed");
    log.print(300);
    log.rotate("20260102-030415");
    log.print(300);
    log
}

#[track_caller]
fn require_exact(output: &Output, written: &[Written]) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut verifier = Verifier::default();
    take_ndjson(&output.stdout, &mut verifier);
    let verdict = verifier.verdict(written.iter().map(|written| (written.stream.as_ref(), written.count())));
    assert!(verdict.exact(), "{verdict}");
}

fn a_glob_and_a_directory_give_every_line_once_in_order(io: Io) {
    let scene = Scene::new(io);
    let log = rotated(&scene);
    let dir = scene.logs();
    let dir = dir.to_str().expect("UTF-8");
    require_exact(&run(collect(io, &[dir])), &log.written());
    require_exact(&run(collect(io, &[&format!("{dir}/*.log")])), &log.written());
}

fn a_file_alone_comes_without_its_siblings(io: Io) {
    let scene = Scene::new(io);
    let log = rotated(&scene);
    let output = run(collect(io, &[log.path().to_str().expect("UTF-8")]));
    assert!(output.status.success());
    let lines = output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count();
    assert!((300..310).contains(&lines), "{lines}");
}

fn text_is_the_message_only(io: Io) {
    let scene = Scene::new(io);
    let path = scene.path("x.log");
    fs::write(&path, "2026-01-02T03:04:05Z stdout P one \n2026-01-02T03:04:05Z stdout F line\n")
        .expect("written");
    let output = run(collect(io, &["--output", "text", path.to_str().expect("UTF-8")]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "one line\n");
    let output = run(collect(io, &["--output", "null", path.to_str().expect("UTF-8")]));
    assert!(output.status.success() && output.stdout.is_empty());
}

/// `ringtail collect ... | head -1` exits 0.
fn a_closed_pipe_ends_it_well(io: Io) {
    let scene = Scene::new(io);
    let mut log = Log::create(scene.logs().join("0.log"));
    log.print(20_000);
    let mut command = collect(io, &[log.path().to_str().expect("UTF-8")]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    drop(out);
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
    let status = child.wait().expect("waited for");
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(line.ends_with("}\n") && !said.contains("panicked"), "{said}");
}

fn an_unreadable_file_is_told_and_the_rest_goes_on(io: Io) {
    let scene = Scene::new(io);
    let mut log = Log::create(scene.logs().join("0.log"));
    log.print(50);
    let missing = scene.path("missing.log");
    let missing = missing.to_str().expect("UTF-8");
    let output = run(collect(io, &[missing, log.path().to_str().expect("UTF-8")]));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(missing));
    let lines = output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count();
    assert!(lines >= 50, "{lines} lines of the readable file");
}

/// The output lacks something, so that a script can tell: exit 1. The last line of a raw file is whole without a newline,
/// and so is a docker line.
fn half_a_line_at_the_end_is_told_and_not_delivered(io: Io) {
    let scene = Scene::new(io);
    let collect_text = |content: &str| {
        let path = scene.path("x.log");
        fs::write(&path, content).expect("written");
        run(collect(io, &["--output", "text", path.to_str().expect("UTF-8")]))
    };
    let output = collect_text("2026-01-02T03:04:05Z stdout F whole\n2026-01-02T03:04:05Z stdout F ha");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "whole\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("x.log") && said.contains("middle of a line"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    for whole in ["raw", r#"{"log":"raw\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}"#] {
        let output = collect_text(whole);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "raw\n");
        assert_eq!(output.status.code(), Some(0));
    }
}

fn following_goes_through_a_rotation(io: Io) {
    let scene = Scene::new(io);
    let mut log = Log::create(scene.logs().join("0.log"));
    log.print(100);
    let out = scene.path("out.ndjson");
    let mut command = collect(io, &["--follow", log.path().to_str().expect("UTF-8")]);
    command.stdout(fs::File::create(&out).expect("a file"));
    let mut agent = Running(Agent::follow(command, &scene.path("agent.log")).expect("the program starts"));
    let mut verifier = Verifier::default();
    for round in 0..3 {
        let all: u64 = log.written().iter().map(|written| written.count()).sum();
        until("all that was printed", PATIENCE, || {
            verifier = Verifier::default();
            let bytes = fs::read(&out).expect("read");
            let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            take_ndjson(&bytes[..whole], &mut verifier);
            verifier.messages() >= all
        });
        log.rotate(&format!("20260102-03040{round}"));
        log.print(100);
    }
    agent.must_live();
    assert_eq!((verifier.verdict([]).damaged, verifier.repeated()), (0, 0));
}
