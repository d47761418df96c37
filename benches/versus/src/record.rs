//! A comparison's results: measured, kept as JSON, shown as a table. What is wrong has no figures: it failed.

use std::fmt::Write;

use serde::Serialize;

use crate::inputs::Format;
use crate::machine::Machine;
use crate::measure::{Delivery, Idle};
use crate::rival::{Rival, Sink, Way};

/// One comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    pub(crate) machine: Machine,
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) rounds: usize,
    /// Of collectors that share the one processor with what feeds and counts them.
    pub(crate) shared_processor: bool,
    pub(crate) collectors: Vec<Collector>,
    pub(crate) sections: Vec<Section>,
    pub(crate) idle: Option<IdleSection>,
}

/// Who took part, and who could not.
#[derive(Debug, Serialize)]
pub(crate) struct Collector {
    pub(crate) name: String,
    /// `None` where no program was found.
    pub(crate) version: Option<String>,
}

/// Collectors on the same input to the same kind of sink.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) input: Format,
    pub(crate) sink: Sink,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) rows: Vec<Row>,
}

/// One collector's rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) collector: String,
    pub(crate) way: String,
    pub(crate) rounds: Vec<Delivery>,
}

/// The cost of following files to which nothing is written.
#[derive(Debug, Serialize)]
pub(crate) struct IdleSection {
    pub(crate) files: usize,
    pub(crate) seconds: u64,
    pub(crate) rows: Vec<IdleRow>,
}

#[derive(Debug, Serialize)]
pub(crate) struct IdleRow {
    pub(crate) collector: String,
    pub(crate) way: String,
    pub(crate) idle: Idle,
}

/// A row's medians, for what is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) cpu_s_per_gb: f64,
    pub(crate) mb_per_s: f64,
    pub(crate) peak_mib: f64,
    pub(crate) others_percent: f64,
    pub(crate) disordered: u64,
}

impl Row {
    /// No round yet.
    pub(crate) fn of(rival: &Rival, way: &Way) -> Self {
        Row { collector: rival.name.clone(), way: way.title.clone(), rounds: Vec::new() }
    }

    /// The medians of the rounds.
    ///
    /// # Errors
    /// What was wrong in the first round that was.
    pub(crate) fn figures(&self, bytes: u64) -> Result<Figures, String> {
        let wrong = |round: &&Delivery| round.failure.is_some() || !round.verdict.is_right();
        if let Some(round) = self.rounds.iter().find(wrong) {
            return Err(failure(round));
        }
        let middle = |figure: fn(&Delivery) -> f64| median(self.rounds.iter().map(figure));
        let bytes = bytes as f64;
        Ok(Figures {
            cpu_s_per_gb: middle(|round| round.cpu_s) * 1e9 / bytes,
            mb_per_s: bytes / 1e6 / middle(|round| round.wall_s),
            peak_mib: middle(|round| round.peak_mib),
            others_percent: middle(|round| round.others_percent),
            disordered: self.rounds.iter().map(|round| round.verdict.disordered).max().unwrap_or(0),
        })
    }
}

/// The middle one, the larger of the two in the middle; 0 of none.
fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// In a few words: the count if that is wrong, or how it ended.
fn failure(round: &Delivery) -> String {
    let verdict = &round.verdict;
    let counts = [("lost", verdict.lost), ("repeated", verdict.repeated), ("malformed", verdict.malformed)];
    let wrong: Vec<String> =
        counts.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{what} {n}")).collect();
    match &round.failure {
        Some(how) if wrong.is_empty() => first_line(how).to_owned(),
        _ => format!("{} of {}", wrong.join(", "), verdict.written),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

impl Section {
    pub(crate) fn title(&self) -> String {
        let sink = match self.sink {
            Sink::File => "to files",
            Sink::Http => "to HTTP",
        };
        let (input, mb) = (self.input.name(), self.bytes as f64 / 1e6);
        format!("{input}, {} files of {mb:.0} MB together, {} records, {sink}", self.files, self.records)
    }

    /// The rows that are right, fewest CPU seconds first.
    pub(crate) fn right(&self) -> Vec<(&Row, Figures)> {
        let mut right: Vec<(&Row, Figures)> =
            self.rows.iter().filter_map(|row| Some((row, row.figures(self.bytes).ok()?))).collect();
        right.sort_by(|(_, a), (_, b)| a.cpu_s_per_gb.total_cmp(&b.cpu_s_per_gb));
        right
    }

    /// The rows that are not, and why.
    pub(crate) fn wrong(&self) -> Vec<(&Row, String)> {
        self.rows.iter().filter_map(|row| Some((row, row.figures(self.bytes).err()?))).collect()
    }
}

impl Record {
    /// What others took of all processors in the median round.
    pub(crate) fn others_percent(&self) -> f64 {
        let rows = self.sections.iter().flat_map(|section| &section.rows);
        median(rows.flat_map(|row| &row.rounds).map(|round| round.others_percent))
    }

    /// The tables, as markdown.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("memory");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Machine { processor, cores, kernel } = &self.machine;
        writeln!(text, "# Collectors side by side, {}\n", self.date)?;
        writeln!(text, "{processor}, {cores} cores, Linux {kernel}; `{}`.\n", self.command)?;
        let processor = match self.shared_processor {
            true => "the only processor, with what feeds and counts it",
            false => "a processor that nothing else of this uses",
        };
        writeln!(
            text,
            concat!(
                "Each collector ran by itself, held to {}, on the same log files from a warm page cache, read from their ",
                "beginning. Medians of {} rounds; CPU is that of its whole life, kernel included, per GB of log ",
                "files; MB/s is from its start until the last record had arrived; every record was counted and ",
                "compared. What was lost, repeated or malformed is a failure and has no figures. Others: what programs ",
                "that are no part of this took of all processors meanwhile."
            ),
            processor, self.rounds
        )?;
        for section in &self.sections {
            section.write(text)?;
        }
        if let Some(idle) = &self.idle {
            idle.write(text)?;
        }
        writeln!(text, "\n| collector | version |\n|---|---|")?;
        for Collector { name, version } in &self.collectors {
            writeln!(text, "| {name} | {} |", version.as_deref().unwrap_or("not on this machine"))?;
        }
        Ok(())
    }
}

impl Section {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n## {}\n", self.title())?;
        writeln!(
            text,
            "| collector | CPU s per GB | times the least | MB/s | peak memory | records | others |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|---|")?;
        let right = self.right();
        let least = right.first().map_or(1.0, |(_, figures)| figures.cpu_s_per_gb);
        for (row, figures) in &right {
            let order = match figures.disordered {
                0 => "all".to_owned(),
                n => format!("all, {n} out of order"),
            };
            writeln!(
                text,
                "| {}, {} | {:.2} | {:.1} | {:.0} | {:.0} MiB | {order} | {:.0}% |",
                row.collector,
                row.way,
                figures.cpu_s_per_gb,
                figures.cpu_s_per_gb / least,
                figures.mb_per_s,
                figures.peak_mib,
                figures.others_percent
            )?;
        }
        for (row, why) in self.wrong() {
            writeln!(text, "| {}, {} | failed | | | | {why} | |", row.collector, row.way)?;
        }
        Ok(())
    }
}

impl IdleSection {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let IdleSection { files, seconds, rows } = self;
        writeln!(text, "\n## Idle: {files} files, all delivered, nothing written for {seconds} s\n")?;
        writeln!(text, "| collector | CPU, % of one processor | resident memory |\n|---|---|---|")?;
        for IdleRow { collector, way, idle } in rows {
            match &idle.failure {
                None => writeln!(
                    text,
                    "| {collector}, {way} | {:.2} | {:.0} MiB |",
                    idle.cpu_percent, idle.resident_mib
                )?,
                Some(why) => writeln!(text, "| {collector}, {way} | failed | {} |", first_line(why))?,
            }
        }
        Ok(())
    }
}
