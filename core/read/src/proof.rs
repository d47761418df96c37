//! What the contents of a file prove: that a generation goes on in it, or that it is a copy.
//!
//! A `.gz` is asked first for what costs nothing: its head, and in its last bytes the length and the checksum of its
//! contents. Where the original can be read, that is proof. Where it cannot, the bytes before the position prove it, which
//! takes one pass of inflating; what it told is remembered.

use std::io;
use std::sync::Arc;

use ringtail_io::{File, Fs, Stat};

use crate::head::{Content, Trailer, is_damage};
use crate::identity::{HEAD_BYTES, Tail};
use crate::look::Seen;
use crate::open::OpenFile;
use crate::survey::Surveys;
use crate::tracked::{Known, Orphan, Role, Tracked};

/// A file that has to be told apart.
pub(crate) struct Candidate {
    pub(crate) content: Content,
    pub(crate) head: Vec<u8>,
    pub(crate) stat: Stat,
    pub(crate) file: Arc<File>,
    pub(crate) open: Option<Arc<OpenFile>>,
    /// Bytes that were left out before it changed.
    pub(crate) begin: u64,
    /// What it was when it was looked at last. (What could not be read before may have any place in the order.)
    pub(crate) was: Option<Role>,
    /// The generation that it held, and that the shard says it does not.
    pub(crate) doubted: Option<u32>,
}

impl Candidate {
    /// Whether it is a whole `.gz` of `len` bytes by its last bytes, with a head long enough to tell it from most others.
    pub(crate) fn may_hold(&self, len: u64) -> io::Result<Option<Trailer>> {
        if !self.content.is_gz() || self.head.len() < HEAD_BYTES {
            return Ok(None);
        }
        Ok(self.content.trailer()?.filter(|trailer| trailer.fits(len)))
    }

    /// Whether it is a whole `.gz` of the first `len` bytes of an uncompressed original that begins like it.
    fn holds(&self, original: &Content, len: u64) -> io::Result<bool> {
        match self.may_hold(len)? {
            Some(trailer) => Ok(original.checksum(len)? == Some(trailer.checksum)),
            None => Ok(false),
        }
    }
}

/// Whether a generation without a file goes on in this one. An error is no answer.
pub(crate) fn continues(
    tracked: &Tracked,
    orphan: &Orphan,
    seen: &Seen,
    candidate: &Candidate,
    same_inode: bool,
    surveys: &mut Surveys,
) -> io::Result<bool> {
    let claim = tracked.claim(orphan.generation);
    let Candidate { content, head, stat, .. } = candidate;
    if !orphan.identity.head.begins(head) {
        return Ok(false);
    }
    // What was written to the log after it was copied and before it was emptied was perhaps read, and is not in the copy.
    if candidate.was == Some(Role::Copies(orphan.generation)) {
        return Ok(true);
    }
    let compares = !same_inode && !seen.is_base;
    let original = if compares { original(orphan, claim.tail)? } else { None };
    let len = original.as_ref().map_or(orphan.size, |(_, len)| *len);
    if compares && claim.consumed <= len {
        let whole = match &original {
            Some((original, len)) => candidate.holds(original, *len)?,
            // Nothing was read of it, or all of it long ago: only that is known which the last look told.
            None => orphan.witnessed && claim.tail.len == 0 && candidate.may_hold(len)?.is_some(),
        };
        if whole && orphan.identity.head.len as usize == HEAD_BYTES {
            return Ok(true);
        }
    }
    let ends = if compares {
        vec![claim.consumed, claim.tail.end, len]
    } else {
        vec![claim.consumed, claim.tail.end]
    };
    let survey = surveys.of(content, stat, &ends)?;
    if survey.reached() < claim.consumed || !survey.has(claim.tail) {
        return Ok(false);
    }
    if same_inode {
        return Ok(seen.gz || orphan.gz || seen.stat.size >= orphan.size || claim.tail.len > 0);
    }
    if seen.is_base {
        // A log that is made anew may begin like the old one. The same inode on another device is a remount.
        return Ok(claim.tail.len > 0 && orphan.identity.ino == seen.stat.ino);
    }
    // Seen last when it was empty, it begins every file: then the tail of what was read since tells, or its contents.
    let unknown = orphan.identity.head.len == 0 && claim.tail.len == 0;
    match original {
        Some((_, 0)) if unknown => Ok(false),
        Some((original, len)) => Ok(survey.tail(len) == Some(original.tail(len)?)),
        None if unknown => Ok(false),
        None => Ok(claim.tail.len > 0 || survey.reached() >= orphan.size),
    }
}

/// The contents of a generation without a file and how long they are, where somebody has the deleted file open; not
/// where that was truncated, which its size, head or tail tell.
fn original(orphan: &Orphan, tail: Tail) -> io::Result<Option<(Content, u64)>> {
    let Some(open) = orphan.open.upgrade().filter(|open| !open.gz) else { return Ok(None) };
    let len = open.stat()?.size;
    let content = Content::new(open.file.clone(), false);
    let head = content.head()?;
    let intact = len >= orphan.size && orphan.identity.head.begins(&head) && content.has(tail)?;
    Ok(intact.then_some((content, len)))
}

/// Whether a rotated file has the same bytes as a file that holds a generation, as far as it goes. An error is no answer:
/// `NotFound` where that file was emptied since it was seen, so that the copy may be all that is left.
pub(crate) fn is_copy(
    fs: &dyn Fs,
    known: &Known,
    candidate: &Candidate,
    surveys: &mut Surveys,
) -> io::Result<bool> {
    let begins = candidate.head.len() < known.head.len as usize || known.head.begins(&candidate.head);
    if !begins {
        return Ok(false);
    }
    let file = match known.open.upgrade() {
        Some(open) => open.file.clone(),
        None => fs.open(&known.path)?,
    };
    let original = Content::new(file, known.gz);
    let head =
        original.head().or_else(|error| if is_damage(&error) { Ok(Vec::new()) } else { Err(error) })?;
    if !known.gz && !known.head.begins(&head) {
        return Err(io::ErrorKind::NotFound.into());
    }
    is_copy_of((&original, &head), &known.stat, candidate, surveys)
}

/// The same for any file, with as much of its head as is known.
pub(crate) fn is_copy_of(
    (original, head): (&Content, &[u8]),
    stat: &Stat,
    candidate: &Candidate,
    surveys: &mut Surveys,
) -> io::Result<bool> {
    let mut equal = || {
        // What is known of it may be shorter than it is by now. Where there was nothing, the candidate was there before it.
        let is_known = head.starts_with(&candidate.head);
        let may_begin = is_known || !head.is_empty() && candidate.head.starts_with(head);
        if !may_begin {
            return Ok(false);
        }
        let begins = is_known || original.head()?.starts_with(&candidate.head);
        let is_equal = begins && is_equal(original, stat, candidate, surveys)?;
        if !is_equal && !original.is_gz() && !original.head()?.starts_with(head) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(is_equal)
    };
    match equal() {
        // It will never say anything else.
        Err(error) if is_damage(&error) => Ok(false),
        result => result,
    }
}

/// Whether a rotated file that begins like another one has the same bytes as far as it goes.
fn is_equal(
    original: &Content,
    stat: &Stat,
    candidate: &Candidate,
    surveys: &mut Surveys,
) -> io::Result<bool> {
    if !original.is_gz() && candidate.holds(original, stat.size)? {
        return Ok(true);
    }
    // How much a compressed original holds is not known: all of the candidate is asked for.
    let end = match (candidate.content.is_gz(), original.is_gz()) {
        (true, true) => u64::MAX,
        (true, false) => stat.size,
        (false, true) => candidate.stat.size,
        (false, false) => candidate.stat.size.min(stat.size),
    };
    let ours = surveys.of(&candidate.content, &candidate.stat, &[end])?;
    let end = ours.reached().min(end);
    let theirs = surveys.of(original, stat, &[end])?;
    Ok(theirs.tail(end).is_some() && theirs.tail(end) == ours.tail(end))
}
