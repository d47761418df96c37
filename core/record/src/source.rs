//! A source: everything that is known once per file, shared by reference by all its records.

use std::path::Path;

use crate::path;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Text, always UTF-8.
    Text(Box<str>),
    /// A whole number.
    Int(i64),
}

/// A named value, by OpenTelemetry's names (`k8s.pod.name`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attribute {
    /// The name as it goes out.
    pub name: Box<str>,
    /// The value.
    pub value: Value,
}

impl Attribute {
    /// A text attribute.
    pub fn text(name: &str, value: &str) -> Self {
        Attribute { name: name.into(), value: Value::Text(value.into()) }
    }

    /// A numeric attribute.
    pub fn int(name: &str, value: i64) -> Self {
        Attribute { name: name.into(), value: Value::Int(value) }
    }
}

/// What is known once per file. `log.file.path` is always the first attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    attributes: Vec<Attribute>,
}

impl Source {
    /// A source for the file at `path` (bytes that are not UTF-8 are replaced), with what kubelet's layout
    /// says about it: namespace, pod, uid, container and restart count.
    pub fn from_path(path: &Path) -> Self {
        let mut attributes = vec![Attribute::text("log.file.path", &path.to_string_lossy())];
        attributes.extend(path::kubelet_attributes(path));
        Source { attributes }
    }

    /// All attributes, in the order in which they go out.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// Adds `attribute`, in place of one of the same name.
    pub fn set(&mut self, attribute: Attribute) {
        match self.attributes.iter_mut().find(|known| known.name == attribute.name) {
            Some(known) => *known = attribute,
            None => self.attributes.push(attribute),
        }
    }

    /// About how many bytes the attributes take in a text format, for the size of a batch on the wire.
    pub fn wire_len(&self) -> usize {
        let value = |value: &Value| if let Value::Text(text) = value { text.len() + 2 } else { 4 };
        self.attributes.iter().map(|known| known.name.len() + 4 + value(&known.value)).sum()
    }

    /// The value of the attribute called `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|known| &*known.name == name).map(|known| &known.value)
    }
}
