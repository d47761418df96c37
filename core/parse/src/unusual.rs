//! Docker lines that dockerd itself does not write: whitespace, other keys, keys twice (the last one counts), nested
//! values. simd-json reads them, on a copy, since it rewrites its input even when it fails.
//!
//! Limit: [`LONGEST`] bytes a line. The tape takes up to 32 bytes for each of them, for as long as the line is read.

use ringtail_memory::{Carry, CarryPool, Exhausted};
use ringtail_record::Stream;
use simd_json::{Node, Tape};

use crate::docker::Message;
use crate::time::Timestamps;

/// Longer lines are malformed: Moby's own, never unusual, are below 100 KiB.
const LONGEST: usize = 128 << 10;

/// Decodes `line` in place: the message stands at its beginning then. Nothing, and `line` is unchanged, when it is
/// not a JSON object with a legal `time`, and with a `log` and a `stream`, where present, that are legal too.
#[cold]
pub(crate) fn decode(
    line: &mut [u8],
    clock: &mut Timestamps,
    carries: &CarryPool,
) -> Result<Option<Message>, Exhausted> {
    let Some(mut copy) = copy(line, carries)? else { return Ok(None) };
    let Ok(tape) = simd_json::to_tape(&mut copy) else { return Ok(None) };
    let Some((log, stream, time_ns)) = read(&tape, clock) else { return Ok(None) };
    let text = log.strip_suffix('\n');
    let whole = text.is_some();
    let text = text.unwrap_or(log).as_bytes();
    line[..text.len()].copy_from_slice(text);
    Ok(Some(Message { time_ns, stream, whole, off: 0, len: text.len() }))
}

/// As [`decode`], but changes nothing.
#[cold]
pub(crate) fn stream_and_time(
    line: &[u8],
    clock: &mut Timestamps,
    carries: &CarryPool,
) -> Result<Option<(Stream, i64)>, Exhausted> {
    let Some(mut copy) = copy(line, carries)? else { return Ok(None) };
    let Ok(tape) = simd_json::to_tape(&mut copy) else { return Ok(None) };
    Ok(read(&tape, clock).map(|(_, stream, time_ns)| (stream, time_ns)))
}

fn copy(line: &[u8], carries: &CarryPool) -> Result<Option<Carry>, Exhausted> {
    if line.first() != Some(&b'{') || line.len() > LONGEST {
        return Ok(None);
    }
    let mut copy = carries.take(line.len())?;
    copy.push(line)?;
    Ok(Some(copy))
}

fn read<'a>(tape: &Tape<'a>, clock: &mut Timestamps) -> Option<(&'a str, Stream, i64)> {
    let (Node::Object { len, .. }, mut nodes) = tape.0.split_first()? else { return None };
    let (mut log, mut stream, mut time_ns) = ("", Stream::None, None);
    for _ in 0..*len {
        let [Node::String(key), value, ..] = nodes else { return None };
        match *key {
            "log" => log = text(value)?,
            "stream" => stream = named(text(value)?)?,
            "time" => time_ns = Some(whole_time(text(value)?, clock)?),
            _ => {}
        }
        nodes = nodes.get(1 + size(value)..)?;
    }
    Some((log, stream, time_ns?))
}

/// How many nodes `value` and all it holds take.
fn size(value: &Node<'_>) -> usize {
    match value {
        Node::Object { count, .. } | Node::Array { count, .. } => 1 + count,
        Node::String(_) | Node::Static(_) => 1,
    }
}

fn text<'a>(value: &Node<'a>) -> Option<&'a str> {
    if let Node::String(text) = value { Some(text) } else { None }
}

fn named(stream: &str) -> Option<Stream> {
    Stream::ALL.into_iter().find(|known| known.name() == stream)
}

fn whole_time(text: &str, clock: &mut Timestamps) -> Option<i64> {
    let (time_ns, len) = clock.read(text.as_bytes())?;
    (len == text.len()).then_some(time_ns)
}
