//! Logs go to standard error, never to standard output: text on a terminal, one JSON object a line otherwise.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What went wrong.
    Error,
    /// And what may go wrong.
    Warn,
    /// And what an operator wants to know.
    #[default]
    Info,
    /// And why it was done.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Off => LevelFilter::OFF,
            LogLevel::Error => Level::ERROR.into(),
            LogLevel::Warn => Level::WARN.into(),
            LogLevel::Info => Level::INFO.into(),
            LogLevel::Debug => Level::DEBUG.into(),
            LogLevel::Trace => Level::TRACE.into(),
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sets up logging for the process. Called once, before anything is logged.
pub fn start(level: LogLevel, format: LogFormat) {
    let terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let log = tracing_subscriber::fmt().with_max_level(level.filter()).with_writer(io::stderr);
    // A second call finds the first one's subscriber in place, which is as good.
    let _ = match json {
        true => log.json().flatten_event(true).with_target(false).try_init(),
        false => log.with_target(false).with_ansi(terminal).try_init(),
    };
}
