//! The engine on real files with a memory for an output, on both I/O backends.

mod common;

use std::fs;
use std::time::Duration;

use common::{Memory, Setup, assert_same, cri, eventually};
use ringtail_engine::Mode;
use ringtail_io::Choice;

/// Runs a scenario on each backend that this machine has; with `CI=true` it must have both.
fn on_both(scenario: impl Fn(Setup)) {
    for choice in [Choice::Pread, Choice::Uring] {
        match ringtail_io::open(choice) {
            Ok(_) => scenario(Setup::new(choice)),
            Err(error) if std::env::var_os("CI").is_none() => eprintln!("not run on {choice:?}: {error}"),
            Err(error) => panic!("{choice:?}: {error}"),
        }
    }
}

#[test]
fn a_file_is_read_to_its_end_once() {
    on_both(|setup| {
        let expected: Vec<String> = (0..50_000).map(|i| format!("line {i}")).collect();
        fs::write(setup.path("0.log"), expected.iter().map(|line| cri("stdout F", line)).collect::<String>())
            .unwrap();
        let memory = Memory::new();
        let engine = setup.start(Mode::Once, &["*.log"], &[("memory", &memory)]);
        assert!(engine.wait_idle(Duration::from_secs(30)));
        assert_same(&memory.messages(), &expected);
        let stats = engine.stats();
        assert_eq!(stats.pipelines[0].records, 50_000);
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
    });
}

#[test]
fn what_is_appended_and_rotated_while_running_comes_in_order() {
    on_both(|setup| {
        let memory = Memory::new();
        let engine = setup.start(Mode::Follow, &["*.log"], &[("memory", &memory)]);
        let mut expected = Vec::new();
        for round in 0..5 {
            for i in 0..100 {
                let line = format!("round {round} line {i}");
                common::append(&setup.path("0.log"), &cri("stdout F", &line));
                expected.push(line);
            }
            eventually(|| memory.len() >= expected.len() - 50, "half of the round");
            fs::rename(setup.path("0.log"), setup.path(&format!("0.log.20260101-00000{round}"))).unwrap();
        }
        eventually(|| memory.len() == expected.len(), "all lines");
        assert_same(&memory.messages(), &expected);
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
    });
}

#[test]
fn a_clean_restart_repeats_nothing_and_loses_nothing() {
    on_both(|setup| {
        let memory = Memory::new();
        for round in 0..4 {
            for i in 0..1000 {
                let tags = if i % 7 == 3 { "stdout P" } else { "stdout F" };
                common::append(&setup.path("0.log"), &cri(tags, &format!("{round}.{i};")));
                common::append(&setup.path("0.log"), &cri("stderr F", &format!("e{round}.{i};")));
            }
            let engine = setup.start(Mode::Follow, &["*.log"], &[("memory", &memory)]);
            // The last line of each round is whole, whatever its tag: 7 divides no round's end.
            eventually(|| memory.text().contains(&format!("e{round}.999;")), "the round");
            assert!(engine.stop(Duration::from_secs(5)).all_answered);
        }
        let stdout: String = memory.text_of("stdout");
        let expected: String = (0..4).flat_map(|r| (0..1000).map(move |i| format!("{r}.{i};"))).collect();
        assert_eq!(stdout, expected);
    });
}

#[test]
fn a_slow_output_does_not_hold_its_sibling_and_catches_up() {
    on_both(|setup| {
        let (quick, slow) = (Memory::new(), Memory::holding());
        let expected: Vec<String> = (0..300_000).map(|i| format!("line {i} {}", "x".repeat(100))).collect();
        let text: String = expected.iter().map(|line| cri("stdout F", line)).collect();
        fs::write(setup.path("0.log"), text).unwrap();
        let engine = setup.start(Mode::Follow, &["*.log"], &[("quick", &quick), ("slow", &slow)]);
        eventually(|| quick.len() == expected.len(), "the quick one has all");
        assert!(slow.len() < expected.len());
        slow.release();
        eventually(|| slow.len() == expected.len(), "the slow one has caught up");
        assert_same(&slow.messages(), &expected);
        assert_same(&quick.messages(), &expected);
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
    });
}
