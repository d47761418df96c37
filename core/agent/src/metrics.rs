//! The agent's figures as Prometheus reads them.
//!
//! The names are fixed: dashboards depend on them. Never here: counting; a [`Metrics`] is what was counted elsewhere.

use std::fmt::{self, Write};

use ringtail_engine::{LagSnapshot, PipelineSnapshot};
use ringtail_ship::OutputStats;

use crate::process::Process;

/// All figures at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Per pipeline.
    pub pipelines: Vec<PipelineFigures>,
    /// Per output.
    pub outputs: Vec<OutputFigures>,
    /// Per pipeline and output.
    pub lags: Vec<Lag>,
    /// Bytes of input that are lost, by reason: every reason, also with zero.
    pub lost: Vec<(&'static str, u64)>,
    /// Files open for reading.
    pub open_files: u64,
    /// Bytes held, by use.
    pub memory: Vec<(&'static str, u64)>,
    /// The I/O backend that runs, and why.
    pub backend: (String, String),
    /// Checkpoints that were set aside since they were damaged.
    pub checkpoint_resets: u64,
    /// The process itself.
    pub process: Process,
}

/// What a pipeline took in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineFigures {
    /// The pipeline.
    pub name: String,
    /// Bytes read from its files.
    pub read_bytes: u64,
    /// Records made of them.
    pub records: u64,
    /// Lines not in their file's format.
    pub malformed_lines: u64,
}

/// What an output gave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputFigures {
    /// The output.
    pub name: String,
    /// Records that the backend has.
    pub delivered_records: u64,
    /// Bytes that the backend has, as they were sent.
    pub delivered_bytes: u64,
    /// Attempts that failed and were made again.
    pub retries: u64,
    /// Messages in which bytes that are not UTF-8 were replaced.
    pub replaced_utf8: u64,
}

/// How far an output is behind a pipeline's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// The pipeline.
    pub pipeline: String,
    /// The output.
    pub output: String,
    /// Bytes in files that are not acknowledged.
    pub bytes: u64,
}

impl From<PipelineSnapshot> for PipelineFigures {
    fn from(pipeline: PipelineSnapshot) -> Self {
        let PipelineSnapshot { name, read_bytes, records, malformed_lines } = pipeline;
        PipelineFigures { name, read_bytes, records, malformed_lines }
    }
}

impl From<OutputStats> for OutputFigures {
    fn from(output: OutputStats) -> Self {
        let OutputStats { name, delivered_records, delivered_bytes, retries, replaced_utf8, .. } = output;
        OutputFigures { name, delivered_records, delivered_bytes, retries, replaced_utf8 }
    }
}

impl From<LagSnapshot> for Lag {
    fn from(lag: LagSnapshot) -> Self {
        let LagSnapshot { pipeline, output, bytes } = lag;
        Lag { pipeline, output, bytes }
    }
}

/// The text format's content type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Metrics {
    /// The figures in Prometheus' text format 0.0.4.
    pub fn text(&self) -> String {
        let mut page = Page(String::with_capacity(4096));
        self.collection(&mut page);
        self.agent(&mut page);
        self.process.figures(&mut page);
        page.0
    }

    /// Puts everything into the order of its names, so that two pages can be compared.
    pub fn sort(&mut self) {
        self.pipelines.sort_by(|a, b| a.name.cmp(&b.name));
        self.outputs.sort_by(|a, b| a.name.cmp(&b.name));
        self.lags.sort_by(|a, b| (&a.pipeline, &a.output).cmp(&(&b.pipeline, &b.output)));
    }

    fn collection(&self, page: &mut Page) {
        let pipelines = |value: fn(&PipelineFigures) -> u64| {
            self.pipelines
                .iter()
                .map(move |pipeline| ([("pipeline", pipeline.name.as_str())], value(pipeline)))
        };
        let outputs = |value: fn(&OutputFigures) -> u64| {
            self.outputs.iter().map(move |output| ([("output", output.name.as_str())], value(output)))
        };
        page.counters("ringtail_read_bytes_total", "Bytes read from log files.", pipelines(|p| p.read_bytes));
        page.counters("ringtail_records_total", "Records made of what was read.", pipelines(|p| p.records));
        page.counters(
            "ringtail_malformed_lines_total",
            "Lines not in the format of their file, delivered as they were found.",
            pipelines(|p| p.malformed_lines),
        );
        page.counters(
            "ringtail_delivered_records_total",
            "Records that the output's backend acknowledged.",
            outputs(|o| o.delivered_records),
        );
        page.counters(
            "ringtail_delivered_bytes_total",
            "Bytes that the output's backend acknowledged, as they were sent.",
            outputs(|o| o.delivered_bytes),
        );
        page.counters(
            "ringtail_retries_total",
            "Attempts that failed and were made again.",
            outputs(|o| o.retries),
        );
        page.counters(
            "ringtail_replaced_utf8_records_total",
            "Records in which bytes that are not UTF-8 were replaced by U+FFFD, as the output's encoding demands.",
            outputs(|o| o.replaced_utf8),
        );
        page.gauges(
            "ringtail_lag_bytes",
            "Bytes in log files that the output has not acknowledged.",
            self.lags.iter().map(|lag| {
                ([("pipeline", lag.pipeline.as_str()), ("output", lag.output.as_str())], lag.bytes)
            }),
        );
        page.counters(
            "ringtail_lost_bytes_total",
            "Bytes of input that will not be delivered, by reason.",
            self.lost.iter().map(|(reason, bytes)| ([("reason", *reason)], *bytes)),
        );
    }

    fn agent(&self, page: &mut Page) {
        page.gauges("ringtail_open_files", "Log files open for reading.", [([], self.open_files)]);
        page.gauges(
            "ringtail_memory_bytes",
            "Bytes held on behalf of log lines, by use.",
            self.memory.iter().map(|(usage, bytes)| ([("use", *usage)], *bytes)),
        );
        let (backend, reason) = &self.backend;
        page.gauges(
            "ringtail_io_backend",
            "The I/O backend that runs (1), and why it was chosen.",
            [([("backend", backend.as_str()), ("reason", reason.as_str())], 1)],
        );
        page.counters(
            "ringtail_checkpoint_resets_total",
            "Checkpoints that were damaged and set aside: what was there was read again.",
            [([], self.checkpoint_resets)],
        );
    }
}

/// A page of figures that grows.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'a str, &'a str); N], u64)>,
    ) {
        self.family(name, help, "counter", samples);
    }

    pub(crate) fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'a str, &'a str); N], u64)>,
    ) {
        self.family(name, help, "gauge", samples);
    }

    pub(crate) fn family<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        kind: &str,
        samples: impl IntoIterator<Item = ([(&'a str, &'a str); N], impl fmt::Display)>,
    ) {
        let page = &mut self.0;
        // Writing to a text never fails.
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            page.push_str(name);
            for (at, (label, text)) in labels.iter().enumerate() {
                let before = if at == 0 { '{' } else { ',' };
                let _ = write!(page, "{before}{label}=\"{}\"", Escaped(text));
            }
            if N > 0 {
                page.push('}');
            }
            let _ = writeln!(page, " {value}");
        }
    }
}

/// A label's value: backslashes, quotes and newlines would end it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            char => f.write_char(char),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_its_help_and_type_and_labels_cannot_break_out() {
        let metrics = Metrics {
            outputs: vec![OutputFigures {
                name: "main".into(),
                replaced_utf8: 5,
                ..OutputFigures::default()
            }],
            pipelines: vec![PipelineFigures {
                name: "shop".into(),
                read_bytes: 7,
                records: 2,
                malformed_lines: 1,
            }],
            lags: vec![Lag { pipeline: "shop".into(), output: "main".into(), bytes: 9 }],
            lost: vec![("truncated", 0)],
            backend: ("pread".into(), "refused: \"seccomp\"\nor so \\".into()),
            ..Metrics::default()
        };
        let text = metrics.text();
        for line in [
            "# HELP ringtail_read_bytes_total Bytes read from log files.",
            "# TYPE ringtail_read_bytes_total counter",
            "ringtail_read_bytes_total{pipeline=\"shop\"} 7",
            "ringtail_lag_bytes{pipeline=\"shop\",output=\"main\"} 9",
            "ringtail_lost_bytes_total{reason=\"truncated\"} 0",
            "ringtail_open_files 0",
            "ringtail_replaced_utf8_records_total{output=\"main\"} 5",
            "ringtail_io_backend{backend=\"pread\",reason=\"refused: \\\"seccomp\\\"\\nor so \\\\\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let mut families: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let count = families.len();
        families.dedup();
        assert_eq!(families.len(), count);
        let named = |line: &str| {
            families.iter().any(|family| family.split(' ').next() == line.split(['{', ' ']).next())
        };
        assert!(text.lines().filter(|line| !line.starts_with('#')).all(named), "{text}");
    }
}
