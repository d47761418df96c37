//! The budget: how many bytes of each use may be held, and how many are.

use std::sync::atomic::Ordering;

use crate::sync::{Arc, AtomicUsize};

/// What held bytes are used for; the label of `ringtail_memory_bytes{use}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Mapped slabs, free ones included.
    Slabs,
    /// Carry buffers, pooled ones included.
    Carries,
    /// Encoded payloads that wait for an acknowledgement, and the batches on their way to become one.
    Payloads,
}

impl Use {
    /// All uses, in the order of their labels.
    pub const ALL: [Use; 3] = [Use::Slabs, Use::Carries, Use::Payloads];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Use::Slabs => "slabs",
            Use::Carries => "carries",
            Use::Payloads => "payloads",
        }
    }
}

/// Bytes allowed and held, per [`Use`]. Cheap to clone; all clones share the counts.
#[derive(Clone, Debug)]
pub struct Budget(Arc<[Account; 3]>);

#[derive(Debug)]
struct Account {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// Splits `memory_bytes` as the design says: half slabs, an eighth carries, three eighths payloads.
    pub fn new(memory_bytes: usize) -> Self {
        let account = |limit| Account { limit, used: AtomicUsize::new(0) };
        let (slabs, carries) = (memory_bytes / 2, memory_bytes / 8);
        Budget(Arc::new([account(slabs), account(carries), account(memory_bytes - slabs - carries)]))
    }

    /// Bytes that `usage` may hold.
    pub fn limit(&self, usage: Use) -> usize {
        self.account(usage).limit
    }

    /// Bytes that `usage` holds now.
    pub fn used(&self, usage: Use) -> usize {
        self.account(usage).used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` for `usage`, or nothing when that would pass the limit. Given back on drop.
    pub fn take(&self, usage: Use, bytes: usize) -> Option<Lease> {
        let Account { limit, used } = self.account(usage);
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(bytes).filter(|sum| sum <= limit)
        })
        .ok()?;
        Some(Lease { budget: self.clone(), usage, bytes })
    }

    fn account(&self, usage: Use) -> &Account {
        &self.0[usage as usize]
    }
}

/// Bytes taken from a [`Budget`]; dropping it gives them back.
#[derive(Debug)]
pub struct Lease {
    budget: Budget,
    usage: Use,
    bytes: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.account(self.usage).used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_until_it_is_dropped_and_never_passes_the_limit() {
        let budget = Budget::new(800);
        assert_eq!(Use::ALL.map(|usage| budget.limit(usage)), [400, 100, 300]);
        let lease = budget.take(Use::Carries, 60).expect("60 of 100");
        assert!(budget.take(Use::Carries, 41).is_none());
        assert!(budget.take(Use::Carries, usize::MAX).is_none());
        assert_eq!(budget.used(Use::Carries), 60);
        drop(lease);
        assert_eq!(budget.used(Use::Carries), 0);
        assert!(budget.take(Use::Carries, 100).is_some());
    }
}
