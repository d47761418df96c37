//! The tables of batches, used again: a batch that was encoded leaves them to the next one, so that nothing grows anew
//! for each.
//!
//! Limits: [`KEPT_BYTES`] of tables wait here; what comes beyond that is freed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringtail_memory::Frozen;

use crate::batch::Batch;
use crate::record::Record;
use crate::source::Source;

/// Bytes of records' tables that wait to be used again: eight full batches of the usual 8,192 records.
const KEPT_BYTES: usize = 2 << 20;

/// Where a shard's batches have their tables from. Cheap to clone; all clones are one pool. The lock is taken twice a
/// batch.
#[derive(Clone, Default)]
pub struct BatchPool(Arc<Mutex<Free>>);

#[derive(Default)]
struct Free {
    tables: Vec<Tables>,
    bytes: usize,
}

/// What a batch is made of.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) records: Vec<Record>,
    pub(crate) buffers: Vec<Frozen>,
    pub(crate) sources: Vec<Arc<Source>>,
}

impl BatchPool {
    /// An empty batch, whose tables come back here when it is dropped, by whichever thread.
    pub fn take(&self) -> Batch {
        let mut free = self.free();
        let tables = free.tables.pop().unwrap_or_default();
        free.bytes -= tables.bytes();
        drop(free);
        Batch::pooled(tables, self.clone())
    }

    /// Takes tables back, and lets go what they refer to.
    pub(crate) fn put(&self, mut tables: Tables) {
        // Before the lock: slabs go back to their own pool.
        tables.clear();
        let bytes = tables.bytes();
        let mut free = self.free();
        if free.bytes + bytes <= KEPT_BYTES {
            free.bytes += bytes;
            free.tables.push(tables);
        }
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BatchPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchPool({} bytes)", self.free().bytes)
    }
}

impl Tables {
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.buffers.clear();
        self.sources.clear();
    }

    fn bytes(&self) -> usize {
        self.records.capacity() * size_of::<Record>()
            + self.buffers.capacity() * size_of::<Frozen>()
            + self.sources.capacity() * size_of::<Arc<Source>>()
    }
}

#[cfg(test)]
mod tests {
    use ringtail_memory::{Budget, SlabPool};

    use super::*;
    use crate::record::{Flags, Stream};

    #[test]
    fn tables_come_back_empty_with_their_memory_and_slabs_go_at_once() {
        let slabs = SlabPool::new(&Budget::new(4 << 20));
        let pool = BatchPool::default();
        let record = Record {
            time_ns: 1,
            buffer: 0,
            off: 0,
            len: 1,
            source: 0,
            stream: Stream::Stdout,
            flags: Flags::NONE,
        };
        let source = Arc::new(Source::from_path("/a.log".as_ref()));
        let mut batch = pool.take();
        batch.append(&slabs.take().expect("a slab").freeze(), &source, vec![record; 1000]);
        let table = batch.records().as_ptr();
        drop(batch);
        assert_eq!((slabs.idle(), Arc::strong_count(&source)), (1, 1));
        let mut again = pool.take();
        assert!(again.is_empty() && again.buffers().is_empty() && again.sources().is_empty());
        assert_eq!(again.body_bytes(), 0);
        again.append(&slabs.take().expect("a slab").freeze(), &source, vec![record; 1000]);
        assert_eq!(again.records().as_ptr(), table);
    }

    #[test]
    fn what_waits_is_bounded() {
        let slabs = SlabPool::new(&Budget::new(4 << 20));
        let pool = BatchPool::default();
        let record = Record {
            time_ns: 1,
            buffer: 0,
            off: 0,
            len: 1,
            source: 0,
            stream: Stream::Stdout,
            flags: Flags::NONE,
        };
        let source = Arc::new(Source::from_path("/a.log".as_ref()));
        let chunk = slabs.take().expect("a slab").freeze();
        let mut batches: Vec<Batch> = (0..20).map(|_| pool.take()).collect();
        batches.iter_mut().for_each(|batch| batch.append(&chunk, &source, vec![record; 8192]));
        drop(batches);
        let free = pool.free();
        assert!(
            free.bytes <= KEPT_BYTES && (4..=8).contains(&free.tables.len()),
            "{} tables",
            free.tables.len()
        );
        assert_eq!(free.bytes, free.tables.iter().map(Tables::bytes).sum::<usize>());
    }
}
