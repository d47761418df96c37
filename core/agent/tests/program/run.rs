//! `ringtail run`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::{Ground, Running, TO_STDOUT, awaited, ringtail, text};

#[test]
fn it_says_what_it_does_and_goes_on_where_it_ended() {
    let ground = Ground::new();
    ground.log("a.log", &["one", "two"]);
    let config = ground.config(TO_STDOUT);
    let running = Running::with_config(&config);
    let started = running.logged("started");
    let started: serde_json::Value =
        serde_json::from_str(&started).expect("JSON, as standard error is no terminal");
    assert_eq!(started["matched"], "logs: 1 log");
    assert_eq!(started["checkpoint"], ground.path("data").display().to_string());
    assert!(["uring", "pread"].contains(&started["backend"].as_str().expect("a name")));
    running.printed(&["one", "two"]);
    ground.log("a.log", &["three"]);
    running.printed(&["three"]);
    let (code, rest) = running.stopped();
    assert_eq!((code, rest.len()), (Some(0), 0));
    ground.log("a.log", &["four"]);
    let again = Running::with_config(&config);
    again.printed(&["four"]);
    assert_eq!(again.stopped(), (Some(0), Vec::new()));
}

/// A wrong configuration changes nothing; a right one does, without a restart.
#[test]
fn it_changes_with_its_configuration_and_survives_a_wrong_one() {
    let ground = Ground::new();
    ground.log("a.log", &["one"]);
    let config = ground.config(TO_STDOUT);
    let running = Running::with_config(&config);
    running.printed(&["one"]);
    ground.write("ringtail.yaml", "outputs: [");
    running.logged("ringtail.yaml:1:");
    running.logged("the one that runs goes on");
    ground.log("a.log", &["two"]);
    running.printed(&["two"]);
    ground.log("b.txt", &["three"]);
    ground.config(&TO_STDOUT.replace("*.log", "*"));
    running.logged("the configuration was changed");
    // A file that was not wanted before is there at the pipeline's change, and read from its beginning.
    running.printed(&["three"]);
    ground.config(&format!("memory: 256MiB\n{TO_STDOUT}"));
    running.signal(Signal::HUP);
    let told = running.logged("needs a restart");
    assert!(told.contains("memory"), "{told}");
    assert_eq!(running.stopped().0, Some(0));
}

/// A typing error in one path among several must not be silent; a glob for which nothing is there yet is no error.
#[test]
fn each_path_that_matches_nothing_is_told_once_with_what_is_there_instead() {
    let ground = Ground::new();
    ground.log("a.log", &["one"]);
    let fifo = ground.path("logs").join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    let outputs = "outputs: {main: {type: stdout, batch: {max_delay: 50ms}}}\npipelines:\n";
    let pipeline = |name: &str, paths: &str| {
        format!("  {name}: {{from: {{files: {{paths: [{paths}]}}}}, to: [main]}}\n")
    };
    let some = pipeline("some", "ROOT/logs/*.log, ROOT/mistyped.log, ROOT/later/*.log, ROOT/logs/fifo");
    let config = ground.config(&format!("{outputs}{some}"));
    let mut running = Running::with_config(&config);
    running.printed(&["one"]);
    let mut log: Vec<String> =
        ["mistyped.log", "later/", "logs/fifo"].iter().map(|path| running.logged(path)).collect();
    ground.config(&format!("{outputs}{some}{}", pipeline("more", "ROOT/more.log")));
    running.signal(Signal::HUP);
    log.push(running.logged("more.log"));
    running.signal(Signal::TERM);
    assert_eq!(running.ended(), Some(0));
    log.extend(running.log.iter());
    for (path, level) in
        [("logs/fifo", "WARN"), ("more.log", "WARN"), ("mistyped.log", "WARN"), ("later/", "INFO")]
    {
        let told: Vec<&String> = log.iter().filter(|line| line.contains(path)).collect();
        assert!(told.len() == 1 && told[0].contains(level), "{path}: {log:?}");
    }
}

#[test]
fn a_symlink_that_is_not_followed_is_told_once() {
    let ground = Ground::new();
    ground.log("a.log", &["one"]);
    let elsewhere = ground.write("elsewhere.log", "two\n");
    std::os::unix::fs::symlink(elsewhere, ground.path("logs").join("b.log")).expect("linked");
    let mut running = Running::with_config(&ground.config(TO_STDOUT));
    running.printed(&["one"]);
    running.signal(Signal::TERM);
    assert_eq!(running.ended(), Some(0));
    let log: Vec<String> = running.log.iter().collect();
    assert_eq!(log.iter().filter(|line| line.contains("b.log")).count(), 1, "{log:?}");
}

/// What the agent itself writes to is left out of the collection, and depends on more than the configuration: here on a
/// directory that is made when the output starts.
#[test]
fn a_reload_to_what_runs_changes_nothing() {
    let ground = Ground::new();
    ground.log("a.log", &["one"]);
    fs::create_dir(ground.path("real")).expect("made");
    std::os::unix::fs::symlink("real", ground.path("link")).expect("linked");
    let config = ground.config(
        "outputs: {main: {type: file, path: ROOT/link/later/out.ndjson}}
pipelines: {logs: {from: {files: {paths: [ROOT/logs/*.log]}}, to: [main]}}
",
    );
    let own_log = ground.path("own.log");
    let file = fs::File::create(&own_log).expect("made");
    let mut command = ringtail(&["run", "--config", &config.display().to_string()]);
    let mut running = Running::of(command.stderr(file).spawn().expect("it starts"));
    let said = |path: &std::path::Path, part: &str| {
        let deadline = std::time::Instant::now() + crate::PATIENCE;
        while !fs::read_to_string(path).unwrap_or_default().contains(part) {
            assert!(std::time::Instant::now() < deadline, "{part}: {:?}", fs::read_to_string(path));
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    said(&own_log, "started");
    // It is rotated meanwhile.
    let rotated = ground.path("own.log.1");
    fs::rename(&own_log, &rotated).expect("renamed");
    running.signal(Signal::HUP);
    said(&rotated, "the configuration was");
    running.signal(Signal::TERM);
    assert_eq!(running.ended(), Some(0));
    let log = fs::read_to_string(&rotated).expect("a log");
    assert!(log.contains("nothing to change") && !log.contains("was changed"), "{log}");
}

/// It comes again after the next start, so that supervisors need not take it for a failure.
#[test]
fn a_stop_whose_backend_is_down_is_no_failure_and_names_it() {
    let ground = Ground::new();
    ground.log("a.log", &["one"]);
    let config = ground.config(&to_nobody());
    let mut running = Running::with_config(&config);
    running.logged("delivery failed");
    running.signal(Signal::TERM);
    assert_eq!(running.ended(), Some(0));
    let told = running.logged("not answered in time");
    assert!(told.contains("they come again") && told.contains("\"output\":\"main\""), "{told}");
    assert!(running.logged("\"stopped\"").contains("\"all_answered\":false"));
    ground.config(TO_STDOUT);
    let again = Running::with_config(&config);
    again.printed(&["one"]);
    assert_eq!(again.stopped().0, Some(0));
}

/// An output whose backend does not listen: at a port that was given back.
fn to_nobody() -> String {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let url = format!("http://{}/", closed.expect("an address"));
    format!(
        "outputs: {{main: {{type: http, url: '{url}', batch: {{max_delay: 10ms}}}}}}
pipelines: {{logs: {{from: {{files: {{paths: [ROOT/logs/*.log]}}}}, to: [main]}}}}
"
    )
}

/// Collecting what one writes would never end.
#[test]
fn its_own_output_is_never_collected() {
    let ground = Ground::new();
    ground.log("a.log", &["one"]);
    let config = ground.config(
        "outputs:
  file: {type: file, path: ROOT/logs/out.log, compression: none, rotate: {max_bytes: 300, keep: 2}, batch: {max_delay: 10ms}}
  terminal: {type: stdout, batch: {max_delay: 10ms}}
pipelines: {logs: {from: {files: {paths: [ROOT/logs]}}, to: [file, terminal]}}
",
    );
    let logs = ground.path("logs");
    let create = |name: &str| fs::File::create(logs.join(name)).expect("made");
    let mut command = ringtail(&["run", "--config", &config.display().to_string()]);
    let mut child =
        command.stdout(create("stdout.log")).stderr(create("stderr.log")).spawn().expect("it starts");
    let written = |name: &str| fs::read_to_string(logs.join(name)).unwrap_or_default();
    let expect = |message: &str| {
        let deadline = std::time::Instant::now() + crate::PATIENCE;
        while !(written("stdout.log").contains(message) && written("out.log").contains(message)) {
            assert!(std::time::Instant::now() < deadline, "{message}: {}", written("stderr.log"));
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    // Each of these comes after another look at the directory, where a loop would have been found.
    for number in 0..8 {
        ground.log("a.log", &[&format!("line {number}")]);
        expect(&format!("line {number}\""));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).expect("it lives");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(written("stdout.log").lines().count(), 9, "{}", written("stdout.log"));
    assert!(logs.join("out.log.1").exists(), "it was rotated");
}

#[test]
fn a_second_agent_waits_for_the_first_and_names_it() {
    let ground = Ground::new();
    ground.log("a.log", &["one"]);
    let config = ground.config(TO_STDOUT);
    let first = Running::with_config(&config);
    first.printed(&["one"]);
    let second = Running::with_config(&config);
    let told = second.logged("another agent works here");
    assert!(told.contains(&format!("pid {}", first.child.id())), "{told}");
    assert_eq!(first.stopped().0, Some(0));
    second.logged("started");
    ground.log("a.log", &["two"]);
    second.printed(&["two"]);
    assert_eq!(second.stopped().0, Some(0));
}

#[test]
fn figures_and_health_are_served_while_it_runs() {
    let ground = Ground::new();
    ground.log("a.log", &["one", "two"]);
    let config = ground.config(TO_STDOUT);
    let with_admin = fs::read_to_string(&config).expect("text").replace("admin: off", "admin: 127.0.0.1:0");
    fs::write(&config, with_admin).expect("written");
    let running = Running::with_config(&config);
    let started: serde_json::Value = serde_json::from_str(&running.logged("started")).expect("JSON");
    running.printed(&["one", "two"]);
    let ask = |path: &str| {
        let mut stream = TcpStream::connect(started["admin"].as_str().expect("an address")).expect("listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    };
    assert!(ask("/healthz").starts_with("HTTP/1.1 200") && ask("/readyz").starts_with("HTTP/1.1 200"));
    let metrics = ask("/metrics");
    for line in [
        "ringtail_records_total{pipeline=\"logs\"} 2",
        "ringtail_malformed_lines_total{pipeline=\"logs\"} 0",
        "ringtail_delivered_records_total{output=\"main\"} 2",
        "ringtail_retries_total{output=\"main\"} 0",
        "ringtail_lost_bytes_total{reason=\"truncated\"} 0",
        "ringtail_lost_bytes_total{reason=\"dropped\"} 0",
        "ringtail_checkpoint_resets_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    for name in [
        "ringtail_read_bytes_total{",
        "ringtail_memory_bytes{use=\"slabs\"}",
        "ringtail_io_backend{",
        "process_cpu_",
    ] {
        assert!(metrics.lines().any(|found| found.starts_with(name)), "{name}\n{metrics}");
    }
    assert_eq!(running.stopped().0, Some(0));
}

#[test]
fn what_keeps_it_from_starting_is_named_with_a_remedy() {
    let ground = Ground::new();
    let config = ground.config(TO_STDOUT);
    ground.write("data", "a file");
    let output = ringtail(&["run", "--config", &config.display().to_string()]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("data_dir") && told.contains("name another directory"), "{told}");
    let wrong = ground.write("wrong.yaml", "outputs: {main: {type: stdou}}\n");
    let output = ringtail(&["run", "--config", &wrong.display().to_string()]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("wrong.yaml:1:24") && told.contains("did you mean `stdout`?"), "{told}");
    fs::remove_file(ground.path("data")).expect("removed");
    let mut command = ringtail(&["run", "--config", &ground.config(TO_STDOUT).display().to_string()]);
    let output = command.env("RINGTAIL_IO", "magic").output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("it is auto, uring or pread"), "{}", text(&output.stderr));
}

/// A reader that leaves is no failure, and nobody is left to write for.
#[test]
fn it_ends_when_nobody_reads_standard_output_any_more() {
    let ground = Ground::new();
    ground.log("a.log", &["one"]);
    let mut running = Running::with_config(&ground.config(TO_STDOUT));
    running.printed(&["one"]);
    // The thread that reads the pipe ends, and closes it, with the next line.
    let (_, nobody) = std::sync::mpsc::channel();
    running.out = nobody;
    for number in 0..2000 {
        ground.log("a.log", &[&format!("line {number}")]);
        if running.child.try_wait().expect("our child").is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(running.ended(), Some(0));
    awaited(&running.log, "nobody reads standard output");
}

/// A backend that is down must not keep a node from shutting down: the second signal does not wait.
#[test]
fn a_second_signal_ends_it_at_once() {
    let ground = Ground::new();
    ground.log("a.log", &["one"]);
    let mut running = Running::with_config(&ground.config(&to_nobody()));
    running.logged("delivery failed");
    running.signal(Signal::TERM);
    // What comes at the same time is the same request.
    running.signal(Signal::TERM);
    running.logged("stopping");
    assert!(running.child.try_wait().expect("our child").is_none());
    let asked = std::time::Instant::now();
    while running.child.try_wait().expect("our child").is_none() {
        assert!(asked.elapsed() < std::time::Duration::from_secs(10), "it waits for answers");
        std::thread::sleep(std::time::Duration::from_millis(20));
        running.signal(Signal::TERM);
    }
    assert_eq!(running.ended(), Some(1));
    running.logged("second signal");
}

/// The new configuration is right with its own memory. This process keeps the old one, in which some outputs could
/// never deliver.
#[test]
fn what_needs_more_memory_than_it_started_with_is_refused() {
    let ground = Ground::new();
    ground.log("a.log", &["one"]);
    let config = ground.config(&format!("memory: 64MiB\n{TO_STDOUT}"));
    let running = Running::with_config(&config);
    running.printed(&["one"]);
    let others: Vec<String> = (0..12).map(|number| format!("o{number}: {{type: 'null'}}")).collect();
    let more = TO_STDOUT.replace("outputs: {", &format!("outputs: {{{}, ", others.join(", ")));
    let names: Vec<String> = (0..12).map(|number| format!("o{number}")).collect();
    ground.config(&format!(
        "memory: 512MiB\n{}",
        more.replace("to: [", &format!("to: [{}, ", names.join(", ")))
    ));
    let told = running.logged("the configuration was not changed");
    assert!(told.contains("needs a restart") && told.contains("64MiB of memory leave"), "{told}");
    ground.log("a.log", &["two"]);
    running.printed(&["two"]);
    assert_eq!(running.stopped().0, Some(0));
}
