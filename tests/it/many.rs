//! 10,000 files at once.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Instant;

use ringtail_agent::demo::container::Written;
use ringtail_agent::demo::message::{Messages, Text};

use crate::support::bounds::{MANY_FILES, require_memory, require_quiet};
use crate::support::program::Io;
use crate::support::scene::{Scene, append, good_sink, require_exact};

const FILES: usize = 10_000;
/// Processor time with all of them idle but one, which is rotated, in percent of a core. DESIGN asks for 1; a debug build takes two
/// to three times as much as a release build.
const IDLE: f64 = if cfg!(debug_assertions) { 4.0 } else { 1.0 };
/// The same in the seconds after each of them got a line: what is learned of those that grew.
const AFTER: f64 = if cfg!(debug_assertions) { 20.0 } else { 8.0 };

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
    require_quiet("10,000 files after a line each", &mut agent, AFTER);
    let log = scene.logs().join("7/7.log");
    fs::rename(&log, log.with_extension("log.1")).expect("rotated");
    let (messages, counted) = &mut files[7];
    print_to(&log, messages, counted, 1);
    require_quiet("10,000 idle files, one rotated", &mut agent, IDLE);
    require_memory("10,000 files", &mut agent, MANY_FILES);
    agent.stop();
    require_exact(&sink, &written);
}

/// Appends raw lines to every file.
fn print(scene: &Scene, files: &mut [(Messages, Written)], lines: usize) {
    for (at, (messages, written)) in files.iter_mut().enumerate() {
        print_to(&scene.logs().join(format!("{}/{at}.log", at % 100)), messages, written, lines);
    }
}

/// Appends raw lines to one.
fn print_to(log: &Path, messages: &mut Messages, written: &mut Written, lines: usize) {
    let (mut message, mut text) = (String::new(), String::new());
    for _ in 0..lines {
        messages.next_into(&mut message);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{message}");
        written.add(message.len());
    }
    append(log, text.as_bytes());
}
