//! Carries: pooled buffers for what is unfinished between two reads.
//!
//! Limits: size classes from 512 bytes, each four times the one before, but for 4 and 8 MiB: while a carry grows, the
//! smaller one is held too. The budget bounds the sum of all buffers, pooled ones included.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

use crate::budget::{Budget, Lease, Use};
use crate::sync::{Arc, Mutex, MutexGuard};

/// Sizes of buffers, in bytes: 512 B to 8 MiB.
const CLASSES: [usize; 9] =
    [512, 2 << 10, 8 << 10, 32 << 10, 128 << 10, 512 << 10, 2 << 20, 4 << 20, 8 << 20];

/// No carry to be had: the budget is spent, or the size passes the largest class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

/// The carries of one agent. Cheap to clone; safe to share between threads.
#[derive(Clone)]
pub struct CarryPool(Arc<Pool>);

struct Pool {
    budget: Budget,
    free: Mutex<[Vec<Buffer>; CLASSES.len()]>,
}

struct Buffer {
    bytes: Box<[u8]>,
    _lease: Lease,
}

impl CarryPool {
    /// A pool that allocates within `budget`.
    pub fn new(budget: &Budget) -> Self {
        CarryPool(Arc::new(Pool { budget: budget.clone(), free: Mutex::new(Default::default()) }))
    }

    /// An empty carry with room for at least `capacity` bytes.
    pub fn take(&self, capacity: usize) -> Result<Carry, Exhausted> {
        let class = CLASSES.iter().position(|size| *size >= capacity).ok_or(Exhausted)?;
        let pooled = self.0.free()[class].pop();
        let buffer = match pooled {
            Some(buffer) => buffer,
            None => self.0.allocate(class)?,
        };
        Ok(Carry { buffer: Some(buffer), class, len: 0, pool: self.0.clone() })
    }

    /// Whether a carry can grow to `capacity` bytes, with nothing else held but the one that it grows out of.
    pub fn may_grow_to(&self, capacity: usize) -> bool {
        let smaller = CLASSES.iter().rev().find(|size| **size < capacity).map_or(0, |size| *size);
        self.take(smaller).is_ok_and(|_smaller| self.take(capacity).is_ok())
    }

    /// Frees all pooled buffers.
    pub fn trim(&self) {
        let pooled = std::mem::take(&mut *self.0.free());
        drop(pooled);
    }
}

impl fmt::Debug for CarryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CarryPool({} bytes)", self.0.budget.used(Use::Carries))
    }
}

impl Pool {
    fn free(&self) -> MutexGuard<'_, [Vec<Buffer>; CLASSES.len()]> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allocate(&self, class: usize) -> Result<Buffer, Exhausted> {
        let size = CLASSES[class];
        let lease = match self.budget.take(Use::Carries, size) {
            Some(lease) => lease,
            // Pooled buffers of other classes may hold what is missing.
            None => {
                let pooled = std::mem::take(&mut *self.free());
                drop(pooled);
                self.budget.take(Use::Carries, size).ok_or(Exhausted)?
            }
        };
        Ok(Buffer { bytes: vec![0; size].into_boxed_slice(), _lease: lease })
    }
}

/// A growable buffer from a [`CarryPool`], to which it returns on drop.
pub struct Carry {
    /// Present until drop.
    buffer: Option<Buffer>,
    class: usize,
    len: usize,
    pool: Arc<Pool>,
}

impl Carry {
    /// Appends `bytes`, moving to a larger buffer where needed. On error the carry is unchanged.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Exhausted> {
        let len = self.len.checked_add(bytes.len()).ok_or(Exhausted)?;
        if len > self.bytes().len() {
            let mut larger = CarryPool(self.pool.clone()).take(len)?;
            larger.bytes_mut()[..self.len].copy_from_slice(self);
            larger.len = self.len;
            *self = larger;
        }
        let at = self.len;
        self.bytes_mut()[at..len].copy_from_slice(bytes);
        self.len = len;
        Ok(())
    }

    /// Forgets the contents.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Forgets what lies behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer.bytes)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.as_mut().map_or(&mut [], |buffer| &mut buffer.bytes)
    }
}

impl Drop for Carry {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.pool.free()[self.class].push(buffer);
        }
    }
}

impl Deref for Carry {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes()[..self.len]
    }
}

impl DerefMut for Carry {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut self.bytes_mut()[..len]
    }
}

impl fmt::Debug for Carry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Carry({} of {})", self.len, CLASSES[self.class])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Frozen;

    #[test]
    fn a_carry_grows_through_the_classes_and_keeps_its_bytes() {
        let budget = Budget::new(64 << 20);
        let pool = CarryPool::new(&budget);
        let mut carry = pool.take(0).expect("carry");
        let mut expected = Vec::new();
        for i in 0..2000u32 {
            let piece = i.to_le_bytes().repeat(5);
            carry.push(&piece).expect("within budget");
            expected.extend_from_slice(&piece);
        }
        assert_eq!(&carry[..], &expected[..]);
        let frozen = Frozen::from(carry);
        assert_eq!(&frozen[..], &expected[..]);
    }

    #[test]
    fn a_spent_budget_refuses_until_a_carry_comes_back_and_pooled_ones_make_room() {
        let budget = Budget::new(8 * 2048);
        let pool = CarryPool::new(&budget);
        let small: Vec<_> = (0..4).map(|_| pool.take(512).expect("small")).collect();
        assert_eq!(pool.take(1).map(|_| ()), Err(Exhausted));
        drop(small);
        assert_eq!(budget.used(Use::Carries), 2048);
        let large = pool.take(2048).expect("the small ones made room");
        assert_eq!(budget.used(Use::Carries), 2048);
        drop(large);
        pool.trim();
        assert_eq!(budget.used(Use::Carries), 0);
    }

    /// An eighth of the budget is 8 MiB: an empty pool has that at once, but a carry of 2 MiB would not grow to it.
    #[test]
    fn a_carry_that_may_grow_does() {
        let pool = CarryPool::new(&Budget::new(64 << 20));
        assert!(pool.may_grow_to(4 << 20) && !pool.may_grow_to(8 << 20));
        let mut carry = pool.take(0).expect("carry");
        for _ in 0..(4 << 20) / 4096 {
            carry.push(&[7; 4096]).expect("it may grow");
        }
        assert_eq!(carry.len(), 4 << 20);
    }

    #[test]
    fn larger_than_the_largest_class_is_refused_and_nothing_changes() {
        let budget = Budget::new(1 << 30);
        let pool = CarryPool::new(&budget);
        let mut carry = pool.take(8 << 20).expect("largest");
        carry.push(&vec![7; 8 << 20]).expect("fills it");
        assert_eq!(carry.push(b"x"), Err(Exhausted));
        assert_eq!(carry.len(), 8 << 20);
    }
}
