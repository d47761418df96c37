//! The `ringtail` program that the harness's own test measures: the same `main` as the one that is delivered.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringtail_agent::main()
}
