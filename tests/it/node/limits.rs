//! Limits that are used up: watches, their queue, descriptors, memory, processor time.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ringtail_agent::demo::Sink;
use ringtail_agent::demo::container::Written;
use ringtail_agent::demo::http::Answer;
use ringtail_agent::demo::message::{Messages, Text};
use ringtail_agent::demo::sink::Reply;
use rustix::io::ioctl_fionread;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::support::bounds::{FEW_FILES, MANY_FILES, QUIET, require_memory, require_quiet};
use crate::support::cgroup::Cgroup;
use crate::support::log::Log;
use crate::support::metrics::{count, free_addr, metric};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Running, Scene, append, good_sink, require_exact, settle, verdict};
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

/// A look at everything that is polled comes every two seconds; the rest is for a busy machine.
const LOOK: Duration = Duration::from_secs(6);

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
        let mut agent = scene.start_under(&config, &wrap);
        for round in 0..3 {
            let began = Instant::now();
            for log in &mut logs {
                log.print(20);
                log.rotate(&format!("20260102-03040{round}"));
                log.print(20);
            }
            logs.iter().for_each(|log| require_exact(&sink, &log.written()));
            println!("{limit} {left}: seen within {:?}", began.elapsed());
            assert!(began.elapsed() < LOOK, "{:?}", began.elapsed());
        }
        let mut late = create(100);
        late.print(10);
        require_exact(&sink, &late.written());
        assert!(scene.said().contains("max_user_watches"), "the remedy is told: {}", scene.said());
        if left == 0 {
            require_quiet(&format!("{limit} 0"), &mut agent, QUIET);
        }
        require_memory(&format!("{limit} {left}"), &mut agent, FEW_FILES);
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
        let full = queued(agent.0.id());
        (0..2).for_each(|log| logs[log].print(1));
        assert!(
            full >= queue * EVENT && queued(agent.0.id()) == full,
            "the queue of {queue} is not full: {full} bytes"
        );
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

/// Bytes of the smallest event.
const EVENT: u64 = 16;

/// Bytes in the longest of a process's queues of changes, as the kernel has them: asked of its own descriptors.
fn queued(process: u32) -> u64 {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a process");
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("the process is there");
    let numbers = fs::read_dir(format!("/proc/{process}/fd")).expect("descriptors").map_while(Result::ok);
    let queues =
        numbers.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:inotify"));
    let bytes = queues.map(|fd| {
        let number = fd.file_name().to_str().and_then(|name| name.parse().ok()).expect("a number");
        let fd = pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()).expect("a child's descriptor");
        ioctl_fionread(&fd).expect("a queue has a length")
    });
    bytes.max().expect("the agent waits for changes")
}

/// `ulimit -n 256`.
fn more_files_than_may_be_open_are_read(io: Io) {
    let files = if all() { 10_000 } else { 1_000 };
    many_files(io, files, &["prlimit", "--nofile=256:256"]);
}

/// 100,000 files of one line.
fn many_tiny_files_arrive(io: Io) {
    many_files(io, if all() { 100_000 } else { 5_000 }, &["env"]);
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
    // Nothing is read before all are found, since the order of a log's files has to be known first.
    settle(&sink, &written, if all() { 5 * PATIENCE } else { PATIENCE });
    require_exact(&sink, &written);
    println!("FIG {count} files after {:?}", began.elapsed());
    for _ in 0..2 {
        print(&mut files, 7);
        let began = Instant::now();
        settle(&sink, &written, PATIENCE);
        require_exact(&sink, &written);
        println!("FIG a line more in every seventh after {:?}", began.elapsed());
    }
    println!("FIG {count} files: CPU {:?}", agent.0.usage().cpu);
    // What is known of each file is in memory, whether it is open or not.
    let at_most = MANY_FILES * u64::try_from(count.div_ceil(10_000)).expect("small");
    require_memory(&format!("{count} files, {}", wrap.join(" ")), &mut agent, at_most);
    agent.stop();
    let verdict = verdict(&sink, &written);
    assert!(verdict.exact(), "{verdict}");
}

/// As in a container without the privilege to lock more.
fn without_locked_memory_it_reads(io: Io) {
    if !rustix::process::geteuid().is_root() {
        return not_run("what runs without locked memory", "not root");
    }
    let (scene, sink, admin) = (Scene::new(io), good_sink(), free_addr());
    let mut log = Log::create(scene.logs().join("0.log"));
    scene.let_others_in();
    fs::create_dir(scene.path("data")).expect("a directory");
    chown(scene.path("data"), Some(65534), Some(65534)).expect("given away");
    fs::set_permissions(log.path(), fs::Permissions::from_mode(0o644)).expect("allowed");
    let config = scene.config().admin(admin).path(log.path()).http("main", &sink.url(), "");
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    // The kernel counts a ring as locked memory before 5.12 and again since 6.14: there the fallback runs.
    let io = if io == Io::Uring { "RINGTAIL_IO=auto" } else { "RINGTAIL_IO=pread" };
    let wrap = [&["prlimit", "--memlock=0:0", "env", io], &user[..]].concat();
    let agent = scene.start_under(&config, &wrap);
    log.print(5_000);
    require_exact(&sink, &log.written());
    let backend =
        |name: &str| metric(admin, "ringtail_io_backend", &format!("backend=\"{name}\"")).expect("metrics");
    let expected = if io == "RINGTAIL_IO=auto" && !rings_count_as_locked() { "uring" } else { "pread" };
    assert!(backend(expected) > 0.0, "it reads with another backend than {expected}: {}", scene.said());
    agent.stop();
}

/// Whether a ring is locked memory to this kernel: before 5.12, and again since 6.14.
fn rings_count_as_locked() -> bool {
    let release = rustix::system::uname();
    let mut numbers = release.release().to_bytes().split(|byte| !byte.is_ascii_digit()).map(|digits| {
        std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u32>().ok()).expect("a version")
    });
    !((5, 12)..(6, 14)).contains(&(numbers.next().expect("major"), numbers.next().expect("minor")))
}

/// What the process needs beside `memory`, in a debug build: code, stacks, tables.
const BASE: u64 = 20 << 20;

/// A control group with the promised memory and half a processor; a backend that takes nothing until everything that may
/// be held is held, which is much less than there is.
fn little_memory_and_half_a_processor_are_enough(io: Io) {
    let memory = 64 << 20;
    let group = match Cgroup::new(memory + BASE, 500) {
        Ok(group) => group,
        Err(why) => return not_run("what runs in a small control group", &why),
    };
    let (scene, admin, alive) = (Scene::new(io), free_addr(), Arc::new(AtomicBool::new(false)));
    let asked = Arc::clone(&alive);
    let reply = move || if asked.load(Relaxed) { Reply::OK } else { Reply::refused(Answer::Reset) };
    let sink = Sink::start(reply).expect("a sink");
    let create = |number| Log::create(scene.logs().join(format!("{number}.log")));
    let mut logs: Vec<Log> = (0..20).map(create).collect();
    let lines = if all() { 100_000 } else { 25_000 };
    logs.iter_mut().for_each(|log| log.print(lines));
    let config = scene.config().admin(admin).top("memory: 64MiB").path(&scene.logs().join("*.log"));
    let config = config.http("main", &sink.url(), "compression: none,");
    let wrap = group.wrap();
    let wrap: Vec<&str> = wrap.iter().map(String::as_str).collect();
    let mut agent = scene.start_under(&config, &wrap);
    let resident = resident_at_a_standstill(&mut agent);
    println!("FIG dead backend: {} MiB resident", resident >> 20);
    assert!(resident > memory / 2, "{resident} bytes: nothing presses");
    require_quiet("dead backend", &mut agent, QUIET);
    assert_eq!(sink.verifier().messages(), 0);
    until("more waits in the files than may be held", PATIENCE, || {
        metric(admin, "ringtail_lag_bytes", "").is_some_and(|bytes| count(bytes) > 2 * memory)
    });
    alive.store(true, Relaxed);
    let flows = Instant::now();
    logs.iter().for_each(|log| require_exact(&sink, &log.written()));
    let (usage, bytes) = (agent.0.usage(), sink.message_bytes());
    println!(
        "FIG control group: {} MB in {:?}, CPU {:?}, the group {} MiB at most",
        bytes / 1_000_000,
        flows.elapsed(),
        usage.cpu,
        group.peak() >> 20
    );
    assert!(bytes > 2 * memory, "{bytes} bytes were written");
    require_memory("control group", &mut agent, memory + BASE);
    agent.stop();
    assert_eq!(group.killed(), 0, "nothing was killed for its memory");
}

/// The resident memory of an agent when it has come to an end of growing, in bytes.
fn resident_at_a_standstill(agent: &mut Running) -> u64 {
    let (mut most, mut grew) = (0, Instant::now());
    until("it holds all that it may", PATIENCE, || {
        agent.must_live();
        let resident = agent.0.usage().rss;
        if resident > most + (256 << 10) {
            (most, grew) = (resident, Instant::now());
        }
        // The first seconds of a process are spent with its start.
        most > BASE && grew.elapsed() > Duration::from_secs(2)
    });
    most
}

/// Bytes of a part's text.
const PART: usize = 16 << 10;
/// `max_record`, where nothing is said of it.
const MAX_RECORD: usize = 4 << 20;
const END: &str = "2026-01-02T03:04:06Z stdout F end";

/// 64 MiB of parts without an end, then an end: one record, cut and marked, counted as lost beyond its limit; what follows
/// is whole.
fn an_endless_run_of_parts_is_cut_and_the_next_record_arrives(io: Io) {
    let (scene, admin) = (Scene::new(io), free_addr());
    let path = scene.logs().join("0.log");
    let config = scene.config().admin(admin).path(&path).file("main", &scene.path("out.ndjson"));
    let mut agent = scene.start(&config);
    let part = format!("2026-01-02T03:04:05.678901234Z stdout P {}\n", "x".repeat(PART));
    let block = part.repeat(64);
    let blocks = if all() { 256 } else { 64 };
    for _ in 0..blocks {
        append(&path, block.as_bytes());
    }
    append(&path, format!("{END}\n2026-01-02T03:04:07Z stdout F whole\n").as_bytes());
    let records = || -> Vec<serde_json::Value> {
        let text = fs::read(scene.path("out.ndjson")).unwrap_or_default();
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map_while(|line| serde_json::from_slice(line).ok()).collect()
    };
    until("what follows arrives", PATIENCE, || records().iter().any(|record| record["message"] == "whole"));
    let lengths: Vec<_> = records()
        .iter()
        .map(|record| (record["message"].as_str().map_or(0, str::len), record["log.flags"].clone()))
        .collect();
    let whole = serde_json::Value::Null;
    assert_eq!(lengths, [(MAX_RECORD, serde_json::json!(["truncated"])), ("whole".len(), whole)]);
    // Bytes of input: the parts beyond the limit with what stands before each, and the end.
    let kept = MAX_RECORD / PART;
    let cut = u64::try_from((blocks * 64 - kept) * (part.len() - 1) + END.len()).expect("small");
    let lost = metric(admin, "ringtail_lost_bytes_total", "").expect("metrics");
    println!("FIG endless parts: {} bytes, {lost} counted as lost", blocks * block.len());
    assert_eq!(count(lost), cut);
    let reason = metric(admin, "ringtail_lost_bytes_total", "reason=\"max_record\"").expect("metrics");
    assert_eq!(count(reason), cut);
    require_memory("endless parts", &mut agent, FEW_FILES);
    agent.stop();
}
