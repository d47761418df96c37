//! `ringtail run`: the agent.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use ringtail_engine::Mode;
use ringtail_io::{DirLock, LockError};
use tracing::{error, info, warn};

use crate::admin::Admin;
use crate::collection::{Collection, Stopped};
use crate::config::{self, Config, Pipeline, Problems};
use crate::environment;
use crate::exit::Exit;
use crate::matches::{self, Matches};
use crate::no_config;
use crate::own;
use crate::signals::{self, Control};
use crate::watch::Watched;

/// How long outputs may take to answer after SIGTERM. With everything else it stays below the 30 s after which
/// Kubernetes kills.
const STOP_DEADLINE: Duration = Duration::from_secs(15);
/// How often the configuration is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the lock of `data_dir` is tried while another process has it.
const LOCK_EVERY: Duration = Duration::from_millis(200);

/// Collects until a signal ends it.
pub fn main(path: Option<&Path>) -> Exit {
    let controls = match signals::listen() {
        Ok(controls) => controls,
        Err(error) => return failed(&format!("cannot catch signals: {error}")),
    };
    let config = match path.map(load) {
        Some(Some(config)) => config,
        Some(None) => return Exit::Usage,
        None => match no_config::config() {
            Some(config) => config,
            None => {
                let places = no_config::directories().map(|dir| dir.display().to_string()).join(" nor ");
                return failed(&format!(
                    "no container logs: neither {places} can be read; run as root, or name files in a configuration (ringtail run --config FILE)"
                ));
            }
        },
    };
    match locked(&config, &controls) {
        Ok(Some(lock)) => {
            let exit = collect(path, Settings::new(config), &controls);
            drop(lock);
            exit
        }
        Ok(None) => Exit::Done,
        Err(why) => failed(&why),
    }
}

/// The configuration at `path`; nothing when it is wrong, which is told.
fn load(path: &Path) -> Option<Config> {
    match config::load(path, &environment::variable) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
            Some(loaded.config)
        }
        Err(Problems { errors, .. }) => {
            errors.iter().for_each(|problem| error!("{problem}"));
            None
        }
    }
}

/// A configuration as it was written, and as it runs: without what this process itself writes, which depends on more than
/// the configuration.
struct Settings {
    written: Config,
    running: Config,
}

impl Settings {
    fn new(written: Config) -> Self {
        let mut running = written.clone();
        own::leave_out(&mut running);
        Settings { written, running }
    }
}

/// The lock of `data_dir`, waited for while another agent has it; of nothing where there is none. `None`: a signal came
/// first.
fn locked(config: &Config, controls: &Receiver<Control>) -> Result<Option<Option<DirLock>>, String> {
    let Some(dir) = &config.data_dir else { return Ok(Some(None)) };
    let remedy = "make it writable for this user, or name another directory in `data_dir`";
    fs::create_dir_all(dir).map_err(|error| format!("data_dir {}: {error}; {remedy}", dir.display()))?;
    let mut told = false;
    loop {
        match DirLock::try_acquire(dir) {
            Ok(lock) => return Ok(Some(Some(lock))),
            Err(LockError::Held(holder)) => {
                if !std::mem::replace(&mut told, true) {
                    warn!(data_dir = %dir.display(), holder, "another agent works here; waiting until it ends");
                }
            }
            Err(LockError::Failed(error)) => {
                return Err(format!("data_dir {}: {error}; {remedy}", dir.display()));
            }
        }
        if let Ok(Control::Stop) = controls.recv_timeout(LOCK_EVERY) {
            return Ok(None);
        }
    }
}

/// Collects until a stop is asked for or the reader of standard output is gone.
fn collect(path: Option<&Path>, settings: Settings, controls: &Receiver<Control>) -> Exit {
    let config = &settings.running;
    let choice = match environment::io_choice() {
        Ok(choice) => choice,
        Err(error) => {
            failed(&format!("RINGTAIL_IO: {error}"));
            return Exit::Usage;
        }
    };
    let collection = match Collection::start(config, choice, Mode::Follow) {
        Ok(collection) => collection,
        Err(error) => return failed(&error.to_string()),
    };
    let admin = match config.admin.map(|address| (address, Admin::start(address, collection.clone()))) {
        Some((address, Err(error))) => {
            return failed(&format!(
                "admin {address}: {error}; free the address, name another one in `admin`, or write `admin: off`"
            ));
        }
        Some((_, Ok(admin))) => Some(admin),
        None => None,
    };
    announce(config, &collection, admin.as_ref());
    let keeps_positions = config.data_dir.is_some();
    follow(path, settings, &collection, controls);
    end(&collection, keeps_positions)
}

/// The one line that says what runs.
fn announce(config: &Config, collection: &Collection, admin: Option<&Admin>) {
    let matches = matches::look(&config.pipelines);
    let backend = collection.backend();
    let checkpoint = config.data_dir.as_ref().map_or("none".into(), |dir| dir.display().to_string());
    info!(
        backend = backend.name,
        reason = backend.reason,
        matched = matches::sentence(&config.pipelines, matches.as_ref()),
        checkpoint,
        admin = admin.map_or("off".into(), |admin| admin.address().to_string()),
        "ringtail {} started",
        env!("CARGO_PKG_VERSION")
    );
    // What cannot be looked at is told by the engine, which finds it too.
    matches.iter().for_each(|matches| tell_unmatched(&config.pipelines, matches));
}

/// Says which paths match nothing: a path that is no glob is perhaps mistyped.
fn tell_unmatched(pipelines: &[Pipeline], matches: &Matches) {
    for ((pipeline, path), why) in &matches.unmatched {
        let Pipeline { name, origin, .. } = &pipelines[*pipeline];
        match why.is_usual() {
            true => info!(pipeline = name, "`{}` {why}", origin.paths[*path]),
            false => warn!(pipeline = name, "`{}` {why}", origin.paths[*path]),
        }
    }
}

fn follow(
    path: Option<&Path>,
    mut settings: Settings,
    collection: &Arc<Collection>,
    controls: &Receiver<Control>,
) {
    let mut watched = path.map(Watched::new);
    loop {
        let wanted = match controls.recv_timeout(LOOK_EVERY) {
            Ok(Control::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Control::Reload) => true,
            Err(RecvTimeoutError::Timeout) => watched.as_mut().is_some_and(Watched::changed),
        };
        match path {
            Some(path) if wanted => reload(path, &mut settings, collection),
            _ => {}
        }
        if settings.running.outputs.len() == 1 && collection.closed_pipe() {
            info!("nobody reads standard output any more: ending");
            return;
        }
    }
}

/// Goes over to the configuration as it is now; where that is wrong, the old one goes on.
fn reload(path: &Path, settings: &mut Settings, collection: &Collection) {
    let Some(mut new) = load(path) else {
        error!("the configuration was not changed: {} is wrong, the one that runs goes on", path.display());
        return;
    };
    keep_fixed(&settings.written, &mut new);
    // It was found right with its own memory, and this process keeps the one it has.
    if let Some(shortage) = config::shortages(&new).first() {
        error!("the configuration was not changed, since it needs a restart: {}", shortage.message);
        return;
    }
    if new == settings.written {
        info!("the configuration was read again: nothing to change");
        return;
    }
    let new = Settings::new(new);
    match collection.apply(&settings.running, &new.running) {
        Ok(()) => {
            let old = std::mem::replace(settings, new);
            changed(&old.written, settings);
        }
        Err(error) => error!("the configuration was not changed: {error}; the one that runs goes on"),
    }
}

/// Says what runs now, and which paths of pipelines that are new match nothing.
fn changed(old: &Config, new: &Settings) {
    info!(
        pipelines = new.running.pipelines.len(),
        outputs = new.running.outputs.len(),
        "the configuration was changed"
    );
    let is_new = |written: &Pipeline| old.pipelines.iter().all(|known| known.origin != written.origin);
    let pipelines = new.written.pipelines.iter().zip(&new.running.pipelines);
    let pipelines: Vec<Pipeline> =
        pipelines.filter(|(written, _)| is_new(written)).map(|(_, running)| running.clone()).collect();
    matches::look(&pipelines).iter().for_each(|matches| tell_unmatched(&pipelines, matches));
}

/// What cannot change while the agent runs keeps its value, and is told.
fn keep_fixed(config: &Config, new: &mut Config) {
    let mut changed = Vec::new();
    let mut keep = |key: &'static str, differs: bool| {
        if differs {
            changed.push(key);
        }
    };
    keep("data_dir", new.data_dir != config.data_dir);
    keep("memory", new.memory != config.memory);
    keep("threads", new.threads != config.threads);
    keep("admin", new.admin != config.admin);
    keep("hold_deleted", new.hold_deleted != config.hold_deleted);
    if !changed.is_empty() {
        warn!("changed, and needs a restart: {}", changed.join(", "));
    }
    new.data_dir.clone_from(&config.data_dir);
    new.memory = config.memory;
    new.threads = config.threads;
    new.admin = config.admin;
    new.hold_deleted = config.hold_deleted;
}

/// Stops. What is not answered by then is no failure where positions are kept: it is delivered after the next start, and an
/// agent that is replaced while its backend is down has done what it was asked.
fn end(collection: &Collection, keeps_positions: bool) -> Exit {
    info!("stopping: reading no more, waiting at most {} s for answers", STOP_DEADLINE.as_secs());
    let Some(Stopped { engine, unanswered }) = collection.stop(STOP_DEADLINE) else { return Exit::Done };
    let future = match keeps_positions {
        true => "they come again after a start",
        false => "no positions are kept, so that they are lost",
    };
    for output in &unanswered {
        warn!(output = output.output, batches = output.batches, "not answered in time: {future}");
    }
    if !engine.positions_kept {
        return failed("the last positions could not be written: what was delivered since comes again");
    }
    let all_answered = engine.all_answered && unanswered.is_empty();
    info!(all_answered, "stopped");
    match all_answered || keeps_positions || collection.closed_pipe() {
        true => Exit::Done,
        false => Exit::Failed,
    }
}

fn failed(why: &str) -> Exit {
    error!("{why}");
    Exit::Failed
}
