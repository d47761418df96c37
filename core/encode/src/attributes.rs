//! A source's attributes as they stand in a line, rendered once per source and not per record.
//!
//! Sources are told apart by their address. An entry keeps the allocation (not the source's contents) alive by a
//! weak reference, so that no other source can come to the same address while the entry exists. Limits: once
//! [`KEPT_BYTES`] are rendered, of [`KEPT_SOURCES`], all is forgotten before the next batch.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Weak};

use ringtail_record::{Source, Value};

use crate::escape::{LONGEST_ESCAPE, SLACK, escape};
use crate::selection::Selection;

/// Rendered bytes kept from one batch to the next.
const KEPT_BYTES: usize = 1 << 20;

/// Sources kept from one batch to the next: where few attributes go out, their text says little of what they take.
const KEPT_SOURCES: usize = 4096;

/// Names that a record's own fields have; an attribute of such a name would make the line ambiguous and stays out.
const OWN_NAMES: [&str; 4] = ["time", "stream", "message", "log.flags"];

/// The end of every line of a source: the message's closing quote, the attributes, `}` and the newline.
pub(crate) struct LineEnds {
    selection: Selection,
    text: Vec<u8>,
    known: HashMap<usize, (Weak<Source>, Range<usize>)>,
    /// For each source of the present batch, where its end lies in `text`.
    batch: Vec<Range<usize>>,
}

impl LineEnds {
    pub(crate) fn new(selection: Selection) -> Self {
        LineEnds { selection, text: Vec::new(), known: HashMap::new(), batch: Vec::new() }
    }

    /// Makes ready for a batch with these sources.
    pub(crate) fn prepare(&mut self, sources: &[Arc<Source>]) {
        if self.text.len() > KEPT_BYTES || self.known.len() > KEPT_SOURCES {
            self.text.clear();
            self.known.clear();
            self.text.shrink_to(KEPT_BYTES);
        }
        self.batch.clear();
        for source in sources {
            let address = Arc::as_ptr(source).addr();
            let (_, range) = self.known.entry(address).or_insert_with(|| {
                let begin = self.text.len();
                render(source, &self.selection, &mut self.text);
                (Arc::downgrade(source), begin..self.text.len())
            });
            self.batch.push(range.clone());
        }
    }

    /// The end of the lines of the batch's source number `source`.
    #[inline]
    pub(crate) fn get(&self, source: u32) -> &[u8] {
        &self.text[self.batch[source as usize].clone()]
    }
}

fn render(source: &Source, selection: &Selection, text: &mut Vec<u8>) {
    text.push(b'"');
    let goes_out = |name: &str| selection.admits(name) && !OWN_NAMES.contains(&name);
    for attribute in source.attributes().iter().filter(|attribute| goes_out(&attribute.name)) {
        text.push(b',');
        push_quoted(&attribute.name, text);
        text.push(b':');
        match &attribute.value {
            Value::Text(value) => push_quoted(value, text),
            Value::Int(value) => text.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes()),
        }
    }
    text.extend_from_slice(b"}\n");
}

fn push_quoted(value: &str, text: &mut Vec<u8>) {
    text.push(b'"');
    let begin = text.len();
    text.resize(begin + value.len() * LONGEST_ESCAPE + SLACK, 0);
    let len = escape(value.as_bytes(), &mut text[begin..]);
    text.truncate(begin + len);
    text.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ringtail_record::Attribute;

    use super::*;

    fn source(path: &str) -> Arc<Source> {
        Arc::new(Source::from_path(Path::new(path)))
    }

    #[test]
    fn names_and_text_are_escaped_numbers_are_bare_and_own_names_stay_out() {
        let mut source = Source::from_path(Path::new("/var/log/pods/a_b_c/d/7.log"));
        source.set(Attribute::text("k8s.pod.label.\"x\"", "tab\there"));
        source.set(Attribute::text("message", "not this"));
        let mut ends = LineEnds::new(Selection::parse(["k8s.*", "message"]).expect("patterns"));
        ends.prepare(&[Arc::new(source)]);
        let expected = concat!(
            r#"","k8s.namespace.name":"a","k8s.pod.name":"b","k8s.pod.uid":"c","k8s.container.name":"d","#,
            r#""k8s.container.restart_count":7,"k8s.pod.label.\"x\"":"tab\there"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8_lossy(ends.get(0)), expected);
    }

    #[test]
    fn a_source_is_rendered_once_and_a_new_one_never_gets_the_text_of_one_that_is_gone() {
        let mut ends = LineEnds::new(Selection::all());
        let kept = source("/kept");
        for round in 0..1000 {
            let passing = source(&format!("/passing/{round}"));
            ends.prepare(&[kept.clone(), passing.clone(), kept.clone()]);
            assert_eq!(ends.get(0), b"\",\"log.file.path\":\"/kept\"}\n");
            assert_eq!(ends.get(0).as_ptr(), ends.get(2).as_ptr());
            assert_eq!(ends.get(1), format!("\",\"log.file.path\":\"/passing/{round}\"}}\n").as_bytes());
        }
        assert_eq!(ends.known.len(), 1001);
    }

    #[test]
    fn many_sources_do_not_grow_what_is_kept() {
        let mut ends = LineEnds::new(Selection::all());
        let long = "x".repeat(10_000);
        for round in 0..1000 {
            let source = source(&format!("/{long}/{round}"));
            ends.prepare(&[source]);
            assert!(ends.get(0).len() > 10_000);
            assert!(ends.text.capacity() < 4 * KEPT_BYTES && ends.known.len() < 200);
        }
    }

    /// Pods come and go on a node whose output wants no attributes: what is rendered of each is three bytes.
    #[test]
    fn many_sources_without_attributes_do_not_grow_what_is_kept() {
        let mut ends = LineEnds::new(Selection::parse::<&str>([]).expect("no patterns"));
        for round in 0..3 * KEPT_SOURCES {
            ends.prepare(&[source(&format!("/{round}"))]);
            assert!(ends.known.len() <= KEPT_SOURCES + 1);
        }
        assert!(ends.known.capacity() < 4 * KEPT_SOURCES);
    }
}
