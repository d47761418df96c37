//! What DESIGN section 9 promises of memory and processor time, required of an agent at work.
//!
//! Processor time is the process's own, so that a busy machine hardly changes it.

use std::time::{Duration, Instant};

use super::scene::Running;

/// Resident memory with a hot file, and with few files of which nothing can move.
pub(crate) const FEW_FILES: u64 = (30 << 20) + DEBUG_CODE;
/// Resident memory with 10,000 files: 10 MiB less than promised, and as much more as was ever seen.
pub(crate) const MANY_FILES: u64 = (90 << 20) + DEBUG_CODE;
/// By how much the code of a debug build is larger in memory: in every scene it had 6 MiB more than a release build.
const DEBUG_CODE: u64 = if cfg!(debug_assertions) { 7 << 20 } else { 0 };
/// Processor time of an agent that has nothing to do or can do nothing, with few files, in percent of a core.
pub(crate) const QUIET: f64 = 3.0;
/// Over how long processor time is taken: a look at everything comes every five seconds.
const WINDOW: Duration = Duration::from_secs(5);

/// Requires that the agent has never had more than this much resident memory, in bytes; tells how much it was.
#[track_caller]
pub(crate) fn require_memory(scene: &str, agent: &mut Running, at_most: u64) {
    agent.must_live();
    let peak = agent.0.usage().peak_rss;
    println!("FIG {scene}: memory at most {} MiB", peak >> 20);
    assert!(peak > 0 && peak <= at_most, "{scene}: {} KiB of {} KiB", peak >> 10, at_most >> 10);
}

/// Requires that the agent, which has nothing that it could do, takes at most this much of a core, in percent.
#[track_caller]
pub(crate) fn require_quiet(scene: &str, agent: &mut Running, at_most: f64) {
    agent.must_live();
    let (before, began) = (agent.0.usage().cpu, Instant::now());
    std::thread::sleep(WINDOW);
    let (taken, window) = (agent.0.usage().cpu - before, began.elapsed());
    let percent = 100.0 * taken.as_secs_f64() / window.as_secs_f64();
    println!("FIG {scene}: {percent:.1} % of a core, {taken:?} in {window:?}");
    assert!(percent <= at_most, "{scene}: {percent:.1} % of a core, {taken:?} in {window:?}");
    agent.must_live();
}
