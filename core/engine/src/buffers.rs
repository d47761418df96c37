//! The memory that one shard reads into: parts of slabs, handed out densely, and scratch for small reads.

use ringtail_memory::{Carry, CarryPool, Frozen, Region, SLAB_BYTES, SlabPool};

/// A read that is expected to bring much goes straight into a slab, in pieces of this size.
pub(crate) const LARGE_READ: usize = 256 << 10;

/// A read that is expected to bring little goes into scratch, and what came is packed densely.
pub(crate) const SMALL_READ: usize = 16 << 10;

/// A region shorter than this is not worth a read: the rest of its slab is left.
const SHORTEST_READ: usize = 64 << 10;

/// A half line longer than this is put together in a carry, where it finds room beside a whole read.
const LONGEST_IN_SLAB: usize = SLAB_BYTES / 2;

/// One shard's slabs in use.
pub(crate) struct Buffers {
    slabs: SlabPool,
    carries: CarryPool,
    current: Option<Region>,
    scratch: Vec<Region>,
}

/// Bytes on the way from the kernel to the decoder: unique and writable, in a slab or in a carry.
pub(crate) enum Chunk {
    Region(Region),
    Carry(Carry),
}

/// What a read was expected to bring, which decides where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadSize {
    Small,
    Large,
}

/// No memory for now: slabs or carries are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

impl Buffers {
    pub(crate) fn new(slabs: SlabPool, carries: CarryPool) -> Self {
        Buffers { slabs, carries, current: None, scratch: Vec::new() }
    }

    /// Room for a large read behind `half_line`, which is copied in front, and behind `known` bytes that are read once
    /// more: the region, and where new bytes are to lie in it.
    pub(crate) fn large(&mut self, half_line: &[u8], known: usize) -> Result<(Region, usize), NoMemory> {
        let in_front = if half_line.len() > LONGEST_IN_SLAB { &[] } else { half_line };
        let at = in_front.len().max(known);
        let mut region = self.region(at + LARGE_READ, at + SHORTEST_READ)?;
        region[at - in_front.len()..at].copy_from_slice(in_front);
        Ok((region, at))
    }

    /// Room for a small read.
    pub(crate) fn small(&mut self) -> Result<Region, NoMemory> {
        if self.scratch.is_empty() {
            let mut slab = self.slabs.take().ok_or(NoMemory)?;
            while slab.len() >= SMALL_READ {
                self.scratch.push(slab.split_to(SMALL_READ));
            }
        }
        self.scratch.pop().ok_or(NoMemory)
    }

    /// Takes a read's buffer back whose bytes are not wanted.
    pub(crate) fn recycle(&mut self, mut region: Region, size: ReadSize) {
        match (size, &mut self.current) {
            (ReadSize::Small, _) => self.scratch.push(region),
            // Only succeeds for the latest read of the slab; otherwise its bytes are free with the slab.
            (ReadSize::Large, Some(current)) => drop(region.give_back(0, current)),
            (ReadSize::Large, None) => {}
        }
    }

    /// Puts `half_line` and what was read together: `read[at..at + n]`, before which the half line lies already where
    /// [`Buffers::large`] had room for it.
    pub(crate) fn chunk(
        &mut self,
        half_line: &[u8],
        mut read: Region,
        size: ReadSize,
        at: usize,
        n: usize,
    ) -> Result<Chunk, NoMemory> {
        let len = half_line.len() + n;
        if half_line.len() <= at && size == ReadSize::Large {
            if let Some(current) = &mut self.current {
                read.give_back(at + n, current);
            }
            drop(read.split_to(at - half_line.len()));
            return Ok(Chunk::Region(read.split_to(len)));
        }
        let chunk = self.packed(half_line, &read[at..at + n]);
        self.recycle(read, size);
        chunk
    }

    /// A dense copy of two pieces.
    pub(crate) fn packed(&mut self, front: &[u8], back: &[u8]) -> Result<Chunk, NoMemory> {
        let len = front.len() + back.len();
        if len > SLAB_BYTES {
            let mut carry = self.carries.take(len).map_err(|_| NoMemory)?;
            carry.push(front).and_then(|()| carry.push(back)).map_err(|_| NoMemory)?;
            return Ok(Chunk::Carry(carry));
        }
        let mut region = self.region(len, len)?;
        region[..front.len()].copy_from_slice(front);
        region[front.len()..].copy_from_slice(back);
        Ok(Chunk::Region(region))
    }

    /// Lets the current slab and all scratch go; for a shard that has gone idle.
    pub(crate) fn release(&mut self) {
        self.current = None;
        self.scratch.clear();
    }

    /// A region of `len` bytes, or of what the current slab still has if that is at least `least`.
    fn region(&mut self, len: usize, least: usize) -> Result<Region, NoMemory> {
        if self.current.as_ref().is_none_or(|current| current.len() < least) {
            // Dropped first: if nobody else holds the old slab, it is the one that comes back, still warm.
            self.current = None;
            self.current = Some(self.slabs.take().ok_or(NoMemory)?);
        }
        let current = self.current.as_mut().ok_or(NoMemory)?;
        Ok(current.split_to(len.min(current.len())))
    }
}

impl Chunk {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Region(region) => region,
            Chunk::Carry(carry) => carry,
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Chunk::Region(region) => region,
            Chunk::Carry(carry) => carry,
        }
    }

    /// Lets the first `len` bytes go.
    pub(crate) fn skip(&mut self, len: usize) {
        match self {
            Chunk::Region(region) => drop(region.split_to(len)),
            Chunk::Carry(carry) => {
                carry.copy_within(len.., 0);
                carry.truncate(carry.len() - len);
            }
        }
    }

    /// Freezes the first `len` bytes; the rest is let go.
    pub(crate) fn freeze(self, len: usize) -> Frozen {
        match self {
            Chunk::Region(mut region) => region.split_to(len).freeze(),
            Chunk::Carry(carry) => carry.into(),
        }
    }
}
