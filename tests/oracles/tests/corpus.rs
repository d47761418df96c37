//! Whatever the fuzzer ever found goes through the same oracles again, without the fuzzer.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ringtail_oracles::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut entries: Vec<PathBuf> = read.map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    entries
}

#[test]
fn every_input_in_the_corpus_keeps_the_promises() {
    let mut broken = Vec::new();
    for (name, target) in TARGETS {
        let inputs = entries(&corpus().join(name));
        assert!(!inputs.is_empty(), "{name} has a corpus");
        for input in inputs {
            let data = fs::read(&input).expect("an input");
            if catch_unwind(AssertUnwindSafe(|| target(&data))).is_err() {
                broken.push(input);
            }
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}

/// A corpus that nobody runs would rot.
#[test]
fn every_corpus_and_every_fuzzer_is_a_target() {
    let targets: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut known = targets.clone();
    known.sort();
    let names = |directory: &Path| -> Vec<String> {
        let name = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
        entries(directory).iter().map(name).collect()
    };
    assert_eq!(names(&corpus()), known);
    assert_eq!(names(&corpus().join("../targets")), known);
}
