//! Joining alone, for hosts that split and parse lines by their own means.
#![allow(unsafe_code)]

use std::sync::{Mutex, TryLockError};

use ringtail_memory::{Budget, CarryPool};
use ringtail_parse::{Joined, Joiner};
use ringtail_record::Stream;

use crate::entry::{enter, enter_or};
use crate::handle::{self, Kind};
use crate::status::*;
use crate::text::things;
use crate::types::ringtail_record_t;

/// What the carries of one joiner may hold; three open records of at most 8 MiB, and the part that is added, bound it far below.
const MEMORY: usize = 1 << 30;

/// The open records of one file, one a stream at most.
#[allow(non_camel_case_types)]
pub struct ringtail_joiner_t {
    _opaque: [u8; 0],
}

impl Kind for ringtail_joiner_t {
    const TAG: u64 = u64::from_le_bytes(*b"rt-joinr");
    type Body = Mutex<Joiner>;
}

/// Makes a joiner for one file. Records longer than `max_record` bytes, at most 8 MiB, are cut and marked.
///
/// Ownership: the caller's, to be freed by `ringtail_joiner_free`. Threads: any. Errors: NULL where `max_record` is 0. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_joiner_new(max_record: usize) -> *mut ringtail_joiner_t {
    enter_or(std::ptr::null_mut(), || match max_record {
        0 => std::ptr::null_mut(),
        _ => handle::give(Mutex::new(Joiner::new(max_record, CarryPool::new(&Budget::new(MEMORY))))),
    })
}

/// Adds a part of a record of `stream` (`RINGTAIL_STREAM_*`). `is_last` not 0: the record ends with it, and is written to `record`:
/// `RINGTAIL_OK`. Otherwise it stays open: `RINGTAIL_AGAIN`. The record has the time of its first part.
///
/// Ownership: the part is copied, unless it is all of the record: then `record->body` points to it; else into the joiner, until its next
/// call. Threads: any, one at a time. Errors: `RINGTAIL_EMEMORY`, `RINGTAIL_EBUSY`, `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`; the
/// part was not added. Since: 0.1.
///
/// # Safety
/// `part` has `len` readable bytes, `record` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_joiner_add(
    joiner: *mut ringtail_joiner_t,
    stream: u8,
    time_ns: i64,
    part: *const u8,
    len: usize,
    is_last: i32,
    record: *mut ringtail_record_t,
) -> ringtail_status_t {
    enter(|| {
        // SAFETY: the caller's promise.
        let part = match unsafe { things(part, len) } {
            Ok(part) => part,
            Err(status) => return status,
        };
        let add = |joiner: &mut Joiner, stream| match joiner.add(stream, time_ns, part, is_last != 0) {
            Ok(joined) => Ok(joined.map(view)),
            Err(_) => Err(RINGTAIL_EMEMORY),
        };
        // SAFETY: the caller's promise.
        unsafe { joined(joiner, stream, record, add) }
    })
}

/// Delivers the open record of `stream` without waiting for its end, marked `RINGTAIL_FLAG_PARTIAL`: `RINGTAIL_OK`, or
/// `RINGTAIL_AGAIN` when none is open.
///
/// Ownership, threads, errors: as `ringtail_joiner_add`. Since: 0.1.
///
/// # Safety
/// `record` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_joiner_flush(
    joiner: *mut ringtail_joiner_t,
    stream: u8,
    record: *mut ringtail_record_t,
) -> ringtail_status_t {
    // SAFETY: the caller's promise.
    enter(|| unsafe { joined(joiner, stream, record, |joiner, stream| Ok(joiner.flush(stream).map(view))) })
}

/// Frees a joiner, and what is open in it. NULL is legal and does nothing.
///
/// Ownership: takes `joiner`. Threads: one, the last that uses it. Errors: none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_joiner_free(joiner: *mut ringtail_joiner_t) {
    enter_or((), || drop(handle::take(joiner)));
}

/// # Safety
/// `record` is writable.
unsafe fn joined(
    joiner: *mut ringtail_joiner_t,
    stream: u8,
    record: *mut ringtail_record_t,
    call: impl FnOnce(&mut Joiner, Stream) -> Result<Option<ringtail_record_t>, ringtail_status_t>,
) -> ringtail_status_t {
    let Some(stream) = Stream::ALL.get(usize::from(stream)) else { return RINGTAIL_EINVAL };
    if record.is_null() || !record.is_aligned() {
        return RINGTAIL_EINVAL;
    }
    let run = |joiner: &Mutex<Joiner>| match joiner.try_lock() {
        Ok(mut joiner) => call(&mut joiner, *stream),
        Err(TryLockError::WouldBlock) => Err(RINGTAIL_EBUSY),
        Err(TryLockError::Poisoned(_)) => Err(RINGTAIL_EPANIC),
    };
    match handle::with(joiner, run).and_then(|done| done) {
        Ok(Some(whole)) => {
            // SAFETY: the caller's promise.
            unsafe { record.write(whole) };
            RINGTAIL_OK
        }
        Ok(None) => RINGTAIL_AGAIN,
        Err(status) => status,
    }
}

fn view(joined: Joined<'_>) -> ringtail_record_t {
    ringtail_record_t {
        body: joined.body.as_ptr(),
        time_ns: joined.time_ns,
        body_len: u32::try_from(joined.body.len()).expect("a joined record is at most 8 MiB"),
        source: 0,
        field_begin: 0,
        field_count: 0,
        stream: joined.stream as u8,
        flags: joined.flags.bits(),
    }
}
