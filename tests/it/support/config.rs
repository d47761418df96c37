//! Configurations, as people write them.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

/// One pipeline over files to one or more outputs.
pub(crate) struct Config {
    data_dir: String,
    admin: String,
    top: String,
    outputs: String,
    paths: Vec<String>,
    files: String,
    from: String,
    start: String,
    to: Vec<String>,
}

impl Config {
    /// Nothing but its data directory.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Config {
            data_dir: quoted(data_dir),
            admin: "off".to_owned(),
            top: String::new(),
            outputs: String::new(),
            paths: Vec::new(),
            files: String::new(),
            from: String::new(),
            start: "beginning".to_owned(),
            to: Vec::new(),
        }
    }

    /// Metrics and health at this address. Without it they are off, since agents of several tests run at once.
    pub(crate) fn admin(self, addr: SocketAddr) -> Self {
        Config { admin: addr.to_string(), ..self }
    }

    /// A line at the top level.
    pub(crate) fn top(mut self, line: &str) -> Self {
        self.top += &format!("{line}\n");
        self
    }

    /// A path or glob to follow.
    pub(crate) fn path(mut self, path: &Path) -> Self {
        self.paths.push(quoted(path));
        self
    }

    /// A further key of `files`.
    pub(crate) fn files(mut self, key: &str) -> Self {
        self.files += &format!(", {key}");
        self
    }

    /// A further key of `from`.
    pub(crate) fn from(mut self, key: &str) -> Self {
        self.from += &format!("      {key}\n");
        self
    }

    /// Where files begin that are there at the first start; `beginning` unless it is said.
    pub(crate) fn start(self, start: &str) -> Self {
        Config { start: start.to_owned(), ..self }
    }

    /// An HTTP output with a short batch delay; `more` are further keys, each followed by a comma.
    pub(crate) fn http(self, name: &str, url: &str, more: &str) -> Self {
        self.output(name, &format!("{{type: http, url: \"{url}\", {more} batch: {{max_delay: 100ms}}}}"))
    }

    /// A file output, not compressed.
    pub(crate) fn file(self, name: &str, path: &Path) -> Self {
        self.file_of(name, path, "none")
    }

    /// A file output.
    pub(crate) fn file_of(self, name: &str, path: &Path, compression: &str) -> Self {
        let path = quoted(path);
        let output =
            format!("{{type: file, path: {path}, compression: {compression}, batch: {{max_delay: 50ms}}}}");
        self.output(name, &output)
    }

    fn output(mut self, name: &str, value: &str) -> Self {
        // Writing to a String cannot fail.
        let _ = writeln!(self.outputs, "  {name}: {value}");
        self.to.push(name.to_owned());
        self
    }

    pub(crate) fn text(&self) -> String {
        let Config { data_dir, admin, top, outputs, paths, files, from, start, to } = self;
        format!(
            "data_dir: {data_dir}\nadmin: {admin}\n{top}outputs:\n{outputs}pipelines:\n  p:\n    from:\n      files: {{paths: [{}]{files}}}\n      start: {start}\n{from}    to: [{}]\n",
            paths.join(", "),
            to.join(", ")
        )
    }
}

/// A path as YAML reads it, whatever it contains: JSON strings are YAML.
pub(crate) fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_str().expect("paths of tests are UTF-8")).to_string()
}
