//! Deleted logs are held open as long as something of them is to be read, and no longer: their space on the disk is the node's.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use ringtail_agent::demo::http::Answer;
use ringtail_agent::demo::sink::Reply;
use ringtail_agent::demo::{Sink, kubelet};

use crate::support::descriptors::{deleted_below, open_below};
use crate::support::log::Log;
use crate::support::metrics::{free_addr, metric};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Running, Scene, good_sink, require_exact, settle, verdict};
use crate::support::until;

crate::support::on_both_backends! {
    deleted_logs_that_were_read_are_closed;
    deleted_logs_of_a_dead_backend_are_given_up_and_counted;
    compressed_logs_that_are_removed_while_the_backend_is_away_arrive;
}

fn held(scene: &Scene, agent: &Running) -> Vec<String> {
    deleted_below(&scene.logs(), agent.0.id())
}

/// Removed and never seen again, removed with its directory, made anew and silent, made anew and written to, and a rotated one:
/// none of them stays open, though `hold_deleted` would let it for an hour.
fn deleted_logs_that_were_read_are_closed(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let names = ["gone", "pod-gone", "silent", "written", "rotated", "silent-twice"];
    let create = |name: &str| {
        let directory = scene.logs().join(name);
        fs::create_dir(&directory).expect("a directory");
        Log::create(directory.join(format!("{name}.log")))
    };
    let mut logs = names.map(create);
    let config = scene.config().path(&scene.logs().join("*/*.log")).http("main", &sink.url(), "");
    let agent = scene.start(&config);
    for log in &mut logs {
        log.print(100);
        require_exact(&sink, &log.written());
    }
    let [gone, pod, silent, written, rotated, twice] = &mut logs;
    fs::remove_file(gone.path()).expect("unlinked");
    fs::remove_dir_all(pod.path().parent().expect("a directory")).expect("removed");
    silent.unlink();
    written.unlink();
    written.print(10);
    let old = rotated.rotate("20260102-030405");
    rotated.print(10);
    require_exact(&sink, &rotated.written());
    fs::remove_file(old).expect("unlinked");
    twice.unlink();
    twice.unlink();
    until("the deleted logs are closed", PATIENCE / 2, || held(&scene, &agent).is_empty());
    for log in [silent, written, rotated, twice] {
        log.print(10);
        require_exact(&sink, &log.written());
    }
    until("none is open again", PATIENCE / 2, || held(&scene, &agent).is_empty());
    agent.stop();
}

/// The backend is dead for longer than `hold_deleted` allows: the file is closed, what was not read of it is counted as lost and
/// told, what was read arrives when the backend is back, and so does everything else.
fn deleted_logs_of_a_dead_backend_are_given_up_and_counted(io: Io) {
    let (scene, admin, dead) = (Scene::new(io), free_addr(), Arc::new(AtomicBool::new(true)));
    let policy = Arc::clone(&dead);
    let sink = Sink::start(move || match policy.load(Relaxed) {
        true => Reply::refused(Answer::Reset),
        false => Reply::OK,
    });
    let sink = sink.expect("a sink");
    // More than memory holds, and less: of the short one nothing is lost.
    let mut long = Log::create(scene.logs().join("long.log"));
    let mut short = Log::create(scene.logs().join("short.log"));
    short.print(100);
    let config = scene.config().admin(admin).top("memory: 16MiB").top("threads: 1");
    let config = config.top("hold_deleted: {max_bytes: 1GiB, max_age: 2s}").path(&scene.logs().join("*.log"));
    let config = config.from("max_line: 64KiB").from("max_record: 256KiB").http(
        "main",
        &sink.url(),
        "compression: none, timeout: 5s,",
    );
    let agent = scene.start(&config);
    until("the short one is tried", PATIENCE, || sink.requests() > 0);
    long.print(100_000);
    let bytes = fs::metadata(long.path()).expect("a log").len();
    for log in [&long, &short] {
        fs::remove_file(log.path()).expect("unlinked");
    }
    until("they are given up", PATIENCE, || held(&scene, &agent).is_empty());
    let lost = || metric(admin, "ringtail_lost_bytes_total", "reason=\"deleted\"").unwrap_or(0.0);
    until("the loss is counted", PATIENCE, || lost() > 0.0);
    let lost = lost();
    assert!(scene.said().contains("long.log") && scene.said().contains("lost unread"), "it is told");

    dead.store(false, Relaxed);
    let mut next = Log::create(scene.logs().join("next.log"));
    next.print(100);
    settle(&sink, &next.written(), PATIENCE);
    settle(&sink, &short.written(), PATIENCE);
    agent.stop();
    for log in [&next, &short] {
        let verdict = verdict(&sink, &log.written());
        assert!(verdict.lost == 0 && verdict.repeated == 0, "{verdict}");
    }
    let verdict = verdict(&sink, &long.written());
    println!("FIG a deleted log of a dead backend: {lost} of {bytes} bytes given up; {verdict}");
    assert!(verdict.lost > 0 && verdict.repeated == 0 && verdict.out_of_order == 0, "{verdict}");
    // A message is 300 bytes in a log, more or less.
    let about: f64 = format!("{}", verdict.lost * (bytes / verdict.written)).parse().expect("a number");
    assert!((0.8..1.25).contains(&(lost / about)), "about {about} bytes are lost, {lost} are counted");
}

/// The backend is away while a log is rotated, compressed and removed again and again; new files get the inode numbers of removed ones.
/// The originals of the compressed files are open, so that all arrives when the backend is back.
fn compressed_logs_that_are_removed_while_the_backend_is_away_arrive(io: Io) {
    const ROTATIONS: u32 = 24;
    const KEPT: u32 = 2;
    let (scene, admin, away) = (Scene::new(io), free_addr(), Arc::new(AtomicBool::new(true)));
    let policy = Arc::clone(&away);
    let sink = Sink::start(move || match policy.load(Relaxed) {
        true => Reply::refused(Answer::Reset),
        false => Reply::OK,
    });
    let sink = sink.expect("a sink");
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().admin(admin).top("memory: 16MiB").path(log.path());
    let config = config.from("max_line: 64KiB").from("max_record: 256KiB").http(
        "main",
        &sink.url(),
        "compression: none,",
    );
    let agent = scene.start(&config);
    let path = log.path().display().to_string();
    let has_open = || open_below(&scene.logs(), agent.0.id()).contains(&path);
    for rotation in 0..ROTATIONS {
        until("the log is open", PATIENCE, has_open);
        log.print(4000);
        if let Some(oldest) = rotation.checked_sub(KEPT) {
            let oldest = kubelet::with_suffix(log.path(), &format!("20260102-{oldest:06}.gz"));
            fs::remove_file(oldest).expect("unlinked");
        }
        // The new log gets the number before anybody sees that the other one is gone.
        let rotated = log.rotate(&format!("20260102-{rotation:06}"));
        kubelet::compress(&rotated).expect("compressed");
        // So that the compressed file is known before it goes; where it is not, nothing is asked of the agent that it could not do.
        thread::sleep(Duration::from_millis(60));
    }
    log.print(100);
    assert!(held(&scene, &agent).len() > 3, "more is behind than memory holds");
    away.store(false, Relaxed);
    require_exact(&sink, &log.written());
    assert_eq!(metric(admin, "ringtail_lost_bytes_total", "").unwrap_or(0.0), 0.0);
    until("the deleted logs are closed", PATIENCE, || held(&scene, &agent).is_empty());
    agent.stop();
}
