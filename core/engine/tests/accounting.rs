//! Every byte of a log is a byte of one record's input, or of one loss: what `ringtail_lost_bytes_total` counts adds up.

mod common;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Memory, Setup, cri, on_both};
use ringtail_engine::{BatchLimits, Engine, EngineStats, LagSnapshot, Mode, Pipeline};
use ringtail_parse::Limits;

/// A line of a random shape: streams mixed, parts, over either limit, malformed, empty.
fn line(random: &mut fastrand::Rng) -> String {
    let text = "x".repeat(random.usize(0..120));
    match random.u8(0..10) {
        0 | 1 => cri("stdout P", &text),
        2 | 3 => cri("stdout F", &text),
        4 => cri("stderr P", &text),
        5 => cri("stderr F", &text),
        6 => cri("stdout F", &text.repeat(5)),
        7 => cri("stderr P", &text.repeat(5)),
        8 => format!("{text}\n"),
        _ => "\n".to_owned(),
    }
}

/// Batches of a few records, so that their borders fall everywhere.
fn pipeline(setup: &Setup, memory: &Arc<Memory>) -> Pipeline {
    let mut pipeline = setup.pipeline("test", &["*.log"], &[("out", memory)]);
    pipeline.limits = Limits { max_line: 250, max_record: 300 };
    pipeline.outputs[0].batch = BatchLimits { max_records: 3, ..BatchLimits::default() };
    pipeline
}

#[test]
fn delivered_and_lost_bytes_are_the_bytes_of_the_files() {
    on_both(|setup| {
        let mut random = fastrand::Rng::with_seed(5);
        let mut size = 0;
        for name in ["0.log.2", "0.log.1", "0.log"] {
            let mut text: String = (0..2000).map(|_| line(&mut random)).collect();
            match name {
                "0.log.1" => text.push_str("2026-01-02T03:04:05Z stdout F ha"),
                // Nothing is open at the end.
                "0.log" => text.extend(["stdout F", "stderr F"].map(|tags| cri(tags, "end").repeat(50))),
                _ => {}
            }
            size += text.len() as u64;
            fs::write(setup.path(name), text).unwrap();
        }
        let memory = Memory::new();
        let engine = Engine::start(setup.config(Mode::Once), vec![pipeline(&setup, &memory)]).unwrap();
        assert!(engine.wait_idle(Duration::from_secs(30)));
        let lost = engine.stats().lost_bytes;
        let of = |reason| lost.iter().find(|(label, _)| *label == reason).map_or(0, |(_, bytes)| *bytes);
        assert_eq!(of("truncated"), 32, "half a line");
        assert!(of("max_line") > 10_000 && of("max_record") > 10_000, "{lost:?}");
        let lost: u64 = lost.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(memory.input_bytes().iter().sum::<u64>() + lost, size);
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
    });
}

/// It is measured every five seconds, and was not before the first five were over.
#[test]
fn the_lag_is_known_at_once_after_a_start() {
    on_both(|setup| {
        fs::write(setup.path("0.log"), cri("stdout F", "line").repeat(100)).unwrap();
        let size = fs::metadata(setup.path("0.log")).unwrap().len();
        let (held, never) = (Memory::holding(), Memory::new());
        let pipelines = || {
            let full = setup.pipeline("full", &["*.log"], &[("held", &held)]);
            vec![full, setup.pipeline("empty", &["none/*"], &[("never", &never)])]
        };
        let lag = |stats: EngineStats| {
            let of = |pipeline: &str| stats.lag.iter().find(|lag: &&LagSnapshot| lag.pipeline == pipeline);
            (of("full").map(|lag| lag.bytes), of("empty").map(|lag| lag.bytes))
        };
        let is_known = |_| {
            let engine = Engine::start(setup.config(Mode::Follow), pipelines()).unwrap();
            let begun = Instant::now();
            while lag(engine.stats()) != (Some(size), Some(0)) && begun.elapsed() < Duration::from_secs(4) {
                std::thread::sleep(Duration::from_millis(5));
            }
            begun.elapsed() < Duration::from_secs(4)
        };
        // A machine that is busy may take its time, but not each time.
        assert!((0..3).any(is_known));
    });
}
