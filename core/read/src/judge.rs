//! Whether a file is one that was there before, by what it was then, its head and the shard's claim.

use std::io::{self, ErrorKind};
use std::sync::Weak;

use crate::head::Content;
use crate::identity::Head;
use crate::look::{Look, Opened, Seen, Unclear};
use crate::open::OpenFile;
use crate::patterns::bytes;
use crate::proof::Candidate;
use crate::siblings::sibling;
use crate::tracked::{Known, Role, Tracked};

/// How many looks end without a result at a file that may not be read: it may be about to get another mode.
const PATIENCE: u32 = 8;

/// What became of a file.
pub(crate) enum Verdict {
    /// The known file at this index, with its new head where that became longer.
    Same(usize, Option<Head>),
    New(Candidate),
    /// Cannot be read.
    Unreadable,
}

impl Look<'_> {
    /// Whether a file is one that was there before.
    pub(crate) fn judge(&mut self, tracked: &Tracked, seen: &Seen) -> Result<Verdict, Unclear> {
        let id = (seen.stat.dev, seen.stat.ino);
        let Some(at) = tracked.files.iter().position(|known| known.id() == id) else {
            return self.open(tracked, seen, Weak::new(), 0);
        };
        let known = &tracked.files[at];
        let same = known.stat == seen.stat && known.gz == seen.gz;
        match known.role {
            _ if known.doubted => self.open(tracked, seen, known.open.clone(), 0),
            Role::Old | Role::Copies(_) | Role::Ignored | Role::Holds(_) if same => {
                Ok(Verdict::Same(at, None))
            }
            Role::Excluded if known.path == seen.path => Ok(Verdict::Same(at, None)),
            Role::Ignored if seen.stat.size >= known.begin && !seen.gz => {
                self.open(tracked, seen, known.open.clone(), known.begin)
            }
            Role::Holds(generation)
                if known.gz == seen.gz && (seen.gz || seen.stat.size >= known.stat.size) =>
            {
                let verdict = self.open(tracked, seen, known.open.clone(), 0)?;
                let Verdict::New(mut candidate) = verdict else { return Ok(Verdict::Same(at, None)) };
                if told_by_inode(tracked, known) && !candidate.head.is_empty() {
                    // What its place says, only those that hold the others can tell.
                    candidate.doubted = rose(tracked, known, seen).then_some(generation);
                    return Ok(Verdict::New(candidate));
                }
                let claim = tracked.claim(generation);
                let holds = known.head.begins(&candidate.head)
                    && (seen.gz
                        || claim.consumed <= seen.stat.size
                            && candidate
                                .content
                                .has(claim.tail)
                                .map_err(|error| Unclear::of(&seen.path, error))?);
                match holds {
                    true => Ok(Verdict::Same(at, Some(Head::new(&candidate.head)))),
                    false => Ok(Verdict::New(candidate)),
                }
            }
            _ => self.open(tracked, seen, known.open.clone(), 0),
        }
    }

    /// Copies of a generation that has just lost its file have to be told apart anew.
    pub(crate) fn free_copies(
        &mut self,
        tracked: &Tracked,
        seen: &[Seen],
        verdicts: &mut [Verdict],
    ) -> Result<(), Unclear> {
        let held = held(tracked, verdicts);
        for (file, verdict) in seen.iter().zip(verdicts) {
            if let Verdict::Same(at, _) = verdict
                && let Role::Copies(of) = tracked.files[*at].role
                && !held.contains(&Some(of))
            {
                *verdict = self.open(tracked, file, Weak::new(), 0)?;
            }
        }
        Ok(())
    }

    /// Of a file that was empty only the inode number is known, which may be used again: where it lies at the wrong place in
    /// the order, it is another one.
    pub(crate) fn free_misplaced(
        &mut self,
        tracked: &Tracked,
        seen: &[Seen],
        verdicts: &mut [Verdict],
    ) -> Result<(), Unclear> {
        let held = held(tracked, verdicts);
        for at in 0..seen.len() {
            let Verdict::Same(known, _) = verdicts[at] else { continue };
            let known = &tracked.files[known];
            // The numbers of strays tell no order.
            let in_order = |number: &&u32| !tracked.strays.contains(number);
            let Some(generation) = known.generation().filter(|number| in_order(&number)) else { continue };
            let is_misplaced = || {
                rose(tracked, known, &seen[at])
                    || held[..at].iter().flatten().filter(in_order).any(|older| *older > generation)
                    || held[at + 1..].iter().flatten().filter(in_order).any(|newer| *newer < generation)
            };
            if told_by_inode(tracked, known) && is_misplaced() {
                verdicts[at] = self.open(tracked, &seen[at], Weak::new(), 0)?;
            }
        }
        Ok(())
    }

    /// Opens a file and reads its head. The file that was opened must be the one that was seen.
    fn open(
        &mut self,
        tracked: &Tracked,
        seen: &Seen,
        held: Weak<OpenFile>,
        begin: u64,
    ) -> Result<Verdict, Unclear> {
        let id = (seen.stat.dev, seen.stat.ino);
        let known = tracked.files.iter().find(|known| known.id() == id);
        let was = known.map(|known| known.role);
        let doubted = known.filter(|known| known.doubted).and_then(Known::generation);
        let read = match held.upgrade() {
            None => self.opened(seen).map(|opened| (opened, None)),
            Some(open) => open.stat().and_then(|stat| {
                let file = open.file.clone();
                let head = Content::new(file.clone(), seen.gz).head()?;
                Ok((Opened { file, stat, head }, Some(open)))
            }),
        };
        let read = read.map(|(Opened { file, stat, head }, open)| {
            let content = Content::new(file.clone(), seen.gz);
            (stat, Candidate { content, head, stat, file, open, begin, was, doubted })
        });
        match read {
            Ok((stat, _)) if (stat.dev, stat.ino) != id => Err(Unclear::Moving),
            Ok((_, candidate)) => Ok(Verdict::New(candidate)),
            Err(error) => {
                if !is_final(tracked, &error) {
                    return Err(Unclear::of(&seen.path, error));
                }
                self.troubles.push((seen.path.clone(), error));
                Ok(Verdict::Unreadable)
            }
        }
    }
}

/// Whether it is of no use to wait until this is over.
pub(crate) fn is_final(tracked: &Tracked, error: &io::Error) -> bool {
    match error.kind() {
        ErrorKind::InvalidData => true,
        ErrorKind::PermissionDenied => tracked.refused >= PATIENCE,
        _ => false,
    }
}

/// The generation that each file goes on to hold.
fn held(tracked: &Tracked, verdicts: &[Verdict]) -> Vec<Option<u32>> {
    let held = |verdict: &Verdict| match verdict {
        Verdict::Same(at, _) => tracked.files[*at].generation(),
        Verdict::New(_) | Verdict::Unreadable => None,
    };
    verdicts.iter().map(held).collect()
}

/// Whether nothing but its inode number, which may be used again, tells that a file holds its generation: it was empty when it was
/// seen last, and nobody has it open.
fn told_by_inode(tracked: &Tracked, known: &Known) -> bool {
    let is_unread = |generation| tracked.claim(generation).tail.len == 0;
    known.head.len == 0 && known.open.strong_count() == 0 && known.generation().is_some_and(is_unread)
}

/// Whether a file has the name of a newer one than before. What was rotated away moves to older places, if at all; only kubelet,
/// which names by time, takes it back.
fn rose(tracked: &Tracked, known: &Known, seen: &Seen) -> bool {
    let name = known.path.file_name().and_then(|name| sibling(bytes(name)));
    let was = name.filter(|name| name.base == bytes(&tracked.base)).map(|name| name.suffix);
    was.is_some_and(|was| seen.suffix.map_or(!was.is_time(), |is| is.is_after(was)))
}
