//! Every order of events that the memory model allows, for what threads share here: `make loom`.
//!
//! Bytes lie outside of what loom sees. A cell of loom's stands for them: whoever reads or writes bytes says so there,
//! and loom finds two accesses that nothing orders.
#![cfg(loom)]

use std::sync::atomic::Ordering::SeqCst;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread;
use ringtail_memory::{Budget, CarryPool, Credit, SLAB_BYTES, SlabPool, Use};

/// A budget for one slab.
fn one_slab() -> Budget {
    Budget::new(2 * SLAB_BYTES)
}

/// What a reader in another thread held is not written before it is done, and comes back once.
#[test]
fn a_slab_that_is_handed_out_again_is_read_by_nobody() {
    loom::model(|| {
        let budget = one_slab();
        let pool = SlabPool::new(&budget);
        let bytes = Arc::new(UnsafeCell::new(()));
        let mut region = pool.take().expect("the first");
        bytes.with_mut(|_| region[0] = 1);
        let frozen = region.split_to(8).freeze();
        let reader = {
            let bytes = bytes.clone();
            thread::spawn(move || {
                bytes.with(|_| assert_eq!(frozen[0], 1));
                drop(frozen);
            })
        };
        drop(region);
        if let Some(mut again) = pool.take() {
            bytes.with_mut(|_| again[0] = 2);
        }
        reader.join().expect("the reader");
        assert_eq!(pool.idle(), 1);
        pool.trim(0);
        assert_eq!(budget.used(Use::Slabs), 0);
    });
}

/// Clones that are dropped in different threads give the slab back once, whoever is last.
#[test]
fn the_last_of_several_holders_gives_a_slab_back_once() {
    loom::model(|| {
        let budget = one_slab();
        let pool = SlabPool::new(&budget);
        let bytes = Arc::new(UnsafeCell::new(()));
        let frozen = pool.take().expect("the first").split_to(8).freeze();
        let readers = [frozen.clone(), frozen].map(|frozen| {
            let bytes = bytes.clone();
            thread::spawn(move || {
                bytes.with(|_| assert_eq!(frozen[0], 0));
                // A batch refers to a buffer as often as it likes.
                drop(frozen.clone());
                drop(frozen);
            })
        });
        readers.into_iter().for_each(|reader| reader.join().expect("a reader"));
        assert_eq!(pool.idle(), 1);
        let mut again = pool.take().expect("it came back");
        bytes.with_mut(|_| again[0] = 2);
        assert!(pool.take().is_none());
    });
}

/// Slabs outlive the pool's last handle, and a pool that is gone does not leak them.
#[test]
fn a_slab_may_outlive_its_pool() {
    loom::model(|| {
        let budget = one_slab();
        let pool = SlabPool::new(&budget);
        let frozen = pool.take().expect("the first").freeze();
        let holder = thread::spawn(move || drop(frozen));
        drop(pool);
        holder.join().expect("the holder");
        assert_eq!(budget.used(Use::Slabs), 0);
    });
}

/// A carry goes back and is handed out again; the budget is passed by nobody, and all of it comes back.
#[test]
fn carries_stay_within_their_budget_whoever_takes_them() {
    loom::model(|| {
        let budget = Budget::new(8 * 512);
        let pool = CarryPool::new(&budget);
        let other = {
            let (pool, budget) = (pool.clone(), budget.clone());
            thread::spawn(move || {
                let carry = pool.take(512);
                assert!(budget.used(Use::Carries) <= 512);
                drop(carry);
            })
        };
        if let Ok(mut carry) = pool.take(1) {
            carry.push(b"half a line").expect("it fits");
            assert_eq!(&carry[..], b"half a line");
        }
        other.join().expect("the other");
        assert!(pool.take(512).is_ok());
        pool.trim();
        assert_eq!(budget.used(Use::Carries), 0);
    });
}

/// Whoever was refused is woken by a release, or was not refused: nobody waits for ever for credit that is there.
#[test]
fn no_release_of_credit_goes_unnoticed() {
    loom::model(|| {
        let credit = Credit::new(100);
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        credit.on_release(move || {
            count.fetch_add(1, SeqCst);
        });
        let leases = [credit.take(50), credit.take(50)].map(|lease| lease.expect("within the share"));
        let holders = leases.map(|lease| thread::spawn(move || drop(lease)));
        let taken = credit.take(60);
        holders.into_iter().for_each(|holder| holder.join().expect("a holder"));
        assert!(taken.is_some() || woken.load(SeqCst) > 0, "refused and never woken");
        drop(taken);
        assert_eq!(credit.used(), 0);
        assert!(credit.take(100).is_some());
    });
}

/// Two that want the same credit: never both, and what a payload shrinks to is what is given back.
#[test]
fn credit_is_never_given_twice() {
    loom::model(|| {
        let credit = Credit::new(100);
        let other = {
            let credit = credit.clone();
            thread::spawn(move || {
                let mut lease = credit.take(60)?;
                assert!(credit.used() <= 100);
                lease.shrink_to(10);
                Some(())
            })
        };
        let own = credit.take(90);
        assert!(credit.used() <= 100);
        drop(own);
        let _ = other.join().expect("the other");
        assert_eq!(credit.used(), 0);
    });
}
