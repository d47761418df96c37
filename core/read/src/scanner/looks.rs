//! Looks at lineages: one after the other, or several far ones at once.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Scanner;
use crate::dirs::Dirs;
use crate::look::Look;
use crate::maps::HashMap;
use crate::open::OpenFiles;
use crate::patterns::Spec;
use crate::resolve::refresh;
use crate::survey::Surveys;
use crate::tracked::Tracked;
use crate::walk::Trouble;

impl Scanner {
    /// Looks at these lineages: several at once where they are far, each in a directory of its own.
    pub(super) fn refresh(&mut self, keys: &[Arc<Path>], troubles: &mut Vec<Trouble>, stats: &mut u64) {
        let (specs, wall_ns) = (&self.walk.patterns().specs, self.clock.wall_ns());
        let shared = Shared { specs, files: &self.files, surveys: &self.surveys, wall_ns };
        if let [key] = keys {
            let Some(tracked) = self.lineages.get_mut(key) else { return };
            self.moved |= shared.look(tracked, &mut self.dirs, troubles, stats);
            return;
        }
        let apart = keys.iter().filter_map(|key| {
            let tracked = self.lineages.remove(key)?;
            let dirs = self.dirs.part(&tracked.dir);
            Some(Mutex::new(Apart { tracked, dirs, troubles: Vec::new(), stats: 0, moved: false }))
        });
        let apart: Vec<_> = apart.collect();
        let Some(place) = keys.first() else { return };
        self.dirs.fs.each(place, apart.len(), &|at| {
            let mut it = apart[at].lock().unwrap_or_else(PoisonError::into_inner);
            let Apart { tracked, dirs, troubles, stats, moved } = &mut *it;
            *moved = shared.look(tracked, dirs, troubles, stats);
        });
        for it in apart {
            let it = it.into_inner().unwrap_or_else(PoisonError::into_inner);
            self.moved |= it.moved;
            self.dirs.join(it.dirs);
            troubles.extend(it.troubles);
            *stats += it.stats;
            self.lineages.insert(it.tracked.key.clone(), it.tracked);
        }
    }
}

/// A lineage that is looked at beside others.
struct Apart {
    tracked: Box<Tracked>,
    /// What is known of its own directory.
    dirs: Dirs,
    troubles: Vec<Trouble>,
    stats: u64,
    moved: bool,
}

/// What looks at several lineages share.
struct Shared<'a> {
    specs: &'a [Spec],
    files: &'a OpenFiles,
    surveys: &'a Surveys,
    wall_ns: i64,
}

impl Shared<'_> {
    /// Looks at one lineage. Whether it has its first file now, or has lost its last.
    fn look(
        &self,
        tracked: &mut Tracked,
        dirs: &mut Dirs,
        troubles: &mut Vec<Trouble>,
        stats: &mut u64,
    ) -> bool {
        let had_files = !tracked.files.is_empty();
        let (specs, wanting) = (self.specs, tracked.specs.clone());
        // The most patient spec decides, the others see a little more.
        let ages: Option<Vec<Duration>> = wanting.iter().map(|spec| specs[*spec].ignore_older).collect();
        let oldest = ages.and_then(|ages| ages.into_iter().max());
        let excluded =
            |path: &Path| !wanting.is_empty() && wanting.iter().all(|spec| specs[*spec].excludes(path));
        let (fs, mut surveys) = (dirs.fs.clone(), self.surveys.clone());
        let look = Look {
            fs: &*fs,
            files: self.files,
            wall_ns: self.wall_ns,
            round: tracked.looks,
            ignore_older_ns: oldest.map(|age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)),
            excluded: &excluded,
            surveys: &mut surveys,
            opened: HashMap::default(),
            troubles,
            stats,
        };
        refresh(tracked, dirs, look);
        had_files == tracked.files.is_empty()
    }
}
