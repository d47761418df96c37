//! What was promised: per output and stream, which records were written, delivered, and answered, and what may come
//! again after a restart.
//!
//! Within one incarnation the records of a stream come in their order, each once. The first one after a restart lies
//! between the last one whose answer was a second old when the process ended (promise 1) and the one behind the
//! last that was ever delivered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use ringtail_record::Stream;

/// Answers older than this are in the checkpoint.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);

/// One output and one stream of one container.
pub(super) type AccountId = (usize, usize, Stream);

/// See the module's description.
#[derive(Debug)]
pub(super) struct Ledger {
    accounts: BTreeMap<AccountId, Account>,
    checkpoint_works: bool,
}

/// Numbers are those of records; all are "the first one that is not".
#[derive(Debug, Default)]
struct Account {
    /// Not delivered by any incarnation.
    delivered: u64,
    /// Not delivered by this incarnation, once it has begun.
    next: Option<u64>,
    /// Not in the checkpoint for certain.
    kept: u64,
    /// Not answered, with everything before it answered.
    answered: u64,
    /// Answered beyond a gap.
    early: BTreeSet<u64>,
    /// When `answered` moved, and to where.
    moved: VecDeque<(Duration, u64)>,
}

impl Ledger {
    /// `checkpoint_works`: answers reach the checkpoint in time, since its storage never fails.
    pub(super) fn new(checkpoint_works: bool) -> Self {
        Ledger { accounts: BTreeMap::new(), checkpoint_works }
    }

    /// Record `number` came; says what is wrong with that.
    pub(super) fn deliver(&mut self, id: AccountId, number: u64) -> Result<(), String> {
        let account = self.accounts.entry(id).or_default();
        match account.next {
            Some(next) if number < next => {
                return Err(format!("{id:?}: {number} again or late, after {}", next - 1));
            }
            Some(next) if number > next => return Err(format!("{id:?}: {number} came, {next} did not")),
            Some(_) => {}
            None if number > account.delivered => {
                return Err(format!("{id:?}: went on at {number}, {} never came", account.delivered));
            }
            None if number < account.kept => {
                return Err(format!(
                    "{id:?}: went on at {number}, although all before {} was kept",
                    account.kept
                ));
            }
            None => (account.answered, account.kept) = (number, number),
        }
        account.next = Some(number + 1);
        account.delivered = account.delivered.max(number + 1);
        Ok(())
    }

    /// The output's answer for record `number` was given.
    pub(super) fn answer(&mut self, id: AccountId, number: u64, now: Duration) {
        let account = self.accounts.entry(id).or_default();
        account.early.insert(number);
        while account.early.remove(&account.answered) {
            account.answered += 1;
        }
        account.moved.push_back((now, account.answered));
        self.settle(now);
    }

    /// What was answered long enough ago counts as kept.
    fn settle(&mut self, now: Duration) {
        let due = |at: Duration| self.checkpoint_works && at + WRITTEN_WITHIN <= now;
        for account in self.accounts.values_mut() {
            while let Some((_, answered)) = account.moved.pop_front_if(|(at, _)| due(*at)) {
                account.kept = account.kept.max(answered);
            }
        }
    }

    /// The process ended; `clean`: after a stop with all answers, and everything kept.
    pub(super) fn end(&mut self, clean: bool, now: Duration) {
        self.settle(now);
        for account in self.accounts.values_mut() {
            if clean && let Some(next) = account.next {
                account.kept = next;
            }
            (account.next, account.answered) = (None, account.kept);
            account.early.clear();
            account.moved.clear();
        }
    }

    /// The first record of `id` that was not delivered.
    pub(super) fn delivered(&self, id: AccountId) -> u64 {
        self.accounts.get(&id).map_or(0, |account| account.delivered)
    }

    /// The first record of `id` that is not in the checkpoint for certain.
    pub(super) fn kept(&mut self, id: AccountId, now: Duration) -> u64 {
        self.settle(now);
        self.accounts.get(&id).map_or(0, |account| account.kept)
    }
}
