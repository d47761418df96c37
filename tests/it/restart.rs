//! A clean stop repeats nothing and loses nothing; a stop that the backend does not answer has an end.

use std::thread;
use std::time::{Duration, Instant};

use ringtail_agent::demo::Sink;
use ringtail_agent::demo::container::{Container, Printer};
use ringtail_agent::demo::cri::CriLog;
use ringtail_agent::demo::http::Answer;
use ringtail_agent::demo::kubelet::{Kubelet, Limits};
use ringtail_agent::demo::load::Load;
use ringtail_agent::demo::message::Text;
use ringtail_agent::demo::sink::Reply;
use rustix::process::Signal;

use crate::support::log::Log;
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, STOP, Scene, good_sink, require_exact, settle, verdict};
use crate::support::until;

crate::support::on_both_backends! {
    clean_restarts_under_load_repeat_and_lose_nothing;
    a_hung_backend_does_not_hold_up_a_stop;
    an_idle_agent_stops_at_once;
}

/// SIGTERM at random moments while containers print and kubelet rotates; each line arrives once.
fn clean_restarts_under_load_repeat_and_lose_nothing(io: Io) {
    let scene = Scene::new(io);
    let sink = good_sink();
    let config = scene.config().path(&scene.logs().join("*/*/*.log")).http("main", &sink.url(), "");
    let (mut containers, mut handles): (Vec<Box<dyn Printer>>, _) = (Vec::new(), Vec::new());
    for pod in 0..3 {
        let log = CriLog::create(&scene.logs(), &format!("ns_pod-{pod}_uid"), "main").expect("a log");
        handles.push(log.handle());
        containers.push(Box::new(Container::new(&format!("pod-{pod}"), Text::Unicode, log)));
    }
    let load = Load::start(containers, 1000);
    let limits = Limits { max_size: 512 * 1024, max_files: 1000, interval: Duration::from_millis(1100) };
    let kubelet = Kubelet::start(handles, limits);
    for _ in 0..6 {
        let agent = scene.start(&config);
        thread::sleep(Duration::from_millis(fastrand::u64(300..2_000)));
        agent.stop();
    }
    let written = load.stop().expect("the containers print");
    kubelet.stop().expect("kubelet rotates");
    let agent = scene.start(&config);
    require_exact(&sink, &written);
    agent.stop();
    let verdict = verdict(&sink, &written);
    assert!(verdict.exact(), "{verdict}");
}

/// The backend takes requests and never answers: SIGTERM ends the agent within its bound, and the next one
/// delivers everything.
fn a_hung_backend_does_not_hold_up_a_stop(io: Io) {
    let scene = Scene::new(io);
    let hung = Reply { take: false, delay: Duration::from_secs(600), answer: Answer::Reset };
    let sink = Sink::start(move || hung).expect("a sink");
    let mut log = Log::create(scene.logs().join("a.log"));
    log.print(1000);
    let mut agent = scene.start(&scene.config().path(log.path()).http("main", &sink.url(), "timeout: 300s,"));
    until("a request hangs", PATIENCE, || sink.requests() > 0);
    let start = Instant::now();
    agent.end(Signal::TERM);
    assert!(start.elapsed() < STOP);

    let sink = good_sink();
    let agent = scene.start(&scene.config().path(log.path()).http("main", &sink.url(), ""));
    require_exact(&sink, &log.written());
    agent.stop();
}

/// What is delivered is checkpointed at the stop, not a second later: stop right after the delivery, start, and
/// nothing comes again.
fn an_idle_agent_stops_at_once(io: Io) {
    let scene = Scene::new(io);
    let sink = good_sink();
    let config = scene.config().path(&scene.logs().join("*.log")).http("main", &sink.url(), "");
    let mut log = Log::create(scene.logs().join("a.log"));
    log.print(10);
    for _ in 0..5 {
        let agent = scene.start(&config);
        log.print(10);
        settle(&sink, &log.written(), PATIENCE);
        let start = Instant::now();
        agent.stop();
        assert!(
            start.elapsed() < Duration::from_secs(8),
            "a stop with nothing to do took {:?}",
            start.elapsed()
        );
    }
    require_exact(&sink, &log.written());
}
