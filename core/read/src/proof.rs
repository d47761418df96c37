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
}

/// Whether a generation without a file goes on in this one. What cannot be read does not.
pub(crate) fn continues(
    tracked: &Tracked,
    orphan: &Orphan,
    seen: &Seen,
    candidate: &Candidate,
    same_inode: bool,
) -> bool {
    let claim = tracked.claim(orphan.generation);
    let Candidate { content, head, .. } = candidate;
    if !orphan.identity.head.begins(head) {
        return false;
    }
    let proven = content.reaches(claim.consumed).unwrap_or(false) && content.has(claim.tail).unwrap_or(false);
    if !proven {
        return false;
    }
    if same_inode {
        return seen.gz || orphan.gz || seen.stat.size >= orphan.size || claim.tail.len > 0;
    }
    if seen.is_base {
        // A log that is made anew may begin like the old one. The same inode on another device is a remount.
        return claim.tail.len > 0 && orphan.identity.ino == seen.stat.ino;
    }
    // Seen last when it was empty, it begins every file: then the tail of what was read since tells, or its contents.
    let unknown = orphan.identity.head.len == 0 && claim.tail.len == 0;
    match original(orphan, claim.tail) {
        Some((_, 0)) if unknown => false,
        Some((original, len)) => {
            let tails = (original.tail(len), content.tail(len));
            content.reaches(len).unwrap_or(false) && matches!(tails, (Ok(a), Ok(b)) if a == b)
        }
        None if unknown => false,
        None => claim.tail.len > 0 || content.reaches(orphan.size).unwrap_or(false),
    }
}

/// The contents of a generation without a file and how long they are, where somebody has the deleted file open; not
/// where that was truncated, which its size, head or tail tell.
fn original(orphan: &Orphan, tail: Tail) -> Option<(Content, u64)> {
    let open = orphan.open.upgrade().filter(|open| !open.gz)?;
    let len = open.stat().ok()?.size;
    let content = Content::new(open.file.clone(), false);
    let head = content.head().ok()?;
    let intact = len >= orphan.size && orphan.identity.head.begins(&head) && content.has(tail).ok()?;
    intact.then_some((content, len))
}

/// Whether a rotated file has the same bytes as a file that holds a generation, as far as it goes.
pub(crate) fn is_copy(fs: &dyn Fs, known: &Known, seen: &Seen, candidate: &Candidate) -> io::Result<bool> {
    let file = match known.open.upgrade() {
        Some(open) => open.file.clone(),
        None => fs.open(&known.path)?,
    };
    let original = Content::new(file, known.gz);
    let head = original.head()?;
    if !head.starts_with(&candidate.head) {
        return Ok(false);
    }
    let len = match seen.gz {
        true => candidate.content.inflated_len(known.stat.size.saturating_add(1))?.0,
        false => seen.stat.size,
    };
    let end = if known.gz { len } else { len.min(known.stat.size) };
    Ok(original.tail(end)? == candidate.content.tail(end)?)
}
