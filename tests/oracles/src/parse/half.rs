//! Half lines: what stands at the end of a file without a newline, and may be the beginning of a line of its format.

use ringtail_parse::Format;

/// Whether `text` is the beginning of some line of `format`.
pub(super) fn is_half(format: Format, text: &[u8]) -> bool {
    match format {
        Format::Raw => false,
        Format::Cri => {
            headers().any(|header| text.iter().zip(header).all(|(byte, shape)| fits(*byte, shape)))
        }
        Format::DockerJson => text.first().is_none_or(|byte| *byte == b'{'),
    }
}

/// Every shape that a header may have, up to what ends its first tag; `0` stands for any digit.
fn headers() -> impl Iterator<Item = Vec<u8>> {
    let fractions = (0..=9).map(|digits| format!(".{}", "0".repeat(digits))).chain([String::new()]);
    let zones = |time: String| ["Z", "+00:00", "-00:00"].map(|zone| format!("{time}{zone}"));
    let streams = |time: String| [" stdout ", " stderr "].map(|stream| format!("{time}{stream}"));
    let tags = |head: String| ["F ", "F:", "P ", "P:"].map(|tag| format!("{head}{tag}").into_bytes());
    let times = fractions.map(|fraction| format!("0000-00-00T00:00:00{fraction}"));
    times.flat_map(zones).flat_map(streams).flat_map(tags)
}

fn fits(byte: u8, shape: u8) -> bool {
    if shape == b'0' { byte.is_ascii_digit() } else { byte == shape }
}
