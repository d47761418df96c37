//! `check`, `doctor`, `bench`: reports for people and for programs.

use std::net::TcpListener;

use serde_json::Value;

use crate::{Ground, Running, TO_STDOUT, done, ringtail, text};

#[test]
fn check_tells_errors_with_two_and_warnings_with_zero() {
    let ground = Ground::new();
    let config = ground.config(TO_STDOUT).display().to_string();
    let output = done(&["check", &config]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("matches no file now"), "{}", text(&output.stdout));
    ground.log("a.log", &["one"]);
    assert_eq!(text(&done(&["check", &config]).stdout), format!("{config}: ok\n"));
    let wrong = ground.config(&TO_STDOUT.replace("type: stdout", "typ: stdout")).display().to_string();
    let output = done(&["check", "--json", &wrong]);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["legal"], false);
    let keys: Vec<&str> =
        report["errors"].as_array().expect("errors").iter().filter_map(|e| e["key"].as_str()).collect();
    assert_eq!(keys, ["outputs.main", "outputs.main.typ"]);
}

/// Opening a FIFO waits for somebody who writes to it, for ever.
#[test]
fn doctor_does_not_open_what_is_no_file() {
    let ground = Ground::new();
    let fifo = ground.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    for path in ["ROOT/fifo", "ROOT/fifo/*.log"] {
        let config = ground.config(&TO_STDOUT.replace("ROOT/logs/*.log", path)).display().to_string();
        let mut doctor = Running::start(&mut ringtail(&["doctor", "--config", &config]));
        assert_eq!(doctor.ended(), Some(0), "{path}");
        let told: Vec<String> = doctor.out.iter().collect();
        assert!(told.iter().any(|line| line.contains("fifo is a FIFO")), "{told:?}");
    }
}

/// "Matches no file" would send an operator looking for something that is there.
#[test]
fn check_says_what_is_at_a_path_that_is_no_log() {
    let ground = Ground::new();
    ground.log("a.log", &["one"]);
    std::fs::create_dir_all(ground.path("nested/below")).expect("made");
    let fifo = ground.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    let _socket = std::os::unix::net::UnixListener::bind(ground.path("socket")).expect("a socket");
    let paths = "ROOT/logs/*.log, ROOT/fifo, ROOT/socket, ROOT/nested, ROOT/none";
    let config = ground.config(&TO_STDOUT.replace("ROOT/logs/*.log", paths)).display().to_string();
    let output = done(&["check", &config]);
    assert_eq!(output.status.code(), Some(0));
    let told = text(&output.stdout);
    let expected =
        ["fifo` is a FIFO", "socket` is a socket", "nested` is a directory", "none` matches no file"];
    for (at, part) in expected.iter().enumerate() {
        let place = format!("paths[{}]", at + 1);
        assert!(told.lines().any(|line| line.contains(part) && line.contains(&place)), "{part}: {told}");
    }
    assert_eq!(told.lines().filter(|line| line.starts_with("warning")).count(), 4, "{told}");
}

#[test]
fn doctor_looks_at_what_a_configuration_names() {
    let ground = Ground::new();
    ground.log("a.log", &["one"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let config = |url: String| {
        let outputs = format!("outputs: {{main: {{type: http, url: 'http://{url}/'}}}}");
        ground
            .config(&TO_STDOUT.replace("outputs: {main: {type: stdout, batch: {max_delay: 50ms}}}", &outputs))
    };
    let find = |report: &Value, name: &str| {
        let findings = report["findings"].as_array().expect("findings").clone();
        findings
            .into_iter()
            .find(|finding| finding["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {report}"))
    };
    let path = config(address.to_string()).display().to_string();
    let output = done(&["doctor", "--json", "--config", &path]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for name in ["data_dir", "pipeline logs", "output main", "configuration"] {
        assert_eq!(find(&report, name)["state"], "ok", "{report}");
    }
    assert!(find(&report, "ring")["found"].as_str().is_some());
    drop(listener);
    let output = done(&["doctor", "--json", "--config", &path]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let finding = find(&report, "output main");
    assert_eq!(finding["state"], "fail");
    assert!(finding["found"].as_str().expect("text").contains(&address.to_string()));
}

/// The figures of a debug build say nothing, and the counts behind them are checked all the same.
#[test]
fn bench_has_a_figure_for_every_stage() {
    let output = done(&["bench", "--json", "--milliseconds", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let figures = report["figures"].as_array().expect("figures");
    assert_eq!(figures.len(), 10);
    assert!(
        figures.iter().all(|figure| figure["bytes_per_second"].as_f64().is_some_and(|speed| speed > 0.0))
    );
}
