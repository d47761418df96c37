//! Limits that are used up: watches, their queue, descriptors, memory, processor time.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::time::{Duration, Instant};

use ringtail_agent::demo::Sink;
use ringtail_agent::demo::container::Written;
use ringtail_agent::demo::http::Answer;
use ringtail_agent::demo::message::{Messages, Text};
use ringtail_agent::demo::sink::Reply;

use crate::support::cgroup::Cgroup;
use crate::support::log::Log;
use crate::support::metrics::{free_addr, metric};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, append, good_sink, require_exact, verdict};
use crate::support::{all, not_run, until};

crate::support::on_both_backends! {
    without_watches_files_are_polled;
    changes_that_the_queue_drops_are_found;
    more_files_than_may_be_open_are_read;
    without_locked_memory_it_reads;
    little_memory_and_half_a_processor_are_enough;
    an_endless_run_of_parts_is_cut_and_the_next_record_arrives;
    many_tiny_files_arrive;
}

/// No watch at all, a single one, and no instance: in a user namespace with limits of its own.
fn without_watches_files_are_polled(io: Io) {
    for (limit, left) in
        [("max_inotify_watches", 0), ("max_inotify_watches", 3), ("max_inotify_instances", 0)]
    {
        let (scene, sink) = (Scene::new(io), good_sink());
        let create = |number: u32| {
            fs::create_dir(scene.logs().join(number.to_string())).expect("a directory");
            Log::create(scene.logs().join(format!("{number}/{number}.log")))
        };
        let mut logs: Vec<Log> = (0..20).map(create).collect();
        let config = scene.config().path(&scene.logs().join("*/*.log")).http("main", &sink.url(), "");
        let set = format!("echo {left} > /proc/sys/user/{limit} && exec \"$@\"");
        let wrap = ["unshare", "--user", "--map-root-user", "sh", "-c", &set, "limited"];
        let agent = scene.start_under(&config, &wrap);
        for round in 0..3 {
            let began = Instant::now();
            for log in &mut logs {
                log.print(20);
                log.rotate(&format!("20260102-03040{round}"));
                log.print(20);
            }
            logs.iter().for_each(|log| require_exact(&sink, &log.written()));
            println!("{limit} {left}: seen within {:?}", began.elapsed());
        }
        let mut late = create(100);
        late.print(10);
        require_exact(&sink, &late.written());
        assert!(scene.said().contains("max_user_watches"), "the remedy is told: {}", scene.said());
        agent.stop();
        for log in logs.iter().chain([&late]) {
            let verdict = verdict(&sink, &log.written());
            assert!(verdict.exact(), "{verdict}");
        }
    }
}

/// More changes than the kernel keeps while the agent does not look; two rotations and new files among them.
fn changes_that_the_queue_drops_are_found(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let mut logs: Vec<Log> =
        ["a", "b", "c"].map(|name| Log::create(scene.logs().join(format!("{name}.log")))).into();
    let config = scene.config().path(&scene.logs().join("*.log")).http("main", &sink.url(), "");
    let agent = scene.start(&config);
    logs.iter_mut().for_each(|log| log.print(10));
    logs.iter().for_each(|log| require_exact(&sink, &log.written()));
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("a limit");
    let queue: u64 = queue.trim().parse().expect("a number");
    agent.blink(|| {
        // One write after another to different files: the kernel joins what is the same as the last one.
        for _ in 0..queue {
            logs[0].print(1);
            logs[1].print(1);
        }
        for round in 0..2 {
            logs[2].print(100);
            logs[2].rotate(&format!("20260102-03040{round}"));
        }
        logs.push(Log::create(scene.logs().join("new.log")));
        logs[3].print(10);
    });
    for _ in 0..2 {
        logs.iter().for_each(|log| require_exact(&sink, &log.written()));
        logs.iter_mut().for_each(|log| log.print(10));
    }
    logs.iter().for_each(|log| require_exact(&sink, &log.written()));
    agent.stop();
}

/// `ulimit -n 256`.
fn more_files_than_may_be_open_are_read(io: Io) {
    let files = if all() { 10_000 } else { 1_000 };
    many_files(io, files, &["prlimit", "--nofile=256:256"]);
}

/// 100,000 files of one line.
fn many_tiny_files_arrive(io: Io) {
    if all() {
        many_files(io, 100_000, &["env"]);
    }
}

/// Raw lines in many files, some more of them later, and a clean stop.
fn many_files(io: Io, count: usize, wrap: &[&str]) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let mut files: Vec<(Messages, Written)> = (0..count)
        .map(|file| {
            let name = format!("f{file}");
            (Messages::new(&name, Text::Unicode).short(), Written::new(&name))
        })
        .collect();
    (0..100).for_each(|dir| fs::create_dir(scene.logs().join(format!("{dir}"))).expect("a directory"));
    let print = |files: &mut [(Messages, Written)], every: usize| {
        let (mut message, mut text) = (String::new(), String::new());
        for (at, (messages, written)) in files.iter_mut().enumerate().step_by(every) {
            text.clear();
            messages.next_into(&mut message);
            writeln!(text, "{message}").expect("a String takes everything");
            written.add(message.len());
            append(&scene.logs().join(format!("{}/{at}.log", at % 100)), text.as_bytes());
        }
    };
    print(&mut files, 1);
    let config = scene.config().path(&scene.logs().join("*/*.log")).files("input: raw");
    let mut agent = scene.start_under(&config.http("main", &sink.url(), ""), wrap);
    let written: Vec<Written> = files.iter().map(|file| file.1.clone()).collect();
    let began = Instant::now();
    require_exact(&sink, &written);
    println!("{count} files after {:?}", began.elapsed());
    for _ in 0..2 {
        print(&mut files, 7);
        let began = Instant::now();
        require_exact(&sink, &written);
        println!("a line more in every seventh after {:?}", began.elapsed());
    }
    let usage = agent.0.usage();
    println!("memory at most {} MiB, CPU {:?}", usage.peak_rss >> 20, usage.cpu);
    agent.must_live();
    agent.stop();
    let verdict = verdict(&sink, &written);
    assert!(verdict.exact(), "{verdict}");
}

/// As in a container without the privilege to lock more.
fn without_locked_memory_it_reads(io: Io) {
    if !rustix::process::geteuid().is_root() {
        return not_run("what runs without locked memory", "not root");
    }
    let (scene, sink) = (Scene::new(io), good_sink());
    let mut log = Log::create(scene.logs().join("0.log"));
    scene.let_others_in();
    fs::create_dir(scene.path("data")).expect("a directory");
    chown(scene.path("data"), Some(65534), Some(65534)).expect("given away");
    fs::set_permissions(log.path(), fs::Permissions::from_mode(0o644)).expect("allowed");
    let config = scene.config().path(log.path()).http("main", &sink.url(), "");
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    // The kernel counts a ring as locked memory before 5.12 and again since 6.14: there the fallback runs.
    let io = if io == Io::Uring { "RINGTAIL_IO=auto" } else { "RINGTAIL_IO=pread" };
    let wrap = [&["prlimit", "--memlock=0:0", "env", io], &user[..]].concat();
    let agent = scene.start_under(&config, &wrap);
    log.print(5_000);
    require_exact(&sink, &log.written());
    agent.stop();
}

/// What the process needs beside `memory`, in a debug build: code, stacks, tables.
const BASE: u64 = 40 << 20;

/// A control group with the promised memory and half a processor; a backend that takes nothing for a while, so that
/// everything that may be held is held.
fn little_memory_and_half_a_processor_are_enough(io: Io) {
    let memory = 64 << 20;
    let group = match Cgroup::new(memory + BASE, 500) {
        Ok(group) => group,
        Err(why) => return not_run("what runs in a small control group", &why),
    };
    let scene = Scene::new(io);
    let began = Instant::now();
    let dead = move || began.elapsed() < Duration::from_secs(4);
    let sink = Sink::start(move || if dead() { Reply::refused(Answer::Reset) } else { Reply::OK });
    let sink = sink.expect("a sink");
    let create = |number| Log::create(scene.logs().join(format!("{number}.log")));
    let mut logs: Vec<Log> = (0..20).map(create).collect();
    let lines = if all() { 100_000 } else { 10_000 };
    logs.iter_mut().for_each(|log| log.print(lines));
    let config = scene.config().top("memory: 64MiB").path(&scene.logs().join("*.log"));
    let config = config.http("main", &sink.url(), "compression: none,");
    let wrap = group.wrap();
    let wrap: Vec<&str> = wrap.iter().map(String::as_str).collect();
    let mut agent = scene.start_under(&config, &wrap);
    until("the backend takes something", PATIENCE, || sink.verifier().messages() > 0);
    let flows = Instant::now();
    logs.iter().for_each(|log| require_exact(&sink, &log.written()));
    let (usage, bytes) = (agent.0.usage(), sink.message_bytes());
    println!(
        "{} MB in {:?}, memory at most {} MiB, CPU {:?}",
        bytes / 1_000_000,
        flows.elapsed(),
        usage.peak_rss >> 20,
        usage.cpu
    );
    agent.must_live();
    agent.stop();
    assert_eq!(group.killed(), 0, "nothing was killed for its memory");
    assert!(usage.peak_rss < memory + BASE, "{} MiB", usage.peak_rss >> 20);
}

/// 64 MiB of parts without an end, then an end: one record, cut and marked, counted as lost beyond its limit; what follows
/// is whole.
fn an_endless_run_of_parts_is_cut_and_the_next_record_arrives(io: Io) {
    let (scene, admin) = (Scene::new(io), free_addr());
    let path = scene.logs().join("0.log");
    let config = scene.config().admin(admin).path(&path).file("main", &scene.path("out.ndjson"));
    let mut agent = scene.start(&config);
    let part = format!("2026-01-02T03:04:05.678901234Z stdout P {}\n", "x".repeat(16 << 10));
    let block = part.repeat(64);
    let blocks = if all() { 256 } else { 64 };
    for _ in 0..blocks {
        append(&path, block.as_bytes());
    }
    append(&path, b"2026-01-02T03:04:06Z stdout F end\n2026-01-02T03:04:07Z stdout F whole\n");
    let records = || -> Vec<serde_json::Value> {
        let text = fs::read(scene.path("out.ndjson")).unwrap_or_default();
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map_while(|line| serde_json::from_slice(line).ok()).collect()
    };
    until("what follows arrives", PATIENCE, || records().iter().any(|record| record["message"] == "whole"));
    let records = records();
    let lengths: Vec<_> = records
        .iter()
        .map(|record| (record["message"].as_str().map_or(0, str::len), &record["log.flags"]))
        .collect();
    println!("{lengths:?}");
    let delivered: usize = lengths.iter().map(|length| length.0).sum();
    assert!(
        records.iter().all(|record| record["message"].as_str().is_some_and(|text| text.len() <= 4 << 20))
    );
    let total = u64::try_from(blocks * 64 * (16 << 10)).expect("small");
    let lost = metric(admin, "ringtail_lost_bytes_total", "reason=\"max_record\"").expect("metrics");
    println!("{total} bytes of parts, {delivered} delivered, {lost} counted as lost");
    assert!(lost > 0.0 || delivered as u64 >= total, "what was cut is counted");
    let peak = agent.0.usage().peak_rss;
    assert!(peak < 200 << 20, "{} MiB", peak >> 20);
    agent.stop();
}
