//! Which version this is, and which programs it serves.
#![allow(unsafe_code)]

use std::ffi::c_char;

/// The number behind `libringtail.so.`: programs built for another one cannot use this library.
pub const RINGTAIL_ABI_VERSION: u32 = 1;
/// Grows with every release that adds to the ABI; nothing is ever taken away under one `RINGTAIL_ABI_VERSION`.
pub const RINGTAIL_API_LEVEL: u32 = 1;
/// The release that this header belongs to.
pub const RINGTAIL_VERSION_MAJOR: u32 = 0;
/// See `RINGTAIL_VERSION_MAJOR`.
pub const RINGTAIL_VERSION_MINOR: u32 = 1;
/// See `RINGTAIL_VERSION_MAJOR`.
pub const RINGTAIL_VERSION_PATCH: u32 = 0;

/// The ABI of the library that was loaded: compare it with `RINGTAIL_ABI_VERSION`.
///
/// Threads: any. Errors: none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_abi_version() -> u32 {
    RINGTAIL_ABI_VERSION
}

/// How much the library that was loaded can do: at least `RINGTAIL_API_LEVEL` for a program built with this header.
///
/// Threads: any. Errors: none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_api_level() -> u32 {
    RINGTAIL_API_LEVEL
}

/// The release of the library that was loaded, as in `"0.1.0"`.
///
/// Ownership: static, never freed. Threads: any. Errors: none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
