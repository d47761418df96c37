//! A node that is against us: mounts that hang, disks that are slow, full or broken, limits that are used up,
//! a kernel without io_uring, a clock that jumps.

mod clock;
mod disk;
mod hung;
mod limits;
mod ring;
