//! `ringtail collect`: files, directories or globs to standard output, once; or followed.
//!
//! Arguments are read one after the other: a file alone, a directory or a glob with the rotated siblings of its files,
//! oldest first. No positions are kept. What cannot be read is told, the rest goes on; half a CRI or docker line at the
//! end of a file, too: it is not delivered, and the collection ends as one that is not whole.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args as ClapArgs, ValueEnum};
use crossbeam_channel::Receiver;
use ringtail_config::{Origin, literal};
use ringtail_engine::{BatchLimits, Mode};
use ringtail_parse::Input;
use ringtail_read::sibling;
use ringtail_ship::SinkConfig;
use tracing::{error, warn};

use crate::collection::Collection;
use crate::config::{Config, Pipeline};
use crate::environment;
use crate::exit::Exit;
use crate::matches::{self, Matches};
use crate::no_config;
use crate::own;
use crate::progress::Progress;
use crate::signals::{self, Control};
use crate::unmatched::{Unmatched, is_glob};

/// How long what was read may take to be written after Ctrl-C.
const STOP_DEADLINE: Duration = Duration::from_secs(2);
/// Writes that fail this often end a one-off; the agent, and `--follow`, go on trying.
const MOST_RETRIES: u64 = 3;
/// How often it is looked whether there is an end: a signal, or a closed pipe.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the command line says.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Files, directories or globs, in this order.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Go on with what is written to them.
    #[arg(long, short)]
    follow: bool,
    /// The format of the files: auto, cri, docker-json or raw.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    input: Input,
    /// One JSON object a record, the message alone, or nothing.
    #[arg(long, value_name = "FORMAT", default_value = "ndjson")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Ndjson,
    Text,
    Null,
}

/// Collects what the arguments name. [`Exit::Failed`] when something of it could not be read.
pub fn main(args: &Args) -> Exit {
    let controls = match signals::listen() {
        Ok(controls) => controls,
        Err(why) => return failed(&format!("cannot catch signals: {why}")),
    };
    let targets: Vec<Result<Target, String>> =
        args.paths.iter().map(|path| Target::new(path, args.follow)).collect();
    let mut unread = 0;
    let told = |target: Result<Target, String>| {
        target.inspect_err(|why| {
            error!("{why}");
            unread += 1;
        })
    };
    let targets: Vec<Target> = targets.into_iter().map(told).filter_map(Result::ok).collect();
    let ended = match targets.is_empty() {
        true => Exit::Done,
        false => read(args, &targets, &controls),
    };
    match ended {
        Exit::Done if unread > 0 => Exit::Failed,
        ended => ended,
    }
}

/// One argument, as the pipeline that reads it.
struct Target {
    /// What was asked for, and where symlinks lead that the agent would not follow by itself: whoever names them here reads
    /// with his own rights what he chose.
    patterns: Vec<String>,
    exclude: Vec<String>,
}

impl Target {
    /// Looks at what is there. The error is a sentence that names it.
    fn new(argument: &Path, follow: bool) -> Result<Self, String> {
        let told = |why: &dyn std::fmt::Display| format!("{}: {why}", argument.display());
        match fs::metadata(argument) {
            Ok(metadata) if metadata.is_dir() => {
                fs::read_dir(argument).map_err(|error| told(&error))?;
                named(argument).and_then(|target| target.found(follow)).map_err(|error| told(&error))
            }
            Ok(metadata) if metadata.is_file() => {
                File::open(argument).map_err(|error| told(&error))?;
                let exclude = kin(argument).map_err(|error| told(&error))?;
                Ok(Target { exclude, ..named(argument).map_err(|error| told(&error))? })
            }
            Ok(_) => Err(told(&"not a regular file: FIFOs, sockets and devices are not read")),
            Err(_) if is_glob(&argument.to_string_lossy()) => {
                glob(argument, follow).map_err(|error| told(&error))
            }
            Err(error) => Err(told(&error)),
        }
    }

    fn pipeline(&self, number: usize, input: Input) -> Pipeline {
        let (paths, exclude) = (self.patterns.clone(), self.exclude.clone());
        let origin = Origin { paths, exclude, input, ..Origin::default() };
        Pipeline { name: format!("collect-{number}"), ..no_config::pipeline(origin) }
    }

    /// What it matches now, where that does not take too long to say.
    fn look(&self) -> Option<Matches> {
        matches::look(&[self.pipeline(0, Input::Auto)])
    }

    /// With where its symlinks lead; an error where there is nothing to read, unless more may come or a slow file system
    /// leaves that open.
    fn found(mut self, follow: bool) -> io::Result<Self> {
        let Some(matches) = self.look() else { return Ok(self) };
        let is_nothing = matches.of_pipeline(0) == 0 && matches.refused.is_empty();
        match (is_nothing, matches.errors.is_empty()) {
            (true, true) if follow => warn!("nothing matches {} yet", self.patterns[0]),
            (true, true) => return Err(io::Error::new(io::ErrorKind::NotFound, nothing(&matches))),
            // Who follows is told by the engine, as he is of what appears.
            (true, false) if !follow => return Err(io::Error::other(matches.errors.join("; "))),
            (true, false) | (false, _) => {}
        }
        self.patterns.extend(matches.refused.iter().map(|leads_to| literal(leads_to)));
        Ok(self)
    }
}

/// Why there is nothing to read.
fn nothing(matches: &Matches) -> String {
    match matches.unmatched.first() {
        Some((_, why @ Unmatched::Directory { has_directories: true })) => why.to_string(),
        _ => "nothing matches".to_owned(),
    }
}

/// What lies at a path, and where that leads if it is a symlink.
fn named(argument: &Path) -> io::Result<Target> {
    let mut patterns = vec![literal(&absolute(argument)?), literal(&fs::canonicalize(argument)?)];
    patterns.dedup();
    Ok(Target { patterns, exclude: Vec::new() })
}

/// The log of this file and what was rotated of it: a file alone is asked for, so they are left out. Named without
/// symlinks, since it is next to the real file that they lie.
fn kin(path: &Path) -> io::Result<Vec<String>> {
    let path = fs::canonicalize(path)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(Vec::new()) };
    let base = |name: &OsStr| match sibling(name.as_bytes()) {
        Some(sibling) => sibling.base.to_vec(),
        None => name.as_bytes().to_vec(),
    };
    let mut kin = Vec::new();
    for entry in fs::read_dir(parent)? {
        let other = entry?.file_name();
        if other != name && base(&other) == base(name) {
            kin.push(literal(&parent.join(other)));
        }
    }
    Ok(kin)
}

/// What a glob matches.
fn glob(argument: &Path, follow: bool) -> io::Result<Target> {
    let pattern = absolute(argument)?.to_string_lossy().into_owned();
    Target { patterns: vec![pattern], exclude: Vec::new() }.found(follow)
}

/// From the root, without `.` and `..`. Symlinks stay: their names are what the operator knows.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let Some(last) =
        path.components().collect::<Vec<_>>().iter().rposition(|part| *part == Component::ParentDir)
    else {
        return Ok(path);
    };
    let (above, rest): (PathBuf, PathBuf) =
        (path.components().take(last + 1).collect(), path.components().skip(last + 1).collect());
    Ok(fs::canonicalize(above)?.join(rest))
}

fn read(args: &Args, targets: &[Target], controls: &Receiver<Control>) -> Exit {
    let choice = match environment::io_choice() {
        Ok(choice) => choice,
        Err(error) => {
            failed(&format!("RINGTAIL_IO: {error}"));
            return Exit::Usage;
        }
    };
    let mode = if args.follow { Mode::Follow } else { Mode::Once };
    let mut progress = Progress::new();
    let (mut ended, mut incomplete) = (Ended::AllRead, false);
    for config in configs(args, targets) {
        // One after the other, each to its end: that is what keeps the order of the arguments.
        let collection = match Collection::start(&config, choice, mode) {
            Ok(collection) => collection,
            Err(error) => return failed(&error.to_string()),
        };
        ended = wait(&collection, controls, args.follow, &mut progress);
        collection.stop(STOP_DEADLINE);
        incomplete |= is_incomplete(&collection);
        progress.add(&collection);
        if ended != Ended::AllRead {
            break;
        }
    }
    progress.finish();
    match ended {
        Ended::Interrupted if !args.follow => Exit::Failed,
        Ended::CannotWrite(why) => failed(&format!("cannot write to standard output: {why}")),
        Ended::AllRead if incomplete => Exit::Failed,
        Ended::Interrupted | Ended::AllRead | Ended::NobodyReads => Exit::Done,
    }
}

/// One configuration an argument, or one for all where they are followed.
fn configs(args: &Args, targets: &[Target]) -> Vec<Config> {
    let mut base = no_config::to_stdout(Vec::new());
    let terminal = io::stdout().is_terminal();
    for output in &mut base.outputs {
        output.sink = match args.output {
            Output::Ndjson => SinkConfig::Stdout { text: false },
            Output::Text => SinkConfig::Stdout { text: true },
            Output::Null => SinkConfig::Null,
        };
        if !terminal && !args.follow {
            output.batch = BatchLimits::default();
        }
    }
    let pipelines = targets.iter().enumerate().map(|(number, target)| target.pipeline(number, args.input));
    let with = |pipelines: Vec<Pipeline>| {
        let mut config = Config { pipelines, ..base.clone() };
        own::leave_out(&mut config);
        config
    };
    match args.follow {
        true => vec![with(pipelines.collect())],
        false => pipelines.map(|pipeline| with(vec![pipeline])).collect(),
    }
}

/// Whether something could not be read, all of which was told: a file that does not open, a `.gz` that is cut off, a file
/// that ends in the middle of a line.
fn is_incomplete(collection: &Collection) -> bool {
    let stats = collection.engine_stats();
    // What `max_line` and `max_record` cut is marked in its record.
    let unread = |(reason, bytes): &(&str, u64)| *bytes > 0 && matches!(*reason, "truncated" | "deleted");
    stats.unreadable > 0 || stats.lost_bytes.iter().any(unread)
}

#[derive(Clone, PartialEq, Eq)]
enum Ended {
    AllRead,
    Interrupted,
    NobodyReads,
    CannotWrite(String),
}

fn wait(
    collection: &Collection,
    controls: &Receiver<Control>,
    follow: bool,
    progress: &mut Progress,
) -> Ended {
    loop {
        let looked = Instant::now();
        if collection.wait_idle(LOOK_EVERY) && !follow {
            return if collection.closed_pipe() { Ended::NobodyReads } else { Ended::AllRead };
        }
        // While it follows, it is idle most of the time.
        let left = LOOK_EVERY.saturating_sub(looked.elapsed());
        if let Ok(Control::Stop) = controls.recv_timeout(left) {
            return Ended::Interrupted;
        }
        if collection.closed_pipe() {
            return Ended::NobodyReads;
        }
        if let Some(why) = cannot_write(collection).filter(|_| !follow) {
            return Ended::CannotWrite(why);
        }
        progress.show(collection);
    }
}

/// Why standard output takes nothing, once that was tried a few times: whoever runs a one-off waits for its end.
fn cannot_write(collection: &Collection) -> Option<String> {
    let outputs = collection.shippers().stats();
    let failing = outputs.into_iter().find(|output| output.retries >= MOST_RETRIES)?;
    Some(failing.last_error?.text)
}

fn failed(why: &str) -> Exit {
    // The progress may stand in this line.
    let _ = writeln!(io::stderr().lock());
    error!("{why}");
    Exit::Failed
}
