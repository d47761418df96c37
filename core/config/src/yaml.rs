//! YAML text to a tree that knows the place of each of its nodes.
//!
//! Scalars stay texts: what they mean is decided where they are used, so that `off`, `1.0` and `0755` need no quotes
//! and lose nothing. Limits: [`NODES_MAX`] nodes a file, copies by aliases included, so that a small file cannot
//! become a large tree.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use crate::problem::{Place, Problem};

/// Nodes of one file.
const NODES_MAX: usize = 100_000;

/// A value and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What stands there.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text; `plain` where it was not quoted.
    Scalar {
        /// As it was written, without quotes.
        text: String,
        /// Whether it was written without quotes.
        plain: bool,
    },
    /// Items.
    List(Vec<Node>),
    /// Keys and values, in their order; no key twice.
    Map(Vec<Entry>),
}

/// A key of a mapping, its place, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// Whether nothing stands behind the key.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }
}

/// Reads one document. An empty one has no node. Keys that stand twice are told and the first one kept; a mistake in
/// the syntax ends the reading.
pub fn parse(file: &Path, text: &str, errors: &mut Vec<Problem>) -> Option<Node> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut tree =
        Tree { file: file.into(), open: Vec::new(), anchors: HashMap::new(), nodes: 0, errors, root: None };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => tree.event(event, &span),
            Err(error) => {
                let mark = error.marker();
                Err(tree.problem(mark.line(), mark.col() + 1, format!("not YAML: {}", error.info())))
            }
        };
        if let Err(problem) = step {
            tree.errors.push(problem);
            return None;
        }
    }
    tree.root
}

struct Tree<'e> {
    file: Arc<Path>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    errors: &'e mut Vec<Problem>,
    root: Option<Node>,
}

/// A collection whose end was not seen.
struct Open {
    place: Place,
    anchor: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Place)> },
}

impl Tree<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let place = self.place(span.start.line(), span.start.col() + 1);
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.add(Node { place, value }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open { place, anchor, inside: Inside::List(Vec::new()) });
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.open.push(Open {
                    place,
                    anchor,
                    inside: Inside::Map { entries: Vec::new(), key: None },
                });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                match self.anchors.get(&anchor) {
                    Some(node) => self.add(node.clone(), 0),
                    None => Err(self
                        .problem_at(place, "an alias inside the value that it names; write the value out")),
                }
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(self.problem_at(place, "a second document; one file holds one, so make it another file"))
            }
            _ => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(Open { place, anchor, inside }) = self.open.pop() else { return Ok(()) };
        let value = match inside {
            Inside::List(nodes) => Value::List(nodes),
            Inside::Map { entries, .. } => Value::Map(entries),
        };
        self.add(Node { place, value }, anchor)
    }

    /// A node is complete: it becomes a key, a value, an item or the root.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        self.nodes += count(&node);
        if self.nodes > NODES_MAX {
            return Err(
                self.problem_at(node.place, format!("more than {NODES_MAX} values; make it several files"))
            );
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.inside) {
            None => self.root = Some(node),
            Some(Inside::List(nodes)) => nodes.push(node),
            Some(Inside::Map { entries, key }) => match key.take() {
                None => match node.value {
                    Value::Scalar { text, .. } => *key = Some((text, node.place)),
                    _ => return Err(self.problem_at(node.place, "a key must be a text")),
                },
                Some((name, place)) => match entries.iter().find(|entry| entry.key == name) {
                    None => entries.push(Entry { key: name, place, node }),
                    Some(first) => {
                        let message =
                            format!("stands here again, first in line {}; remove one", first.place.line);
                        self.errors.push(Problem { place, key: name, message });
                    }
                },
            },
        }
        Ok(())
    }

    fn place(&self, line: usize, column: usize) -> Place {
        Place { file: self.file.clone(), line, column }
    }

    fn problem(&self, line: usize, column: usize, message: impl Into<String>) -> Problem {
        self.problem_at(self.place(line, column), message)
    }

    fn problem_at(&self, place: Place, message: impl Into<String>) -> Problem {
        Problem { place, key: String::new(), message: message.into() }
    }
}

/// Nodes that an alias adds: a collection's items were counted when they were read, those of its copy were not.
fn count(node: &Node) -> usize {
    match &node.value {
        Value::Scalar { .. } => 1,
        Value::List(nodes) => 1 + nodes.iter().map(count).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|entry| count(&entry.node)).sum::<usize>(),
    }
}
