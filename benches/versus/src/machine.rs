//! What the figures were measured on and when, without a name that only its owner knows.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::system::uname;
use serde::Serialize;

/// The machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// Its version as far as it says something about speed: `6.18`.
    pub(crate) kernel: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let values = |key: &'static str| {
            cpuinfo.lines().filter_map(move |line| line.strip_prefix(key)?.trim().strip_prefix(':'))
        };
        let release = uname().release().to_string_lossy().into_owned();
        Machine {
            processor: values("model name").next().unwrap_or("unknown processor").trim().to_owned(),
            cores: values("processor").count().max(1),
            kernel: release.split(['.', '-']).take(2).collect::<Vec<_>>().join("."),
        }
    }

    /// For a directory: `amd-epyc-2-cores-linux-6.18`.
    pub(crate) fn slug(&self) -> String {
        let text = format!("{} {} cores linux {}", self.processor, self.cores, self.kernel).to_lowercase();
        let keep = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let words: String = text.chars().map(keep).collect();
        words.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
    }
}

/// Today in UTC, as `2026-01-02`.
pub(crate) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The date of a day counted from 1970-01-01, by eras of 400 years that begin on a first of March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_454), (2026, 1, 1));
        assert_eq!(civil(20_819), (2027, 1, 1));
    }

    #[test]
    fn a_machine_is_named_by_what_it_is() {
        let machine =
            Machine { processor: "AMD EPYC(TM) 9R14  @ 2.6".to_owned(), cores: 2, kernel: "6.18".to_owned() };
        assert_eq!(machine.slug(), "amd-epyc-tm-9r14-2.6-2-cores-linux-6.18");
    }
}
