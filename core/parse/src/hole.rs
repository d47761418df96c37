//! Holes and blank lines: what stands in a log file that nobody printed.
//!
//! After a power cut a file may hold NUL bytes where its last blocks were not written yet, and a writer that does not
//! append leaves them before its next line when its file is truncated: megabytes, with a good line right behind them. So
//! NUL bytes at the beginning of a line are skipped, and what follows them is read. In a CRI or docker file any number of
//! them, since no line begins so; in a raw file, where they may be meant, a run of [`RAW_HOLE`] or more.
//!
//! Never here: NUL bytes inside a line. They are part of it.

use crate::format::Format;
use crate::pass::Pass;

/// A page of memory: what the kernel leaves unwritten is seldom less.
const RAW_HOLE: usize = 4096;

impl Pass<'_> {
    /// Where the hole ends in which the chunk before ended.
    pub(crate) fn end_of_hole(&mut self, begin: usize) -> usize {
        if !self.decoder.in_hole {
            return begin;
        }
        let end = begin + nuls(&self.chunk[begin..]);
        self.decoder.in_hole = end == self.chunk.len();
        end
    }

    /// Where the line `begin..end` begins behind the hole in front of it, which is counted.
    #[inline]
    pub(crate) fn skip_hole(&mut self, begin: usize, end: usize) -> usize {
        let least = self.least_hole();
        if end - begin < least || self.chunk[begin] != 0 {
            return begin;
        }
        self.skip_long_hole(begin, end, least)
    }

    #[cold]
    fn skip_long_hole(&mut self, begin: usize, end: usize, least: usize) -> usize {
        let len = nuls(&self.chunk[begin..end]);
        if len < least {
            return begin;
        }
        self.table.malformed_lines += 1;
        begin + len
    }

    /// As [`Pass::skip_hole`], for the line at the end of the chunk, where the hole may go on.
    pub(crate) fn skip_last_hole(&mut self, begin: usize) -> usize {
        let end = self.skip_hole(begin, self.chunk.len());
        if end > begin {
            self.decoder.in_hole = end == self.chunk.len();
        }
        end
    }

    /// Whether the line `begin..end` of a CRI or docker file has nothing in it: it is counted as malformed then, but no
    /// record is made of it.
    pub(crate) fn skip_blank(&mut self, begin: usize, end: usize) -> bool {
        let is_blank = self.chunk[begin..end].trim_ascii().is_empty();
        self.table.malformed_lines += u64::from(is_blank);
        is_blank
    }

    /// How many NUL bytes before a line are a hole, so that they are skipped before its end is seen.
    pub(crate) fn least_hole(&self) -> usize {
        match self.decoder.format {
            Some(Format::Cri | Format::DockerJson) => 1,
            // A line is cut before so many are seen.
            _ if self.decoder.limits.max_line < RAW_HOLE => usize::MAX,
            Some(Format::Raw) | None => RAW_HOLE,
        }
    }
}

/// How many NUL bytes `text` begins with.
pub(crate) fn nuls(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte != 0).unwrap_or(text.len())
}
