//! Several outputs, changed configurations.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use ringtail_agent::demo::Sink;
use ringtail_agent::demo::http::Answer;
use ringtail_agent::demo::sink::Reply;
use rustix::process::Signal;

use crate::support::log::Log;
use crate::support::metrics::{free_addr, get, metric};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, good_sink, require_exact};
use crate::support::until;

crate::support::on_both_backends! {
    a_dead_output_does_not_stop_another_and_catches_up;
    an_answer_that_is_final_is_counted_as_lost;
    a_changed_configuration_takes_effect_and_a_bad_one_does_not;
    the_admin_endpoint_tells_what_was_delivered;
}

/// One output refuses everything while more passes than all buffers hold; the other gets it all at once, and
/// the first gets it once it is back, through rotations.
fn a_dead_output_does_not_stop_another_and_catches_up(io: Io) {
    let scene = Scene::new(io);
    let dead = Arc::new(AtomicBool::new(true));
    let policy = Arc::clone(&dead);
    let late = Sink::start(move || match policy.load(Relaxed) {
        true => Reply::refused(Answer::Reset),
        false => Reply::OK,
    });
    let late = late.expect("a sink");
    let good = good_sink();
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().top("memory: 64MiB").path(log.path()).http("good", &good.url(), "").http(
        "late",
        &late.url(),
        "timeout: 2s,",
    );
    let mut agent = scene.start(&config);
    // More than the memory holds for the dead one.
    for round in 0..8 {
        log.print(50_000);
        log.rotate(&format!("20260102-03040{round}"));
        agent.must_live();
    }
    log.print(10);
    require_exact(&good, &log.written());
    assert_eq!(late.verifier().messages(), 0);
    dead.store(false, Relaxed);
    require_exact(&late, &log.written());
    log.print(1000);
    require_exact(&late, &log.written());
    require_exact(&good, &log.written());
    let peak = agent.0.usage().peak_rss;
    println!("memory at most {} MiB", peak >> 20);
    assert!(peak < (64 + 40) * 1024 * 1024, "memory: 64MiB, and {} MiB resident", peak >> 20);
    agent.stop();
}

/// 400 is final: the batch is counted as refused, and the next ones go on.
fn an_answer_that_is_final_is_counted_as_lost(io: Io) {
    let admin = free_addr();
    let scene = Scene::new(io);
    let once = AtomicBool::new(true);
    let sink = Sink::start(move || match once.swap(false, Relaxed) {
        true => Reply::refused(Answer::Status(400)),
        false => Reply::OK,
    });
    let sink = sink.expect("a sink");
    let mut log = Log::create(scene.logs().join("0.log"));
    log.print(10);
    let config = scene.config().admin(admin).path(log.path()).http("main", &sink.url(), "");
    let agent = scene.start(&config);
    until("the refusal", PATIENCE, || sink.requests() > 0);
    until("the loss is counted", PATIENCE, || {
        metric(admin, "ringtail_lost_bytes_total", "reason=\"refused\"").is_some_and(|lost| lost > 0.0)
    });
    let size = fs::metadata(log.path()).expect("a log").len();
    let lost = metric(admin, "ringtail_lost_bytes_total", "reason=\"refused\"");
    assert_eq!(lost.map(|lost| format!("{lost}")), Some(size.to_string()), "bytes of input");
    let before = log.written().iter().map(|written| written.count()).sum::<u64>();
    log.print(100);
    until("what follows arrives", PATIENCE, || sink.verifier().messages() >= 100);
    let verdict = crate::support::scene::verdict(&sink, &log.written());
    assert_eq!((verdict.lost, verdict.repeated), (before, 0), "{verdict}");
    agent.stop();
    assert!(scene.said().contains("400"), "the log names the status");
}

/// A file added by a reload is collected, what was there goes on without a repeat; a broken configuration
/// changes nothing and is told.
fn a_changed_configuration_takes_effect_and_a_bad_one_does_not(io: Io) {
    let (scene, sink, second) = (Scene::new(io), good_sink(), good_sink());
    let (mut old, mut new) =
        (Log::create(scene.logs().join("old.log")), Log::create(scene.logs().join("new.log")));
    let base = || scene.config().path(&scene.logs().join("old.log")).http("main", &sink.url(), "");
    let mut agent = scene.start(&base());
    old.print(100);
    require_exact(&sink, &old.written());

    // Seen by itself.
    new.print(100);
    scene.write_config(&base().path(new.path()));
    require_exact(&sink, &new.written());
    old.print(100);
    require_exact(&sink, &old.written());

    // An error: the old one goes on, and it is said where the error is.
    fs::write(scene.path("ringtail.yaml"), "data_dir: /nowhere\npipelins: {}\n").expect("written");
    agent.0.signal(Signal::HUP);
    until("the error is told", PATIENCE, || scene.said().contains("pipelins"));
    old.print(100);
    require_exact(&sink, &old.written());
    agent.must_live();

    // Another output, by SIGHUP: it starts at the beginning, the old one repeats nothing.
    scene.write_config(&base().path(new.path()).http("second", &second.url(), ""));
    agent.0.signal(Signal::HUP);
    require_exact(&second, &new.written());
    require_exact(&second, &old.written());
    new.print(100);
    old.print(100);
    for sink in [&sink, &second] {
        require_exact(sink, &new.written());
        require_exact(sink, &old.written());
    }
    agent.stop();
    require_exact(&sink, &old.written());
}

fn the_admin_endpoint_tells_what_was_delivered(io: Io) {
    let admin = free_addr();
    let (scene, sink) = (Scene::new(io), good_sink());
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().admin(admin).path(log.path()).http("main", &sink.url(), "");
    let agent = scene.start(&config);
    log.print(100);
    require_exact(&sink, &log.written());
    let count: u64 = log.written().iter().map(|written| written.count()).sum();
    until("ready", PATIENCE, || get(admin, "/readyz").is_some_and(|(status, _)| status == 200));
    assert_eq!(get(admin, "/healthz").map(|(status, _)| status), Some(200));
    let delivered = || metric(admin, "ringtail_delivered_records_total", "output=\"main\"");
    until("the figure", PATIENCE, || {
        delivered().is_some_and(|delivered| format!("{delivered}") == count.to_string())
    });
    let records = metric(admin, "ringtail_records_total", "pipeline=\"p\"");
    assert_eq!(records.map(|records| format!("{records}")), Some(count.to_string()));
    assert_eq!(metric(admin, "ringtail_lost_bytes_total", "").map(|lost| lost > 0.0), Some(false));
    until("no lag", PATIENCE, || {
        metric(admin, "ringtail_lag_bytes", "output=\"main\"").is_some_and(|lag| lag < 1.0)
    });
    let backend = metric(admin, "ringtail_io_backend", &format!("backend=\"{}", io_label(io)));
    assert_eq!(backend.map(|value| value > 0.0), Some(true), "{:?}", get(admin, "/metrics"));
    std::thread::sleep(Duration::from_millis(10));
    agent.stop();
}

/// The beginning of the backend's name in the metric: `uring` or `io_uring`.
fn io_label(io: Io) -> &'static str {
    match io {
        Io::Uring => "",
        Io::Pread => "pread",
    }
}
