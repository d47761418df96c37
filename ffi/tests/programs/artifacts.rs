//! The libraries as files: what they export, what they are called, what they are made of.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::{artifacts, root, run};

fn listed() -> BTreeSet<String> {
    let list = root().join("ffi/abi/ringtail.symbols");
    fs::read_to_string(list).expect("the list").lines().map(str::to_owned).collect()
}

/// The names that `nm` says are defined for others.
fn exported(file: &Path, options: &[&str]) -> BTreeSet<String> {
    // Without the plug-in of LLVM, which fails on what `ld -r` made of its objects.
    let mut nm = Command::new("nm");
    let out = run(nm.args(["--plugin=", "--defined-only", "--extern-only"]).args(options).arg(file));
    out.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect()
}

/// The static library as it is installed.
pub(crate) fn static_library() -> PathBuf {
    static MADE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let make = || {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("installed-libringtail.a");
        run(Command::new(root().join("scripts/static-library"))
            .arg(artifacts().join("libringtail.a"))
            .arg(&out));
        out
    };
    MADE.get_or_init(make).clone()
}

/// The list is append-only: a name that goes, or another one that comes, is seen.
#[test]
fn both_libraries_export_exactly_the_listed_names() {
    let shared = exported(&artifacts().join("libringtail.so"), &["--dynamic"]);
    assert_eq!(shared, listed(), "the shared library");
    assert_eq!(exported(&static_library(), &[]), listed(), "the static library");
    assert!(listed().iter().all(|name| name.starts_with("ringtail_")));
    let header = fs::read_to_string(root().join("include/ringtail.h")).expect("the header");
    let undeclared: Vec<String> =
        listed().into_iter().filter(|name| !header.contains(&format!("{name}("))).collect();
    assert!(undeclared.is_empty(), "{undeclared:?}");
}

/// A host may have another library that is written in Rust, with a runtime of its own.
#[test]
fn two_rust_libraries_live_in_one_program() {
    let dir = tempfile::tempdir().expect("a directory");
    let other = dir.path().join("libother.a");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let source = root().join("ffi/tests/programs/other.rs");
    run(Command::new(rustc).args(["--edition=2024", "--crate-type=staticlib", "-o"]).arg(&other).arg(source));
    let program = dir.path().join("both");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-std=c11", "-I"]).arg(root().join("include"));
    command.arg(root().join("ffi/tests/programs/both.c")).arg(static_library()).arg(&other);
    run(command.args(["-lgcc_s", "-lpthread", "-ldl", "-lm", "-o"]).arg(&program));
    assert_eq!(run(&mut Command::new(program)), "0.1.0 42\n");
}

fn define(header: &str, name: &str) -> u32 {
    let (_, rest) = header.split_once(&format!("#define {name} ")).expect(name);
    rest.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn the_version_is_one_everywhere() {
    let header = fs::read_to_string(root().join("include/ringtail.h")).expect("the header");
    let parts = ["MAJOR", "MINOR", "PATCH"]
        .map(|part| define(&header, &format!("RINGTAIL_VERSION_{part}")).to_string());
    assert_eq!(parts.join("."), env!("CARGO_PKG_VERSION"));
    let abi = define(&header, "RINGTAIL_ABI_VERSION");
    let dynamic = run(Command::new("readelf").arg("-d").arg(artifacts().join("libringtail.so")));
    assert!(dynamic.contains(&format!("[libringtail.so.{abi}]")), "{dynamic}");
}

/// An embedder never builds TLS, HTTP, Kafka or an async runtime.
#[test]
fn the_library_has_nothing_of_the_agent_in_its_tree() {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args([
        "tree",
        "--offline",
        "--package",
        "ringtail-ffi",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
    ]);
    let tree = run(tree.current_dir(root()));
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains("ringtail-engine"));
    for absent in [
        "tokio",
        "hyper",
        "reqwest",
        "rustls",
        "ring",
        "openssl",
        "axum",
        "rdkafka",
        "clap",
        "ringtail-ship",
        "ringtail-agent",
    ] {
        assert!(!names.contains(absent), "{absent} is in the tree of libringtail");
    }
}

/// The library's own sources read no environment, print nothing and touch no signal but to block it.
#[test]
fn the_library_asks_its_process_for_nothing() {
    for entry in fs::read_dir(root().join("ffi/src")).expect("the sources") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        for absent in
            ["env::var", "println!", "eprintln!", "print!(", "sigaction", "set_current_dir", "setrlimit"]
        {
            assert!(!text.contains(absent), "{} has {absent}", path.display());
        }
    }
}
