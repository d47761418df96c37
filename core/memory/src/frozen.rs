//! Frozen bytes: shared and immutable, whoever held them first.

use std::fmt;
use std::ops::Deref;

use crate::carry::Carry;
use crate::slab::FrozenRegion;
use crate::sync::Arc;

/// A counted reference to bytes that nobody writes any more. Cloning costs one atomic increment.
#[derive(Clone)]
pub struct Frozen(Owner);

#[derive(Clone)]
enum Owner {
    Region(FrozenRegion),
    Carry(Arc<Carry>),
}

impl Frozen {
    /// Grows this range over `next` when both lie in one slab and `next` begins where this ends.
    /// Then offsets into `next` are offsets into this, moved by the old length.
    pub fn try_extend(&mut self, next: &Frozen) -> bool {
        match (&mut self.0, &next.0) {
            (Owner::Region(own), Owner::Region(next)) => own.try_extend(next),
            _ => false,
        }
    }
}

impl From<FrozenRegion> for Frozen {
    fn from(region: FrozenRegion) -> Self {
        Frozen(Owner::Region(region))
    }
}

impl From<Carry> for Frozen {
    fn from(carry: Carry) -> Self {
        Frozen(Owner::Carry(Arc::new(carry)))
    }
}

impl Deref for Frozen {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Owner::Region(region) => region,
            Owner::Carry(carry) => carry,
        }
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frozen({} bytes)", self.len())
    }
}
