//! One measurement: a collector in one of its ways, on one set of log files, from its start to its end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use tempfile::TempDir;

use crate::inputs::Inputs;
use crate::load::Load;
use crate::process::{Cores, Subject};
use crate::received::{self, Progress};
use crate::rival::{Done, Sink, Way, fill};
use crate::sink::HttpSink;
use crate::tally::Verdict;

/// How often it is looked whether a collector is done.
const LOOK: Duration = Duration::from_millis(5);
/// How long a collector is left alone before its idle cost is measured.
const SETTLE: Duration = Duration::from_secs(5);

/// What is the same for all collectors.
#[derive(Clone, Copy)]
pub(crate) struct Conditions<'a> {
    /// Where each run gets a directory of its own.
    pub(crate) work: &'a Path,
    pub(crate) cores: Cores,
    /// A collector that delivers nothing for this long is not waited for.
    pub(crate) patience: Duration,
}

/// What one run took.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Delivery {
    /// In the kernel's steps, of 10 ms.
    pub(crate) cpu_s: f64,
    /// From its start until everything had arrived.
    pub(crate) wall_s: f64,
    pub(crate) peak_mib: f64,
    /// What programs that are not part of the comparison took of all processors meanwhile.
    pub(crate) others_percent: f64,
    pub(crate) verdict: Verdict,
    /// Why it is not right, where the count does not say it.
    pub(crate) failure: Option<String>,
}

/// What a collector takes while nothing happens.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Idle {
    /// Of one processor.
    pub(crate) cpu_percent: f64,
    pub(crate) resident_mib: f64,
    pub(crate) failure: Option<String>,
}

/// A run that has begun.
struct Run<'a> {
    way: &'a Way,
    inputs: &'a Inputs,
    conditions: Conditions<'a>,
    subject: Subject,
    began: Instant,
    output: PathBuf,
    progress: Progress,
    sink: Option<HttpSink>,
    /// Removed with everything in it when the run is over.
    _dir: TempDir,
}

/// Has `program` deliver `inputs` in this way, and counts what arrived.
pub(crate) fn deliver(
    way: &Way,
    program: &Path,
    inputs: &Inputs,
    conditions: Conditions<'_>,
) -> io::Result<Delivery> {
    let load = Load::begin()?;
    let mut run = Run::start(way, program, inputs, conditions)?;
    let wall_s = run.wait()?;
    let (output, printed) = (run.output.clone(), run.subject.printed());
    let Run { subject, _dir, sink, .. } = run;
    let ended = subject.end()?;
    let others_percent = load.others_percent(ended.cpu_s)?;
    drop(sink);
    let verdict = received::verdict(&output, &way.records, &inputs.written)?;
    let failure = (!ended.well || !verdict.is_right())
        .then(|| format!("{}{}{printed}", ended.how, if printed.is_empty() { "" } else { ": " }));
    Ok(Delivery { cpu_s: ended.cpu_s, wall_s, peak_mib: ended.peak_mib, others_percent, verdict, failure })
}

/// What `program` takes once it has delivered `inputs` and nothing more is written, over `time`.
pub(crate) fn idle(
    way: &Way,
    program: &Path,
    inputs: &Inputs,
    time: Duration,
    conditions: Conditions<'_>,
) -> io::Result<Idle> {
    let mut run = Run::start(way, program, inputs, conditions)?;
    run.wait()?;
    thread::sleep(SETTLE);
    let (cpu, began) = (run.subject.cpu_s(), Instant::now());
    thread::sleep(time);
    let cpu_percent = 100.0 * (run.subject.cpu_s() - cpu) / began.elapsed().as_secs_f64();
    let (resident_mib, runs) = (run.subject.resident_mib(), run.subject.runs());
    let output = run.output.clone();
    let Run { subject, _dir, .. } = run;
    let ended = subject.end()?;
    let verdict = received::verdict(&output, &way.records, &inputs.written)?;
    let failure = match (runs && ended.well, verdict.is_right()) {
        (false, _) => Some(ended.how),
        (true, false) => Some(format!("{verdict:?}")),
        (true, true) => None,
    };
    Ok(Idle { cpu_percent, resident_mib, failure })
}

impl<'a> Run<'a> {
    fn start(
        way: &'a Way,
        program: &Path,
        inputs: &'a Inputs,
        conditions: Conditions<'a>,
    ) -> io::Result<Self> {
        inputs.warm()?;
        let dir = TempDir::with_prefix_in("run-", conditions.work)?;
        let output = dir.path().join("output");
        let state = dir.path().join("dir");
        fs::create_dir_all(&output)?;
        fs::create_dir_all(&state)?;
        let sink = (way.sink == Sink::Http).then(|| HttpSink::start(&output)).transpose()?;
        let port = sink.as_ref().map_or_else(String::new, |sink| sink.port().to_string());
        let url = format!("http://127.0.0.1:{port}");
        let text = |path: &Path| path.display().to_string();
        let glob = inputs.glob();
        let values = [
            ("program", &*text(program)),
            ("dir", &text(&state)),
            ("output", &text(&output)),
            ("glob", &glob),
            ("root", &text(inputs.root())),
            ("url", &url),
            ("host", "127.0.0.1"),
            ("port", &port),
        ];
        for (name, content) in &way.files {
            fs::write(state.join(name), fill(content, &values))?;
        }
        let command: Vec<String> = way.start.iter().map(|word| fill(word, &values)).collect();
        let env = way.env.iter().map(|(name, value)| (name.clone(), fill(value, &values))).collect();
        let began = Instant::now();
        let subject = Subject::start(&command, &env, &state, conditions.cores)?;
        let progress = Progress::of(&output);
        Ok(Run { way, inputs, conditions, subject, began, output, progress, sink, _dir: dir })
    }

    /// Waits until it is done, has ended, or has delivered nothing for too long. The seconds until the last delivery.
    fn wait(&mut self) -> io::Result<f64> {
        let wanted = self.inputs.written.total();
        let (mut last, mut came) = (0, self.began);
        loop {
            // Asked first: what it delivered before it ended is then counted.
            let runs = self.subject.runs();
            let count = match &self.sink {
                Some(sink) => sink.count(),
                None => self.progress.count()?,
            };
            if count > last {
                (last, came) = (count, Instant::now());
            }
            let done = count >= wanted && self.way.done == Done::Count;
            if done || !runs || came.elapsed() > self.conditions.patience {
                return Ok(came.duration_since(self.began).as_secs_f64());
            }
            thread::sleep(LOOK);
        }
    }
}
