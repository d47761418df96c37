//! What the contents of a file prove: that a generation goes on in it, or that it is a copy.

use std::io;
use std::sync::Arc;

use ringtail_io::{File, Fs};

use crate::head::Content;
use crate::identity::Tail;
use crate::look::Seen;
use crate::open::OpenFile;
use crate::tracked::{Known, Orphan, Tracked};

/// A file that has to be told apart.
pub(crate) struct Candidate {
    pub(crate) content: Content,
    pub(crate) head: Vec<u8>,
    pub(crate) file: Arc<File>,
    pub(crate) open: Option<Arc<OpenFile>>,
    /// Bytes that were left out before it changed.
    pub(crate) begin: u64,
    /// It could not be read before, so that its place in the order tells nothing.
    pub(crate) was_unreadable: bool,
}

/// Whether a generation without a file goes on in this one. An error is no answer.
pub(crate) fn continues(
    tracked: &Tracked,
    orphan: &Orphan,
    seen: &Seen,
    candidate: &Candidate,
    same_inode: bool,
) -> io::Result<bool> {
    let claim = tracked.claim(orphan.generation);
    let Candidate { content, head, .. } = candidate;
    if !orphan.identity.head.begins(head) {
        return Ok(false);
    }
    let proven =
        damage_is(false, content.reaches(claim.consumed))? && damage_is(false, content.has(claim.tail))?;
    if !proven {
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
    match original(orphan, claim.tail)? {
        Some((_, 0)) if unknown => Ok(false),
        Some((original, len)) => {
            let tail = original.tail(len)?;
            Ok(damage_is(false, content.reaches(len))?
                && damage_is(false, content.tail(len).map(|ours| ours == tail))?)
        }
        None if unknown => Ok(false),
        None => Ok(claim.tail.len > 0 || damage_is(false, content.reaches(orphan.size))?),
    }
}

/// What a damaged `.gz` says; it will never say anything else. Other errors may be over the next time.
fn damage_is(answer: bool, result: io::Result<bool>) -> io::Result<bool> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(answer),
        result => result,
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

/// Whether a rotated file has the same bytes as a file that holds a generation, as far as it goes. An error is no answer.
pub(crate) fn is_copy(fs: &dyn Fs, known: &Known, seen: &Seen, candidate: &Candidate) -> io::Result<bool> {
    let file = match known.open.upgrade() {
        Some(open) => open.file.clone(),
        None => fs.open(&known.path)?,
    };
    let original = Content::new(file, known.gz);
    let equal = || {
        if !original.head()?.starts_with(&candidate.head) {
            return Ok(false);
        }
        let len = match seen.gz {
            true => candidate.content.inflated_len(known.stat.size.saturating_add(1))?.0,
            false => seen.stat.size,
        };
        let end = if known.gz { len } else { len.min(known.stat.size) };
        Ok(original.tail(end)? == candidate.content.tail(end)?)
    };
    damage_is(false, equal())
}
