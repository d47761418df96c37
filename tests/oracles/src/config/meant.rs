//! A configuration whose meaning is known: numbers, sizes and time spans in the ways that people write them. What is read
//! must be what was meant, and what is out of bounds be told at its line.

use std::path::Path;

use ringtail_agent::config::{self, Config};
use ringtail_read::Start;
use ringtail_ship::SinkConfig;

use crate::choices::Choices;

/// A line of the configuration.
enum Line {
    Fixed(&'static str),
    /// What stands before the value, its kind, its bounds, and what was read.
    Key(&'static str, Kind, [u128; 2], fn(&Config) -> Option<u128>),
}

#[derive(Clone, Copy)]
enum Kind {
    Count,
    Size,
    /// In milliseconds.
    Span,
}

const ANY: [u128; 2] = [0, u64::MAX as u128];
const HOUR: [u128; 2] = [0, 3_600_000];

const LINES: &[Line] = &[
    Line::Key("threads: ", Kind::Count, [1, 256], |config| match config.threads {
        config::Threads::Count(count) => Some(count as u128),
        config::Threads::Auto => None,
    }),
    Line::Fixed("hold_deleted:"),
    Line::Key("  max_bytes: ", Kind::Size, ANY, |config| Some(config.hold_deleted.max_bytes.into())),
    Line::Key("  max_age: ", Kind::Span, ANY, |config| Some(config.hold_deleted.max_age.as_millis())),
    Line::Fixed("outputs:"),
    Line::Fixed("  main:"),
    Line::Fixed("    type: file"),
    Line::Fixed("    path: /out"),
    Line::Fixed("    rotate:"),
    Line::Key("      max_bytes: ", Kind::Size, [1, ANY[1]], |config| rotate(config).map(|(bytes, _)| bytes)),
    Line::Key("      keep: ", Kind::Count, [0, 10_000], |config| rotate(config).map(|(_, keep)| keep)),
    Line::Key("    concurrency: ", Kind::Count, [1, 256], |config| {
        Some(config.outputs[0].concurrency.into())
    }),
    Line::Fixed("    batch:"),
    Line::Key("      max_bytes: ", Kind::Size, [4 << 10, 4 << 20], |config| {
        Some(config.outputs[0].batch.max_bytes as u128)
    }),
    Line::Key("      max_records: ", Kind::Count, [1, 1 << 20], |config| {
        Some(config.outputs[0].batch.max_records as u128)
    }),
    Line::Key("      max_delay: ", Kind::Span, HOUR, |config| {
        Some(config.outputs[0].batch.max_delay.as_millis())
    }),
    Line::Fixed("pipelines:"),
    Line::Fixed("  logs:"),
    Line::Fixed("    to: [main]"),
    Line::Fixed("    from:"),
    Line::Key("      max_line: ", Kind::Size, [128, 4 << 20], |config| {
        Some(config.pipelines[0].origin.limits.max_line as u128)
    }),
    Line::Key("      flush_after: ", Kind::Span, HOUR, |config| {
        Some(config.pipelines[0].origin.flush_after.as_millis())
    }),
    Line::Fixed("      start:"),
    Line::Key("        last: ", Kind::Size, ANY, |config| match config.pipelines[0].origin.start {
        Start::Last(bytes) => Some(bytes.into()),
        Start::Beginning | Start::End => None,
    }),
    Line::Fixed("      files:"),
    Line::Fixed("        paths: [/a]"),
    Line::Key("        ignore_older: ", Kind::Span, ANY, |config| {
        config.pipelines[0].origin.ignore_older.map(|age| age.as_millis())
    }),
];

fn rotate(config: &Config) -> Option<(u128, u128)> {
    match &config.outputs[0].sink {
        SinkConfig::File { rotate: Some(rotate), .. } => Some((rotate.max_bytes.into(), rotate.keep.into())),
        _ => None,
    }
}

impl Kind {
    /// What may stand behind a number, and how much it makes of one; nothing where it is a mistake.
    fn units(self) -> &'static [(&'static str, Option<u128>)] {
        match self {
            Kind::Count => &[("", Some(1)), ("", Some(1)), ("", Some(1)), ("B", None)],
            Kind::Size => &[
                ("", Some(1)),
                ("B", Some(1)),
                ("KiB", Some(1 << 10)),
                ("MiB", Some(1 << 20)),
                ("GiB", Some(1 << 30)),
                ("TiB", Some(1 << 40)),
                ("MB", None),
            ],
            Kind::Span => &[
                ("ms", Some(1)),
                ("s", Some(1_000)),
                ("m", Some(60_000)),
                ("h", Some(3_600_000)),
                ("d", Some(86_400_000)),
                ("", None),
                ("w", None),
            ],
        }
    }
}

/// A value as it is written, and what it means, if it is legal.
fn value(choices: &mut Choices<'_>, kind: Kind, [min, max]: [u128; 2]) -> (String, Option<u128>) {
    let units = kind.units();
    let (unit, factor) = units[usize::from(choices.byte()) % units.len()];
    let by = factor.unwrap_or(1);
    let number = match choices.byte() % 5 {
        0 => min.div_ceil(by),
        1 => choices.byte().into(),
        2 => choices.number() as u128,
        3 => [0; 8].map(|_: u8| choices.byte()).into_iter().fold(0, |sum, byte| sum << 8 | u128::from(byte)),
        _ => (max / by + u128::from(choices.byte() % 3)).saturating_sub(1),
    };
    let style = choices.byte();
    let blank = if style & 4 == 0 || unit.is_empty() { "" } else { " " };
    let quote = ["", "'", "\""][usize::from(style % 3)];
    let meant = factor.map(|factor| number * factor).filter(|meant| (min..=max).contains(meant));
    (format!("{quote}{number}{blank}{unit}{quote}"), meant)
}

/// Writes a configuration as `data` decides.
///
/// # Panics
/// When it is not read as it was meant.
pub(super) fn check(data: &[u8]) {
    let mut choices = Choices(data);
    let (mut text, mut meant, mut wrong) = (String::new(), Vec::new(), Vec::new());
    for (line, number) in LINES.iter().zip(1..) {
        match line {
            Line::Fixed(line) => text.push_str(line),
            Line::Key(key, kind, bounds, read) => {
                let (value, is) = value(&mut choices, *kind, *bounds);
                text.extend([*key, &value]);
                match is {
                    Some(is) => meant.push((key, is, read)),
                    None => wrong.push(number),
                }
            }
        }
        text.push('\n');
    }
    match config::parse(&[(Path::new("x.yaml"), &text)], &|_| None) {
        Ok(loaded) => {
            assert!(wrong.is_empty(), "nothing was found in the lines {wrong:?} of\n{text}");
            for (key, is, read) in meant {
                assert_eq!(read(&loaded.config), Some(is), "{key} of\n{text}");
            }
        }
        Err(problems) => {
            let told: Vec<usize> = problems.errors.iter().map(|error| error.place.line).collect();
            assert_eq!(told, wrong, "{problems}\n{text}");
        }
    }
}
