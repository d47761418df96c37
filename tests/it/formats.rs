//! Log lines that other collectors drop, merge or die of.

use serde_json::Value;

use crate::support::program::Io;
use crate::support::records::{records, text};
use crate::support::scene::{PATIENCE, Scene, append};
use crate::support::until;

crate::support::on_both_backends! {
    every_format_beside_every_other_in_one_directory;
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
