//! Log lines that other collectors drop, merge or die of.

use std::fs;

use ringtail_agent::demo::kubelet::{compress, with_suffix};
use serde_json::Value;

use crate::support::program::Io;
use crate::support::records::{records, text};
use crate::support::scene::{PATIENCE, Scene, append};
use crate::support::until;

crate::support::on_both_backends! {
    every_format_beside_every_other_in_one_directory;
    rotated_files_belong_to_the_pod_of_their_log;
}

/// One directory, one pattern, `input: auto`: docker's lines with `attrs`, in its order of keys and in another one, and in parts;
/// CRI with streams whose parts alternate, tags that nobody knows yet, an empty message, a time zone; plain text that
/// looks like either.
fn every_format_beside_every_other_in_one_directory(io: Io) {
    let scene = Scene::new(io);
    let config = scene.config().path(&scene.logs().join("*")).file("main", &scene.path("out.ndjson"));
    let agent = scene.start(&config);
    for (name, lines, _) in FILES {
        for line in *lines {
            append(&scene.logs().join(name), format!("{line}\n").as_bytes());
        }
    }
    let count = FILES.iter().map(|(_, _, messages)| messages.len()).sum::<usize>();
    until("all arrive", PATIENCE, || records(&scene).len() >= count);
    agent.stop();
    let records = records(&scene);
    for (name, _, messages) in FILES {
        let of_file = records.iter().filter(|record| text(record, "log.file.path").ends_with(name));
        let got: Vec<(&str, &str)> =
            of_file.clone().map(|record| (text(record, "stream"), text(record, "message"))).collect();
        assert_eq!(got, *messages, "{name}");
        let flags: Vec<&Value> = of_file.map(|record| &record["log.flags"]).collect();
        assert!(flags.iter().all(|flags| flags.is_null()), "{name}: nothing is marked: {flags:?}");
    }
    assert_eq!(records.len(), count);
}

/// What is read from a rotated file, compressed or not, is told apart from the log's own by nothing: a path that the name's form
/// no longer fits is no reason to reject it.
fn rotated_files_belong_to_the_pod_of_their_log(io: Io) {
    let scene = Scene::new(io);
    let main = scene.logs().join("shop_web-0_0123456789abcdef/main");
    fs::create_dir_all(&main).expect("directories");
    let path = main.join("3.log");
    let line = |text: &str| append(&path, format!("2026-01-02T03:04:05Z stdout F {text}\n").as_bytes());
    line("oldest");
    let oldest = with_suffix(&path, "20260102-030405");
    fs::rename(&path, &oldest).expect("renamed");
    compress(&oldest).expect("compressed");
    line("older");
    fs::rename(&path, with_suffix(&path, "20260102-030415")).expect("renamed");
    line("old");
    let config = scene.config().path(&scene.logs().join("*/*/*.log"));
    let agent = scene.start(&config.file("main", &scene.path("out.ndjson")));
    until("all three arrive", PATIENCE, || records(&scene).len() >= 3);
    fs::rename(&path, with_suffix(&path, "20260102-030425")).expect("renamed");
    line("new");
    until("the new one arrives", PATIENCE, || records(&scene).len() >= 4);
    agent.stop();
    let records = records(&scene);
    assert_eq!(
        records.iter().map(|record| text(record, "message")).collect::<Vec<_>>(),
        ["oldest", "older", "old", "new"]
    );
    for record in &records {
        let expected = [
            ("log.file.path", path.to_str().expect("UTF-8")),
            ("k8s.namespace.name", "shop"),
            ("k8s.pod.name", "web-0"),
            ("k8s.container.name", "main"),
        ];
        expected.iter().for_each(|(name, value)| assert_eq!(record[name], *value, "{record}"));
        assert_eq!(record["k8s.container.restart_count"], 3, "{record}");
    }
}

/// A file's name, its lines, and the records that they are.
type File = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

const FILES: &[File] = &[
    (
        "docker-json.log",
        &[
            r#"{"log":"with attrs\n","stream":"stdout","attrs":{"tag":"web","labels":"a=b"},"time":"2026-01-02T03:04:05.678901234Z"}"#,
            r#"{"log":"in parts, ","stream":"stdout","attrs":{"tag":"web"},"time":"2026-01-02T03:04:05.678901234Z"}"#,
            r#"{"log":"other\n","stream":"stderr","time":"2026-01-02T03:04:05.678901234Z"}"#,
            r#"{"log":"joined\n","stream":"stdout","attrs":{"tag":"web"},"time":"2026-01-02T03:04:05.678901234Z"}"#,
            r#"{"time":"2026-01-02T03:04:05Z","attrs":{},"stream":"stderr","log":"another order\n"}"#,
            r#"{"log":"\n","stream":"stdout","attrs":{"a":"{\"log\":\"x\"}"},"time":"2026-01-02T03:04:05Z"}"#,
        ],
        &[
            ("stdout", "with attrs"),
            ("stderr", "other"),
            ("stdout", "in parts, joined"),
            ("stderr", "another order"),
            ("stdout", ""),
        ],
    ),
    (
        "0.log",
        &[
            "2026-01-02T03:04:05.678901234Z stdout P half of one, ",
            "2026-01-02T03:04:05.678901234Z stderr F whole",
            "2026-01-02T03:04:05.678901234Z stderr P half of another, ",
            "2026-01-02T03:04:05.678901234Z stdout F its rest",
            "2026-01-02T03:04:05.678901234Z stderr F the rest of that",
            "2026-01-02T03:04:05.678901234+02:00 stdout F:tag:more tags",
            "2026-01-02T03:04:05Z stdout P:tag tags ",
            "2026-01-02T03:04:05Z stdout F:tag joined",
            "2026-01-02T03:04:05Z stdout F ",
        ],
        &[
            ("stderr", "whole"),
            ("stdout", "half of one, its rest"),
            ("stderr", "half of another, the rest of that"),
            ("stdout", "tags"),
            ("stdout", "tags joined"),
            ("stdout", ""),
        ],
    ),
    (
        "app.txt",
        &[
            "2026-01-02 03:04:05 INFO begun",
            r#"{"level":"info","msg":"looks like docker's"}"#,
            "2026-01-02T03:04:05Z stdin F looks like CRI",
        ],
        &[
            ("", "2026-01-02 03:04:05 INFO begun"),
            ("", r#"{"level":"info","msg":"looks like docker's"}"#),
            ("", "2026-01-02T03:04:05Z stdin F looks like CRI"),
        ],
    ),
    (
        "events.json",
        &[r#"{"log":"an application's own field","level":"info"}"#, r#"{"level":"warn"}"#],
        &[("", r#"{"log":"an application's own field","level":"info"}"#), ("", r#"{"level":"warn"}"#)],
    ),
];
