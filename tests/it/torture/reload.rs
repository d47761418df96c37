//! Signals, scrapes and successors, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use ringtail_agent::demo::container::{Container, Printer};
use ringtail_agent::demo::cri::CriLog;
use ringtail_agent::demo::kubelet::{Kubelet, Limits};
use ringtail_agent::demo::load::Load;
use ringtail_agent::demo::message::Text;
use rustix::process::Signal;

use crate::support::all;
use crate::support::metrics::{free_addr, get, metric};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, good_sink, require_exact, settle, verdict};
use crate::support::until;

crate::support::on_both_backends! {
    reloaded_and_scraped_under_load;
    a_successor_takes_over_from_a_killed_agent;
}

/// Four pods at a thousand lines a second each, rotated.
fn load(scene: &Scene) -> (Load, Kubelet) {
    let (mut containers, mut handles): (Vec<Box<dyn Printer>>, _) = (Vec::new(), Vec::new());
    for pod in 0..4 {
        let log = CriLog::create(&scene.logs(), &format!("ns_pod-{pod}_uid"), "main").expect("a log");
        handles.push(log.handle());
        containers.push(Box::new(Container::new(&format!("pod-{pod}"), Text::Unicode, log)));
    }
    let limits = Limits { max_size: 256 * 1024, max_files: 10_000, interval: Duration::from_millis(1100) };
    (Load::start(containers, 1000), Kubelet::start(handles, limits))
}

/// SIGHUP every 50 ms, with a change of the batches every tenth time, and four clients that scrape all the while: each line
/// once, and no counter ever falls.
fn reloaded_and_scraped_under_load(io: Io) {
    let (scene, sink, admin) = (Scene::new(io), good_sink(), free_addr());
    let config = |more: &str| {
        let config = scene.config().admin(admin).path(&scene.logs().join("*/*/*.log"));
        config.http("main", &sink.url(), more)
    };
    let (load, kubelet) = load(&scene);
    let mut agent = scene.start(&config(""));
    // Before it can catch signals, this one would end it.
    until("it runs", PATIENCE, || scene.said().contains(" started"));
    let over = Arc::new(AtomicBool::new(false));
    let scraper = |over: Arc<AtomicBool>| {
        thread::spawn(move || {
            let (mut last, mut scrapes) = (0.0, 0_u64);
            while !over.load(Relaxed) {
                let Some(records) = metric(admin, "ringtail_records_total", "") else { continue };
                assert!(records >= last, "{records} after {last}");
                (last, scrapes) = (records, scrapes + 1);
            }
            scrapes
        })
    };
    let scrapers: Vec<_> = (0..4).map(|_| scraper(over.clone())).collect();
    let signals = if all() { 1_000 } else { 60 };
    for signal in 0..signals {
        if signal % 10 == 5 {
            scene.write_config(&config(if signal % 20 == 5 { "concurrency: 2," } else { "" }));
        }
        agent.0.signal(Signal::HUP);
        thread::sleep(Duration::from_millis(50));
    }
    agent.must_live();
    let written = load.stop().expect("the containers print");
    kubelet.stop().expect("kubelet rotates");
    require_exact(&sink, &written);
    over.store(true, Relaxed);
    let scrapes: u64 = scrapers.into_iter().map(|thread| thread.join().expect("no counter fell")).sum();
    assert_eq!(get(admin, "/readyz").map(|(status, _)| status), Some(200));
    agent.stop();
    let verdict = verdict(&sink, &written);
    println!("FIG {signals} SIGHUPs and {scrapes} scrapes under load: {verdict}");
    assert!(scrapes > 0 && verdict.exact(), "{verdict}");
}

/// A second agent waits for the data directory; the first is killed, under load, again and again.
fn a_successor_takes_over_from_a_killed_agent(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let config = scene.config().path(&scene.logs().join("*/*/*.log")).http("main", &sink.url(), "");
    let (load, kubelet) = load(&scene);
    let mut first = scene.start(&config);
    let kills = if all() { 50 } else { 5 };
    for _ in 0..kills {
        let second = scene.start(&config);
        thread::sleep(Duration::from_millis(fastrand::u64(300..900)));
        first.must_live();
        first.kill();
        first = second;
    }
    let written = load.stop().expect("the containers print");
    kubelet.stop().expect("kubelet rotates");
    settle(&sink, &written, PATIENCE);
    first.stop();
    let verdict = verdict(&sink, &written);
    println!("FIG {kills} successors: {verdict}");
    assert!(verdict.nothing_lost(), "{verdict}");
}
