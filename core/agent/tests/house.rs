//! ARCHITECTURE.md is true: its tables are compared with the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).expect("text")
}

/// Crate directory to the crates that it may import, by the last part of their directories.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = architecture();
    let rows = text.lines().skip_while(|line| !line.starts_with("| crate |")).skip(2);
    let rows: Vec<(String, String)> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (cells[1].to_owned(), cells[3].to_owned())
        })
        .collect();
    let core = || rows.iter().filter_map(|(dir, _)| dir.strip_prefix("core/")).map(str::to_owned);
    let expand = |cell: &str| match cell {
        "nothing" => BTreeSet::new(),
        "all of core" => core().collect(),
        list => list.split(", ").map(str::to_owned).collect(),
    };
    rows.iter().map(|(dir, cell)| (dir.clone(), expand(cell))).collect()
}

/// Crate directory to the workspace's crates that it is built with; those that only its tests use are not counted.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = |package: &Value| {
        let manifest = PathBuf::from(package["manifest_path"].as_str().expect("a path"));
        let dir =
            manifest.parent().and_then(|dir| dir.strip_prefix(root()).ok()).expect("inside").to_path_buf();
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        let built = dependencies.filter(|dependency| dependency["kind"].as_str() != Some("dev"));
        let names = built.filter_map(|dependency| dependency["name"].as_str()?.strip_prefix("ringtail-"));
        (dir.to_string_lossy().into_owned(), names.map(str::to_owned).collect())
    };
    packages.iter().map(package).collect()
}

/// Every crate of the workspace has its row, and imports nothing that its row does not allow.
#[test]
fn every_crate_imports_only_what_the_table_allows() {
    let (table, imports) = (table(), imports());
    // Crates that only test have no part in the product, and no row.
    let product = |dir: &&String| dir.starts_with("core/") || *dir == "benches" || *dir == "ffi";
    let crates: BTreeSet<&String> = imports.keys().filter(product).collect();
    assert_eq!(table.keys().collect::<BTreeSet<_>>(), crates, "rows and crates");
    for (dir, allowed) in &table {
        let forbidden: Vec<&String> = imports[dir].difference(allowed).collect();
        assert!(forbidden.is_empty(), "{dir} imports {forbidden:?}, which ARCHITECTURE.md does not allow");
    }
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != ".git") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The files that allow `unsafe` are those on the list, no more and no fewer.
#[test]
fn the_list_of_unsafe_files_is_complete() {
    let text = architecture();
    let (_, rest) = text.split_once("<!-- unsafe:begin -->").expect("the list's beginning");
    let (list, _) = rest.split_once("<!-- unsafe:end -->").expect("the list's end");
    let listed: BTreeSet<String> = list
        .lines()
        .filter_map(|line| line.strip_prefix("- `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    let mut files = Vec::new();
    sources(&root(), &mut files);
    let mark = format!("#![{}({})]", "allow", "unsafe_code");
    let allows = |path: &&PathBuf| fs::read_to_string(path).expect("text").contains(&mark);
    let found: BTreeSet<String> = files
        .iter()
        .filter(allows)
        .map(|path| path.strip_prefix(root()).expect("inside").to_string_lossy().into_owned())
        .collect();
    assert_eq!(listed, found);
}

/// Whoever opens a file knows in a minute what it is: it opens by saying so.
#[test]
fn every_module_opens_with_what_it_does() {
    let mut files = Vec::new();
    sources(&root().join("core"), &mut files);
    let silent: Vec<&PathBuf> = files
        .iter()
        .filter(|path| path.components().any(|part| part.as_os_str() == "src"))
        .filter(|path| !fs::read_to_string(path).expect("text").starts_with("//! "))
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}
