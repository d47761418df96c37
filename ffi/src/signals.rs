//! Threads of the library handle no signals: those are the host's.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;

/// Runs `start` with all signals blocked in this thread, so that the threads that it starts, and those that they start, have
/// them blocked for good; this thread's own mask is as before afterwards.
pub(crate) fn blocked<R>(start: impl FnOnce() -> R) -> R {
    let _mask = Mask::block_all();
    start()
}

struct Mask(Option<libc::sigset_t>);

impl Mask {
    fn block_all() -> Self {
        let (mut all, mut own) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: both sets are writable; `all` is initialised by sigfillset, `own` by pthread_sigmask where that
        // succeeds (0), and is read only then.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            let failed = libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), own.as_mut_ptr()) != 0;
            Mask(if failed { None } else { Some(own.assume_init()) })
        }
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        if let Some(own) = &self.0 {
            // SAFETY: `own` is the set that this thread had.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, own, ptr::null_mut()) };
        }
    }
}
