//! From a configuration to what the other crates are told.

use std::sync::Arc;

use ringtail_engine::{EngineConfig, Mode, Pipeline, PipelineOutput};
use ringtail_io::Choice;
use ringtail_memory::{Budget, Use};
use ringtail_record::Outlet;
use ringtail_ship::{OutputConfig, Shippers};

use crate::config::{Config, Threads};
use crate::cores;

/// Descriptors that are kept for everything but log files: outputs, checkpoint, watches, the admin endpoint.
const DESCRIPTORS_KEPT: u64 = 512;
/// Open log files, where the system sets no bound.
const OPEN_FILES_MAX: u64 = 1 << 20;

/// What the outputs are told. Payloads' share of the memory is split evenly over them.
pub fn outputs(config: &Config) -> Vec<OutputConfig> {
    let payloads = Budget::new(config.memory).limit(Use::Payloads);
    let share = payloads.checked_div(config.outputs.len()).unwrap_or(payloads);
    let output = |output: &crate::config::Output| OutputConfig {
        name: output.name.clone(),
        sink: output.sink.clone(),
        compression: output.compression,
        attributes: output.attributes.clone(),
        concurrency: output.concurrency,
        payload_bytes: share,
    };
    config.outputs.iter().map(output).collect()
}

/// What the engine is told once, at its start.
pub fn engine(config: &Config, io: Choice, mode: Mode) -> EngineConfig {
    EngineConfig {
        data_dir: config.data_dir.clone(),
        memory: config.memory,
        shards: threads(config),
        io,
        open_files: open_files(),
        hold_deleted: config.hold_deleted,
        mode,
    }
}

/// Shards, and packers.
pub fn threads(config: &Config) -> usize {
    match config.threads {
        Threads::Auto => cores::threads(cores::available()),
        Threads::Count(count) => count,
    }
}

/// What the engine is told of the pipelines. An output that `shippers` do not have is left out.
pub fn pipelines(config: &Config, shippers: &Shippers) -> Vec<Pipeline> {
    let outlet = |name: &String| -> Option<PipelineOutput> {
        let output = config.outputs.iter().find(|output| output.name == *name)?;
        let outlet: Arc<dyn Outlet> = shippers.outlet(name)?;
        Some(PipelineOutput { name: name.clone(), outlet, batch: output.batch })
    };
    let pipeline = |pipeline: &crate::config::Pipeline| {
        pipeline.origin.pipeline(&pipeline.name, pipeline.to.iter().filter_map(outlet).collect())
    };
    config.pipelines.iter().map(pipeline).collect()
}

/// Raises the limit of descriptors as far as it goes, and leaves some for everything else.
fn open_files() -> usize {
    let limit = match ringtail_io::raise_nofile() {
        Ok(limit) => limit.unwrap_or(OPEN_FILES_MAX),
        Err(_) => ringtail_io::Limits::read().open_files.0.unwrap_or(OPEN_FILES_MAX),
    };
    let files = limit.saturating_sub(DESCRIPTORS_KEPT).max(limit / 2).min(OPEN_FILES_MAX);
    usize::try_from(files).unwrap_or(usize::MAX)
}
