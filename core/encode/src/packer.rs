//! From a batch to a payload.

use std::fmt;
use std::sync::Arc;

use ringtail_record::{Batch, RecordView, Source};

use crate::block::{BLOCK_BYTES, BlockWriter};
use crate::compression::{Compression, Compressor};
use crate::ndjson::Ndjson;
use crate::selection::Selection;

/// A wire format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// One JSON object a line, with these attributes of the record's source. Bytes that are not UTF-8 are replaced.
    Ndjson {
        /// Which attributes go out.
        attributes: Selection,
    },
    /// The message only, as it is, byte for byte, and a newline.
    Text,
}

/// Encodes batches, streaming into compression in blocks of 64 KiB. One for each thread that packs: its tables and
/// buffers, which it uses again for every batch, take about 1 MiB more than the largest batch was when encoded, and
/// 5 MiB at most (zstd's window, lz4's blocks).
pub struct Packer {
    encoder: Encoder,
    compressor: Compressor,
    block: Box<[u8]>,
}

enum Encoder {
    Ndjson(Box<Ndjson>),
    Text,
}

/// What a batch became.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Records encoded: all of the batch.
    pub records: u64,
    /// Their length in the wire format, before compression.
    pub encoded_bytes: u64,
    /// Records in which bytes that are not UTF-8 were replaced by U+FFFD.
    pub replaced_utf8: u64,
}

impl Packer {
    /// A packer for one output.
    pub fn new(format: Wire, compression: Compression) -> Self {
        let encoder = match format {
            Wire::Ndjson { attributes } => Encoder::Ndjson(Box::new(Ndjson::new(attributes))),
            Wire::Text => Encoder::Text,
        };
        Packer {
            encoder,
            compressor: Compressor::new(compression),
            block: vec![0; BLOCK_BYTES].into_boxed_slice(),
        }
    }

    /// Appends `batch` to `out` as one whole frame, which is decoded without any other; an empty batch is no frame and
    /// appends nothing.
    pub fn pack(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Packed {
        self.pack_records(batch.sources(), batch.iter(), out)
    }

    /// The same for records that are in no batch.
    ///
    /// # Panics
    /// When a record names a source that `sources` do not have.
    pub fn pack_records<'a>(
        &mut self,
        sources: &[Arc<Source>],
        records: impl ExactSizeIterator<Item = RecordView<'a>>,
        out: &mut Vec<u8>,
    ) -> Packed {
        let count = records.len() as u64;
        let mut writer = BlockWriter::new(&mut self.block, &mut self.compressor, out);
        let replaced_utf8 = match &mut self.encoder {
            Encoder::Ndjson(ndjson) => ndjson.encode(sources, records, &mut writer),
            Encoder::Text => {
                encode_text(records, &mut writer);
                0
            }
        };
        Packed { records: count, encoded_bytes: writer.finish(), replaced_utf8 }
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

fn encode_text<'a>(records: impl Iterator<Item = RecordView<'a>>, writer: &mut BlockWriter<'_>) {
    for record in records {
        writer.put(record.body);
        writer.put(b"\n");
    }
}
