//! Backends that hang, refuse, or die beside living ones.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ringtail_agent::demo::Sink;
use ringtail_agent::demo::agent::Agent;
use ringtail_agent::demo::http::Answer;
use ringtail_agent::demo::kubelet;
use ringtail_agent::demo::sink::Reply;
use rustix::process::Signal;

use crate::support::config::Config;
use crate::support::log::Log;
use crate::support::metrics::{free_addr, metric};
use crate::support::program::{self, Io};
use crate::support::scene::{PATIENCE, Running, Scene, good_sink, require_exact, settle, verdict};
use crate::support::{not_run, until};

crate::support::on_both_backends! {
    rotations_while_the_backend_hangs;
    a_payload_that_is_always_refused_does_not_hold_up_the_rest;
    an_output_that_is_taken_away_with_unsent_data_and_comes_back;
    an_output_that_comes_back_before_its_former_self_gives_up;
    an_output_that_comes_back_after_its_former_self_gave_up;
    an_output_that_is_renamed_with_unsent_data;
    an_output_that_comes_back_after_a_rotation_reads_the_rotated_rest;
    without_positions_a_stop_that_leaves_records_is_a_failure;
}

/// A backend that takes nothing while `sick`, and takes its time to say so.
fn hanging_sink(sick: &Arc<AtomicBool>) -> Sink {
    let sick = Arc::clone(sick);
    let policy = move || match sick.load(Relaxed) {
        true => Reply { delay: Duration::from_millis(700), ..Reply::refused(Answer::Reset) },
        false => Reply::OK,
    };
    Sink::start(policy).expect("a sink")
}

/// Three rotations, one compressed, with more unsent than memory holds.
fn rotations_while_the_backend_hangs(io: Io) {
    let (scene, sick) = (Scene::new(io), Arc::new(AtomicBool::new(true)));
    let sink = hanging_sink(&sick);
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().top("memory: 64MiB").path(log.path());
    let config = config.http("main", &sink.url(), "timeout: 10s, compression: none,");
    let agent = scene.start(&config);
    log.print(200_000);
    until("a delivery is tried", PATIENCE, || sink.requests() > 0);
    for round in 0..3 {
        let rotated = log.rotate(&format!("20260102-03040{round}"));
        log.print(20_000);
        if round == 1 {
            kubelet::compress(&rotated).expect("compressed");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    sick.store(false, Relaxed);
    require_exact(&sink, &log.written());
    agent.stop();
    let verdict = verdict(&sink, &log.written());
    println!("FIG rotations while the backend hangs: {verdict}");
    assert!(verdict.exact(), "{verdict}");
}

/// Every fifth payload is refused for good (413, 400), at each try: it is lost, counted and told, and nothing else is; the
/// rest comes in order.
fn a_payload_that_is_always_refused_does_not_hold_up_the_rest(io: Io) {
    let (scene, admin) = (Scene::new(io), free_addr());
    let asked = AtomicU64::new(0);
    let sink = Sink::start(move || match asked.fetch_add(1, Relaxed) {
        number if number % 10 == 3 => Reply::refused(Answer::Status(413)),
        number if number % 10 == 7 => Reply::refused(Answer::Status(400)),
        _ => Reply::OK,
    });
    let sink = sink.expect("a sink");
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().admin(admin).path(log.path()).http("main", &sink.url(), "concurrency: 1,");
    let agent = scene.start(&config);
    while sink.requests() < 30 {
        log.print(100);
        std::thread::sleep(Duration::from_millis(30));
    }
    let bytes = std::fs::metadata(log.path()).expect("a log").len();
    settle(&sink, &log.written(), Duration::from_secs(5));
    let lost = metric(admin, "ringtail_lost_bytes_total", "reason=\"refused\"").expect("metrics");
    agent.stop();
    let verdict = verdict(&sink, &log.written());
    println!("FIG refused payloads: {verdict}; {lost} of {bytes} bytes counted as lost");
    assert!(verdict.lost > 0 && verdict.repeated == 0 && verdict.out_of_order == 0, "{verdict}");
    let delivered = sink.verifier().messages();
    assert_eq!(delivered + verdict.lost, verdict.written, "each is delivered or lost");
    assert!(lost > 0.0 && scene.said().contains("413"), "{lost} {}", scene.said());
}

/// Taken out of the configuration while its backend is dead and it has more than memory holds; the other output does not
/// notice. When it is there again, it goes on where it was, in order; without repeats, if that is before the ten seconds are
/// over after which an output that was taken away gives up.
fn an_output_that_is_taken_away_with_unsent_data_and_comes_back(io: Io) {
    if !(0..3).any(|_| comes_back_in_time(io)) {
        not_run("no repeats of an output that is back within ten seconds", "each of three tries took longer");
    }
}

/// Says whether it was back within these ten seconds: then nothing may be repeated.
fn comes_back_in_time(io: Io) -> bool {
    let (scene, sick, good) = (Scene::new(io), Arc::new(AtomicBool::new(false)), good_sink());
    let late = hanging_sink(&sick);
    let mut log = Log::create(scene.logs().join("0.log"));
    let base = || scene.config().top("memory: 64MiB").path(log.path()).http("good", &good.url(), "");
    let both = base().http("late", &late.url(), "timeout: 10s,");
    let alone = base();
    let agent = scene.start(&both);
    log.print(500);
    require_exact(&late, &log.written());
    sick.store(true, Relaxed);
    log.print(50_000);
    require_exact(&good, &log.written());
    let change = |config: &Config, count: usize| {
        scene.write_config(config);
        agent.0.signal(Signal::HUP);
        let changes = || scene.said().matches("the configuration was changed").count();
        until("it is changed", PATIENCE, || changes() >= count);
    };
    let taken_away = Instant::now();
    change(&alone, 1);
    sick.store(false, Relaxed);
    log.print(500);
    require_exact(&good, &log.written());
    change(&both, 2);
    log.print(500);
    settle(&late, &log.written(), PATIENCE);
    let in_time = taken_away.elapsed() < Duration::from_secs(9);
    agent.stop();
    let (of_good, of_late) = (verdict(&good, &log.written()), verdict(&late, &log.written()));
    println!(
        "FIG an output taken away and brought back, in time: {in_time}; good: {of_good}; late: {of_late}"
    );
    assert!(of_good.exact() && of_late.nothing_lost(), "good: {of_good}; late: {of_late}");
    assert!(!in_time || of_late.exact(), "late: {of_late}");
    in_time
}

/// An output that was taken away tries for ten seconds to deliver what it has: this is when that is over.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(12);

/// Two generations of the output then have what it is to deliver: the former one what it was given before, and gives that
/// back; the new one what comes after.
fn an_output_that_comes_back_before_its_former_self_gives_up(io: Io) {
    outlives_its_former_self(io, Duration::ZERO, GIVEN_UP_AFTER);
}

fn an_output_that_comes_back_after_its_former_self_gave_up(io: Io) {
    outlives_its_former_self(io, GIVEN_UP_AFTER, Duration::ZERO);
}

/// An output is taken away while its backend is dead, comes back `away` later, and its backend another `dead` later. By then
/// nothing is tried any more of what its former self had: it comes again, in order.
fn outlives_its_former_self(io: Io, away: Duration, dead: Duration) {
    let (scene, sick, good) = (Scene::new(io), Arc::new(AtomicBool::new(false)), good_sink());
    let late = hanging_sink(&sick);
    let mut log = Log::create(scene.logs().join("0.log"));
    let base = || scene.config().path(log.path()).http("good", &good.url(), "");
    let both = base().http("late", &late.url(), "timeout: 10s,");
    let alone = base();
    let agent = scene.start(&both);
    log.print(500);
    require_exact(&late, &log.written());
    sick.store(true, Relaxed);
    log.print(5_000);
    require_exact(&good, &log.written());
    let changes = |count: usize| scene.said().matches("the configuration was changed").count() >= count;
    scene.write_config(&alone);
    until("it is taken away", PATIENCE, || changes(1));
    log.print(500);
    std::thread::sleep(away);
    scene.write_config(&both);
    until("it is back", PATIENCE, || changes(2));
    log.print(500);
    std::thread::sleep(dead);
    sick.store(false, Relaxed);
    log.print(500);
    settle(&late, &log.written(), PATIENCE);
    agent.stop();
    for (name, sink) in [("good", &good), ("late", &late)] {
        let verdict = verdict(sink, &log.written());
        println!("FIG an output that outlives its former self, {name}: {verdict}");
        assert!(verdict.nothing_lost() && (name == "late" || verdict.exact()), "{name}: {verdict}");
    }
}

/// The rest of the rotated file was read by the other output alone.
fn an_output_that_comes_back_after_a_rotation_reads_the_rotated_rest(io: Io) {
    let (scene, sick, good) = (Scene::new(io), Arc::new(AtomicBool::new(false)), good_sink());
    let late = hanging_sink(&sick);
    let mut log = Log::create(scene.logs().join("0.log"));
    let base = || scene.config().top("memory: 64MiB").path(log.path()).http("good", &good.url(), "");
    let both = base().http("late", &late.url(), "timeout: 10s,");
    let alone = base();
    let agent = scene.start(&both);
    log.print(500);
    require_exact(&late, &log.written());
    sick.store(true, Relaxed);
    log.print(50_000);
    require_exact(&good, &log.written());
    let changes = |count: usize| scene.said().matches("the configuration was changed").count() >= count;
    scene.write_config(&alone);
    until("it is taken away", PATIENCE, || changes(1));
    log.print(500);
    require_exact(&good, &log.written());
    // Late's former generation delivers what it has, so that nothing of it waits for an answer any more.
    sick.store(false, Relaxed);
    settle(&late, &log.written(), Duration::from_secs(3));
    log.print(500);
    require_exact(&good, &log.written());
    log.rotate("20260102-030405");
    log.print(500);
    require_exact(&good, &log.written());
    std::thread::sleep(Duration::from_secs(3));
    scene.write_config(&both);
    until("it is back", PATIENCE, || changes(2));
    log.print(500);
    settle(&late, &log.written(), PATIENCE);
    agent.stop();
    for (name, sink) in [("good", &good), ("late", &late)] {
        let verdict = verdict(sink, &log.written());
        println!("FIG an output taken away and brought back, {name}: {verdict}");
        assert!(verdict.nothing_lost(), "{name}: {verdict}");
    }
}

/// Under its new name it is a new one, which begins at the beginning; the old one delivers what it has.
fn an_output_that_is_renamed_with_unsent_data(io: Io) {
    let (scene, sick) = (Scene::new(io), Arc::new(AtomicBool::new(false)));
    let sink = hanging_sink(&sick);
    let mut log = Log::create(scene.logs().join("0.log"));
    let named = |name: &str| scene.config().path(log.path()).http(name, &sink.url(), "timeout: 10s,");
    let (old, new) = (named("old"), named("new"));
    let mut agent = scene.start(&old);
    log.print(500);
    require_exact(&sink, &log.written());
    let before: u64 = log.written().iter().map(|written| written.count()).sum();
    sick.store(true, Relaxed);
    log.print(20_000);
    std::thread::sleep(Duration::from_millis(500));
    scene.write_config(&new);
    until("it is renamed", PATIENCE, || scene.said().contains("the configuration was changed"));
    sick.store(false, Relaxed);
    log.print(500);
    settle(&sink, &log.written(), PATIENCE);
    agent.must_live();
    agent.stop();
    let verdict = verdict(&sink, &log.written());
    println!("FIG an output renamed: {verdict}, {before} delivered before");
    assert!(verdict.nothing_lost(), "{verdict}");
    assert!(verdict.repeated >= before && verdict.repeated <= verdict.written, "{verdict}");
}

/// `ringtail run` without a configuration, and a reader of its standard output that hangs: what is left at the deadline of the
/// stop does not come again.
fn without_positions_a_stop_that_leaves_records_is_a_failure(io: Io) {
    let scene = Scene::new(io);
    let directory = scene.logs().join("pods/ns_pod_uid/app");
    fs::create_dir_all(&directory).expect("a directory");
    let mut log = Log::create(directory.join("0.log"));
    let with_logs = |program: &[&OsStr]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        command.arg("mount --bind \"$0\" /var/log && exec \"$@\"").arg(scene.logs()).args(program);
        command
    };
    let tried = with_logs(&["true".as_ref()]).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        return not_run("a stop without positions", "no mount in a namespace of its own");
    }
    let mut command = with_logs(&[program::path().as_os_str(), "run".as_ref()]);
    command.env("RINGTAIL_IO", io.name()).stdout(Stdio::piped());
    let mut agent = Running(Agent::follow(command, &scene.path("agent.log")).expect("the program starts"));
    until("it runs", PATIENCE, || scene.said().contains("started"));
    until("more is written than a pipe holds", PATIENCE, || {
        log.print(500);
        fs::metadata(log.path()).expect("a log").len() > 1 << 20
    });
    let status = agent.end(Signal::TERM);
    assert_eq!(status.code(), Some(1), "{}", scene.said());
    assert!(scene.said().contains("no positions are kept"), "{}", scene.said());
}
