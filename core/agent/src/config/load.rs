//! From files to a configuration.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ringtail_config::{
    Entry, Environment, Field, Fields, Later, Node, Place, Problem, Problems, Reader, Value, absolute, count,
    hold_deleted, memory, show_size,
};

use super::legality;
use super::model::{Config, Threads};
use super::outputs;
use super::pipelines;

/// Bytes of one file: a pipeline is some hundred bytes, and a thousand of them are legal.
const FILE_BYTES_MAX: u64 = 16 << 20;
const THREADS_MAX: u64 = 256;

const LATER_TOP: [Later; 1] =
    [("discovery", "remove it: name the log files in `pipelines.<name>.from.files.paths`")];

/// A configuration that can be used, and what is perhaps not meant in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What to tell the operator.
    pub warnings: Vec<Problem>,
    /// Where the paths of each pipeline stand.
    pub path_places: Vec<Vec<Place>>,
}

/// Reads a file, or every `*.yaml` and `*.yml` of a directory (hidden ones excepted) as one configuration.
pub fn load(path: &Path, env: Environment<'_>) -> Result<Loaded, Problems> {
    let mut errors = Vec::new();
    let texts: Vec<(PathBuf, String)> = match files(path) {
        Ok(files) => files
            .into_iter()
            .filter_map(|file| match read(&file) {
                Ok(text) => Some((file, text)),
                Err(why) => {
                    errors.push(whole(&file, format!("cannot be read: {why}")));
                    None
                }
            })
            .collect(),
        Err(why) => {
            errors.push(whole(path, format!("cannot be read: {why}")));
            Vec::new()
        }
    };
    if texts.is_empty() && errors.is_empty() {
        errors.push(whole(path, "holds no *.yaml file; write one, or name another directory"));
    }
    let texts: Vec<(&Path, &str)> =
        texts.iter().map(|(file, text)| (file.as_path(), text.as_str())).collect();
    build(path, &texts, env, errors)
}

/// The same from texts in memory, each with the name of its file.
pub fn parse(texts: &[(&Path, &str)], env: Environment<'_>) -> Result<Loaded, Problems> {
    let name = texts.first().map_or(Path::new("configuration"), |(file, _)| file);
    build(name, texts, env, Vec::new())
}

fn build(
    name: &Path,
    texts: &[(&Path, &str)],
    env: Environment<'_>,
    mut errors: Vec<Problem>,
) -> Result<Loaded, Problems> {
    let trees: Vec<Node> =
        texts.iter().filter_map(|(file, text)| ringtail_config::parse(file, text, &mut errors)).collect();
    let whole_trees = errors.is_empty();
    let mut reader = Reader::new(env);
    reader.problems.errors = errors;
    let root = merge(&mut reader, name, &trees);
    let config = top(&mut reader, &root, whole_trees);
    let mut problems = reader.problems;
    problems.sort();
    match config {
        Some(config) if problems.errors.is_empty() => {
            let path_places = legality::path_places(&root, &config);
            Ok(Loaded { config, warnings: problems.warnings, path_places })
        }
        _ => Err(problems),
    }
}

fn whole(file: &Path, message: impl Into<String>) -> Problem {
    Problem { place: Place::whole(file), key: String::new(), message: message.into() }
}

/// The files of a directory in the order of their names, or the file itself.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.into()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if yaml && !hidden && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<String, String> {
    let size = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("{} are too many; split it into several files", show_size(size)));
    }
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        format!("line {line} is not UTF-8; save the file as UTF-8")
    })
}

/// One mapping of all files' keys: `outputs` and `pipelines` come together, everything else stands in one file only.
fn merge(reader: &mut Reader<'_>, name: &Path, trees: &[Node]) -> Node {
    let mut merged: Vec<Entry> = Vec::new();
    for tree in trees.iter().filter(|tree| !tree.is_null()) {
        let Value::Map(entries) = &tree.value else {
            reader.error_at(
                &tree.place,
                "",
                "keys and values belong here; write `outputs:` and `pipelines:`",
            );
            continue;
        };
        for entry in entries {
            let Some(first) = merged.iter_mut().find(|first| first.key == entry.key) else {
                merged.push(entry.clone());
                continue;
            };
            match (&mut first.node.value, &entry.node.value) {
                (Value::Map(first), Value::Map(more))
                    if matches!(entry.key.as_str(), "outputs" | "pipelines") =>
                {
                    merge_names(reader, &entry.key, first, more);
                }
                _ => {
                    let message = format!("stands here again, first at {}; remove one", first.place);
                    reader.error_at(&entry.place, &entry.key, message);
                }
            }
        }
    }
    let place = trees.first().map_or(Place::whole(name), |tree| Place::whole(&tree.place.file));
    Node { place, value: Value::Map(merged) }
}

fn merge_names(reader: &mut Reader<'_>, section: &str, names: &mut Vec<Entry>, more: &[Entry]) {
    for entry in more {
        match names.iter().find(|first| first.key == entry.key) {
            None => names.push(entry.clone()),
            Some(first) => {
                let key = format!("{section}.{}", entry.key);
                let message = format!("this name is taken at {}; rename one of them", first.place);
                reader.error_at(&entry.place, &key, message);
            }
        }
    }
}

/// The top level. Where a file was no YAML, what it may have held is not reported as missing.
fn top(reader: &mut Reader<'_>, root: &Node, complete: bool) -> Option<Config> {
    let field = Field { path: String::new(), node: root };
    let mut fields = reader.fields(&field, "`outputs:` and `pipelines:`")?;
    let data_dir = reader.parsed(fields.take("data_dir"), absolute);
    let memory_field = fields.take("memory");
    let memory = reader.parsed(memory_field.clone(), memory);
    let threads = reader.parsed(fields.take("threads"), threads);
    let _ = reader.parsed(fields.take("host_root"), host_root);
    let admin = reader.parsed(fields.take("admin"), admin);
    let hold_deleted = fields.take("hold_deleted").and_then(|field| hold_deleted(reader, &field));
    let outputs_field =
        section(reader, &mut fields, "outputs", complete, "`outputs: {main: {type: stdout}}`");
    let outputs = outputs_field.as_ref().map(|field| outputs::read(reader, field));
    let example = "`pipelines: {logs: {from: {files: {paths: [/var/log/pods/*/*/*.log]}}, to: [main]}}`";
    let pipelines_field = section(reader, &mut fields, "pipelines", complete, example);
    let pipelines = pipelines_field.as_ref().map(|field| pipelines::read(reader, field));
    fields.finish(reader, &LATER_TOP);
    let config = Config {
        data_dir: Some(data_dir.unwrap_or_else(|| "/var/lib/ringtail".into()).into()),
        memory: memory.unwrap_or(128 << 20),
        threads: threads.unwrap_or(Threads::Auto),
        admin: admin.unwrap_or_else(|| Some(default_admin())),
        hold_deleted: hold_deleted.unwrap_or_default(),
        outputs: outputs?,
        pipelines: pipelines?,
    };
    let places = legality::Places::new(root, memory_field.as_ref());
    legality::check(reader, &config, &places);
    Some(config)
}

fn section<'n>(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'n>,
    key: &'static str,
    complete: bool,
    example: &str,
) -> Option<Field<'n>> {
    let field = fields.take(key);
    if field.is_none() && complete {
        fields.missing(reader, format!("has no `{key}`; write {example}"));
    }
    field
}

fn default_admin() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9590))
}

fn threads(text: &str) -> Result<Threads, String> {
    let wrong = |_| format!("is neither `auto` nor a number from 1 to {THREADS_MAX}");
    match text {
        "auto" => Ok(Threads::Auto),
        text => {
            let count = count(text, 1, THREADS_MAX).map_err(wrong)?;
            Ok(Threads::Count(usize::try_from(count).unwrap_or(1)))
        }
    }
}

fn host_root(text: &str) -> Result<(), String> {
    match text {
        "/" => Ok(()),
        _ => Err("is not yet in this version; remove it, and mount the node's /var/log at /var/log".into()),
    }
}

fn admin(text: &str) -> Result<Option<SocketAddr>, String> {
    match text {
        "off" | "false" => Ok(None),
        text => {
            text.parse().map(Some).map_err(|_| "is not an address; write `127.0.0.1:9590`, or `off`".into())
        }
    }
}
