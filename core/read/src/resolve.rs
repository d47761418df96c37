//! Which file holds which generation: what a look at a lineage's directory means.
//!
//! 1. A file that was there before (device, inode) and only grew, with the same head and the same bytes where the shard's
//!    claim says so, holds what it held. One that shrank, or begins otherwise, holds something else now.
//! 2. A generation that has lost its file goes on in the first other file that begins like it, reaches as far as was
//!    consumed, and has the claimed tail; or, while the shard holds the old file open, has all of its contents. First asked
//!    are files with the same inode (a restart, a remount), then the others (gzip, copytruncate's copy, a moved log).
//!    The file that is written to is taken for a continuation only with the same inode number.
//! 3. A rotated file that begins like a generation which still has its file is a copy of it, and waits for 2. Less than
//!    [`HEAD_BYTES`] can be equal by chance: such a file waits until it is [`QUIET`], then it is new.
//! 4. Anything else is new, unless it lies before a known file in the order of rotation and was written to neither later nor
//!    since the last look: then it is older than the checkpoint.
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
use std::io::{self, ErrorKind};
use std::sync::{Arc, Weak};

use crate::dirs::Dirs;
use crate::head::Content;
use crate::identity::{HEAD_BYTES, Head, Identity};
use crate::look::{Look, Seen, Unclear};
use crate::open::OpenFile;
use crate::patterns::bytes;
use crate::proof::{Candidate, continues, is_copy, is_copy_of};
use crate::siblings::sibling;
use crate::tracked::{Known, Orphan, Role, Tracked};

/// Nanoseconds after the last change in which a short rotated file may still become longer.
const QUIET: i64 = 5_000_000_000;

/// How often a directory is listed before what it seems to say is believed.
const LOOKS: usize = 4;

/// How many looks end without a result at a file that may not be read: it may be about to get another mode.
const PATIENCE: u32 = 8;

/// What is known of a lineage's other files while one is classified.
struct Others<'a> {
    /// Those that have their role already.
    files: &'a [Option<Known>],
    /// The log, where it is as new.
    base: Option<&'a Candidate>,
    /// A generation that may as well go on in the file in question as in the log, which seems to hold it.
    unproven: Option<u32>,
    /// It does go on in another file: the log is still to get its number.
    moves: bool,
}

/// What became of a file.
enum Verdict {
    /// The known file at this index, with its new head where that became longer.
    Same(usize, Option<Head>),
    New(Candidate),
    /// Cannot be read.
    Unreadable,
}

/// Brings a lineage up to date with its directory.
pub(crate) fn refresh(tracked: &mut Tracked, dirs: &mut Dirs, mut look: Look<'_>) {
    let (mut names, mut was_gone) = (BTreeSet::new(), false);
    for attempt in 1..=LOOKS {
        let listed = if attempt == 1 { dirs.look(&tracked.dir) } else { dirs.list(&tracked.dir) };
        let (version, agreed) = match listed {
            Ok(dir) => (dir.version, dir.agreed),
            Err(error) if error.kind() == ErrorKind::NotFound => (0, true),
            Err(error) => return look.troubles.push((tracked.dir.clone(), error)),
        };
        if attempt == 1 && tracked.was_seen && version == tracked.dir_version && look.unchanged(tracked) {
            return;
        }
        // That a directory is gone is not believed of one look: it may be on its way to another name and back.
        let patient = attempt < LOOKS || version == 0 && !was_gone;
        was_gone = version == 0;
        let seen = look.observe(tracked, dirs, version, &mut names);
        match seen.and_then(|seen| look.settle(tracked, seen, agreed, patient)) {
            Ok(()) => {
                let unreadable = tracked.files.iter().any(|known| known.role == Role::Unreadable);
                tracked.refused = if unreadable { tracked.refused } else { 0 };
                (tracked.dir_version, tracked.was_seen, tracked.seen_ns) = (version, true, look.wall_ns);
                return;
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

impl Look<'_> {
    /// Works out what each file holds. Nothing is changed when that is not clear.
    fn settle(
        &mut self,
        tracked: &mut Tracked,
        seen: Vec<Seen>,
        agreed: bool,
        patient: bool,
    ) -> Result<(), Unclear> {
        let verdicts: Result<Vec<_>, Unclear> = seen.iter().map(|file| self.judge(tracked, file)).collect();
        let mut verdicts = verdicts?;
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

    /// Whether a file is one that was there before.
    fn judge(&mut self, tracked: &Tracked, seen: &Seen) -> Result<Verdict, Unclear> {
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
                let Verdict::New(candidate) = verdict else { return Ok(Verdict::Same(at, None)) };
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
    fn free_copies(
        &mut self,
        tracked: &Tracked,
        seen: &[Seen],
        verdicts: &mut [Verdict],
    ) -> Result<(), Unclear> {
        let held: Vec<u32> = verdicts
            .iter()
            .filter_map(|verdict| match verdict {
                Verdict::Same(at, _) => tracked.files[*at].generation(),
                _ => None,
            })
            .collect();
        for (file, verdict) in seen.iter().zip(verdicts) {
            if let Verdict::Same(at, _) = verdict
                && let Role::Copies(of) = tracked.files[*at].role
                && !held.contains(&of)
            {
                *verdict = self.open(tracked, file, Weak::new(), 0)?;
            }
        }
        Ok(())
    }

    /// Of a file that was empty only the inode number is known, which may be used again: where it lies at the wrong place in
    /// the order, it is another one.
    fn free_misplaced(
        &mut self,
        tracked: &Tracked,
        seen: &[Seen],
        verdicts: &mut [Verdict],
    ) -> Result<(), Unclear> {
        let held: Vec<Option<u32>> = verdicts
            .iter()
            .map(|verdict| match verdict {
                Verdict::Same(at, _) => tracked.files[*at].generation(),
                _ => None,
            })
            .collect();
        for at in 0..seen.len() {
            let Verdict::Same(known, _) = verdicts[at] else { continue };
            let known = &tracked.files[known];
            let Some(generation) = known.generation() else { continue };
            let tells_nothing = known.head.len == 0
                && tracked.claim(generation).tail.len == 0
                && known.open.strong_count() == 0;
            // What was rotated away moves to older places, if at all; only kubelet, which names by time, takes it back.
            let was = known.path.file_name().and_then(|name| Some(sibling(bytes(name))?.suffix));
            let rose = was.is_some_and(|was| seen[at].suffix.map_or(!was.is_time(), |is| is.is_after(was)));
            let is_misplaced = || {
                rose || held[..at].iter().flatten().any(|older| *older > generation)
                    || held[at + 1..].iter().flatten().any(|newer| *newer < generation)
            };
            if tells_nothing && is_misplaced() {
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
        let opened = match held.upgrade() {
            Some(open) => Ok((open.file.clone(), Some(open))),
            None => self.fs.open(&seen.path).map(|file| (file, None)),
        };
        let read = opened.and_then(|(file, open)| {
            let stat = file.stat()?;
            let content = Content::new(file.clone(), seen.gz);
            let head = match content.head() {
                // It may still be being written, or end here: what there is tells.
                Err(error) if error.kind() != ErrorKind::InvalidData || !seen.gz => return Err(error),
                head => head?,
            };
            Ok((stat, Candidate { content, head, stat, file, open, begin, was, doubted }))
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

    /// Gives every file its role.
    fn commit(
        &mut self,
        tracked: &mut Tracked,
        seen: Vec<Seen>,
        verdicts: Vec<Verdict>,
    ) -> Result<(), Unclear> {
        let is_first = tracked.next == 0 && !tracked.reported;
        let before: Vec<_> =
            tracked.files.iter().map(|known| (known.role, known.path.clone(), known.stat)).collect();
        let mut old: Vec<Option<Known>> = std::mem::take(&mut tracked.files).into_iter().map(Some).collect();
        let mut files: Vec<Option<Known>> = Vec::with_capacity(seen.len());
        let mut candidates: Vec<Option<Candidate>> = Vec::with_capacity(seen.len());
        let mut blank = None;
        for (file, verdict) in seen.iter().zip(verdicts) {
            let (known, candidate) = match verdict {
                Verdict::Same(at, head) => {
                    let known = old[at].take().expect("each file was seen once");
                    blank = known.generation().filter(|number| is_blank(tracked, file, known.head, *number));
                    (Some(self.renew(known, file, head)), None)
                }
                Verdict::New(candidate) => (None, Some(candidate)),
                Verdict::Unreadable => (Some(plain(file, Role::Unreadable)), None),
            };
            files.push(known);
            candidates.push(candidate);
        }
        let mut orphans = std::mem::take(&mut tracked.orphans);
        orphans.extend(old.iter().flatten().filter_map(Option::<Orphan>::from));
        orphans.sort_by_key(|orphan| orphan.generation);
        for same_inode in [true, false] {
            for at in 0..seen.len() {
                let Some(candidate) = &candidates[at] else { continue };
                let found = first(&orphans, |orphan| {
                    let same = is_in(orphan, &seen[at]);
                    let is_denied = candidate.doubted == Some(orphan.generation);
                    if same != same_inode || is_denied || tells_nothing(tracked, orphan) {
                        return Ok(false);
                    }
                    continues(tracked, orphan, &seen[at], candidate, same, self.surveys)
                });
                if let Some(found) = found.map_err(|error| Unclear::of(&seen[at].path, error))? {
                    let orphan = orphans.remove(found);
                    let role = Role::Holds(orphan.generation);
                    let candidate = candidates[at].take().expect("just seen");
                    files[at] = Some(self.adopt(tracked, &seen[at], candidate, role, orphan.begin));
                }
            }
        }
        // Last those of which only an inode number and the place in the order can tell.
        for orphan in orphans.extract_if(.., |orphan| tells_nothing(tracked, orphan)) {
            let place = place_of(&files, orphan.generation);
            let taken =
                place.clone().find(|at| candidates[*at].as_ref().is_some_and(|it| !it.head.is_empty()));
            let found = place
                .filter(|at| {
                    let candidate = candidates[*at].as_ref();
                    let may_be = candidate.is_some_and(|it| it.doubted != Some(orphan.generation));
                    may_be && is_in(&orphan, &seen[*at])
                })
                .find(|at| seen[*at].is_base || taken.is_none_or(|taken| taken >= *at));
            if let Some(at) = found {
                blank = Some(orphan.generation).filter(|_| seen[at].is_base).or(blank);
                let candidate = candidates[at].take().expect("just seen");
                let role = Role::Holds(orphan.generation);
                files[at] = Some(self.adopt(tracked, &seen[at], candidate, role, orphan.begin));
            }
        }
        let (known_before, unproven) = (tracked.next, blank);
        for at in 0..seen.len() {
            let Some(candidate) = candidates[at].take() else { continue };
            let base =
                candidates.last().and_then(Option::as_ref).filter(|_| seen.iter().any(|it| it.is_base));
            let others = Others { files: &files, base, unproven, moves: blank != unproven };
            let mut role =
                self.classify(tracked, &seen, at, &candidate, &others, (is_first, known_before))?;
            if let (Role::Holds(number), Some(generation)) = (role, blank) {
                // The log was empty, so that it begins with what was rotated away since; the file in its place is new.
                (tracked.next, role, blank) = (number, Role::Holds(generation), None);
            }
            let begin = if role == Role::Ignored { seen[at].stat.size } else { candidate.begin };
            files[at] = Some(self.adopt(tracked, &seen[at], candidate, role, begin));
        }
        tracked.files = files.into_iter().flatten().collect();
        if let (true, Some(base)) = (blank != unproven, tracked.files.last_mut()) {
            base.role = Role::Holds(tracked.next);
            tracked.next += 1;
        }
        tracked.set_orphans(orphans);
        let after = tracked.files.iter().map(|known| (known.role, known.path.clone(), known.stat));
        let handed = tracked.files.iter().any(|known| known.fresh.is_some());
        tracked.dirty |= handed || !after.eq(before);
        Ok(())
    }

    /// A file that was there before, as it is now.
    fn renew(&mut self, mut known: Known, seen: &Seen, head: Option<Head>) -> Known {
        known.path = seen.path.clone();
        known.stat = seen.stat;
        known.head = head.unwrap_or(known.head);
        if known.starved && known.open.strong_count() == 0 {
            known.starved = false;
            if let (Some(permit), Ok(file)) = (self.files.permit(), self.fs.open(&known.path)) {
                let open = Arc::new(OpenFile::new(file, known.gz, permit));
                known.open = Arc::downgrade(&open);
                known.fresh = Some(open);
            } else {
                known.starved = true;
            }
        }
        known
    }

    /// What a file is that continues no generation which lost its file.
    fn classify(
        &mut self,
        tracked: &mut Tracked,
        seen: &[Seen],
        at: usize,
        candidate: &Candidate,
        others: &Others<'_>,
        (is_first, known_before): (bool, u32),
    ) -> Result<Role, Unclear> {
        let file = &seen[at];
        let Others { files, base, unproven, moves } = *others;
        if !file.is_base && candidate.head.is_empty() {
            return Ok(Role::Pending);
        }
        if !file.is_base {
            if let Some(role) = goes_on_copying(file, candidate, files) {
                return Ok(role);
            }
            for (place, known) in files.iter().enumerate() {
                let Some((known, generation)) = known.as_ref().and_then(|it| Some((it, it.generation()?)))
                else {
                    continue;
                };
                let is_numbered = !moves || place + 1 < files.len();
                let is_copy = match is_copy(self.fs, known, candidate, self.surveys) {
                    Err(error) if is_final(tracked, &error) => false,
                    result => result.map_err(|error| Unclear::of(&known.path, error))?,
                };
                match is_copy {
                    true if candidate.head.len() == HEAD_BYTES && is_numbered => {
                        return Ok(Role::Copies(generation));
                    }
                    true if !is_numbered || self.is_young(file) => return Ok(Role::Pending),
                    _ => {}
                }
            }
            // The log may be as new, copied and not truncated yet: then it gets its number before the copy is told apart.
            if let Some(base) = base
                && (candidate.head.len() == HEAD_BYTES || self.is_young(file))
                && is_copy_of(&base.content, &base.stat, candidate, self.surveys)
                    .map_err(|error| Unclear::of(&tracked.key, error))?
            {
                return Ok(Role::Pending);
            }
        }
        // A `.gz` has the time of its compression; and where the clock was set back, times that are to come tell no order.
        let is_earlier =
            |known: &Known| (file.stat.modified_ns..=self.wall_ns).contains(&known.stat.modified_ns);
        let older_than = |known: &Known| {
            known
                .generation()
                .is_some_and(|generation| generation < known_before && Some(generation) != unproven)
                && (file.gz || is_earlier(known))
        };
        // Not one that was read before, could not be, or was waited for, nor one that was written since the last look (which, with
        // the clock set back, cannot be told): a copy, perhaps, of what the log was emptied of before anybody saw it.
        let was_set_back = self.wall_ns < tracked.seen_ns;
        let is_late =
            !file.gz && tracked.was_seen && (was_set_back || file.stat.modified_ns > tracked.seen_ns);
        let may_be_old = match candidate.was {
            Some(Role::Unreadable | Role::Holds(_)) => false,
            Some(Role::Pending) => file.gz,
            _ => !is_late,
        };
        if may_be_old && files[at + 1..].iter().flatten().any(older_than) {
            return Ok(Role::Old);
        }
        // The log itself matters here where only rotated files of it are wanted.
        if (self.excluded)(&file.path) {
            return Ok(Role::Excluded);
        }
        let age = self.wall_ns.saturating_sub(file.stat.modified_ns);
        if is_first && self.ignore_older_ns.is_some_and(|limit| age > limit) {
            return Ok(Role::Ignored);
        }
        tracked.next += 1;
        Ok(Role::Holds(tracked.next - 1))
    }

    /// Whether a file may still become longer. Of one that was written in times to come, the clock says nothing.
    fn is_young(&self, file: &Seen) -> bool {
        self.wall_ns.saturating_sub(file.stat.modified_ns).unsigned_abs() < QUIET.unsigned_abs()
    }

    /// A file in its role, kept open where that serves.
    fn adopt(
        &mut self,
        tracked: &Tracked,
        seen: &Seen,
        candidate: Candidate,
        role: Role,
        begin: u64,
    ) -> Known {
        let mut known = plain(seen, role);
        known.head = Head::new(&candidate.head);
        known.begin = begin;
        let Role::Holds(generation) = role else { return known };
        if let Some(open) = candidate.open {
            known.open = Arc::downgrade(&open);
            known.fresh = Some(open);
            return known;
        }
        let all_read = !seen.is_base && !seen.gz && tracked.claim(generation).consumed >= seen.stat.size;
        if !all_read {
            match self.files.permit() {
                Some(permit) => {
                    let open = Arc::new(OpenFile::new(candidate.file, seen.gz, permit));
                    known.open = Arc::downgrade(&open);
                    known.fresh = Some(open);
                }
                None => known.starved = true,
            }
        }
        known
    }
}

/// The index of the first of `items` of which `is_it` says so.
fn first<T>(items: &[T], mut is_it: impl FnMut(&T) -> io::Result<bool>) -> io::Result<Option<usize>> {
    for (at, item) in items.iter().enumerate() {
        if is_it(item)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Whether it is of no use to wait until this is over.
fn is_final(tracked: &Tracked, error: &io::Error) -> bool {
    match error.kind() {
        ErrorKind::InvalidData => true,
        ErrorKind::PermissionDenied => tracked.refused >= PATIENCE,
        _ => false,
    }
}

/// A `.gz` that was taken for a copy stays one while it grows beside the original, so that no look inflates it. It is
/// asked again when the original is gone.
fn goes_on_copying(file: &Seen, candidate: &Candidate, files: &[Option<Known>]) -> Option<Role> {
    let role = candidate.was.filter(|_| file.gz)?;
    let Role::Copies(of) = role else { return None };
    let original = files.iter().flatten().find(|known| known.generation() == Some(of))?;
    original.head.begins(&candidate.head).then_some(role)
}

/// Whether nothing but its place tells that the log holds this generation: it was empty when it was seen last.
fn is_blank(tracked: &Tracked, file: &Seen, head: Head, generation: u32) -> bool {
    file.is_base && head.len == 0 && tracked.claim(generation).consumed == 0
}

/// Whether a file has the inode number that a generation's file had.
fn is_in(orphan: &Orphan, seen: &Seen) -> bool {
    (orphan.identity.dev, orphan.identity.ino) == (seen.stat.dev, seen.stat.ino)
}

/// Whether nothing of a generation's contents is known, since it was empty when it was seen last and nobody has it open.
fn tells_nothing(tracked: &Tracked, orphan: &Orphan) -> bool {
    orphan.identity.head.len == 0
        && tracked.claim(orphan.generation).tail.len == 0
        && orphan.open.strong_count() == 0
}

/// Where a generation may lie in the order of the files: behind the older ones and before the newer ones.
fn place_of(files: &[Option<Known>], generation: u32) -> std::ops::Range<usize> {
    let number = |at: &usize| files[*at].as_ref().and_then(Known::generation);
    let from = (0..files.len()).rev().find(|at| number(at).is_some_and(|known| known < generation));
    let to = (0..files.len()).find(|at| number(at).is_some_and(|known| known > generation));
    from.map_or(0, |at| at + 1)..to.unwrap_or(files.len())
}

fn plain(seen: &Seen, role: Role) -> Known {
    Known {
        path: seen.path.clone(),
        gz: seen.gz,
        stat: seen.stat,
        head: Head::default(),
        role,
        begin: 0,
        open: Weak::new(),
        fresh: None,
        doubted: false,
        starved: false,
    }
}
