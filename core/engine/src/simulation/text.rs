//! What records say: each tells who wrote it, and nobody else writes the same.

use ringtail_record::Stream;

/// The text of a record: tells its container, stream and number; the rest follows from these.
pub(super) fn text(container: usize, stream: Stream, number: u64) -> String {
    let mixed = (number * 31 + container as u64 * 7 + stream.index() as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        >> 40;
    let len = match mixed % 64 {
        0 => 20_000,
        1..4 => 2_000,
        _ => mixed / 64 % 90,
    };
    // No two records have 256 bytes in common, by which the agent knows a file.
    let padding: String = format!("lorem \"ipsum\" <dolor>\\ s\u{ef}t\tamet {container}.{number}, ")
        .chars()
        .cycle()
        .take(usize::try_from(len).expect("small"))
        .collect();
    format!("{container}/{}/{number}/{padding}.", stream.name())
}

/// Which record a text is of.
pub(super) fn parse(text: &str) -> Option<(usize, Stream, u64)> {
    let mut parts = text.split('/');
    let container = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let stream = Stream::ALL.into_iter().find(|stream| stream.name() == name)?;
    Some((container, stream, parts.next()?.parse().ok()?))
}

/// A text as it stands between the quotes of a line of dockerd.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '<' => out.push_str("\\u003c"),
            char => out.push(char),
        }
    }
    out
}
