//! A batch in the host's hands: the tables that its view points to, and everything that they point into.
#![allow(unsafe_code)]

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use ringtail_memory::CreditLease;
use ringtail_record::{Batch, Record};

use crate::entry::enter_or;
use crate::handle::{self, Kind};
use crate::outlet::Exchange;
use crate::sized::SaysSize;
use crate::sources::Flat;
use crate::types::{
    RINGTAIL_BATCH_RECORDS, ringtail_attribute_t, ringtail_batch_t, ringtail_batch_view_t, ringtail_record_t,
    ringtail_source_t,
};

/// Tables that are kept for batches to come.
const SPARES: usize = 4;

impl Kind for ringtail_batch_t {
    const TAG: u64 = u64::from_le_bytes(*b"rt-batch");
    type Body = Held;
}

// SAFETY: repr(C), integers and raw pointers, the size first. A program may be so old that it ends behind the sources.
unsafe impl SaysSize for ringtail_batch_view_t {
    const LEAST: usize = std::mem::offset_of!(ringtail_batch_view_t, fields);
}

/// What a batch's view points to.
#[derive(Default)]
pub(crate) struct Tables {
    records: Vec<ringtail_record_t>,
    sources: Vec<ringtail_source_t>,
    flats: Vec<Arc<Flat>>,
    bases: Vec<*const u8>,
}

// SAFETY: the pointers lead into what is held together with the tables (`Held`), which nobody writes; while the tables are
// spare they are empty.
unsafe impl Send for Tables {}
// SAFETY: as above.
unsafe impl Sync for Tables {}

/// Tables between two batches.
pub(crate) type Spares = Arc<Mutex<Vec<Tables>>>;

/// See the module. When it is dropped the memory goes back; the acknowledgement is another matter.
pub(crate) struct Held {
    tables: Tables,
    batch: Batch,
    pipeline: Arc<str>,
    _queued: CreditLease,
    spares: Spares,
    exchange: Arc<Exchange>,
}

impl Held {
    pub(crate) fn new(
        batch: Batch,
        pipeline: Arc<str>,
        queued: CreditLease,
        spares: &Spares,
        exchange: &Arc<Exchange>,
        mut flat: impl FnMut(&Arc<ringtail_record::Source>) -> Arc<Flat>,
    ) -> Self {
        let mut tables = spares.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let Tables { records, sources, flats, bases } = &mut tables;
        bases.extend(batch.buffers().iter().map(|buffer| buffer.as_ptr()));
        records.extend(batch.records().iter().map(|record| view(record, bases)));
        for source in batch.sources() {
            let flat = flat(source);
            sources.push(flat.view());
            flats.push(flat);
        }
        exchange.counts.held_batches.fetch_add(1, Ordering::Relaxed);
        let (spares, exchange) = (spares.clone(), exchange.clone());
        Held { tables, batch, pipeline, _queued: queued, spares, exchange }
    }

    /// What the host is shown; `batch` is the handle of this.
    pub(crate) fn view(&self, batch: *mut ringtail_batch_t, token: u64) -> ringtail_batch_view_t {
        let Tables { records, sources, .. } = &self.tables;
        ringtail_batch_view_t {
            struct_size: stride::<ringtail_batch_view_t>(),
            kind: RINGTAIL_BATCH_RECORDS,
            batch,
            token,
            records: records.as_ptr(),
            record_count: count(records.len()),
            record_stride: stride::<ringtail_record_t>(),
            sources: sources.as_ptr(),
            source_count: count(sources.len()),
            source_stride: stride::<ringtail_source_t>(),
            fields: std::ptr::null(),
            field_count: 0,
            field_stride: stride::<ringtail_attribute_t>(),
            attribute_stride: stride::<ringtail_attribute_t>(),
            pipeline_len: count(self.pipeline.len()),
            pipeline: self.pipeline.as_ptr().cast(),
            body_bytes: self.batch.body_bytes() as u64,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.exchange.counts.held_batches.fetch_sub(1, Ordering::Relaxed);
        let Tables { records, sources, flats, bases } = &mut self.tables;
        records.clear();
        sources.clear();
        flats.clear();
        bases.clear();
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < SPARES {
            spares.push(std::mem::take(&mut self.tables));
        }
    }
}

/// A record as C sees it: the buffer's number becomes an address.
#[inline]
fn view(record: &Record, bases: &[*const u8]) -> ringtail_record_t {
    ringtail_record_t {
        body: bases[record.buffer as usize].wrapping_add(record.off as usize),
        time_ns: record.time_ns,
        body_len: record.len,
        source: record.source,
        field_begin: 0,
        field_count: 0,
        stream: record.stream as u8,
        flags: record.flags.bits(),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).expect("a batch is bounded far below 2^32")
}

fn stride<T>() -> u32 {
    const { assert!(size_of::<T>() < 4096) };
    u32::try_from(size_of::<T>()).unwrap_or(0)
}

/// Gives a batch back, without fetching another one: its memory goes back to the collector, and every pointer of its view is
/// dead. Says nothing about its delivery: see `ringtail_collector_ack`. NULL is legal and does nothing.
///
/// Ownership: takes `batch`; legal also after `ringtail_collector_free`. Threads: any. Errors: none; a handle that is none, or
/// was given back before, is left alone. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_batch_free(batch: *mut ringtail_batch_t) {
    enter_or((), || drop(handle::take(batch)));
}
