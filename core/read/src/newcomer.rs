//! What a file is that no known generation goes on in: a copy, an old one, one that is not wanted, or a new generation.

use crate::identity::{HEAD_BYTES, Head};
use crate::judge::is_final;
use crate::look::{Look, Seen, Unclear};
use crate::proof::{Candidate, is_copy, is_copy_of};
use crate::roles::Roles;
use crate::siblings::Suffix;
use crate::tracked::{Known, Role, Tracked};

/// Nanoseconds after the last change in which a short rotated file may still become longer.
const QUIET: i64 = 5_000_000_000;

/// What was so before anything of this look got a number.
pub(crate) struct Before {
    /// The number of the first new generation.
    pub(crate) next: u32,
    /// Nothing is known of the lineage.
    pub(crate) is_first: bool,
    /// A generation that may as well go on in a new rotated file as in the log, which seems to hold it.
    pub(crate) unproven: Option<u32>,
}

impl Look<'_> {
    /// What a file is that continues no generation which lost its file.
    pub(crate) fn classify(
        &mut self,
        tracked: &mut Tracked,
        roles: &Roles,
        at: usize,
        candidate: &Candidate,
        before: &Before,
    ) -> Result<Role, Unclear> {
        let file = &roles.seen[at];
        if !file.is_base && candidate.head.is_empty() {
            return Ok(Role::Pending);
        }
        if !file.is_base
            && let Some(role) = self.find_original(tracked, roles, at, candidate, before)?
        {
            return Ok(role);
        }
        if self.is_old(tracked, roles, at, candidate, before) {
            return Ok(Role::Old);
        }
        // The log itself matters here where only rotated files of it are wanted.
        if (self.excluded)(&file.path) {
            return Ok(Role::Excluded);
        }
        let age = self.wall_ns.saturating_sub(file.stat.modified_ns);
        if before.is_first && self.ignore_older_ns.is_some_and(|limit| age > limit) {
            return Ok(Role::Ignored);
        }
        tracked.next += 1;
        Ok(Role::Holds(tracked.next - 1))
    }

    /// The role of a rotated file that is a copy of what another file holds, or may become one.
    fn find_original(
        &mut self,
        tracked: &Tracked,
        roles: &Roles,
        at: usize,
        candidate: &Candidate,
        before: &Before,
    ) -> Result<Option<Role>, Unclear> {
        let Roles { seen, files, candidates, blank, .. } = roles;
        let file = &seen[at];
        if let Some(role) = goes_on_copying(file, candidate, files) {
            return Ok(Some(role));
        }
        let head = Head::new(&candidate.head);
        for (place, known) in files.iter().enumerate() {
            let Some((known, generation)) = known.as_ref().and_then(|it| Some((it, it.generation()?))) else {
                continue;
            };
            if self.begins_otherwise(known, candidate, head) {
                continue;
            }
            // What the log seemed to hold goes on in another file: the log is still to get its number.
            let is_numbered = *blank == before.unproven || place + 1 < files.len();
            let is_copy = match is_copy(self.fs, known, candidate, self.surveys) {
                Err(error) if is_final(tracked, &error) => false,
                result => result.map_err(|error| Unclear::of(&known.path, error))?,
            };
            match is_copy {
                true if candidate.head.len() == HEAD_BYTES && is_numbered => {
                    return Ok(Some(Role::Copies(generation)));
                }
                true if !is_numbered || self.is_young(file) => return Ok(Some(Role::Pending)),
                _ => {}
            }
        }
        // The log may be as new, copied and not truncated yet: then it gets its number before the copy is told apart.
        let base = candidates.last().and_then(Option::as_ref).filter(|_| seen.iter().any(|it| it.is_base));
        if let Some(base) = base
            && (candidate.head.len() == HEAD_BYTES || self.is_young(file))
            && is_copy_of((&base.content, &base.head), &base.stat, candidate, self.surveys)
                .map_err(|error| Unclear::of(&tracked.key, error))?
        {
            return Ok(Some(Role::Pending));
        }
        Ok(None)
    }

    /// Whether it is known without reading anything that two files begin otherwise. There may be thousands to compare with.
    fn begins_otherwise(&self, known: &Known, candidate: &Candidate, head: Head) -> bool {
        if known.head.len == head.len {
            return known.head != head;
        }
        let opened = self.opened.get(&known.id()).filter(|opened| opened.stat == known.stat);
        opened.is_some_and(|known| {
            !known.head.starts_with(&candidate.head) && !candidate.head.starts_with(&known.head)
        })
    }

    /// Whether a file lies before the known ones in the order of rotation, and nothing speaks against it.
    fn is_old(
        &self,
        tracked: &Tracked,
        roles: &Roles,
        at: usize,
        candidate: &Candidate,
        before: &Before,
    ) -> bool {
        let file = &roles.seen[at];
        // A `.gz` has the time of its compression; and where the clock was set back, times that are to come tell no order, nor do
        // names that are times.
        let latest = if file.suffix.is_some_and(Suffix::is_time) { self.wall_ns } else { i64::MAX };
        let is_earlier = |known: &Known| (file.stat.modified_ns..=latest).contains(&known.stat.modified_ns);
        let is_known = |known: &&Known| {
            let is_it = |number| number < before.next && Some(number) != before.unproven;
            known.generation().is_some_and(is_it)
        };
        let is_newer = |known: &Known| file.gz || is_earlier(known);
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
        let (older, newer) = (&roles.files[..at], &roles.files[at + 1..]);
        may_be_old
            && newer.iter().flatten().filter(is_known).any(is_newer)
            && !older.iter().flatten().any(|known| is_known(&known))
    }

    /// Whether a file may still become longer. Of one that was written in times to come, the clock says nothing.
    fn is_young(&self, file: &Seen) -> bool {
        self.wall_ns.saturating_sub(file.stat.modified_ns).unsigned_abs() < QUIET.unsigned_abs()
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
