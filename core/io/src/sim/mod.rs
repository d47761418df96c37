//! The simulator: a whole machine in memory, decided by one seed, with injected faults.
//!
//! ```text
//! test: create, append, rename, crash, advance --> World <-- fs(), io(), watcher(), clock(), storage(): the code under test
//!                                       seed, Faults --^ --> history(), fingerprint()
//! ```
//! A [`World`] holds a virtual file system, virtual time, watches, and the storage of the checkpoint. Nothing happens by
//! itself and nothing sleeps: the test changes files and lets time pass between the steps of the code under test. Equal seeds
//! and equal calls give equal histories, so that a seed is a whole report of a failure.
//!
//! After [`World::crash`] or [`World::kill`] the same world serves a new incarnation of the process.
//! What happens between one call of the file system and the next is for the test to say with [`Meddle`].
//!
//! Never here: the real file system, clock or randomness. Limits: one device, no permissions, no hard-link or handle-true
//! names in watches (a file's changes are told under its oldest name), no FIFOs or devices.

mod alarm;
mod clock;
mod disk;
mod faults;
mod files;
mod history;
mod meddle;
mod reads;
mod storage;
mod tree;
mod walk;
mod watcher;
mod watches;
mod world;
mod writer;

pub(crate) use alarm::Alarm;
pub use clock::SimClock;
pub use faults::Faults;
pub(crate) use files::Handle;
pub use files::SimFs;
pub use meddle::{Call, Meddle};
pub use reads::SimIo;
pub use storage::SimStorage;
pub use watcher::SimWatch;
pub use world::World;
pub use writer::Writer;

#[cfg(test)]
mod tests;
