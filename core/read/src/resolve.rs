//! Which file holds which generation: what a look at a lineage's directory means.
//!
//! 1. A file that was there before (device, inode) and only grew, with the same head and the same bytes where the shard's
//!    claim says so, holds what it held. One that shrank, or begins otherwise, holds something else now.
//! 2. A generation that has lost its file goes on in the first other file that begins like it, reaches as far as was
//!    consumed, and has the claimed tail; or, while the shard holds the old file open, has all of its contents. First asked
//!    are files with the same inode (a restart, a remount), then those in its place in the order (gzip, copytruncate's copy),
//!    then any (a moved log). The file that is written to is taken for a continuation only with the same inode number.
//! 3. A rotated file that begins like a generation which still has its file is a copy of it, and waits for 2. Less than
//!    [`HEAD_BYTES`] can be equal by chance: such a file waits until it is [`QUIET`], then it is new.
//! 4. Anything else is new, unless it lies before all known files in the order of rotation and was written to neither later nor
//!    since the last look: then it is older than the checkpoint.
//!
//! A rotated file that is new while the log is known is a stray ([`crate::stray`]).
//!
//! A log that was empty when it was seen last begins like every file. Rotated files that appear behind all known ones
//! hold what was written to it since, even where it seems to be there still (its inode used again, or a copytruncate).
//!
//! In doubt a file is new: repeated bytes, not lost ones. A directory is listed several times before a generation
//! counts as gone, since files are renamed while it is being looked at.
//!
//! A look that could not ask everything that it needed changes nothing: an error is not a "no". It is told, and the next
//! look tries again. Only a file that may not be read is done without after [`PATIENCE`] looks, and when it may be read
//! after all it is new, however old it seems.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use crate::dirs::Dirs;
use crate::identity::Identity;
use crate::judge::Verdict;
use crate::look::{Asked, Look, Seen, Unclear};
use crate::tracked::{Known, Listed, Orphan, Tracked};

/// How often a directory is listed before what it seems to say is believed.
const LOOKS: usize = 4;

/// How often it is listed at most.
const MOST_LOOKS: usize = 2 * LOOKS;

/// Brings a lineage up to date with its directory.
pub(crate) fn refresh(tracked: &mut Tracked, dirs: &mut Dirs, mut look: Look<'_>) {
    let (mut names, mut was_gone) = (BTreeSet::new(), false);
    // The files of the last two attempts: each of them may have missed one.
    let mut before = [BTreeSet::new(), BTreeSet::new()];
    for attempt in 1..=MOST_LOOKS {
        // First of all: a directory that never rests has what was rotated before this log was made, whatever is renamed meanwhile,
        // and the copy of what it was emptied of before.
        let log = (attempt > 1).then(|| look.look_at_log(tracked)).transpose();
        let listed = if attempt == 1 { dirs.look(&tracked.dir) } else { dirs.list(&tracked.dir) };
        let (listed, agreed) = match listed {
            Ok(dir) => (tracked.listed_in(dir), dir.agreed),
            Err(error) if error.kind() == ErrorKind::NotFound => (Listed::default(), true),
            Err(error) => return look.troubles.push((tracked.dir.clone(), error)),
        };
        if attempt == 1 && tracked.was_seen && listed.print == tracked.listed.print {
            match look.ask(tracked, listed.modified_ns != tracked.listed.modified_ns) {
                Asked::Unchanged => return tracked.listed = listed,
                // What is still to get its number must not be older than what was left out of the listing.
                Asked::Changed(seen) if !tracked.files.iter().any(Known::is_unsettled) => {
                    if look.settle(tracked, seen, agreed, true).is_ok() {
                        return tracked.end_look(listed, look.wall_ns);
                    }
                }
                Asked::Changed(_) | Asked::Moved => {}
            }
        }
        // That a directory is gone is not believed of one look: it may be on its way to another name and back.
        let patient = attempt < LOOKS || listed.print == 0 && !was_gone;
        was_gone = listed.print == 0;
        let observed = match log {
            Err(unclear) => Err(unclear),
            // The log was there just now.
            Ok(Some(Some(_))) if was_gone => Err(Unclear::Moving),
            Ok(_) if was_gone => Ok(Vec::new()),
            Ok(log) => look.observe(tracked, dirs, &mut names, log),
        };
        let seen = observed.and_then(|seen| {
            // What was there a moment ago may have been renamed since the listing, which lacks its new name then.
            let here: BTreeSet<(u64, u64)> = seen.iter().map(|seen| (seen.stat.dev, seen.stat.ino)).collect();
            let lacks_none = before.iter().all(|ids| ids.is_subset(&here));
            before.rotate_left(1);
            before[1] = here;
            let is_still = is_still(tracked, dirs, listed)?;
            let is_clear = attempt == MOST_LOOKS || lacks_none && (is_still || attempt >= LOOKS);
            if !is_clear {
                return Err(Unclear::Moving);
            }
            let asked_first = seen.last().filter(|seen| attempt > 1 && seen.is_base);
            let is_still = is_still && asked_first.is_none_or(|log| look.is_in_place(tracked, &log.stat));
            Ok((seen, is_still))
        });
        let settled =
            seen.and_then(|(seen, still)| look.settle(tracked, seen, agreed, patient).map(|()| still));
        match settled {
            // What was seen is true of no moment: the next look asks everything again.
            Ok(is_still) => {
                let listed = if is_still { listed } else { Listed::default() };
                return tracked.end_look(listed, look.wall_ns);
            }
            Err(Unclear::Moving) => {}
            Err(Unclear::Failed(trouble)) => {
                let refused = trouble.1.kind() == ErrorKind::PermissionDenied;
                tracked.refused = if refused { tracked.refused + 1 } else { 0 };
                return look.troubles.push(trouble);
            }
        }
    }
}

/// Whether the directory has of a lineage what was listed.
fn is_still(tracked: &Tracked, dirs: &mut Dirs, listed: Listed) -> Result<bool, Unclear> {
    match listed.print {
        0 => Ok(true),
        print => {
            let listed = (print, listed.modified_ns);
            let still = dirs.still_has(&tracked.dir, &tracked.base, listed);
            still.map_err(|error| Unclear::of(&tracked.dir, error))
        }
    }
}

impl Look<'_> {
    /// Works out what each file holds. Nothing is changed when that is not clear.
    fn settle(
        &mut self,
        tracked: &mut Tracked,
        mut seen: Vec<Seen>,
        agreed: bool,
        patient: bool,
    ) -> Result<(), Unclear> {
        self.open_ahead(tracked, &seen);
        let judged =
            seen.iter_mut().map(|file| file.verdict.take().map_or_else(|| self.judge(tracked, file), Ok));
        let mut verdicts = judged.collect::<Result<Vec<_>, Unclear>>()?;
        self.free_copies(tracked, &seen, &mut verdicts)?;
        self.free_misplaced(tracked, &seen, &mut verdicts)?;
        let stays = |at: usize| {
            verdicts.iter().any(|verdict| matches!(verdict, Verdict::Same(same, _) if *same == at))
        };
        let orphaned =
            (0..tracked.files.len()).any(|at| tracked.files[at].generation().is_some() && !stays(at));
        // The first look after a start compares with the checkpoint.
        let is_there = |orphan: &Orphan| {
            let Identity { dev, ino, .. } = orphan.identity;
            seen.iter().any(|seen| (seen.stat.dev, seen.stat.ino) == (dev, ino))
        };
        let missed = !tracked.was_seen && !tracked.orphans.iter().all(is_there);
        // What gets a number now must not be older than what was left out of one listing.
        let unsure = !agreed && verdicts.iter().any(|verdict| matches!(verdict, Verdict::New(_)));
        if (orphaned || missed || unsure) && patient {
            return Err(Unclear::Moving);
        }
        let before = tracked.clone();
        let done = self.commit(tracked, seen, verdicts);
        if done.is_err() {
            *tracked = before;
        }
        done
    }
}
