//! What the paths of a configuration match now, and why some match nothing: for `run`, `check` and `doctor`.
//!
//! The looking happens on a thread of its own and is not waited for longer than [`PATIENCE`]: a mount that never answers
//! stops nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ringtail_io::{RealClock, RealFs};
use ringtail_read::{FileSpec, OpenFiles, Scanner};

use crate::config::Pipeline;
use crate::unmatched::Unmatched;

/// How long is waited for the looking.
const PATIENCE: Duration = Duration::from_secs(3);
/// Files that are open at once while looking.
const OPEN_FILES: usize = 64;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// Logs, rotated files not counted, by pipeline and path: in that order, and by path's place in the pipeline.
    counts: BTreeMap<PathId, usize>,
    /// What cannot be looked at, and why.
    pub errors: Vec<String>,
    /// Where symlinks lead that are not followed.
    pub refused: Vec<Arc<Path>>,
    /// Paths that match nothing, in order.
    pub unmatched: Vec<(PathId, Unmatched)>,
}

/// A path of a configuration: the number of its pipeline, and its place among the paths of that.
pub type PathId = (usize, usize);

impl Matches {
    /// Logs that the paths of the pipeline numbered `pipeline` match; one that several match counts for each.
    pub fn of_pipeline(&self, pipeline: usize) -> usize {
        self.counts.range((pipeline, 0)..(pipeline + 1, 0)).map(|(_, logs)| logs).sum()
    }
}

/// Looks for the files of all pipelines; nothing when that takes too long. Patterns are right.
pub fn look(pipelines: &[Pipeline]) -> Option<Matches> {
    let mut specs = Vec::new();
    let mut owners = Vec::new();
    for (number, pipeline) in pipelines.iter().enumerate() {
        for (place, path) in pipeline.origin.paths.iter().enumerate() {
            specs.push(FileSpec {
                id: u32::try_from(owners.len()).ok()?,
                pipeline: u32::try_from(number).ok()?,
                paths: vec![path.clone()],
                exclude: pipeline.origin.exclude.clone(),
                ignore_older: None,
            });
            owners.push((number, place));
        }
    }
    patiently(move || scan(&specs, &owners)).flatten()
}

/// What `look` finds; nothing when that takes too long. Its thread is then left behind.
pub fn patiently<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (found, finding) = mpsc::channel();
    let looking = move || drop(found.send(look()));
    thread::Builder::new().name("looking".into()).spawn(looking).ok()?;
    finding.recv_timeout(PATIENCE).ok()
}

fn scan(specs: &[FileSpec], owners: &[PathId]) -> Option<Matches> {
    let (fs, clock) = (Arc::new(RealFs), Arc::new(RealClock::new()));
    let mut scanner = Scanner::new(fs, clock, OpenFiles::new(OPEN_FILES), specs).ok()?;
    let mut matches = Matches::default();
    scanner.begin();
    // There the names have to do: to look at the files may take minutes, and the collection does it anyway.
    let mut wanting = scanner.leave_far();
    wanting.extend(scanner.scan_rest().into_iter().map(|listing| listing.specs));
    for spec in wanting.into_iter().flatten() {
        if let Some(owner) = usize::try_from(spec).ok().and_then(|spec| owners.get(spec)) {
            *matches.counts.entry(*owner).or_default() += 1;
        }
    }
    let told = |error: ringtail_read::ScanError| format!("{}: {error}", error.path.display());
    let errors = scanner.take_errors();
    for (owner, spec) in owners.iter().zip(specs).filter(|(owner, _)| !matches.counts.contains_key(owner)) {
        let path = &spec.paths[0];
        // Why it cannot be looked at was said of it, or of what is below it.
        if !errors.iter().any(|error| error.path.starts_with(path)) {
            matches.unmatched.push((*owner, Unmatched::look(path)));
        }
    }
    matches.refused = errors.iter().filter_map(|error| error.leads_to.clone()).collect();
    matches.errors = errors.into_iter().map(told).collect();
    Some(matches)
}

/// One sentence for the start line: `shop: 12 logs; web: nothing yet`.
pub fn sentence(pipelines: &[Pipeline], matches: Option<&Matches>) -> String {
    let Some(matches) = matches else { return "still looking: a file system answers slowly".into() };
    let part = |(number, pipeline): (usize, &Pipeline)| match matches.of_pipeline(number) {
        0 => format!("{}: nothing yet", pipeline.name),
        1 => format!("{}: 1 log", pipeline.name),
        logs => format!("{}: {logs} logs", pipeline.name),
    };
    pipelines.iter().enumerate().map(part).collect::<Vec<_>>().join("; ")
}
