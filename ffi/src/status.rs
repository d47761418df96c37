//! What every call answers: 0, a positive number that is no error, or a negative one that is.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};

/// Zero: done. Positive: no error, but not done either. Negative: an error, in blocks of a hundred by area. A program
/// must expect numbers that it does not know: new ones may be added, none is ever used for something else.
#[allow(non_camel_case_types)]
pub type ringtail_status_t = i32;

/// Done.
pub const RINGTAIL_OK: ringtail_status_t = 0;
/// Nothing now; ask again when the event descriptor is readable. Of a parser: there are more records than fitted.
pub const RINGTAIL_AGAIN: ringtail_status_t = 1;
/// The collection has ended, and nothing comes any more.
pub const RINGTAIL_END: ringtail_status_t = 2;

/// An argument is not legal: NULL where something must be, a handle that is none or was freed, a wrong structure size.
pub const RINGTAIL_EINVAL: ringtail_status_t = -101;
/// Another thread is inside a call on this handle that only one may make at a time.
pub const RINGTAIL_EBUSY: ringtail_status_t = -102;
/// The handle was made before a fork, and this is the child: it can only be freed here.
pub const RINGTAIL_EFORKED: ringtail_status_t = -103;
/// A structure holds something in fields that this version does not know.
pub const RINGTAIL_E2BIG: ringtail_status_t = -104;
/// Not at this point of the handle's life: before the start, started twice, or after the stop.
pub const RINGTAIL_ESTATE: ringtail_status_t = -105;
/// No such token, pipeline or file.
pub const RINGTAIL_EUNKNOWN: ringtail_status_t = -106;
/// The configuration is wrong; the error's message names each mistake with its place and what to write instead.
pub const RINGTAIL_ECONFIG: ringtail_status_t = -201;
/// The kernel refuses what is needed: the I/O backend that was asked for, a descriptor, a thread.
pub const RINGTAIL_EIO: ringtail_status_t = -301;
/// The checkpoint in `data_dir` cannot be used.
pub const RINGTAIL_ECHECKPOINT: ringtail_status_t = -302;
/// Another collector, here or in another process, has this `data_dir`; the message names it.
pub const RINGTAIL_EHELD: ringtail_status_t = -303;
/// The memory that this handle may use is spent.
pub const RINGTAIL_EMEMORY: ringtail_status_t = -304;
/// A defect of the library was met and contained. The handle is of no use any more but to be freed.
pub const RINGTAIL_EPANIC: ringtail_status_t = -901;

/// Every status with its name.
const NAMES: [(ringtail_status_t, &CStr); 15] = [
    (RINGTAIL_OK, c"RINGTAIL_OK"),
    (RINGTAIL_AGAIN, c"RINGTAIL_AGAIN"),
    (RINGTAIL_END, c"RINGTAIL_END"),
    (RINGTAIL_EINVAL, c"RINGTAIL_EINVAL"),
    (RINGTAIL_EBUSY, c"RINGTAIL_EBUSY"),
    (RINGTAIL_EFORKED, c"RINGTAIL_EFORKED"),
    (RINGTAIL_E2BIG, c"RINGTAIL_E2BIG"),
    (RINGTAIL_ESTATE, c"RINGTAIL_ESTATE"),
    (RINGTAIL_EUNKNOWN, c"RINGTAIL_EUNKNOWN"),
    (RINGTAIL_ECONFIG, c"RINGTAIL_ECONFIG"),
    (RINGTAIL_EIO, c"RINGTAIL_EIO"),
    (RINGTAIL_ECHECKPOINT, c"RINGTAIL_ECHECKPOINT"),
    (RINGTAIL_EHELD, c"RINGTAIL_EHELD"),
    (RINGTAIL_EMEMORY, c"RINGTAIL_EMEMORY"),
    (RINGTAIL_EPANIC, c"RINGTAIL_EPANIC"),
];

/// The name of a status, as in `"RINGTAIL_EINVAL"`.
///
/// Ownership: static, never freed. Threads: any. Errors: `"unknown status"` for a number that is none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_status_name(status: ringtail_status_t) -> *const c_char {
    let name = NAMES.iter().find(|(known, _)| *known == status).map(|(_, name)| *name);
    name.unwrap_or(c"unknown status").as_ptr()
}
