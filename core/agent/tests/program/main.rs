//! The program as an operator meets it: commands, exit codes, signals, reload. On the I/O backend that `RINGTAIL_IO`
//! names.

mod collect;
mod reports;
mod run;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, not started.
fn ringtail(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringtail"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs it to its end.
fn done(arguments: &[&str]) -> Output {
    ringtail(arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder of logs, a data directory, a configuration.
struct Ground {
    folder: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("logs")).expect("made");
        Ground { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).expect("written");
        self.path(name)
    }

    /// Appends CRI lines with these messages.
    fn log(&self, name: &str, messages: &[&str]) -> PathBuf {
        use std::io::Write;
        let path = self.path("logs").join(name);
        let mut file = fs::File::options().create(true).append(true).open(&path).expect("opened");
        for message in messages {
            writeln!(file, "2026-01-02T03:04:05.5Z stdout F {message}").expect("written");
        }
        path
    }

    /// A configuration whose outputs and pipelines are given, without admin endpoint.
    fn config(&self, rest: &str) -> PathBuf {
        let text = format!("data_dir: {}\nadmin: off\n{rest}", self.path("data").display());
        self.write("ringtail.yaml", &text.replace("ROOT", &self.folder.path().display().to_string()))
    }
}

/// All logs of a [`Ground`] to standard output.
const TO_STDOUT: &str = "outputs: {main: {type: stdout, batch: {max_delay: 50ms}}}
pipelines: {logs: {from: {files: {paths: [ROOT/logs/*.log]}}, to: [main]}}
";

/// A running program, whose lines are read as they come; killed when dropped.
struct Running {
    child: Child,
    out: Receiver<String>,
    log: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let out = lines(child.stdout.take().expect("piped"));
        let log = lines(child.stderr.take().expect("piped"));
        Running { child, out, log }
    }

    /// One of which nothing is heard here: its streams go elsewhere.
    fn of(child: Child) -> Self {
        Running { child, out: channel().1, log: channel().1 }
    }

    fn with_config(config: &Path) -> Self {
        Running::start(&mut ringtail(&["run", "--config", &config.display().to_string()]))
    }

    /// Waits until a line of the log contains this.
    #[track_caller]
    fn logged(&self, part: &str) -> String {
        awaited(&self.log, part)
    }

    /// Waits for records with these messages, in this order, and nothing between them.
    #[track_caller]
    fn printed(&self, messages: &[&str]) {
        for message in messages {
            let line = awaited(&self.out, "");
            let record: serde_json::Value = serde_json::from_str(&line).expect("a record");
            assert_eq!(record["message"], *message);
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it lives");
    }

    /// Ends it with SIGTERM; its exit code and what it still printed.
    fn stopped(mut self) -> (Option<i32>, Vec<String>) {
        self.signal(rustix::process::Signal::TERM);
        let code = self.ended();
        (code, self.out.iter().collect())
    }

    fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().expect("our child") {
                Some(status) => return status.code(),
                None if Instant::now() > deadline => panic!("it does not end"),
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[track_caller]
fn awaited(lines: &Receiver<String>, part: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(part) => return line,
            Ok(line) => seen.push(line),
            Err(_) => panic!("`{part}` never came, but:\n{}", seen.join("\n")),
        }
    }
}
