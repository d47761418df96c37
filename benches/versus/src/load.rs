//! What other programs took of the processors while a collector was measured: the doubt that belongs to its figures.

use std::fs;
use std::io;
use std::num::NonZero;
use std::thread;
use std::time::Instant;

use crate::process::{cpu_s_in, seconds};

/// The processors' time when a measurement began.
pub(crate) struct Load {
    began: Instant,
    busy_s: f64,
    own_s: f64,
}

impl Load {
    pub(crate) fn begin() -> io::Result<Self> {
        Ok(Load { began: Instant::now(), busy_s: busy_s()?, own_s: own_s()? })
    }

    /// The share of all processors that was taken since then by what is neither this program nor the collector, which
    /// took `collector_s`.
    pub(crate) fn others_percent(&self, collector_s: f64) -> io::Result<f64> {
        let others_s = (busy_s()? - self.busy_s) - (own_s()? - self.own_s) - collector_s;
        let all_s = self.began.elapsed().as_secs_f64() * processors();
        Ok((100.0 * others_s / all_s).clamp(0.0, 100.0))
    }
}

/// Of the machine, not of those that this program may use.
fn processors() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let is_one = |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| !rest.starts_with(' '));
    let count = stat.lines().filter(is_one).count();
    let count = if count == 0 { thread::available_parallelism().map_or(1, NonZero::get) } else { count };
    count as f64
}

/// What all programs took so far, and what a hypervisor gave to others.
fn busy_s() -> io::Result<f64> {
    Ok(busy_s_in(&fs::read_to_string("/proc/stat")?))
}

/// The first line's user, nice, system, irq, softirq and steal. Those of guests are in user and nice.
fn busy_s_in(stat: &str) -> f64 {
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    seconds([0, 1, 2, 5, 6, 7].iter().filter_map(|at| fields.get(*at)).sum())
}

/// What this program took so far.
fn own_s() -> io::Result<f64> {
    Ok(cpu_s_in(&fs::read_to_string("/proc/self/stat")?, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// user 1, nice 2, system 3, idle 4, iowait 5, irq 6, softirq 7, steal 8, guest 9, guest_nice 10.
    #[test]
    fn waiting_and_guests_are_not_counted_as_work_of_their_own() {
        let busy = busy_s_in("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
        assert!((busy - seconds(1 + 2 + 3 + 6 + 7 + 8)).abs() < 1e-9, "{busy}");
    }

    /// What this program itself takes is not another's: a collector of which it was told that it took as much as was
    /// taken leaves nothing.
    #[test]
    fn own_work_and_the_collector_s_are_left_out() {
        let load = Load::begin().expect("the kernel tells");
        let began = Instant::now();
        while began.elapsed().as_millis() < 300 {}
        let own = own_s().expect("the kernel tells") - load.own_s;
        assert!(own > 0.0, "{own}");
        let others = load.others_percent(0.0).expect("the kernel tells");
        assert!((0.0..=100.0).contains(&others), "{others}");
        let busy = busy_s().expect("the kernel tells") - load.busy_s;
        let none = load.others_percent(busy + 1.0).expect("the kernel tells");
        assert!(none.abs() < 1e-9, "{none}");
    }
}
