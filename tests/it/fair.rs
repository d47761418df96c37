//! What comes in between: one log that has much to read does not keep the others waiting.
//!
//! Time says little on a busy machine. What counts is how much of the hot log is delivered between a line of a quiet one and
//! its arrival: what was in memory before, and never what was still in files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use ringtail_agent::demo::Sink;
use ringtail_agent::demo::container::Written;
use ringtail_agent::demo::sink::Reply;

use crate::support::log::Log;
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, require_exact};
use crate::support::until;

crate::support::on_both_backends! {
    quiet_logs_beside_a_hot_one_do_not_wait_for_it;
    a_live_log_beside_a_backlog_of_rotated_files_does_not_wait_for_it;
}

/// `memory: 16MiB`. The hot log has twice as much. A fifth of this comes in between, and what the backend takes before this
/// test looks, on a busy machine.
const AT_MOST: u64 = 16 << 20;

/// What the backend takes while the test looks: a request of 1 MiB in this time.
const TAKES: Duration = Duration::from_millis(150);

const QUIET: usize = 50;

/// A writer at full speed whose log has 30 MB that are not read yet.
fn quiet_logs_beside_a_hot_one_do_not_wait_for_it(io: Io) {
    let scene = Scene::new(io);
    let mut hot = Log::create(scene.logs().join("hot.log"));
    hot.print(100_000);
    run(&scene, hot, QUIET);
}

/// The same in 300 rotated files of a log, as a node has them whose agent was away.
fn a_live_log_beside_a_backlog_of_rotated_files_does_not_wait_for_it(io: Io) {
    let scene = Scene::new(io);
    let mut hot = Log::create(scene.logs().join("hot.log"));
    for second in 0..300 {
        hot.print(333);
        hot.rotate(&format!("20260102-03{:02}{:02}", second / 60, second % 60));
    }
    run(&scene, hot, 1);
}

/// One shard, one request in flight: nothing is fair by accident.
fn run(scene: &Scene, hot: Log, quiet: usize) {
    let eager = Arc::new(AtomicBool::new(false));
    let takes = Arc::clone(&eager);
    let sink = Sink::start(move || {
        let delay = if takes.load(Relaxed) { Duration::ZERO } else { TAKES };
        Reply { delay, ..Reply::OK }
    });
    let sink = sink.expect("a sink");
    let mut quiet: Vec<Log> =
        (0..quiet).map(|log| Log::create(scene.logs().join(format!("quiet-{log}.log")))).collect();
    let config = scene.config().top("memory: 16MiB").top("threads: 1").path(&scene.logs().join("*.log"));
    let config = config.from("max_line: 64KiB").from("max_record: 256KiB");
    let mut agent = scene.start(&config.http("main", &sink.url(), "concurrency: 1, compression: none,"));
    until("the backlog is being delivered", PATIENCE, || sink.message_bytes() > 2 << 20);

    let stop = Arc::new(AtomicBool::new(false));
    let (hot_written, over) = (hot.written(), Arc::clone(&stop));
    let writer = thread::spawn(move || write(hot, &over));
    for _ in 0..2 {
        let (before, began) = (sink.message_bytes(), Instant::now());
        quiet.iter_mut().for_each(|log| log.print(1));
        until("the quiet logs arrive", PATIENCE, || quiet.iter().all(|log| has_all(&sink, &log.written())));
        let between = sink.message_bytes() - before;
        println!("FIG {} MiB came in between, in {:?}", between >> 20, began.elapsed());
        assert!(!has_all(&sink, &hot_written), "the hot log was still behind");
        assert!(between < AT_MOST, "{} MiB came in between", between >> 20);
    }
    eager.store(true, Relaxed);
    stop.store(true, Relaxed);
    writer.join().expect("the writer ends well");
    agent.must_live();
    let written: Vec<Written> = quiet.iter().flat_map(Log::written).chain(hot_written).collect();
    require_exact(&sink, &written);
    agent.stop();
}

/// Prints as fast as it can, at most half of what there is again.
fn write(mut hot: Log, over: &AtomicBool) {
    for _ in 0..60 {
        if over.load(Relaxed) {
            return;
        }
        hot.print(1000);
    }
}

fn has_all(sink: &Sink, written: &[Written]) -> bool {
    let verifier = sink.verifier();
    written.iter().all(|written| verifier.delivered_of(&written.stream) >= written.count())
}
