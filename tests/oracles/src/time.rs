//! RFC 3339, read field by field with the standard library's parsing of numbers, days counted one by one.

use std::ops::RangeInclusive;

const NS_PER_S: i64 = 1_000_000_000;

/// Nanoseconds since 1970 of `text`, which is nothing but a timestamp of the years 1678 to 2261; the zone is `Z` or
/// `+hh:mm` or `-hh:mm`, the fraction has 1 to 9 digits or is not there.
pub fn naive(text: &str) -> Option<i64> {
    if !text.is_ascii() || text.len() < 20 {
        return None;
    }
    let (date_time, rest) = text.split_at(19);
    let mark = |at: usize, mark: &str| (&date_time[at..=at] == mark).then_some(());
    mark(4, "-").and(mark(7, "-")).and(mark(10, "T")).and(mark(13, ":")).and(mark(16, ":"))?;
    let year = number(&date_time[..4], 1678..=2261)?;
    let month = number(&date_time[5..7], 1..=12)?;
    let day = number(&date_time[8..10], 1..=days_of_month(year, month))?;
    let hour = number(&date_time[11..13], 0..=23)?;
    let minute = number(&date_time[14..16], 0..=59)?;
    let second = number(&date_time[17..19], 0..=59)?;
    let at = rest.find(['Z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(at);
    let nanos = nanos(fraction)?;
    let offset = offset_minutes(zone)?;
    Some(sum(year, month, day, (hour * 60 + minute - offset) * 60 + second, nanos))
}

/// The same of the timestamp that `text` begins with, and its length.
pub fn naive_prefix(text: &[u8]) -> Option<(i64, usize)> {
    let digits = text.get(20..).filter(|_| text.get(19) == Some(&b'.')).unwrap_or_default();
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let zone_at = 19 + if text.get(19) == Some(&b'.') { 1 + digits } else { 0 };
    let len = zone_at + if text.get(zone_at) == Some(&b'Z') { 1 } else { 6 };
    let text = std::str::from_utf8(text.get(..len)?).ok()?;
    Some((naive(text)?, len))
}

fn nanos(fraction: &str) -> Option<i64> {
    match fraction.strip_prefix('.') {
        None => fraction.is_empty().then_some(0),
        Some(digits) if (1..=9).contains(&digits.len()) => {
            let legal = digits.bytes().all(|byte| byte.is_ascii_digit());
            number(&format!("{digits:0<9}"), 0..=999_999_999).filter(|_| legal)
        }
        Some(_) => None,
    }
}

fn offset_minutes(zone: &str) -> Option<i64> {
    match zone.len() {
        1 => (zone == "Z").then_some(0),
        6 if &zone[3..4] == ":" && !zone.starts_with('Z') => {
            let minutes = number(&zone[1..3], 0..=23)? * 60 + number(&zone[4..], 0..=59)?;
            Some(if zone.starts_with('-') { -minutes } else { minutes })
        }
        _ => None,
    }
}

fn number(text: &str, range: RangeInclusive<i64>) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|number| range.contains(number))
}

fn sum(year: i64, month: i64, day: i64, second_of_day: i64, nanos: i64) -> i64 {
    let days_of_year = |year| (1..=12).map(|month| days_of_month(year, month)).sum::<i64>();
    let years: i64 = if year >= 1970 {
        (1970..year).map(days_of_year).sum()
    } else {
        -(year..1970).map(days_of_year).sum::<i64>()
    };
    let days = years + (1..month).map(|month| days_of_month(year, month)).sum::<i64>() + day - 1;
    (days * 86_400 + second_of_day) * NS_PER_S + nanos
}

/// How many days a month has.
pub fn days_of_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
