//! What a start takes over from the checkpoint.

use std::path::Path;
use std::sync::Arc;

use ringtail_read::{Claim, Scanner};

use super::StartError;
use crate::checkpoint::{self, Changes, Restored};
use crate::checkpointer::Checkpointer;
use crate::config::{EngineConfig, Pipeline};
use crate::maps::HashMap;
use crate::row::{Row, known_files};
use crate::scanning::shard_number;
use crate::shard::RowsByLineage;

/// Opens the checkpoint of the data directory, where there is one, and starts the thread that writes it.
pub(super) fn open_checkpoint(
    config: &EngineConfig,
    pipelines: &[Pipeline],
) -> Result<(Option<Checkpointer>, Restored), StartError> {
    let Some(data_dir) = &config.data_dir else { return Ok((None, Restored::default())) };
    let path = data_dir.join(checkpoint::FILE_NAME);
    let failed = |error| StartError::Checkpoint(path.clone(), error);
    let (open, mut restored) = checkpoint::open_or_reset(data_dir).map_err(failed)?;
    if restored.was_reset {
        // Before anything else: should this start be killed, the next one must not take the empty checkpoint for a
        // first start, where `start: end` would skip what was not delivered.
        restored.pipelines = pipelines.iter().map(|pipeline| pipeline.name.as_str().into()).collect();
        let started = Changes { pipelines: restored.pipelines.clone(), ..Changes::default() };
        open.commit(&started).map_err(failed)?;
    }
    let again = path.clone();
    let reopen = Box::new(move || checkpoint::open_file(&again).map(|(checkpoint, _)| checkpoint));
    let checkpointer = Checkpointer::start(open, reopen).map_err(StartError::Thread)?;
    Ok((Some(checkpointer), restored))
}

/// Tells the scanner what the checkpoint knows of every lineage.
pub(crate) fn restore_scanner(scanner: &mut Scanner, restored: &Restored) {
    let mut lineages: HashMap<&Arc<Path>, Vec<&Row>> = HashMap::default();
    for (key, row) in &restored.rows {
        lineages.entry(&key.lineage).or_default().push(row);
    }
    for (lineage, rows) in lineages {
        let claims = rows.iter().filter_map(|row| claim(row)).collect();
        scanner.restore(lineage, &known_files(rows), claims);
    }
}

/// How far a row's cursor had come in the file that its tail lies in.
fn claim(row: &Row) -> Option<Claim> {
    let (generation, tail) = row.tail;
    let in_file = row.standing.streams.iter().filter(|position| position.generation == generation);
    let consumed = in_file.map(|position| position.offset).max()?;
    Some(Claim { generation, consumed: consumed.max(tail.end), tail })
}

/// The rows of each shard's lineages.
pub(crate) fn split_rows(restored: &Restored, shards: usize) -> Vec<RowsByLineage> {
    let mut split: Vec<RowsByLineage> = (0..shards).map(|_| HashMap::default()).collect();
    for (key, row) in &restored.rows {
        let shard = &mut split[shard_number(&key.lineage, shards)];
        shard.entry(key.lineage.clone()).or_default().push((key.clone(), row.clone()));
    }
    split
}
