//! The bare loops: what the same work costs with nothing around it. No error is handled, no case but the usual one
//! known, nothing kept: they are what the stages are held against, not a way to do it.

use memchr::memchr_iter;
use simd_json::{Buffers, Node, Tape};

/// Calls `work` with each whole line of `chunk`, without its newline; how much of `chunk` they take.
#[inline]
pub fn lines<'a>(chunk: &'a [u8], mut work: impl FnMut(&'a [u8])) -> usize {
    let mut begin = 0;
    for end in memchr_iter(b'\n', chunk) {
        work(&chunk[begin..end]);
        begin = end + 1;
    }
    begin
}

/// A CRI header: nanoseconds since the minute, whether it is standard error, whether a part, and the content.
#[inline]
pub fn cri_header(line: &[u8]) -> (u64, bool, bool, &[u8]) {
    // "2026-01-02T03:04:05.123456789Z stdout F "
    let header = line.first_chunk::<40>().expect("the usual header");
    let digit = |at: usize| u64::from(header[at] & 15);
    let second = digit(17) * 10 + digit(18);
    let nanos = (20..29).fold(0, |nanos, at| nanos * 10 + digit(at));
    (second * 1_000_000_000 + nanos, header[34] == b'e', header[38] == b'P', &line[40..])
}

/// Reads docker json lines with simd-json's tape: the whole line, validated, all strings unescaped.
#[derive(Default)]
pub struct DockerTape {
    buffers: Buffers,
    tape: Vec<Node<'static>>,
}

impl DockerTape {
    /// Gives the `log` of `line` to `work`, its last newline included.
    #[inline]
    pub fn log(&mut self, line: &mut [u8], work: impl FnOnce(&str)) {
        let mut tape = Tape(std::mem::take(&mut self.tape)).reset();
        simd_json::fill_tape(line, &mut self.buffers, &mut tape).expect("valid JSON");
        let Node::String(log) = tape.0[2] else { panic!("log is the first key") };
        work(log);
        self.tape = tape.reset().0;
    }
}
