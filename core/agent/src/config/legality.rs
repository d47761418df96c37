//! What is right by itself and wrong together.

use std::collections::HashMap;
use std::path::Path;

use ringtail_memory::{Budget, CarryPool, Use};

use super::model::{Config, Output, Pipeline};
use ringtail_ship::SinkConfig;

use super::problem::Place;
use super::reader::{Field, Reader, suggestion};
use super::scalar::show_size;
use super::yaml::{Node, Value};

/// Where the names and the memory stand, for messages about several of them.
pub(crate) struct Places {
    root: Place,
    memory: Option<Place>,
    names: HashMap<(&'static str, String), Place>,
    targets: HashMap<(String, String), Place>,
}

impl Places {
    pub(crate) fn new(root: &Node, memory: Option<&Field<'_>>) -> Self {
        let mut names = HashMap::new();
        let mut targets = HashMap::new();
        for section in ["outputs", "pipelines"] {
            for (name, place, node) in entries(child(root, section)) {
                names.insert((section, name.to_owned()), place.clone());
                let Some(Node { value: Value::List(items), .. }) = child(node, "to") else { continue };
                for item in items {
                    if let Value::Scalar { text, .. } = &item.value {
                        targets.insert((name.to_owned(), text.clone()), item.place.clone());
                    }
                }
            }
        }
        Places {
            root: root.place.clone(),
            memory: memory.map(|field| field.node.place.clone()),
            names,
            targets,
        }
    }

    fn name(&self, section: &'static str, name: &str) -> &Place {
        self.names.get(&(section, name.to_owned())).unwrap_or(&self.root)
    }

    fn target(&self, pipeline: &str, output: &str) -> &Place {
        let exact = self.targets.get(&(pipeline.to_owned(), output.to_owned()));
        exact.unwrap_or_else(|| self.name("pipelines", pipeline))
    }

    /// Where the memory is written, or else the thing that needs more of it.
    fn memory<'p>(&'p self, needing: &'p Place) -> &'p Place {
        self.memory.as_ref().unwrap_or(needing)
    }

    fn outputs(&self) -> Vec<&str> {
        let mut outputs: Vec<(&Place, &str)> = self
            .names
            .iter()
            .filter(|((section, _), _)| *section == "outputs")
            .map(|((_, name), place)| (place, name.as_str()))
            .collect();
        outputs.sort();
        outputs.into_iter().map(|(_, name)| name).collect()
    }
}

/// Where the paths of each pipeline stand, in the order of the configuration.
pub(crate) fn path_places(root: &Node, config: &Config) -> Vec<Vec<Place>> {
    let places = |pipeline: &Pipeline| {
        let mut node = child(root, "pipelines").and_then(|node| child(node, &pipeline.name));
        for key in ["from", "files", "paths"] {
            node = node.and_then(|node| child(node, key));
        }
        match node.map(|node| &node.value) {
            Some(Value::List(items)) => items.iter().map(|item| item.place.clone()).collect(),
            _ => Vec::new(),
        }
    };
    config.pipelines.iter().map(places).collect()
}

fn child<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    entries(Some(node)).find(|(name, ..)| *name == key).map(|(.., node)| node)
}

fn entries(node: Option<&Node>) -> impl Iterator<Item = (&str, &Place, &Node)> {
    let entries = match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|entry| (entry.key.as_str(), &entry.place, &entry.node))
}

/// Everything that concerns several keys.
pub(crate) fn check(reader: &mut Reader<'_>, config: &Config, places: &Places) {
    targets(reader, config, places);
    destinations(reader, config, places);
    payload_shares(reader, config, places);
    carries(reader, config, places);
}

/// Every `to` names an output, and every output is named.
fn targets(reader: &mut Reader<'_>, config: &Config, places: &Places) {
    let known = places.outputs();
    for Pipeline { name, to, .. } in &config.pipelines {
        for target in to.iter().filter(|target| !known.contains(&target.as_str())) {
            let message = match known.is_empty() {
                true => format!("no output is called `{target}`; write it under `outputs:`"),
                false => format!("no output is called `{target}`; {}", suggestion(target, &known)),
            };
            reader.error_at(places.target(name, target), &format!("pipelines.{name}.to"), message);
        }
    }
    // Where something is wrong, what was left out may be what sends to an output.
    if !reader.problems.errors.is_empty() {
        return;
    }
    for Output { name, .. } in &config.outputs {
        if !config.pipelines.iter().any(|pipeline| pipeline.to.contains(name)) {
            let place = places.name("outputs", name);
            reader.warn(
                place,
                &format!("outputs.{name}"),
                "no pipeline sends anything here; name it in a `to`, or remove it",
            );
        }
    }
}

/// Two outputs cannot write to one place.
fn destinations(reader: &mut Reader<'_>, config: &Config, places: &Places) {
    let mut taken: HashMap<Option<&Path>, &str> = HashMap::new();
    for Output { name, sink, .. } in &config.outputs {
        let destination = match sink {
            SinkConfig::Stdout { .. } => None,
            SinkConfig::File { path, .. } => Some(path.as_path()),
            SinkConfig::Null | SinkConfig::Http { .. } => continue,
        };
        let Some(first) = taken.insert(destination, name) else { continue };
        let place = places.name("outputs", name);
        let first_place = places.name("outputs", first);
        let message = format!(
            "writes where `outputs.{first}` ({first_place}) writes; send both pipelines to one output, or give it another path"
        );
        reader.error_at(place, &format!("outputs.{name}"), message);
    }
}

/// An output holds one payload in flight while it makes the next one, and at least one record of the largest size.
fn payload_shares(reader: &mut Reader<'_>, config: &Config, places: &Places) {
    let outputs = config.outputs.len();
    let payloads = Budget::new(config.memory).limit(Use::Payloads);
    let Some(share) = payloads.checked_div(outputs) else { return };
    for Output { name, batch, .. } in &config.outputs {
        let senders = config.pipelines.iter().filter(|pipeline| pipeline.to.contains(name));
        let record = senders.map(|pipeline| pipeline.limits.max_record).max().unwrap_or(0);
        let needed = (2 * batch.max_bytes).max(record);
        if share >= needed {
            continue;
        }
        let place = places.name("outputs", name);
        let message = format!(
            "{} of memory leave {} of payloads for each of {outputs} outputs, and `{name}` needs {} (two batches, or its largest record); write `memory: {}`, or lower `batch.max_bytes` or `max_record`",
            show_size(config.memory as u64),
            show_size(share as u64),
            show_size(needed as u64),
            show_size(enough(needed * outputs, |memory| Budget::new(memory).limit(Use::Payloads)) as u64),
        );
        reader.error_at(places.memory(place), "memory", message);
    }
}

/// A record that is being joined lies in one carry.
fn carries(reader: &mut Reader<'_>, config: &Config, places: &Places) {
    let fits = |memory: usize, record: usize| CarryPool::new(&Budget::new(memory)).take(record).is_ok();
    for Pipeline { name, limits, .. } in &config.pipelines {
        if fits(config.memory, limits.max_record) {
            continue;
        }
        let doubled = std::iter::successors(Some(config.memory), |memory| memory.checked_mul(2));
        let memory = doubled.take(16).find(|memory| fits(*memory, limits.max_record)).unwrap_or(128 << 20);
        let place = places.name("pipelines", name);
        let message = format!(
            "{} of memory cannot hold one record of {} that is being joined; write `memory: {}`, or lower `pipelines.{name}.from.max_record`",
            show_size(config.memory as u64),
            show_size(limits.max_record as u64),
            show_size(memory as u64),
        );
        reader.error_at(places.memory(place), "memory", message);
    }
}

/// The least memory, in whole powers of two of MiB, whose share is `needed`.
fn enough(needed: usize, share: impl Fn(usize) -> usize) -> usize {
    let sizes = std::iter::successors(Some(16usize << 20), |memory| memory.checked_mul(2));
    sizes.take(40).find(|memory| share(*memory) >= needed).unwrap_or(usize::MAX)
}
