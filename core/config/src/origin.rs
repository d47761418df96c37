//! `from:`: which files are collected, and how they are read.

use std::sync::Arc;
use std::time::Duration;

use ringtail_engine::{Pipeline, PipelineOutput};
use ringtail_io::{RealClock, RealFs};
use ringtail_parse::{Format, Input, Limits};
use ringtail_read::{FileSpec, OpenFiles, Scanner, Start};

use crate::common::absolute;
use crate::reader::{Field, Fields, Later, Reader};
use crate::scalar::{duration, show_size, size};
use crate::yaml::Value;

/// Shorter limits would cut ordinary lines; they are mistakes of unit.
const LINE_BYTES_MIN: u64 = 128;
/// The largest `max_record`: a record must fit in what may wait, sealed, before one packer.
pub const RECORD_BYTES_MAX: u64 = 4 << 20;
const FLUSH_MAX: Duration = Duration::from_secs(3600);

const LATER_FROM: [Later; 3] = [
    ("container_stdio", "write `files: {paths: [/var/log/pods/*/*/*.log]}`"),
    ("container_files", "write `files: {paths: [...]}` with the paths as the node sees them"),
    ("select", "choose by `files: {paths, exclude}`: namespace, pod and container are in the path"),
];

/// What a section `from:` must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// Files: nothing is collected without.
    Files,
    /// Nothing: files are added while it runs.
    Nothing,
}

/// Where a pipeline's records come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Files, directories and globs, absolute.
    pub paths: Vec<String>,
    /// Globs of paths to leave out.
    pub exclude: Vec<String>,
    /// Files not written to for this long when first seen are left out.
    pub ignore_older: Option<Duration>,
    /// The format of the files.
    pub input: Input,
    /// Where files begin that are present at the first start.
    pub start: Start,
    /// Limits on lines and joined records.
    pub limits: Limits,
    /// How long an unfinished line waits for its rest.
    pub flush_after: Duration,
}

impl Default for Origin {
    fn default() -> Self {
        Origin {
            paths: Vec::new(),
            exclude: Vec::new(),
            ignore_older: None,
            input: Input::default(),
            start: Start::Beginning,
            limits: Limits { max_line: 1 << 20, max_record: 4 << 20 },
            flush_after: Duration::from_secs(5),
        }
    }
}

impl Origin {
    /// The pipeline called `name` that brings what is here to `outputs`.
    pub fn pipeline(&self, name: &str, outputs: Vec<PipelineOutput>) -> Pipeline {
        let Origin { paths, exclude, ignore_older, input, start, limits, flush_after } = self.clone();
        let name = name.to_owned();
        Pipeline { name, paths, exclude, ignore_older, input, limits, flush_after, start, outputs }
    }

    /// Reads the section. Nothing where it is no mapping; what is wrong in it has its default.
    pub fn read(reader: &mut Reader<'_>, field: &Field<'_>, needed: Needed) -> Option<Self> {
        let mut fields = reader.fields(field, "`files: {paths: [/var/log/pods/*/*/*.log]}`")?;
        let files = fields.take("files");
        let later = LATER_FROM.iter().any(|(key, _)| fields.has(key));
        if files.is_none() && !later && needed == Needed::Files {
            fields.missing(reader, "has no `files`; write `files: {paths: [/var/log/pods/*/*/*.log]}`");
        }
        let mut origin = Origin::default();
        if let Some(field) = files {
            origin.read_files(reader, &field);
        }
        if let Some(start) = fields.take("start").and_then(|field| start(reader, &field)) {
            origin.start = start;
        }
        origin.limits = limits(reader, &mut fields, origin.limits);
        let flush_after = reader.parsed(fields.take("flush_after"), |text| match duration(text)? {
            time if time > FLUSH_MAX => Err("is too long; write at most `1h`".into()),
            time => Ok(time),
        });
        origin.flush_after = flush_after.unwrap_or(origin.flush_after);
        fields.finish(reader, &LATER_FROM);
        Some(origin)
    }

    fn read_files(&mut self, reader: &mut Reader<'_>, field: &Field<'_>) {
        let Some(mut fields) = reader.fields(field, "`paths: [/var/log/pods/*/*/*.log]`") else { return };
        match fields.take("paths") {
            Some(field) => self.paths = patterns(reader, &field, true),
            None => fields.missing(reader, "has no `paths`; write `paths: [/var/log/pods/*/*/*.log]`"),
        }
        if let Some(field) = fields.take("exclude") {
            self.exclude = patterns(reader, &field, false);
        }
        self.ignore_older = reader.parsed(fields.take("ignore_older"), duration);
        let choices = [
            ("auto", Input::Auto),
            ("cri", Input::Fixed(Format::Cri)),
            ("docker-json", Input::Fixed(Format::DockerJson)),
            ("raw", Input::Fixed(Format::Raw)),
        ];
        let later = [("docker-local", "use docker's `json-file` log driver and `docker-json`")];
        self.input = reader.choice(fields.take("input"), &choices, &later).unwrap_or_default();
        fields.finish(reader, &[]);
    }
}

/// `max_line` and `max_record`, the first not above the second.
fn limits(reader: &mut Reader<'_>, fields: &mut Fields<'_>, default: Limits) -> Limits {
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
    let Value::Map(_) = field.node.value else {
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

/// Globs; those that name files (`needed`) are absolute, those that leave files out may begin with `**`.
fn patterns(reader: &mut Reader<'_>, field: &Field<'_>, needed: bool) -> Vec<String> {
    let Some(items) = reader.list(field) else { return Vec::new() };
    if items.is_empty() && needed {
        reader.error(field, "is empty; write `[/var/log/pods/*/*/*.log]`");
    }
    let pattern = |text: &str| match !needed && text.starts_with("**/") {
        true => usable(text, needed),
        false => usable(&absolute(text)?, needed),
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
        Err(error) if error.reason.contains("; write ") => Err(format!("cannot be used: {}", error.reason)),
        Err(error) => Err(format!(
            "cannot be used: {}; write `\\` before a character that is meant literally",
            error.reason
        )),
    }
}
