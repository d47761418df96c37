//! The CRI log line: `<RFC3339Nano> SP <stdout|stderr> SP <tags> SP <content>`.
//!
//! Source: kubelet's `parseCRILog` and the writers in containerd (`internal/cri/io/logger.go`) and conmon
//! (`ctr_logging.c`). Tags are split at `:`; the first is `P` (a part) or `F` (the end of a record), what follows is
//! ignored, as kubelet does to stay forward compatible. Writers put the last space also before empty content; a line
//! that ends with its tags is taken as empty content too.

use ringtail_record::Stream;

use crate::time::Timestamps;

/// What stands before the content.
pub(crate) struct Header {
    pub(crate) time_ns: i64,
    pub(crate) stream: Stream,
    /// Whether the record ends with this line.
    pub(crate) whole: bool,
    /// Where the content begins.
    pub(crate) len: usize,
}

/// The header of a line that begins at `text[0]`, if all of it, with the space before the content, is there. Does not
/// look for the line's end: a header holds no newline.
#[inline(always)]
pub(crate) fn header_before_content(clock: &mut Timestamps, text: &[u8]) -> Option<Header> {
    let (time_ns, at) = clock.read(text)?;
    let (words, rest) = text.get(at..)?.split_first_chunk::<8>()?;
    let stream = stream(words)?;
    let whole = match rest.first()? {
        b'F' => true,
        b'P' => false,
        _ => return None,
    };
    let tags_len = if *rest.get(1)? == b' ' { 1 } else { tags_len(rest)? };
    Some(Header { time_ns, stream, whole, len: at + 8 + tags_len + 1 })
}

/// The header of `line`, which ends where the line ends.
pub(crate) fn header(clock: &mut Timestamps, line: &[u8]) -> Option<Header> {
    header_before_content(clock, line).or_else(|| header_without_content(clock, line))
}

/// Compared as a whole: a `match` compares byte by byte.
#[inline]
fn stream(words: &[u8; 8]) -> Option<Stream> {
    if words == b" stdout " {
        Some(Stream::Stdout)
    } else if words == b" stderr " {
        Some(Stream::Stderr)
    } else {
        None
    }
}

/// How many bytes the tags take that `text` begins with, more than one of them.
#[cold]
fn tags_len(text: &[u8]) -> Option<usize> {
    let len = text.iter().position(|byte| matches!(byte, b' ' | b'\n')).filter(|at| text[*at] == b' ')?;
    (text[1] == b':').then_some(len)
}

/// The header of a line that ends with its tags.
#[cold]
fn header_without_content(clock: &mut Timestamps, line: &[u8]) -> Option<Header> {
    let (time_ns, at) = clock.read(line)?;
    let (words, tags) = line.get(at..)?.split_first_chunk::<8>()?;
    let stream = stream(words)?;
    let legal = matches!(tags, [b'F' | b'P'] | [b'F' | b'P', b':', ..]) && !tags.contains(&b' ');
    legal.then(|| Header { time_ns, stream, whole: tags[0] == b'F', len: line.len() })
}

/// Whether a line that begins with `head` is a CRI line as far as that shows. Of the time only the shape is looked at.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let Some((time, rest)) = head.split_at_checked(SHAPE.len()) else { return has_shape(head, SHAPE) };
    has_shape(time, SHAPE) && zone_may_begin(skip_fraction(rest))
}

/// Whether `text` is of the shape that `shape` begins with: a digit where that has one, the same byte elsewhere.
fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    text.iter().zip(shape).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    })
}

/// `text` without the fraction of a second that it may begin with.
fn skip_fraction(text: &[u8]) -> &[u8] {
    let Some(digits) = text.strip_prefix(b".") else { return text };
    let len = digits.iter().take(9).take_while(|byte| byte.is_ascii_digit()).count();
    &digits[len..]
}

fn zone_may_begin(text: &[u8]) -> bool {
    const OFFSET: &[u8] = b"00:00";
    match text.split_first() {
        None => true,
        Some((b'Z', rest)) => words_may_begin(rest),
        Some((b'+' | b'-', rest)) => match rest.split_at_checked(OFFSET.len()) {
            None => has_shape(rest, OFFSET),
            Some((offset, rest)) => has_shape(offset, OFFSET) && words_may_begin(rest),
        },
        Some(_) => false,
    }
}

/// The same of stream and tags.
fn words_may_begin(text: &[u8]) -> bool {
    let Some((words, tags)) = text.split_first_chunk::<8>() else {
        return b" stdout ".starts_with(text) || b" stderr ".starts_with(text);
    };
    stream(words).is_some() && matches!(tags, [] | [b'F' | b'P'] | [b'F' | b'P', b' ' | b':', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_of_a_line_may_begin_one_and_what_breaks_it_ends_that() {
        let lines = [
            "2026-01-02T03:04:05Z stdout F ",
            "2026-01-02T03:04:05.1Z stderr P ",
            "2026-01-02T03:04:05.123456789+01:30 stdout F:x:y ",
        ];
        for line in lines.map(str::as_bytes) {
            assert!(header(&mut Timestamps::new(), line).is_some());
            for len in 0..=line.len() {
                assert!(may_begin(&line[..len]), "{}", line[..len].escape_ascii());
            }
            for at in 0..line.iter().position(|byte| b"FP".contains(byte)).expect("a tag") + 1 {
                let mut broken = line.to_vec();
                broken[at] = b'#';
                assert!(!may_begin(&broken), "{}", broken.escape_ascii());
                assert!(may_begin(&broken[..at]));
            }
        }
        assert!(!may_begin(b"2026-01-02T03:04:05Z INFO started"));
        assert!(!may_begin(b"2026-01-02 03:04:05"));
    }
}
