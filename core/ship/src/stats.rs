//! What an output did: counters that outlive a reload, and log lines that cannot flood.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

/// One log line of each kind and output in this time; what was left out is counted in the next one.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What an output did since the start of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputStats {
    /// The output.
    pub name: String,
    /// Records that the backend has.
    pub delivered_records: u64,
    /// Bytes that the backend has, as they were sent.
    pub delivered_bytes: u64,
    /// The bytes of input that the records in them were made of.
    pub delivered_input_bytes: u64,
    /// Attempts that failed and were, or will be, made again.
    pub retries: u64,
    /// Records that the backend refused for good.
    pub refused_records: u64,
    /// The bytes of input that they were made of.
    pub refused_input_bytes: u64,
    /// Messages in which bytes that are not UTF-8 were replaced.
    pub replaced_utf8: u64,
    /// How often a file was made durable: once for all payloads that waited.
    pub syncs: u64,
    /// Batches that were given back undelivered.
    pub returned: u64,
    /// Batches handed over and not yet answered.
    pub in_flight: u64,
    /// Bytes of the output's share in use.
    pub credit_used: usize,
    /// The last error.
    pub last_error: Option<LastError>,
    /// Whoever read standard output is gone: nothing is delivered here any more.
    pub closed_pipe: bool,
}

/// The last thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// What went wrong.
    pub text: String,
    /// How long ago.
    pub age: Duration,
}

/// The counters of one output name.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) name: String,
    pub(crate) delivered_records: AtomicU64,
    pub(crate) delivered_bytes: AtomicU64,
    pub(crate) delivered_input_bytes: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) refused_records: AtomicU64,
    pub(crate) refused_input_bytes: AtomicU64,
    pub(crate) replaced_utf8: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) returned: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) closed_pipe: AtomicBool,
    last_error: Mutex<Option<(String, Instant)>>,
    retry_log: Quota,
    refusal_log: Quota,
}

impl Stats {
    pub(crate) fn new(name: &str) -> Self {
        Stats { name: name.to_owned(), ..Stats::default() }
    }

    /// An attempt failed and will be made again.
    pub(crate) fn retry(&self, why: String) {
        add(&self.retries, 1);
        if let Some(unsaid) = self.retry_log.take() {
            warn!(output = self.name, error = why, unsaid, "delivery failed, trying again");
        }
        self.failed(why);
    }

    /// The backend refused `records` for good.
    pub(crate) fn refused(&self, records: u64, input_bytes: u64, why: String) {
        add(&self.refused_records, records);
        add(&self.refused_input_bytes, input_bytes);
        if let Some(unsaid) = self.refusal_log.take() {
            warn!(output = self.name, answer = why, records, input_bytes, unsaid, "refused for good: lost");
        }
        self.failed(why);
    }

    pub(crate) fn snapshot(&self, credit_used: usize) -> OutputStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OutputStats {
            name: self.name.clone(),
            delivered_records: read(&self.delivered_records),
            delivered_bytes: read(&self.delivered_bytes),
            delivered_input_bytes: read(&self.delivered_input_bytes),
            retries: read(&self.retries),
            refused_records: read(&self.refused_records),
            refused_input_bytes: read(&self.refused_input_bytes),
            replaced_utf8: read(&self.replaced_utf8),
            syncs: read(&self.syncs),
            returned: read(&self.returned),
            in_flight: read(&self.in_flight),
            credit_used,
            last_error: lock(&self.last_error)
                .as_ref()
                .map(|(text, at)| LastError { text: text.clone(), age: at.elapsed() }),
            closed_pipe: self.closed_pipe.load(Ordering::Relaxed),
        }
    }

    fn failed(&self, why: String) {
        *lock(&self.last_error) = Some((why, Instant::now()));
    }
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leave to write one log line every [`LOG_EVERY`].
#[derive(Debug, Default)]
struct Quota(Mutex<(Option<Instant>, u64)>);

impl Quota {
    /// Leave to write, with the number of lines left out since the last one.
    fn take(&self) -> Option<u64> {
        let (last, unsaid) = &mut *lock(&self.0);
        if last.is_some_and(|last| last.elapsed() < LOG_EVERY) {
            *unsaid += 1;
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_errors_is_one_line_and_the_rest_is_counted() {
        let quota = Quota::default();
        assert_eq!(quota.take(), Some(0));
        assert_eq!((quota.take(), quota.take()), (None, None));
        lock(&quota.0).0 = Instant::now().checked_sub(LOG_EVERY);
        assert_eq!(quota.take(), Some(2));
    }
}
