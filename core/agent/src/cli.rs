//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::bench;
use crate::check;
use crate::collect;
use crate::demo;
use crate::doctor;
use crate::exit::Exit;
use crate::logging::{self, LogFormat, LogLevel};
use crate::process;
use crate::run;

/// Collects container logs: finds the files, follows them through rotations, delivers every record.
#[derive(Debug, Parser)]
#[command(name = "ringtail", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Clone, Copy, Debug, Args)]
pub struct Common {
    /// Give reports as JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// How much is logged to standard error.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
    /// How a log line looks: text on a terminal and JSON otherwise, or as said here.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The agent. With no configuration: every container log found here, to the terminal, from now on.
    Run {
        /// The configuration: a file, or a directory of *.yaml.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Files, directories or globs to standard output, once; or followed.
    Collect(collect::Args),
    /// Every error of a configuration, with file, line and what to write instead.
    Check {
        /// The configuration: a file, or a directory of *.yaml.
        file: PathBuf,
    },
    /// The throughput of each stage on this machine, on one core, beside memcpy and bare compression.
    Bench(bench::Args),
    /// The agent on container-like logs that it writes itself: live figures, then a verdict.
    Demo(demo::Args),
    /// What this node offers: ring, limits, paths, outputs; and what to do where it offers too little.
    Doctor {
        /// Look at what this configuration names, too.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Runs the command that the arguments of this process ask for.
pub fn main() -> ExitCode {
    // clap exits with 2 on wrong usage, with 0 after --help and --version.
    let cli = Cli::parse();
    logging::start(cli.common.log_level, cli.common.log_format);
    process::keep_to_itself();
    dispatch(cli.command, cli.common).into()
}

fn dispatch(command: Command, common: Common) -> Exit {
    match command {
        Command::Run { config } => run::main(config.as_deref()),
        Command::Collect(args) => collect::main(&args),
        Command::Bench(args) => bench::main(args, common),
        Command::Check { file } => check::main(&file, common),
        Command::Demo(args) => demo::main(&args, common),
        Command::Doctor { config } => doctor::main(config.as_deref(), common),
    }
}
