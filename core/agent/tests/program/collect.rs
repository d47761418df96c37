//! `ringtail collect`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::{Ground, Running, done, ringtail, text};

#[test]
fn it_goes_in_the_order_of_its_arguments() {
    let ground = Ground::new();
    let paths: Vec<String> = ["c", "a", "b"]
        .map(|name| ground.log(&format!("{name}.log"), &[name, "end"]).display().to_string())
        .into();
    let mut arguments = vec!["collect", "--output", "text"];
    arguments.extend(paths.iter().map(String::as_str));
    let output = done(&arguments);
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("c\nend\na\nend\nb\nend\n", Some(0)));
}

/// A file alone is that file; a directory or a glob brings the rotated ones, oldest first.
#[test]
fn rotated_files_come_first_with_a_directory_and_not_with_a_file() {
    let ground = Ground::new();
    ground.log("0.log.20260101-000000", &["oldest"]);
    ground.log("0.log.20260102-000000", &["older"]);
    let file = ground.log("0.log", &["newest"]);
    let collect = |path: &str| text(&done(&["collect", "--output", "text", path]).stdout);
    assert_eq!(collect(&file.display().to_string()), "newest\n");
    assert_eq!(collect(&ground.path("logs").display().to_string()), "oldest\nolder\nnewest\n");
    assert_eq!(collect(&format!("{}/lo*/*.log", ground.folder.path().display())), "oldest\nolder\nnewest\n");
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_goes_on() {
    let ground = Ground::new();
    let good = ground.log("a.log", &["one"]).display().to_string();
    let missing = ground.path("none.log").display().to_string();
    let glob = ground.path("none/*.log").display().to_string();
    let output = done(&["collect", &missing, &good, &glob, "/dev/null"]);
    assert_eq!((text(&output.stdout).lines().count(), output.status.code()), (1, Some(1)));
    let told = text(&output.stderr);
    for part in [&*missing, &*glob, "/dev/null", "nothing matches", "not a regular file"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

/// A directory is a path like others: that nothing in it is a log must not pass for success.
#[test]
fn a_directory_without_anything_to_read_is_told_and_a_failure() {
    let ground = Ground::new();
    for directory in ["empty", "fifos", "nested/below"] {
        fs::create_dir_all(ground.path(directory)).expect("made");
    }
    let fifo = ground.path("fifos/x.log");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    ground.write("nested/below/x.log", "one\n");
    for (directory, why) in [("empty", "nothing matches"), ("fifos", "nothing matches"), ("nested", "/**")] {
        let path = ground.path(directory).display().to_string();
        let output = done(&["collect", &path]);
        assert_eq!((output.stdout.len(), output.status.code()), (0, Some(1)), "{directory}");
        let told = text(&output.stderr);
        assert!(told.contains(&path) && told.contains(why), "{told}");
    }
}

/// Who follows waits for what appears.
#[test]
fn an_empty_directory_is_followed_and_told() {
    let ground = Ground::new();
    let mut running =
        Running::start(&mut ringtail(&["collect", "--follow", &ground.path("logs").display().to_string()]));
    running.logged("nothing matches");
    ground.log("a.log", &["one"]);
    running.printed(&["one"]);
    running.signal(rustix::process::Signal::INT);
    assert_eq!(running.ended(), Some(0));
}

/// A script that collects must be able to tell from the exit code that something is missing.
#[test]
fn a_gz_that_is_cut_or_is_none_is_a_failure() {
    let ground = Ground::new();
    let lines: String = (0..100_000).map(|line| format!("line {line}\n")).collect();
    let whole = ground.write("whole.log", &lines);
    let gzip =
        |path: &std::path::Path| Command::new("gzip").arg("-k").arg(path).status().expect("gzip").success();
    assert!(gzip(&whole));
    let packed = fs::read(whole.with_extension("log.gz")).expect("packed");
    let (cut, none) = (ground.path("cut.log.gz"), ground.path("none.log.gz"));
    fs::write(&cut, &packed[..packed.len() / 2]).expect("room");
    fs::write(&none, "not gzip").expect("room");
    for (path, least) in [(&cut, 1000), (&none, 0)] {
        let output = done(&["collect", "--output", "text", &path.display().to_string()]);
        assert_eq!(output.status.code(), Some(1), "{}", path.display());
        assert!(text(&output.stdout).lines().count() >= least);
        assert!(text(&output.stderr).contains(&path.display().to_string()));
    }
}

#[test]
fn a_full_disk_ends_it_with_a_failure() {
    let ground = Ground::new();
    let file = ground.log("a.log", &["one"]).display().to_string();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output = ringtail(&["collect", &file]).stdout(full).stderr(Stdio::piped()).output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("No space left on device"));
}

#[test]
fn formats_are_found_or_given_and_records_are_whole() {
    let ground = Ground::new();
    let docker = ground.write(
        "docker.log",
        "{\"log\":\"a\\u00e9\\n\",\"stream\":\"stderr\",\"time\":\"2026-01-02T03:04:05Z\"}\n",
    );
    let collect = |arguments: &[&str]| text(&done(&[&["collect"], arguments].concat()).stdout);
    let docker = docker.display().to_string();
    let record: serde_json::Value = serde_json::from_str(&collect(&[&docker])).expect("a record");
    assert_eq!(record["message"], "aé");
    assert_eq!(record["stream"], "stderr");
    assert_eq!(record["time"], "2026-01-02T03:04:05Z");
    assert_eq!(record["log.file.path"], docker);
    let raw = collect(&["--input", "raw", "--output", "text", &docker]);
    assert!(raw.starts_with("{\"log\""), "{raw}");
    assert_eq!(collect(&["--output", "null", &docker]), "");
    let tail = ground.write("tail.log", "no newline").display().to_string();
    assert_eq!(collect(&["--output", "text", &tail]), "no newline\n");
}

/// `ringtail collect big.log | head -1`.
#[test]
fn a_closed_pipe_ends_it_well() {
    let ground = Ground::new();
    let line = "2026-01-02T03:04:05Z stdout F something that fills a pipe after a while\n";
    let big = ground.write("big.log", &line.repeat(100_000)).display().to_string();
    let mut child = ringtail(&["collect", &big]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut first = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    out.read_line(&mut first).expect("a record");
    drop(out);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn it_follows_several_files_until_it_is_interrupted() {
    let ground = Ground::new();
    let a = ground.log("a.log", &["one"]);
    let running = Running::start(&mut ringtail(&["collect", "--follow", &a.display().to_string()]));
    running.printed(&["one"]);
    ground.log("a.log", &["two"]);
    running.printed(&["two"]);
    fs::rename(&a, ground.path("logs/a.log.1")).expect("rotated");
    ground.log("a.log", &["three"]);
    running.printed(&["three"]);
    running.signal(rustix::process::Signal::INT);
    let mut running = running;
    assert_eq!(running.ended(), Some(0));
}

#[test]
fn wrong_usage_is_two() {
    for arguments in [&["collect"][..], &["collect", "--input", "xml", "/x"], &["fly"], &[]] {
        assert_eq!(done(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(done(&["--version"]).status.code(), Some(0));
}
