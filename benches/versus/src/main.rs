//! Collectors side by side: the same generated log files, warm, one collector at a time on a processor of its own;
//! CPU seconds, speed, memory, idle cost; and every record counted, so that a wrong but fast collector fails.
//!
//! Collectors are files in `rivals/`; those whose program is found on the PATH take part. Nothing is downloaded or
//! built. What is written: `versus.md`, `versus.svg` and `versus.json` below `--record`/<machine>/<date>.

mod chart;
mod inputs;
mod load;
mod machine;
mod measure;
mod process;
mod received;
mod record;
mod rival;
mod sink;
mod tally;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use inputs::{Format, Inputs};
use machine::Machine;
use measure::{Conditions, Delivery};
use process::Cores;
use record::{Collector, IdleRow, IdleSection, Record, Row, Section};
use rival::{Done, Rival, Sink, Way};

/// Compares log collectors: the same inputs, the same measurements, every record counted.
#[derive(Debug, Parser)]
struct Options {
    /// Collectors, a file each.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/rivals"))]
    rivals: PathBuf,
    /// Only these, by name.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these inputs.
    #[arg(long, value_name = "INPUT", value_delimiter = ',', default_values_t = [Format::Cri, Format::DockerJson, Format::CriPartials])]
    inputs: Vec<Format>,
    /// Size of each input, over all its files.
    #[arg(long, default_value_t = 256)]
    mb: usize,
    /// Log files of each input.
    #[arg(long, default_value_t = 10)]
    files: usize,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Log files for the idle cost; 0 leaves it out.
    #[arg(long, default_value_t = 1000)]
    idle_files: usize,
    /// How long the idle cost is measured.
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    idle: u64,
    /// A collector that delivers nothing for this long is not waited for.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    patience: u64,
    /// Where inputs and outputs lie while it runs: on a disk, below directories in which nobody else makes files, since
    /// there are collectors that watch them all (rsyslog then looks through the whole tree).
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    work: PathBuf,
    /// Where the results are written.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../record"))]
    record: PathBuf,
}

/// A collector whose program is there.
struct Participant {
    rival: Rival,
    program: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match compare(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringtail-versus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), String> {
    let (participants, collectors) = participants(options)?;
    let text = |error: io::Error| error.to_string();
    let work = tempfile::tempdir_in(&options.work).map_err(text)?;
    let cores = Cores::divide().map_err(text)?;
    let conditions = Conditions { work: work.path(), cores, patience: Duration::from_secs(options.patience) };
    let mut record = Record {
        machine: Machine::this(),
        date: machine::today(),
        command: std::env::args().skip(1).fold("make versus".to_owned(), |all, arg| all + " " + &arg),
        rounds: options.rounds,
        shared_processor: cores.shared,
        collectors,
        sections: Vec::new(),
        idle: None,
    };
    for format in &options.inputs {
        record.sections.extend(input(*format, options, &participants, conditions).map_err(text)?);
    }
    if options.idle_files > 0 {
        record.idle = Some(idle(options, &participants, conditions).map_err(text)?);
    }
    write(&record, &options.record).map_err(text)
}

/// Who takes part, and a list of all.
fn participants(options: &Options) -> Result<(Vec<Participant>, Vec<Collector>), String> {
    let mut rivals = Rival::read_all(&options.rivals)?;
    if let Some(unknown) = options.only.iter().find(|name| rivals.iter().all(|rival| rival.name != **name)) {
        return Err(format!("{}: no collector is named {unknown:?}", options.rivals.display()));
    }
    rivals.retain(|rival| options.only.is_empty() || options.only.contains(&rival.name));
    let (mut participants, mut collectors) = (Vec::new(), Vec::new());
    for rival in rivals {
        let program = rival.find();
        let version = program.as_ref().map(|program| rival.version(program));
        eprintln!("{}: {}", rival.name, version.as_deref().unwrap_or("not on this machine"));
        collectors.push(Collector { name: rival.name.clone(), version });
        participants.extend(program.map(|program| Participant { rival, program }));
    }
    Ok((participants, collectors))
}

/// All collectors on one input, to each kind of sink.
fn input(
    format: Format,
    options: &Options,
    participants: &[Participant],
    conditions: Conditions<'_>,
) -> io::Result<Vec<Section>> {
    let dir = tempfile::tempdir_in(conditions.work)?;
    let inputs = Inputs::make(dir.path(), format, options.files, options.mb * 1_000_000)?;
    let mut sections = Vec::new();
    for sink in Sink::ALL {
        let mut section = Section {
            input: format,
            sink,
            files: options.files,
            bytes: inputs.bytes,
            records: inputs.written.total(),
            rows: Vec::new(),
        };
        let wanted = |way: &Way| way.sink == sink && way.inputs.contains(&format);
        let ways: Vec<_> = ways(participants, wanted).collect();
        section.rows.extend(ways.iter().map(|(participant, way)| Row::of(&participant.rival, way)));
        // One round of each, then the next of each: what else the machine does meets all of them.
        for _ in 0..options.rounds {
            for ((participant, way), row) in ways.iter().zip(&mut section.rows) {
                row.rounds.push(round(participant, way, &inputs, conditions)?);
            }
        }
        sections.extend((!section.rows.is_empty()).then_some(section));
    }
    Ok(sections)
}

fn ways<'a>(
    participants: &'a [Participant],
    wanted: impl Fn(&Way) -> bool + 'a,
) -> impl Iterator<Item = (&'a Participant, &'a Way)> {
    let all = participants.iter().flat_map(|one| one.rival.ways.iter().map(move |way| (one, way)));
    all.filter(move |(_, way)| wanted(way))
}

fn round(
    participant: &Participant,
    way: &Way,
    inputs: &Inputs,
    conditions: Conditions<'_>,
) -> io::Result<Delivery> {
    let round = measure::deliver(way, &participant.program, inputs, conditions)?;
    eprintln!(
        "{}, {}, {}: {:.2} s CPU, {:.2} s, {:.0} MiB, others {:.0}%, {:?}{}",
        participant.rival.name,
        way.title,
        inputs.format().name(),
        round.cpu_s,
        round.wall_s,
        round.peak_mib,
        round.others_percent,
        round.verdict,
        round.failure.as_ref().map_or_else(String::new, |why| format!("\n  failed: {why}"))
    );
    Ok(round)
}

/// The idle cost of each collector's ways to the first sink that it has.
fn idle(
    options: &Options,
    participants: &[Participant],
    conditions: Conditions<'_>,
) -> io::Result<IdleSection> {
    /// A few screens of each.
    const FILE_BYTES: usize = 5_000;
    let dir = tempfile::tempdir_in(conditions.work)?;
    let files = options.idle_files;
    let inputs = Inputs::make(dir.path(), Format::Cri, files, files * FILE_BYTES)?;
    let time = Duration::from_secs(options.idle);
    let mut rows = Vec::new();
    for participant in participants {
        let follows = |way: &&Way| way.inputs.contains(&Format::Cri) && way.done == Done::Count;
        let all = || participant.rival.ways.iter().filter(follows);
        let Some(sink) = Sink::ALL.into_iter().find(|sink| all().any(|way| way.sink == *sink)) else {
            continue;
        };
        for way in all().filter(|way| way.sink == sink) {
            let idle = measure::idle(way, &participant.program, &inputs, time, conditions)?;
            eprintln!("{}, {}, idle: {idle:?}", participant.rival.name, way.title);
            rows.push(IdleRow { collector: participant.rival.name.clone(), way: way.title.clone(), idle });
        }
    }
    Ok(IdleSection { files, seconds: options.idle, rows })
}

fn write(record: &Record, below: &Path) -> io::Result<()> {
    let dir = below.join(record.machine.slug()).join(&record.date);
    fs::create_dir_all(&dir)?;
    let tables = record.tables();
    fs::write(dir.join("versus.md"), &tables)?;
    fs::write(dir.join("versus.svg"), chart::svg(record))?;
    fs::write(dir.join("versus.json"), serde_json::to_string_pretty(record).map_err(io::Error::other)?)?;
    println!("{tables}");
    Ok(())
}
