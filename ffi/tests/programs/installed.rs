//! What `make install` leaves, and what the documents show: used as a stranger would.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::{Linkage, Program, artifacts, root, run};

/// A prefix with the libraries of these tests.
fn installed(dir: &Path) -> PathBuf {
    let prefix = dir.join("prefix");
    run(Command::new(root().join("scripts/install-library")).arg(&prefix).arg(artifacts()));
    prefix
}

/// pkg-config, the shared library found at run time by its soname, and the static one with what `--static` adds.
#[test]
fn what_is_installed_is_found_by_pkg_config_and_cmake() {
    let dir = tempfile::tempdir().expect("a directory");
    let prefix = installed(dir.path());
    let (source, lib) = (root().join("ffi/examples/tail.c"), prefix.join("lib"));
    let flags = |options: &[&str]| {
        let mut pkg = Command::new("pkg-config");
        let out = run(pkg.env("PKG_CONFIG_PATH", lib.join("pkgconfig")).args(options).arg("ringtail"));
        out.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(flags(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    let log = dir.path().join("a.log");
    fs::write(&log, "installed\n").expect("a log");
    let expected = format!("{}: installed\n", log.display());
    for options in [["--cflags", "--libs"].as_slice(), &["--cflags", "--libs", "--static"]] {
        let program = dir.path().join("tail");
        run(Command::new("cc").arg(&source).args(flags(options)).arg("-o").arg(&program));
        let mut tail = Command::new(&program);
        assert_eq!(run(tail.env("LD_LIBRARY_PATH", &lib).arg("--once").arg(&log)), expected);
    }
    if Command::new("cmake").arg("--version").output().is_err() {
        return crate::checkers::not_run("the CMake package: there is no cmake (apt-get install cmake)");
    }
    fs::write(
        dir.path().join("CMakeLists.txt"),
        format!(
            "cmake_minimum_required(VERSION 3.16)\nproject(user C)\nfind_package(ringtail 0.1 REQUIRED)\n\
             add_executable(shared {0})\ntarget_link_libraries(shared ringtail::ringtail)\n\
             add_executable(static {0})\ntarget_link_libraries(static ringtail::ringtail_static)\n",
            source.display()
        ),
    )
    .expect("CMakeLists.txt");
    let build = dir.path().join("build");
    let mut cmake = Command::new("cmake");
    cmake.arg("-S").arg(dir.path()).arg("-B").arg(&build);
    run(cmake.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())));
    run(Command::new("cmake").arg("--build").arg(&build));
    for program in ["shared", "static"] {
        assert_eq!(run(Command::new(build.join(program)).arg("--once").arg(&log)), expected);
    }
}

#[test]
fn the_example_in_cpp_compresses_and_acknowledges() {
    let dir = tempfile::tempdir().expect("a directory");
    let pod = dir.path().join("shop_web-0_0c5f0d0e-3f0a-4b5e-9d3c-0a1b2c3d4e5f/app");
    fs::create_dir_all(&pod).expect("a directory");
    fs::write(pod.join("0.log"), "2026-01-02T03:04:05Z stdout F hello\n").expect("a log");
    let program = Program::of("../bindings/cpp/embed.cpp").linked(Linkage::Shared).build();
    let embed = || {
        let mut embed = Command::new(&program);
        embed
            .arg(dir.path().join("data"))
            .arg(dir.path().join("*_*_*/*/*.log"))
            .arg(dir.path().join("out.zst"));
        run(&mut embed)
    };
    let first = embed();
    assert!(first.contains("of pod web-0") && first.contains("1 records, "), "{first}");
    assert_eq!(&fs::read(dir.path().join("out.zst")).expect("a payload")[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    assert_eq!(embed(), "", "what was acknowledged comes once");
}

/// The fenced blocks of `language` in ffi/README.md.
fn blocks(language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("ffi/README.md")).expect("the guide");
    let blocks = text.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).map(str::to_owned).collect()
}

/// Every example of the guide is a whole program, and does what is said beside it.
#[test]
fn the_guide_s_examples_are_compiled_and_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("app.log");
    fs::write(&log, "hello\n").expect("a log");
    for (language, extension) in [("c", "c"), ("cpp", "cpp")] {
        let blocks = blocks(language);
        assert!(!blocks.is_empty(), "no example in {language}");
        for (number, block) in blocks.iter().enumerate() {
            let source = dir.path().join(format!("guide-{number}.{extension}"));
            fs::write(&source, block).expect("a source");
            let program = Program::of(&source).build();
            let out = run(Command::new(program).arg(&log));
            assert!(out.contains("hello"), "{language} example {number} printed {out:?}");
        }
    }
}
