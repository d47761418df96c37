//! The configuration's language: what is wrong is told in exact words, and what the documents show is right.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringtail_agent::config::{self, Threads};
use ringtail_parse::{Format, Input};
use ringtail_read::Start;
use ringtail_ship::SinkConfig;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name)
}

fn no_environment(_: &str) -> Option<String> {
    None
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<PathBuf> = read.map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    entries
}

/// What is found in the files of one case, which are named in messages without their folders.
fn verdict(case: &Path) -> String {
    let files = if case.is_dir() { entries(case) } else { vec![case.into()] };
    let read = |file: &PathBuf| {
        let name = file.file_name().expect("a name").to_owned();
        (PathBuf::from(name), fs::read_to_string(file).expect("text"))
    };
    let texts: Vec<(PathBuf, String)> = files.iter().map(read).collect();
    let texts: Vec<(&Path, &str)> =
        texts.iter().map(|(file, text)| (file.as_path(), text.as_str())).collect();
    match config::parse(&texts, &no_environment) {
        Ok(_) => "legal\n".into(),
        Err(problems) => problems.to_string(),
    }
}

/// Every bad configuration gets exactly the words that stand beside it, all its errors at once. After a change that is
/// meant, `BLESS=1` writes them anew; the difference is then reviewed.
#[test]
fn bad_configurations_are_told_in_exact_words() {
    let cases: Vec<PathBuf> = entries(&folder("bad"))
        .into_iter()
        .filter(|case| case.extension().is_none_or(|e| e != "expected"))
        .collect();
    assert!(cases.len() >= 10, "the cases are there");
    for case in cases {
        let expected = case.with_extension("expected");
        let found = verdict(&case);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &found).expect("written");
        }
        let expected =
            fs::read_to_string(&expected).unwrap_or_else(|error| panic!("{}: {error}", expected.display()));
        assert_eq!(found, expected, "{}", case.display());
    }
}

/// Defaults are those of the documents, and every key is understood.
#[test]
fn a_legal_configuration_says_what_it_says() {
    let text = r#"
data_dir: /var/lib/rt
memory: 256MiB
threads: 3
admin: off
hold_deleted: {max_bytes: 2GiB}
outputs:
  file: {type: file, path: /out/x.zst, rotate: {max_bytes: 1MiB, keep: 2}, attributes: [k8s.*]}
  http:
    type: http
    url: https://u:${PASSWORD}@logs.example.com/
    headers: {Authorization: "Bearer ${PASSWORD}"}
    batch: &batch {max_bytes: 64KiB}
  nothing: {type: null, batch: *batch}
pipelines:
  shop:
    from:
      files: {paths: [/var/log/pods/**/*.log, /b], exclude: ['**/*.gz'], ignore_older: 1h, input: cri}
      start: {last: 1MiB}
      max_line: 64KiB
    to: [file, http, nothing]
"#;
    let env = |name: &str| (name == "PASSWORD").then(|| "hunter2".to_owned());
    let loaded = config::parse(&[(Path::new("x.yaml"), text)], &env).expect("legal");
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert!(!format!("{config:?}").contains("hunter2"), "secrets are never shown");
    assert_eq!((config.memory, config.threads, config.admin), (256 << 20, Threads::Count(3), None));
    assert_eq!(
        (config.hold_deleted.max_bytes, config.hold_deleted.max_age),
        (2 << 30, Duration::from_secs(3600))
    );
    let SinkConfig::Http { url, headers, timeout } = &config.outputs[1].sink else {
        panic!("{:?}", config.outputs[1])
    };
    assert_eq!(url, "https://u:hunter2@logs.example.com/");
    assert_eq!((headers[0].1.expose(), *timeout), ("Bearer hunter2", Duration::from_secs(30)));
    assert_eq!(
        (config.outputs[2].sink.clone(), config.outputs[2].batch.max_bytes),
        (SinkConfig::Null, 64 << 10)
    );
    let shop = &config.pipelines[0];
    assert_eq!(
        (shop.origin.input, shop.origin.start, shop.origin.ignore_older),
        (Input::Fixed(Format::Cri), Start::Last(1 << 20), Some(Duration::from_secs(3600)))
    );
    assert_eq!(
        (shop.origin.limits.max_line, shop.origin.limits.max_record, shop.origin.flush_after),
        (64 << 10, 4 << 20, Duration::from_secs(5))
    );
    assert_eq!(shop.origin.paths, ["/var/log/pods/**/*.log", "/b"]);
}

/// A directory is one configuration; hidden files, which a ConfigMap's mount is full of, are none of it.
#[test]
fn a_directory_is_merged_and_hidden_files_are_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("1-outputs.yaml", "outputs: {main: {type: stdout}}\n");
    write("2-shop.yaml", "pipelines: {shop: {from: {files: {paths: [/a]}}, to: [main]}}\n");
    write("3-web.yml", "pipelines: {web: {from: {files: {paths: [/b]}}, to: [main]}}\n");
    write(".hidden.yaml", "nonsense");
    write("readme.txt", "nonsense");
    let config = config::load(folder.path(), &no_environment).expect("legal").config;
    let names: Vec<&str> = config.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    assert_eq!(names, ["shop", "web"]);
    write("4-bad.yaml", "- a\n");
    let problems = config::load(folder.path(), &no_environment).expect_err("a list");
    assert_eq!(problems.errors.len(), 1, "{problems}");
    let missing = config::load(&folder.path().join("none"), &no_environment).expect_err("nothing there");
    assert!(missing.to_string().contains("none: cannot be read"), "{missing}");
}

/// Aliases multiply: a small file must not become a large tree.
#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let item = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![item; 10].join(", "));
    }
    let problems = config::parse(&[(Path::new("x.yaml"), &text)], &no_environment).expect_err("too much");
    assert!(problems.to_string().contains("more than"), "{problems}");
}
