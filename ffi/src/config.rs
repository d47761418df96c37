//! The configuration as a handle.
#![allow(unsafe_code)]

use std::ffi::c_char;
use std::ptr;
use std::sync::Mutex;

use ringtail_config::Problems;

use crate::entry::enter_or;
use crate::error::{Failure, explain, ringtail_error_t};
use crate::handle::{self, Kind};
use crate::properties::Properties;
use crate::status::{RINGTAIL_EBUSY, RINGTAIL_ECONFIG, RINGTAIL_EPANIC, RINGTAIL_OK, ringtail_status_t};
use crate::text::text;

/// A configuration in the making.
#[allow(non_camel_case_types)]
pub struct ringtail_config_t {
    _opaque: [u8; 0],
}

impl Kind for ringtail_config_t {
    const TAG: u64 = u64::from_le_bytes(*b"rt-confg");
    type Body = Mutex<Properties>;
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Failure::new(RINGTAIL_ECONFIG, problems.to_string().trim_end())
    }
}

/// Runs `call` on the properties behind `config`, unless another thread is at them.
pub(crate) fn with_properties<R>(
    config: *const ringtail_config_t,
    call: impl FnOnce(&mut Properties) -> Result<R, Problems>,
) -> Result<R, Failure> {
    let done = handle::with(config, |properties| match properties.try_lock() {
        Ok(mut properties) => Ok(call(&mut properties)?),
        Err(std::sync::TryLockError::WouldBlock) => Err(Failure::from(RINGTAIL_EBUSY)),
        Err(std::sync::TryLockError::Poisoned(_)) => Err(Failure::from(RINGTAIL_EPANIC)),
    });
    done.map_err(Failure::from)?
}

/// A configuration in which everything has its default.
///
/// Ownership: the caller's, to be freed by `ringtail_config_free`. Threads: any. Errors: NULL after a defect of the
/// library. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_config_new() -> *mut ringtail_config_t {
    enter_or(ptr::null_mut(), || handle::give(Mutex::default()))
}

/// Sets one property. The key is that of the YAML configuration with points between its parts (`memory`, `batch.max_delay`,
/// `pipelines.shop.from.start`), the value is YAML (`64MiB`, `[/var/log/app.log, /srv/b.log]`); ffi/README.md lists all.
/// What was set before under this key is replaced. Whether a key is known is found out by `ringtail_collector_new` and
/// `ringtail_config_check`.
///
/// Ownership: key and value are copied; `err` may be NULL, and what it gets is the caller's. Threads: any, one at a time.
/// Errors: `RINGTAIL_ECONFIG` (no YAML, no key), `RINGTAIL_EINVAL`, `RINGTAIL_EBUSY`, `RINGTAIL_EFORKED`. Since: 0.1.
///
/// # Safety
/// `key` and `value` have as many readable bytes as is said; `err` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_config_set(
    config: *mut ringtail_config_t,
    key: *const c_char,
    key_len: usize,
    value: *const c_char,
    value_len: usize,
    err: *mut *mut ringtail_error_t,
) -> ringtail_status_t {
    explain(err, || {
        // SAFETY: the caller's promise.
        let (key, value) = unsafe { (text(key, key_len)?, text(value, value_len)?) };
        with_properties(config, |properties| properties.set(key, value))?;
        Ok(RINGTAIL_OK)
    })
}

/// Adds a YAML document of the shape of the agent's configuration: `pipelines:` with the same `from:`, `memory:`,
/// `hold_deleted:`, but no outputs, since the host is the only one. May be called several times; what is said later counts.
///
/// Ownership: the text is copied; `err` may be NULL, and what it gets is the caller's. Threads: any, one at a time.
/// Errors: as `ringtail_config_set`. Since: 0.1.
///
/// # Safety
/// `yaml` has as many readable bytes as is said; `err` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_config_load(
    config: *mut ringtail_config_t,
    yaml: *const c_char,
    yaml_len: usize,
    err: *mut *mut ringtail_error_t,
) -> ringtail_status_t {
    explain(err, || {
        // SAFETY: the caller's promise.
        let yaml = unsafe { text(yaml, yaml_len)? };
        with_properties(config, |properties| properties.load(yaml))?;
        Ok(RINGTAIL_OK)
    })
}

/// Whether the configuration can be used. The message of the error names every mistake, its place, and what to write instead,
/// a line each.
///
/// Ownership: `err` may be NULL, and what it gets is the caller's. Threads: any, one at a time. Errors: as
/// `ringtail_config_set`. Since: 0.1.
///
/// # Safety
/// `err` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_config_check(
    config: *const ringtail_config_t,
    err: *mut *mut ringtail_error_t,
) -> ringtail_status_t {
    explain(err, || {
        with_properties(config, |properties| properties.settings())?;
        Ok(RINGTAIL_OK)
    })
}

/// Frees a configuration. NULL is legal and does nothing.
///
/// Ownership: takes `config`; collectors made from it keep their own copy. Threads: one, the last that uses it. Errors:
/// none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_config_free(config: *mut ringtail_config_t) {
    enter_or((), || drop(handle::take(config)));
}
