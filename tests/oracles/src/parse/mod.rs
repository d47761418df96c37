//! Lines: what must be delivered for the files of one lineage, and a caller of the decoder as the engine is one.

mod docker;
mod half;
mod lines;
mod model;
mod reader;

pub use model::{File, Line, expected};
pub use reader::{Got, NOW_NS, Reader, Row, hog, many_carries};

use ringtail_memory::{Budget, CarryPool};
use ringtail_parse::{Format, Input, Limits};

use crate::choices::Choices;

/// Ends a file in a fuzzer's text: the rest is the next file of the lineage.
const END_OF_FILE: u8 = 0x1c;

/// Reads `files` in `pieces`, over and over in turn, and compares with the oracle.
///
/// # Panics
/// Where they differ.
pub fn check(format: Format, files: &[File], limits: Limits, pieces: &[usize]) {
    let texts = texts(files);
    let reader = Reader::new(&texts, Input::Fixed(format), limits, many_carries());
    let reader = reader.read(pieces.iter().copied().cycle(), |_| ());
    assert_eq!(reader.got, expected(format, files, limits));
    assert_eq!(reader.went_back, 0);
}

/// The same with carries that are all taken away whenever `hogged` says so: the reader goes back, and nothing is lost or
/// repeated.
///
/// # Panics
/// Where that is not so.
pub fn check_short_of_carries(
    format: Format,
    files: &[File],
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

/// What is delivered when `files` are read in `pieces`, over and over in turn.
pub fn read(files: &[Vec<u8>], input: Input, limits: Limits, pieces: &[usize]) -> Got {
    let reader = Reader::new(files, input, limits, many_carries());
    reader.read(pieces.iter().copied().cycle(), |_| ()).got
}

/// Where chunks end makes no difference.
///
/// # Panics
/// Where it does.
pub fn check_chunks(files: &[Vec<u8>], input: Input, limits: Limits, pieces: &[usize]) {
    let whole = read(files, input, limits, &[usize::MAX / 2]);
    assert_eq!(read(files, input, limits, pieces), whole);
}

fn texts(files: &[File]) -> Vec<Vec<u8>> {
    files.iter().map(File::text).collect()
}

/// The text has lines, and nothing else: every border between two chunks, against the standard library's `split`.
pub fn split(data: &[u8]) {
    let expected: Vec<(Vec<u8>, u64)> = data
        .split_inclusive(|byte| *byte == b'\n')
        .scan(0, |end, line| {
            *end += line.len() as u64;
            let text = line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            Some((text.unwrap_or(line).to_vec(), *end))
        })
        .collect();
    let files = [data.to_vec()];
    let limits = Limits { max_line: 1 << 20, max_record: 1 << 20 };
    for border in 1..=data.len().clamp(1, 300) {
        let got = read(&files, Input::Fixed(Format::Raw), limits, &[border, data.len().max(1)]);
        let rows: Vec<_> = got.rows.into_iter().map(|row| (row.message, row.end.offset)).collect();
        assert_eq!(rows, expected, "border at {border}");
    }
}

/// Raw lines within limits.
pub fn raw(data: &[u8]) {
    fixed(Format::Raw, data);
}

/// CRI lines within limits.
pub fn cri(data: &[u8]) {
    fixed(Format::Cri, data);
}

/// dockerd's json-file lines within limits.
pub fn docker(data: &[u8]) {
    fixed(Format::DockerJson, data);
}

fn fixed(format: Format, data: &[u8]) {
    let Case { limits, pieces, hogged, texts } = Case::of(data);
    let files: Vec<File> = texts.iter().map(|text| lines::file(format, text, limits)).collect();
    check(format, &files, limits, &pieces);
    if hogged.contains(&true) {
        check_short_of_carries(format, &files, limits, &pieces, &hogged);
    }
}

/// Any bytes in a format that is to be found.
pub fn auto(data: &[u8]) {
    let Case { limits, pieces, texts, .. } = Case::of(data);
    check_chunks(&texts, Input::Auto, limits, &pieces);
}

struct Case {
    limits: Limits,
    pieces: [usize; 2],
    hogged: [bool; 8],
    texts: Vec<Vec<u8>>,
}

impl Case {
    fn of(data: &[u8]) -> Case {
        let mut choices = Choices(data);
        let limits = Limits { max_line: choices.limit(), max_record: choices.limit() };
        let pieces = [choices.length(), choices.length()];
        let hogged = choices.byte();
        let hogged = std::array::from_fn(|bit| hogged >> bit & 1 == 1);
        let texts = choices.rest().split(|byte| *byte == END_OF_FILE).map(<[u8]>::to_vec).collect();
        Case { limits, pieces, hogged, texts }
    }
}
