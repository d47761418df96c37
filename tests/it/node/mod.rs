//! A node that is against us: mounts that hang, disks that are slow, full or broken, limits that are used up.

mod disk;
mod hung;
mod limits;
