//! A batch: a table of records plus counted references to the bytes and sources they refer to.

use std::sync::Arc;

use ringtail_memory::{CarryPool, Exhausted, Frozen};

use crate::record::{Flags, Record, Stream};
use crate::source::Source;

/// Records on their way to one output. Grows by [`append`](Batch::append); read by [`iter`](Batch::iter).
#[derive(Debug, Default)]
pub struct Batch {
    records: Vec<Record>,
    buffers: Vec<Frozen>,
    sources: Vec<Arc<Source>>,
    body_bytes: usize,
    input_bytes: u64,
}

/// One record with everything it refers to.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// See [`Record::time_ns`].
    pub time_ns: i64,
    /// The stream it was written to.
    pub stream: Stream,
    /// What is not whole about it.
    pub flags: Flags,
    /// The message, any bytes.
    pub body: &'a [u8],
    /// The number of its source in [`Batch::sources`].
    pub source: u32,
}

impl Batch {
    /// An empty batch with room for `records` records.
    pub fn with_capacity(records: usize) -> Self {
        Batch { records: Vec::with_capacity(records), ..Batch::default() }
    }

    /// Adds what one chunk held: `buffer` with `records` from it, all written by `source`. A record's `buffer`
    /// and `source` are set here; its `off` and `len` refer to `buffer`.
    ///
    /// # Panics
    /// When the batch would hold 2^32 buffers or a buffer of 4 GiB: both far beyond every limit on a batch.
    pub fn append(
        &mut self,
        buffer: &Frozen,
        source: &Arc<Source>,
        records: impl IntoIterator<Item = Record>,
    ) {
        let source = self.source(source);
        let (buffer, base) = self.buffer(buffer);
        for record in records {
            self.body_bytes += record.len as usize;
            self.records.push(Record { buffer, source, off: record.off + base, ..record });
        }
    }

    /// The records with what they refer to, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RecordView<'_>> {
        self.records.iter().map(|record| {
            let (off, len) = (record.off as usize, record.len as usize);
            RecordView {
                time_ns: record.time_ns,
                stream: record.stream,
                flags: record.flags,
                body: &self.buffers[record.buffer as usize][off..off + len],
                source: record.source,
            }
        })
    }

    /// The bare table of records.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The buffers that [`Record::buffer`] counts.
    pub fn buffers(&self) -> &[Frozen] {
        &self.buffers
    }

    /// The sources that [`Record::source`] counts. One source may stand here more than once.
    pub fn sources(&self) -> &[Arc<Source>] {
        &self.sources
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The sum of the lengths of all messages.
    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// Notes that what was appended stands for `bytes` more of the files that it was read from.
    pub fn count_input(&mut self, bytes: u64) {
        self.input_bytes += bytes;
    }

    /// Bytes of input that the records were made of: whole lines, with what their format adds.
    pub fn input_bytes(&self) -> u64 {
        self.input_bytes
    }

    /// Forgets records, buffers and sources, and keeps the tables' memory.
    pub fn clear(&mut self) {
        self.records.clear();
        self.buffers.clear();
        self.sources.clear();
        self.body_bytes = 0;
        self.input_bytes = 0;
    }

    /// Copies all messages into one carry and lets the slabs go. On error nothing changes.
    pub fn copy_out(&mut self, carries: &CarryPool) -> Result<(), Exhausted> {
        let mut arena = carries.take(self.body_bytes)?;
        for view in self.iter() {
            arena.push(view.body)?;
        }
        let mut off = 0;
        for record in &mut self.records {
            (record.buffer, record.off) = (0, off);
            off += record.len;
        }
        self.buffers.clear();
        self.buffers.push(arena.into());
        Ok(())
    }

    fn source(&mut self, source: &Arc<Source>) -> u32 {
        if !self.sources.last().is_some_and(|last| Arc::ptr_eq(last, source)) {
            self.sources.push(source.clone());
        }
        number(self.sources.len() - 1)
    }

    /// The number of `buffer` in the table, and where it begins in that entry.
    fn buffer(&mut self, buffer: &Frozen) -> (u32, u32) {
        if let Some(last) = self.buffers.last_mut() {
            let base = last.len();
            if last.try_extend(buffer) {
                return (number(self.buffers.len() - 1), number(base));
            }
        }
        self.buffers.push(buffer.clone());
        (number(self.buffers.len() - 1), 0)
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("a batch is bounded far below 2^32")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ringtail_memory::{Budget, SlabPool};

    use super::*;

    fn record(off: u32, len: u32) -> Record {
        Record { time_ns: 1, buffer: 9, off, len, source: 9, stream: Stream::Stdout, flags: Flags::NONE }
    }

    fn bodies(batch: &Batch) -> Vec<Vec<u8>> {
        batch.iter().map(|view| view.body.to_vec()).collect()
    }

    #[test]
    fn chunks_of_one_slab_share_a_buffer_and_copying_out_changes_no_message() {
        let budget = Budget::new(64 << 20);
        let (slabs, carries) = (SlabPool::new(&budget), CarryPool::new(&budget));
        let source = Arc::new(Source::from_path(Path::new("/a.log")));
        let mut slab = slabs.take().expect("slab");
        let mut chunk = |bytes: &[u8]| {
            let mut region = slab.split_to(bytes.len());
            region.copy_from_slice(bytes);
            region.freeze()
        };
        let mut batch = Batch::default();
        batch.append(&chunk(b"one two"), &source, [record(0, 3), record(4, 3)]);
        batch.append(&chunk(b"three"), &source, [record(0, 5)]);
        chunk(b"somebody else's");
        batch.append(&chunk(b"four"), &Arc::new(Source::from_path(Path::new("/b.log"))), [record(1, 3)]);
        let expected = [b"one".to_vec(), b"two".to_vec(), b"three".to_vec(), b"our".to_vec()];
        assert_eq!(bodies(&batch), expected);
        assert_eq!((batch.buffers().len(), batch.sources().len(), batch.body_bytes()), (2, 2, 14));
        batch.copy_out(&carries).expect("budget");
        assert_eq!(bodies(&batch), expected);
        assert_eq!(batch.buffers().len(), 1);
        drop(slab);
        assert_eq!(slabs.idle(), 1);
    }
}
