//! From texts to what the engine is told: string properties and YAML, both of the shape of the agent's configuration
//! without its outputs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ringtail_config::{
    Entry, Field, Fields, Needed, Node, Origin, Place, Problem, Problems, Reader, Value, absolute,
    check_name, count, duration, hold_deleted, memory, show_size, size,
};
use ringtail_engine::{BatchLimits, HoldDeleted, Mode};
use ringtail_io::Choice;
use ringtail_memory::{Budget, CarryPool, Use};

/// The pipeline of a collector that names none: files are added to it while it runs.
pub(crate) const DEFAULT_PIPELINE: &str = "default";

const MEMORY: usize = 64 << 20;
const UNACKED: u64 = 256 << 20;
const THREADS_MAX: u64 = 256;
const OPEN_FILES_MAX: u64 = 1 << 20;
const BATCH_BYTES: (u64, u64) = (4 << 10, 16 << 20);
const BATCH_RECORDS_MAX: u64 = 1 << 20;
const BATCH_DELAY: Duration = Duration::from_millis(100);
const BATCH_DELAY_MAX: Duration = Duration::from_secs(3600);

/// What a collector is told, once it is found right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Where positions are kept; without it they are not.
    pub(crate) data_dir: Option<PathBuf>,
    /// Bytes for everything that is held for log lines.
    pub(crate) memory: usize,
    /// Threads that read and parse.
    pub(crate) threads: usize,
    /// The I/O backend.
    pub(crate) io: Choice,
    pub(crate) mode: Mode,
    /// Files that may be open at a time; by default half of what the process may have.
    pub(crate) open_files: Option<usize>,
    pub(crate) hold_deleted: HoldDeleted,
    /// When a batch is sealed.
    pub(crate) batch: BatchLimits,
    /// Bytes that may have been fetched and not been acknowledged.
    pub(crate) max_unacked: usize,
    pub(crate) pipelines: Vec<(String, Origin)>,
}

/// Everything that was set so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Properties {
    entries: Vec<Entry>,
}

impl Properties {
    /// Sets `key`, its parts separated by points, to a YAML value.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), Problems> {
        let file = PathBuf::from(format!("property {key}"));
        let place = Place::whole(&file);
        if key.is_empty() || key.split('.').any(str::is_empty) {
            return Err(problem(place, key, "is no key; write one as in `memory`, or `batch.max_delay`"));
        }
        let mut node = yaml(&file, value)?.unwrap_or_else(|| Node {
            place: place.clone(),
            value: Value::Scalar { text: String::new(), plain: true },
        });
        node.place = place.clone();
        for part in key.rsplit('.') {
            let entry = Entry { key: part.into(), place: place.clone(), node };
            node = Node { place: place.clone(), value: Value::Map(vec![entry]) };
        }
        merge(&mut self.entries, node);
        Ok(())
    }

    /// Adds what `text` says to what was set; where both say something, `text` counts.
    pub(crate) fn load(&mut self, text: &str) -> Result<(), Problems> {
        let file = Path::new("configuration");
        let Some(node) = yaml(file, text)?.filter(|node| !node.is_null()) else { return Ok(()) };
        if !matches!(node.value, Value::Map(_)) {
            return Err(problem(node.place, "", "keys and values belong here; write `pipelines:`"));
        }
        merge(&mut self.entries, node);
        Ok(())
    }

    /// What all that means, or everything that is wrong with it.
    pub(crate) fn settings(&self) -> Result<Settings, Problems> {
        let place = Place::whole(Path::new("configuration"));
        let root = Node { place, value: Value::Map(self.entries.clone()) };
        // A library reads no environment: a reference to it has no value.
        let mut reader = Reader::new(&|_| None);
        let settings = top(&mut reader, &Field { path: String::new(), node: &root });
        let mut problems = reader.problems;
        problems.sort();
        match settings {
            Some(settings) if problems.errors.is_empty() => Ok(settings),
            _ => Err(problems),
        }
    }
}

fn problem(place: Place, key: &str, message: &str) -> Problems {
    let error = Problem { place, key: key.into(), message: message.into() };
    Problems { errors: vec![error], warnings: Vec::new() }
}

fn yaml(file: &Path, text: &str) -> Result<Option<Node>, Problems> {
    let mut errors = Vec::new();
    let node = ringtail_config::parse(file, text, &mut errors);
    if errors.is_empty() { Ok(node) } else { Err(Problems { errors, warnings: Vec::new() }) }
}

/// Puts the keys of `node`, a mapping, into `entries`: mappings come together, anything else takes the other's place.
fn merge(entries: &mut Vec<Entry>, node: Node) {
    let Value::Map(more) = node.value else { return };
    for entry in more {
        match entries.iter_mut().find(|known| known.key == entry.key) {
            None => entries.push(entry),
            Some(known) => match (&mut known.node.value, &entry.node.value) {
                (Value::Map(inner), Value::Map(_)) => merge(inner, entry.node),
                _ => *known = entry,
            },
        }
    }
}

fn top(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Settings> {
    let mut fields = reader.fields(field, "`pipelines:`")?;
    let data_dir = reader.parsed(fields.take("data_dir"), absolute).map(PathBuf::from);
    let memory = reader.parsed(fields.take("memory"), memory).unwrap_or(MEMORY);
    let threads = number(reader, &mut fields, "threads", THREADS_MAX).unwrap_or(1);
    let io = [("auto", Choice::Auto), ("uring", Choice::Uring), ("pread", Choice::Pread)];
    let io = reader.choice(fields.take("io"), &io, &[]).unwrap_or_default();
    let mode = [("follow", Mode::Follow), ("once", Mode::Once)];
    let mode = reader.choice(fields.take("mode"), &mode, &[]).unwrap_or(Mode::Follow);
    let open_files = number(reader, &mut fields, "open_files", OPEN_FILES_MAX);
    let hold_deleted = fields.take("hold_deleted").and_then(|field| hold_deleted(reader, &field));
    let batch = fields.take("batch").and_then(|field| batch(reader, &field)).unwrap_or_else(default_batch);
    let max_unacked = reader.parsed(fields.take("max_unacked"), size).unwrap_or(UNACKED);
    let pipelines = match fields.take("pipelines") {
        Some(field) => pipelines(reader, &field),
        None => vec![(DEFAULT_PIPELINE.into(), Origin::default())],
    };
    fields.finish(reader, &[]);
    let settings = Settings {
        data_dir,
        memory,
        threads,
        io,
        mode,
        open_files,
        hold_deleted: hold_deleted.unwrap_or_default(),
        batch,
        max_unacked: usize::try_from(max_unacked).unwrap_or(usize::MAX),
        pipelines,
    };
    shares(reader, field, &settings);
    Some(settings)
}

fn number(reader: &mut Reader<'_>, fields: &mut Fields<'_>, key: &'static str, max: u64) -> Option<usize> {
    let number = reader.parsed(fields.take(key), |text| count(text, 1, max))?;
    usize::try_from(number).ok()
}

fn default_batch() -> BatchLimits {
    BatchLimits { max_delay: BATCH_DELAY, ..BatchLimits::default() }
}

fn batch(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<BatchLimits> {
    let mut fields = reader.fields(field, "`{max_bytes: 1MiB, max_records: 8192, max_delay: 100ms}`")?;
    let (least, most) = BATCH_BYTES;
    let max_bytes = reader.parsed(fields.take("max_bytes"), |text| match size(text)? {
        bytes if (least..=most).contains(&bytes) => Ok(bytes),
        _ => Err(format!("is out of bounds; write a size from {} to {}", show_size(least), show_size(most))),
    });
    let max_records = number(reader, &mut fields, "max_records", BATCH_RECORDS_MAX);
    let max_delay = reader.parsed(fields.take("max_delay"), |text| match duration(text)? {
        time if time > BATCH_DELAY_MAX => Err("is too long; write at most `1h`".into()),
        time => Ok(time),
    });
    fields.finish(reader, &[]);
    let default = default_batch();
    Some(BatchLimits {
        max_bytes: max_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(default.max_bytes),
        max_records: max_records.unwrap_or(default.max_records),
        max_delay: max_delay.unwrap_or(default.max_delay),
    })
}

fn pipelines(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<(String, Origin)> {
    let example = "`logs: {from: {files: {paths: [/var/log/pods/*/*/*.log]}}}`";
    let Some(mut fields) = reader.fields(field, example) else { return Vec::new() };
    let named = fields.take_all();
    let mut pipelines = Vec::with_capacity(named.len());
    for (name, place, field) in named {
        check_name(reader, place, &field.path, name);
        let Some(mut fields) = reader.fields(&field, "`from:` below it") else { continue };
        let origin = match fields.take("from") {
            Some(from) => Origin::read(reader, &from, Needed::Nothing).unwrap_or_default(),
            None => Origin::default(),
        };
        // The host is the only output.
        fields.finish(reader, &[]);
        pipelines.push((name.to_owned(), origin));
    }
    pipelines
}

/// Whether the memory is enough: for one record that is being joined, and for a batch in the host's hands beside one that
/// waits.
fn shares(reader: &mut Reader<'_>, root: &Field<'_>, settings: &Settings) {
    let record = settings.pipelines.iter().map(|(_, origin)| origin.limits.max_record).max().unwrap_or(0);
    let enough = |memory: usize| {
        let budget = Budget::new(memory);
        let held = (2 * settings.batch.max_bytes).max(record);
        CarryPool::new(&budget).may_grow_to(record) && budget.limit(Use::Payloads) >= held
    };
    if enough(settings.memory) {
        return;
    }
    let needed = std::iter::successors(Some(settings.memory), |memory| memory.checked_mul(2));
    let needed = needed.take(40).find(|memory| enough(*memory)).unwrap_or(usize::MAX);
    let message = format!(
        "{} cannot hold one joined record of {} and two batches of {}; write `{}`, or lower `max_record` or `batch.max_bytes`",
        show_size(settings.memory as u64),
        show_size(record as u64),
        show_size(settings.batch.max_bytes as u64),
        show_size(needed as u64),
    );
    reader.error_at(&root.node.place, "memory", message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_and_the_same_key_in_yaml_mean_the_same_and_the_last_one_counts() {
        let mut properties = Properties::default();
        properties.load("memory: 32MiB\npipelines: {shop: {from: {files: {paths: [/a]}}}}").expect("YAML");
        properties.set("memory", "96MiB").expect("a property");
        properties.set("pipelines.shop.from.files.input", "cri").expect("a property");
        properties.set("batch.max_delay", "20ms").expect("a property");
        let settings = properties.settings().expect("right");
        let (name, origin) = &settings.pipelines[0];
        assert_eq!((settings.memory, settings.batch.max_delay), (96 << 20, Duration::from_millis(20)));
        assert_eq!((name.as_str(), &*origin.paths), ("shop", &["/a".to_owned()][..]));
        assert_eq!(origin.input, ringtail_parse::Input::Fixed(ringtail_parse::Format::Cri));
    }

    #[test]
    fn nothing_said_is_one_pipeline_without_files() {
        let settings = Properties::default().settings().expect("defaults");
        assert_eq!(settings.pipelines, [(DEFAULT_PIPELINE.to_owned(), Origin::default())]);
        assert_eq!((settings.threads, settings.data_dir), (1, None));
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let mut properties = Properties::default();
        properties.load("pipelines:\n  a: {from: {files: {paths: [relative]}}, to: [main]}\n").expect("YAML");
        properties.set("memry", "1MiB").expect("unknown so far");
        properties.set("batch.max_bytes", "64MB").expect("wrong so far");
        let told = properties.settings().expect_err("three mistakes").to_string();
        for part in [
            "property memry",
            "did you mean `memory`?",
            "write `64MiB`",
            "configuration:2:",
            "is not absolute",
        ] {
            assert!(told.contains(part), "{part} in:\n{told}");
        }
        assert!(properties.set("a..b", "1").is_err() && properties.set("memory", "[").is_err());
        assert!(Properties::default().load("- a").is_err());
    }

    #[test]
    fn too_little_memory_is_told_with_what_is_enough() {
        let mut properties = Properties::default();
        properties.set("memory", "16MiB").expect("a property");
        let told = properties.settings().expect_err("4 MiB records need more").to_string();
        assert!(told.contains("write `64MiB`"), "{told}");
    }
}
