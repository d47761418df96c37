//! Which role each file of a lineage gets: first what is as it was, then what goes on elsewhere, then what is new.

use std::io;
use std::sync::{Arc, Weak};

use crate::identity::Head;
use crate::judge::Verdict;
use crate::look::{Look, Seen, Unclear};
use crate::newcomer::Before;
use crate::open::OpenFile;
use crate::proof::{Candidate, continues};
use crate::siblings::Suffix;
use crate::tracked::{Known, Orphan, Role, Tracked};

/// The files of a look on their way to their roles.
pub(crate) struct Roles {
    /// Oldest first, the log last.
    pub(crate) seen: Vec<Seen>,
    /// Those that have their role, each at its place in `seen`.
    pub(crate) files: Vec<Option<Known>>,
    /// The others.
    pub(crate) candidates: Vec<Option<Candidate>>,
    /// Generations that have no file, oldest first.
    pub(crate) orphans: Vec<Orphan>,
    /// Those of them whose file held a newer one since: they cannot go on in it.
    pub(crate) replaced: Vec<u32>,
    /// The generation that the log seems to hold, of which nothing but its place tells: it was empty when it was seen last.
    pub(crate) blank: Option<u32>,
}

/// What speaks for a file beside its contents, the strongest first: files that begin alike may be told apart by nothing else.
#[derive(Clone, Copy)]
enum Sign {
    /// Its inode number.
    Inode,
    /// It lies between the files of older and of newer generations.
    Place,
    /// Nothing: names that tell a time are in no order where the clock was set.
    Contents,
}

impl Look<'_> {
    /// Gives every file its role.
    pub(crate) fn commit(
        &mut self,
        tracked: &mut Tracked,
        seen: Vec<Seen>,
        verdicts: Vec<Verdict>,
    ) -> Result<(), Unclear> {
        let is_first = tracked.next == 0 && !tracked.reported;
        let roles_of = |tracked: &Tracked| -> Vec<_> {
            tracked.files.iter().map(|known| (known.role, known.path.clone(), known.stat)).collect()
        };
        let before = roles_of(tracked);
        let mut roles = self.keep(tracked, seen, verdicts);
        self.find_by_contents(tracked, &mut roles)?;
        self.find_by_place(tracked, &mut roles);
        self.number(tracked, &mut roles, is_first)?;
        // Most lineages have one file, and `collect` would begin with room for four.
        tracked.files = Vec::with_capacity(roles.files.len());
        tracked.files.extend(roles.files.into_iter().flatten());
        tracked.set_orphans(roles.orphans);
        let handed = tracked.files.iter().any(|known| known.fresh.is_some());
        tracked.dirty |= handed || roles_of(tracked) != before;
        Ok(())
    }

    /// What is as it was keeps its role; generations whose file is not among it have none now.
    fn keep(&mut self, tracked: &mut Tracked, seen: Vec<Seen>, verdicts: Vec<Verdict>) -> Roles {
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
        // A file that is still there under a name holds something else by now.
        for orphan in orphans.iter_mut().filter(|orphan| seen.iter().any(|file| is_in(orphan, file))) {
            orphan.open = Weak::new();
        }
        let id = |orphan: &Orphan| (orphan.identity.dev, orphan.identity.ino);
        let is_replaced = |at: &usize| orphans[at + 1..].iter().any(|newer| id(newer) == id(&orphans[*at]));
        let replaced = (0..orphans.len()).filter(is_replaced).map(|at| orphans[at].generation).collect();
        Roles { seen, files, candidates, orphans, replaced, blank }
    }

    /// Generations go on in files whose contents prove it.
    fn find_by_contents(&mut self, tracked: &Tracked, roles: &mut Roles) -> Result<(), Unclear> {
        for sign in [Sign::Inode, Sign::Place, Sign::Contents] {
            for at in 0..roles.seen.len() {
                let Some(candidate) = &roles.candidates[at] else { continue };
                let seen = &roles.seen[at];
                let found = first(&roles.orphans, |orphan| {
                    let same = is_in(orphan, seen);
                    let is_denied = candidate.doubted == Some(orphan.generation)
                        || same && roles.replaced.contains(&orphan.generation);
                    let may_be = match sign {
                        Sign::Inode => same,
                        Sign::Place => {
                            !same && place_of(tracked, &roles.files, orphan.generation).contains(&at)
                        }
                        Sign::Contents => !same,
                    };
                    if !may_be || is_denied || tells_nothing(tracked, orphan) {
                        return Ok(false);
                    }
                    continues(tracked, orphan, seen, candidate, same, self.surveys)
                });
                if let Some(found) = found.map_err(|error| Unclear::of(&seen.path, error))? {
                    let orphan = roles.orphans.remove(found);
                    self.give(tracked, roles, at, &orphan);
                }
            }
        }
        Ok(())
    }

    /// Last come those of which only an inode number and the place in the order can tell.
    fn find_by_place(&mut self, tracked: &Tracked, roles: &mut Roles) {
        let blanks: Vec<Orphan> =
            roles.orphans.extract_if(.., |orphan| tells_nothing(tracked, orphan)).collect();
        for orphan in blanks {
            let Roles { seen, files, candidates, replaced, .. } = &*roles;
            let place = place_of(tracked, files, orphan.generation);
            let taken =
                place.clone().find(|at| candidates[*at].as_ref().is_some_and(|it| !it.head.is_empty()));
            let found = place
                .filter(|at| {
                    let candidate = candidates[*at].as_ref();
                    let is_denied = candidate.is_none_or(|it| it.doubted == Some(orphan.generation))
                        || replaced.contains(&orphan.generation)
                        // The log had a newer one since.
                        || seen[*at].is_base
                            && (orphan.generation + 1..tracked.next).any(|newer| !tracked.strays.contains(&newer));
                    !is_denied && is_in(&orphan, &seen[*at])
                })
                .find(|at| seen[*at].is_base || taken.is_none_or(|taken| taken >= *at));
            if let Some(at) = found {
                roles.blank = Some(orphan.generation).filter(|_| seen[at].is_base).or(roles.blank);
                self.give(tracked, roles, at, &orphan);
            }
        }
    }

    /// A generation goes on in this file.
    fn give(&mut self, tracked: &Tracked, roles: &mut Roles, at: usize, orphan: &Orphan) {
        let candidate = roles.candidates[at].take().expect("it was one just now");
        let role = Role::Holds(orphan.generation);
        roles.files[at] = Some(self.adopt(tracked, &roles.seen[at], candidate, role, orphan.begin));
    }

    /// What is left gets a number of its own, or is none of the log's generations.
    fn number(&mut self, tracked: &mut Tracked, roles: &mut Roles, is_first: bool) -> Result<(), Unclear> {
        let before = Before { next: tracked.next, is_first, unproven: roles.blank };
        for at in 0..roles.seen.len() {
            let Some(candidate) = roles.candidates[at].take() else { continue };
            let mut role = self.classify(tracked, roles, at, &candidate, &before)?;
            if let (Role::Holds(number), Some(generation)) = (role, roles.blank) {
                // The log was empty, so that it begins with what was rotated away since; the file in its place is new.
                (tracked.next, role, roles.blank) = (number, Role::Holds(generation), None);
            }
            if let Role::Holds(number) = role
                && number >= before.next
                && self.lies_behind(tracked, roles, at, &before)
            {
                tracked.strays.insert(number);
            }
            let begin = if role == Role::Ignored { roles.seen[at].stat.size } else { candidate.begin };
            roles.files[at] = Some(self.adopt(tracked, &roles.seen[at], candidate, role, begin));
        }
        let Some(base) = roles.files.last_mut().and_then(Option::as_mut) else { return Ok(()) };
        // A rotated file is the log again: what is written to it comes after what was the log meanwhile. Nobody can say how much of it
        // each reader had, so that it is read once more.
        let is_again =
            base.path == tracked.key && base.generation().is_some_and(|number| tracked.was_left(number));
        // Or what it seemed to hold went on in another file.
        if is_again || roles.blank != before.unproven {
            base.role = Role::Holds(tracked.next);
            tracked.next += 1;
        }
        Ok(())
    }

    /// Whether a younger file of the log had its number before this look: the log itself, or a rotated one, whose name says that it
    /// is younger. A name that tells a time is believed where no change lies in times to come, since the clock may have been set.
    fn lies_behind(&self, tracked: &Tracked, roles: &Roles, at: usize, before: &Before) -> bool {
        let file = &roles.seen[at];
        let is_younger = |known: &Known| {
            let is_in_order = || {
                // A `.gz` has the time of its compression.
                let changed = if file.gz { i64::MIN } else { file.stat.modified_ns };
                (changed..=self.wall_ns).contains(&known.stat.modified_ns)
            };
            let is_timed = file.suffix.is_some_and(Suffix::is_time);
            known.path == tracked.key || !is_timed || is_in_order()
        };
        let number_of = |known: &Known| {
            let is_it = |number: &u32| {
                *number < before.next && Some(*number) != before.unproven && !tracked.strays.contains(number)
            };
            known.generation().filter(is_it)
        };
        // One that is smaller than an older file's tells no order: that of an empty file whose inode number was used again.
        let older = roles.files[..at].iter().flatten().filter_map(number_of).max();
        let had_number = |known: &Known| number_of(known).is_some_and(|number| Some(number) > older);
        roles.files[at + 1..].iter().flatten().any(|known| had_number(known) && is_younger(known))
    }

    /// A file that was there before, as it is now.
    fn renew(&mut self, mut known: Known, seen: &Seen, head: Option<Head>) -> Known {
        known.path = seen.path.clone();
        known.stat = seen.stat;
        if let Some(head) = head {
            known.begin_with(head);
        }
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
        known.begin_with(Head::new(&candidate.head));
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

/// Where a generation may lie in the order of the files: behind the older ones and before the newer ones. Of strays the numbers
/// tell no order.
fn place_of(tracked: &Tracked, files: &[Option<Known>], generation: u32) -> std::ops::Range<usize> {
    if tracked.strays.contains(&generation) {
        return 0..0;
    }
    let in_order = |known: &u32| !tracked.strays.contains(known);
    let number = |at: &usize| files[*at].as_ref().and_then(Known::generation).filter(in_order);
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
