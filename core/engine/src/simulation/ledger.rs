//! What was promised: per output and stream, which records were written, delivered, and answered, and what may come
//! again after a restart.
//!
//! Within one incarnation the records of a stream come in their order, each once. The first one after a restart lies
//! between the last one whose answer was a second old when the process ended (promise 1) and the one behind the
//! last that was ever delivered. What an output refused for good counts as answered: it does not come again.
//!
//! What an output gives back must come again, from the first unanswered record on. Records of others in the same lane may:
//! what they had unsent beside it was taken back with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use ringtail_record::Stream;

use super::container::Numbers;
use super::text::text;

/// Answers older than this are in the checkpoint.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);

/// One output and one stream of one container.
pub(super) type AccountId = (usize, usize, Stream);

/// See the module's description.
#[derive(Debug)]
pub(super) struct Ledger {
    accounts: BTreeMap<AccountId, Account>,
    /// What need not come any more, of a container's stream.
    gone: BTreeMap<(usize, Stream), Vec<Range<u64>>>,
    answers_in_order: bool,
    checkpoint_works: bool,
}

/// Numbers are those of records; all are "the first one that is not".
#[derive(Debug, Default)]
struct Account {
    /// Not delivered by any incarnation.
    delivered: u64,
    /// Not delivered by this incarnation, once it has begun.
    next: Option<u64>,
    /// The least that may come next, when nothing has yet.
    from: u64,
    /// What came may come once more, as far back as here.
    again: Option<Again>,
    /// Answers to deliveries up to this one count no more: what was in them comes again.
    stale: u64,
    /// Not in the checkpoint for certain.
    kept: u64,
    /// Not answered, with everything before it answered.
    answered: u64,
    /// Answered beyond a gap.
    early: BTreeSet<u64>,
    /// When `answered` moved, and to where.
    moved: VecDeque<(Duration, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Again {
    from: u64,
    /// If it does, answers to deliveries up to this one count no more.
    last: u64,
}

impl Ledger {
    /// `checkpoint_works`: answers reach the checkpoint in time, since its storage never fails.
    pub(super) fn new(answers_in_order: bool, checkpoint_works: bool) -> Self {
        // Behind a gap no answer is kept.
        let checkpoint_works = checkpoint_works && answers_in_order;
        Ledger { accounts: BTreeMap::new(), gone: BTreeMap::new(), answers_in_order, checkpoint_works }
    }

    /// Record `number` came; says what is wrong with that.
    pub(super) fn deliver(&mut self, id: AccountId, number: u64) -> Result<(), String> {
        let gone = self.gone.get(&(id.1, id.2)).map_or(&[][..], Vec::as_slice);
        let account = self.accounts.entry(id).or_default();
        let again = account.again.take();
        match account.next {
            Some(next) if number < next => match again {
                Some(again) if number >= again.from => account.go_back(number, again.last),
                _ => return Err(format!("{id:?}: {number} again or late, after {}", next - 1)),
            },
            // What has gone needs no answer.
            Some(next) if passes(gone, next) >= number => account.early.extend(next..number),
            Some(next) if number > next => return Err(format!("{id:?}: {number} came, {next} did not")),
            Some(_) => {}
            None if number > passes(gone, account.delivered) => {
                return Err(format!("{id:?}: went on at {number}, {} never came", account.delivered));
            }
            None if number < account.from => {
                return Err(format!("{id:?}: went on at {number}, not at {} or later", account.from));
            }
            None => account.answered = number,
        }
        account.next = Some(number + 1);
        account.delivered = account.delivered.max(number + 1);
        Ok(())
    }

    /// The output's answer for record `number`, which came with delivery `delivery`, was given.
    pub(super) fn answer(&mut self, id: AccountId, number: u64, delivery: u64, now: Duration) {
        let account = self.accounts.entry(id).or_default();
        if delivery <= account.stale {
            return;
        }
        account.early.insert(number);
        while account.early.remove(&account.answered) {
            account.answered += 1;
        }
        account.moved.push_back((now, account.answered));
        self.settle(now);
    }

    /// The output gave records of `id` back, the first of them `number`, after `last` deliveries.
    pub(super) fn give_back(&mut self, id: AccountId, number: u64, last: u64) {
        let in_order = self.answers_in_order;
        let account = self.accounts.entry(id).or_default();
        // Others may have it from an earlier incarnation; the output does not count on that.
        account.delivered = account.delivered.min(number);
        if account.next.is_some() {
            account.from = account.unanswered(in_order);
            (account.next, account.again) = (None, None);
        }
        (account.answered, account.stale) = (account.from, last);
        account.early.clear();
    }

    /// The output, after `last` deliveries, gave something back that lay in one lane with records of `id`.
    pub(super) fn may_go_back(&mut self, id: AccountId, last: u64) {
        let in_order = self.answers_in_order;
        let account = self.accounts.entry(id).or_default();
        if account.next.is_some() {
            account.again = Some(Again { from: account.unanswered(in_order), last });
        }
    }

    /// What was answered long enough ago counts as kept.
    fn settle(&mut self, now: Duration) {
        let due = |at: Duration| self.checkpoint_works && at + WRITTEN_WITHIN <= now;
        for account in self.accounts.values_mut().filter(|account| account.again.is_none()) {
            while let Some((_, answered)) = account.moved.pop_front_if(|(at, _)| due(*at)) {
                account.kept = account.kept.max(answered);
            }
        }
    }

    /// The process ended; `clean`: after a stop with all answers, and everything kept.
    pub(super) fn end(&mut self, clean: bool, now: Duration) {
        self.settle(now);
        for account in self.accounts.values_mut() {
            if clean {
                let stands = account.again.map_or(account.answered, |again| again.from);
                account.kept = account.kept.max(stands);
            }
            let kept = account.kept;
            *account = Account {
                delivered: account.delivered,
                from: kept,
                kept,
                answered: kept,
                ..Account::default()
            };
        }
    }

    /// Records of a container need not come any more, if they have not yet.
    pub(super) fn lose(&mut self, container: usize, records: Numbers) {
        for (stream, records) in Stream::ALL.into_iter().zip(records) {
            let gone = self.gone.entry((container, stream)).or_default();
            gone.push(records);
            gone.sort_by_key(|records| records.start);
        }
    }

    /// Whether `part` begins a record of `stream` that has gone.
    pub(super) fn has_torn(&self, stream: Stream, part: &str) -> bool {
        // The tear may be in the middle of a character.
        let part = part.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(part);
        let gone = self.gone.iter().filter(|((_, of), _)| *of == stream);
        let mut records = gone.flat_map(|((container, _), ranges)| {
            ranges.iter().cloned().flatten().map(move |number| text(*container, stream, number))
        });
        records.any(|text| text.starts_with(part))
    }

    /// The first record of `id` that was not delivered and is not gone.
    pub(super) fn delivered(&self, id: AccountId) -> u64 {
        let gone = self.gone.get(&(id.1, id.2)).map_or(&[][..], Vec::as_slice);
        passes(gone, self.accounts.get(&id).map_or(0, |account| account.delivered))
    }

    /// The first record of `id` that is not in the checkpoint for certain.
    pub(super) fn kept(&mut self, id: AccountId, now: Duration) -> u64 {
        self.settle(now);
        self.accounts.get(&id).map_or(0, |account| account.kept)
    }
}

impl Account {
    /// From where on records come again that were given back.
    fn unanswered(&self, in_order: bool) -> u64 {
        match self.again {
            Some(again) => again.from,
            None if in_order => self.answered,
            // Answers behind a gap do not count, and not even the ledger knows all gaps.
            None => self.from,
        }
    }

    /// What came from `number` on comes again; deliveries up to `last` are of no account.
    fn go_back(&mut self, number: u64, last: u64) {
        (self.answered, self.stale) = (number, last);
        self.early.clear();
        self.moved.clear();
    }
}

/// The first record from `next` on that is not gone. Ranges are in the order of their records.
fn passes(gone: &[Range<u64>], next: u64) -> u64 {
    gone.iter().fold(next, |next, range| if range.contains(&next) { range.end } else { next })
}
