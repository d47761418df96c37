//! The collector: a collection as a handle.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use crate::batch::{Held, Spares};
use crate::config::{ringtail_config_t, with_properties};
use crate::entry::{enter, enter_or};
use crate::error::{Failure, explain, ringtail_error_t};
use crate::handle::{self, Kind};
use crate::life::Life;
use crate::outlet::{Answer, Exchange, Fetched, Phase};
use crate::sized::{self, SaysSize};
use crate::sources::{Given, Sources};
use crate::status::*;
use crate::text::things;
use crate::types::{ringtail_batch_t, ringtail_batch_view_t};

/// A collection: files that are followed, batches that are fetched, positions that move with what is acknowledged.
#[allow(non_camel_case_types)]
pub struct ringtail_collector_t {
    _opaque: [u8; 0],
}

/// `ringtail_collector_wait` waits as long as it takes.
pub const RINGTAIL_FOREVER: u32 = u32::MAX;

/// How a collection ended.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ringtail_end_t {
    /// In: the size of this structure as the program knows it.
    pub struct_size: u32,
    /// 1: everything that was read was acknowledged before the deadline, and nothing comes again. 0: what was not comes again.
    pub all_answered: u32,
    /// 1: all positions are on disk, or none are kept.
    pub positions_kept: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: repr(C), integers only, the size first.
unsafe impl SaysSize for ringtail_end_t {
    const LEAST: usize = size_of::<ringtail_end_t>();
}

impl Kind for ringtail_collector_t {
    const TAG: u64 = u64::from_le_bytes(*b"rt-colct");
    type Body = Collector;
}

/// See the module.
pub(crate) struct Collector {
    pub(crate) life: Life,
    exchange: Arc<Exchange>,
    spares: Spares,
    /// What only one thread at a time may do: fetching.
    sources: Mutex<Sources>,
    given: Mutex<Given>,
    /// Counts the changes of `given`.
    given_version: AtomicU64,
}

impl Collector {
    fn new(config: *const ringtail_config_t) -> Result<Self, Failure> {
        let settings = with_properties(config, |properties| properties.settings())?;
        let exchange = Exchange::new()
            .map_err(|error| Failure::passing(RINGTAIL_EIO, format!("no event descriptor: {error}")))?;
        let exchange = Arc::new(exchange);
        Ok(Collector {
            life: Life::new(settings, &exchange),
            exchange,
            spares: Spares::default(),
            sources: Mutex::default(),
            given: Mutex::default(),
            given_version: AtomicU64::new(0),
        })
    }

    pub(crate) fn stats(&self) -> Vec<u64> {
        crate::stats::values(&self.life.stats(), &self.exchange).to_vec()
    }

    /// Changes the attributes that the host gives to files.
    pub(crate) fn give(&self, change: impl FnOnce(&mut Given)) {
        change(&mut self.given.lock().unwrap_or_else(PoisonError::into_inner));
        self.given_version.fetch_add(1, Ordering::Release);
    }

    /// The next batch to `view`, or a status that says why there is none.
    fn next(&self, view: *mut ringtail_batch_view_t) -> Result<ringtail_status_t, ringtail_status_t> {
        sized::check(view)?;
        let mut sources = match self.sources.try_lock() {
            Ok(sources) => sources,
            Err(TryLockError::WouldBlock) => return Err(RINGTAIL_EBUSY),
            Err(TryLockError::Poisoned(_)) => return Err(RINGTAIL_EPANIC),
        };
        let (batch, queued, token, pipeline) = match self.exchange.fetch() {
            Fetched::Batch { batch, queued, token, pipeline } => (batch, queued, token, pipeline),
            Fetched::Nothing if self.life.is_made() => return Err(RINGTAIL_ESTATE),
            Fetched::Nothing => return Ok(RINGTAIL_AGAIN),
            Fetched::End => return Ok(RINGTAIL_END),
            Fetched::Failed => return Err(RINGTAIL_EPANIC),
        };
        sources.refresh(self.given_version.load(Ordering::Acquire));
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let flat = |source: &_| sources.flat(source, &given);
        let held = Held::new(batch, pipeline, queued, &self.spares, &self.exchange, flat);
        drop(given);
        let shown = held.view(std::ptr::null_mut(), token);
        let shown = ringtail_batch_view_t { batch: handle::give(held), ..shown };
        // SAFETY: the caller's promise about `view`, whose size was found legal above.
        unsafe { sized::write(view, &shown)? };
        Ok(RINGTAIL_OK)
    }

    fn failure(&self) -> Option<Failure> {
        match self.exchange.phase() {
            Phase::Failed(why) => Some(Failure::new(RINGTAIL_EPANIC, why)),
            Phase::Running | Phase::Ended => None,
        }
    }
}

/// Lets a thread of the library panic at the next batch, so that a host can prove that it survives that. Declared under
/// `RINGTAIL_EXPERIMENTAL`.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_test_panic_in_thread(collector: *const ringtail_collector_t) -> ringtail_status_t {
    enter(|| {
        let panics = |collector: &Collector| collector.exchange.panics.store(true, Ordering::Relaxed);
        handle::with(collector, panics).map_or_else(|status| status, |()| RINGTAIL_OK)
    })
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.life.end(&self.exchange);
    }
}

/// Makes a collector from a configuration. Starts no thread and opens no file.
///
/// Ownership: `config` is copied and stays the caller's; `*collector` is the caller's, to be freed by
/// `ringtail_collector_free`; `err` may be NULL, and what it gets is the caller's. Threads: any. Errors: `RINGTAIL_ECONFIG`
/// (every mistake is named in the message), `RINGTAIL_EIO`, `RINGTAIL_EINVAL`, `RINGTAIL_EBUSY`, `RINGTAIL_EFORKED`. Since: 0.1.
///
/// # Safety
/// `collector` is writable; `err` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_collector_new(
    config: *const ringtail_config_t,
    collector: *mut *mut ringtail_collector_t,
    err: *mut *mut ringtail_error_t,
) -> ringtail_status_t {
    explain(err, || {
        if collector.is_null() {
            return Err(RINGTAIL_EINVAL.into());
        }
        let made = handle::give(Collector::new(config)?);
        // SAFETY: the caller's promise.
        unsafe { collector.write(made) };
        Ok(RINGTAIL_OK)
    })
}

/// Starts collecting: locks `data_dir`, opens the checkpoint, starts the threads. From here on there are threads: one that scans,
/// one that keeps positions (with `data_dir`), `threads` that read and parse; all have all signals blocked.
///
/// Ownership: `err` may be NULL, and what it gets is the caller's. Threads: any. Errors: `RINGTAIL_EHELD` (another collector has
/// `data_dir`; may pass), `RINGTAIL_ECHECKPOINT`, `RINGTAIL_EIO`, `RINGTAIL_ECONFIG`, `RINGTAIL_ESTATE` (started before),
/// `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`. After an error it may be tried again. Since: 0.1.
///
/// # Safety
/// `err` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_collector_start(
    collector: *mut ringtail_collector_t,
    err: *mut *mut ringtail_error_t,
) -> ringtail_status_t {
    explain(err, || {
        handle::with(collector, |collector| collector.life.start(&collector.exchange))??;
        Ok(RINGTAIL_OK)
    })
}

/// A descriptor that is readable while there is something to fetch: a batch, the end, a failure. For poll, epoll or any event loop;
/// it is never to be read, written or closed.
///
/// Ownership: the collector's, from `ringtail_collector_new` to `ringtail_collector_free`. Threads: any, concurrently. Errors: -1.
/// Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_collector_event_fd(collector: *const ringtail_collector_t) -> i32 {
    enter_or(-1, || handle::with(collector, |collector| collector.exchange.event_fd()).unwrap_or(-1))
}

/// Waits until there is something to fetch, at most `timeout_ms` milliseconds or `RINGTAIL_FOREVER`: `RINGTAIL_OK`, or
/// `RINGTAIL_AGAIN` when the time was over.
///
/// Threads: any, concurrently, but not while another one frees the collector: that waits for this call. Errors:
/// `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_collector_wait(
    collector: *const ringtail_collector_t,
    timeout_ms: u32,
) -> ringtail_status_t {
    let timeout = (timeout_ms != RINGTAIL_FOREVER).then(|| Duration::from_millis(timeout_ms.into()));
    enter(|| {
        let found = handle::with(collector, |collector| collector.exchange.wait(timeout));
        found.map_or_else(|status| status, |found| if found { RINGTAIL_OK } else { RINGTAIL_AGAIN })
    })
}

/// Gives `done` back (unless it is NULL) and shows the next batch. Never blocks. `RINGTAIL_AGAIN`: none now, wait for the descriptor or
/// with `ringtail_collector_wait`. `RINGTAIL_END`: none any more. Set `view->struct_size` before (`RINGTAIL_INIT`);
/// a view may be used again.
///
/// Ownership: takes `done`, whatever it returns, as `ringtail_batch_free` does; the batch of the view is the caller's, until it is given
/// back, and may outlive the collector. Threads: any, one at a time. Errors: `RINGTAIL_EBUSY` (another thread is in this call),
/// `RINGTAIL_ESTATE` (not started), `RINGTAIL_EPANIC` (see `ringtail_collector_failure`), `RINGTAIL_EINVAL`,
/// `RINGTAIL_EFORKED`. Since: 0.1.
///
/// # Safety
/// `view` points to as many writable bytes as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_collector_next(
    collector: *mut ringtail_collector_t,
    done: *mut ringtail_batch_t,
    view: *mut ringtail_batch_view_t,
) -> ringtail_status_t {
    enter(|| {
        drop(handle::take(done));
        let shown = handle::with(collector, |collector| collector.next(view));
        shown.and_then(|shown| shown).unwrap_or_else(|status| status)
    })
}

/// Says that the batches of these tokens are delivered: positions move on behind everything that is acknowledged without a gap, and
/// are on disk at most a second later. In any order, batch given back or not.
///
/// Ownership: the tokens are copied. Threads: any, concurrently. Errors: `RINGTAIL_EUNKNOWN` (a token was never given out, or was
/// answered before; the others are acknowledged), `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`. Since: 0.1.
///
/// # Safety
/// `tokens` has `n` readable numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_collector_ack(
    collector: *const ringtail_collector_t,
    tokens: *const u64,
    n: usize,
) -> ringtail_status_t {
    // SAFETY: the caller's promise.
    unsafe { answer(collector, tokens, n, Answer::Acked) }
}

/// Says that the batches of these tokens were not delivered and are wanted again: their records come again in new batches, and with them
/// what was read behind them from the same files.
///
/// Ownership, threads, errors: as `ringtail_collector_ack`. Since: 0.1.
///
/// # Safety
/// `tokens` has `n` readable numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_collector_return(
    collector: *const ringtail_collector_t,
    tokens: *const u64,
    n: usize,
) -> ringtail_status_t {
    // SAFETY: the caller's promise.
    unsafe { answer(collector, tokens, n, Answer::Returned) }
}

/// Says that the batches of these tokens will never be delivered, and are given up: positions move on, and their bytes of input are
/// counted in the figure `lost_bytes.rejected`.
///
/// Ownership, threads, errors: as `ringtail_collector_ack`. Since: 0.1.
///
/// # Safety
/// `tokens` has `n` readable numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_collector_reject(
    collector: *const ringtail_collector_t,
    tokens: *const u64,
    n: usize,
) -> ringtail_status_t {
    // SAFETY: the caller's promise.
    unsafe { answer(collector, tokens, n, Answer::Rejected) }
}

/// # Safety
/// `tokens` has `n` readable numbers.
unsafe fn answer(
    collector: *const ringtail_collector_t,
    tokens: *const u64,
    n: usize,
    answer: Answer,
) -> ringtail_status_t {
    enter(|| {
        // SAFETY: the caller's promise.
        let tokens = match unsafe { things(tokens, n) } {
            Ok(tokens) => tokens,
            Err(status) => return status,
        };
        match handle::with(collector, |collector| collector.exchange.answer(tokens, answer)) {
            Ok(0) => RINGTAIL_OK,
            Ok(_) => RINGTAIL_EUNKNOWN,
            Err(status) => status,
        }
    })
}

/// Begins to stop and returns at once: nothing more is read, and what was read is still handed over. Go on with
/// `ringtail_collector_next` and `ringtail_collector_ack` until `RINGTAIL_END`, which comes when everything is acknowledged or
/// `deadline_ms` is over; what is not acknowledged by then comes again after a restart. The second time it does nothing.
///
/// Threads: any, concurrently. Errors: `RINGTAIL_EIO` (no thread for it: it ends as after a kill), `RINGTAIL_EINVAL`,
/// `RINGTAIL_EFORKED`. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_collector_stop(
    collector: *const ringtail_collector_t,
    deadline_ms: u32,
) -> ringtail_status_t {
    enter(|| {
        let deadline = Duration::from_millis(deadline_ms.into());
        let stop = |collector: &Collector| collector.life.stop(deadline, &collector.exchange);
        match handle::with(collector, stop) {
            Ok(Ok(())) => RINGTAIL_OK,
            Ok(Err(failure)) => failure.status,
            Err(status) => status,
        }
    })
}

/// How the collection ended: `RINGTAIL_OK` once `ringtail_collector_next` returned `RINGTAIL_END`, `RINGTAIL_AGAIN` before. Set
/// `end->struct_size` before.
///
/// Ownership: copies. Threads: any, concurrently. Errors: `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`. Since: 0.1.
///
/// # Safety
/// `end` points to as many writable bytes as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_collector_end(
    collector: *const ringtail_collector_t,
    end: *mut ringtail_end_t,
) -> ringtail_status_t {
    enter(|| {
        let report = match sized::check(end) {
            Ok(()) => handle::with(collector, |collector| collector.life.report()),
            Err(status) => Err(status),
        };
        let report = match report {
            Ok(Some(report)) => report,
            Ok(None) => return RINGTAIL_AGAIN,
            Err(status) => return status,
        };
        let value = ringtail_end_t {
            struct_size: 0,
            all_answered: report.all_answered.into(),
            positions_kept: report.positions_kept.into(),
            reserved: 0,
        };
        // SAFETY: the caller's promise.
        unsafe { sized::write(end, &value) }.map_or_else(|status| status, |()| RINGTAIL_OK)
    })
}

/// Why `ringtail_collector_next` returns `RINGTAIL_EPANIC`: `RINGTAIL_OK` and an error, or `RINGTAIL_AGAIN` when nothing failed.
///
/// Ownership: what `err` gets is the caller's. Threads: any, concurrently. Errors: `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`.
/// Since: 0.1.
///
/// # Safety
/// `err` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_collector_failure(
    collector: *const ringtail_collector_t,
    err: *mut *mut ringtail_error_t,
) -> ringtail_status_t {
    enter(|| {
        if err.is_null() {
            return RINGTAIL_EINVAL;
        }
        match handle::with(collector, Collector::failure) {
            Ok(Some(failure)) => {
                // SAFETY: the caller's promise.
                unsafe { err.write(handle::give(failure)) };
                RINGTAIL_OK
            }
            Ok(None) => RINGTAIL_AGAIN,
            Err(status) => status,
        }
    })
}

/// Ends the collection at once, unless it has ended, and frees the collector. What was acknowledged is kept; what was fetched and
/// not acknowledged comes again after a restart. Waits for the library's threads. To deliver everything first, stop. NULL is
/// legal and does nothing.
///
/// In the child of a fork it leaves everything alone: the threads are the parent's.
///
/// Ownership: takes `collector`; batches that the host holds stay valid, and are given back by `ringtail_batch_free`. Threads: any; calls of
/// other threads end first. Errors: none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_collector_free(collector: *mut ringtail_collector_t) {
    enter_or((), || {
        // Whoever waits in another thread is woken first.
        let end = |collector: &Collector| collector.life.end(&collector.exchange);
        if handle::with(collector, end).is_ok() {
            drop(handle::take(collector));
        }
    });
}
