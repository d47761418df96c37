//! What a file output of a scene holds.

use std::fs;

use serde_json::Value;

use super::scene::Scene;

/// The records of `out.ndjson`, and of those that a restart may have moved aside, the oldest first.
pub(crate) fn records(scene: &Scene) -> Vec<Value> {
    let entries = fs::read_dir(scene.path("")).expect("a directory").flatten().map(|entry| entry.path());
    let is_output = |path: &std::path::PathBuf| path.to_str().is_some_and(|path| path.contains("out.ndjson"));
    let mut files: Vec<_> = entries.filter(is_output).collect();
    files.sort_by(|a, b| b.cmp(a));
    let text: Vec<u8> = files.iter().flat_map(|file| fs::read(file).expect("read")).collect();
    // The last line may be on its way.
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// A field as text; empty where there is none.
pub(crate) fn text<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field].as_str().unwrap_or("")
}
