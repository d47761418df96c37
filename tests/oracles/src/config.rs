//! The configuration: any text is a configuration that can be run, or is told what is wrong with it, and where; and what
//! was meant is what is read.

mod meant;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ringtail_agent::config::{self, Loaded, Problem};
use ringtail_agent::wiring;
use ringtail_io::{RealClock, RealFs};
use ringtail_read::{FileSpec, OpenFiles, Scanner};
use ringtail_ship::{OutputConfig, Shippers, SinkConfig};

/// Reads `text` as a configuration. What is legal is built as `ringtail run` builds it, but nothing is written, read or
/// sent.
///
/// # Panics
/// When what is legal cannot be built, or when a mistake has no place in the text or no words.
pub fn check(text: &str) {
    let environment = |name: &str| (name == "TOKEN").then(|| "secret".to_owned());
    let read = || config::parse(&[(Path::new("x.yaml"), text)], &environment);
    let found = read();
    assert_eq!(found, read(), "the same text, read twice");
    match found {
        Ok(loaded) => {
            check_problems(text, &loaded.warnings);
            build(&loaded);
        }
        Err(problems) => {
            assert!(!problems.errors.is_empty(), "refused without a reason");
            check_problems(text, &problems.errors);
            check_problems(text, &problems.warnings);
        }
    }
}

fn check_problems(text: &str, problems: &[Problem]) {
    for problem in problems {
        assert!(problem.place.line <= text.lines().count() + 1, "{problem}: no such line");
        assert!(!problem.message.is_empty());
    }
}

fn build(Loaded { config, path_places, .. }: &Loaded) {
    for (pipeline, places) in config.pipelines.iter().zip(path_places) {
        assert_eq!(pipeline.origin.paths.len(), places.len(), "{}: a path without its place", pipeline.name);
        assert!(pipeline.to.iter().all(|to| config.outputs.iter().any(|output| output.name == *to)));
    }
    let spec = |pipeline: &config::Pipeline| FileSpec {
        paths: pipeline.origin.paths.clone(),
        exclude: pipeline.origin.exclude.clone(),
        ignore_older: pipeline.origin.ignore_older,
        ..FileSpec::default()
    };
    let specs: Vec<FileSpec> = config.pipelines.iter().map(spec).collect();
    if let Err(error) = Scanner::new(Arc::new(RealFs), Arc::new(RealClock::new()), OpenFiles::new(0), &specs)
    {
        panic!("the scanner refuses a pattern that is legal: {error:?}");
    }
    let outputs: Vec<OutputConfig> = wiring::outputs(config).into_iter().map(harmless).collect();
    assert!(outputs.iter().all(|output| output.payload_bytes > 0));
    outputs.iter().for_each(check_headers);
    match Shippers::start(outputs, 1, 1) {
        Ok(shippers) => drop(shippers.stop(Instant::now())),
        Err(error) => panic!("the outputs refuse what is legal: {error}"),
    }
}

/// What would end a header early, or begin another one, must not come so far.
fn check_headers(output: &OutputConfig) {
    let SinkConfig::Http { headers, .. } = &output.sink else { return };
    for (name, value) in headers {
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
        assert!(
            !value.expose().contains(|char: char| char.is_control() && char != '\t'),
            "the value of {name}"
        );
    }
}

/// The output without its file; and without TLS, which asks the system for certificates.
fn harmless(output: OutputConfig) -> OutputConfig {
    let sink = match output.sink {
        SinkConfig::Http { url, headers, timeout } => match url.split_once(':') {
            Some((_, rest)) => SinkConfig::Http { url: format!("http:{rest}"), headers, timeout },
            None => SinkConfig::Http { url, headers, timeout },
        },
        _ => SinkConfig::Null,
    };
    OutputConfig { sink, ..output }
}

/// A text, if it is one; behind a byte that begins none, the choices of one whose meaning is known.
pub fn fuzz(data: &[u8]) {
    if let Some((0xff, choices)) = data.split_first() {
        return meant::check(choices);
    }
    // What is not UTF-8 is refused before it is read as YAML; a file that names a secret is not for a fuzzer to open.
    if let Ok(text) = std::str::from_utf8(data)
        && !text.contains("file:")
    {
        check(text);
    }
}
