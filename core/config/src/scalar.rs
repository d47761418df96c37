//! Sizes and durations as people write them.

use std::time::Duration;

const SIZES: [(&str, u64); 5] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];

const DURATIONS_MS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Bytes: `1048576`, `128MiB`, `1GiB`. The error says what to write instead.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let Ok(number) = number.parse::<u64>() else {
        return Err(
            "is not a size; write a number of bytes, or one with KiB, MiB or GiB, as in `128MiB`".into()
        );
    };
    let factor = match unit {
        "" => 1,
        unit => match SIZES.iter().find(|(name, _)| *name == unit) {
            Some((_, factor)) => *factor,
            None => return Err(format!("has the unknown unit `{unit}`; {}", better_size(number, unit))),
        },
    };
    number.checked_mul(factor).ok_or_else(|| "is too large for a size".into())
}

/// `64MB`, `64M` and `64mib` are meant as `64MiB` by whoever writes them.
fn better_size(number: u64, unit: &str) -> String {
    let first = unit.chars().next().map(|first| first.to_ascii_uppercase());
    match SIZES.iter().find(|(name, _)| name.chars().next() == first && *name != "B") {
        Some((name, _)) => format!("write `{number}{name}`"),
        None => "write KiB, MiB or GiB, or bytes without a unit".into(),
    }
}

/// A time span: `250ms`, `5s`, `1h`. The error says what to write instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let Ok(number) = number.parse::<u64>() else {
        return Err(
            "is not a duration; write a whole number with ms, s, m, h or d, as in `5s` or `1500ms`".into()
        );
    };
    match DURATIONS_MS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => match number.checked_mul(*factor) {
            Some(ms) => Ok(Duration::from_millis(ms)),
            None => Err("is too long for a duration".into()),
        },
        None if unit.is_empty() => {
            Err(format!("has no unit; write `{number}s` for seconds, or one of ms, m, h, d"))
        }
        None => Err(format!("has the unknown unit `{unit}`; write ms, s, m, h or d")),
    }
}

/// The digits at the beginning, and the rest.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Bytes as [`size`] reads them, in the largest unit that is exact.
pub fn show_size(bytes: u64) -> String {
    let unit = SIZES[..4].iter().rev().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_carry_a_binary_unit() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("1 KiB", 1024), ("128MiB", 128 << 20), ("1GiB", 1 << 30), ("3B", 3)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bytes in [0, 1, 1023, 1024, 1 << 20, (1 << 20) + 1, 5 << 30, u64::MAX] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn what_is_no_size_is_told_what_to_write() {
        assert!(size("64MB").is_err_and(|why| why.ends_with("write `64MiB`")));
        assert!(size("64m").is_err_and(|why| why.ends_with("write `64MiB`")));
        for text in ["", "-1", "1.5MiB", "MiB", "99999999999999999999", "99999999999TiB", "1 parsec"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert!(duration("5").is_err_and(|why| why.contains("`5s`")));
        for text in ["", "s", "1.5s", "-1s", "5 sec", "18446744073709551615d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
