//! A message whose parts lie before and after a rotation, a stop or a kill.

use std::fs;

use ringtail_agent::demo::kubelet::with_suffix;
use serde_json::Value;

use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, append};
use crate::support::until;

crate::support::on_both_backends! {
    a_message_goes_on_behind_a_rotation;
    a_message_goes_on_behind_a_stop;
    a_message_goes_on_behind_a_kill;
    a_message_goes_on_behind_a_stop_and_two_rotations;
}

/// What happens between the parts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Rotation,
    Stop,
    Kill,
    StopAndRotations,
}

fn a_message_goes_on_behind_a_rotation(io: Io) {
    run(io, Between::Rotation);
}

fn a_message_goes_on_behind_a_stop(io: Io) {
    run(io, Between::Stop);
}

fn a_message_goes_on_behind_a_kill(io: Io) {
    run(io, Between::Kill);
}

fn a_message_goes_on_behind_a_stop_and_two_rotations(io: Io) {
    run(io, Between::StopAndRotations);
}

fn run(io: Io, between: Between) {
    let scene = Scene::new(io);
    let path = scene.logs().join("0.log");
    let config = scene.config().path(&path).file("main", &scene.path("out.ndjson"));
    let line = |stream: &str, tag: char, text: &str| {
        append(&path, format!("2026-01-02T03:04:05.678901234Z {stream} {tag} {text}\n").as_bytes());
    };
    let rotate = |number: u32| {
        fs::rename(&path, with_suffix(&path, &format!("20260102-03040{number}"))).expect("renamed");
        append(&path, b"");
    };
    let mut agent = scene.start(&config);
    line("stdout", 'F', "first");
    line("stdout", 'P', "begun ");
    // The other stream goes on in between, whole.
    line("stderr", 'F', "other");
    until("what is whole arrives", PATIENCE, || messages(&scene).len() >= 2);
    match between {
        Between::Rotation => rotate(0),
        Between::Stop => {
            agent.stop();
            agent = scene.start(&config);
        }
        Between::Kill => {
            agent.kill();
            agent = scene.start(&config);
        }
        Between::StopAndRotations => {
            agent.stop();
            rotate(0);
            line("stdout", 'P', "continued ");
            rotate(1);
            agent = scene.start(&config);
        }
    }
    line("stdout", 'F', "ended");
    line("stdout", 'F', "last");
    until("the last one arrives", PATIENCE, || messages(&scene).iter().any(|message| message.0 == "last"));
    agent.stop();
    let joined = if between == Between::StopAndRotations { "begun continued ended" } else { "begun ended" };
    let mut expected: Vec<(String, Value)> =
        ["first", "other", joined, "last"].map(|text| (text.to_owned(), Value::Null)).into();
    let mut got = messages(&scene);
    if between == Between::Kill {
        // What was delivered in the last second before it may come again.
        got.dedup();
        got.sort_by_key(|message| message.0.clone());
        got.dedup();
        expected.sort_by_key(|message| message.0.clone());
    }
    assert_eq!(got, expected);
}

/// Message and flags of all records, in the order of the files: the oldest has the highest number.
fn messages(scene: &Scene) -> Vec<(String, Value)> {
    let mut files: Vec<_> =
        fs::read_dir(scene.path("")).expect("a directory").flatten().map(|file| file.path()).collect();
    files.retain(|file| file.to_str().is_some_and(|name| name.contains("out.ndjson")));
    files.sort_by(|a, b| b.cmp(a));
    let text: String = files.iter().map(|file| fs::read_to_string(file).expect("text")).collect();
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records
        .map(|record| {
            (record["message"].as_str().expect("a message").to_owned(), record["log.flags"].clone())
        })
        .collect()
}
