//! Nanoseconds since 1970 as RFC 3339 in UTC, with as many fraction digits as needed.
//!
//! Records of one second follow each other, so the second's text is kept and only the fraction is written anew.
//! The years that an `i64` of nanoseconds can name are 1677 to 2262: always four digits.

/// The length of `YYYY-MM-DDTHH:MM:SS`.
const SECOND_LEN: usize = 19;
/// The longest text, `YYYY-MM-DDTHH:MM:SS.fffffffff`.
pub(crate) const LONGEST_TIME: usize = SECOND_LEN + 10;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Writes times; remembers the last second.
pub(crate) struct TimeWriter {
    second: i64,
    text: [u8; SECOND_LEN],
}

impl TimeWriter {
    pub(crate) fn new() -> Self {
        TimeWriter { second: 0, text: second_text(0) }
    }

    /// Writes the time without its `Z` to the beginning of `dst` and returns its length. What lies behind it, up to
    /// [`LONGEST_TIME`], is undefined.
    ///
    /// # Panics
    /// When `dst` is shorter than [`LONGEST_TIME`].
    #[inline]
    pub(crate) fn write(&mut self, time_ns: i64, dst: &mut [u8]) -> usize {
        let second = time_ns.div_euclid(NANOS_PER_SECOND);
        if second != self.second {
            (self.second, self.text) = (second, second_text(second));
        }
        let dst = &mut dst[..LONGEST_TIME];
        dst[..SECOND_LEN].copy_from_slice(&self.text);
        let mut fraction = time_ns.rem_euclid(NANOS_PER_SECOND).unsigned_abs();
        if fraction == 0 {
            return SECOND_LEN;
        }
        dst[SECOND_LEN] = b'.';
        for at in (SECOND_LEN + 1..LONGEST_TIME).rev() {
            dst[at] = digit(fraction % 10);
            fraction /= 10;
        }
        let mut len = LONGEST_TIME;
        while dst[len - 1] == b'0' {
            len -= 1;
        }
        len
    }
}

#[cold]
fn second_text(second: i64) -> [u8; SECOND_LEN] {
    let (year, month, day) = civil(second.div_euclid(SECONDS_PER_DAY));
    let of_day = second.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let mut text = *b"0000-00-00T00:00:00";
    let fields =
        [(year / 100, 0), (year % 100, 2), (month, 5), (day, 8), (hour, 11), (minute, 14), (second, 17)];
    for (value, at) in fields {
        text[at] = digit(value.unsigned_abs() / 10);
        text[at + 1] = digit(value.unsigned_abs());
    }
    text
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year, and days from 0000-03-01, so that
/// eras of 400 years (146,097 days) begin at 0.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day_of_month)
}

/// The last decimal digit of `value`.
#[inline]
fn digit(value: u64) -> u8 {
    b"0123456789"[(value % 10) as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(writer: &mut TimeWriter, time_ns: i64) -> String {
        let mut dst = [0xff; LONGEST_TIME];
        let len = writer.write(time_ns, &mut dst);
        String::from_utf8(dst[..len].to_vec()).expect("ASCII")
    }

    /// Counts whole years and months from 1970, as a child would.
    fn naive(time_ns: i64) -> String {
        let leap = |year: i64| i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
        let (seconds, nanos) = (time_ns.div_euclid(1_000_000_000), time_ns.rem_euclid(1_000_000_000));
        let (mut days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let mut year = 1970;
        while days < 0 {
            year -= 1;
            days += 365 + leap(year);
        }
        while days >= 365 + leap(year) {
            days -= 365 + leap(year);
            year += 1;
        }
        let months = [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut month = 0;
        while days >= months[month] {
            days -= months[month];
            month += 1;
        }
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let whole = format!(
            "{year:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}",
            month + 1,
            days + 1
        );
        whole.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    #[test]
    fn times_that_people_remember() {
        let mut writer = TimeWriter::new();
        for (time_ns, expected) in [
            (0, "1970-01-01T00:00:00"),
            (-1, "1969-12-31T23:59:59.999999999"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00"),
            (951_782_399_120_000_000, "2000-02-28T23:59:59.12"),
            (4_107_542_400_000_000_001, "2100-03-01T00:00:00.000000001"),
            (1_767_323_045_123_456_789, "2026-01-02T03:04:05.123456789"),
            (1_767_323_045_100_000_000, "2026-01-02T03:04:05.1"),
            (i64::MAX, "2262-04-11T23:47:16.854775807"),
            (i64::MIN, "1677-09-21T00:12:43.145224192"),
        ] {
            assert_eq!(written(&mut writer, time_ns), expected);
            assert_eq!(naive(time_ns), expected);
        }
    }

    #[test]
    fn every_day_that_can_be_named_has_the_date_that_counting_gives() {
        let mut writer = TimeWriter::new();
        for day in i64::MIN / 86_400_000_000_000..=i64::MAX / 86_400_000_000_000 {
            let time_ns = day * 86_400_000_000_000;
            assert_eq!(written(&mut writer, time_ns), naive(time_ns));
        }
    }

    proptest! {
        #[test]
        fn any_time_reads_as_the_naive_one_writes_it(
            times in proptest::collection::vec((any::<i64>(), -2_000_000_000i64..2_000_000_000), 1..5),
        ) {
            let mut writer = TimeWriter::new();
            for (time_ns, further) in times {
                // Near times share or leave the remembered second.
                for time_ns in [time_ns, time_ns.saturating_add(further), time_ns / 1_000_000 * 1_000_000] {
                    prop_assert_eq!(written(&mut writer, time_ns), naive(time_ns));
                }
            }
        }
    }
}
