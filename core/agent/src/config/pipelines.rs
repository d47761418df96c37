//! `pipelines:`: which files are collected, how they are read, and where their records go.

use std::sync::Arc;
use std::time::Duration;

use ringtail_io::{RealClock, RealFs};
use ringtail_parse::{Format, Input, Limits};
use ringtail_read::{FileSpec, OpenFiles, Scanner, Start};
use ringtail_ship::PACKER_QUEUE_BYTES;

use super::model::Pipeline;
use super::reader::{Field, Fields, Later, Reader};
use super::scalar::{duration, show_size, size};

/// Shorter limits would cut ordinary lines; they are mistakes of unit.
const LINE_BYTES_MIN: u64 = 128;
/// A record must fit in what may wait, sealed, before one packer.
const RECORD_BYTES_MAX: u64 = PACKER_QUEUE_BYTES as u64;
const FLUSH_MAX: Duration = Duration::from_secs(3600);

const LATER_PIPELINE: [Later; 2] = [
    ("multiline", "remove it: each line is a record, and partial lines of containers are joined"),
    ("steps", "remove it: records are delivered as they were written"),
];
const LATER_FROM: [Later; 3] = [
    ("container_stdio", "write `files: {paths: [/var/log/pods/*/*/*.log]}`"),
    ("container_files", "write `files: {paths: [...]}` with the paths as the node sees them"),
    ("select", "choose by `files: {paths, exclude}`: namespace, pod and container are in the path"),
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
        super::check_name(reader, place, &field.path, name);
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
    let from = from.and_then(|field| From::read(reader, &field)).unwrap_or_default();
    let to = fields.take("to");
    if to.is_none() {
        fields.missing(reader, "has no `to`; write `to: [main]` with the names of outputs");
    }
    let to = to.and_then(|field| to_outputs(reader, &field));
    fields.finish(reader, &LATER_PIPELINE);
    let From { files, start, limits, flush_after } = from;
    let Files { paths, exclude, ignore_older, input } = files;
    let (name, to) = (name.into(), to.unwrap_or_default());
    Some(Pipeline { name, paths, exclude, ignore_older, input, start, limits, flush_after, to })
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

struct From {
    files: Files,
    start: Start,
    limits: Limits,
    flush_after: Duration,
}

impl Default for From {
    fn default() -> Self {
        From {
            files: Files::default(),
            start: Start::Beginning,
            limits: Limits { max_line: 1 << 20, max_record: 4 << 20 },
            flush_after: Duration::from_secs(5),
        }
    }
}

impl From {
    fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Self> {
        let mut fields = reader.fields(field, "`files: {paths: [/var/log/pods/*/*/*.log]}`")?;
        let files = fields.take("files");
        let later = LATER_FROM.iter().any(|(key, _)| fields.has(key));
        if files.is_none() && !later {
            fields.missing(reader, "has no `files`; write `files: {paths: [/var/log/pods/*/*/*.log]}`");
        }
        let files = files.and_then(|field| Files::read(reader, &field));
        let start = fields.take("start").and_then(|field| start(reader, &field));
        let limits = limits(reader, &mut fields);
        let flush_after = reader.parsed(fields.take("flush_after"), |text| match duration(text)? {
            time if time > FLUSH_MAX => Err("is too long; write at most `1h`".into()),
            time => Ok(time),
        });
        fields.finish(reader, &LATER_FROM);
        let default = From::default();
        Some(From {
            files: files.unwrap_or_default(),
            start: start.unwrap_or(default.start),
            limits,
            flush_after: flush_after.unwrap_or(default.flush_after),
        })
    }
}

/// `max_line` and `max_record`, the first not above the second.
fn limits(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Limits {
    let within = |text: &str| {
        let bytes = size(text)?;
        match usize::try_from(bytes) {
            Ok(length) if (LINE_BYTES_MIN..=RECORD_BYTES_MAX).contains(&bytes) => Ok(length),
            _ => Err(format!(
                "is out of bounds; write a size from {} to {}",
                show_size(LINE_BYTES_MIN),
                show_size(RECORD_BYTES_MAX)
            )),
        }
    };
    let line_field = fields.take("max_line");
    let record_field = fields.take("max_record");
    let max_line = reader.parsed(line_field.clone(), within);
    let max_record = reader.parsed(record_field.clone(), within);
    let default = From::default().limits;
    let (line, record) = (max_line.unwrap_or(default.max_line), max_record.unwrap_or(default.max_record));
    if line > record {
        // Told where it was written: at whichever of the two is there.
        let message = format!(
            "`max_line` ({}) is above `max_record` ({}): a line would never fit in its record; raise `max_record` or lower `max_line`",
            show_size(line as u64),
            show_size(record as u64)
        );
        if let Some(field) = line_field.or(record_field) {
            reader.error(&field, message);
        }
    }
    Limits { max_line: line, max_record: record }
}

fn start(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Start> {
    let super::yaml::Value::Map(_) = field.node.value else {
        let choices = [("beginning", Start::Beginning), ("end", Start::End)];
        return reader.choice(Some(field.clone()), &choices, &[("last", "write `{last: 1MiB}`")]);
    };
    let mut fields = reader.fields(field, "`{last: 1MiB}`")?;
    let last = fields.take("last");
    if last.is_none() {
        fields.missing(reader, "write `beginning`, `end` or `{last: 1MiB}`");
    }
    let last = reader.parsed(last, size);
    fields.finish(reader, &[]);
    Some(Start::Last(last?))
}

#[derive(Default)]
struct Files {
    paths: Vec<String>,
    exclude: Vec<String>,
    ignore_older: Option<Duration>,
    input: Input,
}

impl Files {
    fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Self> {
        let mut fields = reader.fields(field, "`paths: [/var/log/pods/*/*/*.log]`")?;
        let paths = fields.take("paths");
        if paths.is_none() {
            fields.missing(reader, "has no `paths`; write `paths: [/var/log/pods/*/*/*.log]`");
        }
        let paths = paths.map(|field| patterns(reader, &field, true));
        let exclude = fields.take("exclude").map(|field| patterns(reader, &field, false));
        let ignore_older = reader.parsed(fields.take("ignore_older"), duration);
        let choices = [
            ("auto", Input::Auto),
            ("cri", Input::Fixed(Format::Cri)),
            ("docker-json", Input::Fixed(Format::DockerJson)),
            ("raw", Input::Fixed(Format::Raw)),
        ];
        let later = [("docker-local", "use docker's `json-file` log driver and `docker-json`")];
        let input = reader.choice(fields.take("input"), &choices, &later);
        fields.finish(reader, &[]);
        Some(Files {
            paths: paths.unwrap_or_default(),
            exclude: exclude.unwrap_or_default(),
            ignore_older,
            input: input.unwrap_or_default(),
        })
    }
}

/// Globs; those that name files (`needed`) are absolute, those that leave files out may begin with `**`.
fn patterns(reader: &mut Reader<'_>, field: &Field<'_>, needed: bool) -> Vec<String> {
    let Some(items) = reader.list(field) else { return Vec::new() };
    if items.is_empty() && needed {
        reader.error(field, "is empty; write `[/var/log/pods/*/*/*.log]`");
    }
    let pattern = |text: &str| match !needed && text.starts_with("**/") {
        true => usable(text, needed),
        false => usable(&super::absolute(text)?, needed),
    };
    items.into_iter().filter_map(|item| reader.parsed(Some(item), pattern)).collect()
}

/// Whether the scanner can follow the pattern: it is asked.
fn usable(text: &str, is_path: bool) -> Result<String, String> {
    let one = vec![text.to_owned()];
    let spec = match is_path {
        true => FileSpec { paths: one, ..FileSpec::default() },
        false => FileSpec { exclude: one, ..FileSpec::default() },
    };
    match Scanner::new(Arc::new(RealFs), Arc::new(RealClock::new()), OpenFiles::new(0), &[spec]) {
        Ok(_) => Ok(text.into()),
        Err(error) => Err(format!(
            "cannot be used: {}; write `\\` before a character that is meant literally",
            error.reason
        )),
    }
}
