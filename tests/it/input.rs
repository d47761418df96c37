//! What no log file should contain.

use std::fs;
use std::time::Duration;

use ringtail_agent::demo::message::{Messages, Text};

use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Running, Scene, append};
use crate::support::until;

crate::support::on_both_backends! {
    an_endless_line_is_cut_and_the_next_one_arrives;
    garbage_is_delivered_marked_and_ends_nothing;
}

/// What a file output has written, a JSON value a line.
fn records(scene: &Scene) -> Vec<serde_json::Value> {
    let text = fs::read(scene.path("out.ndjson")).unwrap_or_default();
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map_while(|line| serde_json::from_slice(line).ok()).collect()
}

fn start(scene: &Scene, input: &str) -> Running {
    let config = scene.config().path(&scene.logs().join("*.log")).files(&format!("input: {input}"));
    scene.start(&config.file("main", &scene.path("out.ndjson")))
}

/// 256 MiB without a newline: delivered cut and flagged, with the memory of a usual line.
fn an_endless_line_is_cut_and_the_next_one_arrives(io: Io) {
    let scene = Scene::new(io);
    let path = scene.logs().join("endless.log");
    let mut agent = start(&scene, "raw");
    append(&path, b"before\n");
    let block = vec![b'x'; 1 << 20];
    for _ in 0..256 {
        append(&path, &block);
    }
    append(&path, b"\nafter\n");
    let has = |message: &str| records(&scene).iter().any(|record| record["message"] == message);
    until("the line behind the endless one arrives", PATIENCE, || has("after"));
    let records = records(&scene);
    assert_eq!(records.first().map(|record| &record["message"]), Some(&"before".into()));
    assert_eq!(records.len(), 3, "the endless line is one record");
    assert_eq!(records[1]["log.flags"], serde_json::json!(["truncated"]));
    assert_eq!(records[1]["message"].as_str().map(str::len), Some(1 << 20), "max_line");
    let peak = agent.0.usage().peak_rss;
    println!("memory at most {} MiB", peak >> 20);
    assert!(peak < 200 * 1024 * 1024, "{} MiB", peak >> 20);
    agent.stop();
}

/// Noise in every format: each of its lines is delivered, and what follows is whole.
fn garbage_is_delivered_marked_and_ends_nothing(io: Io) {
    for input in ["auto", "cri", "docker-json", "raw"] {
        let scene = Scene::new(io);
        let mut random = fastrand::Rng::with_seed(42);
        let mut noise: Vec<u8> = (0..300_000).map(|_| random.u8(..)).collect();
        // Beginnings of the real thing among it.
        for start in [
            "2026-01-02T03:04:05Z stdout P ",
            "2026-01-02T03:04:05.1234567890123Z stderr F x",
            "{\"log\":\"\\ud800\\n\",\"stream\":",
            "{\"log\":{},\"time\":\"never\"}",
            "{\"log\":\"\\u00\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}",
        ] {
            noise.push(b'\n');
            noise.extend_from_slice(start.as_bytes());
            noise.extend((0..50).map(|_| random.u8(..)).filter(|&byte| byte != b'\n'));
        }
        noise.push(b'\n');
        append(&scene.logs().join("noise.log"), &noise);
        let mut agent = start(&scene, input);
        std::thread::sleep(Duration::from_millis(200));
        let line = match input {
            "docker-json" => {
                "{\"log\":\"the end\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}\n"
            }
            "cri" => "2026-01-02T03:04:05Z stdout F the end\n",
            _ => "the end\n",
        };
        append(&scene.logs().join("noise.log"), line.as_bytes());
        let has_end = |scene: &Scene| {
            records(scene)
                .iter()
                .any(|record| record["message"].as_str().is_some_and(|text| text.ends_with("the end")))
        };
        until(&format!("{input}: the last line arrives"), PATIENCE, || has_end(&scene));
        agent.must_live();
        let records = records(&scene);
        let marked =
            records.iter().filter(|record| record["log.flags"].to_string().contains("malformed")).count();
        match input {
            // What looks like no format is taken for raw lines.
            "auto" | "raw" => assert_eq!(marked, 0),
            _ => assert!(marked > 100, "{input}: {marked} of {} are marked", records.len()),
        }
        agent.stop();
    }

    // And a format of its own for each file: what is not CRI or JSON is raw.
    let scene = Scene::new(io);
    let (mut messages, mut message) = (Messages::new("raw", Text::Unicode), String::new());
    messages.next_into(&mut message);
    append(&scene.logs().join("plain.log"), format!("{message}\n").as_bytes());
    let agent = start(&scene, "auto");
    until("a raw line arrives as it is", PATIENCE, || {
        records(&scene).iter().any(|record| record["message"] == message.as_str())
    });
    agent.stop();
}
