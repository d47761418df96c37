//! What a call that is not hot says about its failure: a code and a text, in a handle of their own.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};

use crate::entry::{enter_or, last_panic};
use crate::handle::{self, Kind};
use crate::status::{RINGTAIL_EINVAL, RINGTAIL_EPANIC, ringtail_status_t};

/// Why a call failed.
#[allow(non_camel_case_types)]
pub struct ringtail_error_t {
    _opaque: [u8; 0],
}

/// A failure on its way to the host.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: ringtail_status_t,
    pub(crate) message: CString,
    /// Whether the same call may succeed later.
    pub(crate) passing: bool,
}

impl Kind for ringtail_error_t {
    const TAG: u64 = u64::from_le_bytes(*b"rt-error");
    type Body = Failure;
}

impl Failure {
    /// A failure that stays until something is changed.
    pub(crate) fn new(status: ringtail_status_t, message: impl Into<String>) -> Self {
        let mut bytes = message.into().into_bytes();
        bytes.retain(|byte| *byte != 0);
        Failure { status, message: CString::new(bytes).unwrap_or_default(), passing: false }
    }

    /// A failure that may pass.
    pub(crate) fn passing(status: ringtail_status_t, message: impl Into<String>) -> Self {
        Failure { passing: true, ..Failure::new(status, message) }
    }
}

/// A status without more words than its meaning.
impl From<ringtail_status_t> for Failure {
    fn from(status: ringtail_status_t) -> Self {
        let message = match status {
            RINGTAIL_EPANIC => format!("a defect of libringtail: {}; please report it", last_panic()),
            RINGTAIL_EINVAL => "an argument is NULL, or a handle is none or was freed".into(),
            status => format!("status {status}; see ringtail_status_name"),
        };
        Failure::new(status, message)
    }
}

/// Runs the body of a call that explains its failures: through `err`, unless that is NULL.
pub(crate) fn explain(
    err: *mut *mut ringtail_error_t,
    body: impl FnOnce() -> Result<ringtail_status_t, Failure>,
) -> ringtail_status_t {
    let result = enter_or(Err(RINGTAIL_EPANIC), || Ok(body()));
    let failure = match result {
        Ok(Ok(status)) => return status,
        Ok(Err(failure)) => failure,
        Err(status) => status.into(),
    };
    let status = failure.status;
    if !err.is_null() {
        let given = handle::give::<ringtail_error_t>(failure);
        // SAFETY: `err` is NULL or writable, says the header of every function that has it.
        unsafe { err.write(given) };
    }
    status
}

/// The status that the failed call returned.
///
/// Threads: any, concurrently. Errors: `RINGTAIL_EINVAL` where `error` is none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_error_status(error: *const ringtail_error_t) -> ringtail_status_t {
    enter_or(RINGTAIL_EPANIC, || {
        handle::with(error, |failure| failure.status).unwrap_or_else(|status| status)
    })
}

/// What failed and what to do about it, in English, ended by a zero. `len`, where not NULL, gets the length.
///
/// Ownership: the error's; valid until that is freed. Threads: any, concurrently. Errors: an empty text where `error`
/// is none. Since: 0.1.
///
/// # Safety
/// `len` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_error_message(
    error: *const ringtail_error_t,
    len: *mut usize,
) -> *const c_char {
    let empty = (c"".as_ptr(), 0);
    let (text, text_len) = enter_or(empty, || {
        let message = |failure: &Failure| (failure.message.as_ptr(), failure.message.as_bytes().len());
        handle::with(error, message).unwrap_or(empty)
    });
    if !len.is_null() {
        // SAFETY: the caller's promise.
        unsafe { len.write(text_len) };
    }
    text
}

/// Whether the same call may succeed later without anything being changed: 1 or 0.
///
/// Threads: any, concurrently. Errors: 0 where `error` is none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_error_may_pass(error: *const ringtail_error_t) -> i32 {
    enter_or(0, || handle::with(error, |failure| failure.passing).unwrap_or(false).into())
}

/// Frees an error. NULL is legal and does nothing.
///
/// Ownership: takes `error`. Threads: one, the last that uses it. Errors: none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_error_free(error: *mut ringtail_error_t) {
    enter_or((), || drop(handle::take(error)));
}
