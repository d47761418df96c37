//! `outputs:`: where records go.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use ringtail_config::{Field, Fields, Later, Reader, absolute, check_name, count, duration, show_size, size};
use ringtail_encode::{Compression, Selection};
use ringtail_engine::BatchLimits;
use ringtail_ship::{PACKER_QUEUE_BYTES, Rotate, Secret, SinkConfig};
use url::Url;

use super::model::Output;

/// A batch must fit in what may wait, sealed, before one packer.
const BATCH_BYTES_MAX: u64 = PACKER_QUEUE_BYTES as u64;
/// Smaller batches are mostly their own overhead.
const BATCH_BYTES_MIN: u64 = 4 << 10;
const BATCH_RECORDS_MAX: u64 = 1 << 20;
const BATCH_DELAY_MAX: Duration = Duration::from_secs(3600);
const CONCURRENCY_MAX: u64 = 256;
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
const KEEP_MAX: u64 = 10_000;

const LATER_TYPES: [Later; 4] = [
    ("sls", "use `http` or `file`"),
    ("otlp", "use `http` or `file`"),
    ("loki", "use `http` or `file`"),
    ("elasticsearch", "use `http` or `file`"),
];
const LATER_KEYS: [Later; 2] = [
    ("spool", "remove it: a full output makes the reading wait, and the log files are the buffer"),
    ("on_full", "remove it: a full output makes the reading wait, nothing is dropped"),
];

/// Keys that only some types have.
const KEYS_OF_TYPES: [&str; 5] = ["path", "rotate", "url", "headers", "timeout"];

#[derive(Clone, Copy)]
enum Kind {
    Stdout,
    Null,
    File,
    Http,
}

/// All outputs, each with the place of its name.
pub(crate) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<Output> {
    let Some(mut fields) = reader.fields(field, "`main: {type: stdout}`") else { return Vec::new() };
    let named = fields.take_all();
    if named.is_empty() {
        reader.error(field, "names no output; write `main: {type: stdout}`");
    }
    let read = |(name, place, field): (&str, &_, Field<'_>)| {
        check_name(reader, place, &field.path, name);
        output(reader, name, &field)
    };
    named.into_iter().filter_map(read).collect()
}

fn output(reader: &mut Reader<'_>, name: &str, field: &Field<'_>) -> Option<Output> {
    let mut fields = reader.fields(field, "`type: stdout` or another type below it")?;
    let kind = kind(reader, &mut fields);
    let common = Common::read(reader, &mut fields, kind);
    let Some(kind) = kind else {
        // Which keys are known depends on the type: those of every type are, where it cannot be told.
        KEYS_OF_TYPES.into_iter().for_each(|key| drop(fields.take(key)));
        fields.finish(reader, &LATER_KEYS);
        return None;
    };
    let sink = match kind {
        Kind::Stdout => Some(SinkConfig::Stdout { text: false }),
        Kind::Null => Some(SinkConfig::Null),
        Kind::File => file(reader, &mut fields),
        Kind::Http => http(reader, &mut fields),
    };
    fields.finish(reader, &LATER_KEYS);
    let Common { compression, attributes, batch, concurrency } = common;
    Some(Output { name: name.into(), sink: sink?, compression, attributes, batch, concurrency })
}

fn kind(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Kind> {
    const KINDS: [(&str, Kind); 4] =
        [("stdout", Kind::Stdout), ("null", Kind::Null), ("file", Kind::File), ("http", Kind::Http)];
    let Some(field) = fields.take("type") else {
        fields.missing(reader, "has no `type`; write `type: stdout`, `file`, `http` or `null`");
        return None;
    };
    // Unquoted, YAML's null is also the name of a type.
    if field.node.is_null() {
        return Some(Kind::Null);
    }
    let mut later = LATER_TYPES.to_vec();
    later.push(("kafka", "use `http` or `file`"));
    reader.choice(Some(field), &KINDS, &later)
}

/// What every output has.
struct Common {
    compression: Compression,
    attributes: Selection,
    batch: BatchLimits,
    concurrency: u32,
}

impl Common {
    fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>, kind: Option<Kind>) -> Self {
        let compression = compression(reader, fields.take("compression"), kind);
        let attributes = fields.take("attributes").and_then(|field| attributes(reader, &field));
        let batch = fields.take("batch").map_or(BatchLimits::default(), |field| batch(reader, &field));
        let concurrency = reader.parsed(fields.take("concurrency"), |text| count(text, 1, CONCURRENCY_MAX));
        let ordering = [("strict", ())];
        let later = [("relaxed", "remove it: `strict` is the default")];
        let _ = reader.choice(fields.take("ordering"), &ordering, &later);
        Common {
            compression,
            attributes: attributes.unwrap_or_default(),
            batch,
            concurrency: concurrency.and_then(|lanes| u32::try_from(lanes).ok()).unwrap_or(4),
        }
    }
}

fn compression(reader: &mut Reader<'_>, field: Option<Field<'_>>, kind: Option<Kind>) -> Compression {
    let choices = Compression::ALL.map(|compression| (compression.name(), compression));
    let later = [("snappy", "use `zstd`, `lz4`, `gzip` or `none`")];
    let chosen = reader.choice(field.clone(), &choices, &later);
    match (kind, chosen, field) {
        (Some(Kind::Stdout | Kind::Null), Some(chosen), Some(field)) if chosen != Compression::None => {
            reader.error(&field, "this type is never compressed; remove it, or write `none`");
            Compression::None
        }
        (Some(Kind::Stdout | Kind::Null), ..) => Compression::None,
        (_, chosen, _) => chosen.unwrap_or(Compression::Zstd),
    }
}

fn attributes(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Selection> {
    let items = reader.list(field)?;
    let patterns: Vec<String> = items.iter().filter_map(|item| reader.text(item)).collect();
    match Selection::parse(&patterns) {
        Ok(selection) => Some(selection),
        Err(why) => {
            reader.error(field, why.to_string());
            None
        }
    }
}

fn batch(reader: &mut Reader<'_>, field: &Field<'_>) -> BatchLimits {
    let default = BatchLimits::default();
    let Some(mut fields) = reader.fields(field, "`max_bytes: 1MiB`") else { return default };
    let max_bytes = reader.parsed(fields.take("max_bytes"), |text| {
        let bytes = size(text)?;
        match (BATCH_BYTES_MIN..=BATCH_BYTES_MAX).contains(&bytes) {
            true => Ok(bytes),
            false => Err(format!(
                "is out of bounds; write a size from {} to {}",
                show_size(BATCH_BYTES_MIN),
                show_size(BATCH_BYTES_MAX)
            )),
        }
    });
    let max_records = reader.parsed(fields.take("max_records"), |text| count(text, 1, BATCH_RECORDS_MAX));
    let max_delay = reader.parsed(fields.take("max_delay"), |text| {
        let delay = duration(text)?;
        match delay <= BATCH_DELAY_MAX {
            true => Ok(delay),
            false => Err("is too long; write at most `1h`".into()),
        }
    });
    fields.finish(reader, &[]);
    let bytes = |value: u64| usize::try_from(value).ok();
    BatchLimits {
        max_bytes: max_bytes.and_then(bytes).unwrap_or(default.max_bytes),
        max_records: max_records.and_then(bytes).unwrap_or(default.max_records),
        max_delay: max_delay.unwrap_or(default.max_delay),
    }
}

fn file(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<SinkConfig> {
    let rotate = fields.take("rotate").and_then(|field| rotate(reader, &field));
    let Some(path) = fields.take("path") else {
        fields.missing(reader, "has no `path`; write `path: /var/log/ringtail/records.ndjson`");
        return None;
    };
    let path = reader.parsed(Some(path), absolute)?;
    Some(SinkConfig::File { path: PathBuf::from(path), rotate })
}

fn rotate(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Rotate> {
    let mut fields = reader.fields(field, "`max_bytes: 100MiB` and `keep: 5`")?;
    let max_bytes = fields.take("max_bytes");
    if max_bytes.is_none() {
        fields.missing(reader, "has no `max_bytes`; write `max_bytes: 100MiB`");
    }
    let max_bytes = reader.parsed(max_bytes, |text| match size(text)? {
        0 => Err("is too small; write `100MiB`, or remove `rotate`".into()),
        bytes => Ok(bytes),
    });
    let keep = reader.parsed(fields.take("keep"), |text| count(text, 0, KEEP_MAX));
    fields.finish(reader, &[]);
    Some(Rotate { max_bytes: max_bytes?, keep: keep.and_then(|keep| u32::try_from(keep).ok()).unwrap_or(5) })
}

fn http(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<SinkConfig> {
    let headers = fields.take("headers").map_or(Vec::new(), |field| headers(reader, &field));
    let timeout = reader.parsed(fields.take("timeout"), |text| match duration(text)? {
        timeout if timeout.is_zero() || timeout > TIMEOUT_MAX => {
            Err("is out of bounds; write from `1ms` to `1h`".into())
        }
        timeout => Ok(timeout),
    });
    let Some(field) = fields.take("url") else {
        fields.missing(reader, "has no `url`; write `url: https://logs.example.com/ingest`");
        return None;
    };
    let url = reader.secret(&field)?;
    if let Err(why) = check_url(&url) {
        // The URL is not repeated: it may hold a password.
        reader.error(&field, format!("{why}; write one as in `https://logs.example.com/ingest`"));
        return None;
    }
    Some(SinkConfig::Http { url, headers, timeout: timeout.unwrap_or(Duration::from_secs(30)) })
}

fn check_url(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|why| format!("is not a URL: {why}"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(()),
        // Not repeated: in `user:password@host` it is the user.
        _ => Err("begins with neither `http://` nor `https://`".into()),
    }
}

fn headers(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<(String, Secret)> {
    let Some(mut fields) = reader.fields(field, "`Authorization: Bearer ${TOKEN}`") else {
        return Vec::new();
    };
    let (mut headers, headers_path) = (Vec::new(), field.path.clone());
    for (name, place, field) in fields.take_all() {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            // The name is not repeated: with a forgotten colon it is the whole line, the value too.
            reader.error_at(
                place,
                &headers_path,
                "a header's name is not legal; use letters, digits and `-`, and a colon before the value",
            );
            continue;
        }
        let Some(value) = reader.secret(&field) else { continue };
        match HeaderValue::from_str(&value) {
            Ok(_) => headers.push((name.into(), Secret::new(value))),
            Err(_) => {
                reader.error(&field, "its value has characters that a header may not have, a newline perhaps")
            }
        }
    }
    headers
}
