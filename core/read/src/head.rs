//! What a file contains, as far as it tells who it is: the scanner's reads.

use std::io;
use std::sync::Arc;

use ringtail_io::File;

use crate::gz::Inflate;
use crate::identity::{HEAD_BYTES, Head, TAIL_BYTES, Tail};

/// Bytes of a compressed file that are read at once.
const PIECE: usize = 64 << 10;

/// A file's uncompressed contents, read at places. Reading a `.gz` inflates it from its beginning.
pub struct Content {
    file: Arc<File>,
    gz: bool,
}

impl Content {
    /// The contents of `file`.
    pub fn new(file: Arc<File>, gz: bool) -> Self {
        Content { file, gz }
    }

    /// Up to `len` bytes from `offset` on; less at the end of the contents, or of what an unfinished `.gz` has so far. A
    /// damaged one is `InvalidData`.
    pub fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut inflate = Inflate::new(offset);
        let mut source = Source { file: &self.file, at: 0, piece: Vec::new(), used: 0 };
        let mut filled = 0;
        while filled < len {
            let count = match self.gz {
                true => source.inflate(&mut inflate, &mut bytes[filled..])?,
                false => read_at(&self.file, &mut bytes[filled..], offset + filled as u64)?,
            };
            if count == 0 {
                break;
            }
            filled += count;
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// The first bytes, [`HEAD_BYTES`] at most.
    pub fn head(&self) -> io::Result<Vec<u8>> {
        self.read(0, HEAD_BYTES)
    }

    /// Whether the contents reach to `len`. Asks the file, where it is not compressed; a truncation shows.
    pub fn reaches(&self, len: u64) -> io::Result<bool> {
        match (len.checked_sub(1), self.gz) {
            (None, _) => Ok(true),
            (Some(last), true) => Ok(!self.read(last, 1)?.is_empty()),
            (Some(_), false) => Ok(self.file.stat()?.size >= len),
        }
    }

    /// Whether the contents have this tail. An empty tail says nothing, so that they have it.
    pub fn has(&self, tail: Tail) -> io::Result<bool> {
        let Some(start) = tail.start() else { return Ok(false) };
        let len = usize::try_from(tail.len).unwrap_or(TAIL_BYTES);
        Ok(len == 0 || Tail::new(tail.end, &self.read(start, len)?) == tail)
    }

    /// The tail at `end`; shorter at the beginning.
    pub fn tail(&self, end: u64) -> io::Result<Tail> {
        let start = end.saturating_sub(TAIL_BYTES as u64);
        let len = usize::try_from(end - start).unwrap_or(TAIL_BYTES);
        Ok(Tail::new(end, &self.read(start, len)?))
    }

    /// Where the contents of a `.gz` end, and whether that is its end or only as far as it was written. Inflates all
    /// of it, up to `limit` bytes.
    pub(crate) fn inflated_len(&self, limit: u64) -> io::Result<(u64, bool)> {
        let mut inflate = Inflate::new(u64::MAX);
        let mut source = Source { file: &self.file, at: 0, piece: Vec::new(), used: 0 };
        let mut out = vec![0; PIECE];
        while inflate.position() < limit && source.advance(&mut inflate, &mut out)? {}
        Ok((inflate.position(), inflate.is_complete()))
    }
}

/// The head of an open file.
pub fn head_of(file: &Arc<File>, gz: bool) -> io::Result<Head> {
    Ok(Head::new(&Content::new(file.clone(), gz).head()?))
}

/// The tail at `end` of an open file, in its uncompressed contents.
pub fn tail_of(file: &Arc<File>, gz: bool, end: u64) -> io::Result<Tail> {
    Content::new(file.clone(), gz).tail(end)
}

/// The compressed bytes of a file, in pieces.
struct Source<'a> {
    file: &'a File,
    at: u64,
    piece: Vec<u8>,
    used: usize,
}

impl Source<'_> {
    /// Inflates into `out`: bytes produced, 0 at the end of the file.
    fn inflate(&mut self, inflate: &mut Inflate, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.used == self.piece.len() && !self.refill()? {
                return self.drain(inflate, out);
            }
            let done = inflate.inflate(&self.piece[self.used..], out).map_err(damaged)?;
            self.used += done.consumed;
            if done.produced > 0 {
                return Ok(done.produced);
            }
        }
    }

    /// What the inflater still holds when the file is at its end.
    fn drain(&mut self, inflate: &mut Inflate, out: &mut [u8]) -> io::Result<usize> {
        Ok(inflate.inflate(&[], out).map_err(damaged)?.produced)
    }

    /// Inflates something, to be skipped; whether the file went on.
    fn advance(&mut self, inflate: &mut Inflate, out: &mut [u8]) -> io::Result<bool> {
        if self.used == self.piece.len() && !self.refill()? {
            return Ok(false);
        }
        self.used += inflate.inflate(&self.piece[self.used..], out).map_err(damaged)?.consumed;
        Ok(true)
    }

    fn refill(&mut self) -> io::Result<bool> {
        self.piece.resize(PIECE, 0);
        let count = read_at(self.file, &mut self.piece, self.at)?;
        self.piece.truncate(count);
        self.used = 0;
        self.at += count as u64;
        Ok(count > 0)
    }
}

fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buf, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn damaged(error: crate::gz::InflateError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
