//! Files that come and go by the thousand: what they took is given back, and what is none of the agent's costs it little.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::descriptors::{open_below, watches};
use crate::support::log::Log;
use crate::support::metrics::{free_addr, metric};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, good_sink, require_exact};
use crate::support::{all, until};

crate::support::on_both_backends! {
    pods_that_come_and_go_leave_nothing_behind;
    watches_do_not_grow_with_rotations;
    a_busy_directory_costs_little;
    a_link_that_comes_later_leads_to_its_log;
}

/// Five hundred pods (twelve thousand in the long form), fifty at a time, each with a rotated file: no file, no watch and no memory of them stays, and no row of the
/// checkpoint either.
fn pods_that_come_and_go_leave_nothing_behind(io: Io) {
    let (scene, sink, admin) = (Scene::new(io), good_sink(), free_addr());
    let config = scene.config().admin(admin).path(&scene.logs().join("*/*/*.log"));
    let mut agent = scene.start(&config.http("main", &sink.url(), ""));
    until("it runs", PATIENCE, || scene.said().contains(" started"));
    let id = agent.0.id();
    let pod = |round: u32, pod: u32| scene.logs().join(format!("ns_p-{round}-{pod}_uid/main"));
    let mut rss = Vec::new();
    for round in 0..if all() { 250 } else { 10 } {
        let create = |number: u32| {
            fs::create_dir_all(pod(round, number)).expect("directories");
            Log::of(&format!("p-{round}-{number}"), pod(round, number).join("0.log"))
        };
        let mut logs: Vec<Log> = (0..50).map(create).collect();
        for log in &mut logs {
            log.print(10);
            log.rotate("20260102-030405");
            log.print(10);
        }
        logs.iter().for_each(|log| require_exact(&sink, &log.written()));
        rss.push(agent.0.usage().rss);
        for number in 0..50 {
            fs::remove_dir_all(pod(round, number).parent().expect("the pod")).expect("removed");
        }
    }
    until("all are closed", PATIENCE, || open_below(&scene.logs(), id).is_empty());
    let open = || metric(admin, "ringtail_open_files", "");
    until("none counts as open", PATIENCE, || open().is_some_and(|open| open < 1.0));
    until("none is watched", PATIENCE, || watches(id) < 10);
    let grown = rss[rss.len() - 1].saturating_sub(rss[rss.len() / 2]);
    println!("FIG memory after each fifty pods: {rss:?}; {} KiB more since the middle", grown >> 10);
    assert!(grown < 6 << 20, "{} KiB more for pods that are gone", grown >> 10);
    agent.stop();
    let rows = fs::metadata(scene.path("data/checkpoint.redb")).expect("a checkpoint").len();
    println!("the checkpoint has {rows} bytes");
    let again =
        scene.start(&scene.config().path(&scene.logs().join("*/*/*.log")).http("main", &sink.url(), ""));
    until("it runs again", PATIENCE, || scene.said().matches(" started").count() > 1);
    again.stop();
    assert!(!scene.said().contains("lost unread"), "what was read and removed is no loss: {}", scene.said());
}

/// Twenty logs in two directories: a few watches a directory, however often they are rotated.
fn watches_do_not_grow_with_rotations(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let directories = ["a", "b"].map(|name| scene.logs().join(name));
    directories.iter().for_each(|directory| fs::create_dir(directory).expect("a directory"));
    let create = |log: usize| Log::create(directories[log % 2].join(format!("{log}.log")));
    let mut logs: Vec<Log> = (0..20).map(create).collect();
    let config = scene.config().path(&scene.logs().join("*/*.log")).http("main", &sink.url(), "");
    let agent = scene.start(&config);
    let mut counts = Vec::new();
    for round in 0..4 {
        logs.iter_mut().for_each(|log| log.print(10));
        logs.iter().for_each(|log| require_exact(&sink, &log.written()));
        counts.push(watches(agent.0.id()));
        logs.iter_mut().for_each(|log| drop(log.rotate(&format!("20260102-03040{round}"))));
    }
    println!("watches: {counts:?}");
    // Whoever polls has none.
    assert!(counts.iter().all(|count| *count <= counts[0].max(12)), "{counts:?}");
    agent.stop();
}

/// Others make and remove files beside the logs as fast as they can: that takes a part of a processor, and a log there arrives.
fn a_busy_directory_costs_little(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().path(&scene.logs().join("*.log")).http("main", &sink.url(), "");
    let mut agent = scene.start(&config);
    log.print(10);
    require_exact(&sink, &log.written());
    let (over, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stop, count, directory) = (Arc::clone(&over), Arc::clone(&made), scene.logs());
    let busy = thread::spawn(move || {
        while !stop.load(Relaxed) {
            let path = directory.join(format!("{}.tmp", count.fetch_add(1, Relaxed) % 100));
            fs::write(&path, "x").expect("written");
            fs::remove_file(&path).expect("unlinked");
        }
    });
    let (began, before) = (Instant::now(), agent.0.usage().cpu);
    for _ in 0..4 {
        log.print(10);
        require_exact(&sink, &log.written());
        thread::sleep(Duration::from_millis(400));
    }
    let (cpu, time) = (agent.0.usage().cpu - before, began.elapsed());
    over.store(true, Relaxed);
    busy.join().expect("it ends well");
    let made = made.load(Relaxed);
    println!("FIG {made} files made and removed in {time:?}: CPU {cpu:?}");
    // Of a debug build, which is ten times as slow.
    assert!(cpu < time / if cfg!(debug_assertions) { 2 } else { 5 }, "CPU {cpu:?} in {time:?}");
    agent.stop();
}

/// As kubelet makes it when a container starts: a symlink in a directory that is watched, to a directory that is not.
fn a_link_that_comes_later_leads_to_its_log(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let (containers, pods) = (scene.logs().join("containers"), scene.logs().join("pods"));
    fs::create_dir(&containers).expect("a directory");
    let config = scene.config().path(&containers.join("*.log")).path(&pods.join("*/*/*.log"));
    let agent = scene.start(&config.http("main", &sink.url(), ""));
    until("it runs", PATIENCE, || scene.said().contains(" started"));
    let main = pods.join("ns_web_uid/main");
    fs::create_dir_all(&main).expect("directories");
    let mut log = Log::of("web", main.join("0.log"));
    log.print(100);
    symlink(log.path(), containers.join("web_ns_main-0123.log")).expect("a symlink");
    require_exact(&sink, &log.written());
    log.rotate("20260102-030405");
    log.print(100);
    require_exact(&sink, &log.written());
    fs::remove_file(containers.join("web_ns_main-0123.log")).expect("unlinked");
    fs::remove_dir_all(pods.join("ns_web_uid")).expect("removed");
    let id = agent.0.id();
    until("it is closed", PATIENCE, || open_below(&scene.logs(), id).is_empty());
    agent.stop();
}
