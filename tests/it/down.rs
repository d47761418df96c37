//! A backend that is down: nothing is lost by it, and it is not a secret.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use ringtail_agent::demo::Sink;
use ringtail_agent::demo::http::Answer;
use ringtail_agent::demo::sink::Reply;

use crate::support::log::Log;
use crate::support::metrics::{free_addr, get, metric};
use crate::support::program::{self, Io};
use crate::support::scene::{PATIENCE, Scene, good_sink, require_exact};
use crate::support::until;

crate::support::on_both_backends! {
    killed_again_and_again_while_the_backend_is_down;
    a_burst_and_a_rename_while_the_backend_is_down_and_memory_is_small;
    a_dead_backend_is_seen_in_figures_log_and_doctor;
    one_output_is_changed_again_and_again_and_the_other_does_not_notice;
}

/// A backend that takes nothing while it is down.
fn failing(down: &Arc<AtomicBool>) -> Sink {
    let down = Arc::clone(down);
    let policy = move || match down.load(Relaxed) {
        true => Reply::refused(Answer::Reset),
        false => Reply::OK,
    };
    Sink::start(policy).expect("a sink")
}

/// Read is not delivered: what a killed agent had read comes from the next one, once.
fn killed_again_and_again_while_the_backend_is_down(io: Io) {
    let (scene, down) = (Scene::new(io), Arc::new(AtomicBool::new(true)));
    let sink = failing(&down);
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().path(log.path()).http("main", &sink.url(), "");
    for round in 0..3 {
        log.print(2000);
        let requests = sink.requests();
        let agent = scene.start(&config);
        until("a delivery is tried", PATIENCE, || sink.requests() > requests);
        log.print(500);
        if round == 1 {
            log.rotate("20260102-030405");
            log.print(500);
        }
        // Longer than a position takes to be written.
        std::thread::sleep(Duration::from_millis(1200));
        agent.kill();
    }
    down.store(false, Relaxed);
    let agent = scene.start(&config);
    require_exact(&sink, &log.written());
    agent.stop();
}

/// Twice what memory holds is written at once and renamed, and none of it could be sent before.
fn a_burst_and_a_rename_while_the_backend_is_down_and_memory_is_small(io: Io) {
    let (scene, down) = (Scene::new(io), Arc::new(AtomicBool::new(true)));
    let sink = failing(&down);
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().top("memory: 16MiB").path(log.path());
    let config = config.from("max_line: 64KiB").from("max_record: 256KiB");
    let mut agent = scene.start(&config.http("main", &sink.url(), "compression: none,"));
    log.print(10);
    until("a delivery is tried", PATIENCE, || sink.requests() > 0);
    log.print(60_000);
    log.rotate("20260102-030405");
    log.print(60_000);
    log.rotate("20260102-030415");
    log.print(10);
    let bytes = |path: &str| fs::metadata(scene.logs().join(path)).expect("a log").len();
    let all = bytes("0.log.20260102-030405") + bytes("0.log.20260102-030415");
    assert!(all > 32_000_000, "{all}");
    down.store(false, Relaxed);
    require_exact(&sink, &log.written());
    agent.must_live();
    agent.stop();
}

/// Who looks sees it: retries are counted and so is what waits, the log warns and names output and error, `doctor` fails and
/// names the output. The agent itself is healthy: a restart would not help.
fn a_dead_backend_is_seen_in_figures_log_and_doctor(io: Io) {
    let (scene, admin) = (Scene::new(io), free_addr());
    let (closed, good) = (free_addr(), good_sink());
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().admin(admin).path(log.path()).http("good", &good.url(), "");
    let config = config.http("late", &format!("http://user:secret@{closed}/logs"), "timeout: 2s,");
    let agent = scene.start(&config);
    log.print(1000);
    require_exact(&good, &log.written());
    let of = |name: &str, output: &str| metric(admin, name, &format!("output=\"{output}\"")).unwrap_or(0.0);
    until("retries are counted", PATIENCE, || of("ringtail_retries_total", "late") > 2.0);
    until("what waits is counted", PATIENCE, || of("ringtail_lag_bytes", "late") > 100_000.0);
    let held = || metric(admin, "ringtail_memory_bytes", "use=\"payloads\"").unwrap_or(0.0);
    until("what waits is held", PATIENCE, || held() > 10_000.0);
    until("no more waits for the other", PATIENCE, || of("ringtail_lag_bytes", "good") < 1.0);
    assert!(
        of("ringtail_retries_total", "good") < 1.0 && of("ringtail_delivered_records_total", "late") < 1.0
    );
    let said = scene.said();
    let is_told =
        |line: &str| line.contains("\"WARN\"") && line.contains("\"late\"") && line.contains("refused");
    assert!(said.lines().any(is_told), "{said}");
    assert!(said.lines().count() < 50, "it does not flood: {said}");
    assert_eq!(get(admin, "/healthz").map(|(status, _)| status), Some(200));
    // A stop would try for its fifteen seconds.
    agent.kill();

    let mut doctor = Command::new(program::path());
    doctor.args(["doctor", "--config"]).arg(scene.path("ringtail.yaml")).env("RINGTAIL_IO", io.name());
    let doctor = doctor.output().expect("it runs");
    let found = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert_eq!(doctor.status.code(), Some(1), "{found}");
    let names = |line: &str| line.contains("late") && line.contains(&closed.to_string());
    assert!(found.lines().any(names), "{found}");
    assert!(!found.contains("secret") && !scene.said().contains("secret"), "{found}");
}

/// A tenant's output is changed every other moment, and its backend is down half of the time: the neighbour's log comes all the while,
/// in order and once; the tenant's own is not lost.
fn one_output_is_changed_again_and_again_and_the_other_does_not_notice(io: Io) {
    let (scene, down, good) = (Scene::new(io), Arc::new(AtomicBool::new(false)), good_sink());
    let tenant = failing(&down);
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = |round: u32| {
        let config = scene.config().path(log.path()).http("good", &good.url(), "");
        config.http("tenant", &tenant.url(), &format!("timeout: {}s,", 5 + round))
    };
    let configs: Vec<_> = (0..6).map(config).collect();
    let agent = scene.start(&configs[0]);
    for (config, round) in configs.iter().zip(0..) {
        log.print(500);
        require_exact(&good, &log.written());
        down.store(round % 2 == 0, Relaxed);
        scene.write_config(config);
        agent.0.signal(rustix::process::Signal::HUP);
        let changes = || scene.said().matches("the configuration was changed").count();
        until("it is changed", PATIENCE, || changes() >= round);
        log.print(500);
        require_exact(&good, &log.written());
    }
    down.store(false, Relaxed);
    crate::support::scene::settle(&tenant, &log.written(), PATIENCE);
    agent.stop();
    require_exact(&good, &log.written());
    let verdict = crate::support::scene::verdict(&tenant, &log.written());
    assert!(verdict.nothing_lost(), "{verdict}");
}
