//! The `ringtail` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringtail_agent::main()
}
