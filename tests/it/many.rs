//! 10,000 files at once.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use ringtail_agent::demo::container::Written;
use ringtail_agent::demo::message::{Messages, Text};

use crate::support::program::Io;
use crate::support::scene::{Scene, append, good_sink, require_exact};

const FILES: usize = 10_000;
/// Resident memory with all of them open. DESIGN asks for 100 MiB of a release build; a debug build has larger
/// code and no more data.
const RSS_MAX: u64 = 150 * 1024 * 1024;

crate::support::on_both_backends! {
    ten_thousand_files_arrive_and_go_on;
}

fn ten_thousand_files_arrive_and_go_on(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let mut files: Vec<(Messages, Written)> = (0..FILES)
        .map(|file| {
            let name = format!("f{file}");
            (Messages::new(&name, Text::Unicode).short(), Written::new(&name))
        })
        .collect();
    for dir in 0..100 {
        fs::create_dir(scene.logs().join(format!("{dir}"))).expect("a directory");
    }
    print(&scene, &mut files, 3);
    let config =
        scene.config().path(&scene.logs().join("*/*.log")).files("input: raw").http("main", &sink.url(), "");
    let mut agent = scene.start(&config);
    let written: Vec<Written> = files.iter().map(|file| file.1.clone()).collect();
    let start = Instant::now();
    require_exact(&sink, &written);
    println!("{FILES} files with 3 lines each after {:?}", start.elapsed());
    for _ in 0..2 {
        print(&scene, &mut files, 1);
        let start = Instant::now();
        require_exact(&sink, &written);
        println!("a line more each after {:?}", start.elapsed());
    }
    agent.must_live();
    let usage = agent.0.usage();
    println!("memory at most {} MiB, CPU {:?}", usage.peak_rss >> 20, usage.cpu);
    assert!(usage.peak_rss < RSS_MAX, "{} MiB", usage.peak_rss >> 20);

    // Idle: DESIGN asks for 1% of a core; a busy machine gets some more, and a debug build is ten times as slow.
    let before = agent.0.usage().cpu;
    std::thread::sleep(Duration::from_secs(3));
    let idle = agent.0.usage().cpu - before;
    println!("idle for 3 s: CPU {idle:?}");
    let at_most = Duration::from_millis(if cfg!(debug_assertions) { 1500 } else { 150 });
    assert!(idle < at_most, "idle for 3 s took {idle:?} of CPU");
    agent.stop();
    require_exact(&sink, &written);
}

/// Appends raw lines to every file.
fn print(scene: &Scene, files: &mut [(Messages, Written)], lines: usize) {
    let (mut message, mut text) = (String::new(), String::new());
    for (at, (messages, written)) in files.iter_mut().enumerate() {
        text.clear();
        for _ in 0..lines {
            messages.next_into(&mut message);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{message}");
            written.add(message.len());
        }
        append(&scene.logs().join(format!("{}/{at}.log", at % 100)), text.as_bytes());
    }
}
