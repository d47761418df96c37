//! A caller of the decoder as the engine is one, and what it got.
#![allow(clippy::cast_possible_truncation, reason = "the files are small")]

use ringtail_memory::{Budget, Carry, CarryPool};
use ringtail_parse::{Decoder, Input, Limits, LineEnd, Table};
use ringtail_record::{Position, Stream};

/// What a raw or malformed line gets as its time.
pub const NOW_NS: i64 = 77;

/// One delivered record.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// Its stream.
    pub stream: Stream,
    /// What is not whole, as bits.
    pub flags: u8,
    /// The message.
    pub message: Vec<u8>,
    /// Where its last line ends.
    pub end: Position,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Row { time_ns, stream, flags, message, end } = self;
        write!(f, "{time_ns} {stream:?} {flags:03b} {}@{} ", end.generation, end.offset)?;
        write!(f, "\"{}\"", message.escape_ascii())
    }
}

/// All that was delivered and counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Got {
    /// In the order of delivery.
    pub rows: Vec<Row>,
    /// Counted as the table counts them.
    pub malformed_lines: u64,
    /// Cut off by `max_line`.
    pub lost_line_bytes: u64,
    /// Cut off by `max_record`.
    pub lost_record_bytes: u64,
    /// Of a line that its file ends in the middle of.
    pub torn_line_bytes: u64,
}

impl Got {
    /// Takes what `table` holds, but what a stream had before: `done` says how far each has come.
    fn take(&mut self, table: &mut Table, chunk: &[u8], generation: u32, done: &mut [Position; 3]) {
        for record in &table.records {
            let end = Position { generation, offset: record.end };
            let message = table.message(record, chunk).to_vec();
            let row = Row {
                time_ns: record.time_ns,
                stream: record.stream,
                flags: record.flags.bits(),
                message,
                end,
            };
            if end > done[record.stream.index()] {
                done[record.stream.index()] = end;
                self.rows.push(row);
            }
        }
        self.malformed_lines += table.malformed_lines;
        self.lost_line_bytes += table.lost_line_bytes;
        self.lost_record_bytes += table.lost_record_bytes;
        self.torn_line_bytes += table.torn_line_bytes;
        table.clear();
    }
}

/// Reads the files of one lineage through a decoder.
pub struct Reader<'a> {
    /// The files of the lineage, each a generation.
    pub files: &'a [Vec<u8>],
    /// What is tested.
    pub decoder: Decoder,
    /// What came out so far.
    pub got: Got,
    /// How often the reader had to go back for want of a carry.
    pub went_back: usize,
    table: Table,
    max_line: usize,
    /// How far each stream has come.
    done: [Position; 3],
}

impl<'a> Reader<'a> {
    /// Begins `files`.
    pub fn new(files: &'a [Vec<u8>], input: Input, limits: Limits, carries: CarryPool) -> Self {
        Reader {
            files,
            decoder: Decoder::new(input, limits, carries),
            got: Got::default(),
            went_back: 0,
            table: Table::default(),
            max_line: limits.max_line,
            done: [Position::default(); 3],
        }
    }

    /// Reads everything, the pieces being as long as `pieces` says in turn, and flushes at the end.
    /// `before` is called before each piece.
    pub fn read(
        mut self,
        mut pieces: impl Iterator<Item = usize>,
        mut before: impl FnMut(&mut Self),
    ) -> Self {
        let mut at = Position::default();
        while let Some(file) = self.files.get(at.generation as usize) {
            // `at` is where undecoded bytes begin, `to` is how far they were read.
            let mut to = at.offset as usize;
            loop {
                before(&mut self);
                to = (to + pieces.next().expect("endless").max(1)).min(file.len());
                let mut chunk = file[at.offset as usize..to].to_vec();
                let Ok(consumed) = self.decoder.decode(&mut chunk, at, NOW_NS, &mut self.table) else {
                    at = self.go_back(at, &chunk);
                    break;
                };
                let rest = &chunk[consumed..];
                assert!(rest.len() <= self.max_line, "a rest of {} bytes", rest.len());
                assert!(!rest.contains(&b'\n'), "a whole line was left");
                assert_eq!(rest, &file[at.offset as usize + consumed..to], "the rest was changed");
                self.got.take(&mut self.table, &chunk, at.generation, &mut self.done);
                at.offset += consumed as u64;
                if to == file.len() {
                    at = self.end_of_file(at);
                    break;
                }
            }
        }
        for stream in Stream::ALL {
            if let Some(end) = self.decoder.flush_partial(stream, &mut self.table) {
                self.got.take(&mut self.table, &[], end.generation, &mut self.done);
            }
            assert_eq!(self.decoder.open_since(stream), None);
        }
        self
    }

    fn end_of_file(&mut self, at: Position) -> Position {
        let mut rest = self.files[at.generation as usize][at.offset as usize..].to_vec();
        match self.decoder.flush_line(&mut rest, at, NOW_NS, &mut self.table, LineEnd::EndOfFile) {
            Ok(consumed) => {
                assert_eq!(consumed, rest.len());
                self.got.take(&mut self.table, &rest, at.generation, &mut self.done);
                Position { generation: at.generation + 1, offset: 0 }
            }
            Err(_) => self.go_back(at, &rest),
        }
    }

    fn go_back(&mut self, at: Position, chunk: &[u8]) -> Position {
        self.went_back += 1;
        self.got.take(&mut self.table, chunk, at.generation, &mut self.done);
        let back = self.decoder.forget().expect("a place to go back to");
        assert_eq!(self.decoder.forget(), None);
        back
    }
}

/// Carries without a limit that matters.
pub fn many_carries() -> CarryPool {
    CarryPool::new(&Budget::new(1 << 30))
}

/// Holds every byte that `carries` may give.
pub fn hog(carries: &CarryPool) -> Vec<Carry> {
    carries.trim();
    std::iter::from_fn(|| carries.take(1).ok()).collect()
}
