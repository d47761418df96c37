//! Whether the memory is enough for what is configured.
//!
//! Three eighths of it are payloads, evenly over the outputs; an eighth are carries, in which records are joined.

use ringtail_config::{Origin, show_size};
use ringtail_memory::{Budget, CarryPool, Use};

use super::model::{Config, Output, Pipeline};

/// Something that the memory is too small for: it would never move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// `outputs` or `pipelines`.
    pub section: &'static str,
    /// The output or the pipeline.
    pub name: String,
    /// What is too small and what to write instead.
    pub message: String,
}

/// Everything that the memory is too small for.
pub fn shortages(config: &Config) -> Vec<Shortage> {
    let outputs = config.outputs.iter().filter_map(|output| payloads(config, output));
    let pipelines = config.pipelines.iter().filter_map(|pipeline| carries(config, pipeline));
    outputs.chain(pipelines).collect()
}

/// An output holds one payload in flight while it makes the next one, and at least one record of the largest size.
fn payloads(config: &Config, output: &Output) -> Option<Shortage> {
    let Output { name, batch, .. } = output;
    let outputs = config.outputs.len();
    let payloads = |memory: usize| Budget::new(memory).limit(Use::Payloads);
    let share = payloads(config.memory) / outputs.max(1);
    let senders = config.pipelines.iter().filter(|pipeline| pipeline.to.contains(name));
    let record = senders.map(|pipeline| pipeline.origin.limits.max_record).max().unwrap_or(0);
    let needed = (2 * batch.max_bytes).max(record);
    if share >= needed {
        return None;
    }
    let message = format!(
        "{} of memory leave {} of payloads for each of {outputs} outputs, and `{name}` needs {} (two batches, or its largest record); write `memory: {}`, or lower `batch.max_bytes` or `max_record`",
        show_size(config.memory as u64),
        show_size(share as u64),
        show_size(needed as u64),
        show_size(doubled(config.memory, |memory| payloads(memory) / outputs >= needed) as u64),
    );
    Some(Shortage { section: "outputs", name: name.clone(), message })
}

/// A record that is being joined lies in one carry, which grows.
fn carries(config: &Config, pipeline: &Pipeline) -> Option<Shortage> {
    let Pipeline { name, origin: Origin { limits, .. }, .. } = pipeline;
    let fits = |memory: usize| CarryPool::new(&Budget::new(memory)).may_grow_to(limits.max_record);
    if fits(config.memory) {
        return None;
    }
    let message = format!(
        "{} of memory cannot hold one record of {} that is being joined; write `memory: {}`, or lower `pipelines.{name}.from.max_record`",
        show_size(config.memory as u64),
        show_size(limits.max_record as u64),
        show_size(doubled(config.memory, fits) as u64),
    );
    Some(Shortage { section: "pipelines", name: name.clone(), message })
}

/// `memory`, doubled until it is enough.
fn doubled(memory: usize, enough: impl Fn(usize) -> bool) -> usize {
    let sizes = std::iter::successors(Some(memory), |memory| memory.checked_mul(2));
    sizes.take(40).find(|memory| enough(*memory)).unwrap_or(usize::MAX)
}
