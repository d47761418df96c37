//! What a file contains, as far as it tells who it is: the scanner's reads.

use std::io;
use std::sync::Arc;

use flate2::Crc;
use ringtail_io::File;

use crate::gz::Inflate;
use crate::identity::{HEAD_BYTES, Head, TAIL_BYTES, Tail};

/// Bytes of a compressed file that are read at once.
const PIECE: usize = 64 << 10;

/// Bytes of a [`Trailer`].
const TRAILER_BYTES: usize = 8;

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
        let (mut inflate, mut source) = (Inflate::new(offset), Source::new(self));
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

    pub(crate) fn is_gz(&self) -> bool {
        self.gz
    }

    /// How long the contents are, where they are not compressed.
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.stat()?.size)
    }

    /// The checksum that a `.gz` of the first `len` bytes ends with; none where there are fewer. Costs a tenth of inflating.
    pub(crate) fn checksum(&self, len: u64) -> io::Result<Option<u32>> {
        let (mut crc, mut piece, mut at) = (Crc::new(), vec![0; PIECE], 0);
        while at < len {
            let room = usize::try_from(len - at).unwrap_or(PIECE).min(PIECE);
            match read_at(&self.file, &mut piece[..room], at)? {
                0 => return Ok(None),
                count => {
                    crc.update(&piece[..count]);
                    at += count as u64;
                }
            }
        }
        Ok(Some(crc.sum()))
    }

    /// The last bytes of a `.gz`: checksum and length (modulo 2^32) of the contents of its last member. They tell of all
    /// the contents where there is one member and nothing behind it, as compressors of logs write; of a file that is
    /// still being written they are any bytes.
    pub(crate) fn trailer(&self) -> io::Result<Option<Trailer>> {
        let Some(at) = self.file.stat()?.size.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
        let mut bytes = [0; TRAILER_BYTES];
        if read_at(&self.file, &mut bytes, at)? < TRAILER_BYTES {
            return Ok(None);
        }
        let [a, b, c, d, e, f, g, h] = bytes;
        Ok(Some(Trailer {
            checksum: u32::from_le_bytes([a, b, c, d]),
            len: u32::from_le_bytes([e, f, g, h]),
        }))
    }
}

/// The end of a `.gz` member (RFC 1952, 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) checksum: u32,
    /// Modulo 2^32.
    pub(crate) len: u32,
}

impl Trailer {
    /// Whether contents of `len` bytes may end like this.
    pub(crate) fn fits(self, len: u64) -> bool {
        u64::from(self.len) == len % (1 << 32)
    }
}

/// Whether an error says that a `.gz` is damaged: it will never say anything else.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
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
pub(crate) struct Source<'a> {
    file: &'a File,
    at: u64,
    piece: Vec<u8>,
    used: usize,
}

impl<'a> Source<'a> {
    /// From the first byte on.
    pub(crate) fn new(content: &'a Content) -> Self {
        Source { file: &content.file, at: 0, piece: Vec::new(), used: 0 }
    }

    /// Inflates into `out`: bytes produced, 0 at the end of the file.
    pub(crate) fn inflate(&mut self, inflate: &mut Inflate, out: &mut [u8]) -> io::Result<usize> {
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
