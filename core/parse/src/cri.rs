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

/// Whether a line that begins with `head` may still turn out to be a CRI line.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    head.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    })
}
