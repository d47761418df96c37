//! The `ringtail` binary as a library: the command line, the configuration, and the wiring of the other crates.
//!
//! The only crate that reads the environment. Never here: reading log files, parsing, encoding, delivering.

pub mod admin;
pub mod bench;
pub mod check;
pub mod cli;
pub mod collect;
pub mod collection;
pub mod config;
pub mod cores;
pub mod demo;
pub mod doctor;
pub mod environment;
pub mod exit;
pub mod logging;
pub mod matches;
pub mod metrics;
pub mod no_config;
pub mod own;
pub mod process;
pub mod progress;
pub mod run;
pub mod signals;
pub mod unmatched;
pub mod watch;
pub mod wiring;

pub use cli::main;
