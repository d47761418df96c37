//! Containers of a real Docker daemon: what they print is what is delivered.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ringtail_agent::demo::container::Written;
use ringtail_agent::demo::message::{Messages, Text};
use ringtail_agent::demo::sink::take_ndjson;
use ringtail_agent::demo::{Sink, Verifier};

use crate::support::config::Config;
use crate::support::dockerd::{Dockerd, Run};
use crate::support::not_run;
use crate::support::program::{Io, with};
use crate::support::scene::{PATIENCE, Running, Scene, good_sink, require_exact, verdict};
use crate::support::until;

type Part = fn(&Dockerd, Io);

/// One daemon for all parts, one after the other: they share the machine's two cores anyway.
#[test]
fn what_containers_print_is_what_is_delivered() {
    let start = Instant::now();
    let dockerd = match Dockerd::start() {
        Ok(dockerd) => dockerd,
        Err(why) => return not_run("collection from a real container runtime", &why),
    };
    println!("dockerd and its image are there after {:?}", start.elapsed());
    let parts: [(&str, Part); 4] = [
        ("long lines, UTF-8 and escapes", both_streams_long_lines_and_escapes),
        ("json-file rotations", rotations_of_the_json_file_driver),
        ("a container that ended while the agent was down", a_container_that_ended_while_the_agent_was_down),
        ("the layout of kubelet over docker's files", kubelets_links_over_dockers_files),
    ];
    for (name, part) in parts {
        for io in [Io::Uring, Io::Pread] {
            let start = Instant::now();
            with(io, name, |io| part(&dockerd, io));
            println!("{name} on {}: {:?}", io.name(), start.elapsed());
        }
    }
}

/// Files of messages for a container to print, and their account.
struct Script {
    dir: PathBuf,
    name: String,
    streams: [(Messages, Written); 2],
}

impl Script {
    /// Long lines go to stdout in ASCII, since dockerd itself spoils a character that it cuts at 16 KiB; every
    /// script goes to stderr.
    fn new(scene: &Scene, name: &str) -> Self {
        let dir = scene.path(name);
        fs::create_dir_all(&dir).expect("a directory");
        let (out, err) = (format!("{name}/stdout"), format!("{name}/stderr"));
        let streams = [
            (Messages::new(&out, Text::Ascii), Written::new(&out)),
            (Messages::new(&err, Text::Unicode).short(), Written::new(&err)),
        ];
        Script { dir, name: name.to_owned(), streams }
    }

    /// Adds lines to the piece of this number.
    fn piece(mut self, number: usize, lines: usize) -> Self {
        let mut message = String::new();
        for ((messages, written), file) in self.streams.iter_mut().zip(["out", "err"]) {
            let mut file =
                BufWriter::new(File::create(self.dir.join(format!("{file}.{number}"))).expect("a file"));
            for _ in 0..lines {
                messages.next_into(&mut message);
                writeln!(file, "{message}").expect("written");
                written.add(message.len());
            }
            file.flush().expect("written");
        }
        self
    }

    fn written(&self) -> Vec<Written> {
        self.streams.iter().map(|stream| stream.1.clone()).collect()
    }

    /// Prints all pieces, both streams at once, with a pause behind each.
    fn run(&self, dockerd: &Dockerd, pause: &str, log: &[(&str, &str)]) -> String {
        let pieces = fs::read_dir(&self.dir).expect("read").count() / 2;
        let numbers: Vec<String> = (0..pieces).map(|number| number.to_string()).collect();
        let script = format!(
            "for i in {}; do cat /data/out.$i & cat /data/err.$i >&2; wait; sleep {pause}; done",
            numbers.join(" ")
        );
        println!("container {}", self.name);
        dockerd.run(&Run { script: &script, data: &self.dir, log })
    }
}

/// An agent that follows all containers of the daemon.
fn follow(dockerd: &Dockerd, scene: &Scene, sink: &Sink) -> Running {
    let paths = dockerd.containers().join("*/*-json.log");
    scene.start(&scene.config().path(&paths).http("main", &sink.url(), ""))
}

fn both_streams_long_lines_and_escapes(dockerd: &Dockerd, io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let agent = follow(dockerd, &scene, &sink);
    let scripts = ["one", "two"].map(|name| Script::new(&scene, name).piece(0, 5000));
    let ids = scripts.each_ref().map(|script| script.run(dockerd, "0", &[]));
    for (id, script) in ids.iter().zip(&scripts) {
        dockerd.wait(id);
        require_exact(&sink, &script.written());
        dockerd.remove(id);
    }
    agent.stop();
    for script in &scripts {
        let verdict = verdict(&sink, &script.written());
        assert!(verdict.exact(), "{verdict}");
    }
}

/// Several files, compressed ones, and one alone that is unlinked and created anew. A piece is smaller than a
/// file and followed by a pause, so that dockerd does not delete what was there for no time at all.
fn rotations_of_the_json_file_driver(dockerd: &Dockerd, io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let agent = follow(dockerd, &scene, &sink);
    let options: [(&str, &[(&str, &str)]); 3] = [
        ("several", &[("max-size", "300k"), ("max-file", "3")]),
        ("gzipped", &[("max-size", "300k"), ("max-file", "3"), ("compress", "true")]),
        ("single", &[("max-size", "300k"), ("max-file", "1")]),
    ];
    let running: Vec<(Script, String)> = options
        .into_iter()
        .map(|(name, log)| {
            let pieces = (0..8).fold(Script::new(&scene, name), |script, number| script.piece(number, 250));
            let id = pieces.run(dockerd, "0.5", log);
            (pieces, id)
        })
        .collect();
    for (script, id) in &running {
        dockerd.wait(id);
        require_exact(&sink, &script.written());
    }
    for (_, id) in &running {
        let rotated = fs::read_dir(dockerd.containers().join(id)).expect("read");
        let names: Vec<_> = rotated.map(|entry| entry.expect("an entry").file_name()).collect();
        println!("{names:?}");
        dockerd.remove(id);
    }
    agent.stop();
    for (script, _) in &running {
        let verdict = verdict(&sink, &script.written());
        assert!(verdict.exact(), "{verdict}");
    }
}

/// It printed through two rotations, compressed meanwhile, with nobody looking.
fn a_container_that_ended_while_the_agent_was_down(dockerd: &Dockerd, io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let first = Script::new(&scene, "before").piece(0, 300);
    let id = first.run(dockerd, "0", &[]);
    let agent = follow(dockerd, &scene, &sink);
    dockerd.wait(&id);
    require_exact(&sink, &first.written());
    agent.stop();
    let second = (0..6).fold(Script::new(&scene, "meanwhile"), |script, number| script.piece(number, 250));
    let unseen =
        second.run(dockerd, "0.2", &[("max-size", "300k"), ("max-file", "20"), ("compress", "true")]);
    dockerd.wait(&unseen);
    let agent = follow(dockerd, &scene, &sink);
    require_exact(&sink, &second.written());
    agent.stop();
    for script in [&first, &second] {
        let verdict = verdict(&sink, &script.written());
        assert!(verdict.exact(), "{verdict}");
    }
    [id, unseen].iter().for_each(|id| dockerd.remove(id));
}

/// As cri-dockerd does: `/var/log/pods/.../0.log` is a link to docker's file. Both paths together give each line once, and through
/// kubelet's path alone the records say whose they are.
fn kubelets_links_over_dockers_files(dockerd: &Dockerd, io: Io) {
    let scene = Scene::new(io);
    let script = Script::new(&scene, "linked").piece(0, 200).piece(1, 200);
    let id = script.run(dockerd, "1", &[("max-size", "100k"), ("max-file", "10")]);
    let dir = scene.path("pods/shop_web-0_4a5b6c7d/web");
    fs::create_dir_all(&dir).expect("directories");
    let target = dockerd.containers().join(&id).join(format!("{id}-json.log"));
    std::os::unix::fs::symlink(target, dir.join("0.log")).expect("a link");
    let (sink, out) = (good_sink(), scene.path("out.ndjson"));
    let (links, files) = (scene.path("pods/*/*/*.log"), dockerd.containers().join("*/*-json.log"));
    let both = scene.start(&scene.config().path(&links).path(&files).http("main", &sink.url(), ""));
    dockerd.wait(&id);
    require_exact(&sink, &script.written());
    both.stop();

    let config = Config::new(&scene.path("data2")).path(&links).file("main", &out);
    let linked = scene.start(&config);
    let all: u64 = script.written().iter().map(Written::count).sum();
    let verdict = || {
        let mut verifier = Verifier::default();
        let bytes = fs::read(&out).unwrap_or_default();
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        take_ndjson(&bytes[..whole], &mut verifier);
        verifier.verdict(script.written().iter().map(|written| (written.stream.as_ref(), written.count())))
    };
    until("all arrives through the link", PATIENCE, || verdict().delivered >= all);
    linked.stop();
    assert!(verdict().exact(), "{}", verdict());
    require_identity(&out);
    dockerd.remove(&id);
}

#[track_caller]
fn require_identity(out: &Path) {
    let text = fs::read_to_string(out).expect("read");
    let record: serde_json::Value =
        serde_json::from_str(text.lines().next().expect("a record")).expect("JSON");
    for (name, value) in [
        ("k8s.namespace.name", "shop"),
        ("k8s.pod.name", "web-0"),
        ("k8s.pod.uid", "4a5b6c7d"),
        ("k8s.container.name", "web"),
    ] {
        assert_eq!(record[name], value, "{record}");
    }
    let path = record["log.file.path"].as_str().unwrap_or_default();
    assert!(path.contains("/pods/shop_web-0_4a5b6c7d/web/"), "{path}");
}
