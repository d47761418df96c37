//! The engine on real files with a memory for an output, on both I/O backends.

mod common;

use std::fs;
use std::io::Write;
use std::time::Duration;

use common::{Memory, assert_same, cri, eventually, on_both};
use ringtail_engine::{Engine, EngineConfig, Mode};

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

#[test]
fn what_an_output_gives_back_goes_to_the_one_that_replaces_it() {
    on_both(|setup| {
        let (old, new) = (Memory::holding(), Memory::new());
        let expected: Vec<String> = (0..20_000).map(|i| format!("line {i}")).collect();
        let (first, rest) = expected.split_at(15_000);
        let lines = |lines: &[String]| lines.iter().map(|line| cri("stdout F", line)).collect::<String>();
        fs::write(setup.path("0.log"), lines(first)).unwrap();
        let mut engine = setup.start(Mode::Follow, &["*.log"], &[("out", &old)]);
        eventually(|| old.holds() > 0, "the old output holds batches");
        engine.apply(vec![setup.pipeline("test", &["*.log"], &[("out", &new)])]).unwrap();
        old.refuse();
        common::append(&setup.path("0.log"), &lines(rest));
        // What the new one got before the old one gave up comes again, in order: nothing is lost, repeats are allowed.
        eventually(|| new.distinct() == expected.len(), "the new output has everything");
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
    });
}

#[test]
fn a_reload_neither_loses_nor_repeats_and_a_pipeline_that_comes_back_goes_on_where_it_stood() {
    on_both(|setup| {
        let memory = Memory::new();
        let mut engine = setup.start(Mode::Follow, &["*.log"], &[("out", &memory)]);
        let mut expected = Vec::new();
        for round in 0..6 {
            for i in 0..500 {
                let line = format!("round {round} line {i}");
                common::append(&setup.path("0.log"), &cri("stdout F", &line));
                expected.push(line);
            }
            let mut pipeline = setup.pipeline("test", &["*.log"], &[("out", &memory)]);
            pipeline.flush_after = Duration::from_secs(5 + round);
            if round % 2 == 1 {
                eventually(|| memory.len() == expected.len(), "the round");
                engine.apply(Vec::new()).unwrap();
                std::thread::sleep(Duration::from_millis(500));
            }
            engine.apply(vec![pipeline]).unwrap();
        }
        eventually(|| memory.len() >= expected.len(), "all rounds");
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
        assert_same(&memory.messages(), &expected);
    });
}

#[test]
fn a_deleted_file_is_read_as_long_as_it_is_written_to() {
    on_both(|setup| {
        let memory = Memory::new();
        let path = setup.path("0.log");
        common::append(&path, &cri("stdout F", "before"));
        let mut writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
        let engine = setup.start(Mode::Follow, &["*.log"], &[("out", &memory)]);
        eventually(|| memory.len() == 1, "the first line");
        fs::remove_file(&path).unwrap();
        for i in 0..6 {
            std::thread::sleep(Duration::from_millis(700));
            writer.write_all(cri("stdout F", &format!("after {i}")).as_bytes()).unwrap();
        }
        eventually(|| memory.len() == 7, "what was written after the deletion");
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
    });
}

#[test]
fn more_files_than_may_be_open_are_read_all_the_same() {
    on_both(|setup| {
        for i in 0..300 {
            fs::write(setup.path(&format!("{i}.log")), cri("stdout F", &format!("line {i}"))).unwrap();
        }
        let memory = Memory::new();
        let config = EngineConfig { open_files: 20, ..setup.config(Mode::Once) };
        let engine =
            Engine::start(config, vec![setup.pipeline("test", &["*.log"], &[("out", &memory)])]).unwrap();
        assert!(engine.wait_idle(Duration::from_secs(60)));
        assert_eq!(memory.len(), 300);
        assert!(engine.stop(Duration::from_secs(5)).all_answered);
    });
}
