//! What one pass over the contents of a file told, so that a `.gz` is not inflated again while it stays what it is.
//!
//! Inflating costs a hundred times what reading does, and one decision needs several places of the contents: all of them
//! are asked for at once, and the answers are kept by device, inode, size and time of change.
//!
//! Limits: [`MAX_SURVEYS`] files are remembered, with [`TAIL_BYTES`] bytes for each place that was asked for.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringtail_io::Stat;

use crate::gz::Inflate;
use crate::head::{Content, Source, is_damage};
use crate::identity::{TAIL_BYTES, Tail};
use crate::maps::HashMap;

/// How many files are remembered. All are forgotten when there are more: each costs one pass then.
const MAX_SURVEYS: usize = 4096;

/// Bytes that are inflated at once.
const STEP: usize = 64 << 10;

/// What is known of the contents of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// How far the contents were looked at.
    reached: u64,
    /// There was nothing more, or only damage.
    ended: bool,
    /// Places that were asked for, and up to [`TAIL_BYTES`] bytes before each.
    tails: Vec<(u64, Vec<u8>)>,
}

impl Survey {
    /// How far the contents reach; no further than it was asked for.
    pub(crate) fn reached(&self) -> u64 {
        self.reached
    }

    /// Whether the contents have this tail. An empty tail says nothing, so that they have it.
    pub(crate) fn has(&self, tail: Tail) -> bool {
        let Some(len) = tail.start().map(|start| usize::try_from(tail.end - start).unwrap_or(TAIL_BYTES))
        else {
            return false;
        };
        let before = self.tails.iter().find(|(end, _)| *end == tail.end).map(|(_, before)| before);
        let bytes = before.and_then(|before| before.get(before.len().checked_sub(len)?..));
        len == 0 || bytes.is_some_and(|bytes| Tail::new(tail.end, bytes) == tail)
    }

    /// The tail at a place that was asked for, or at the end; none where the contents do not reach to it.
    pub(crate) fn tail(&self, end: u64) -> Option<Tail> {
        self.tails.iter().find(|(at, _)| *at == end).map(|(end, before)| Tail::new(*end, before))
    }

    fn note(&mut self, end: u64, before: &[u8]) {
        if self.tails.iter().all(|(at, _)| *at != end) {
            self.tails.push((end, before.to_vec()));
        }
    }

    /// Whether it answers for these places.
    fn covers(&self, ends: &[u64]) -> bool {
        let known =
            |end: &u64| self.tails.iter().any(|(at, _)| at == end) || self.ended && *end > self.reached;
        ends.iter().all(known)
    }
}

/// The files that were looked at; shared by looks at several lineages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surveys(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    surveys: HashMap<(u64, u64), (Stat, Survey)>,
    /// Bytes that were inflated since the start.
    inflated: u64,
}

impl Surveys {
    /// What the contents of a file are before each of `ends`. `stat` is the file's, asked before.
    pub(crate) fn of(&self, content: &Content, stat: &Stat, ends: &[u64]) -> io::Result<Survey> {
        if !content.is_gz() {
            return plain(content, ends);
        }
        let id = (stat.dev, stat.ino);
        let is_it = |then: &Stat| (then.size, then.modified_ns) == (stat.size, stat.modified_ns);
        let known = self.lock().surveys.get(&id).filter(|(then, _)| is_it(then)).cloned();
        if let Some((_, survey)) = &known
            && survey.covers(ends)
        {
            return Ok(survey.clone());
        }
        let mut all: Vec<u64> =
            known.iter().flat_map(|(_, survey)| survey.tails.iter().map(|(end, _)| *end)).collect();
        all.extend(ends);
        all.sort_unstable();
        all.dedup();
        let survey = inflated(content, &all)?;
        let mut known = self.lock();
        known.inflated += survey.reached;
        if known.surveys.len() >= MAX_SURVEYS && !known.surveys.contains_key(&id) {
            known.surveys.clear();
        }
        known.surveys.insert(id, (*stat, survey.clone()));
        Ok(survey)
    }

    /// Bytes that were inflated since the start.
    pub(crate) fn inflated(&self) -> u64 {
        self.lock().inflated
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plain(content: &Content, ends: &[u64]) -> io::Result<Survey> {
    let reached = content.len()?;
    let mut survey = Survey { reached, ended: true, tails: Vec::with_capacity(ends.len()) };
    for &end in ends.iter().filter(|end| **end <= reached) {
        let start = end.saturating_sub(TAIL_BYTES as u64);
        let before = content.read(start, usize::try_from(end - start).unwrap_or(TAIL_BYTES))?;
        survey.tails.push((end, before));
    }
    Ok(survey)
}

/// One pass, up to the last of the ascending `ends`. Damage is an end.
fn inflated(content: &Content, ends: &[u64]) -> io::Result<Survey> {
    let (mut inflate, mut source) = (Inflate::new(0), Source::new(content));
    let mut survey = Survey::default();
    // The bytes before `reached` stand before `STEP` bytes of room.
    let (mut bytes, mut before) = (vec![0; TAIL_BYTES + STEP], 0);
    let mut ends = ends.iter().copied().peekable();
    loop {
        while let Some(end) = ends.next_if(|end| *end <= survey.reached) {
            survey.note(end, &bytes[..before]);
        }
        let Some(next) = ends.peek() else { return Ok(survey) };
        let room = usize::try_from(next - survey.reached).unwrap_or(STEP).min(STEP);
        let count = match source.inflate(&mut inflate, &mut bytes[before..before + room]) {
            Err(error) if is_damage(&error) => 0,
            result => result?,
        };
        if count == 0 {
            survey.ended = true;
            survey.note(survey.reached, &bytes[..before]);
            return Ok(survey);
        }
        survey.reached += count as u64;
        let filled = before + count;
        before = filled.min(TAIL_BYTES);
        bytes.copy_within(filled - before..filled, 0);
    }
}
