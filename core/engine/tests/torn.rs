//! Files that end in the middle of a line or of a record: what is delivered of that, and what is counted.

mod common;

use std::fs;
use std::io::Write;
use std::time::Duration;

use common::{Memory, Setup, append, cri, eventually, on_both};
use flate2::Compression;
use flate2::write::GzEncoder;
use ringtail_engine::{Engine, Mode};
use ringtail_record::{Flags, Stream};

const STOP: Duration = Duration::from_secs(5);

fn lost(engine: &Engine, reason: &str) -> u64 {
    engine.stats().lost_bytes.into_iter().find(|(label, _)| *label == reason).map_or(0, |(_, bytes)| bytes)
}

fn docker(message: &str) -> String {
    format!("{{\"log\":\"{message}\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}}\n")
}

/// Starts on a log of a whole line, a part, and half a line, all of them read.
fn half_read(setup: &Setup, memory: &std::sync::Arc<Memory>, lines: [&str; 3]) -> Engine {
    let text = lines.concat();
    append(&setup.path("0.log"), &text);
    let engine = setup.start(Mode::Follow, &["*.log"], &[("out", memory)]);
    eventually(|| engine.stats().pipelines[0].read_bytes == text.len() as u64, "all is read");
    engine
}

/// Promise 6. The open part does not take the next file's lines in: its own rest may be what was lost.
#[test]
fn a_truncation_in_the_middle_of_a_line_is_counted_and_ends_an_open_partial() {
    on_both(|setup| {
        for (name, [whole, part, half, next]) in [
            (
                "cri",
                [
                    cri("stdout F", "whole"),
                    cri("stdout P", "part"),
                    cri("stdout F", "half"),
                    cri("stdout F", "next"),
                ],
            ),
            ("docker", [docker("whole\\n"), docker("part"), docker("half\\n"), docker("next\\n")]),
        ] {
            let (memory, setup) = (Memory::new(), &setup.apart(name));
            let half = &half[..half.len() / 2];
            let engine = half_read(setup, &memory, [&whole, &part, half]);
            fs::File::options().write(true).open(setup.path("0.log")).unwrap().set_len(0).unwrap();
            append(&setup.path("0.log"), &next);
            eventually(|| memory.len() == 3, "the next line");
            let expected = [("whole", Flags::NONE), ("part", Flags::PARTIAL), ("next", Flags::NONE)];
            assert_eq!(
                memory.flagged(Stream::Stdout),
                expected.map(|(text, flags)| (text.to_owned(), flags))
            );
            assert_eq!(memory.len(), 3, "nothing of the half line");
            assert_eq!(lost(&engine, "truncated"), half.len() as u64);
            assert_eq!(engine.stats().pipelines[0].malformed_lines, 0);
            assert!(engine.stop(STOP).all_answered);
        }
    });
}

/// Emptied and grown past what was read before anybody looks: the new contents are read from their beginning, no line is
/// cut, and nothing counts as lost that was read.
#[test]
fn a_log_that_is_emptied_and_grows_past_the_position_is_read_from_its_beginning() {
    on_both(|setup| {
        let memory = Memory::new();
        let old = [cri("stdout F", "one"), cri("stdout F", "two"), cri("stdout F", "three")];
        let engine = half_read(&setup, &memory, [&old[0], &old[1], &old[2]]);
        let new: Vec<String> = (0..500).map(|number| format!("number {number} of the new ones")).collect();
        let text: String = new.iter().map(|line| cri("stderr F", line)).collect();
        let file = fs::File::options().write(true).open(setup.path("0.log")).unwrap();
        file.set_len(0).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, text.as_bytes(), 0).unwrap();
        eventually(|| memory.len() >= 503, "the new lines");
        let expected = ["one", "two", "three"].into_iter().chain(new.iter().map(String::as_str));
        assert!(memory.messages().iter().map(String::as_str).eq(expected), "{:?}", memory.messages());
        assert_eq!(lost(&engine, "truncated"), 0);
        assert!(engine.stop(STOP).all_answered);
    });
}

/// Its container crashed with its node, or its disk was full.
#[test]
fn a_rotated_file_that_ends_in_the_middle_of_a_line_is_told() {
    on_both(|setup| {
        let memory = Memory::new();
        let half = "2026-01-02T03:04:05Z stderr F hal";
        let engine = half_read(&setup, &memory, [&cri("stdout F", "one"), &cri("stdout F", "two"), half]);
        fs::rename(setup.path("0.log"), setup.path("0.log.20260102-030405")).unwrap();
        append(&setup.path("0.log"), &cri("stdout F", "three"));
        eventually(|| memory.len() == 3, "the next file");
        assert_eq!(memory.messages(), ["one", "two", "three"]);
        assert_eq!(lost(&engine, "truncated"), half.len() as u64);
        assert!(engine.stop(STOP).all_answered);
    });
}

/// logrotate's copytruncate of what was read: nothing is missing, so the parts belong together.
#[test]
fn a_partial_goes_on_over_a_truncation_that_lost_nothing() {
    on_both(|setup| {
        let memory = Memory::new();
        let engine = half_read(&setup, &memory, [&cri("stdout F", "whole"), &cri("stdout P", "a"), ""]);
        fs::copy(setup.path("0.log"), setup.path("0.log.1")).unwrap();
        fs::File::options().write(true).open(setup.path("0.log")).unwrap().set_len(0).unwrap();
        append(&setup.path("0.log"), &cri("stdout F", "b"));
        eventually(|| memory.len() == 2, "the joined record");
        assert_eq!(memory.messages(), ["whole", "ab"]);
        assert_eq!(lost(&engine, "truncated"), 0);
        assert!(engine.stop(STOP).all_answered);
    });
}

/// Promise 6: more than `flush_after` passes between the parts of a message, in one file and over a rotation.
#[test]
fn both_pieces_of_a_message_that_was_not_waited_for_are_marked() {
    on_both(|setup| {
        let memory = Memory::new();
        let mut pipeline = setup.pipeline("test", &["*.log"], &[("out", &memory)]);
        pipeline.flush_after = Duration::from_millis(20);
        let engine = Engine::start(setup.config(Mode::Follow), vec![pipeline]).unwrap();
        let path = setup.path("0.log");
        append(&path, &cri("stdout P", "a"));
        eventually(|| memory.len() == 1, "the first piece");
        append(&path, &(cri("stdout F", "b") + &cri("stdout F", "whole")));
        eventually(|| memory.len() == 3, "its rest and a whole one");
        append(&path, &cri("stdout P", "c"));
        eventually(|| memory.len() == 4, "another first piece");
        fs::rename(&path, setup.path("0.log.20260102-030405")).unwrap();
        append(&path, &(cri("stdout F", "d") + &cri("stdout F", "next")));
        eventually(|| memory.len() == 6, "its rest in the next file");
        let part = Flags::PARTIAL;
        let expected = [part, part, Flags::NONE, part, part, Flags::NONE];
        let texts = ["a", "b", "whole", "c", "d", "next"].map(str::to_owned);
        let expected: Vec<_> = texts.into_iter().zip(expected).collect();
        assert_eq!(memory.flagged(Stream::Stdout), expected);
        assert!(engine.stop(STOP).all_answered);
    });
}

#[test]
fn a_partial_does_not_go_on_over_lines_that_were_lost_unread() {
    on_both(|setup| {
        let memory = Memory::holding();
        let bulk: String =
            (0..150_000).map(|i| cri("stderr F", &format!("{i} {}", "x".repeat(100)))).collect();
        append(&setup.path("0.log"), &(cri("stdout P", "begun") + &bulk));
        let engine = setup.start(Mode::Follow, &["*.log"], &[("out", &memory)]);
        eventually(|| memory.holds() > 0, "an output that takes no more");
        fs::File::options().write(true).open(setup.path("0.log")).unwrap().set_len(0).unwrap();
        append(&setup.path("0.log"), &cri("stdout F", "next"));
        eventually(|| lost(&engine, "truncated") > 0, "the loss");
        memory.release();
        let expected = [("begun".to_owned(), Flags::PARTIAL), ("next".to_owned(), Flags::NONE)];
        eventually(|| memory.flagged(Stream::Stdout).len() == 2, "what follows");
        assert_eq!(memory.flagged(Stream::Stdout), expected);
        assert!(engine.stop(STOP).all_answered);
    });
}

/// How much of it is missing, nobody can know: a `.gz` that was cut off at a place that was not reached.
#[test]
fn a_partial_does_not_go_on_over_the_missing_end_of_a_compressed_file() {
    on_both(|setup| {
        let lines = |from: u32| -> String {
            (from..from + 5_000).map(|i| cri("stderr F", &format!("line {i}"))).collect()
        };
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all((lines(0) + &cri("stdout P", "begun") + &lines(5_000)).as_bytes()).unwrap();
        let gz = gz.finish().unwrap();
        fs::write(setup.path("0.log.1.gz"), &gz[..gz.len() * 9 / 10]).unwrap();
        append(&setup.path("0.log"), &cri("stdout F", "next"));
        let memory = Memory::new();
        let engine = setup.start(Mode::Follow, &["*.log"], &[("out", &memory)]);
        eventually(|| memory.messages().iter().any(|message| message.ends_with("next")), "the next file");
        let expected = [("begun".to_owned(), Flags::PARTIAL), ("next".to_owned(), Flags::NONE)];
        assert_eq!(memory.flagged(Stream::Stdout), expected);
        assert!(engine.stop(STOP).all_answered);
    });
}

#[test]
fn a_raw_last_line_without_newline_is_delivered_when_its_file_is_finished() {
    on_both(|setup| {
        let memory = Memory::new();
        let engine = half_read(&setup, &memory, ["one\n", "two\n", "last"]);
        fs::rename(setup.path("0.log"), setup.path("0.log.1")).unwrap();
        append(&setup.path("0.log"), "next\n");
        eventually(|| memory.len() == 4, "the next file");
        let flags = [Flags::NONE, Flags::NONE, Flags::PARTIAL, Flags::NONE];
        let expected = ["one", "two", "last", "next"].map(str::to_owned).into_iter().zip(flags);
        assert_eq!(memory.flagged(Stream::None), expected.collect::<Vec<_>>());
        assert_eq!(lost(&engine, "truncated"), 0);
        assert!(engine.stop(STOP).all_answered);
    });
}

/// What comes after the end of a one-off is not its matter, and no line of its own.
#[test]
fn a_one_off_counts_half_a_line_at_the_end_and_delivers_half_a_raw_one() {
    on_both(|setup| {
        let memory = Memory::new();
        append(&setup.path("a.log"), &(cri("stdout F", "whole") + &cri("stdout P", "part") + "2026-01-02T"));
        append(&setup.path("b.log"), "raw\nlast");
        let engine = setup.start(Mode::Once, &["*.log"], &[("out", &memory)]);
        assert!(engine.wait_idle(Duration::from_secs(30)));
        let mut messages = memory.messages();
        messages.sort();
        assert_eq!(messages, ["last", "part", "raw", "whole"]);
        assert_eq!(lost(&engine, "truncated"), 11);
        assert!(engine.stop(STOP).all_answered);
    });
}
