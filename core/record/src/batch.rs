//! A batch: a table of records plus counted references to the bytes and sources they refer to.

use std::sync::Arc;

use ringtail_memory::{CarryPool, Exhausted, Frozen};

use crate::pool::{BatchPool, Tables};
use crate::record::{Flags, Record, Stream};
use crate::source::Source;

/// Records on their way to one output. Grows by [`append`](Batch::append); read by [`iter`](Batch::iter). One from a
/// [`BatchPool`] gives its tables back when it is dropped.
#[derive(Debug, Default)]
pub struct Batch {
    tables: Tables,
    body_bytes: usize,
    input_bytes: u64,
    pool: Option<BatchPool>,
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
    /// An empty batch with tables that go to `pool` in the end.
    pub(crate) fn pooled(tables: Tables, pool: BatchPool) -> Self {
        Batch { tables, body_bytes: 0, input_bytes: 0, pool: Some(pool) }
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
            self.tables.records.push(Record { buffer, source, off: record.off + base, ..record });
        }
    }

    /// The records with what they refer to, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RecordView<'_>> {
        self.tables.records.iter().map(|record| {
            let (off, len) = (record.off as usize, record.len as usize);
            RecordView {
                time_ns: record.time_ns,
                stream: record.stream,
                flags: record.flags,
                body: &self.tables.buffers[record.buffer as usize][off..off + len],
                source: record.source,
            }
        })
    }

    /// The bare table of records.
    pub fn records(&self) -> &[Record] {
        &self.tables.records
    }

    /// The buffers that [`Record::buffer`] counts.
    pub fn buffers(&self) -> &[Frozen] {
        &self.tables.buffers
    }

    /// The sources that [`Record::source`] counts. One source may stand here more than once.
    pub fn sources(&self) -> &[Arc<Source>] {
        &self.tables.sources
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.tables.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tables.records.is_empty()
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
        self.tables.clear();
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
        for record in &mut self.tables.records {
            (record.buffer, record.off) = (0, off);
            off += record.len;
        }
        self.tables.buffers.clear();
        self.tables.buffers.push(arena.into());
        Ok(())
    }

    fn source(&mut self, source: &Arc<Source>) -> u32 {
        if !self.tables.sources.last().is_some_and(|last| Arc::ptr_eq(last, source)) {
            self.tables.sources.push(source.clone());
        }
        number(self.tables.sources.len() - 1)
    }

    /// The number of `buffer` in the table, and where it begins in that entry.
    fn buffer(&mut self, buffer: &Frozen) -> (u32, u32) {
        if let Some(last) = self.tables.buffers.last_mut() {
            let base = last.len();
            if last.try_extend(buffer) {
                return (number(self.tables.buffers.len() - 1), number(base));
            }
        }
        self.tables.buffers.push(buffer.clone());
        (number(self.tables.buffers.len() - 1), 0)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.put(std::mem::take(&mut self.tables));
        }
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
