//! RFC 3339 timestamps, to nanoseconds since 1970.
//!
//! `YYYY-MM-DDThh:mm:ss[.f]Z` or `±hh:mm` in place of `Z`, with 1 to 9 digits in the fraction: what Go's `RFC3339Nano`
//! writes. Dates that do not exist are refused, and second 60 too: Go, so kubelet, neither writes nor reads it.
//! Years 1678 to 2261, which 64 bits of nanoseconds hold whole.
//!
//! Lines of one file differ in seconds and fraction, so that date, hour and minute are worked out once and compared
//! afterwards; eight digits of the fraction are read as one number.

/// Bytes of `YYYY-MM-DDThh:mm:`.
const MINUTE_LEN: usize = 17;
const NS_PER_S: i64 = 1_000_000_000;

/// Reads timestamps; remembers the minute that it saw last.
#[derive(Clone, Debug)]
pub(crate) struct Timestamps {
    minute: [u8; MINUTE_LEN],
    /// When `minute` began, as if its zone were UTC.
    minute_ns: i64,
}

impl Timestamps {
    pub(crate) fn new() -> Self {
        Timestamps { minute: *b"1970-01-01T00:00:", minute_ns: 0 }
    }

    /// The time that `text` begins with, and how many bytes it takes.
    #[inline(always)] // 3 ns a line
    pub(crate) fn read(&mut self, text: &[u8]) -> Option<(i64, usize)> {
        if let Some(usual) = text.first_chunk::<30>()
            && usual[19] == b'.'
            && usual[29] == b'Z'
            && let Some(eight) = usual[20..].first_chunk().and_then(eight_digits)
            && let Some(ninth) = digit(usual[28])
        {
            return Some((self.second_ns(usual)? + eight * 10 + ninth, 30));
        }
        self.read_any(text)
    }

    /// When the second began that `text` begins with: `YYYY-MM-DDThh:mm:ss`.
    #[inline]
    fn second_ns(&mut self, text: &[u8]) -> Option<i64> {
        let minute = text.first_chunk::<MINUTE_LEN>()?;
        if *minute != self.minute {
            self.minute_ns = minute_ns(minute)?;
            self.minute = *minute;
        }
        let second = two_digits(text, MINUTE_LEN).filter(|second| *second < 60)?;
        Some(self.minute_ns + second * NS_PER_S)
    }

    #[cold]
    fn read_any(&mut self, text: &[u8]) -> Option<(i64, usize)> {
        let second_ns = self.second_ns(text)?;
        let (fraction_ns, at) = fraction(text, MINUTE_LEN + 2)?;
        let (offset_ns, end) = zone(text, at)?;
        Some((second_ns + fraction_ns - offset_ns, end))
    }
}

/// The fraction at `at`, none included, and where it ends.
fn fraction(text: &[u8], at: usize) -> Option<(i64, usize)> {
    if *text.get(at)? != b'.' {
        return Some((0, at));
    }
    let (mut value, mut unit, mut at) = (0, NS_PER_S, at + 1);
    while let Some(digit) = text.get(at).and_then(|byte| digit(*byte)) {
        unit /= 10;
        value += digit * unit;
        at += 1;
        if unit == 1 {
            break;
        }
    }
    (unit < NS_PER_S).then_some((value, at))
}

/// The zone at `at` as what UTC is behind it, and where it ends.
fn zone(text: &[u8], at: usize) -> Option<(i64, usize)> {
    let sign = match *text.get(at)? {
        b'Z' => return Some((0, at + 1)),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = two_digits(text, at + 1).filter(|hours| *hours < 24)?;
    let minutes = two_digits(text, at + 4).filter(|minutes| *minutes < 60)?;
    (text[at + 3] == b':').then_some((sign * (hours * 60 + minutes) * 60 * NS_PER_S, at + 6))
}

/// When the minute `YYYY-MM-DDThh:mm:` began, as if it were UTC.
#[cold]
fn minute_ns(text: &[u8; MINUTE_LEN]) -> Option<i64> {
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| text[*at] != *mark) {
        return None;
    }
    let year = two_digits(text, 0)? * 100 + two_digits(text, 2)?;
    let month = two_digits(text, 5)?;
    let day = two_digits(text, 8)?;
    let hour = two_digits(text, 11)?;
    let minute = two_digits(text, 14)?;
    let legal = (1678..=2261).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60;
    // Other years would overflow here.
    legal.then(|| ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 * NS_PER_S)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant's `days_from_civil`: years counted from March, so that the leap day is the last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[inline]
fn digit(byte: u8) -> Option<i64> {
    let value = byte.wrapping_sub(b'0');
    (value < 10).then_some(i64::from(value))
}

#[inline]
fn two_digits(text: &[u8], at: usize) -> Option<i64> {
    let [tens, ones] = text.get(at..)?.first_chunk()?;
    Some(digit(*tens)? * 10 + digit(*ones)?)
}

/// Eight digits as one number: checked and summed pairwise in one register.
#[inline]
fn eight_digits(text: &[u8; 8]) -> Option<i64> {
    let value = u64::from_le_bytes(*text).wrapping_sub(0x3030_3030_3030_3030);
    // A byte below '0' borrows, one above '9' carries: either sets a high bit of its own byte or the next.
    if (value | value.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = (value * 10).wrapping_add(value >> 8) & 0x00ff_00ff_00ff_00ff;
    let quads = pairs.wrapping_mul(1 + (100 << 16)) >> 16 & 0x0000_ffff_0000_ffff;
    let all = quads.wrapping_mul(1 + (10_000 << 32)) >> 32;
    i64::try_from(all).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringtail_oracles::time::naive;

    use super::*;

    /// Reads `text` when nothing but it is there, and in front of other bytes.
    fn read(clock: &mut Timestamps, text: &str) -> Option<i64> {
        let alone = clock.read(text.as_bytes()).filter(|(_, len)| *len == text.len());
        let followed =
            clock.read(format!("{text} stdout F Z").as_bytes()).filter(|(_, len)| *len == text.len());
        assert_eq!(alone, followed, "{text}");
        alone.map(|(time_ns, _)| time_ns)
    }

    fn legal() -> impl Strategy<Value = String> {
        let date = (1678..=2261i64, 1..=12i64, 1..=31i64);
        let fraction = prop_oneof![Just(String::new()), "\\.[0-9]{1,9}", "\\.[0-9]{9}"];
        let zone = prop_oneof![Just("Z".to_owned()), "[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]"];
        let time = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]";
        (date, time, fraction, zone).prop_map(|((year, month, day), time, fraction, zone)| {
            let day = day.min(days_of_month(year, month));
            format!("{year:04}-{month:02}-{day:02}T{time}{fraction}{zone}")
        })
    }

    proptest! {
        #[test]
        fn legal_times_are_what_counting_days_says(texts in proptest::collection::vec(legal(), 1..4)) {
            let mut clock = Timestamps::new();
            for text in &texts {
                let expected = naive(text);
                prop_assert!(expected.is_some());
                prop_assert_eq!(read(&mut clock, text), expected);
            }
        }

        /// One byte changed, the minute remembered or not.
        #[test]
        fn broken_times_are_refused_as_the_naive_reader_refuses_them(
            text in legal(), at in 0..35usize, byte in "[0-9:.TZ+ a-]", known in any::<bool>(),
        ) {
            let mut clock = Timestamps::new();
            if known {
                clock.read(text.as_bytes());
            }
            let at = at % text.len();
            let broken = format!("{}{byte}{}", &text[..at], &text[at + 1..]);
            let read = clock.read(broken.as_bytes()).filter(|(_, len)| *len == broken.len());
            prop_assert_eq!(read.map(|(time_ns, _)| time_ns), naive(&broken), "{}", broken);
        }

        #[test]
        fn eight_digits_are_read_as_a_number_is(text in "[0-9/:\\x00-\\x7f]{8}|[0-9]{8}") {
            let bytes = text.as_bytes().first_chunk().expect("eight ASCII characters");
            let expected = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().expect("digits"));
            prop_assert_eq!(eight_digits(bytes), expected);
        }
    }

    #[test]
    fn any_byte_but_a_digit_is_found_at_any_place() {
        for at in 0..8 {
            for byte in 0..=u8::MAX {
                let mut text = *b"90909090";
                text[at] = byte;
                assert_eq!(eight_digits(&text).is_some(), byte.is_ascii_digit(), "{text:?}");
            }
        }
    }

    #[test]
    fn the_days_around_leap_years_and_the_ends_of_the_range() {
        for text in [
            "2000-02-29T00:00:00Z",
            "2024-02-29T23:59:59Z",
            "1678-01-01T00:00:00+23:59",
            "2261-12-31T23:59:59.999999999-23:59",
        ] {
            assert_eq!(read(&mut Timestamps::new(), text), naive(text), "{text}");
            assert!(naive(text).is_some(), "{text}");
        }
        for text in [
            "1900-02-29T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "1677-12-31T00:00:00Z",
            "2262-01-01T00:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T24:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00.1234567890Z",
            "2024-01-01T00:00:00",
        ] {
            assert_eq!(read(&mut Timestamps::new(), text), None, "{text}");
        }
    }
}
