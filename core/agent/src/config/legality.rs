//! What is right by itself and wrong together.

use std::collections::HashMap;
use std::path::Path;

use ringtail_config::{Field, Node, Place, Reader, Value, suggestion};
use ringtail_ship::SinkConfig;

use super::model::{Config, Output, Pipeline};
use super::shares::{Shortage, shortages};

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
    for Shortage { section, name, message } in shortages(config) {
        reader.error_at(places.memory(places.name(section, &name)), "memory", message);
    }
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
