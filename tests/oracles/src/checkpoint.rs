//! The checkpoint's rows, and a checkpoint file that was damaged. What is private there is compared there.

use ringtail_engine::fuzzing;

use crate::choices::Choices;

pub(crate) fn row(data: &[u8]) {
    fuzzing::row(data);
}

/// Edits of one byte at three-byte places, up to 64 of them.
pub(crate) fn checkpoint(data: &[u8]) {
    let mut choices = Choices(data);
    let (seed, cut) = (choices.byte(), choices.byte());
    let place = |choices: &mut Choices<'_>| (choices.number() as u64) << 8 | u64::from(choices.byte());
    let cut = (cut & 1 == 1).then(|| place(&mut choices));
    let edits = choices.rest();
    let edits: Vec<(u64, u8)> =
        edits.chunks_exact(4).take(64).map(|edit| (place(&mut Choices(edit)), edit[3])).collect();
    fuzzing::checkpoint(seed, cut, &edits);
}
