//! What happens to the last line of a file, to open records, and when carries run out.

use proptest::prelude::*;
use ringtail_memory::{Budget, CarryPool, Exhausted, Use};
use ringtail_oracles::parse::hog;
use ringtail_parse::{Decoder, Format, Input, LARGEST_LIMIT, Limits, LineEnd, Table};
use ringtail_record::{Flags, Position, Stream};

const LIMITS: Limits = Limits { max_line: 64, max_record: 100 };
const PART: &[u8] = b"2026-01-02T03:04:05Z stdout P part\n";

struct Test {
    budget: Budget,
    carries: CarryPool,
    decoder: Decoder,
    table: Table,
}

fn test(input: Input) -> Test {
    let budget = Budget::new(8 << 20);
    let carries = CarryPool::new(&budget);
    Test { decoder: Decoder::new(input, LIMITS, carries.clone()), table: Table::default(), carries, budget }
}

fn at(generation: u32, offset: u64) -> Position {
    Position { generation, offset }
}

impl Test {
    fn decode(&mut self, text: &[u8], at: Position) -> Result<usize, Exhausted> {
        self.decoder.decode(&mut text.to_vec(), at, 7, &mut self.table)
    }

    /// Flushes `rest`; returns what was consumed and delivered.
    fn flush(&mut self, rest: &[u8], at: Position, why: LineEnd) -> (usize, Vec<(Vec<u8>, Flags, u64)>) {
        self.table.clear();
        let consumed =
            self.decoder.flush_line(&mut rest.to_vec(), at, 7, &mut self.table, why).expect("carries");
        let row = |record| (self.table.message(record, rest).to_vec(), record.flags, record.end);
        (consumed, self.table.records.iter().map(row).collect())
    }
}

#[test]
fn a_raw_half_line_is_delivered_after_the_timeout_and_the_rest_is_a_line_of_its_own() {
    let mut test = test(Input::Auto);
    assert_eq!(test.decode(b"one\nhal", at(0, 0)), Ok(4));
    let expected = (3, vec![(b"hal".to_vec(), Flags::PARTIAL, 7)]);
    assert_eq!(test.flush(b"hal", at(0, 4), LineEnd::Timeout), expected);
    assert_eq!(test.flush(b"", at(0, 7), LineEnd::Timeout), (0, vec![]));
    assert_eq!(test.decode(b"f\n", at(0, 7)), Ok(2));
    assert_eq!(test.table.records[0].end, 9);
}

/// Promise 6: a rotation, a truncation or the end of a one-off never makes a record of half a line.
#[test]
fn half_a_cri_or_docker_line_is_never_delivered_but_counted_at_the_end_of_its_file() {
    let cri = "2026-01-02T03:04:05.12Z stdout F hello";
    let docker = r#"{"log":"hel\u00e9\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}"#;
    for (format, line) in [(Format::Cri, cri), (Format::DockerJson, docker)] {
        for len in 0..line.len() {
            for input in [Input::Fixed(format), Input::Auto] {
                let mut test = test(input);
                let half = &line.as_bytes()[..len];
                assert_eq!(test.flush(half, at(0, 0), LineEnd::Timeout), (0, vec![]));
                assert_eq!(test.table.torn_line_bytes, 0, "its file may still go on");
                assert_eq!(test.flush(half, at(0, 0), LineEnd::EndOfFile), (len, vec![]));
                assert_eq!((test.table.torn_line_bytes, test.table.malformed_lines), (len as u64, 0));
            }
        }
    }
}

#[test]
fn half_an_over_long_cri_or_docker_line_is_counted_whole() {
    let cri = [b"2026-01-02T03:04:05Z stdout F ", &[b'x'; 100][..]].concat();
    let docker = [&br#"{"log":""#[..], &[b'x'; 100]].concat();
    for (format, half) in [(Format::Cri, cri), (Format::DockerJson, docker)] {
        let mut test = test(Input::Fixed(format));
        assert_eq!(test.decode(&half[..90], at(0, 0)), Ok(90));
        assert_eq!(test.decode(&half[90..], at(0, 90)), Ok(half.len() - 90));
        assert_eq!(test.flush(b"", at(0, half.len() as u64), LineEnd::EndOfFile), (0, vec![]));
        assert_eq!((test.table.torn_line_bytes, test.table.lost_line_bytes), (half.len() as u64, 0));
        assert_eq!(test.decoder.open_since(Stream::Stdout), None);
    }
}

#[test]
fn a_docker_line_that_lacks_only_its_newline_is_whole() {
    let line = &br#"{"log":"hi\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}"#[..];
    for input in [Input::Auto, Input::Fixed(Format::DockerJson)] {
        let mut test = test(input);
        let expected = (line.len(), vec![(b"hi".to_vec(), Flags::NONE, line.len() as u64)]);
        assert_eq!(test.flush(line, at(0, 0), LineEnd::EndOfFile), expected);
    }
    // A part: it goes on in the next file, and nothing of it is left in this chunk.
    let part = &br#"{"log":"a","stream":"stdout","time":"2026-01-02T03:04:05Z"}"#[..];
    let mut test = test(Input::Fixed(Format::DockerJson));
    assert_eq!(test.flush(part, at(0, 0), LineEnd::EndOfFile), (part.len(), vec![]));
    assert_eq!(test.decoder.open_since(Stream::Stdout), Some(at(0, 0)));
    test.table.clear();
    let mut next = [line, b"\n"].concat();
    test.decoder.decode(&mut next, at(1, 0), 7, &mut test.table).expect("carries");
    assert_eq!(test.table.message(&test.table.records[0], &next), b"ahi");
}

/// It is malformed whatever may follow: nothing is gained by keeping it back.
#[test]
fn what_cannot_be_half_a_line_of_its_file_is_delivered_at_the_end_as_malformed() {
    for (format, half) in [(Format::Cri, &b"runtime panic"[..]), (Format::DockerJson, b"[1]")] {
        let mut test = test(Input::Fixed(format));
        assert_eq!(test.flush(half, at(0, 0), LineEnd::Timeout), (0, vec![]));
        let flags = Flags::PARTIAL | Flags::MALFORMED;
        let expected = (half.len(), vec![(half.to_vec(), flags, half.len() as u64)]);
        assert_eq!(test.flush(half, at(0, 0), LineEnd::EndOfFile), expected);
        assert_eq!((test.table.malformed_lines, test.table.torn_line_bytes), (1, 0));
    }
}

#[test]
fn the_first_half_line_of_an_unknown_file_waits_while_it_may_become_cri_or_docker() {
    for half in [&b"2026-0"[..], b"2026-01-02T03:04:05.1Z std", b"{\"lo", b"{\"time\":\"2026"] {
        let mut test = test(Input::Auto);
        assert_eq!(test.flush(half, at(0, 0), LineEnd::Timeout), (0, vec![]));
    }
    for half in [
        &b"2026/"[..],
        b"2026-01-02T03:04:05Z INFO started",
        b"{\"level\":\"info\"",
        b"{\"time\":\"2026-01-02T03:04:05Z\",\"level\"",
        b"hello",
    ] {
        let mut test = test(Input::Auto);
        let expected = (half.len(), vec![(half.to_vec(), Flags::PARTIAL, half.len() as u64)]);
        assert_eq!(test.flush(half, at(0, 0), LineEnd::Timeout), expected);
        assert_eq!(test.decoder.format(), None, "half a line decides nothing");
    }
}

#[test]
fn a_raw_line_over_the_limit_is_delivered_once_and_skipped_to_its_end_also_after_the_timeout() {
    let mut test = test(Input::Fixed(Format::Raw));
    let long = [b'x'; 100];
    assert_eq!(test.decode(&long, at(0, 0)), Ok(100));
    assert_eq!(Stream::ALL.map(|stream| test.decoder.open_since(stream)), [Some(at(0, 0)); 3]);
    assert_eq!(test.table.lost_line_bytes, 0, "counted when it is delivered");
    let expected = (0, vec![(vec![b'x'; 64], Flags::TRUNCATED | Flags::PARTIAL, 100)]);
    assert_eq!(test.flush(b"", at(0, 100), LineEnd::Timeout), expected);
    assert_eq!(test.table.lost_line_bytes, 36);
    assert_eq!(test.decoder.open_since(Stream::None), None);
    assert_eq!(test.decode(b"more of it", at(0, 100)), Ok(10));
    assert_eq!(test.decode(b" end\nnext\n", at(0, 110)), Ok(10));
    assert_eq!(test.table.lost_line_bytes, 36 + 14);
    let ends: Vec<_> = test.table.records.iter().map(|record| (record.len, record.end)).collect();
    assert_eq!(ends, [(64, 100), (4, 120)]);
}

#[test]
fn an_open_record_is_told_over_a_rotation_and_flushed_with_the_position_of_its_last_part() {
    let mut test = test(Input::Auto);
    assert_eq!(test.decode(PART, at(4, 1000)), Ok(PART.len()));
    assert_eq!(test.decode(b"2026-01-02T03:04:05Z stderr F other\n", at(5, 0)), Ok(36));
    assert_eq!(test.decoder.open_since(Stream::Stdout), Some(at(4, 1000)));
    assert_eq!(test.decoder.open_since(Stream::Stderr), None);
    test.table.clear();
    let end = test.decoder.flush_partial(Stream::Stdout, &mut test.table);
    assert_eq!(end, Some(at(4, 1000 + PART.len() as u64)));
    assert_eq!(test.table.records[0].flags, Flags::PARTIAL);
    assert_eq!(test.table.message(&test.table.records[0], &[]), b"part");
    assert_eq!(test.decoder.flush_partial(Stream::Stdout, &mut test.table), None);
}

/// What happens to a file that is followed.
#[derive(Clone, Debug)]
enum Step {
    Line(Stream, bool),
    Flush,
    Rotation,
    /// The next file begins behind lines that are lost.
    Gap,
    /// What is open is dropped and read again, from where the decoder says.
    GoBack,
}

fn step() -> impl Strategy<Value = Step> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    prop_oneof![
        6 => (stream, any::<bool>()).prop_map(|(stream, whole)| Step::Line(stream, whole)),
        2 => Just(Step::Flush),
        1 => Just(Step::Rotation),
        1 => Just(Step::Gap),
        1 => Just(Step::GoBack),
    ]
}

/// A decoder on lines that come one by one, and what must be delivered of them, told part by part.
struct Followed {
    test: Test,
    /// The lines since the last rotation, and where each begins.
    lines: Vec<(Vec<u8>, Position)>,
    at: Position,
    got: Vec<(Stream, Vec<u8>, Flags)>,
    expected: Vec<(Stream, Vec<u8>, Flags)>,
    open: [Option<Vec<u8>>; 3],
    is_rest: [bool; 3],
    /// The end of the last record: what ends before was delivered.
    done: [Position; 3],
}

impl Followed {
    fn take(&mut self, chunk: &[u8], generation: u32) {
        for record in &self.test.table.records {
            let (stream, end) = (record.stream, at(generation, record.end));
            if end > self.done[stream.index()] {
                self.done[stream.index()] = end;
                let message = self.test.table.message(record, chunk).to_vec();
                self.got.push((stream, message, record.flags));
            }
        }
        self.test.table.clear();
    }

    fn read(&mut self, from: Position) {
        let lines = self.lines.clone();
        for (line, begin) in lines.into_iter().filter(|(_, begin)| *begin >= from) {
            let mut chunk = line.clone();
            let consumed = self.test.decoder.decode(&mut chunk, begin, 7, &mut self.test.table);
            assert_eq!(consumed, Ok(line.len()));
            self.take(&chunk, begin.generation);
        }
    }

    fn line(&mut self, stream: Stream, whole: bool, number: usize) {
        let (tag, text) = (if whole { "F" } else { "P" }, format!("{number};"));
        let line = format!("2026-01-02T03:04:05Z {} {tag} {text}\n", stream.name()).into_bytes();
        let begin = self.at;
        self.at.offset += line.len() as u64;
        self.lines.push((line, begin));
        self.read(begin);
        self.open[stream.index()].get_or_insert_default().extend(text.bytes());
        if whole {
            self.end(stream, Flags::NONE);
        }
    }

    fn end(&mut self, stream: Stream, flags: Flags) {
        let Some(message) = self.open[stream.index()].take() else { return };
        let is_rest = std::mem::replace(&mut self.is_rest[stream.index()], flags == Flags::PARTIAL);
        let flags = if is_rest { Flags::PARTIAL } else { flags };
        self.expected.push((stream, message, flags));
    }

    fn flush(&mut self) {
        for stream in Stream::ALL {
            if let Some(end) = self.test.decoder.flush_partial(stream, &mut self.test.table) {
                self.take(&[], end.generation);
            }
            self.end(stream, Flags::PARTIAL);
        }
    }

    fn step(&mut self, step: &Step, number: usize) {
        match step {
            Step::Line(stream, whole) => self.line(*stream, *whole, number),
            Step::Flush => self.flush(),
            Step::Rotation => self.at = at(self.at.generation + 1, 0),
            Step::Gap => {
                self.flush();
                self.test.decoder.leave_gap();
                self.is_rest = [false; 3];
                self.at = at(self.at.generation + 1, 0);
            }
            Step::GoBack => {
                if let Some(from) = self.test.decoder.forget() {
                    self.read(from);
                }
            }
        }
    }
}

proptest! {
    /// Promise 6: of a message that was not waited for, every piece is marked, and no whole message is. In the same file
    /// or over rotations, a stream apart, also when the reader goes back; not over a gap, where nobody knows.
    #[test]
    fn every_piece_of_a_parted_message_is_marked_and_nothing_else(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let limits = Limits { max_line: 64, max_record: 4096 };
        let mut test = test(Input::Fixed(Format::Cri));
        test.decoder = Decoder::new(Input::Fixed(Format::Cri), limits, test.carries.clone());
        let (got, expected) = (Vec::new(), Vec::new());
        let (open, is_rest, done) = ([const { None }; 3], [false; 3], [Position::default(); 3]);
        let mut followed = Followed { test, lines: Vec::new(), at: at(0, 0), got, expected, open, is_rest, done };
        for (number, step) in steps.iter().enumerate() {
            followed.step(step, number);
        }
        prop_assert_eq!(followed.got, followed.expected);
    }
}

#[test]
fn the_rest_of_a_record_that_was_cut_at_the_limit_and_flushed_is_marked() {
    let mut test = test(Input::Fixed(Format::Cri));
    let long = [&b"2026-01-02T03:04:05Z stdout P "[..], &[b'x'; 30], b"\n"].concat();
    for part in 0..4 {
        test.decode(&long, at(0, part * long.len() as u64)).expect("carries");
    }
    assert_eq!(test.table.records[0].flags, Flags::TRUNCATED);
    assert_eq!(test.decoder.flush_partial(Stream::Stdout, &mut test.table), None);
    test.table.clear();
    let rest = b"2026-01-02T03:04:05Z stdout F rest\n2026-01-02T03:04:05Z stdout F next\n";
    test.decode(rest, at(1, 0)).expect("carries");
    let flags: Vec<_> = test.table.records.iter().map(|record| record.flags).collect();
    assert_eq!(flags, [Flags::PARTIAL, Flags::NONE]);
}

#[test]
fn without_a_carry_all_is_given_back_and_the_decoder_waits_to_be_told() {
    let mut test = test(Input::Fixed(Format::Cri));
    let (carries, budget) = (test.carries.clone(), test.budget.clone());
    assert_eq!(test.decode(PART, at(1, 10)), Ok(PART.len()));
    let held = hog(&carries);
    let long = [&b"2026-01-02T03:04:05Z stderr F whole\n"[..], &[b'x'; 100]].concat();
    assert_eq!(test.decode(&long, at(2, 0)), Err(Exhausted));
    assert_eq!(test.table.records.len(), 1, "what was whole is delivered");
    drop(held);
    carries.trim();
    assert_eq!(budget.used(Use::Carries), 0);
    assert_eq!(test.decode(b"x\n", at(2, 0)), Err(Exhausted));
    assert_eq!(test.decoder.forget(), Some(at(1, 10)));
    assert_eq!(test.decoder.forget(), None);
    assert_eq!(test.decode(b"x\n", at(2, 0)), Ok(2));
}

#[test]
fn an_idle_view_can_be_made_to_forget() {
    let mut test = test(Input::Fixed(Format::Cri));
    assert_eq!(test.decode(PART, at(0, 0)), Ok(PART.len()));
    assert_eq!(test.decoder.forget(), Some(at(0, 0)));
    test.carries.trim();
    assert_eq!(test.budget.used(Use::Carries), 0);
    assert_eq!(test.decoder.open_since(Stream::Stdout), None);
}

#[test]
fn a_raw_format_is_looked_at_again_in_the_next_file_and_others_are_kept() {
    let mut test = test(Input::Auto);
    test.decode(b"torn\n", at(0, 0)).expect("carries");
    assert_eq!(test.decoder.format(), Some(Format::Raw));
    test.decode(PART, at(1, 0)).expect("carries");
    assert_eq!(test.decoder.format(), Some(Format::Cri));
    test.decode(b"torn\n", at(2, 0)).expect("carries");
    assert_eq!(test.decoder.format(), Some(Format::Cri));
}

#[test]
fn a_view_that_begins_in_a_file_learns_the_format_from_its_head() {
    let cri = b"2026-01-02T03:04:05.123456789Z stdout F x";
    for (head, format) in [
        (&b"2026-01-02T03:04:05Z stdout F x\ntorn"[..], Some(Format::Cri)),
        (cri, Some(Format::Cri)),
        (b"{\"log\":\"", None),
        (b"raw", Some(Format::Raw)),
        (b"", None),
    ] {
        let mut test = test(Input::Auto);
        test.decoder.learn_format(head);
        assert_eq!(test.decoder.format(), format);
        test.decoder.learn_format(b"raw\n");
        assert_eq!(test.decoder.format(), format.or(Some(Format::Raw)));
    }
}

#[test]
fn application_json_is_not_taken_for_dockers() {
    for line in [
        &b"{\"time\":\"2026-01-02T03:04:05Z\",\"level\":\"info\"}\n"[..],
        b"{\"log\":\"x\",\"stream\":\"stdout\"}\n",
        b"{}\n",
    ] {
        let mut test = test(Input::Auto);
        test.decode(line, at(0, 0)).expect("carries");
        assert_eq!(test.decoder.format(), Some(Format::Raw));
        assert_eq!(test.table.malformed_lines, 0);
    }
}

#[test]
fn the_largest_limits_fit_into_carries() {
    let carries = CarryPool::new(&Budget::new(1 << 30));
    assert!(carries.take(LARGEST_LIMIT).is_ok());
    let limits = Limits { max_line: usize::MAX, max_record: usize::MAX };
    let mut decoder = Decoder::new(Input::Fixed(Format::Raw), limits, carries);
    let mut table = Table::default();
    let mut line = vec![b'x'; LARGEST_LIMIT + 2];
    assert_eq!(decoder.decode(&mut line, at(0, 0), 7, &mut table), Ok(line.len()));
    assert_eq!(decoder.decode(&mut b"\n".to_vec(), at(0, line.len() as u64), 7, &mut table), Ok(1));
    assert_eq!((table.records[0].len as usize, table.lost_line_bytes), (LARGEST_LIMIT, 2));
}

#[test]
fn the_names_of_inputs_are_read() {
    let expected = [
        ("auto", Some(Input::Auto)),
        ("cri", Some(Input::Fixed(Format::Cri))),
        ("docker-json", Some(Input::Fixed(Format::DockerJson))),
        ("raw", Some(Input::Fixed(Format::Raw))),
        ("docker-local", None),
        ("", None),
    ];
    for (name, input) in expected {
        assert_eq!(name.parse().ok(), input, "{name}");
    }
}
