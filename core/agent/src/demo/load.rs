//! Containers that print at a set rate, each on a thread of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::container::{Printer, Written};

/// How often a container prints what is due.
const TICK: Duration = Duration::from_millis(5);

/// Containers at work, until stopped or dropped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    written: Vec<Written>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Load {
    /// Lets each container print `lines_per_second`, evenly.
    pub fn start(containers: Vec<Box<dyn Printer>>, lines_per_second: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let written = containers.iter().flat_map(|container| container.written()).collect();
        let threads = containers
            .into_iter()
            .map(|container| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || print(container, lines_per_second, &stop))
            })
            .collect();
        Load { stop, written, threads }
    }

    /// What each stream has written so far.
    pub fn written(&self) -> &[Written] {
        &self.written
    }

    /// Whether a writer has given up, which stop tells the reason of.
    pub fn failed(&self) -> bool {
        !self.stop.load(Relaxed) && self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Ends the writing, at a whole message in every stream, and gives the first error that a writer met.
    pub fn stop(mut self) -> io::Result<Vec<Written>> {
        self.end()?;
        Ok(std::mem::take(&mut self.written))
    }

    fn end(&mut self) -> io::Result<()> {
        self.stop.store(true, Relaxed);
        self.threads.drain(..).try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a writer's thread panicked")))
        })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Who wants the error calls stop.
        let _ = self.end();
    }
}

fn print(mut container: Box<dyn Printer>, lines_per_second: u64, stop: &AtomicBool) -> io::Result<()> {
    let start = Instant::now();
    let mut printed = 0;
    while !stop.load(Relaxed) {
        let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = lines_per_second.saturating_mul(elapsed_ms) / 1000;
        while printed < due && !stop.load(Relaxed) {
            printed += container.print()?;
        }
        thread::sleep(TICK);
    }
    Ok(())
}

/// The sums over streams: messages and their bytes.
pub fn total(written: &[Written]) -> (u64, u64) {
    written.iter().fold((0, 0), |(count, bytes), written| (count + written.count(), bytes + written.bytes()))
}
