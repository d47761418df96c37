//! The same programs under valgrind and AddressSanitizer: no access beside, no leak.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;

use crate::backend;
use crate::build::{Linkage, Program, run};

/// Says that something cannot be checked here: see scripts/test.
pub(crate) fn not_run(what: &str) {
    if let Some(file) = std::env::var_os("RINGTAIL_NOT_RUN") {
        let file = OpenOptions::new().append(true).create(true).open(file);
        file.and_then(|mut file| writeln!(file, "{what}")).expect("the list of what was not run");
    }
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// valgrind knows no io_uring: it is the other backend's turn. It runs one thread at a time, and takes a while.
#[test]
fn valgrind_finds_nothing() {
    if !has("valgrind") {
        return not_run("the library under valgrind: there is none (apt-get install valgrind)");
    }
    for name in ["life", "files", "tailer"] {
        let dir = tempfile::tempdir().expect("a directory");
        let program = Program::c(name).linked(Linkage::Shared).build();
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--error-exitcode=99", "--leak-check=full", "--fair-sched=yes"]);
        // Not those that are only possible: Rust's hash tables are known by a pointer to their middle.
        valgrind.args(["--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
        run(valgrind.arg(program).arg(dir.path()).arg("pread"));
    }
}

/// The library's allocations are the sanitizer's, its accesses are not looked at; those of the host and the leaks of both are.
#[test]
fn the_address_sanitizer_finds_nothing() {
    for (source, arguments) in [
        ("life.c", vec![backend()]),
        ("files.c", vec![backend()]),
        ("tailer.c", vec![]),
        ("border.c", vec![backend()]),
        ("face.cpp", vec![backend()]),
    ] {
        let program = Program::of(format!("tests/programs/{source}")).linked(Linkage::Shared);
        let program = program.flag("-fsanitize=address,undefined").flag("-fno-sanitize-recover=all");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        program.run(&arguments);
    }
}
