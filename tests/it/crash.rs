//! kill -9 at random moments, under load, rotations and a backend that sometimes fails: nothing is lost, and
//! what is repeated is what promise 1 allows.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use ringtail_agent::demo::Sink;
use ringtail_agent::demo::container::{Container, Printer};
use ringtail_agent::demo::cri::CriLog;
use ringtail_agent::demo::dockerd::{DockerLog, Options};
use ringtail_agent::demo::kubelet::{Kubelet, Limits};
use ringtail_agent::demo::load::Load;
use ringtail_agent::demo::message::Text;

use crate::support::all;
use crate::support::faults::{Faults, MAX_DELAY};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, settle, verdict};

/// Lines a second of each container.
const RATE: u64 = 800;
/// A position is written at most a second after its ack; the rest is for a busy machine.
const WINDOW: Duration = Duration::from_millis(1000 + 500);

/// A request that was sent whole is not taken later than this, also on a busy machine.
const SETTLE: Duration = Duration::from_millis(150);

/// How a run goes.
struct Plan {
    /// Kills, and in `make test-all`.
    kills: (u32, u32),
    /// How long an agent lives, in milliseconds.
    life_ms: Range<u64>,
    /// Where logs are rotated, in bytes.
    max_size: u64,
    faults: Arc<Faults>,
}

crate::support::on_both_backends! {
    kill_under_load_loses_nothing;
    kill_amid_rotations_loses_nothing;
}

/// A backend that sometimes fails.
fn kill_under_load_loses_nothing(io: Io) {
    run(io, |seed| Plan {
        kills: (20, 1_000),
        life_ms: 100..3_000,
        max_size: 512 * 1024,
        faults: Faults::seeded(seed),
    });
}

/// Many rotations and compressions, so that starts and ends fall into them.
fn kill_amid_rotations_loses_nothing(io: Io) {
    run(io, |seed| {
        let faults = Faults::seeded(seed);
        faults.over();
        Plan { kills: (25, 1_000), life_ms: 50..900, max_size: 64 * 1024, faults }
    });
}

fn run(io: Io, plan: impl FnOnce(u64) -> Plan) {
    let seed = std::env::var("RINGTAIL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("RINGTAIL_SEED={seed} repeats this run");
    let mut random = fastrand::Rng::with_seed(seed);
    let Plan { kills, life_ms, max_size, faults } = plan(seed);
    let policy = Arc::clone(&faults);
    let sink = Arc::new(Sink::start(move || policy.reply()).expect("a sink"));
    let scene = Scene::new(io);
    let config = scene
        .config()
        .path(&scene.logs().join("pods/*/*/*.log"))
        .path(&scene.logs().join("containers/*/*-json.log"))
        // A backend that is dead for long, or a busy machine, must not part a message whose end is written.
        .from("flush_after: 1h")
        .http("main", &sink.url(), "timeout: 5s, concurrency: 2,");

    let (load, kubelet) = containers(&scene, max_size);
    let history = History::follow(Arc::clone(&sink));
    let (mut allowed, mut before) = (0, 0);
    for _ in 0..if all() { kills.1 } else { kills.0 } {
        let mut agent = scene.start(&config);
        thread::sleep(Duration::from_millis(random.u64(life_ms.clone())));
        agent.must_live();
        agent.kill();
        let killed = Instant::now();
        let delivered = history.settled();
        // What this life delivered and had no time to write the position of.
        allowed += delivered - history.at(killed - WINDOW - MAX_DELAY).max(before);
        before = delivered;
    }
    let written = load.stop().expect("the containers print");
    kubelet.stop().expect("kubelet rotates");
    faults.over();
    let agent = scene.start(&config);
    settle(&sink, &written, PATIENCE);
    agent.stop();

    let verdict = verdict(&sink, &written);
    let allowed = allowed + sink.taken_unacknowledged();
    println!("{verdict}; {allowed} repeats allowed");
    assert!(verdict.nothing_lost(), "seed {seed}: {verdict}");
    assert!(verdict.repeated <= allowed, "seed {seed}: {verdict}; {allowed} repeats allowed");
    assert!(verdict.written > 20_000, "there was a load: {verdict}");
}

/// Two pods and two containers of dockerd. Nothing is deleted here: what the file system no longer holds is not promised.
fn containers(scene: &Scene, max_size: u64) -> (Load, Kubelet) {
    let mut containers: Vec<Box<dyn Printer>> = Vec::new();
    let mut handles = Vec::new();
    for pod in 0..2 {
        let pods = scene.logs().join("pods");
        let log = CriLog::create(&pods, &format!("ns_pod-{pod}_uid-{pod}"), "main").expect("a log");
        handles.push(log.handle());
        containers.push(Box::new(Container::new(&format!("pod-{pod}"), Text::Unicode, log)));
    }
    for (id, compress) in [("dplain", false), ("dgzip", true)] {
        let options = Options { max_size, max_file: 10_000, compress };
        let log = DockerLog::create(&scene.logs().join("containers"), id, options).expect("a log");
        containers.push(Box::new(Container::new(id, Text::Ascii, log)));
    }
    let limits = Limits { max_size, max_files: 10_000, interval: Duration::from_millis(1100) };
    (Load::start(containers, RATE), Kubelet::start(handles, limits))
}

/// How much had been delivered when.
struct History {
    samples: Arc<std::sync::Mutex<Vec<(Instant, u64)>>>,
    stop: Arc<AtomicBool>,
}

impl History {
    fn follow(sink: Arc<Sink>) -> Self {
        let history = History { samples: Arc::default(), stop: Arc::default() };
        let (samples, stop) = (Arc::clone(&history.samples), Arc::clone(&history.stop));
        thread::spawn(move || {
            while !stop.load(Relaxed) {
                let now = (Instant::now(), sink.verifier().messages());
                samples.lock().expect("no panic with the lock held").push(now);
                thread::sleep(Duration::from_millis(20));
            }
        });
        history
    }

    /// What has been delivered when the sink has taken all that was sent by an agent that is gone.
    fn settled(&self) -> u64 {
        let mut last = self.at(Instant::now());
        loop {
            thread::sleep(SETTLE);
            let now = self.at(Instant::now());
            if now == last {
                return now;
            }
            last = now;
        }
    }

    /// What had been delivered at a time.
    fn at(&self, time: Instant) -> u64 {
        let samples = self.samples.lock().expect("no panic with the lock held");
        samples.iter().rev().find(|sample| sample.0 <= time).map_or(0, |sample| sample.1)
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}
