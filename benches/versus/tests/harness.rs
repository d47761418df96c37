//! The whole harness on small inputs: a rival from the distribution, ringtail, and rivals that are wrong on purpose.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Everything below one directory: collectors' files, programs, results.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["rivals", "bin", "work", "record"] {
            fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        symlink(env!("CARGO_BIN_EXE_ringtail-in-versus"), dir.path().join("bin/ringtail")).expect("a link");
        Scene { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Lets one of the shipped collectors take part.
    fn shipped(&self, name: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals").join(name);
        fs::copy(from, self.path("rivals").join(name)).expect("copied");
    }

    /// A collector made of a shell script that turns CRI lines into records with `sed`, and does `wrong` to them.
    fn planted(&self, name: &str, wrong: &str) {
        let script = format!(
            r#"cat {{glob}} | sed -E 's/"/\\"/g; s/\t/\\t/; s/^[^ ]+ ([a-z]+) [FP] (.*)$/{{"stream":"\1","message":"\2"}}/' {wrong} >"$1/records""#
        );
        let way = format!(
            "[[way]]\ntitle = 'planted'\ninputs = ['cri']\nsink = 'file'\ndone = 'exit'\n\
             start = ['sh', '-c', '''{script}''', 'planted', '{{output}}']\n\
             records = {{as = 'json', message = ['message'], stream = ['stream']}}\n"
        );
        let head = format!("name = '{name}'\nprograms = ['true']\nversion = ['true']\n");
        // The glob has no character that means something to a shell, and is meant to be expanded.
        fs::write(self.path("rivals").join(format!("{name}.toml")), head + &way).expect("written");
    }

    /// Runs the harness; its results, and what it said.
    fn compare(&self, args: &[&str]) -> (Value, String) {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap_or_default());
        let output = Command::new(env!("CARGO_BIN_EXE_ringtail-versus"))
            .args(["--mb", "2", "--files", "3", "--patience", "20"])
            .args(args)
            .args(if args.contains(&"--rounds") { &[][..] } else { &["--rounds", "1"] })
            .args(["--rivals", "rivals", "--work", "work", "--record", "record"])
            .current_dir(self.dir.path())
            .env("PATH", path)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let json = self.result("versus.json");
        (serde_json::from_str(&json).expect("JSON"), said)
    }

    /// A file of the results.
    fn result(&self, name: &str) -> String {
        let only =
            |dir: PathBuf| fs::read_dir(dir).expect("it").next().expect("an entry").expect("it").path();
        fs::read_to_string(only(only(self.path("record"))).join(name)).expect("text")
    }
}

/// The rounds of a collector in every section, with what the section is.
fn rounds<'a>(record: &'a Value, collector: &str) -> Vec<(String, &'a Value)> {
    let mut found = Vec::new();
    for section in record["sections"].as_array().expect("sections") {
        let name =
            format!("{} {}", section["input"].as_str().expect("it"), section["sink"].as_str().expect("it"));
        for row in section["rows"].as_array().expect("rows") {
            if row["collector"] == collector {
                found.push((name.clone(), &row["rounds"][0]));
            }
        }
    }
    found
}

/// Says that a part of the test was not run, where `make test` collects it.
fn not_run(what: &str) {
    if let Ok(path) = std::env::var("RINGTAIL_NOT_RUN") {
        use std::io::Write;
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| writeln!(file, "{what}")).expect("written");
    }
}

/// ringtail and rsyslog deliver everything, and both have figures; a rival that drops lines, one that repeats some and
/// one that cuts some are failures however fast they were; one whose program is missing is named as missing.
#[test]
fn the_right_have_figures_and_the_wrong_have_failed() {
    let scene = Scene::new();
    scene.shipped("ringtail.toml");
    scene.shipped("rsyslog.toml");
    scene.planted("honest", "");
    scene.planted("dropping", "| sed '7~100d'");
    scene.planted("repeating", "| sed '7~100p'");
    scene.planted("cutting", "| sed -E '7~100s/..\"}$/\"}/'");
    let missing = "name = 'missing'\nprograms = ['no-such-collector']\nversion = []\nway = []\n";
    fs::write(scene.path("rivals/missing.toml"), missing).expect("written");

    let (record, said) = scene.compare(&["--idle-files", "0"]);

    let ours = rounds(&record, "ringtail");
    assert_eq!(ours.len(), 15, "three inputs; two ways to files, three to HTTP: {ours:?}");
    // Of inputs as small as these a round may take less than the 10 ms in which the kernel counts.
    let cpu_s: f64 = ours.iter().filter_map(|(_, round)| round["cpu_s"].as_f64()).sum();
    assert!(cpu_s > 0.0, "{ours:?}");
    for (section, round) in ours {
        // Where the kernel refuses io_uring its rows say so; the other backend's are right everywhere.
        let verdict = &round["verdict"];
        let refused = round["failure"].as_str().is_some_and(|why| why.contains("io_uring"));
        assert!(refused || verdict["delivered"] == verdict["written"], "{section}: {round}");
        assert!(refused || (round["failure"].is_null() && verdict["repeated"] == 0), "{section}: {round}");
    }
    let theirs = rounds(&record, "rsyslog");
    if said.contains("rsyslog: not on this machine") {
        not_run("the comparison with rsyslog: rsyslogd is missing (scripts/setup test installs it)");
    } else {
        assert_eq!(theirs.len(), 2, "{theirs:?}");
        for (section, round) in theirs {
            assert_eq!(round["failure"], Value::Null, "{section}: {round}");
            assert_eq!(round["verdict"]["delivered"], round["verdict"]["written"], "{section}: {round}");
        }
    }

    let (tables, chart) = (scene.result("versus.md"), scene.result("versus.svg"));
    assert!(tables.contains("| missing | not on this machine |"), "{tables}");
    let honest = rounds(&record, "honest");
    assert_eq!(honest[0].1["failure"], Value::Null, "{honest:?}");
    for (name, count) in [("dropping", "lost"), ("repeating", "repeated"), ("cutting", "malformed")] {
        let round = rounds(&record, name)[0].1;
        assert!(round["verdict"][count].as_u64().is_some_and(|count| count > 0), "{name}: {round}");
        assert!(!round["failure"].is_null(), "{name}: {round}");
        let row = tables.lines().find(|line| line.starts_with(&format!("| {name}, "))).expect("a row");
        assert!(row.contains("| failed | | | |") && row.contains(count), "{row}");
        assert!(chart.contains(&format!("{name}, planted</text>")) && chart.contains("failed: "), "{chart}");
    }
    assert!(tables.lines().any(|line| line.starts_with("| honest, planted | ") && !line.contains("failed")));
}

/// What else the machine does meets every collector: each has its first round before any has its second, and how much
/// that was stands beside each row. The files are found by their glob and below their root.
#[test]
fn collectors_take_turns_and_the_load_of_others_is_told() {
    let scene = Scene::new();
    scene.planted("globbing", "");
    let text = fs::read_to_string(scene.path("rivals/globbing.toml")).expect("text");
    let rooted = text.replace("globbing", "rooted").replace("{glob}", "{root}/*/*/*.log");
    fs::write(scene.path("rivals/rooted.toml"), rooted).expect("written");

    let (record, said) = scene.compare(&["--idle-files", "0", "--inputs", "cri", "--rounds", "2"]);

    let turns: Vec<&str> = said
        .lines()
        .filter(|line| line.contains(" s CPU, "))
        .filter_map(|line| line.split(',').next())
        .collect();
    assert_eq!(turns, ["globbing", "rooted", "globbing", "rooted"], "{said}");
    for row in record["sections"][0]["rows"].as_array().expect("rows") {
        for round in row["rounds"].as_array().expect("rounds") {
            assert_eq!(round["failure"], Value::Null, "{row}");
            let others = round["others_percent"].as_f64().expect("a figure");
            assert!((0.0..=100.0).contains(&others), "{row}");
        }
    }
    assert!(scene.result("versus.svg").contains("other programs took "));
    let tables = scene.result("versus.md");
    let row = tables.lines().find(|line| line.starts_with("| rooted, planted | ")).expect("a row");
    assert!(row.ends_with("% |"), "{row}");
}

/// The idle cost is that of a collector that has delivered everything and follows files to which nothing is written.
#[test]
fn the_idle_cost_is_measured_of_those_that_follow() {
    let scene = Scene::new();
    scene.shipped("ringtail.toml");
    scene.planted("honest", "");
    let args = ["--idle-files", "20", "--idle", "2", "--only", "ringtail,honest", "--inputs", "docker-json"];
    let (record, _) = scene.compare(&args[..]);
    let rows = record["idle"]["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 2, "ringtail's two ways to files; a collector that ends has none: {rows:?}");
    for row in rows {
        let idle = &row["idle"];
        let refused = idle["failure"].as_str().is_some_and(|why| why.contains("exit status"));
        assert!(refused || idle["cpu_percent"].as_f64().is_some_and(|cpu| cpu < 50.0), "{row}");
        assert!(refused || idle["resident_mib"].as_f64().is_some_and(|mib| mib > 1.0), "{row}");
    }
}
