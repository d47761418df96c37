//! Logs that are hardly there: of pods that live for a second, and rotated before anybody saw them.

use std::fs;
use std::thread;
use std::time::Duration;

use ringtail_agent::demo::kubelet::compress;

use crate::support::log::Log;
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, good_sink, require_exact};
use crate::support::until;

crate::support::on_both_backends! {
    pods_that_live_for_a_second_are_delivered;
    rotated_twice_before_it_was_seen;
    rotated_twice_and_removed_while_it_is_held;
}

/// The jobs of a node: begun, finished and removed with all their files within a second, the last line just before.
fn pods_that_live_for_a_second_are_delivered(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let config = scene.config().path(&scene.logs().join("*/*/*.log")).http("main", &sink.url(), "");
    let agent = scene.start(&config);
    until("it runs", PATIENCE, || scene.said().contains(" started"));
    for round in 0..2 {
        let pod = |number: u32| scene.logs().join(format!("ns_job-{round}-{number}_uid"));
        let mut logs: Vec<Log> = (0..20)
            .map(|number| {
                fs::create_dir_all(pod(number).join("main")).expect("directories");
                Log::of(&format!("job-{round}-{number}"), pod(number).join("main/0.log"))
            })
            .collect();
        for _ in 0..9 {
            logs.iter_mut().for_each(|log| log.print(5));
            thread::sleep(Duration::from_millis(100));
        }
        for (log, number) in logs.iter_mut().zip(0..) {
            log.print(5);
            fs::remove_dir_all(pod(number)).expect("removed");
        }
        for log in &logs {
            require_exact(&sink, &log.written());
        }
    }
    agent.stop();
}

/// The agent looks for the first time when there are three files, one of them compressed: the oldest comes first.
fn rotated_twice_before_it_was_seen(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let config = scene.config().path(&scene.logs().join("*/*.log")).http("main", &sink.url(), "");
    let agent = scene.start(&config);
    until("it runs", PATIENCE, || scene.said().contains(" started"));
    let mut log = None;
    agent.blink(|| {
        fs::create_dir(scene.logs().join("new")).expect("a directory");
        let log = log.insert(Log::create(scene.logs().join("new/0.log")));
        log.print(300);
        compress(&log.rotate("20260102-030405")).expect("compressed");
        log.print(300);
        log.rotate("20260102-030415");
        log.print(300);
    });
    let mut log = log.expect("it was written");
    require_exact(&sink, &log.written());
    log.print(10);
    require_exact(&sink, &log.written());
    agent.stop();
}

/// Kubelet keeps few files, and takes the oldest away while something of it is unread: it is held open and read all the same.
fn rotated_twice_and_removed_while_it_is_held(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let config = scene.config().path(&scene.logs().join("*.log")).http("main", &sink.url(), "");
    let agent = scene.start(&config);
    let mut log = Log::create(scene.logs().join("0.log"));
    log.print(100);
    require_exact(&sink, &log.written());
    agent.blink(|| {
        log.print(2000);
        let oldest = log.rotate("20260102-030405");
        log.print(300);
        log.rotate("20260102-030415");
        log.print(300);
        fs::remove_file(oldest).expect("unlinked");
    });
    require_exact(&sink, &log.written());
    agent.stop();
}
