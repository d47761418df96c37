//! A Docker daemon of one's own: private socket, data and state, no network, an image of busybox alone.
//!
//! Spoken to in HTTP over its socket, so that no client has to be installed. At its end everything that it
//! started is gone, also when a test fails: containers, shims, containerd, mounts, files.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ringtail_agent::demo::agent::Agent;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::until;

const START: Duration = Duration::from_secs(60);
const IMAGE: &str = "ringtail-test-busybox";
/// Where Debian, Ubuntu and their likes put things, besides the search path.
const PLACES: [&str; 6] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/// The daemon.
pub(crate) struct Dockerd {
    dir: TempDir,
    daemon: Agent,
}

/// What a container runs, and how its log is kept.
pub(crate) struct Run<'a> {
    /// A script of busybox's shell.
    pub(crate) script: &'a str,
    /// A directory of the host that it sees as `/data`.
    pub(crate) data: &'a Path,
    /// Options of the json-file driver.
    pub(crate) log: &'a [(&'a str, &'a str)],
}

impl Dockerd {
    /// Starts it; the error says why that cannot be done on this machine.
    pub(crate) fn start() -> Result<Self, String> {
        let program = find("dockerd").ok_or("dockerd is not installed (apt install docker.io)")?;
        let busybox = find("busybox").ok_or("busybox is not installed (apt install busybox-static)")?;
        if !rustix::process::geteuid().is_root() {
            return Err("not root".into());
        }
        let dir = tempfile::Builder::new()
            .prefix("ringtail-dockerd-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let at = |rest: &str| dir.path().join(rest);
        let mut command = Command::new(program);
        command.arg("--host").arg(format!("unix://{}", at("docker.sock").display()));
        command.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec"));
        command.arg("--pidfile").arg(at("docker.pid"));
        command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
        // A configuration of this machine's own daemon is not ours.
        fs::write(at("daemon.json"), "{}").map_err(|error| error.to_string())?;
        command.arg("--config-file").arg(at("daemon.json"));
        let daemon = Agent::spawn(command, &at("dockerd.log")).map_err(|error| error.to_string())?;
        let mut dockerd = Dockerd { dir, daemon };
        dockerd.wait_until_up()?;
        dockerd.import(&busybox)?;
        Ok(dockerd)
    }

    fn wait_until_up(&mut self) -> Result<(), String> {
        let deadline = std::time::Instant::now() + START;
        while !matches!(self.request("GET", "/_ping", "", b""), Ok((200, _))) {
            if self.daemon.ended().is_some() || std::time::Instant::now() > deadline {
                let said = self.daemon.said();
                return Err(format!("dockerd does not start: {}", said.lines().last().unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// An image with busybox and the names that it goes by, from a tar, without a registry.
    fn import(&self, busybox: &Path) -> Result<(), String> {
        let told = |error: io::Error| format!("the image of busybox: {error}");
        let root = self.dir.path().join("image");
        fs::create_dir_all(root.join("bin")).map_err(told)?;
        fs::copy(busybox, root.join("bin/busybox")).map_err(told)?;
        for name in ["sh", "cat", "sleep", "echo"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).map_err(told)?;
        }
        let tar = Command::new("tar").arg("-C").arg(&root).args(["-cf", "-", "."]).output().map_err(told)?;
        let target = format!("/images/create?fromSrc=-&repo={IMAGE}&tag=1");
        match self.request("POST", &target, "application/x-tar", &tar.stdout).map_err(told)? {
            (200, body) if !body.contains("\"error\"") => Ok(()),
            (status, body) => Err(format!("the image of busybox: {status} {body}")),
        }
    }

    /// Where the daemon keeps `<id>/<id>-json.log`.
    pub(crate) fn containers(&self) -> PathBuf {
        self.dir.path().join("data/containers")
    }

    /// Creates and starts a container; its id.
    pub(crate) fn run(&self, run: &Run<'_>) -> String {
        let log: Value =
            run.log.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        let body = json!({
            "Image": format!("{IMAGE}:1"),
            "Cmd": ["/bin/sh", "-c", run.script],
            "Env": ["PATH=/bin"],
            "HostConfig": {
                "NetworkMode": "none",
                "Binds": [format!("{}:/data:ro", run.data.display())],
                "LogConfig": {"Type": "json-file", "Config": log},
            },
        });
        let created = self.expect("POST", "/containers/create", body.to_string().as_bytes(), 201);
        let created: Value = serde_json::from_str(&created).expect("JSON of dockerd");
        let id = created["Id"].as_str().expect("an id").to_owned();
        self.expect("POST", &format!("/containers/{id}/start"), b"", 204);
        id
    }

    /// Waits for a container's end, which has to be a success.
    #[track_caller]
    pub(crate) fn wait(&self, id: &str) {
        let mut state = Value::Null;
        until("the container ends", Duration::from_secs(60), || {
            let body = self.expect("GET", &format!("/containers/{id}/json"), b"", 200);
            state = serde_json::from_str::<Value>(&body).expect("JSON of dockerd")["State"].clone();
            state["Status"] == "exited"
        });
        assert_eq!(state["ExitCode"], 0, "{state}");
    }

    /// Removes a container and its log.
    pub(crate) fn remove(&self, id: &str) {
        self.expect("DELETE", &format!("/containers/{id}?force=1"), b"", 204);
    }

    #[track_caller]
    fn expect(&self, method: &str, target: &str, body: &[u8], status: u16) -> String {
        let (got, body) = self.request(method, target, "application/json", body).expect("dockerd answers");
        assert_eq!(got, status, "{method} {target}: {body}");
        body
    }

    /// In HTTP/1.0: the answer ends with the connection.
    fn request(&self, method: &str, target: &str, kind: &str, body: &[u8]) -> io::Result<(u16, String)> {
        let mut stream = UnixStream::connect(self.dir.path().join("docker.sock"))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(stream, "{method} {target} HTTP/1.0\r\nHost: docker\r\nContent-Type: {kind}\r\n")?;
        write!(stream, "Content-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no status"))?;
        Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
    }

    /// What this daemon started: its paths are in their command lines.
    fn children(&self) -> Vec<Pid> {
        let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
        let dir = self.dir.path().to_str().unwrap_or("a path in UTF-8");
        let ours = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(dir)
        };
        let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(ours)
            .filter(|&pid| Some(pid) != i32::try_from(self.daemon.id()).ok())
            .filter_map(Pid::from_raw)
            .collect()
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // Everything here is done as far as it goes: a test has already passed or failed.
        if let Ok((_, list)) = self.request("GET", "/containers/json", "", b"") {
            let list: Vec<Value> = serde_json::from_str(&list).unwrap_or_default();
            for id in list.iter().filter_map(|container| container["Id"].as_str()) {
                let _ = self.request("DELETE", &format!("/containers/{id}?force=1"), "", b"");
            }
        }
        self.daemon.signal(Signal::TERM);
        if self.daemon.wait(Duration::from_secs(20)).is_none() {
            self.daemon.signal(Signal::KILL);
            self.daemon.wait(Duration::from_secs(5));
        }
        for pid in self.children() {
            let _ = kill_process(pid, Signal::KILL);
        }
        unmount_below(self.dir.path());
    }
}

fn unmount_below(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| Path::new(point).starts_with(dir));
    // The innermost first.
    let mut points: Vec<&str> = points.collect();
    points.sort_by_key(|point| std::cmp::Reverse(point.len()));
    for point in points {
        let _ = Command::new("umount").arg("-l").arg(point).status();
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(PLACES.iter().map(PathBuf::from));
    places.map(|place| place.join(program)).find(|path| path.is_file())
}
