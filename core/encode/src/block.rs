//! The block between encoding and compression: what is encoded stays in the processor's cache until it is
//! compressed, and a batch never exists encoded as a whole.

use crate::compression::Compressor;

/// The size of a block in bytes. A block is passed on when what comes next might not fit.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

/// A block, and where it goes when it is full.
pub(crate) struct BlockWriter<'a> {
    block: &'a mut [u8],
    len: usize,
    passed_on: u64,
    compressor: &'a mut Compressor,
    out: &'a mut Vec<u8>,
}

impl<'a> BlockWriter<'a> {
    /// Writes through `block`, which has [`BLOCK_BYTES`], and `compressor` to the end of `out`.
    pub(crate) fn new(block: &'a mut [u8], compressor: &'a mut Compressor, out: &'a mut Vec<u8>) -> Self {
        BlockWriter { block, len: 0, passed_on: 0, compressor, out }
    }

    /// Room for at least `len` bytes, far less than a block; [`BlockWriter::advance`] says how many were used.
    #[inline]
    pub(crate) fn room(&mut self, len: usize) -> &mut [u8] {
        if self.block.len() - self.len < len {
            self.pass_on();
        }
        &mut self.block[self.len..]
    }

    #[inline]
    pub(crate) fn advance(&mut self, len: usize) {
        self.len += len;
    }

    /// Writes `bytes`, of any length.
    #[inline]
    pub(crate) fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room(1);
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.advance(now.len());
            bytes = later;
        }
    }

    /// Passes on what is left and ends the frame. Nothing written, no frame. The sum of the bytes written.
    pub(crate) fn finish(mut self) -> u64 {
        self.pass_on();
        if self.passed_on > 0 {
            self.compressor.finish(self.out);
        }
        self.passed_on
    }

    #[cold]
    fn pass_on(&mut self) {
        if self.len > 0 {
            self.compressor.write(&self.block[..self.len], self.out);
            self.passed_on += self.len as u64;
            self.len = 0;
        }
    }
}
