//! Compression: a payload is one frame, whole and independent, so that payloads written one after the other are what
//! `zstd -d`, `lz4 -d` and `zcat` read.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use flate2::{Compress, FlushCompress, Status};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

/// zstd's level: the fastest of the normal ones, which is what a collector has time for.
const ZSTD_LEVEL: i32 = 1;
/// lz4's blocks: 1 MiB, so that a batch is one or two; 64 KiB was measured 15% slower. Only what a batch fills
/// becomes resident.
const LZ4_BLOCK: BlockSize = BlockSize::Max1MB;
/// zstd's window, 2 MiB: a batch fits in it, so that the window does not wrap, after which matches are searched in two
/// parts (5% slower with the level's own 512 KiB). Only what a batch fills becomes resident; decoders allow 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 21;
/// gzip's level, for the same reason.
const GZIP_LEVEL: u32 = 1;
/// gzip's window, 32 KiB: the largest, which every decoder accepts.
const GZIP_WINDOW_BITS: u8 = 15;
/// Room made in the payload before each step of a compressor, in bytes.
const STEP_BYTES: usize = 16 << 10;

/// An output's `compression`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// As it is encoded.
    None,
    /// A zstd frame, level 1.
    #[default]
    Zstd,
    /// An lz4 frame (not the bare block).
    Lz4,
    /// A gzip member, level 1.
    Gzip,
}

impl Compression {
    /// All of them.
    pub const ALL: [Compression; 4] =
        [Compression::None, Compression::Zstd, Compression::Lz4, Compression::Gzip];

    /// Its name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Zstd => "zstd",
            Compression::Lz4 => "lz4",
            Compression::Gzip => "gzip",
        }
    }

    /// The value of the HTTP header `Content-Encoding`, where one is to be sent.
    pub fn content_encoding(self) -> Option<&'static str> {
        (self != Compression::None).then(|| self.name())
    }

    /// What is appended to a file's name, dot included; nothing for [`Compression::None`].
    pub fn extension(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Zstd => ".zst",
            Compression::Lz4 => ".lz4",
            Compression::Gzip => ".gz",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not the name of a [`Compression`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCompression;

impl fmt::Display for UnknownCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a compression; write one of none, zstd, lz4, gzip")
    }
}

impl std::error::Error for UnknownCompression {}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Self, UnknownCompression> {
        Compression::ALL.into_iter().find(|known| known.name() == text).ok_or(UnknownCompression)
    }
}

/// A compressor that keeps its tables from one frame to the next.
pub(crate) enum Compressor {
    None,
    Zstd(Box<Encoder<'static>>),
    Lz4(Box<FrameEncoder<Vec<u8>>>),
    Gzip(Box<Compress>),
}

impl Compressor {
    pub(crate) fn new(compression: Compression) -> Self {
        match compression {
            Compression::None => Compressor::None,
            Compression::Zstd => {
                let mut encoder = Encoder::new(ZSTD_LEVEL).expect(OUT_OF_MEMORY);
                encoder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_LOG)).expect("a legal window");
                Compressor::Zstd(Box::new(encoder))
            }
            Compression::Lz4 => {
                let info = FrameInfo::new().block_size(LZ4_BLOCK).block_mode(BlockMode::Linked);
                Compressor::Lz4(Box::new(FrameEncoder::with_frame_info(info, Vec::new())))
            }
            Compression::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Compressor::Gzip(Box::new(Compress::new_gzip(level, GZIP_WINDOW_BITS)))
            }
        }
    }

    /// Appends `block`, which is not empty, to the frame; it begins one if none is open. What comes out is appended
    /// to `out`, or kept until later.
    pub(crate) fn write(&mut self, block: &[u8], out: &mut Vec<u8>) {
        match self {
            Compressor::None => out.extend_from_slice(block),
            Compressor::Zstd(encoder) => {
                let mut input = InBuffer::around(block);
                while input.pos() < block.len() {
                    zstd_step(out, |output| encoder.run(&mut input, output));
                }
            }
            Compressor::Lz4(encoder) => {
                with_writer(encoder, out, |encoder| encoder.write_all(block).expect(OUT_OF_MEMORY));
            }
            Compressor::Gzip(deflate) => {
                let begun = deflate.total_in();
                while let rest = consumed(deflate, begun, block)
                    && !rest.is_empty()
                {
                    gzip_step(deflate, rest, out, FlushCompress::None);
                }
            }
        }
    }

    /// Ends the frame that [`Compressor::write`] has begun.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Compressor::None => {}
            Compressor::Zstd(encoder) => while zstd_step(out, |output| encoder.finish(output, true)) > 0 {},
            Compressor::Lz4(encoder) => {
                with_writer(encoder, out, |encoder| encoder.try_finish().expect(OUT_OF_MEMORY));
            }
            Compressor::Gzip(deflate) => {
                while gzip_step(deflate, &[], out, FlushCompress::Finish) != Status::StreamEnd {}
                deflate.reset();
            }
        }
    }
}

/// Why a compressor that writes to memory, used in the order begin, write, finish, could fail at all.
const OUT_OF_MEMORY: &str = "a compressor to memory fails only when memory cannot be had";

fn zstd_step(
    out: &mut Vec<u8>,
    step: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> std::io::Result<usize>,
) -> usize {
    out.reserve(STEP_BYTES);
    let end = out.len();
    step(&mut OutBuffer::around_pos(out, end)).expect(OUT_OF_MEMORY)
}

fn gzip_step(deflate: &mut Compress, input: &[u8], out: &mut Vec<u8>, flush: FlushCompress) -> Status {
    out.reserve(STEP_BYTES);
    deflate.compress_vec(input, out, flush).expect(OUT_OF_MEMORY)
}

/// What of `block` is left when `deflate` had consumed `begun` bytes before it.
fn consumed<'a>(deflate: &Compress, begun: u64, block: &'a [u8]) -> &'a [u8] {
    let done = usize::try_from(deflate.total_in() - begun).expect("no more than the block's length");
    &block[done..]
}

/// lz4's encoder owns what it writes to: `out` is lent to it for the time of a step.
fn with_writer(
    encoder: &mut FrameEncoder<Vec<u8>>,
    out: &mut Vec<u8>,
    step: impl FnOnce(&mut FrameEncoder<Vec<u8>>),
) {
    std::mem::swap(encoder.get_mut(), out);
    step(encoder);
    std::mem::swap(encoder.get_mut(), out);
}
