//! Files that come and go while a collector runs, and what the host knows about them.
#![allow(unsafe_code)]

use std::ffi::c_char;
use std::path::Path;

use ringtail_config::literal;
use ringtail_record::{Attribute, Value};

use crate::collector::{Collector, ringtail_collector_t};
use crate::entry::enter;
use crate::error::{Failure, explain, ringtail_error_t};
use crate::handle;
use crate::properties::{DEFAULT_PIPELINE, Settings};
use crate::status::{RINGTAIL_EINVAL, RINGTAIL_EUNKNOWN, RINGTAIL_OK, ringtail_status_t};
use crate::text::{text, things};
use crate::types::{RINGTAIL_TYPE_INT, RINGTAIL_TYPE_TEXT, ringtail_attribute_t};

/// A text with its length.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ringtail_text_t {
    /// UTF-8, not ended by a zero.
    pub text: *const c_char,
    /// Its length in bytes.
    pub len: usize,
}

/// Collects these files too, from now on. They are absolute paths, not globs; each is followed with its rotated siblings. What is in
/// them already is read from the beginning, or from where they were acknowledged before. A path that is collected already changes nothing.
/// Many files are added by one call rather than by many.
///
/// `pipeline`: a name from the configuration, or nothing (`pipeline_len` 0) for the only one.
///
/// Ownership: everything is copied; `err` may be NULL, and what it gets is the caller's. Threads: any, concurrently. Errors:
/// `RINGTAIL_EUNKNOWN` (no such pipeline), `RINGTAIL_ECONFIG` (a path that is not absolute), `RINGTAIL_ESTATE` (stopped),
/// `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`; then none is added. Since: 0.1.
///
/// # Safety
/// `pipeline` and every path have as many readable bytes as is said, `paths` has `n` entries; `err` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_collector_add_files(
    collector: *const ringtail_collector_t,
    pipeline: *const c_char,
    pipeline_len: usize,
    paths: *const ringtail_text_t,
    n: usize,
    err: *mut *mut ringtail_error_t,
) -> ringtail_status_t {
    explain(err, || {
        // SAFETY: the caller's promise.
        let (pipeline, patterns) = unsafe { (text(pipeline, pipeline_len)?, patterns(paths, n)?) };
        change(collector, pipeline, |known| {
            let new: Vec<String> = patterns.into_iter().filter(|pattern| !known.contains(pattern)).collect();
            known.extend(new);
        })
    })
}

/// Collects these files no longer: those that `ringtail_collector_add_files` added, by the same paths. What was read of them is still
/// delivered, and their positions are kept. A path that is not collected changes nothing.
///
/// Ownership, threads, errors: as `ringtail_collector_add_files`. Since: 0.1.
///
/// # Safety
/// As `ringtail_collector_add_files`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_collector_remove_files(
    collector: *const ringtail_collector_t,
    pipeline: *const c_char,
    pipeline_len: usize,
    paths: *const ringtail_text_t,
    n: usize,
    err: *mut *mut ringtail_error_t,
) -> ringtail_status_t {
    explain(err, || {
        // SAFETY: the caller's promise.
        let (pipeline, patterns) = unsafe { (text(pipeline, pipeline_len)?, patterns(paths, n)?) };
        change(collector, pipeline, |known| known.retain(|pattern| !patterns.contains(pattern)))
    })
}

/// # Safety
/// Every path has as many readable bytes as is said, and `paths` has `n` entries.
unsafe fn patterns(paths: *const ringtail_text_t, n: usize) -> Result<Vec<String>, Failure> {
    // SAFETY: the caller's promise.
    let paths = unsafe { things(paths, n) }?;
    let pattern = |path: &ringtail_text_t| {
        // SAFETY: the caller's promise.
        let path = unsafe { text(path.text, path.len) }?;
        match ringtail_config::absolute(path) {
            Ok(path) => Ok(literal(Path::new(&path))),
            Err(why) => Err(Failure::new(crate::status::RINGTAIL_ECONFIG, format!("`{path}` {why}"))),
        }
    };
    paths.iter().map(pattern).collect()
}

fn change(
    collector: *const ringtail_collector_t,
    pipeline: &str,
    change: impl FnOnce(&mut Vec<String>),
) -> Result<ringtail_status_t, Failure> {
    let change = |settings: &mut Settings| {
        change(paths_of(settings, pipeline)?);
        Ok(())
    };
    handle::with(collector, |collector: &Collector| collector.life.change(change))??;
    Ok(RINGTAIL_OK)
}

/// The paths of the pipeline called `name`; of the only one, or of the default one, where that is empty.
fn paths_of<'s>(settings: &'s mut Settings, name: &str) -> Result<&'s mut Vec<String>, Failure> {
    let pipelines = &mut settings.pipelines;
    let at = match name {
        "" if pipelines.len() == 1 => Some(0),
        "" => pipelines.iter().position(|(known, _)| known == DEFAULT_PIPELINE),
        name => pipelines.iter().position(|(known, _)| known == name),
    };
    match at {
        Some(at) => Ok(&mut pipelines[at].1.paths),
        None => Err(Failure::new(RINGTAIL_EUNKNOWN, format!("no pipeline is called `{name}`"))),
    }
}

/// Gives attributes to the file that is matched as `path`: what the host knows about it, as its own pod metadata. They stand in the
/// `attributes` of its source in every batch that is fetched from now on, in place of ones of the same name. They replace what was given
/// before; `n` 0 takes them away. The file need not be there yet. `stride`: `sizeof(ringtail_attribute_t)`.
///
/// Ownership: everything is copied. Threads: any, concurrently. Errors: `RINGTAIL_EINVAL` (also for a kind that is not
/// `RINGTAIL_TYPE_*`), `RINGTAIL_EFORKED`. Since: 0.1.
///
/// # Safety
/// `path`, every name and every text have as many readable bytes as is said, `attributes` has `n` entries, `stride` bytes apart.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_collector_set_attributes(
    collector: *const ringtail_collector_t,
    path: *const c_char,
    path_len: usize,
    attributes: *const ringtail_attribute_t,
    n: usize,
    stride: usize,
) -> ringtail_status_t {
    enter(|| {
        let set = || {
            // SAFETY: the caller's promise.
            let (path, attributes) =
                unsafe { (text(path, path_len)?, read_attributes(attributes, n, stride)?) };
            handle::with(collector, |collector| {
                collector.give(|given| match attributes.is_empty() {
                    true => drop(given.remove(path)),
                    false => drop(given.insert(path.into(), attributes.into())),
                });
            })
        };
        set().map_or_else(|status| status, |()| RINGTAIL_OK)
    })
}

/// # Safety
/// `start` has `n` entries, `stride` bytes apart, whose texts have as many readable bytes as is said.
pub(crate) unsafe fn read_attributes(
    start: *const ringtail_attribute_t,
    n: usize,
    stride: usize,
) -> Result<Vec<Attribute>, ringtail_status_t> {
    let legal = stride >= size_of::<ringtail_attribute_t>()
        && stride.is_multiple_of(align_of::<ringtail_attribute_t>());
    if n > 0 && (start.is_null() || !start.is_aligned() || !legal) {
        return Err(RINGTAIL_EINVAL);
    }
    let attribute = |at: usize| {
        // SAFETY: the caller's promise: entry `at` is below `n`, and aligned as the first one is.
        let entry = unsafe { &*start.byte_add(at * stride) };
        // SAFETY: the caller's promise.
        let name = unsafe { text(entry.name, entry.name_len as usize) }?;
        match entry.kind {
            // SAFETY: the caller's promise.
            RINGTAIL_TYPE_TEXT => unsafe { text(entry.text, entry.text_len as usize) }
                .map(|text| Attribute { name: name.into(), value: Value::Text(text.into()) }),
            RINGTAIL_TYPE_INT => Ok(Attribute { name: name.into(), value: Value::Int(entry.number) }),
            _ => Err(RINGTAIL_EINVAL),
        }
    };
    (0..n).map(attribute).collect()
}
