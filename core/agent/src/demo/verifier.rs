//! Counts, per stream, what was lost, repeated, out of order or damaged.
//!
//! Memory is bounded by [`MAX_STREAMS`] and [`MAX_RANGES`], not by what was delivered: a stream in order is one
//! range of numbers, however long.

use std::collections::HashMap;
use std::fmt;

use super::message;

/// More streams than this in one run are counted as damaged messages.
pub const MAX_STREAMS: usize = 131_072;
/// A stream with more gaps than this gives up its oldest one, which stays lost.
pub const MAX_RANGES: usize = 1_024;

/// What is known of one stream.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// What was delivered: `(first, end)`, ascending, apart from each other.
    ranges: Vec<(u64, u64)>,
    repeated: u64,
    out_of_order: u64,
}

impl Stream {
    fn record(&mut self, number: u64) {
        // Nearly always the number follows the last one.
        if let Some(last) = self.ranges.last_mut()
            && last.1 == number
        {
            last.1 += 1;
            return;
        }
        // The first range that begins behind the number.
        let behind = self.ranges.partition_point(|range| range.0 <= number);
        if behind > 0 && number < self.ranges[behind - 1].1 {
            self.repeated += 1;
            return;
        }
        if behind < self.ranges.len() {
            self.out_of_order += 1;
        }
        self.insert(behind, number);
    }

    /// Adds a number that no range holds; `behind` is the first range that begins behind it.
    fn insert(&mut self, behind: usize, number: u64) {
        let joins_before = behind > 0 && self.ranges[behind - 1].1 == number;
        let joins_behind = self.ranges.get(behind).is_some_and(|range| range.0 == number + 1);
        match (joins_before, joins_behind) {
            (true, true) => {
                self.ranges[behind - 1].1 = self.ranges[behind].1;
                self.ranges.remove(behind);
            }
            (true, false) => self.ranges[behind - 1].1 += 1,
            (false, true) => self.ranges[behind].0 = number,
            (false, false) => self.ranges.insert(behind, (number, number + 1)),
        }
        if self.ranges.len() > MAX_RANGES {
            self.ranges.remove(0);
        }
    }

    fn delivered(&self) -> u64 {
        self.ranges.iter().map(|range| range.1 - range.0).sum()
    }
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages written.
    pub written: u64,
    /// Different messages delivered whole.
    pub delivered: u64,
    /// Messages written and not delivered.
    pub lost: u64,
    /// Deliveries beyond the first of a message.
    pub repeated: u64,
    /// First deliveries that came after a later message of their stream.
    pub out_of_order: u64,
    /// Messages that are not exactly what was written, flagged as not whole, or on the wrong stream.
    pub damaged: u64,
    /// What came damaged or late first, or else what is missing: where to look.
    pub example: Option<String>,
}

impl Verdict {
    /// Whether every message arrived whole and in order; some perhaps more than once.
    pub fn nothing_lost(&self) -> bool {
        self.lost == 0 && self.damaged == 0 && self.out_of_order == 0
    }

    /// Whether every message arrived whole, in order and once.
    pub fn exact(&self) -> bool {
        self.nothing_lost() && self.repeated == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { written, delivered, lost, repeated, out_of_order, damaged, example } = self;
        write!(
            f,
            "{written} lines written, {delivered} delivered, {lost} lost, {repeated} repeated, {out_of_order} out of order, {damaged} damaged"
        )?;
        match example {
            Some(example) => write!(f, " ({example})"),
            None => Ok(()),
        }
    }
}

/// Recognises delivered messages and keeps account of them.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    streams: HashMap<Box<str>, Stream>,
    damaged: u64,
    example: Option<String>,
    messages: u64,
    repeated: u64,
}

impl Verifier {
    /// Takes one delivered message; `stream` is the `stream` field of its record, if it has one.
    pub fn record(&mut self, message: &str, stream: Option<&str>) {
        self.messages += 1;
        let Some(numbered) = message::read(message) else {
            return self.damage(message, "not what was written");
        };
        let printed_on =
            numbered.stream.rsplit('/').next().filter(|name| matches!(*name, "stdout" | "stderr"));
        if let (Some(printed), Some(delivered)) = (printed_on, stream)
            && printed != delivered
        {
            return self.damage(message, "on the wrong stream");
        }
        if !self.streams.contains_key(numbered.stream) {
            if self.streams.len() >= MAX_STREAMS {
                return self.damage(message, "one stream too many");
            }
            self.streams.insert(numbered.stream.into(), Stream::default());
        }
        if let Some(stream) = self.streams.get_mut(numbered.stream) {
            let (repeated, late) = (stream.repeated, stream.out_of_order);
            stream.record(numbered.number);
            self.repeated += stream.repeated - repeated;
            if stream.out_of_order > late && self.example.is_none() {
                let ranges = shown(&stream.ranges);
                self.example =
                    Some(format!("{} {}: came late, into {ranges:?}", numbered.stream, numbered.number));
            }
        }
    }

    /// Counts a delivery that cannot be a whole message.
    pub fn damage(&mut self, message: &str, why: &str) {
        self.damaged += 1;
        if self.example.is_none() {
            let end = message.floor_char_boundary(200);
            self.example = Some(format!("{why}: {:?}", &message[..end]));
        }
    }

    /// Deliveries so far, repeated and damaged ones included.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Repeated deliveries so far.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Different messages of one stream delivered whole so far.
    pub fn delivered_of(&self, stream: &str) -> u64 {
        self.streams.get(stream).map_or(0, Stream::delivered)
    }

    /// The sums, against what was written: each stream's name and how many messages it has.
    pub fn verdict<'a>(&self, written: impl IntoIterator<Item = (&'a str, u64)>) -> Verdict {
        let mut verdict =
            Verdict { damaged: self.damaged, example: self.example.clone(), ..Verdict::default() };
        let nothing = Stream::default();
        for (name, count) in written {
            let stream = self.streams.get(name).unwrap_or(&nothing);
            let delivered = stream.delivered();
            verdict.written += count;
            verdict.delivered += delivered;
            verdict.lost += count.saturating_sub(delivered);
            verdict.repeated += stream.repeated;
            verdict.out_of_order += stream.out_of_order;
            if delivered < count && verdict.example.is_none() {
                verdict.example =
                    Some(format!("{name}: delivered only {:?} of 0..{count}", shown(&stream.ranges)));
            }
        }
        verdict
    }
}

/// The first few ranges; a stream with a thousand gaps fits no line.
fn shown(ranges: &[(u64, u64)]) -> Vec<std::ops::Range<u64>> {
    ranges.iter().take(4).map(|&(first, end)| first..end).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::message::{Messages, Text};
    use super::*;

    /// Against a set of all numbers, in disorders of every kind.
    #[test]
    fn ranges_count_what_a_set_counts() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let (mut stream, mut set) = (Stream::default(), HashSet::new());
            let (mut repeated, mut out_of_order, mut highest) = (0, 0, None);
            for _ in 0..random.u64(0..200) {
                let number = random.u64(0..60);
                stream.record(number);
                match set.insert(number) {
                    false => repeated += 1,
                    true if highest.is_some_and(|highest| number < highest) => out_of_order += 1,
                    true => {}
                }
                highest = highest.max(Some(number));
            }
            let delivered = u64::try_from(set.len()).unwrap();
            assert_eq!(
                (stream.delivered(), stream.repeated, stream.out_of_order),
                (delivered, repeated, out_of_order)
            );
        }
    }

    #[test]
    fn a_stream_with_endless_gaps_keeps_its_memory_and_its_losses() {
        let mut stream = Stream::default();
        for number in 0..100_000 {
            stream.record(number * 2);
        }
        assert_eq!(stream.ranges.len(), MAX_RANGES);
        assert!(stream.delivered() < 100_000);
    }

    #[test]
    fn a_lost_a_repeated_a_late_and_a_damaged_message_are_told_apart() {
        let mut messages = Messages::new("a/stdout", Text::Ascii);
        let all: Vec<String> = (0..5)
            .map(|_| {
                let mut message = String::new();
                messages.next_into(&mut message);
                message
            })
            .collect();
        let verdict_of = |order: &[usize]| {
            let mut verifier = Verifier::default();
            order.iter().for_each(|&at| verifier.record(&all[at], Some("stdout")));
            verifier.verdict([("a/stdout", 5)])
        };
        assert!(verdict_of(&[0, 1, 2, 3, 4]).exact());
        assert_eq!(verdict_of(&[0, 1, 3, 4]).lost, 1);
        assert_eq!(verdict_of(&[0, 1, 2]).lost, 2);
        assert_eq!(verdict_of(&[]).lost, 5);
        assert_eq!(verdict_of(&[0, 1, 3, 2, 4]).out_of_order, 1);
        let again = verdict_of(&[0, 1, 2, 1, 2, 3, 4]);
        assert!(again.nothing_lost() && !again.exact() && again.repeated == 2);

        let mut verifier = Verifier::default();
        verifier.record(&all[0][..all[0].len() - 1], Some("stdout"));
        verifier.record(&all[0], Some("stderr"));
        let verdict = verifier.verdict([("a/stdout", 5)]);
        assert_eq!((verdict.damaged, verdict.lost), (2, 5));
        assert!(verdict.example.unwrap().contains("not what was written"));
    }
}
