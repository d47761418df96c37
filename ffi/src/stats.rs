//! Figures by number, so that no structure has to grow.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use ringtail_engine::EngineStats;

use crate::collector::ringtail_collector_t;
use crate::entry::enter;
use crate::handle;
use crate::outlet::Exchange;
use crate::status::{RINGTAIL_EINVAL, RINGTAIL_OK, ringtail_status_t};

/// Names in the order of the values. Only ever appended to.
const NAMES: [&CStr; 21] = [
    c"read_bytes",
    c"records",
    c"malformed_lines",
    c"lost_bytes.truncated",
    c"lost_bytes.deleted",
    c"lost_bytes.max_line",
    c"lost_bytes.max_record",
    c"lost_bytes.rejected",
    c"lag_bytes",
    c"open_files",
    c"unreadable",
    c"checkpoint_resets",
    c"memory_bytes.slabs",
    c"memory_bytes.carries",
    c"fetched_batches",
    c"fetched_records",
    c"acked_batches",
    c"returned_batches",
    c"waiting_batches",
    c"held_batches",
    c"unacked_batches",
];

/// The values, as [`NAMES`] says.
pub(crate) fn values(engine: &EngineStats, exchange: &Exchange) -> [u64; NAMES.len()] {
    let sum = |value: fn(&ringtail_engine::PipelineSnapshot) -> u64| engine.pipelines.iter().map(value).sum();
    let labelled = |values: &[(&'static str, u64)], name: &str| {
        values.iter().find(|(label, _)| *label == name).map_or(0, |(_, value)| *value)
    };
    let lost = |reason| labelled(&engine.lost_bytes, reason);
    let memory = |usage| labelled(&engine.memory_bytes, usage);
    let counts = &exchange.counts;
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (waiting, unacked) = exchange.depths();
    [
        sum(|pipeline| pipeline.read_bytes),
        sum(|pipeline| pipeline.records),
        sum(|pipeline| pipeline.malformed_lines),
        lost("truncated"),
        lost("deleted"),
        lost("max_line"),
        lost("max_record"),
        count(&counts.rejected_bytes),
        engine.lag.iter().map(|lag| lag.bytes).sum(),
        engine.open_files,
        engine.unreadable,
        engine.checkpoint_resets,
        memory("slabs"),
        memory("carries"),
        count(&counts.fetched_batches),
        count(&counts.fetched_records),
        count(&counts.acked_batches),
        count(&counts.returned_batches),
        waiting as u64,
        count(&counts.held_batches),
        unacked as u64,
    ]
}

/// The name of the figure number `index`, as in `"read_bytes"`; NULL when there are no more. A number keeps its meaning;
/// new ones come behind.
///
/// Ownership: static, never freed. Threads: any. Errors: none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_stat_name(index: u32) -> *const c_char {
    NAMES.get(index as usize).map_or(ptr::null(), |name| name.as_ptr())
}

/// Writes the first `n` figures to `values`; zeros where this library has fewer.
///
/// Ownership: copies. Threads: any, concurrently. Errors: `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`, `RINGTAIL_EPANIC`. Since: 0.1.
///
/// # Safety
/// `values` has room for `n` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_collector_stats(
    collector: *const ringtail_collector_t,
    values: *mut u64,
    n: usize,
) -> ringtail_status_t {
    enter(|| {
        if n > 0 && (values.is_null() || !values.is_aligned()) {
            return RINGTAIL_EINVAL;
        }
        let done = handle::with(collector, |collector| {
            let known = collector.stats();
            let known = known.iter().copied().chain(std::iter::repeat(0)).take(n);
            for (at, value) in known.enumerate() {
                // SAFETY: `at` is below `n`, for which there is room.
                unsafe { values.add(at).write(value) };
            }
        });
        done.map_or_else(|status| status, |()| RINGTAIL_OK)
    })
}
