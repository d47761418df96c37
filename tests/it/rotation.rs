//! Every way in which a log file is rotated, seen by a running agent, one that looks away, and one that is down.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use ringtail_agent::demo::Sink;
use ringtail_agent::demo::container::{Container, Printer};
use ringtail_agent::demo::dockerd::{DockerLog, Options};
use ringtail_agent::demo::http::Answer;
use ringtail_agent::demo::kubelet;
use ringtail_agent::demo::load::Load;
use ringtail_agent::demo::message::Text;
use ringtail_agent::demo::sink::Reply;
use rustix::process::Signal;

use crate::support::log::Log;
use crate::support::metrics::{free_addr, metric};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Running, Scene, good_sink, require_exact, settle, verdict};
use crate::support::{config::Config, until};

crate::support::on_both_backends! {
    renamed_twice_between_two_looks;
    renamed_and_renamed_back;
    unlinked_and_recreated_between_two_looks;
    deleted_while_open_with_an_unread_rest;
    copied_and_truncated_after_it_was_read;
    truncated_unread_is_counted;
    compressed_while_the_agent_was_down;
    rotated_several_times_while_the_agent_was_down;
    renamed_while_the_agent_was_down_and_not_reopened;
    deleted_while_the_agent_was_down_is_counted;
    dockerd_rotations_under_load;
    the_same_path_through_a_symlink_and_a_glob_is_read_once;
    a_new_file_is_seen_soon;
}

/// A followed log with a delivered beginning.
struct Followed {
    scene: Scene,
    sink: Sink,
    log: Log,
    agent: Running,
    config: Config,
}

impl Followed {
    fn start(io: Io) -> Self {
        let (scene, sink) = (Scene::new(io), good_sink());
        let mut log = Log::create(scene.logs().join("0.log"));
        log.print(500);
        let config = scene.config().path(log.path()).http("main", &sink.url(), "");
        let agent = scene.start(&config);
        require_exact(&sink, &log.written());
        Followed { scene, sink, log, agent, config }
    }

    /// Everything once, and a clean end; also after a restart.
    #[track_caller]
    fn finish(mut self) {
        self.log.print(500);
        require_exact(&self.sink, &self.log.written());
        self.agent.stop();
        let agent = self.scene.start(&self.config);
        self.log.print(50);
        require_exact(&self.sink, &self.log.written());
        agent.stop();
        let verdict = verdict(&self.sink, &self.log.written());
        assert!(verdict.exact(), "after a restart: {verdict}");
    }
}

fn renamed_twice_between_two_looks(io: Io) {
    let mut followed = Followed::start(io);
    let Followed { agent, log, .. } = &mut followed;
    agent.blink(|| {
        log.print(500);
        log.rotate("20260102-030405");
        log.print(500);
        log.rotate("20260102-030415");
        log.print(500);
    });
    followed.finish();
}

/// kubelet undoes the rename when the runtime does not reopen the log.
fn renamed_and_renamed_back(io: Io) {
    let mut followed = Followed::start(io);
    for look in [true, false] {
        let Followed { agent, log, sink, .. } = &mut followed;
        let rename = |log: &mut Log| {
            let away = log.rename("20260102-030405");
            log.print(300);
            if look {
                settle(sink, &log.written(), PATIENCE / 4);
            }
            fs::rename(away, log.path()).expect("renamed");
            log.print(300);
        };
        match look {
            true => rename(log),
            false => agent.blink(|| rename(log)),
        }
        require_exact(&followed.sink, &followed.log.written());
    }
    followed.finish();
}

/// dockerd with max-file=1: the old file has no name any more, and has an unread rest.
fn unlinked_and_recreated_between_two_looks(io: Io) {
    let mut followed = Followed::start(io);
    let Followed { agent, log, .. } = &mut followed;
    agent.blink(|| {
        log.print(500);
        log.unlink();
        log.print(500);
    });
    followed.finish();
}

fn deleted_while_open_with_an_unread_rest(io: Io) {
    let mut followed = Followed::start(io);
    let Followed { agent, log, sink, .. } = &mut followed;
    agent.blink(|| {
        log.print(3000);
        fs::remove_file(log.path()).expect("unlinked");
    });
    // The writer still has it open.
    log.print(500);
    require_exact(sink, &log.written());
    log.reopen();
    followed.finish();
}

/// logrotate's copytruncate with `rotate 3`: the copies are not read again, nor is anything lost, when the file was read
/// to its end before.
fn copied_and_truncated_after_it_was_read(io: Io) {
    let mut followed = Followed::start(io);
    for round in 1..2 {
        let path = |number: u32| kubelet::with_suffix(followed.log.path(), &number.to_string());
        for number in [2, 1] {
            // The first rounds have fewer copies.
            let _ = fs::rename(path(number), path(number + 1));
        }
        followed.log.copytruncate("1");
        followed.log.print(100 * round);
        require_exact(&followed.sink, &followed.log.written());
    }
    followed.finish();
}

/// A backend takes nothing, so that the agent knows of more than it can hold. What is truncated then is gone: the metric says
/// how much, the log names the file, what was read before arrives, and what follows too.
fn truncated_unread_is_counted(io: Io) {
    let admin = free_addr();
    let (scene, sick) = (Scene::new(io), Arc::new(AtomicBool::new(true)));
    let sink = failing_sink(&sick);
    let mut log = Log::create(scene.logs().join("0.log"));
    log.print(300_000);
    let before = fs::read(log.path()).expect("a log");
    let config = scene.config().admin(admin).top("memory: 64MiB").path(log.path());
    let agent = scene.start(&config.http("main", &sink.url(), "compression: none,"));
    until("a delivery is tried", PATIENCE, || sink.requests() > 2);
    log.truncate();
    let lost = || metric(admin, "ringtail_lost_bytes_total", "reason=\"truncated\"").unwrap_or(0.0);
    let mut after = Log::of("after", log.path().to_owned());
    after.print(10);
    until("the loss is counted", PATIENCE, || lost() > 0.0);
    sick.store(false, Relaxed);
    after.print(100);
    settle(&sink, &after.written(), PATIENCE);
    let what_follows = verdict(&sink, &after.written());
    assert!(what_follows.lost == 0 && what_follows.repeated == 0, "{what_follows}");
    // A message whose rest was truncated is delivered as far as whole lines of it were read, on either stream.
    let is_partial = what_follows.example.as_ref().is_none_or(|why| why.contains(r#"["partial"]"#));
    assert!(what_follows.damaged <= 2 && is_partial, "{what_follows}");

    let read = messages_but(&before, lost());
    let verdict = verdict(&sink, &log.written());
    println!("{verdict}; {} of {} bytes lost, {read} messages in the rest", lost(), before.len());
    assert!(verdict.repeated == 0 && verdict.out_of_order == 0, "{verdict}");
    assert!(
        verdict.delivered.abs_diff(read) < 10,
        "{read} messages were read before the truncation: {verdict}"
    );
    assert!(scene.said().contains(log.path().to_str().expect("UTF-8")), "the file is named");
    agent.stop();
}

/// How many messages end in the beginning of a CRI log, all but its last `lost` bytes.
fn messages_but(log: &[u8], lost: f64) -> u64 {
    let mut at = 0;
    let ends = |line: &&[u8]| {
        at += line.len();
        line.split(|&byte| byte == b' ').nth(2) == Some(b"F") && float(at) <= float(log.len()) - lost
    };
    log.split_inclusive(|&byte| byte == b'\n').filter(ends).count().try_into().unwrap_or(0)
}

/// The agent goes on inside the `.gz`, where it was.
fn compressed_while_the_agent_was_down(io: Io) {
    let Followed { scene, sink, mut log, agent, config } = Followed::start(io);
    agent.stop();
    log.print(500);
    kubelet::compress(&log.rotate("20260102-030405")).expect("compressed");
    log.print(500);
    let agent = scene.start(&config);
    require_exact(&sink, &log.written());
    agent.stop();
    // And once more, from a position in the newer file, past the older one.
    kubelet::compress(&log.rotate("20260102-030415")).expect("compressed");
    log.print(500);
    let agent = scene.start(&config);
    Followed { scene, sink, log, agent, config }.finish();
}

fn rotated_several_times_while_the_agent_was_down(io: Io) {
    let Followed { scene, sink, mut log, agent, config } = Followed::start(io);
    agent.stop();
    for (suffix, gzip) in [("20260102-030405", true), ("20260102-030415", true), ("20260102-030425", false)] {
        log.print(300);
        let rotated = log.rotate(suffix);
        if gzip {
            kubelet::compress(&rotated).expect("compressed");
        }
    }
    log.print(300);
    let agent = scene.start(&config);
    Followed { scene, sink, log, agent, config }.finish();
}

/// The rotated file has an unread rest, and there is no file of the log's own name: its container had ended.
fn renamed_while_the_agent_was_down_and_not_reopened(io: Io) {
    let Followed { scene, sink, mut log, agent, config } = Followed::start(io);
    agent.stop();
    log.print(300);
    log.rename("20260102-030405");
    let agent = scene.start(&config);
    require_exact(&sink, &log.written());
    agent.stop();
    let verdict = verdict(&sink, &log.written());
    assert!(verdict.exact(), "{verdict}");
}

/// What was unlinked while nobody looked is lost, and said so, from the size in the checkpoint; the new file is
/// read.
fn deleted_while_the_agent_was_down_is_counted(io: Io) {
    let admin = free_addr();
    let (scene, sick) = (Scene::new(io), Arc::new(AtomicBool::new(false)));
    let sink = failing_sink(&sick);
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().admin(admin).path(log.path()).http("main", &sink.url(), "");
    let mut agent = scene.start(&config);
    log.print(500);
    require_exact(&sink, &log.written());
    let delivered = fs::metadata(log.path()).expect("a log").len();
    sick.store(true, Relaxed);
    let requests = sink.requests();
    log.print(500);
    until("the rest is tried", PATIENCE, || sink.requests() > requests);
    agent.end(Signal::TERM);
    let unread = fs::metadata(log.path()).expect("a log").len() - delivered;
    log.unlink();
    sick.store(false, Relaxed);
    log.print(50);
    let agent = scene.start(&config);
    until("the new file arrives", PATIENCE, || sink.verifier().messages() >= 550);
    let lost = || metric(admin, "ringtail_lost_bytes_total", "reason=\"deleted\"").unwrap_or(0.0);
    until("the loss is counted", PATIENCE, || lost() > 0.0);
    // What was sent and never answered counts too: the agent cannot know that it arrived.
    let unanswered = lost() - float(unread);
    assert!((0.0..2000.0).contains(&unanswered), "{} bytes counted, {unread} deleted", lost());
    let verdict = verdict(&sink, &log.written());
    assert!((500..510).contains(&verdict.lost) && verdict.repeated == 0, "{verdict}");
    agent.stop();
}

/// A backend that takes nothing while `sick`.
fn failing_sink(sick: &Arc<AtomicBool>) -> Sink {
    let sick = Arc::clone(sick);
    let policy = move || match sick.load(Relaxed) {
        true => Reply::refused(Answer::Reset),
        false => Reply::OK,
    };
    Sink::start(policy).expect("a sink")
}

/// Log sizes of tests are below 2^52, which a float holds exactly.
#[allow(clippy::cast_precision_loss)]
fn float(bytes: impl TryInto<u64>) -> f64 {
    bytes.try_into().unwrap_or(0) as f64
}

/// json-file with several files, compressed ones, and a single one that is unlinked and created anew.
fn dockerd_rotations_under_load(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let mut containers: Vec<Box<dyn Printer>> = Vec::new();
    for (id, max_file, compress) in [("aaa", 3, false), ("bbb", 3, true), ("ccc", 1, false)] {
        let options = Options { max_size: 256 * 1024, max_file, compress };
        let log = DockerLog::create(&scene.logs(), id, options).expect("a log");
        containers.push(Box::new(Container::new(id, Text::Ascii, log)));
    }
    let config = scene.config().path(&scene.logs().join("*/*-json.log")).http("main", &sink.url(), "");
    let agent = scene.start(&config);
    // About four rotations a container; each file is there for more than a second, so that it is seen.
    let load = Load::start(containers, 500);
    std::thread::sleep(Duration::from_secs(8));
    let written = load.stop().expect("the containers print");
    require_exact(&sink, &written);
    agent.stop();
    let verdict = verdict(&sink, &written);
    assert!(verdict.exact(), "{verdict}");
}

/// As kubelet's `/var/log/containers` leads to `/var/log/pods`, and that perhaps to dockerd's file.
fn the_same_path_through_a_symlink_and_a_glob_is_read_once(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let mut log = Log::create(scene.logs().join("0.log"));
    let links = scene.path("links");
    fs::create_dir(&links).expect("a directory");
    link(log.path(), &links.join("web.log"));
    link(&links.join("web.log"), &links.join("again.log"));
    let config = scene.config().path(log.path()).path(&links.join("*.log")).path(&scene.logs()).http(
        "main",
        &sink.url(),
        "",
    );
    let agent = scene.start(&config);
    log.print(500);
    require_exact(&sink, &log.written());
    log.rotate("20260102-030405");
    log.print(500);
    require_exact(&sink, &log.written());
    agent.stop();
    let verdict = verdict(&sink, &log.written());
    assert!(verdict.exact(), "{verdict}");
}

fn link(to: &Path, at: &Path) {
    std::os::unix::fs::symlink(to, at).expect("a symlink");
}

/// A pattern that matches nothing yet is a warning; the directory may come later too.
fn a_new_file_is_seen_soon(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let config = scene.config().path(&scene.logs().join("later/*/*.log")).http("main", &sink.url(), "");
    let mut agent = scene.start(&config);
    std::thread::sleep(Duration::from_millis(500));
    agent.must_live();
    fs::create_dir_all(scene.logs().join("later/deep")).expect("directories");
    let mut log = Log::create(scene.logs().join("later/deep/x.log"));
    log.print(10);
    require_exact(&sink, &log.written());
    agent.stop();
}
