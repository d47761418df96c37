//! The engine in a simulated machine: containers log and are rotated, outputs answer late, the process is killed, and
//! the promises are checked record by record. One seed decides a whole run.
//!
//! ```text
//! run (driver): chooses what happens next
//!   container: writes, rotates --> World <-- process: scanner, shards, checkpoint, stepped one at a time
//!                                               \--batches--> backend: delivers, answers
//!   live: containers go on between two calls of the scanner
//!   ledger: what must come, in which order, and what may come again <--/
//! ```
//! `RINGTAIL_SIM_SEEDS` is a number of seeds to run (`200`), or which ones (`17..18`). A failure prints its seed and what
//! happened in the world before it.

mod backend;
mod container;
mod ledger;
mod live;
mod process;
mod run;
mod scenes;
mod text;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use ringtail_io::sim::World;

use run::Run;

/// Seeds of a usual test run.
const SEEDS: u64 = 150;

/// What lies far, in half of the runs.
const FAR: [&str; 6] = ["/var/log/pods", "/var/lib/docker", "/var/log", "", "", ""];

fn seeds() -> Range<u64> {
    let Ok(wanted) = std::env::var("RINGTAIL_SIM_SEEDS") else { return 0..SEEDS };
    let number = |text: &str| text.parse().expect("RINGTAIL_SIM_SEEDS is a number, or two with .. between");
    match wanted.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&wanted),
    }
}

/// Runs one seed; when that fails, says what led there.
fn simulate(seed: u64) {
    let world = World::new(seed);
    let far = usize::try_from(seed % 6).map_or("", |number| FAR[number]);
    if !far.is_empty() {
        world.set_far(far);
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| Run::new(&world).play()));
    if let Err(panic) = outcome {
        for line in world.history() {
            eprintln!("{line}");
        }
        eprintln!("seed {seed} failed: RINGTAIL_SIM_SEEDS={seed}..{}", seed + 1);
        resume_unwind(panic);
    }
}

#[test]
fn nothing_is_lost_nothing_comes_out_of_order_and_only_what_may_is_repeated() {
    seeds().for_each(simulate);
}

/// Without this a seed would report nothing.
#[test]
fn a_seed_decides_everything() {
    let fingerprint = |seed| {
        let world = World::new(seed);
        Run::new(&world).play();
        world.fingerprint()
    };
    assert_eq!(fingerprint(3), fingerprint(3));
    assert_ne!(fingerprint(3), fingerprint(4));
}
