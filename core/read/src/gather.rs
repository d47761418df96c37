//! Many questions to a file system: several at once, where each answer takes long.

use std::path::Path;
use std::sync::OnceLock;

use ringtail_io::Fs;

/// `count` answers, in the order of their numbers; to be asked at `place`.
pub(crate) fn gather<T: Send + Sync>(
    fs: &dyn Fs,
    place: &Path,
    count: usize,
    ask: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let answers: Vec<OnceLock<T>> = (0..count).map(|_| OnceLock::new()).collect();
    fs.each(place, count, &|at| drop(answers[at].set(ask(at))));
    answers.into_iter().map(|answer| answer.into_inner().expect("each was asked")).collect()
}
