//! Bytes to lines as the model has them: what each line means, read in the plainest way.

use ringtail_parse::{Format, Limits};
use ringtail_record::Stream;

use super::docker;
use super::model::{File, Line};
use crate::time;

/// The lines of `text`.
pub(super) fn file(format: Format, text: &[u8], limits: Limits) -> File {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let ends = lines.last().is_none_or(|last| last.is_empty());
    if ends {
        lines.pop();
    }
    let behind_hole = |text: &[u8]| match Line::Garbage(text.to_vec()).holed(format, limits) {
        Line::Holed(nuls, _) => nuls,
        _ => 0,
    };
    let line = |text: &[u8]| match format {
        Format::Raw => None,
        Format::Cri => cri(text, limits.max_line),
        Format::DockerJson if text.len() > limits.max_line => docker::cut_line(text, limits.max_line),
        Format::DockerJson => docker::line(text),
    };
    let lines = lines.iter().map(|text| {
        let (hole, text) = text.split_at(behind_hole(text));
        let line = line(text).unwrap_or_else(|| Line::Garbage(text.to_vec()));
        if hole.is_empty() { line } else { Line::Holed(hole.len(), Box::new(line)) }
    });
    File { lines: lines.collect(), ends }
}

/// `<time> <stream> <tags> <content>`, where the last space may be missing at the end; of a long line, what is kept
/// of it is what counts.
fn cri(text: &[u8], max_line: usize) -> Option<Line> {
    let kept = &text[..text.len().min(max_line)];
    let words: Vec<&[u8]> = kept.splitn(4, |byte| *byte == b' ').collect();
    let [time, stream, tags, ..] = words[..] else { return None };
    let time_ns = time::naive(std::str::from_utf8(time).ok()?)?;
    let stream = match stream {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let whole = match tags.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    let content = words.get(3).map_or(kept.len(), |content| kept.len() - content.len());
    let (head, content) = text.split_at(content);
    let units = content.iter().map(|byte| (vec![*byte], vec![*byte])).collect();
    Some(Line::Message { head: head.to_vec(), units, tail: vec![], stream, time_ns, whole })
}
