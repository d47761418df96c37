//! What was promised by earlier releases: layouts, and programs that were built with their headers.
//!
//! `ffi/abi/<major>.<minor>` holds the header and a program of that release. Those of the release in the making follow with
//! `BLESS=1`; the others are never changed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::build::{Linkage, Program, root};

fn abi() -> PathBuf {
    root().join("ffi/abi")
}

/// The directory of the release in the making.
fn present() -> PathBuf {
    let (release, _) = env!("CARGO_PKG_VERSION").rsplit_once('.').expect("major.minor.patch");
    abi().join(release)
}

fn compare(kept: &Path, now: &str) {
    if env::var_os("BLESS").is_some() {
        fs::create_dir_all(kept.parent().expect("a directory")).expect("a directory");
        fs::write(kept, now).expect("a file");
    }
    let before = fs::read_to_string(kept).unwrap_or_default();
    assert!(
        before == now,
        "{} is out of date; if what is different is only new, write it with BLESS=1",
        kept.display()
    );
}

/// A field that moves, or a structure that becomes smaller, is seen. Adding at the end changes lines, which a reviewer looks at.
#[test]
fn layouts_are_those_that_were_promised() {
    let layout = Program::c("layout").run(&[]);
    compare(&abi().join("layout.txt"), &layout);
    let header = fs::read_to_string(root().join("include/ringtail.h")).expect("the header");
    let declared = header.matches("typedef struct ringtail_").count();
    let opaque =
        header.lines().filter(|line| line.starts_with("typedef struct ") && line.ends_with(';')).count();
    assert_eq!(layout.matches(" bytes\n").count(), declared - opaque, "every structure is in layout.c");
}

#[test]
fn programs_of_every_release_run_with_this_library() {
    for name in ["ringtail.h", "tail.c"] {
        let now = root().join(if name == "tail.c" { "ffi/examples" } else { "include" }).join(name);
        compare(&present().join(name), &fs::read_to_string(now).expect("a source"));
    }
    let mut releases = 0;
    for entry in fs::read_dir(abi()).expect("the releases") {
        let dir = entry.expect("an entry").path();
        if dir.is_dir() {
            releases += 1;
            let include = format!("-I{}", dir.display());
            let program = Program::of(dir.join("tail.c")).linked(Linkage::Shared).flag(&include).build();
            let logs = tempfile::tempdir().expect("a directory");
            let log = logs.path().join("a.log");
            fs::write(&log, "old\n").expect("a log");
            let out = crate::build::run(std::process::Command::new(program).arg("--once").arg(&log));
            assert_eq!(out, format!("{}: old\n", log.display()), "{}", dir.display());
        }
    }
    assert!(releases > 0);
}
