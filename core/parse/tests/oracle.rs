//! Lines that a model wrote, read back on every chunk border: what is delivered is what the model says.
//!
//! The model knows what each line means, so that the oracle parses nothing: it only cuts and joins.

mod common;

use common::{Got, NOW_NS, Reader, Row, hog, many_carries};
use proptest::prelude::*;
use ringtail_memory::{Budget, CarryPool};
use ringtail_parse::{Format, Input, Limits};
use ringtail_record::{Flags, Position, Stream};

/// One line of a file, as its writer meant it.
#[derive(Clone, Debug)]
enum Line {
    /// `text` is what stands in the file, `units` what it says: encoded length and decoded bytes of each character.
    Message {
        head: Vec<u8>,
        units: Vec<(Vec<u8>, Vec<u8>)>,
        tail: Vec<u8>,
        stream: Stream,
        time_ns: i64,
        whole: bool,
    },
    Garbage(Vec<u8>),
}

impl Line {
    fn text(&self) -> Vec<u8> {
        match self {
            Line::Garbage(text) => text.clone(),
            Line::Message { head, units, tail, .. } => {
                let units = units.iter().flat_map(|(text, _)| text);
                head.iter().chain(units).chain(tail).copied().collect()
            }
        }
    }
}

/// What the decoder must deliver for `files`.
fn expected(format: Format, files: &[Vec<Line>], limits: Limits) -> Got {
    let mut oracle = Oracle { limits, got: Got::default(), open: Default::default() };
    for (generation, lines) in files.iter().enumerate() {
        let mut offset = 0;
        for line in lines {
            offset += line.text().len() as u64 + 1;
            oracle.line(
                format,
                line,
                Position { generation: u32::try_from(generation).expect("few files"), offset },
            );
        }
    }
    for stream in Stream::ALL {
        if let Some((row, lost)) = oracle.open[stream.index()].take() {
            oracle.deliver(Row { flags: row.flags | Flags::PARTIAL.bits(), ..row }, lost);
        }
    }
    oracle.got
}

struct Oracle {
    limits: Limits,
    got: Got,
    open: [Option<(Row, u64)>; 3],
}

impl Oracle {
    fn line(&mut self, format: Format, line: &Line, end: Position) {
        let text = line.text();
        let kept = text.len().min(self.limits.max_line);
        self.got.lost_line_bytes += (text.len() - kept) as u64;
        let cut = if kept < text.len() { Flags::TRUNCATED.bits() } else { 0 };
        let plain = |message: &[u8], flags| Row {
            time_ns: NOW_NS,
            stream: Stream::None,
            flags,
            message: message.to_vec(),
            end,
        };
        match line {
            Line::Message { head, units, stream, time_ns, whole, .. }
                if cut == 0 || format == Format::Cri && first_tag_end(head) <= kept =>
            {
                let message = units.iter().flat_map(|(_, bytes)| bytes).copied();
                let message = if cut == 0 {
                    message.collect()
                } else {
                    message.take(kept.saturating_sub(head.len())).collect()
                };
                let row = Row { time_ns: *time_ns, stream: *stream, flags: cut, message, end };
                self.part(row, *whole);
            }
            Line::Message { head, units, .. }
                if format == Format::DockerJson && head == b"{\"log\":\"" && kept >= head.len() =>
            {
                let mut room = kept - head.len();
                let mut message = Vec::new();
                for (text, bytes) in units {
                    if text.len() > room {
                        // What is not an escape may be cut inside; half a surrogate pair is none.
                        match text[0] {
                            b'\\' if text.len() > 6 && room >= 6 => message.extend("\u{fffd}".bytes()),
                            b'\\' => {}
                            _ => message.extend_from_slice(&bytes[..room]),
                        }
                        break;
                    }
                    room -= text.len();
                    message.extend_from_slice(bytes);
                }
                self.got.malformed_lines += 1;
                self.deliver(plain(&message, cut | Flags::MALFORMED.bits()), 0);
            }
            _ => {
                let malformed = format != Format::Raw;
                self.got.malformed_lines += u64::from(malformed);
                let flags = cut | if malformed { Flags::MALFORMED.bits() } else { 0 };
                let strip = !malformed && cut == 0 && text.last() == Some(&b'\r');
                self.deliver(plain(&text[..kept - usize::from(strip)], flags), 0);
            }
        }
    }

    fn part(&mut self, mut part: Row, whole: bool) {
        if !whole && part.stream == Stream::None {
            part.flags |= Flags::PARTIAL.bits();
            return self.deliver(part, 0);
        }
        let row = match self.open[part.stream.index()].take() {
            None => (part, 0),
            Some((mut open, lost)) => {
                open.message.extend_from_slice(&part.message);
                (Row { end: part.end, flags: open.flags | part.flags, ..open }, lost)
            }
        };
        let (mut row, mut lost) = row;
        if row.message.len() > self.limits.max_record {
            lost += (row.message.len() - self.limits.max_record) as u64;
            row.message.truncate(self.limits.max_record);
            row.flags |= Flags::TRUNCATED.bits();
        }
        if whole {
            self.deliver(row, lost);
        } else {
            let stream = row.stream;
            self.open[stream.index()] = Some((row, lost));
        }
    }

    fn deliver(&mut self, mut row: Row, lost: u64) {
        self.got.lost_record_bytes += lost;
        if row.message.len() > self.limits.max_record {
            self.got.lost_record_bytes += (row.message.len() - self.limits.max_record) as u64;
            row.message.truncate(self.limits.max_record);
            row.flags |= Flags::TRUNCATED.bits();
        }
        self.got.rows.push(row);
    }
}

/// Where the first tag of a CRI header ends: from there on a cut line is still understood.
fn first_tag_end(head: &[u8]) -> usize {
    head[..head.len() - 1].iter().rposition(|byte| *byte == b' ').expect("a header") + 2
}

/// A time as it is written, and what it is.
fn time() -> impl Strategy<Value = (String, i64)> {
    const MORNING_NS: i64 = 1_767_323_040_000_000_000;
    let usual = (0..600i64, 0..1_000_000_000i64).prop_map(|(second, nanos)| {
        let (minute, second_of) = (4 + second / 60, second % 60);
        (
            format!("2026-01-02T03:{minute:02}:{second_of:02}.{nanos:09}Z"),
            MORNING_NS + second * 1_000_000_000 + nanos,
        )
    });
    prop_oneof![
        3 => usual,
        1 => Just(("2026-01-02T03:04:00Z".to_owned(), MORNING_NS)),
        1 => Just(("2026-01-02T04:34:00.25+01:30".to_owned(), MORNING_NS + 250_000_000)),
        1 => Just(("2026-01-01T23:04:00.123456789-04:00".to_owned(), MORNING_NS + 123_456_789)),
    ]
}

fn stream() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)]
}

/// A message's bytes, of lengths on both sides of every limit tried here.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => 32..127u8, 1 => Just(b'\r'), 1 => Just(0), 1 => Just(0xff), 1 => Just(b'"'), 1 => Just(b'\\')];
    prop_oneof![proptest::collection::vec(byte.clone(), 0..12), proptest::collection::vec(byte, 0..90)]
}

/// Plain bytes: each stands for itself.
fn verbatim(message: Vec<u8>) -> Vec<(Vec<u8>, Vec<u8>)> {
    message.into_iter().map(|byte| (vec![byte], vec![byte])).collect()
}

fn garbage() -> impl Strategy<Value = Line> {
    prop_oneof![
        message(),
        Just(vec![]),
        Just(b"2026-01-02T03:04:00Z stdout".to_vec()),
        Just(b"{\"logs\":\"x\"}".to_vec())
    ]
    .prop_map(Line::Garbage)
}

fn cri() -> impl Strategy<Value = Line> {
    let tags = prop_oneof![3 => Just("P"), 3 => Just("F"), 1 => Just("F:x"), 1 => Just("P:x:y")];
    let line = (time(), stream(), tags, message()).prop_map(|((text, time_ns), stream, tags, message)| {
        Line::Message {
            head: format!("{text} {} {tags} ", stream.name()).into(),
            units: verbatim(message),
            tail: vec![],
            stream,
            time_ns,
            whole: tags.starts_with('F'),
        }
    });
    prop_oneof![9 => line, 1 => garbage()]
}

/// A character as a JSON writer may write it.
fn json_unit() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let pair = |text: &str, says: &str| (text.as_bytes().to_vec(), says.as_bytes().to_vec());
    let known = [
        pair(r#"\""#, "\""),
        pair(r"\\", "\\"),
        pair(r"\/", "/"),
        pair(r"\b", "\u{8}"),
        pair(r"\f", "\u{c}"),
        pair(r"\r", "\r"),
        pair(r"\t", "\t"),
        pair(r"\u0000", "\0"),
        pair(r"\u003c", "<"),
        pair(r"\u00E9", "\u{e9}"),
        pair(r"\u2028", "\u{2028}"),
        pair(r"\ud83d\ude00", "\u{1f600}"),
        pair(r"\ud83dx", "\u{fffd}x"),
        pair(r"\ude00y", "\u{fffd}y"),
        pair("\u{e9}", "\u{e9}"),
    ];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()),
        6 => (32..127u8).prop_filter("these need an escape", |byte| !b"\"\\".contains(byte)).prop_map(|byte| (vec![byte], vec![byte])),
        1 => Just((vec![0xff], vec![0xff])),
    ]
}

fn docker() -> impl Strategy<Value = Line> {
    let units = prop_oneof![
        proptest::collection::vec(json_unit(), 0..8),
        proptest::collection::vec(json_unit(), 0..50)
    ];
    let line = (time(), stream(), any::<bool>(), units, 0..6).prop_map(
        |((time, time_ns), stream, whole, mut units, shape)| {
            if whole {
                units.push((b"\\n".to_vec(), vec![]));
            }
            let name = stream.name();
            let (head, tail) = match shape {
                0 | 1 => ("{\"log\":\"".into(), format!(r#"","stream":"{name}","time":"{time}"}}"#)),
                2 => (format!(r#"{{"time":"{time}","stream":"{name}","log":""#), "\"}".into()),
                3 => (
                    "{\"log\":\"".into(),
                    format!(r#"","stream":"{name}","attrs":{{"a":"\"","b":""}},"time":"{time}"}}"#),
                ),
                4 => (
                    format!(r#"{{"attrs":{{}},"stream":"{name}","log":""#),
                    format!(r#"","time":"{time}"}}"#),
                ),
                _ => ("{\"log\":\"".into(), format!(r#"","time":"{time}"}}"#)),
            };
            let stream = if shape == 5 { Stream::None } else { stream };
            Line::Message { head: head.into(), units, tail: tail.into(), stream, time_ns, whole }
        },
    );
    prop_oneof![9 => line, 1 => garbage()]
}

fn files(line: impl Strategy<Value = Line>) -> impl Strategy<Value = Vec<Vec<Line>>> {
    proptest::collection::vec(proptest::collection::vec(line, 0..12), 1..4)
}

fn limits() -> impl Strategy<Value = Limits> {
    let limit = || prop_oneof![1..200usize, Just(1 << 20)];
    (limit(), limit()).prop_map(|(max_line, max_record)| Limits { max_line, max_record })
}

fn texts(files: &[Vec<Line>]) -> Vec<Vec<u8>> {
    let with_newline = |line: &Line| [line.text(), vec![b'\n']].concat();
    files.iter().map(|lines| lines.iter().flat_map(with_newline).collect()).collect()
}

/// Reads `files` in `pieces` and compares with the oracle.
fn check(format: Format, files: &[Vec<Line>], limits: Limits, pieces: &[usize]) {
    let texts = texts(files);
    let reader = Reader::new(&texts, Input::Fixed(format), limits, many_carries());
    let reader = reader.read(pieces.iter().copied().cycle(), |_| ());
    assert_eq!(reader.got, expected(format, files, limits));
    assert_eq!(reader.went_back, 0);
}

/// The same with carries that are all taken away at times: the reader goes back, and nothing is lost or repeated.
fn check_short_of_carries(
    format: Format,
    files: &[Vec<Line>],
    limits: Limits,
    pieces: &[usize],
    hogged: &[bool],
) {
    let texts = texts(files);
    let carries = CarryPool::new(&Budget::new(8 * (64 << 10)));
    let reader = Reader::new(&texts, Input::Fixed(format), limits, carries.clone());
    let mut held = Vec::new();
    // In the end they are all there, so that the reader does come to the end.
    let mut turns = hogged.iter().copied().chain(std::iter::repeat(false));
    let reader = reader.read(pieces.iter().copied().cycle(), |_| {
        held.clear();
        if turns.next() == Some(true) {
            held = hog(&carries);
        }
    });
    assert_eq!(reader.got.rows, expected(format, files, limits).rows);
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![proptest::collection::vec(1..40usize, 1..5), proptest::collection::vec(1..400usize, 1..5)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn cri_is_read_as_it_was_meant(files in files(cri()), limits in limits(), pieces in pieces()) {
        check(Format::Cri, &files, limits, &pieces);
    }

    #[test]
    fn docker_is_read_as_it_was_meant(files in files(docker()), limits in limits(), pieces in pieces()) {
        check(Format::DockerJson, &files, limits, &pieces);
    }

    #[test]
    fn raw_is_read_as_it_was_meant(files in files(garbage()), limits in limits(), pieces in pieces()) {
        check(Format::Raw, &files, limits, &pieces);
    }

    #[test]
    fn nothing_is_lost_or_repeated_when_carries_run_out(
        cri in files(cri()),
        docker in files(docker()),
        max_line in 30..200usize,
        max_record in 1..500usize,
        pieces in pieces(),
        hogged in proptest::collection::vec(any::<bool>(), 0..40),
    ) {
        let limits = Limits { max_line, max_record };
        check_short_of_carries(Format::Cri, &cri, limits, &pieces, &hogged);
        check_short_of_carries(Format::DockerJson, &docker, limits, &pieces, &hogged);
    }
}
