//! How long to wait before the next attempt.

use std::time::{Duration, SystemTime};

/// The first wait after a failure.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// The longest wait that we choose ourselves.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// The longest wait that a backend may ask for by `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Waits that double from [`BACKOFF_MIN`] to [`BACKOFF_MAX`]. Each is cut by up to half at random, so that the lanes
/// of many nodes do not come back to a restarted backend in step.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure. Where its answer asked for `after`: that, and up to a tenth more at random.
    pub(crate) fn next(&mut self, after: Option<Duration>) -> Duration {
        let doubled = BACKOFF_MIN.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        match after {
            None => doubled.mul_f64(0.5 + fastrand::f64() / 2.0),
            Some(after) => after.clamp(BACKOFF_MIN, RETRY_AFTER_MAX).mul_f64(1.0 + fastrand::f64() / 10.0),
        }
    }
}

/// The value of `Retry-After` (RFC 9110, 10.2.3): seconds or an HTTP date. Nothing when it is neither.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    // A date in the past asks for no wait.
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_between_their_limits_and_differ() {
        let mut backoff = Backoff::default();
        for attempt in 0..40u32 {
            let full = (BACKOFF_MIN * 2u32.pow(attempt.min(9))).min(BACKOFF_MAX);
            let wait = backoff.next(None);
            assert!(wait >= full / 2 && wait <= full, "attempt {attempt}: {wait:?}");
        }
        let last: std::collections::HashSet<_> = (0..8).map(|_| backoff.next(None)).collect();
        assert!(last.len() > 1);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_capped() {
        let now = httpdate::parse_http_date("Fri, 02 Jan 2026 03:04:05 GMT").expect("date");
        assert_eq!(retry_after(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Fri, 02 Jan 2026 03:04:15 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Fri, 02 Jan 2026 03:04:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
        let mut backoff = Backoff::default();
        assert!(backoff.next(Some(Duration::ZERO)) >= BACKOFF_MIN);
        assert!(backoff.next(Some(Duration::from_secs(u64::MAX))) <= RETRY_AFTER_MAX.mul_f64(1.1));
    }
}
