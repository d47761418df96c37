//! Golden files: lines as containerd, CRI-O, dockerd and others write them, and what becomes of them.
//!
//! `<name>.expected` holds a record a line: end, time in nanoseconds, stream, flags, message. Each file is also read
//! with its chunk ending at every byte, and in pieces of every small size: nothing may change.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ringtail_oracles::parse::{Got, NOW_NS, Reader, many_carries};
use ringtail_parse::{Format, Input, Limits};
use ringtail_record::Flags;

const LIMITS: Limits = Limits { max_line: 1 << 20, max_record: 1 << 20 };

fn read(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(got: &Got) -> String {
    let mut text = String::new();
    for row in &got.rows {
        let time = if row.time_ns == NOW_NS { "now".to_owned() } else { row.time_ns.to_string() };
        let flags: Vec<_> = Flags::NAMES
            .iter()
            .filter(|(flag, _)| row.flags & flag.bits() != 0)
            .map(|(_, name)| *name)
            .collect();
        let stream = if row.stream.name().is_empty() { "-" } else { row.stream.name() };
        let message = row.message.escape_ascii();
        writeln!(text, "{} {time} {stream} [{}] \"{message}\"", row.end.offset, flags.join(" "))
            .expect("a string");
    }
    writeln!(
        text,
        "malformed {}, lost {} and {}",
        got.malformed_lines, got.lost_line_bytes, got.lost_record_bytes
    )
    .expect("a string");
    text
}

/// The last line of these files is flushed as the end of the file.
fn check(name: &str, format: Format) {
    let files = [read(&format!("{name}.log"))];
    let expected = String::from_utf8(read(&format!("{name}.expected"))).expect("text");
    let reader = |pieces: &[usize]| {
        let reader = Reader::new(&files, Input::Auto, LIMITS, many_carries());
        reader.read(pieces.iter().copied().chain(std::iter::repeat(1 << 20)), |_| ())
    };
    let whole = reader(&[]);
    assert_eq!(shown(&whole.got), expected, "{name} has changed");
    assert_eq!(whole.decoder.format(), Some(format));
    for border in 1..files[0].len() {
        assert_eq!(reader(&[border]).got, whole.got, "with a border at {border}");
    }
    for size in 1..200 {
        assert_eq!(reader(&vec![size; files[0].len() / size + 1]).got, whole.got, "in pieces of {size}");
    }
}

#[test]
fn containerd() {
    check("cri-containerd", Format::Cri);
}

#[test]
fn crio() {
    check("cri-crio", Format::Cri);
}

#[test]
fn dockerd() {
    check("docker-json", Format::DockerJson);
}

#[test]
fn raw() {
    check("raw", Format::Raw);
}
