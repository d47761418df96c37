//! Cursors: how far one output of one pipeline has come in one lineage.
//!
//! A cursor is fed by a view (what was read) and by answers (what was delivered), and says at any moment from where a
//! restart must go on, per stream:
//!
//! - a stream with something unanswered stands at the end of its last contiguously answered record, or where the view stood
//!   before it decoded the first unanswered one, if that is further;
//! - a stream with nothing unanswered stands where the view stands, or where its open record begins.
//!
//! A restart reads from the smallest of these and skips, per stream, what ends at or before its own.

use std::collections::VecDeque;

use ringtail_read::Tail;
use ringtail_record::{BatchId, Position, Stream};

/// One position per stream, by [`Stream::index`].
pub(crate) type Streams = [Position; Stream::ALL.len()];

/// Where a view stood before it decoded records.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stood {
    pub(crate) streams: Streams,
    /// The end of the last whole line before, with its generation.
    pub(crate) known: (u32, Tail),
}

/// The end of the last record per stream, where there was one.
pub(crate) type Ends = [Option<Position>; Stream::ALL.len()];

/// How far answers have come, for one (pipeline, output, lineage).
#[derive(Debug)]
pub(crate) struct Progress {
    acked: Streams,
    /// Batches that hold records of this cursor, in the order in which they were filled.
    open: VecDeque<Entry>,
    tail: (u32, Tail),
}

#[derive(Debug)]
struct Entry {
    batch: BatchId,
    /// Where the view stood per stream, before the first of its records here.
    stood: Streams,
    /// The last place whose bytes are known, before all of them.
    known: (u32, Tail),
    ends: Ends,
    /// The last place before the batch's end whose bytes are known, with its generation.
    tail: (u32, Tail),
    answered: bool,
}

impl Progress {
    /// A cursor that begins at `streams`.
    pub(crate) fn new(streams: Streams, tail: (u32, Tail)) -> Self {
        Progress { acked: streams, open: VecDeque::new(), tail }
    }

    /// Records that end at `ends` went into `batch`, from a view that stood at `stood` before it decoded them. True when
    /// they are this cursor's first ones in that batch.
    pub(crate) fn pushed(&mut self, batch: BatchId, stood: &Stood, ends: Ends, tail: (u32, Tail)) -> bool {
        let first = self.open.back().is_none_or(|entry| entry.batch != batch);
        if first {
            let Stood { streams, known } = *stood;
            let ends = Ends::default();
            if self.open.capacity() == 0 {
                // Ten thousand quiet logs have one batch each, and a queue would begin with room for four.
                self.open.reserve_exact(1);
            }
            self.open.push_back(Entry { batch, stood: streams, known, ends, tail, answered: false });
        }
        if let Some(entry) = self.open.back_mut() {
            entry.tail = tail;
            for (stream, end) in ends.into_iter().enumerate() {
                if end.is_some() {
                    if entry.ends[stream].is_none() {
                        entry.stood[stream] = stood.streams[stream];
                    }
                    entry.ends[stream] = end;
                }
            }
        }
        first
    }

    /// `batch` was delivered, or given up for good. True when the position moved.
    pub(crate) fn answered(&mut self, batch: BatchId) -> bool {
        if let Some(entry) = self.open.iter_mut().find(|entry| entry.batch == batch) {
            entry.answered = true;
        }
        let mut moved = false;
        while self.open.front().is_some_and(|entry| entry.answered) {
            let Some(entry) = self.open.pop_front() else { break };
            for (stream, end) in entry.ends.into_iter().enumerate() {
                if let Some(end) = end {
                    self.acked[stream] = self.acked[stream].max(end);
                }
            }
            self.tail = entry.tail;
            moved = true;
        }
        moved
    }

    /// Gives back the memory of what is answered; now and then, since a busy log needs it again.
    pub(crate) fn rest(&mut self) {
        if self.open.is_empty() {
            self.open = VecDeque::new();
        }
    }

    /// Whether every record was answered.
    pub(crate) fn is_clear(&self) -> bool {
        self.open.is_empty()
    }

    /// From where a restart goes on, given where the view stands per stream.
    pub(crate) fn positions(&self, view: &Streams) -> Streams {
        std::array::from_fn(|stream| {
            let unanswered = self.open.iter().find(|entry| entry.ends[stream].is_some());
            self.acked[stream].max(unanswered.map_or(view[stream], |entry| entry.stood[stream]))
        })
    }

    /// The end of what was answered last, or where the first unanswered records begin, with bytes to recognise the file by.
    pub(crate) fn tail(&self) -> (u32, Tail) {
        let known = self.open.front().map_or(self.tail, |entry| entry.known);
        let place = |(generation, tail): (u32, Tail)| (generation, tail.end);
        if place(known) > place(self.tail) { known } else { self.tail }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(offset: u64) -> Position {
        Position { generation: 1, offset }
    }

    fn streams(offset: u64) -> Streams {
        [at(offset); 3]
    }

    fn stood(streams: Streams) -> Stood {
        Stood { streams, ..Stood::default() }
    }

    #[test]
    fn an_answer_out_of_order_moves_nothing_until_the_gap_is_closed() {
        let mut progress = Progress::new(streams(0), Default::default());
        for (batch, end) in [(1, 10), (2, 20), (3, 30)] {
            assert!(progress.pushed(
                batch,
                &stood(streams(end - 10)),
                [None, Some(at(end)), None],
                Default::default()
            ));
        }
        assert!(!progress.answered(3) && !progress.answered(2));
        assert_eq!(progress.positions(&streams(30)), [at(30), at(0), at(30)]);
        assert!(progress.answered(1));
        assert_eq!(progress.positions(&streams(31)), streams(31));
        assert!(progress.is_clear());
    }

    #[test]
    fn a_stream_without_unanswered_records_does_not_hold_another_back() {
        let mut progress = Progress::new(streams(0), Default::default());
        progress.pushed(1, &stood(streams(0)), [None, Some(at(10)), None], Default::default());
        progress.pushed(1, &stood(streams(0)), [None, None, Some(at(20))], Default::default());
        progress.pushed(2, &stood([at(20), at(12), at(20)]), [None, None, Some(at(40))], Default::default());
        progress.answered(1);
        // stdout has an open partial from 12 on: that is where the view stands for it.
        assert_eq!(progress.positions(&[at(50), at(12), at(50)]), [at(50), at(12), at(20)]);
    }

    /// What other streams had answered before a stream's first unanswered record is not read again for its sake.
    #[test]
    fn a_stream_stands_where_the_view_stood_before_its_first_unanswered_record() {
        let mut progress = Progress::new(streams(0), Default::default());
        progress.pushed(1, &stood(streams(0)), [None, Some(at(90)), Some(at(30))], Default::default());
        let known = (1, Tail::new(60, b"before"));
        let second = Stood { streams: [at(90), at(90), at(60)], known };
        progress.pushed(2, &second, [None, None, Some(at(100))], Default::default());
        progress.pushed(3, &stood(streams(100)), [None, None, Some(at(120))], Default::default());
        assert_eq!(progress.positions(&streams(120)), [at(120), at(0), at(0)]);
        progress.answered(1);
        assert_eq!(progress.positions(&streams(120)), [at(120), at(120), at(60)]);
        assert_eq!(progress.tail(), known, "what lies there is known");
        progress.answered(2);
        assert_eq!(progress.positions(&streams(120)), [at(120), at(120), at(100)]);
    }

    proptest! {
        /// Whatever the order of answers: the position of a stream never passes an unanswered record of it, and
        /// reaches the view once all is answered.
        #[test]
        fn positions_never_pass_an_unanswered_record(
            records in prop::collection::vec((0usize..3, 1u64..50), 1..60),
            cuts in prop::collection::vec(1usize..5, 1..60),
            order in prop::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            let mut progress = Progress::new(streams(0), Default::default());
            let mut waiting: BTreeMap<BatchId, Vec<(usize, Position)>> = BTreeMap::new();
            let (mut offset, mut batch, mut left, mut cuts) = (0, 1, cuts[0], cuts.into_iter().cycle());
            for (stream, len) in records {
                let stood = stood(streams(offset));
                offset += len;
                let mut ends = Ends::default();
                ends[stream] = Some(at(offset));
                progress.pushed(batch, &stood, ends, Default::default());
                waiting.entry(batch).or_default().push((stream, at(offset)));
                left -= 1;
                if left == 0 {
                    (batch, left) = (batch + 1, cuts.next().unwrap_or(1));
                }
            }
            for pick in order {
                if waiting.is_empty() { break }
                let batch = *pick.get(&waiting.keys().copied().collect::<Vec<_>>());
                waiting.remove(&batch);
                progress.answered(batch);
                let now = progress.positions(&streams(offset));
                for (stream, end) in waiting.values().flatten() {
                    prop_assert!(now[*stream] < *end);
                }
            }
            for batch in waiting.into_keys().collect::<Vec<_>>() {
                progress.answered(batch);
            }
            prop_assert_eq!(progress.positions(&streams(offset)), streams(offset));
        }
    }
}
