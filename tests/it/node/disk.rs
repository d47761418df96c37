//! Disks that are slow, full or broken, and files that may not be read.

use std::cmp::Reverse;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use ringtail_agent::demo::Verifier;
use ringtail_agent::demo::container::Written;
use ringtail_agent::demo::sink::{take_ndjson, unpack};

use super::hung::{SOON, far};
use crate::support::bounds::{FEW_FILES, QUIET, require_memory, require_quiet};
use crate::support::fuse::{Call, Fuse, Mood};
use crate::support::log::Log;
use crate::support::metrics::{count, free_addr, metric};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, good_sink, require_exact, settle, verdict};
use crate::support::tmpfs::Tmpfs;
use crate::support::{all, not_run, until};

crate::support::on_both_backends! {
    a_slow_disk_loses_nothing_and_holds_up_nothing_else;
    a_far_mount_is_followed_as_fast_as_it_answers;
    far_directories_keep_no_near_log_waiting;
    a_disk_that_fails_is_told_and_read_when_it_works_again;
    a_full_disk_under_a_file_output_makes_it_wait;
    a_full_disk_under_the_checkpoint_is_told_and_delivery_goes_on;
    a_file_that_may_not_be_read_is_told_once_and_read_when_it_may;
    a_directory_that_is_removed_and_made_again_is_followed;
}

/// 30 ms a read, twenty files, rotations.
fn a_slow_disk_loses_nothing_and_holds_up_nothing_else(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let Some(mount) = far(&scene, "far") else { return };
    mount.mood(Mood { delay: Duration::from_millis(30), ..Mood::default() });
    let create = |number| Log::create(scene.path(&format!("far-backing/far-{number}.log")));
    let mut slow: Vec<Log> = (0..20).map(create).collect();
    let mut near = Log::create(scene.logs().join("near.log"));
    let config = scene.config().path(&scene.path("far/*.log")).path(&scene.logs().join("*.log"));
    let agent = scene.start(&config.http("main", &sink.url(), ""));
    for round in 0..if all() { 30 } else { 3 } {
        for log in &mut slow {
            log.print(200);
            log.rotate(&format!("20260102-0304{round:02}"));
        }
        near.print(500);
        require_exact(&sink, &near.written());
    }
    for log in slow.iter().chain([&near]) {
        require_exact(&sink, &log.written());
    }
    agent.stop();
    for log in slow.iter().chain([&near]) {
        let verdict = verdict(&sink, &log.written());
        assert!(verdict.exact(), "{verdict}");
    }
}

/// 30 ms to every answer, and files that were rotated before the start: each is opened once, others are not asked about what
/// did not change, and near logs do not wait. The long form has 620 files.
fn a_far_mount_is_followed_as_fast_as_it_answers(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let Some(mount) = far(&scene, "far") else { return };
    let (logs, rounds) = if all() { (20, 30) } else { (4, 5) };
    let create = |number| Log::create(scene.path(&format!("far-backing/far-{number}.log")));
    let mut distant: Vec<Log> = (0..logs).map(create).collect();
    let mut near = Log::create(scene.logs().join("near.log"));
    for log in &mut distant {
        for round in 0..rounds {
            log.print(50);
            log.rotate(&format!("20260102-0304{round:02}"));
        }
        log.print(20);
    }
    mount.mood(Mood { latency: Duration::from_millis(30), ..Mood::default() });
    let config = scene.config().path(&scene.path("far/*.log")).path(&scene.logs().join("*.log"));
    let began = Instant::now();
    let agent = scene.start(&config.http("main", &sink.url(), ""));
    let mut near_within = Duration::ZERO;
    for round in 0..3 {
        let rotated = Instant::now();
        near.print(200);
        near.rotate(&format!("20260102-0304{round:02}"));
        near.print(200);
        require_exact(&sink, &near.written());
        near_within = near_within.max(rotated.elapsed());
    }
    assert!(near_within < SOON, "near logs wait for far ones: {near_within:?}");
    for log in &distant {
        require_exact(&sink, &log.written());
    }
    let (files, took, calls) = (logs * (rounds + 1), began.elapsed(), mount.take_calls());
    let count = |calls: &[Call], which: &[Call]| calls.iter().filter(|call| which.contains(call)).count();
    println!(
        "FIG far mount: {files} files in {took:?}, a rotated near log within {near_within:?}; {} looks at names, {} at files, {} files \
         opened, {} reads, {} calls to list",
        count(&calls, &[Call::Lookup]),
        count(&calls, &[Call::GetAttr]),
        count(&calls, &[Call::Open]),
        count(&calls, &[Call::Read]),
        count(&calls, &[Call::OpenDir, Call::ReadDir, Call::ReleaseDir]),
    );
    assert_eq!(count(&calls, &[Call::Open]), files, "each is opened once");
    if all() {
        quiet_looks(&mount, logs);
    }
    distant.iter_mut().for_each(|log| log.print(20));
    for log in &distant {
        require_exact(&sink, &log.written());
    }
    agent.stop();
    for log in distant.iter().chain([&near]) {
        let verdict = verdict(&sink, &log.written());
        assert!(verdict.exact(), "{verdict}");
    }
}

/// 30 ms to every answer, and a directory for each far log, as pods have: they come after all that is near, eight at a time. The long
/// form has 300.
fn far_directories_keep_no_near_log_waiting(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let Some(mount) = far(&scene, "far") else { return };
    let count = if all() { 300 } else { 8 };
    let create = |number| {
        let dir = scene.path(&format!("far-backing/pod-{number}"));
        fs::create_dir(&dir).expect("a directory");
        Log::create(dir.join(format!("{number}.log")))
    };
    let mut distant: Vec<Log> = (0..count).map(create).collect();
    distant.iter_mut().for_each(|log| log.print(5));
    let mut near = Log::create(scene.logs().join("near.log"));
    near.print(200);
    mount.mood(Mood { latency: Duration::from_millis(30), ..Mood::default() });
    let config = scene.config().path(&scene.path("far/*/*.log")).path(&scene.logs().join("*.log"));
    let began = Instant::now();
    let agent = scene.start(&config.http("main", &sink.url(), ""));
    require_exact(&sink, &near.written());
    let near_within = began.elapsed();
    near.rotate("20260102-030405");
    near.print(200);
    let rotated = Instant::now();
    require_exact(&sink, &near.written());
    let rotated_within = rotated.elapsed();
    for log in &distant {
        require_exact(&sink, &log.written());
    }
    println!(
        "FIG {count} far directories: a near log within {near_within:?} of the start, within {rotated_within:?} of its rotation; all \
         within {:?}",
        began.elapsed()
    );
    assert!(near_within < SOON && rotated_within < SOON, "{near_within:?}, {rotated_within:?}");
    agent.stop();
    for log in distant.iter().chain([&near]) {
        let verdict = verdict(&sink, &log.written());
        assert!(verdict.exact(), "{verdict}");
    }
}

/// What is asked of a far mount whose files do not change.
fn quiet_looks(mount: &Fuse, logs: usize) {
    const SECONDS: usize = 20;
    // The directory was not changed for long enough to be believed, and is listed no more.
    std::thread::sleep(Duration::from_secs(10));
    mount.take_calls();
    std::thread::sleep(Duration::from_secs(SECONDS as u64));
    let calls = mount.take_calls();
    let count = |which| calls.iter().filter(|call| **call == which).count();
    let [looks, names, opened, reads, listed] =
        [Call::GetAttr, Call::Lookup, Call::Open, Call::Read, Call::OpenDir].map(count);
    println!(
        "FIG far mount, quiet: in {SECONDS} s {names} names and {looks} files looked at, {reads} reads, {listed} listings"
    );
    assert!(opened == 0 && listed <= 1, "{opened} opened, {listed} listed");
    // Once a second each log is read at its end.
    assert!(reads <= logs * (SECONDS + 2), "{reads} reads");
}

/// EIO from one kind of call after the other, while logs are written and rotated.
fn a_disk_that_fails_is_told_and_read_when_it_works_again(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let Some(mount) = far(&scene, "far") else { return };
    let mut log = Log::create(scene.path("far-backing/0.log"));
    let config = scene.config().path(&scene.path("far/*.log")).http("main", &sink.url(), "");
    let mut agent = scene.start(&config);
    log.print(100);
    require_exact(&sink, &log.written());
    for (round, call) in [Call::Read, Call::GetAttr, Call::Lookup, Call::Open, Call::OpenDir, Call::ReadDir]
        .into_iter()
        .enumerate()
    {
        mount.mood(Mood { fail: vec![call], ..Mood::default() });
        log.print(200);
        log.rotate(&format!("20260102-03040{round}"));
        log.print(200);
        // Past the next look at everything.
        std::thread::sleep(Duration::from_millis(2500));
        agent.must_live();
        mount.heal();
        require_exact(&sink, &log.written());
    }
    assert!(scene.said().contains("/far"), "what fails is named");
    agent.stop();
    let verdict = verdict(&sink, &log.written());
    assert!(verdict.exact(), "{verdict}");
}

/// The output waits, says so, and goes on when there is room; every frame in its files is whole, also after kills.
fn a_full_disk_under_a_file_output_makes_it_wait(io: Io) {
    for (compression, kills) in [("none", 0), ("none", 1), ("zstd", 0), ("zstd", 1)] {
        let kills: u64 = if all() { kills * 20 } else { kills };
        let (scene, admin) = (Scene::new(io), free_addr());
        let Some(disk) = small_disk(&scene, "out", "128k") else { return };
        let mut log = Log::create(scene.logs().join("0.log"));
        let config = scene.config().admin(admin).path(log.path());
        let config = config.file_of("main", &scene.path("out/records"), compression);
        let mut agent = scene.start(&config);
        log.print(20_000);
        let (mut seen, mut may_repeat, mut said) = (Verifier::default(), 0, 0);
        for kill in 0..=kills {
            until("the output says that it cannot write", PATIENCE, || {
                scene.said()[said..].contains("No space left") && scene.said()[said..].contains("main")
            });
            if kill == kills {
                break;
            }
            require_quiet("full disk under a file", &mut agent, QUIET);
            require_memory("full disk under a file", &mut agent, FEW_FILES);
            // The position of what was answered before these seconds is written: only what was not may come again.
            let answered = metric(admin, "ringtail_delivered_records_total", "").expect("metrics");
            agent.kill();
            let before = seen.messages();
            seen = written_to(&scene.path("out"), compression);
            may_repeat += seen.messages() - before - count(answered);
            said = scene.said().len();
            agent = scene.start(&config);
        }
        agent.must_live();
        disk.resize("64m");
        until("all is written", PATIENCE, || {
            seen = written_to(&scene.path("out"), compression);
            delivered(&seen, &log.written())
        });
        log.print(100);
        until("and what comes later", PATIENCE, || {
            seen = written_to(&scene.path("out"), compression);
            delivered(&seen, &log.written())
        });
        agent.stop();
        let written = log.written();
        let verdict = seen.verdict(written.iter().map(|written| (written.stream.as_ref(), written.count())));
        println!("FIG full disk, {compression}, {kills} kills: {verdict}; {may_repeat} might come again");
        // At most the last line before a kill is torn, and nobody takes it for a whole one.
        let torn = if compression == "none" { kills } else { 0 };
        assert!(verdict.damaged <= torn, "{verdict}");
        assert!(verdict.lost == 0 && verdict.out_of_order == 0, "{verdict}");
        assert!(verdict.repeated <= may_repeat, "{may_repeat} might come again: {verdict}");
    }
}

fn small_disk(scene: &Scene, name: &str, size: &str) -> Option<Tmpfs> {
    Tmpfs::mount(&scene.path(name), size).map_err(|why| not_run("what meets a full disk", &why)).ok()
}

fn delivered(seen: &Verifier, written: &[Written]) -> bool {
    written.iter().all(|written| seen.delivered_of(&written.stream) >= written.count())
}

/// What a reader makes of the output's files: each is unpacked as far as its frames are whole.
fn written_to(directory: &Path, compression: &str) -> Verifier {
    let mut verifier = Verifier::default();
    let mut files: Vec<_> =
        fs::read_dir(directory).expect("files").map(|file| file.expect("one").path()).collect();
    // As they were written: the file itself is the newest, `.1` the one before.
    files.sort_by_key(|file| {
        Reverse(file.extension().and_then(|number| number.to_str()?.parse::<u32>().ok()))
    });
    for file in files {
        let bytes = fs::read(&file).expect("read");
        let text = match compression {
            "none" => bytes,
            _ => whole_frames(&bytes),
        };
        take_ndjson(&text, &mut verifier);
    }
    verifier
}

/// The contents of zstd frames up to the first that is not whole.
fn whole_frames(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let Ok(len) = zstd::zstd_safe::find_frame_compressed_size(rest) else { break };
        let (frame, after) = rest.split_at(len);
        text.extend(unpack("zstd", frame).expect("a whole frame"));
        rest = after;
    }
    text
}

/// The positions cannot be written: said as an error, nothing else suffers, and with room again nothing is repeated.
fn a_full_disk_under_the_checkpoint_is_told_and_delivery_goes_on(io: Io) {
    let (scene, sink, admin) = (Scene::new(io), good_sink(), free_addr());
    let Some(_disk) = small_disk(&scene, "data", "8m") else { return };
    let create = |number| Log::create(scene.logs().join(format!("{number}.log")));
    let mut logs: Vec<Log> = (0..300).map(create).collect();
    let config = scene.config().admin(admin).path(&scene.logs().join("*.log")).http("main", &sink.url(), "");
    let agent = scene.start(&config);
    logs[0].print(10);
    require_exact(&sink, &logs[0].written());
    let filler = scene.path("data/filler");
    let full = fs::write(&filler, vec![1; 16 << 20]).expect_err("it is full");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    until("the error is told", PATIENCE, || {
        logs.iter_mut().for_each(|log| log.print(20));
        scene.said().contains("checkpoint cannot be written")
    });
    logs.iter_mut().for_each(|log| log.print(10));
    for log in &logs {
        require_exact(&sink, &log.written());
    }
    fs::remove_file(filler).expect("removed");
    until("the end of it is told", PATIENCE, || {
        logs[0].print(1);
        scene.said().contains("can be written again")
    });
    for log in &logs {
        require_exact(&sink, &log.written());
    }
    agent.stop();
    let agent = scene.start(&config);
    logs.iter_mut().for_each(|log| log.print(5));
    for log in &logs {
        require_exact(&sink, &log.written());
    }
    until("metrics", PATIENCE, || metric(admin, "ringtail_checkpoint_resets_total", "") == Some(0.0));
    agent.stop();
    assert_eq!(sink.verifier().repeated(), 0);
}

/// An agent that is not root.
fn a_file_that_may_not_be_read_is_told_once_and_read_when_it_may(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    if !rustix::process::geteuid().is_root() {
        return not_run("what an agent without privileges may not read", "not root");
    }
    let mut secret = Log::create(scene.logs().join("secret.log"));
    let mut open = Log::create(scene.logs().join("open.log"));
    let allow =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("allowed");
    allow(secret.path(), 0o600);
    allow(open.path(), 0o644);
    fs::create_dir(scene.path("data")).expect("a directory");
    chown(scene.path("data"), Some(NOBODY), Some(NOBODY)).expect("given away");
    scene.let_others_in();
    let config = scene.config().path(&scene.logs().join("*.log")).http("main", &sink.url(), "");
    let wrap = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let agent = scene.start_under(&config, &wrap);
    for _ in 0..4 {
        secret.print(20);
        open.print(20);
        require_exact(&sink, &open.written());
        // Looks at everything come every five seconds.
        std::thread::sleep(Duration::from_millis(2700));
    }
    let told = |scene: &Scene| {
        let said = scene.said();
        said.lines().filter(|line| line.contains("secret.log") && line.contains("\"WARN\"")).count()
    };
    // Once by the scanner, once by the start line's look.
    assert!((1..=2).contains(&told(&scene)), "told {} times: {}", told(&scene), scene.said());
    allow(secret.path(), 0o644);
    require_exact(&sink, &secret.written());
    secret.print(20);
    require_exact(&sink, &secret.written());
    agent.stop();
}

/// `nobody`.
const NOBODY: u32 = 65534;

/// With a file in it that is held, twice, and once while the agent looks away.
fn a_directory_that_is_removed_and_made_again_is_followed(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let pod = scene.logs().join("ns_pod_uid/main");
    let config = scene.config().path(&scene.logs().join("*/*/*.log")).http("main", &sink.url(), "");
    let mut agent = scene.start(&config);
    let mut logs = Vec::new();
    for round in 0..4 {
        fs::create_dir_all(&pod).expect("a directory");
        let mut log = Log::of(&format!("round-{round}"), pod.join("0.log"));
        log.print(300);
        if round % 2 == 0 {
            settle(&sink, &log.written(), PATIENCE);
            fs::remove_dir_all(scene.logs().join("ns_pod_uid")).expect("removed");
            // Whoever wrote it still does, until it is told to end.
            log.print(300);
        } else {
            until("it is seen", PATIENCE, || sink.verifier().delivered_of(&log.written()[0].stream) > 0);
            agent.blink(|| {
                log.print(300);
                fs::remove_dir_all(scene.logs().join("ns_pod_uid")).expect("removed");
            });
        }
        require_exact(&sink, &log.written());
        logs.push(log);
    }
    agent.must_live();
    agent.stop();
    for log in &logs {
        let verdict = verdict(&sink, &log.written());
        assert!(verdict.exact(), "{verdict}");
    }
}
