//! What the documents show is legal, so that whoever copies it has something that works.

use std::fs;
use std::path::{Path, PathBuf};

use ringtail_agent::config;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn token(name: &str) -> Option<String> {
    (name == "TOKEN").then(|| "secret".into())
}

fn legal(name: &str, text: &str) {
    match config::parse(&[(Path::new(name), text)], &token) {
        Ok(loaded) => assert_eq!(loaded.warnings, [], "{name}"),
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn every_example_is_legal() {
    let examples = fs::read_dir(root().join("examples")).expect("examples");
    let mut count = 0;
    for entry in examples {
        let path = entry.expect("an entry").path();
        legal(&path.to_string_lossy(), &fs::read_to_string(&path).expect("text"));
        count += 1;
    }
    assert!(count >= 3);
}

/// A block that shows only a part would not be legal; there is none.
#[test]
fn every_yaml_block_of_the_documents_is_legal() {
    let mut count = 0;
    for document in ["README.md", "docs/configuration.md"] {
        let text = fs::read_to_string(root().join(document)).expect("text");
        for (number, block) in text.split("```yaml\n").skip(1).enumerate() {
            let (block, _) = block.split_once("```").expect("the end of the block");
            legal(&format!("{document}, block {}", number + 1), block);
            count += 1;
        }
    }
    assert!(count >= 3);
}

/// The page says that its first block shows the defaults.
#[test]
fn the_defaults_on_the_page_are_the_defaults() {
    let page = fs::read_to_string(root().join("docs/configuration.md")).expect("text");
    let all =
        page.split("```yaml\n").nth(1).and_then(|block| block.split_once("```")).expect("the first block").0;
    let short = r#"
outputs:
  main: {type: http, url: "https://logs.example.com/ingest", headers: {Authorization: "Bearer static-token"}}
  archive: {type: file, path: /var/log/ringtail/records.ndjson.zst, rotate: {max_bytes: 100MiB}}
pipelines:
  pods:
    from:
      files: {paths: [/var/log/pods/*/*/*.log], exclude: [/var/log/pods/kube-system_*/**], ignore_older: 1d}
    to: [main, archive]
"#;
    let load = |text: &str| config::parse(&[(Path::new("x.yaml"), text)], &token).expect("legal").config;
    let (mut all, short) = (load(all), load(short));
    // `["*"]` and nothing mean the same, and are not equal.
    all.outputs[0].attributes = short.outputs[0].attributes.clone();
    assert_eq!(all, short);
}
