//! What goes wrong, and how often. Probabilities are from 0.0 (never, the default) to 1.0.

use std::time::Duration;

/// The faults of a [`World`](super::World).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// A read brings fewer bytes than asked for and than there are, at least one.
    pub short_read: f64,
    /// A read fails with `EIO`, this once.
    pub read_error: f64,
    /// From this read on every read of the file fails with `EIO`, until [`World::heal`](super::World::heal).
    pub broken_file: f64,
    /// A read takes up to [`Faults::slow_max`].
    pub slow_read: f64,
    /// The longest that a slow read takes.
    pub slow_max: Duration,
    /// A wait hands out what is due in another order, and not all of it, but at least one.
    pub reorder: f64,
    /// A cancelled read goes on to its normal end.
    pub cancel_ignored: f64,
    /// Opening fails, with `EACCES`, `ENOENT` (not twice in succession for one path), `EMFILE` or `EIO`.
    pub open_error: f64,
    /// `stat` or `canonical` fails, with `EACCES`, `ENOENT` (as above) or `EIO`.
    pub stat_error: f64,
    /// A listing fails, with `EACCES`, `ENOENT` (as above), `EMFILE` or `EIO`.
    pub read_dir_error: f64,
    /// A listing leaves an entry out, as when it is renamed meanwhile: of a directory that changed within a second.
    pub missed_entry: f64,
    /// A change is dropped and an overflow reported instead.
    pub overflow: f64,
    /// A watch is refused as [`WatchError::Exhausted`](crate::WatchError::Exhausted).
    pub watch_exhausted: f64,
    /// A watch is granted and never reports anything, as on overlay's upper directory on old kernels.
    pub blind_watch: f64,
    /// A wait reports no changes though there are some; a later one does.
    pub late_changes: f64,
    /// A new file gets the inode number of one that was deleted.
    pub inode_reuse: f64,
    /// Writing, resizing or syncing the checkpoint's storage fails with `EIO`.
    pub storage_error: f64,
    /// Writing or enlarging the checkpoint's storage fails with `ENOSPC`.
    pub storage_full: f64,
    /// A write to the storage that a crash did not lose is torn at its 512-byte sectors.
    pub torn_write: f64,
}

impl Faults {
    /// No fault at all.
    pub fn none() -> Self {
        Faults::default()
    }

    /// A random choice of faults, each rare enough for the work to go on. About half of them are off: faults that are
    /// always together hide what each would show alone.
    pub fn random(rng: &mut fastrand::Rng) -> Self {
        let mut up_to = |most: f64| if rng.bool() { rng.f64() * most } else { 0.0 };
        Faults {
            short_read: up_to(0.5),
            read_error: up_to(0.1),
            broken_file: up_to(0.005),
            slow_read: up_to(0.5),
            reorder: up_to(1.0),
            cancel_ignored: up_to(1.0),
            open_error: up_to(0.1),
            stat_error: up_to(0.1),
            read_dir_error: up_to(0.1),
            missed_entry: up_to(0.1),
            overflow: up_to(0.05),
            watch_exhausted: up_to(0.5),
            blind_watch: up_to(0.3),
            late_changes: up_to(0.8),
            inode_reuse: up_to(1.0),
            storage_error: up_to(0.01),
            storage_full: up_to(0.01),
            torn_write: up_to(1.0),
            slow_max: Duration::from_millis(rng.u64(1..2_000)),
        }
    }
}

/// Whether a fault of this probability happens now. Draws nothing when it is off.
pub(super) fn strikes(rng: &mut fastrand::Rng, chance: f64) -> bool {
    chance > 0.0 && rng.f64() < chance
}
