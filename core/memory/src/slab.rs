//! Slabs: 1 MiB mappings that hold what was read.
//!
//! ```text
//! take()                    split_to(n)              freeze()
//! [ Region: all of it ] --> [ Region | Region ] --> [ Frozen | Region ]
//! ```
//! A byte of a slab belongs to exactly one [`Region`] (unique, writable) or to any number of frozen ranges
//! (shared, immutable), never to both: regions only ever shrink or turn frozen. The slab goes back to its
//! pool when the last of them is dropped. Limits: a slab is [`SLAB_BYTES`]; a pool maps no more than its budget.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::budget::{Budget, Lease, Use};
use crate::frozen::Frozen;
use crate::sync::{Arc, AtomicUsize, Mutex, MutexGuard, UnsafeCell, fence};

/// The size of a slab.
pub const SLAB_BYTES: usize = 1 << 20;

/// The slabs of one agent. Cheap to clone; safe to share between threads.
///
/// The free list is behind a mutex that is touched once per slab, that is once per MiB read; a lock-free list
/// would need an epoch scheme and saves nothing that a profile shows.
#[derive(Clone)]
pub struct SlabPool(Arc<Pool>);

struct Pool {
    budget: Budget,
    free: Mutex<Vec<FreeSlab>>,
}

impl SlabPool {
    /// A pool that maps slabs lazily, within `budget`.
    pub fn new(budget: &Budget) -> Self {
        SlabPool(Arc::new(Pool { budget: budget.clone(), free: Mutex::new(Vec::new()) }))
    }

    /// A whole slab, the most recently used one first; nothing when the budget is spent or the kernel refuses
    /// to map.
    pub fn take(&self) -> Option<Region> {
        let reused = self.0.free().pop();
        let slab = match reused {
            Some(free) => free.into_inner(),
            None => Slab::map(&self.0.budget)?,
        };
        let slab = SlabRef(slab);
        slab.slab().refs.store(1, Ordering::Relaxed);
        // SAFETY: what was a free slab has no other reference, so that nobody else is at its pool.
        slab.slab().pool.with_mut(|pool| unsafe { *pool = Some(self.0.clone()) });
        Some(Region { slab, off: 0, len: SLAB_BYTES })
    }

    /// Unmaps free slabs until at most `keep` are left.
    pub fn trim(&self, keep: usize) {
        let surplus = {
            let mut free = self.0.free();
            let cut = free.len().saturating_sub(keep);
            // The oldest lie first: they are the ones whose pages have gone cold.
            free.drain(..cut).collect::<Vec<_>>()
        };
        drop(surplus);
    }

    /// Free slabs that are mapped.
    pub fn idle(&self) -> usize {
        self.0.free().len()
    }
}

impl fmt::Debug for SlabPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlabPool({} mapped bytes)", self.0.budget.used(Use::Slabs))
    }
}

impl Pool {
    fn free(&self) -> MutexGuard<'_, Vec<FreeSlab>> {
        // A panic while the list is held cannot leave it half changed: push and pop are all that happens.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One mapping and its count of references. Lives on the heap, apart from the mapping.
struct Slab {
    refs: AtomicUsize,
    bytes: NonNull<u8>,
    /// Present while the slab is in use; a free slab must not keep its pool alive.
    pool: UnsafeCell<Option<Arc<Pool>>>,
    _lease: Lease,
}

impl Slab {
    fn map(budget: &Budget) -> Option<NonNull<Slab>> {
        let lease = budget.take(Use::Slabs, SLAB_BYTES)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice aliases nothing.
        let start = unsafe {
            mmap_anonymous(std::ptr::null_mut(), SLAB_BYTES, ProtFlags::READ | ProtFlags::WRITE, flags)
        };
        let bytes = NonNull::new(start.ok()?.cast::<u8>())?;
        let slab =
            Box::new(Slab { refs: AtomicUsize::new(0), bytes, pool: UnsafeCell::new(None), _lease: lease });
        Some(NonNull::from(Box::leak(slab)))
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: `bytes` is the mapping made in `map`, and nothing refers to a slab that is dropped.
        // A failure (none is documented for a valid range) would only leak the mapping.
        let _ = unsafe { munmap(self.bytes.as_ptr().cast(), SLAB_BYTES) };
    }
}

/// A slab without references, in a free list. Dropping it unmaps.
struct FreeSlab(NonNull<Slab>);

// SAFETY: a free slab is referred to from nowhere else.
unsafe impl Send for FreeSlab {}

impl FreeSlab {
    fn into_inner(self) -> NonNull<Slab> {
        ManuallyDrop::new(self).0
    }
}

impl Drop for FreeSlab {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `Box::leak` in `Slab::map`; `into_inner` forgets the wrapper it opens.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A counted reference to a slab in use.
struct SlabRef(NonNull<Slab>);

// SAFETY: the count is atomic, the bytes are reached only through regions and frozen ranges, whose rules
// (module documentation) exclude a write beside another access.
unsafe impl Send for SlabRef {}
// SAFETY: as above.
unsafe impl Sync for SlabRef {}

impl SlabRef {
    fn slab(&self) -> &Slab {
        // SAFETY: a slab lives at least as long as its references.
        unsafe { self.0.as_ref() }
    }

    fn start(&self) -> *mut u8 {
        self.slab().bytes.as_ptr()
    }
}

impl Clone for SlabRef {
    fn clone(&self) -> Self {
        // As in `Arc`: a new reference is made from an old one, so no ordering is needed. A slab has at most
        // 2^20 regions of a byte each and their clones in batches: the count cannot wrap.
        self.slab().refs.fetch_add(1, Ordering::Relaxed);
        SlabRef(self.0)
    }
}

impl Drop for SlabRef {
    fn drop(&mut self) {
        if self.slab().refs.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // As in `Arc`: every use of the bytes by other threads happens before the slab is handed out again.
        fence(Ordering::Acquire);
        // SAFETY: the count is zero, so this is the only access.
        let pool = self.slab().pool.with_mut(|pool| unsafe { (*pool).take() });
        let free = FreeSlab(self.0);
        if let Some(pool) = pool {
            pool.free().push(free);
        }
    }
}

/// A part of a slab that nobody else reads or writes: the place that the kernel fills and the parser decodes.
pub struct Region {
    slab: SlabRef,
    off: usize,
    len: usize,
}

impl Region {
    /// Splits off the first `n` bytes; this keeps the rest.
    ///
    /// # Panics
    /// When `n` is larger than the region.
    pub fn split_to(&mut self, n: usize) -> Region {
        assert!(n <= self.len, "split_to({n}) of a region of {} bytes", self.len);
        let front = Region { slab: self.slab.clone(), off: self.off, len: n };
        self.off += n;
        self.len -= n;
        front
    }

    /// Gives up the right to write, so that others may read.
    pub fn freeze(self) -> Frozen {
        FrozenRegion { slab: self.slab, off: self.off, len: self.len }.into()
    }

    /// Gives back the bytes from `n` on to the region that follows this one in the slab, so that a read that
    /// came up short wastes nothing. False, and nothing changes, when `next` does not follow.
    ///
    /// # Panics
    /// When `n` is larger than the region.
    pub fn give_back(&mut self, n: usize, next: &mut Region) -> bool {
        assert!(n <= self.len, "give_back({n}) of a region of {} bytes", self.len);
        if self.slab.0 != next.slab.0 || self.off + self.len != next.off {
            return false;
        }
        let surplus = self.len - n;
        self.len = n;
        next.off -= surplus;
        next.len += surplus;
        true
    }
}

impl Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range lies in the mapping (constructors and splits keep it so), is initialised (anonymous
        // mappings are zeroed) and is written only through `&mut` of this region.
        unsafe { slice::from_raw_parts(self.slab.start().add(self.off), self.len) }
    }
}

impl DerefMut for Region {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`; `&mut self` makes the access unique.
        unsafe { slice::from_raw_parts_mut(self.slab.start().add(self.off), self.len) }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({}..{})", self.off, self.off + self.len)
    }
}

/// A part of a slab that is only read, by any number of holders.
#[derive(Clone)]
pub(crate) struct FrozenRegion {
    slab: SlabRef,
    off: usize,
    len: usize,
}

impl FrozenRegion {
    /// See [`Frozen::try_extend`].
    pub(crate) fn try_extend(&mut self, next: &FrozenRegion) -> bool {
        let follows = self.slab.0 == next.slab.0 && self.off + self.len == next.off;
        if follows {
            self.len += next.len;
        }
        follows
    }
}

impl Deref for FrozenRegion {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range lies in the mapping and was a region that was given up: nobody writes it until the
        // last reference is gone.
        unsafe { slice::from_raw_parts(self.slab.start().add(self.off), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(slabs: usize) -> (SlabPool, Budget) {
        let budget = Budget::new(slabs * SLAB_BYTES * 2);
        (SlabPool::new(&budget), budget)
    }

    #[test]
    fn a_slab_returns_when_its_last_part_is_dropped_and_is_reused_first() {
        let (pool, budget) = pool(2);
        let mut region = pool.take().expect("first");
        let address = region.as_ptr();
        let mut front = region.split_to(10);
        front.copy_from_slice(b"0123456789");
        let frozen = front.freeze();
        drop(region);
        assert_eq!(pool.idle(), 0);
        assert_eq!(&frozen[..], b"0123456789");
        drop(frozen);
        assert_eq!(pool.idle(), 1);
        assert_eq!(pool.take().expect("reused").as_ptr(), address);
        pool.trim(0);
        assert_eq!((pool.idle(), budget.used(Use::Slabs)), (0, 0));
    }

    #[test]
    fn the_budget_bounds_the_pool() {
        let (pool, _) = pool(2);
        let held = (pool.take().expect("one"), pool.take().expect("two"));
        assert!(pool.take().is_none());
        drop(held);
        assert!(pool.take().is_some());
    }

    #[test]
    fn neighbours_extend_and_strangers_do_not() {
        let (pool, _) = pool(2);
        let mut region = pool.take().expect("slab");
        let (a, gap, b) = (region.split_to(4), region.split_to(4), region.split_to(4));
        let (mut a, b) = (a.freeze(), b.freeze());
        assert!(!a.try_extend(&b));
        assert!(a.try_extend(&gap.freeze()) && a.try_extend(&b));
        assert_eq!(a.len(), 12);
        assert!(!a.try_extend(&pool.take().expect("other").split_to(1).freeze()));
    }

    #[test]
    fn a_short_read_gives_back_its_surplus() {
        let (pool, _) = pool(1);
        let mut rest = pool.take().expect("slab");
        let mut read = rest.split_to(100);
        let (_between, mut late) = (rest.split_to(1), rest.split_to(1));
        assert!(!read.give_back(40, &mut rest));
        assert!(late.give_back(0, &mut rest));
        assert_eq!((read.len(), late.len(), rest.len()), (100, 0, SLAB_BYTES - 101));
        assert!(!read.give_back(40, &mut late));
    }

    #[test]
    fn parts_of_a_slab_cross_threads() {
        let (pool, _) = pool(4);
        for _ in 0..100 {
            let mut region = pool.take().expect("slab");
            let parts: Vec<_> = (0..8u8)
                .map(|i| {
                    let mut part = region.split_to(64);
                    part.fill(i);
                    part.freeze()
                })
                .collect();
            drop(region);
            let threads: Vec<_> = parts
                .into_iter()
                .enumerate()
                .map(|(i, part)| {
                    std::thread::spawn(move || assert!(part.iter().all(|byte| usize::from(*byte) == i)))
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().expect("reader"));
        }
        assert_eq!(pool.idle(), 1);
    }
}
