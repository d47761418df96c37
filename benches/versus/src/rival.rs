//! A collector that takes part, as its file in `rivals/` describes it. The code knows no collector.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::inputs::Format;

/// One file of `rivals/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rival {
    pub(crate) name: String,
    /// Names of the program; the first that is found is run.
    pub(crate) programs: Vec<String>,
    /// The command that tells the version, in the first line that it prints.
    pub(crate) version: Vec<String>,
    /// The ways in which it is measured.
    #[serde(rename = "way")]
    pub(crate) ways: Vec<Way>,
}

/// One configuration of a collector, and how it is run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Way {
    /// What of it a reader of the table wants to know.
    pub(crate) title: String,
    /// What it reads.
    pub(crate) inputs: Vec<Format>,
    pub(crate) sink: Sink,
    /// The command, in the foreground.
    pub(crate) start: Vec<String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Files written before the start, by name below `{dir}`.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) done: Done,
    pub(crate) records: Records,
}

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sink {
    /// Files below `{output}`, not compressed.
    File,
    /// `{url}`, which answers 200 and counts; compressed as the collector does it.
    Http,
}

impl Sink {
    pub(crate) const ALL: [Sink; 2] = [Sink::File, Sink::Http];
}

/// How it is told that everything was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Done {
    /// As many records as were written have arrived; then it gets SIGTERM.
    Count,
    /// It ends by itself. Such a way is not measured idle.
    Exit,
}

/// How what arrived is told apart and counted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "as", rename_all = "kebab-case")]
pub(crate) enum Records {
    /// JSON, one value a line. `message` and `stream` are paths in the value, `*` is every element of an array.
    Json {
        message: Vec<String>,
        #[serde(default)]
        stream: Vec<String>,
    },
    /// Protobuf, in which every message is a string of its own.
    Protobuf,
}

impl Rival {
    /// Reads every `*.toml` of `dir`, in the order of the names.
    ///
    /// # Errors
    /// What is wrong, and in which file.
    pub(crate) fn read_all(dir: &Path) -> Result<Vec<Rival>, String> {
        let of = |error: std::io::Error| format!("{}: {error}", dir.display());
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(dir).map_err(of)? {
            paths.push(entry.map_err(of)?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        paths.iter().map(|path| Rival::read(path)).collect()
    }

    fn read(path: &Path) -> Result<Rival, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The program: beside this one, on the PATH, or where daemons are.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let own = env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
        let path = env::var_os("PATH").unwrap_or_default();
        let daemons = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
        let dirs: Vec<PathBuf> = own.into_iter().chain(env::split_paths(&path)).chain(daemons).collect();
        let candidates = self.programs.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
        candidates.into_iter().find(|path| path.is_file())
    }

    /// The version that `program` tells.
    pub(crate) fn version(&self, program: &Path) -> String {
        let words: Vec<String> = self
            .version
            .iter()
            .map(|word| fill(word, &[("program", &program.display().to_string())]))
            .collect();
        let Some((command, args)) = words.split_first() else { return String::new() };
        let Ok(output) = Command::new(command).args(args).output() else { return "unknown".to_owned() };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown").to_owned()
    }
}

/// Replaces each `{key}` of `values` in `text`; other braces are the configuration's own.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (key, value)| text.replace(&format!("{{{key}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of `rivals/` that nobody can run here is still right in form: every placeholder is one that is filled.
    #[test]
    fn the_files_that_are_shipped_can_be_read_and_ask_for_nothing_unknown() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals");
        let rivals = Rival::read_all(&dir).expect("all right");
        assert!(rivals.len() >= 8, "{}", rivals.len());
        let known = ["{program}", "{dir}", "{output}", "{glob}", "{root}", "{url}", "{host}", "{port}"];
        for way in rivals.iter().flat_map(|rival| &rival.ways) {
            assert!(!way.inputs.is_empty() && !way.start.is_empty(), "{}", way.title);
            let texts = way.start.iter().chain(way.files.values()).chain(way.env.values());
            let mut text: String = texts.map(String::as_str).collect();
            let wanted = if way.sink == Sink::File { "{output}" } else { "{port}" };
            assert!(text.contains(wanted) || text.contains("{url}"), "{}: {wanted}", way.title);
            assert!(text.contains("{glob}") || text.contains("{root}"), "{}", way.title);
            known.iter().for_each(|known| text = text.replace(known, ""));
            let unknown = text.match_indices('{').find(|(at, _)| {
                let word = text[at + 1..].split(['}', '\n', ' ']).next().unwrap_or_default();
                text[at + 1 + word.len()..].starts_with('}')
                    && !word.is_empty()
                    && word.bytes().all(|byte| byte.is_ascii_lowercase())
            });
            assert_eq!(unknown.map(|(at, _)| &text[at..]), None, "{}", way.title);
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("x.toml"), "name = 'x'\nprogramms = []\n").expect("written");
        let error = Rival::read_all(dir.path()).expect_err("refused");
        assert!(error.contains("x.toml") && error.contains("programms"), "{error}");
    }
}
