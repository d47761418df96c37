//! Which file is read under which name, and what is not read.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ringtail_agent::demo::kubelet;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use crate::support::log::Log;
use crate::support::program::{Io, command};
use crate::support::scene::{PATIENCE, Scene};
use crate::support::until;

crate::support::on_both_backends! {
    pods_are_known_wherever_kubelet_keeps_its_logs;
    a_rotated_file_named_alone_comes_alone;
    what_a_damaged_gz_loses_is_counted_by_what_its_end_says;
    a_gz_that_is_cut_off_is_told_and_no_number_is_made_up;
    fifos_and_sockets_are_refused;
    a_link_out_of_a_directory_of_logs_is_refused;
    a_component_swapped_while_the_agent_scans_leads_nowhere;
    a_name_that_is_a_log_and_everything_else_in_turn_leads_nowhere;
    what_root_mounts_among_the_logs_is_read_and_its_going_away_stops_nothing;
}

fn collect(io: Io, args: &[&Path]) -> Output {
    let mut command: Command = command(io);
    command.arg("collect").args(args).stdin(Stdio::null()).output().expect("the program runs")
}

/// The messages, in order.
fn messages(output: &[u8]) -> Vec<String> {
    let lines = output.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let message =
        |line| serde_json::from_slice::<Value>(line).expect("JSON")["message"].as_str().map(str::to_owned);
    lines.map(|line| message(line).expect("text")).collect()
}

fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn cri(name: &str, lines: usize) -> String {
    // Hardly compressible, so that a flipped byte damages what is near it and not all at once.
    let mut random = fastrand::Rng::with_seed(7);
    (0..lines)
        .map(|line| format!("2026-01-02T03:04:05.{line:09}Z stdout F {name} {line} {:x}\n", random.u128(..)))
        .collect()
}

/// The node's root is mounted elsewhere, kubelet's logs lie below another root than usual, and its files are links to
/// docker's: each log is read once, under the name that tells its pod, for static pods too.
fn pods_are_known_wherever_kubelet_keeps_its_logs(io: Io) {
    let scene = Scene::new(io);
    let (docker, logs) = (scene.path("host/data/docker/containers"), scene.path("host/data/kubelet-logs"));
    let (pods, containers) = (logs.join("pods"), logs.join("containers"));
    fs::create_dir_all(&containers).expect("directories");
    let uids = ["2f0d1c9e-8f43-4a5f-9a52-7c5e1c1b1a10", "0123456789abcdef0123456789abcdef"];
    for (number, uid) in uids.iter().enumerate() {
        let id = number.to_string().repeat(64);
        let real = docker.join(&id).join(format!("{id}-json.log"));
        fs::create_dir_all(real.parent().expect("a parent")).expect("directories");
        fs::write(&real, "{\"log\":\"hello\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}\n")
            .expect("written");
        let dir = pods.join(format!("shop_web-{number}_{uid}/app"));
        fs::create_dir_all(&dir).expect("directories");
        std::os::unix::fs::symlink(&real, dir.join("3.log")).expect("a link");
        let link = containers.join(format!("web-{number}_shop_app-{id}.log"));
        std::os::unix::fs::symlink(dir.join("3.log"), link).expect("a link");
    }
    let out = scene.path("out.ndjson");
    let config = scene.config().path(&docker.join("*/*-json.log")).path(&containers.join("*.log"));
    let agent = scene.start(&config.path(&pods.join("*/*/*.log")).file("main", &out));
    until("both logs arrive", PATIENCE, || records(&out).len() >= 2);
    agent.stop();
    let mut found = records(&out);
    found.sort_by_key(|record| record["k8s.pod.name"].to_string());
    assert_eq!(found.len(), 2, "each once: {found:?}");
    for (number, uid) in uids.iter().enumerate() {
        let record = &found[number];
        let expected = pods.join(format!("shop_web-{number}_{uid}/app/3.log"));
        assert_eq!(record["log.file.path"], expected.to_str().expect("UTF-8"));
        for (name, value) in
            [("k8s.namespace.name", "shop"), ("k8s.pod.uid", uid), ("k8s.container.name", "app")]
        {
            assert_eq!(record[name], value, "{record}");
        }
        assert_eq!(record["k8s.container.restart_count"], 3, "{record}");
    }
}

/// Neither the log that it belongs to nor its other siblings, compressed or not, through a link to its directory too.
fn a_rotated_file_named_alone_comes_alone(io: Io) {
    let scene = Scene::new(io);
    let (log, link) = (scene.logs().join("x.log"), scene.path("link"));
    std::os::unix::fs::symlink(scene.logs(), &link).expect("a link");
    for (number, suffix) in ["20260102-030405", "20260102-030415", "20260102-030425"].iter().enumerate() {
        fs::write(kubelet::with_suffix(&log, suffix), cri(&format!("rotated-{number}"), 20))
            .expect("written");
    }
    fs::write(&log, cri("current", 20)).expect("written");
    kubelet::compress(&kubelet::with_suffix(&log, "20260102-030405")).expect("compressed");
    for dir in [scene.logs(), link] {
        for (name, word) in [
            ("x.log.20260102-030405.gz", "rotated-0"),
            ("x.log.20260102-030415", "rotated-1"),
            ("x.log.20260102-030425", "rotated-2"),
            ("x.log", "current"),
        ] {
            let output = collect(io, &[&dir.join(name)]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let messages = messages(&output.stdout);
            assert!(
                messages.iter().all(|message| message.starts_with(word)),
                "{name}: {:?}",
                messages.first()
            );
            assert_eq!(messages.len(), 20, "{name}");
        }
    }
}

/// A `.gz` of `lines` lines: its path, its contents.
fn compressed(scene: &Scene, lines: usize) -> (std::path::PathBuf, String) {
    let path = scene.logs().join("0.log.1");
    let contents = cri("line", lines);
    fs::write(&path, &contents).expect("written");
    kubelet::compress(&path).expect("compressed");
    (scene.logs().join("0.log.1.gz"), contents)
}

/// The bytes that a warning of the agent names.
fn told_lost(output: &Output) -> Option<u64> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = said.lines().find(|line| line.contains("bytes were lost unread"))?;
    let (_, rest) = line.split_once("bytes=").or_else(|| line.split_once("\"bytes\":"))?;
    rest.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
}

fn what_a_damaged_gz_loses_is_counted_by_what_its_end_says(io: Io) {
    let scene = Scene::new(io);
    let (path, contents) = compressed(&scene, 20_000);
    let mut bytes = fs::read(&path).expect("read");
    let half = bytes.len() / 2;
    // A block of deflate that cannot be: wherever it lies, it is noticed soon.
    bytes[half..half + 2000].fill(0xff);
    fs::write(&path, bytes).expect("written");
    let output = collect(io, &[&path]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let delivered: usize =
        contents.lines().take(messages(&output.stdout).len()).map(|line| line.len() + 1).sum();
    let lost = told_lost(&output).expect("told");
    let (lost, missing) = (lost as f64, (contents.len() - delivered) as f64);
    // What came out between the last whole line and the damage counts as read.
    assert!(lost > 1e5 && (missing - lost).abs() < 0.1 * missing, "told {lost}, missing {missing}");
}

fn a_gz_that_is_cut_off_is_told_and_no_number_is_made_up(io: Io) {
    let scene = Scene::new(io);
    let (path, _) = compressed(&scene, 20_000);
    let bytes = fs::read(&path).expect("read");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    let output = collect(io, &[&path]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ends too early") && told_lost(&output).is_none(), "{said}");
    let messages = messages(&output.stdout).len();
    assert!((8_000..12_000).contains(&messages), "{messages} lines of the half that is there");
}

/// Named, in a directory, and behind a glob: told or left out, and never waited for.
fn fifos_and_sockets_are_refused(io: Io) {
    let scene = Scene::new(io);
    let mut log = Log::create(scene.logs().join("0.log"));
    log.print(20);
    let fifo = scene.logs().join("fifo.log");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
    let socket = scene.logs().join("socket.log");
    let _listens = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    for path in [&fifo, &socket, Path::new("/dev/null")] {
        let output = collect(io, &[path]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(path.to_str().expect("UTF-8")) && said.contains("not a regular file"),
            "{said}"
        );
    }
    for path in [scene.logs(), scene.logs().join("*.log")] {
        let output = collect(io, &[&path]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(messages(&output.stdout).len() >= 20);
    }
}

/// What the agent delivers.
fn delivered(out: &Path) -> String {
    fs::read_to_string(out).unwrap_or_default()
}

/// A container writes links into a directory of logs, to a file and to a directory, and names a rotated file like its secret:
/// nothing of it is read, it is told, in `check` too; and the other logs go on.
fn a_link_out_of_a_directory_of_logs_is_refused(io: Io) {
    let scene = Scene::new(io);
    let (volume, etc, out) = (scene.path("volume"), scene.path("etc"), scene.path("out.ndjson"));
    [&volume, &etc].iter().for_each(|dir| fs::create_dir(dir).expect("a directory"));
    fs::write(etc.join("shadow"), "secret\n").expect("written");
    fs::write(etc.join("shadow.log"), "secret\n").expect("written");
    let link = |to: &Path, at: &Path| std::os::unix::fs::symlink(to, at).expect("a link");
    link(&etc.join("shadow"), &volume.join("x.log"));
    link(&etc, &volume.join("dir"));
    fs::write(volume.join("good.log"), "good\n").expect("written");
    link(&etc.join("shadow"), &volume.join("good.log.1"));
    let paths = |config: crate::support::config::Config| {
        config.path(&volume.join("*.log")).path(&volume.join("*/*.log"))
    };
    let config = paths(scene.config()).file("main", &out);
    let agent = scene.start(&config);
    until("the good log arrives", PATIENCE, || delivered(&out).contains("good"));
    link(&etc.join("shadow"), &volume.join("later.log"));
    until("the refusals are told", PATIENCE, || {
        ["x.log", "dir", "later.log"].iter().all(|name| {
            let path = volume.join(name);
            scene
                .said()
                .lines()
                .any(|line| line.contains(path.to_str().expect("UTF-8")) && line.contains("leads out"))
        })
    });
    agent.stop();
    assert!(!delivered(&out).contains("secret"), "{}", delivered(&out));
    let checked =
        command(io).arg("check").arg(scene.write_config(&config)).output().expect("the program runs");
    assert!(String::from_utf8_lossy(&checked.stdout).contains("leads out"), "{checked:?}");
    // Whoever names it on the command line reads it with his own rights.
    let output = collect(io, &[&volume.join("x.log")]);
    assert!(messages(&output.stdout).contains(&"secret".to_owned()), "{output:?}");
    let output = collect(io, &[&volume.join("*.log")]);
    assert!(output.status.success() && messages(&output.stdout).len() >= 2, "{output:?}");
}

/// A directory on the way is swapped for a link to the secrets, again and again, while the agent scans and opens.
fn a_component_swapped_while_the_agent_scans_leads_nowhere(io: Io) {
    use rustix::fs::{RenameFlags, renameat_with};
    let scene = Scene::new(io);
    let (volume, etc, out) = (scene.path("volume"), scene.path("etc"), scene.path("out.ndjson"));
    fs::create_dir_all(volume.join("sub")).expect("directories");
    fs::create_dir(&etc).expect("a directory");
    std::os::unix::fs::symlink(&etc, volume.join("aside")).expect("a link");
    for number in 0..50 {
        fs::write(etc.join(format!("{number}.log")), "secret\n").expect("written");
    }
    let agent = scene.start(&scene.config().path(&volume.join("*/*.log")).file("main", &out));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(4);
    let mut number = 0;
    while std::time::Instant::now() < deadline {
        renameat_with(CWD, volume.join("sub"), CWD, volume.join("aside"), RenameFlags::EXCHANGE)
            .expect("exchanged");
        number += 1;
        if number % 100 == 0 {
            // New names, so that the scanner has something to open.
            let dir =
                ["sub", "aside"].map(|name| volume.join(name)).into_iter().find(|dir| !dir.is_symlink());
            let name = format!("{}.log", number / 100 % 50);
            crate::support::scene::append(&dir.expect("one of them").join(name), b"mine\n");
        }
    }
    until("something of it arrives", PATIENCE, || delivered(&out).contains("mine"));
    agent.stop();
    assert!(!delivered(&out).contains("secret"), "{}", delivered(&out));
}

/// One name in a container's volume is its log, a link to the logs of its neighbours, a magic link, a FIFO, a socket and a
/// device in turn, while the agent looks, opens and reads, for a pipeline that names the volume and nothing else.
fn a_name_that_is_a_log_and_everything_else_in_turn_leads_nowhere(io: Io) {
    let scene = Scene::new(io);
    let (volume, out) = (scene.path("volume"), scene.path("out.ndjson"));
    let id = "0123456789abcdef".repeat(4);
    let neighbours = [
        scene.path("log/pods/bank_vault-0_8f1c/app/0.log"),
        scene.path(&format!("docker/containers/{id}/{id}-json.log")),
    ];
    let write = |path: &Path, text: &str| {
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, text).expect("written");
    };
    neighbours.iter().for_each(|log| write(log, "secret\n"));
    // As kubelet would call them.
    let names = [
        volume.join("x.log"),
        volume.join("pods/bank_vault-0_8f1c/app/0.log"),
        volume.join(format!("containers/vault-0_bank_app-{id}.log")),
    ];
    names.iter().for_each(|name| write(name, "mine\n"));
    let agent = scene.start(&scene.config().path(&volume.join("**/*.log")).file("main", &out));
    until("it is read", PATIENCE, || delivered(&out).contains("mine"));
    let fd = format!("/proc/{}/fd/1", std::process::id());
    let device = rustix::fs::makedev(1, 5);
    let next = volume.join("next");
    let link = |to: &Path| std::os::unix::fs::symlink(to, &next);
    let node = |kind, device| mknodat(CWD, &next, kind, Mode::RUSR | Mode::WUSR, device).map_err(Into::into);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
    for number in 0.. {
        let made: std::io::Result<()> = match number % 8 {
            0 => link(&neighbours[0]),
            1 => link(&neighbours[1]),
            2 => link(Path::new(&fd)),
            3 => link(Path::new("/proc/self/environ")),
            4 => node(FileType::Fifo, 0),
            5 => std::os::unix::net::UnixListener::bind(&next).map(drop),
            6 => node(FileType::CharacterDevice, device),
            _ => fs::write(&next, "mine\n"),
        };
        // Only root makes devices.
        if made.is_ok() {
            fs::rename(&next, &names[number / 8 % names.len()]).expect("renamed");
        }
        std::thread::sleep(std::time::Duration::from_micros(500));
        if std::time::Instant::now() > deadline && number % 8 == 7 {
            break;
        }
    }
    let mut log = fs::File::options().append(true).open(&names[0]).expect("a log again");
    std::io::Write::write_all(&mut log, b"the end\n").expect("written");
    until("the others go on", PATIENCE, || delivered(&out).contains("the end"));
    agent.stop();
    for record in records(&out) {
        let message = record["message"].as_str().expect("text");
        assert!(message == "mine" || message == "the end", "{record}");
    }
}

/// A mount is no link: only root makes one on the node.
fn what_root_mounts_among_the_logs_is_read_and_its_going_away_stops_nothing(io: Io) {
    use rustix::mount::{UnmountFlags, mount_bind, unmount};
    /// Taken away when dropped.
    struct Bound(std::path::PathBuf);
    impl Drop for Bound {
        fn drop(&mut self) {
            if let Err(error) = unmount(&self.0, UnmountFlags::DETACH) {
                eprintln!("{} stays mounted: {error}", self.0.display());
            }
        }
    }
    let scene = Scene::new(io);
    let (volume, out) = (scene.path("volume"), scene.path("out.ndjson"));
    [volume.join("sub"), scene.path("other")]
        .iter()
        .for_each(|dir| fs::create_dir_all(dir).expect("directories"));
    fs::write(scene.path("other/x.log"), "mounted\n").expect("written");
    fs::write(volume.join("sub/y.log"), "beneath\n").expect("written");
    if let Err(error) = mount_bind(scene.path("other"), volume.join("sub")) {
        return crate::support::not_run("a mount among the logs", &error.to_string());
    }
    let bound = Bound(volume.join("sub"));
    let agent = scene.start(&scene.config().path(&volume.join("*/*.log")).file("main", &out));
    until("what is mounted is read", PATIENCE, || delivered(&out).contains("mounted"));
    assert!(!delivered(&out).contains("beneath"));
    drop(bound);
    until("what lay beneath is read", PATIENCE, || delivered(&out).contains("beneath"));
    agent.stop();
}
