//! How rotated files are named, and in which order they were written.

/// What a rotated file's name tells: `base` is the name that it had while it was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sibling<'a> {
    /// The name of the file that is written to.
    pub base: &'a [u8],
    /// Which of the rotated ones.
    pub suffix: Suffix,
    /// Whether the name ends in `.gz`.
    pub gz: bool,
}

/// What distinguishes a rotated file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    /// `.N`: the larger, the older.
    Number(u64),
    /// `.YYYYMMDD-HHMMSS` (kubelet) or `-YYYYMMDD`, `-YYYYMMDD-N` (logrotate's `dateext`, N often seconds): day, then
    /// what follows it.
    Time(u64, u64),
}

impl Suffix {
    /// Whether the name can hardly be chosen by chance: such a file belongs to its base even where that is missing.
    pub fn is_time(self) -> bool {
        matches!(self, Suffix::Time(..))
    }

    /// Whether a file with it was rotated after one with `other`; no where they cannot be compared.
    pub(crate) fn is_after(self, other: Suffix) -> bool {
        match (self, other) {
            (Suffix::Number(number), Suffix::Number(other)) => number < other,
            (Suffix::Time(day, rest), Suffix::Time(other, than)) => (day, rest) > (other, than),
            _ => false,
        }
    }
}

/// Takes a rotated file's name apart: `NAME.N`, `NAME.YYYYMMDD-HHMMSS`, `NAME-YYYYMMDD`, `NAME-YYYYMMDD-N`, each also
/// with `.gz`. Nothing for any other name, kubelet's unfinished `.tmp` among them.
pub fn sibling(name: &[u8]) -> Option<Sibling<'_>> {
    let (plain, gz) = match name.strip_suffix(b".gz") {
        Some(plain) => (plain, true),
        None => (name, false),
    };
    let (base, suffix) = stamped(plain).or_else(|| numbered(plain))?;
    (!base.is_empty()).then_some(Sibling { base, suffix, gz })
}

/// Sorts oldest first: numbers descending, times ascending; where both kinds occur, all by the time of the last change.
/// (To compare only the mixed pairs by time would not be a total order.)
pub(crate) fn sort_oldest_first<T>(files: &mut [T], key: impl Fn(&T) -> (Suffix, i64)) {
    let times = files.iter().filter(|file| key(file).0.is_time()).count();
    let mixed = times != 0 && times != files.len();
    files.sort_by_key(|file| match key(file) {
        (_, modified) if mixed => (0, 0, modified),
        (Suffix::Number(number), modified) => (u64::MAX - number, 0, modified),
        (Suffix::Time(day, rest), modified) => (day, rest, modified),
    });
}

/// `BASE.N`, N without leading zeros and at most nine digits (more are a date or a process's number, not a count).
fn numbered(name: &[u8]) -> Option<(&[u8], Suffix)> {
    let (base, digits) = split_last(name, b'.')?;
    let plausible = digits.len() <= 9 && (digits.len() == 1 || digits[0] != b'0');
    plausible.then_some((base, Suffix::Number(number(digits)?)))
}

/// `BASE.YYYYMMDD-HHMMSS`, `BASE-YYYYMMDD`, `BASE-YYYYMMDD-N`.
fn stamped(name: &[u8]) -> Option<(&[u8], Suffix)> {
    let (front, last) = split_last(name, b'-')?;
    if let Some(day) = day(last) {
        return Some((front, Suffix::Time(day, 0)));
    }
    let rest = number(last)?;
    if last.len() == 6
        && let Some((base, digits)) = split_last(front, b'.')
        && let Some(day) = day(digits)
    {
        return Some((base, Suffix::Time(day, rest)));
    }
    let (base, digits) = split_last(front, b'-')?;
    Some((base, Suffix::Time(day(digits)?, rest)))
}

/// What lies before and after the last `separator`, where something does.
fn split_last(name: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = name.iter().rposition(|byte| *byte == separator)?;
    (at + 1 < name.len()).then(|| (&name[..at], &name[at + 1..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    let all = digits.iter().all(u8::is_ascii_digit) && digits.len() <= 18;
    all.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// `YYYYMMDD` with a month and a day that exist.
fn day(digits: &[u8]) -> Option<u64> {
    let day = number(digits).filter(|_| digits.len() == 8)?;
    let (year, month, date) = (day / 10_000, day / 100 % 100, day % 100);
    ((1970..2200).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&date)).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rotated_files_are_taken_apart_and_others_are_not() {
        use Suffix::{Number, Time};
        type Expected = Option<(&'static str, Suffix, bool)>;
        let table: &[(&str, Expected)] = &[
            ("app.log.1", Some(("app.log", Number(1), false))),
            ("app.log.12.gz", Some(("app.log", Number(12), true))),
            ("0.log.20260102-030405", Some(("0.log", Time(20260102, 30405), false))),
            ("0.log.20260102-030405.gz", Some(("0.log", Time(20260102, 30405), true))),
            ("0.log.20260102-030405.gz.tmp", None),
            ("0.log.20260102-030405.tmp", None),
            ("messages-20260102", Some(("messages", Time(20260102, 0), false))),
            ("messages-20260102.gz", Some(("messages", Time(20260102, 0), true))),
            ("messages-20260102-2", Some(("messages", Time(20260102, 2), false))),
            ("messages-20260102-1767323045.gz", Some(("messages", Time(20260102, 1767323045), true))),
            ("abc-json.log.3", Some(("abc-json.log", Number(3), false))),
            ("0.log", None),
            ("app.log.gz", None),
            ("app.log.01", None),
            ("app.log.0", Some(("app.log", Number(0), false))),
            ("app.1234567890", None),
            ("app-20261302", None),
            ("app-2026010", None),
            ("-20260102", None),
            (".1", None),
            ("app.", None),
            ("app-", None),
            ("", None),
            ("web-7f9c-12345", None),
        ];
        for (name, expected) in table {
            let found = sibling(name.as_bytes());
            let expected = expected.map(|(base, suffix, gz)| Sibling { base: base.as_bytes(), suffix, gz });
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn the_order_is_oldest_first() {
        use Suffix::{Number, Time};
        let sorted = |mut files: Vec<(Suffix, i64)>| {
            sort_oldest_first(&mut files, |file| *file);
            files.iter().map(|file| file.1).collect::<Vec<_>>()
        };
        assert_eq!(sorted(vec![(Number(1), 1), (Number(10), 2), (Number(2), 3)]), [2, 3, 1]);
        let times = vec![(Time(20260102, 5), 1), (Time(20260101, 7), 2), (Time(20260102, 4), 3)];
        assert_eq!(sorted(times), [2, 3, 1]);
        assert_eq!(sorted(vec![(Number(1), 9), (Time(20260102, 5), 5), (Number(3), 7)]), [5, 7, 9]);
    }
}
