//! Each format, told from its first line, gives the messages that its writer was given.

use ringtail_memory::{Budget, CarryPool};
use ringtail_parse::{Decoder, Format, Input, Limits, Table};
use ringtail_record::{Flags, Position, Stream};

type Row = (String, Stream, Flags);

fn decode(text: &[u8]) -> (Option<Format>, usize, Vec<Row>) {
    let carries = CarryPool::new(&Budget::new(64 << 20));
    let limits = Limits { max_line: 1 << 20, max_record: 4 << 20 };
    let (mut decoder, mut table) = (Decoder::new(Input::Auto, limits, carries), Table::default());
    let mut chunk = text.to_vec();
    let consumed = decoder.decode(&mut chunk, Position::default(), 7, &mut table).expect("carries");
    let row = |record| String::from_utf8_lossy(table.message(record, &chunk)).into_owned();
    let rows = table.records.iter().map(|record| (row(record), record.stream, record.flags)).collect();
    (decoder.format(), consumed, rows)
}

#[test]
fn cri_lines_parts_and_a_half_line() {
    let text = b"2026-01-02T03:04:05.123456789Z stdout F one\n\
        2026-01-02T03:04:05.123456789Z stdout P two \n\
        2026-01-02T03:04:05.12+01:00 stdout F:x three\n\
        2026-01-02T03:04:05Z stderr F \n\
        no header\n\
        2026-01";
    let expected = [
        ("one".into(), Stream::Stdout, Flags::NONE),
        ("two three".into(), Stream::Stdout, Flags::NONE),
        ("".into(), Stream::Stderr, Flags::NONE),
        ("no header".into(), Stream::None, Flags::MALFORMED),
    ];
    assert_eq!(decode(text), (Some(Format::Cri), text.len() - 7, expected.to_vec()));
}

#[test]
fn docker_lines_with_escapes_and_keys_in_any_order() {
    let text =
        br#"{"log":"a\"b\u00e9\ud83d\ude00\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}
{"stream":"stderr","log":"part ","attrs":{"a":"b"},"time":"2026-01-02T03:04:05.1Z"}
{"stream":"stderr","time":"2026-01-02T03:04:05.2Z","log":"end\n"}
{ "log": "spaces\n", "more": [1, {}], "stream": "stdout", "time": "2026-01-02T03:04:05.2Z"}
{"log":"no end
"#;
    let expected = [
        ("a\"b\u{e9}\u{1f600}".into(), Stream::Stdout, Flags::NONE),
        ("part end".into(), Stream::Stderr, Flags::NONE),
        ("spaces".into(), Stream::Stdout, Flags::NONE),
        ("{\"log\":\"no end".into(), Stream::None, Flags::MALFORMED),
    ];
    assert_eq!(decode(text), (Some(Format::DockerJson), text.len(), expected.to_vec()));
}

#[test]
fn raw_lines_lose_their_line_end_only() {
    let text = b"{\"level\":\"info\"}\r\n\n \r\r\nhalf";
    let expected = ["{\"level\":\"info\"}", "", " \r"];
    let expected = expected.map(|line| (line.to_owned(), Stream::None, Flags::NONE)).to_vec();
    assert_eq!(decode(text), (Some(Format::Raw), text.len() - 4, expected));
}
