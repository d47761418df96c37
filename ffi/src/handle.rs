//! Handles: what the host holds is the address of a header, which says what it is, which process made it, and whether it
//! is still alive.
//!
//! A handle that was freed, is of another type, or comes from before a fork is refused, not used. For that a header
//! outlives its body: the last [`QUARANTINE`] of them stay readable. A call that is under way when another thread frees the
//! handle ends first.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::status::{RINGTAIL_EFORKED, RINGTAIL_EINVAL, ringtail_status_t};

/// Headers of freed handles that are kept, 32 bytes each.
const QUARANTINE: usize = 1024;

/// What the tag of a freed handle says.
const DEAD: u64 = u64::from_le_bytes(*b"rt-freed");

static FREED: Mutex<VecDeque<Box<Header>>> = Mutex::new(VecDeque::new());

/// A type of handle: the opaque name that C sees, and what is behind it.
pub(crate) trait Kind {
    /// What stands in the header's first word.
    const TAG: u64;
    /// What is behind the handle. Entries get a shared reference, from any thread.
    type Body: Send + Sync;
}

#[repr(C)]
struct Header {
    tag: AtomicU64,
    /// Calls that are under way.
    calls: AtomicU32,
    pid: u32,
    /// A leaked `Box<K::Body>`.
    body: AtomicPtr<()>,
}

/// Makes a handle, which the host owns from now on.
pub(crate) fn give<K: Kind>(body: K::Body) -> *mut K {
    let header = Header {
        tag: AtomicU64::new(K::TAG),
        calls: AtomicU32::new(0),
        pid: pid(),
        body: AtomicPtr::new(Box::into_raw(Box::new(body)).cast()),
    };
    Box::into_raw(Box::new(header)).cast()
}

/// Runs `call` on what is behind `handle`.
pub(crate) fn with<K: Kind, R>(
    handle: *const K,
    call: impl FnOnce(&K::Body) -> R,
) -> Result<R, ringtail_status_t> {
    let header = header(handle)?;
    let _under_way = UnderWay::begin(header);
    if header.tag.load(Ordering::SeqCst) != K::TAG {
        return Err(RINGTAIL_EINVAL);
    }
    if header.pid != pid() {
        return Err(RINGTAIL_EFORKED);
    }
    let body = header.body.load(Ordering::Acquire).cast::<K::Body>();
    // SAFETY: the tag says that the body is a `K::Body` that was not taken; `take` waits for this call to end.
    Ok(call(unsafe { &*body }))
}

/// Takes what is behind `handle`, which is none any more; waits for calls of other threads to end. Nothing when it was none,
/// or was made before a fork: then its threads and locks are another process's, and it is left alone.
pub(crate) fn take<K: Kind>(handle: *mut K) -> Option<Box<K::Body>> {
    let header = header(handle).ok()?;
    if header.pid != pid() {
        return None;
    }
    header.tag.compare_exchange(K::TAG, DEAD, Ordering::SeqCst, Ordering::SeqCst).ok()?;
    while header.calls.load(Ordering::SeqCst) > 0 {
        std::thread::yield_now();
    }
    let body = header.body.swap(ptr::null_mut(), Ordering::AcqRel).cast::<K::Body>();
    // SAFETY: both boxes were leaked by `give`. The exchange above was won by this call alone, and no other one is under
    // way: nobody else has the body, and of the header nobody has more than a pointer, to be refused as long as it is kept.
    let (body, header) = unsafe { (Box::from_raw(body), Box::from_raw(handle.cast::<Header>())) };
    let mut freed = FREED.lock().unwrap_or_else(PoisonError::into_inner);
    freed.push_back(header);
    if freed.len() > QUARANTINE {
        freed.pop_front();
    }
    Some(body)
}

/// A call that is under way, also when it panics.
struct UnderWay<'a>(&'a Header);

impl<'a> UnderWay<'a> {
    fn begin(header: &'a Header) -> Self {
        header.calls.fetch_add(1, Ordering::SeqCst);
        UnderWay(header)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

fn header<'a, K>(handle: *const K) -> Result<&'a Header, ringtail_status_t> {
    let header = NonNull::new(handle.cast_mut().cast::<Header>()).ok_or(RINGTAIL_EINVAL)?;
    if !header.is_aligned() {
        return Err(RINGTAIL_EINVAL);
    }
    // SAFETY: the host's promise is that a handle came from `give`; such a header is readable until long after it was freed
    // (module documentation), and is changed through atomics only.
    Ok(unsafe { header.as_ref() })
}

fn pid() -> u32 {
    std::process::id()
}
