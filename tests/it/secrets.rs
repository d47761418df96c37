//! Nothing that is secret is printed, logged, served or left in a core dump.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use ringtail_agent::demo::agent::Agent;
use rustix::process::Signal;

use crate::support::metrics::{free_addr, get};
use crate::support::not_run;
use crate::support::program::{self, Io, command};
use crate::support::scene::{PATIENCE, Running, Scene};
use crate::support::until;

crate::support::on_both_backends! {
    nothing_that_is_secret_is_printed_or_served;
}

/// The variables of the environment that hold secrets, and these.
const VARIABLES: [(&str, &str); 4] = [
    ("URL_SECRET", "p%40ss-hunter2-in-url"),
    ("QUERY_SECRET", "key-in-query"),
    ("PATH_SECRET", "0123456789-token-in-path"),
    ("HEADER_SECRET", "token-in-header"),
];

/// What must never be seen: the above, as they are sent and decoded, those of files, those that somebody wrote into the
/// configuration itself, and what `user:p@ss-hunter2-in-url` and `me:open-sesame` become in a header.
const SECRETS: [&str; 10] = [
    "hunter2-in-url",
    "key-in-query",
    "0123456789-token-in-path",
    "token-in-header",
    "password-in-file",
    "open-sesame",
    "secret-as-it-is",
    "dXNlcjpwQHNzLWh1bnRlcjItaW4tdXJs",
    "bWU6b3Blbi1zZXNhbWU=",
    "secret-in-a-bad-line",
];

#[track_caller]
fn require_no_secret(where_: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in {where_}:\n{text}");
    }
}

/// The program with the secrets in its environment.
fn with_secrets(mut command: Command) -> Command {
    command.envs(VARIABLES);
    command
}

/// A configuration with a secret at every place that can have one, and an output for each host: `o0`, `o1`, ...
fn secret_config(scene: &Scene, hosts: &[&str], admin: &str) -> PathBuf {
    fs::write(scene.path("authorization"), "Bearer password-in-file\n").expect("written");
    fs::write(scene.path("basic"), "Basic bWU6b3Blbi1zZXNhbWU=\n").expect("written");
    let [data, dir, logs] = ["data", "", "logs/*.log"].map(|name| scene.path(name).display().to_string());
    let output = |(number, host): (usize, &&str)| {
        format!(
            "  o{number}:\n    type: http\n    \
             url: \"http://user:${{URL_SECRET}}@{host}/hook/${{PATH_SECRET}}/x?key=${{QUERY_SECRET}}\"\n    \
             headers:\n      X-Token: \"${{HEADER_SECRET}}\"\n      Authorization: \"file:{dir}authorization\"\n      \
             X-Basic: \"file:{dir}basic\"\n      X-Inline: secret-as-it-is\n    \
             timeout: 1s\n    batch: {{max_delay: 50ms}}\n"
        )
    };
    let outputs: String = hosts.iter().enumerate().map(output).collect();
    let names: Vec<String> = (0..hosts.len()).map(|number| format!("o{number}")).collect();
    let text = format!(
        "data_dir: {data}\nadmin: {admin}\noutputs:\n{outputs}pipelines:\n  p:\n    from:\n      \
         files: {{paths: [{logs}]}}\n      start: beginning\n    to: [{}]\n",
        names.join(", ")
    );
    let path = scene.path("ringtail.yaml");
    fs::write(&path, text).expect("written");
    path
}

/// What a backend makes of the lines of a request's head.
type Repeat = fn(&[String]) -> String;

/// Its headers, then its first line; that alone; what follows the last blank in each; cut off inside of a header.
const FORMS: [Repeat; 4] = [
    |head| head.iter().rev().cloned().collect::<Vec<_>>().join("; "),
    |head| head[0].clone(),
    |head| {
        let words = head[1..].iter().filter_map(|line| line.rsplit(' ').next());
        words.map(|word| format!("<{word}>")).collect()
    },
    |head| {
        let line = head.iter().find(|line| line.contains("Bearer")).expect("a token");
        format!("{}{line}", "x".repeat(200 - line.len() + 4))
    },
];

/// A backend that refuses and repeats the request in its answer, of which 200 bytes are shown.
fn echoing(status: &'static str, repeat: Repeat) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut head = Vec::new();
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                head.push(std::mem::take(&mut line).trim_end().to_owned());
            }
            // `doctor` connects and says nothing.
            let Some(repeated) = head.first().cloned() else { continue };
            let length =
                |line: &String| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok();
            let body_len: u64 = head.iter().find_map(length).unwrap_or(0);
            // Unread, it would reset the connection together with the answer.
            let _ = std::io::copy(&mut reader.take(body_len), &mut std::io::sink());
            let body = repeat(&head);
            // A client that went away needs no answer.
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nWWW-Authenticate: {repeated}\r\nLocation: /{repeated}\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    addr
}

/// Backends that refuse for good and for now, one that redirects, one that is down, a name that does not exist: at the most
/// talkative level, in `check` and `doctor`, in metrics and health, with a broken reload by signal.
fn nothing_that_is_secret_is_printed_or_served(io: Io) {
    let mut echoes = FORMS.map(|form| echoing("401 Unauthorized", form).to_string()).to_vec();
    echoes.extend(["503 Unavailable", "302 Found"].map(|status| echoing(status, FORMS[2]).to_string()));
    let mut hosts: Vec<&str> = echoes.iter().map(String::as_str).collect();
    hosts.extend(["127.0.0.1:1", "no-such-host.invalid"]);
    let (scene, admin) = (Scene::new(io), free_addr());
    let log = scene.logs().join("0.log");
    fs::write(&log, "2026-01-02T03:04:05Z stdout F line\n").expect("written");
    let path = secret_config(&scene, &hosts, &admin.to_string());
    for arguments in
        [&["check"][..], &["--json", "check"], &["doctor", "--config"], &["--json", "doctor", "--config"]]
    {
        let mut command = with_secrets(command(io));
        let output = command.args(arguments).arg(&path).output().expect("the program runs");
        require_no_secret(&format!("{arguments:?}"), &format!("{output:?}"));
    }
    let mut command = with_secrets(command(io));
    command.args(["--log-level", "trace", "run", "--config"]).arg(&path);
    let mut agent = Running(Agent::spawn(command, &scene.path("agent.log")).expect("started"));
    let told = |text: &str| scene.said().lines().filter(|line| line.contains(text)).count();
    for number in 0..hosts.len() {
        let output = format!("\"output\":\"o{number}\"");
        until("each output's failure is told", PATIENCE, || told(&output) > 0);
    }
    for page in ["/metrics", "/healthz", "/readyz"] {
        require_no_secret(page, &get(admin, page).expect("served").1);
    }
    let rejected = told("\"level\":\"ERROR\"");
    break_it(&path, "      Authorization: \"Bearer secret-in-a-bad-line\n");
    agent.0.signal(Signal::HUP);
    until("the broken file is told", PATIENCE, || told("\"level\":\"ERROR\"") > rejected);
    agent.must_live();
    agent.0.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(500));
    // What has not been delivered by now never will be: there is no need to wait for the stop's deadline.
    agent.end(Signal::KILL);
    let said = scene.said();
    assert!(said.contains("401 Unauthorized: ") && said.contains("***"), "the answers are shown: {said}");
    require_no_secret("the log", &said);
}

/// Puts a line among the headers, all at once as an editor does.
fn break_it(path: &Path, line: &str) {
    let text = fs::read_to_string(path).expect("read");
    let text = text.replacen("    headers:\n", &format!("    headers:\n{line}"), 1);
    let next = path.with_extension("next");
    fs::write(&next, text).expect("written");
    fs::rename(next, path).expect("renamed");
}

/// Whatever is wrong with the line that a secret stands in, its error does not repeat it.
#[test]
fn an_error_in_the_line_of_a_secret_does_not_repeat_it() {
    let bad = "secret-in-a-bad-line";
    for line in [
        // Quotes, brackets, colons and indentation that somebody forgot or put in.
        format!("      Authorization: \"Bearer {bad}\n"),
        format!("      Authorization: [Bearer {bad}\n"),
        format!("      Authorization: [Bearer {bad}]\n"),
        format!("      Authorization: {{Bearer: {bad}}}\n"),
        format!("      Authorization: Bearer: {bad}\n"),
        format!("      Authorization Bearer {bad}\n"),
        format!("      \"Authorization Bearer {bad}\":\n"),
        format!("      Bearer {bad}: x\n"),
        format!("      {bad}\n"),
        format!("    Authorization: {bad}\n    x: y\n"),
        format!("   Authorization: {bad}\n"),
        format!("    Authorization Bearer {bad}: x\n"),
        format!("\tAuthorization: {bad}\n"),
        format!("      Authorization: *{bad}\n"),
        format!("      Authorization: &{bad}\n"),
        format!("      Authorization: !{bad} x\n"),
        format!("      Authorization: %{bad}\n"),
        format!("      Authorization: @{bad}\n"),
        format!("      Authorization: '{bad}\n"),
        format!("      Authorization: \"\\q{bad}\"\n"),
        format!("      Authorization: \"{bad}\\n{bad}\"\n"),
        format!("      Authorization: \"{bad}\u{7f}\"\n"),
        format!("      Authorization: {bad} ${{NOT_SET}}\n"),
        format!("      Authorization: \"{bad} ${{HEADER_SECRET\"\n"),
        format!("      A: {bad}\n      A: {bad}\n"),
        // URLs that are none; what stands last counts.
        format!("    url: \"{bad}\"\n"),
        format!("    url: \"{bad}:x@host\"\n"),
        format!("    url: \"user:{bad}@host/\"\n"),
        format!("    url: \"http://user:{bad}@ho st/\"\n"),
        format!("    url: \"http://user:{bad}@host:99999999/\"\n"),
        format!("    url: \"http://:{bad}@/\"\n"),
        format!("    url: [\"http://user:{bad}@host/\"]\n"),
        format!("    url: http://user:{bad}@host/: x\n"),
    ] {
        let scene = Scene::new(Io::Pread);
        let path = secret_config(&scene, &["127.0.0.1:1"], "off");
        if line.trim_start().starts_with("url") {
            let text = fs::read_to_string(&path).expect("read");
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("url:"));
            fs::write(&path, lines.map(|line| format!("{line}\n")).collect::<String>()).expect("written");
            let text = fs::read_to_string(&path).expect("read");
            fs::write(&path, text.replacen("    headers:\n", &format!("{line}    headers:\n"), 1))
                .expect("written");
        } else {
            break_it(&path, &line);
        }
        for arguments in [&["check"][..], &["--json", "check"], &["doctor", "--config"], &["run", "--config"]]
        {
            let mut command = with_secrets(command(Io::Pread));
            let output = command.args(arguments).arg(&path).output().expect("the program runs");
            assert!(!output.status.success(), "{line} is taken: {output:?}");
            require_no_secret(&format!("{arguments:?} of {line:?}"), &format!("{output:?}"));
        }
    }
}

/// A crash leaves no core dump, where the node would make one of any other process.
#[test]
fn a_crash_leaves_no_core_dump() {
    let scene = Scene::new(Io::Pread);
    let path = secret_config(&scene, &["127.0.0.1:1"], "off");
    let crashed = |words: &[&str]| {
        let mut command = Command::new("prlimit");
        command.args(["--core=unlimited:unlimited", "--"]).args(words).current_dir(scene.path(""));
        let child = Agent::spawn(with_secrets(command), &scene.path("agent.log")).expect("started");
        let mut child = Running(child);
        until("it runs", PATIENCE, || {
            let program = fs::read_link(format!("/proc/{}/exe", child.0.id())).unwrap_or_default();
            !program.ends_with("prlimit") && (words.len() < 3 || scene.said().contains(" started"))
        });
        child.end(Signal::ABORT)
    };
    let agent = program::path();
    let agent = [agent.to_str().expect("UTF-8"), "run", "--config", path.to_str().expect("UTF-8")];
    let status = crashed(&agent);
    assert!(status.signal().is_some() && !status.core_dumped(), "{status:?}");
    assert_eq!(fs::read_dir(scene.path("")).expect("listed").flatten().filter(is_core).count(), 0);
    if !crashed(&["sleep", "600"]).core_dumped() {
        not_run("a core dump", "this node makes none of any process (RLIMIT_CORE, kernel.core_pattern)");
    }
}

fn is_core(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with("core")
}
