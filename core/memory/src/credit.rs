//! Credit: how many bytes an output may have between the seal of a batch and its acknowledgement.

use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::sync::{Arc, AtomicBool, AtomicUsize, Mutex};

/// An output's share of the payload budget. Cheap to clone; all clones share the counts.
///
/// A batch takes its credit before it is queued, for the bytes it holds; the packer shrinks that to the size
/// of the payload, and the acknowledgement gives it back.
#[derive(Clone)]
pub struct Credit(Arc<Inner>);

type Wake = Box<dyn Fn() + Send + Sync>;

struct Inner {
    limit: usize,
    used: AtomicUsize,
    /// Set by whoever was refused; the next release wakes all readers and clears it.
    wanted: AtomicBool,
    wakers: Mutex<Vec<Wake>>,
}

impl Credit {
    /// Credit for `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Credit(Arc::new(Inner {
            limit,
            used: AtomicUsize::new(0),
            wanted: AtomicBool::new(false),
            wakers: Mutex::new(Vec::new()),
        }))
    }

    /// Calls `wake` whenever credit comes back after somebody was refused. It must not block.
    pub fn on_release(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(wake));
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The share, in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Whether `bytes` could be taken now; a refusal is remembered and woken.
    pub fn has(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.saturating_add(bytes) <= self.0.limit;
        if fits(self.0.used.load(Ordering::SeqCst)) {
            return true;
        }
        // Flag first, look again: a release between the two looks would otherwise wake nobody. Both are exchanges: so
        // the look comes before a release, which then finds the flag, or behind it, and finds its bytes.
        self.0.wanted.swap(true, Ordering::SeqCst);
        fits(self.0.used.fetch_add(0, Ordering::SeqCst))
    }

    /// Takes `bytes`, or nothing when that would pass the share; a refusal is remembered and woken.
    pub fn take(&self, bytes: usize) -> Option<CreditLease> {
        loop {
            if !self.has(bytes) {
                return None;
            }
            let taken = self.0.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.0.limit)
            });
            if taken.is_ok() {
                return Some(CreditLease { credit: self.clone(), bytes });
            }
        }
    }

    fn release(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::SeqCst);
        if self.0.wanted.swap(false, Ordering::SeqCst) {
            for wake in self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                wake();
            }
        }
    }
}

impl fmt::Debug for Credit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credit({} of {})", self.used(), self.0.limit)
    }
}

/// Credit taken; dropping it gives it back.
#[derive(Debug)]
pub struct CreditLease {
    credit: Credit,
    bytes: usize,
}

impl CreditLease {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back all but `bytes`; a larger value changes nothing.
    pub fn shrink_to(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.credit.release(self.bytes - bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for CreditLease {
    fn drop(&mut self) {
        self.credit.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_after_a_refusal_wakes_once_and_an_unasked_release_wakes_nobody() {
        let credit = Credit::new(100);
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        credit.on_release(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let mut lease = credit.take(100).expect("all of it");
        lease.shrink_to(90);
        assert_eq!(woken.load(Ordering::SeqCst), 0);
        assert!(credit.take(20).is_none());
        lease.shrink_to(50);
        drop(lease);
        assert_eq!((woken.load(Ordering::SeqCst), credit.used()), (1, 0));
    }
}
