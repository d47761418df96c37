//! Mounts that never answer: what lies elsewhere flows, a stop stays within its bound, metrics answer.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::bounds::{FEW_FILES, QUIET, require_memory, require_quiet};
use crate::support::fuse::{Call, Fuse};
use crate::support::log::Log;
use crate::support::metrics::{free_addr, get};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, good_sink, require_exact, settle, verdict};
use crate::support::{all, not_run, until};

crate::support::on_both_backends! {
    a_mount_that_hangs_while_running_stops_nothing_else;
    a_mount_that_hangs_at_the_start_stops_nothing_else;
    each_call_that_hangs_stops_nothing_else;
    hung_mounts_do_not_use_up_the_reads_of_others;
}

/// A FUSE mount at `name` in the scene, over a directory that the test writes to.
pub(super) fn far(scene: &Scene, name: &str) -> Option<Fuse> {
    let (backing, point) = (scene.path(&format!("{name}-backing")), scene.path(name));
    fs::create_dir(&backing).expect("a directory");
    fs::create_dir(&point).expect("a directory");
    Fuse::mount(&backing, &point).map_err(|why| not_run("what meets a FUSE mount that fails", &why)).ok()
}

/// A stop's bound where nothing is in its way but a mount that does not answer: two seconds, the rest is for a busy machine.
const QUICK: Duration = Duration::from_secs(10);
/// What is near is looked at every two seconds where it is polled; the rest is for a busy machine.
pub(super) const SOON: Duration = Duration::from_secs(8);

/// Everything on the mount hangs, for good, under load: other logs flow, rotate and appear, the metrics answer, and the
/// agent ends. What is on the mount comes when it answers again.
fn a_mount_that_hangs_while_running_stops_nothing_else(io: Io) {
    let (scene, sink, admin) = (Scene::new(io), good_sink(), free_addr());
    let Some(mount) = far(&scene, "far") else { return };
    let mut distant = Log::create(scene.path("far-backing/distant.log"));
    let mut near = Log::create(scene.logs().join("near.log"));
    let config = scene.config().admin(admin).path(&scene.path("far/*.log")).path(&scene.logs().join("*.log"));
    let config = config.http("main", &sink.url(), "");
    let mut agent = scene.start(&config);
    for log in [&mut distant, &mut near] {
        log.print(200);
        require_exact(&sink, &log.written());
    }
    let _healed = mount.healed_at_the_end();
    mount.hang_all();
    distant.print(300);
    until("the mount is asked", PATIENCE, || mount.hanging() > 0);
    let began = Instant::now();
    for round in 0..if all() { 600 } else { 3 } {
        near.print(500);
        require_exact(&sink, &near.written());
        near.rotate(&format!("20260102-03{:02}{:02}", round / 60, round % 60));
        if all() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let mut new = Log::create(scene.logs().join("new.log"));
    new.print(50);
    require_exact(&sink, &new.written());
    println!("FIG hung mount: near logs in {:?}", began.elapsed());
    assert!(all() || began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(get(admin, "/metrics").map(|(status, _)| status), Some(200));
    assert_eq!(get(admin, "/healthz").map(|(status, _)| status), Some(200));
    require_quiet("hung mount", &mut agent, QUIET);
    require_memory("hung mount", &mut agent, FEW_FILES);

    // Who waits for an answer of a FUSE server that has the request cannot even be killed: the kernel keeps the process
    // until the server answers. Everything that is the agent's own is done before.
    let began = Instant::now();
    agent.0.signal(Signal::TERM);
    until("the agent says that it stopped", QUICK, || scene.said().contains("\"stopped\""));
    println!("FIG hung mount: stopped in {:?}", began.elapsed());
    let lock = fs::File::options().write(true).open(scene.path("data/lock")).expect("a lock");
    until("the data directory is free for the next one", PATIENCE, || lock.try_lock().is_ok());
    drop(lock);
    mount.heal();
    let status = agent.0.wait(PATIENCE).expect("it ends");
    assert!(status.success(), "{status}");

    let agent = scene.start(&config);
    require_exact(&sink, &distant.written());
    agent.stop();
    for log in [&distant, &near, &new] {
        let verdict = verdict(&sink, &log.written());
        assert!(verdict.exact(), "{verdict}");
    }
}

/// The mount hangs before the agent is there.
fn a_mount_that_hangs_at_the_start_stops_nothing_else(io: Io) {
    let (scene, sink, admin) = (Scene::new(io), good_sink(), free_addr());
    let Some(mount) = far(&scene, "far") else { return };
    let mut distant = Log::create(scene.path("far-backing/distant.log"));
    distant.print(100);
    mount.hang_all();
    // A link leads there too, as from a directory of links to where the logs are.
    std::os::unix::fs::symlink(scene.path("far/distant.log"), scene.logs().join("linked.log"))
        .expect("a link");
    let mut near = Log::create(scene.logs().join("near.log"));
    near.print(100);
    let config = scene.config().admin(admin).path(&scene.path("far/*.log")).path(&scene.logs().join("*.log"));
    let mut agent = scene.start(&config.http("main", &sink.url(), ""));
    let _healed = mount.healed_at_the_end();
    require_exact(&sink, &near.written());
    near.print(100);
    require_exact(&sink, &near.written());
    until("the metrics answer", PATIENCE, || get(admin, "/metrics").is_some_and(|(status, _)| status == 200));
    let named = || scene.said().contains(scene.path("far").to_str().expect("UTF-8"));
    until("the mount is named", PATIENCE, named);
    agent.must_live();
    mount.heal();
    require_exact(&sink, &distant.written());
    near.rotate("20260102-030405");
    near.print(100);
    require_exact(&sink, &near.written());
    agent.stop();
    for log in [&distant, &near] {
        let verdict = verdict(&sink, &log.written());
        assert!(verdict.exact(), "{verdict}");
    }
}

/// One kind of call at a time, with many files there.
fn each_call_that_hangs_stops_nothing_else(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let Some(mount) = far(&scene, "far") else { return };
    let mut distant: Vec<Log> =
        (0..30).map(|number| Log::create(scene.path(&format!("far-backing/{number}.log")))).collect();
    let mut near = Log::create(scene.logs().join("near.log"));
    let config = scene.config().path(&scene.path("far/*.log")).path(&scene.logs().join("*.log"));
    let mut agent = scene.start(&config.http("main", &sink.url(), ""));
    let _healed = mount.healed_at_the_end();
    for (round, call) in [Call::Read, Call::GetAttr, Call::Lookup, Call::Open, Call::OpenDir, Call::ReadDir]
        .into_iter()
        .enumerate()
    {
        mount.hang(&[call]);
        distant.iter_mut().for_each(|log| log.print(10));
        let mut new = Log::create(scene.path(&format!("far-backing/new-{round}.log")));
        new.print(10);
        distant.push(new);
        until("the mount is asked", PATIENCE, || mount.hanging() > 0);
        let began = Instant::now();
        near.print(100);
        near.rotate(&format!("20260102-03040{round}"));
        near.print(100);
        require_exact(&sink, &near.written());
        println!("FIG {call:?} hangs: near logs arrived within {:?}", began.elapsed());
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        agent.must_live();
        mount.heal();
        for log in &distant {
            settle(&sink, &log.written(), PATIENCE);
        }
    }
    agent.stop();
    for log in distant.iter().chain([&near]) {
        let verdict = verdict(&sink, &log.written());
        assert!(verdict.exact(), "{}: {verdict}", log.path().display());
    }
}

/// Hundreds of large reads hang on two mounts: a third one's and the local disk's go on, and all of it ends.
fn hung_mounts_do_not_use_up_the_reads_of_others(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let names = ["far", "further", "well"];
    let mut mounts = Vec::new();
    for name in names {
        let Some(mount) = far(&scene, name) else { return };
        mounts.push(mount);
    }
    let mut logs: Vec<Vec<Log>> = Vec::new();
    for name in names {
        let create = |number| Log::create(scene.path(&format!("{name}-backing/{name}-{number}.log")));
        logs.push((0..100).map(create).collect());
    }
    let mut near = Log::create(scene.logs().join("near.log"));
    let mut config = scene.config().path(&scene.logs().join("*.log"));
    for name in names {
        config = config.path(&scene.path(&format!("{name}/*.log")));
    }
    let mut agent = scene.start(&config.http("main", &sink.url(), ""));
    for log in logs.iter_mut().flatten() {
        log.print(1);
    }
    for log in logs.iter().flatten() {
        require_exact(&sink, &log.written());
    }
    let _healed = [mounts[0].healed_at_the_end(), mounts[1].healed_at_the_end()];
    mounts[0].hang(&[Call::Read]);
    mounts[1].hang(&[Call::Read]);
    for log in logs.iter_mut().flatten() {
        log.print(100);
    }
    until("both mounts are asked", PATIENCE, || mounts[..2].iter().all(|mount| mount.hanging() > 0));
    for round in 0..5 {
        near.print(300);
        require_exact(&sink, &near.written());
        println!("round {round}: {} and {} reads hang", mounts[0].hanging(), mounts[1].hanging());
    }
    for log in &logs[2] {
        require_exact(&sink, &log.written());
    }
    require_quiet("two hung mounts", &mut agent, QUIET);
    // Each of the reads that hang, four a mount and shard, has half a slab at most.
    require_memory("two hung mounts, 300 files", &mut agent, FEW_FILES + (8 << 20));
    mounts.iter().for_each(Fuse::heal);
    for log in logs.iter().flatten() {
        require_exact(&sink, &log.written());
    }
    agent.stop();
}
