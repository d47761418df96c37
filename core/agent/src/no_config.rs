//! What `ringtail run` does without a configuration: every container log that a runtime leaves at its usual place, to
//! the terminal, from now on. It keeps no positions, takes no lock and serves no figures.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ringtail_config::Origin;
use ringtail_encode::{Compression, Selection};
use ringtail_engine::{BatchLimits, HoldDeleted};
use ringtail_read::Start;
use ringtail_ship::SinkConfig;

use crate::config::{Config, Output, Pipeline, Threads};

/// Where runtimes leave container logs, and which files those are: kubelet, and docker. A file that both lead to is read
/// once.
const PLACES: [(&str, &str); 2] = [
    ("/var/log/pods", "/var/log/pods/*/*/*.log"),
    ("/var/lib/docker/containers", "/var/lib/docker/containers/*/*-json.log"),
];

/// How long a record may wait on its way to a terminal.
const TERMINAL_DELAY: Duration = Duration::from_millis(100);

/// Where runtimes leave container logs.
pub fn directories() -> [&'static Path; 2] {
    PLACES.map(|(directory, _)| Path::new(directory))
}

/// Everything that can be read here, to standard output; nothing where there is nothing.
pub fn config() -> Option<Config> {
    let readable = |directory: &str| fs::read_dir(directory).is_ok();
    let found = PLACES.iter().filter(|(directory, _)| readable(directory));
    let paths: Vec<String> = found.map(|(_, pattern)| (*pattern).to_owned()).collect();
    (!paths.is_empty()).then(|| to_stdout(paths))
}

/// These files, from now on, to standard output.
pub fn to_stdout(paths: Vec<String>) -> Config {
    Config {
        data_dir: None,
        memory: 128 << 20,
        threads: Threads::Auto,
        admin: None,
        hold_deleted: HoldDeleted::default(),
        outputs: vec![Output {
            name: "standard output".into(),
            sink: SinkConfig::Stdout { text: false },
            compression: Compression::None,
            attributes: Selection::all(),
            batch: BatchLimits { max_delay: TERMINAL_DELAY, ..BatchLimits::default() },
            concurrency: 1,
        }],
        pipelines: vec![pipeline(Origin { paths, start: Start::End, ..Origin::default() })],
    }
}

/// What comes from `origin`, to the one output of [`to_stdout`].
pub fn pipeline(origin: Origin) -> Pipeline {
    Pipeline { name: "node".into(), origin, to: vec!["standard output".into()] }
}
