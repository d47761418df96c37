//! What a broken node or a hostile program writes: memory stays bounded, nothing holds a position for ever, and the next
//! good line comes through.

use ringtail_memory::{Budget, CarryPool, Use};
use ringtail_parse::{Decoder, Format, Input, Limits, Table};
use ringtail_record::{Flags, Position, Stream};

const LIMITS: Limits = Limits { max_line: 1 << 20, max_record: 4 << 20 };
const CHUNK: usize = 256 << 10;
const ALL: [Input; 4] =
    [Input::Auto, Input::Fixed(Format::Cri), Input::Fixed(Format::DockerJson), Input::Fixed(Format::Raw)];

/// A line that says `good` in the format of `input`.
fn good(input: Input) -> &'static [u8] {
    match input {
        Input::Auto | Input::Fixed(Format::Cri) => b"2026-01-02T03:04:05Z stdout F good\n",
        Input::Fixed(Format::DockerJson) => {
            b"{\"log\":\"good\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}\n"
        }
        Input::Fixed(Format::Raw) => b"good\n",
    }
}

/// Feeds a decoder as the engine does: what it leaves comes again in front of the next chunk.
struct Feed {
    budget: Budget,
    carries: CarryPool,
    decoder: Decoder,
    table: Table,
    rest: Vec<u8>,
    offset: u64,
    said: Vec<(Vec<u8>, Stream, Flags)>,
    malformed_lines: u64,
    lost: (u64, u64),
}

impl Feed {
    fn new(input: Input) -> Feed {
        // What the default limits need at least.
        let budget = Budget::new(64 << 20);
        let carries = CarryPool::new(&budget);
        Feed {
            decoder: Decoder::new(input, LIMITS, carries.clone()),
            budget,
            carries,
            table: Table::default(),
            rest: Vec::new(),
            offset: 0,
            said: Vec::new(),
            malformed_lines: 0,
            lost: (0, 0),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(CHUNK) {
            let mut chunk = [&self.rest, piece].concat();
            let at = Position { generation: 0, offset: self.offset };
            let consumed = self.decoder.decode(&mut chunk, at, 7, &mut self.table).expect("carries");
            assert!(
                self.budget.used(Use::Carries) <= 2 * (LIMITS.max_record + LIMITS.max_line),
                "memory grows"
            );
            self.offset += consumed as u64;
            for record in &self.table.records {
                let message = self.table.message(record, &chunk).to_vec();
                self.said.push((message, record.stream, record.flags));
            }
            self.rest = chunk.split_off(consumed);
            self.malformed_lines += self.table.malformed_lines;
            self.lost.0 += self.table.lost_line_bytes;
            self.lost.1 += self.table.lost_record_bytes;
            self.table.clear();
        }
    }

    fn messages(&self) -> Vec<&[u8]> {
        self.said.iter().map(|(message, ..)| &message[..]).collect()
    }
}

/// A power cut left 100 MiB of NUL bytes, and the runtime went on behind them.
#[test]
fn a_hole_of_nul_bytes_costs_nothing_and_the_line_behind_it_is_read() {
    for input in ALL {
        let mut feed = Feed::new(input);
        feed.take(good(input));
        let hole = vec![0; CHUNK];
        (0..400).for_each(|_| feed.take(&hole));
        assert!(feed.rest.is_empty(), "nothing of it is kept");
        feed.take(&good(input).repeat(2));
        assert_eq!(feed.messages(), [b"good"; 3], "{input:?}");
        assert_eq!((feed.malformed_lines, feed.lost), (1, (0, 0)));
    }
}

#[test]
fn a_few_nul_bytes_are_a_hole_where_no_line_begins_so_and_data_in_a_raw_file() {
    for input in ALL {
        let mut feed = Feed::new(input);
        feed.take(&[b"\0\0\0", good(input)].concat());
        let expected = if input == Input::Fixed(Format::Raw) { &b"\0\0\0good"[..] } else { b"good" };
        assert_eq!(feed.messages(), [expected], "{input:?}");
    }
}

/// JSON's own readers skip it, kubelet's passes over it; there is nothing to deliver.
#[test]
fn a_blank_line_is_no_record_but_counted_unless_the_file_is_raw() {
    for input in ALL {
        let mut feed = Feed::new(input);
        feed.take(&[good(input), b"\n \r\n", good(input)].concat());
        let is_raw = input == Input::Fixed(Format::Raw);
        assert_eq!(feed.said.len(), if is_raw { 4 } else { 2 });
        assert_eq!(feed.malformed_lines, if is_raw { 0 } else { 2 });
    }
}

/// `cat /dev/urandom`: the runtime writes parts and never an end.
#[test]
fn an_endless_run_of_parts_is_delivered_at_the_limit_and_holds_no_position() {
    let text = "x".repeat(16 << 10);
    let cri = format!("2026-01-02T03:04:05Z stdout P {text}\n");
    let docker = format!("{{\"log\":\"{text}\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}}\n");
    for (format, part) in [(Format::Cri, cri), (Format::DockerJson, docker)] {
        let input = Input::Fixed(format);
        let mut feed = Feed::new(input);
        let (parts, len) = (2000, part.len() as u64);
        (0..parts).for_each(|_| feed.take(part.as_bytes()));
        let (message, _, flags) = &feed.said[0];
        assert_eq!((feed.said.len(), message.len(), *flags), (1, LIMITS.max_record, Flags::TRUNCATED));
        assert_eq!(
            feed.decoder.open_since(Stream::Stdout),
            None,
            "a restart need not go back to its beginning"
        );
        feed.carries.trim();
        assert_eq!(feed.budget.used(Use::Carries), 0);
        assert_eq!(
            feed.lost.1,
            (parts - 256) * (len - 1),
            "counted while it goes on, as it stands in the file"
        );
        // The other stream is not concerned, and with its end the stream goes on.
        feed.take(b"garbage\n");
        feed.take(&good(input).repeat(2));
        assert_eq!(feed.messages()[1..], [&b"garbage"[..], b"good"], "the first good line is its end");
    }
}

#[test]
fn a_line_without_end_is_kept_to_its_limit_and_the_next_one_is_whole() {
    for input in ALL {
        let mut feed = Feed::new(input);
        let head = good(input).split(|byte| *byte == b'g').next().expect("a head");
        feed.take(head);
        let more = vec![b'x'; CHUNK];
        (0..400).for_each(|_| feed.take(&more));
        assert!(feed.rest.len() <= LIMITS.max_line);
        feed.take(&[b"\n", good(input)].concat());
        assert_eq!(feed.messages()[1..], [b"good"], "{input:?}");
        let line_bytes = head.len() + 400 * CHUNK;
        assert_eq!(feed.lost, ((line_bytes - LIMITS.max_line) as u64, 0));
        assert!(feed.said[0].2.contains(Flags::TRUNCATED));
    }
}

/// dockerd cuts after 16 KiB wherever that is; its encoder has made a rune that it cut U+FFFD before we see it.
#[test]
fn half_a_surrogate_pair_on_either_side_of_a_cut_is_replaced() {
    let line = |log: &str| {
        format!("{{\"log\":\"{log}\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}}\n")
    };
    let mut feed = Feed::new(Input::Auto);
    feed.take((line(r"a\ud83d") + &line(r"\ude00b\n")).as_bytes());
    assert_eq!(feed.messages(), ["a\u{fffd}\u{fffd}b".as_bytes()]);
    // Bytes that are no UTF-8, of whatever writer, are joined as they are.
    let [front, back] = [&[0xc3][..], &[0xa9]];
    let mut feed = Feed::new(Input::Fixed(Format::DockerJson));
    feed.take(&[&b"{\"log\":\""[..], front, &line("").as_bytes()[8..]].concat());
    feed.take(&[&b"{\"log\":\""[..], back, br"\n", &line("").as_bytes()[8..]].concat());
    assert_eq!(feed.messages(), ["é".as_bytes()]);
}

#[test]
fn what_only_looks_like_a_cri_line_is_delivered_as_it_is() {
    let mut feed = Feed::new(Input::Fixed(Format::Cri));
    let wrong = [
        "2026-01-02 03:04:05Z stdout F x",
        "2026-01-02t03:04:05z stdout F x",
        "2026-01-02T03:04:05,5Z stdout F x",
        "2026-01-02T03:04:05.Z stdout F x",
        "2026-01-02T03:04:05.1234567890Z stdout F x",
        "2026-02-30T03:04:05Z stdout F x",
        "2026-01-02T24:00:00Z stdout F x",
        "2026-01-02T03:04:05+0100 stdout F x",
        "2026-01-02T03:04:05Z stdin F x",
        "2026-01-02T03:04:05Z stdout X x",
        "2026-01-02T03:04:05Z stdout FP x",
        "2026-01-02T03:04:05Z  stdout F x",
        "2026-01-02T03:04:05Z\tstdout F x",
        " 2026-01-02T03:04:05Z stdout F x",
    ];
    feed.take((wrong.join("\n") + "\n").as_bytes());
    assert_eq!(feed.messages(), wrong.map(str::as_bytes));
    assert!(feed.said.iter().all(|(_, stream, flags)| *stream == Stream::None && *flags == Flags::MALFORMED));
    let mut feed = Feed::new(Input::Fixed(Format::Cri));
    feed.take(b"2026-01-02T03:04:05Z stdout F:x:y z\r\n2026-01-02T03:04:05Z stderr F \r\n");
    assert_eq!(feed.messages(), [&b"z\r"[..], b"\r"], "a carriage return is what the program printed");
}
