//! `pipelines:`: which files are collected, how they are read, and where their records go.

use ringtail_config::{Field, Later, Needed, Origin, RECORD_BYTES_MAX, Reader, check_name};
use ringtail_ship::PACKER_QUEUE_BYTES;

use super::model::Pipeline;

// A record must fit in what may wait, sealed, before one packer.
const _: () = assert!(RECORD_BYTES_MAX == PACKER_QUEUE_BYTES as u64);

const LATER_PIPELINE: [Later; 2] = [
    ("multiline", "remove it: each line is a record, and partial lines of containers are joined"),
    ("steps", "remove it: records are delivered as they were written"),
];
/// All pipelines, as written.
pub(crate) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<Pipeline> {
    let example = "`logs: {from: {files: {paths: [/var/log/pods/*/*/*.log]}}, to: [main]}`";
    let Some(mut fields) = reader.fields(field, example) else { return Vec::new() };
    let named = fields.take_all();
    if named.is_empty() {
        reader.error(field, format!("names no pipeline; write {example}"));
    }
    let read = |(name, place, field): (&str, &_, Field<'_>)| {
        check_name(reader, place, &field.path, name);
        pipeline(reader, name, &field)
    };
    named.into_iter().filter_map(read).collect()
}

fn pipeline(reader: &mut Reader<'_>, name: &str, field: &Field<'_>) -> Option<Pipeline> {
    let mut fields = reader.fields(field, "`from:` and `to:` below it")?;
    let from = fields.take("from");
    if from.is_none() {
        fields.missing(reader, "has no `from`; write `from: {files: {paths: [/var/log/pods/*/*/*.log]}}`");
    }
    let origin = from.and_then(|field| Origin::read(reader, &field, Needed::Files)).unwrap_or_default();
    let to = fields.take("to");
    if to.is_none() {
        fields.missing(reader, "has no `to`; write `to: [main]` with the names of outputs");
    }
    let to = to.and_then(|field| to_outputs(reader, &field));
    fields.finish(reader, &LATER_PIPELINE);
    Some(Pipeline { name: name.into(), origin, to: to.unwrap_or_default() })
}

fn to_outputs(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Vec<String>> {
    let items = reader.list(field)?;
    if items.is_empty() {
        reader.error(field, "names no output; write `[main]`");
    }
    let mut names = Vec::new();
    for item in items {
        match reader.text(&item) {
            Some(name) if names.contains(&name) => {
                reader.error(&item, format!("`{name}` stands here twice; remove one"));
            }
            Some(name) => names.push(name),
            None => {}
        }
    }
    Some(names)
}
