//! The time as container runtimes and kubelet write it, in UTC.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment of the calendar.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    of_day: u64,
    nanos: u32,
}

fn now() -> Civil {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    civil(since.as_secs(), since.subsec_nanos())
}

/// Howard Hinnant's days to civil date.
fn civil(seconds: u64, nanos: u32) -> Civil {
    let days = i64::try_from(seconds / 86_400).unwrap_or(0) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * shifted + 2) / 5 + 1,
        of_day: seconds % 86_400,
        nanos,
    }
}

/// Appends the time as Go's RFC3339Nano does: no trailing zeros in the fraction.
pub(super) fn push_rfc3339(into: &mut Vec<u8>) {
    let mut text = String::with_capacity(30);
    rfc3339(&now(), &mut text);
    into.extend_from_slice(text.as_bytes());
}

fn rfc3339(at: &Civil, text: &mut String) {
    let (hour, minute, second) = (at.of_day / 3600, at.of_day / 60 % 60, at.of_day % 60);
    // Writing to a String cannot fail.
    let _ = write!(text, "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}", at.year, at.month, at.day);
    if at.nanos != 0 {
        let _ = write!(text, ".{:09}", at.nanos);
        text.truncate(text.trim_end_matches('0').len());
    }
    text.push('Z');
}

/// `YYYYMMDD-HHMMSS`, the suffix of a file that kubelet rotated.
pub(super) fn rotation_suffix() -> String {
    let at = now();
    let (hour, minute, second) = (at.of_day / 3600, at.of_day / 60 % 60, at.of_day % 60);
    format!("{:04}{:02}{:02}-{hour:02}{minute:02}{second:02}", at.year, at.month, at.day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, nanos, expected) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_400, 120_000_000, "2000-02-29T00:00:00.12Z"),
            (1_767_323_045, 123_456_789, "2026-01-02T03:04:05.123456789Z"),
            (4_102_444_799, 1, "2099-12-31T23:59:59.000000001Z"),
        ] {
            let mut text = String::new();
            rfc3339(&civil(seconds, nanos), &mut text);
            assert_eq!(text, expected);
        }
    }
}
