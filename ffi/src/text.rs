//! Arguments that are a pointer and a length. A length of 0 makes the pointer meaningless.
#![allow(unsafe_code)]

use std::ffi::c_char;
use std::slice;

use crate::status::{RINGTAIL_EINVAL, ringtail_status_t};

/// More than any argument can be long; a negative length that became unsigned is.
const LONGEST: usize = isize::MAX.cast_unsigned();

/// The `len` things at `start`.
///
/// # Safety
/// They are readable, initialised and not written by anybody for `'a`, unless `len` is 0 or `start` is NULL or misaligned.
pub(crate) unsafe fn things<'a, T>(start: *const T, len: usize) -> Result<&'a [T], ringtail_status_t> {
    match len {
        0 => Ok(&[]),
        _ if start.is_null() || !start.is_aligned() || len > LONGEST / size_of::<T>() => Err(RINGTAIL_EINVAL),
        // SAFETY: the caller's promise.
        _ => Ok(unsafe { slice::from_raw_parts(start, len) }),
    }
}

/// The text at `start`, which must be UTF-8.
///
/// # Safety
/// As [`things`].
pub(crate) unsafe fn text<'a>(start: *const c_char, len: usize) -> Result<&'a str, ringtail_status_t> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { things(start.cast::<u8>(), len) }?;
    std::str::from_utf8(bytes).map_err(|_| RINGTAIL_EINVAL)
}
