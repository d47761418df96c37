//! The Go binding: its tests, with Go's race detector and its strictest check of what crosses into C, against the static library
//! and the shared one that these tests were built with.

use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest Go that the binding supports, as its go.mod says.
fn oldest() -> (u32, u32) {
    let module = fs::read_to_string(root().join("bindings/go/go.mod")).expect("go.mod");
    module.lines().find_map(|line| numbers(line.strip_prefix("go ")?)).expect("a version")
}

/// The first two numbers of a version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim().split('.').map_while(|part| part.parse().ok());
    Some((parts.next()?, parts.next()?))
}

/// Why Go's tests cannot be run here, if they cannot.
fn missing() -> Option<String> {
    let (major, minor) = oldest();
    let needed = format!("the tests of bindings/go need Go {major}.{minor}");
    let Ok(output) = Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output()
    else {
        return Some(format!("{needed}; no go is on the PATH"));
    };
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let found = version.strip_prefix("go").and_then(numbers);
    (found < Some((major, minor))).then(|| format!("{needed}; here is {version}"))
}

/// Names what was not run: in the file of `scripts/test`, or to who looks.
fn not_run(what: &str) {
    eprintln!("not run: {what}");
    if let Some(path) = env::var_os("RINGTAIL_NOT_RUN") {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the list");
        writeln!(file, "{what}").expect("a line");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// Where cargo put the libraries that this test was built with.
fn artifacts() -> PathBuf {
    env::current_exe().expect("this test").parent().expect("target/<profile>/deps").to_path_buf()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
}

/// `go`, with the header of the repository and the strictest check of what crosses into C.
fn go() -> Command {
    let mut go = Command::new("go");
    go.current_dir(root().join("bindings/go"));
    let mut flags = OsString::from("-I");
    flags.push(root().join("include"));
    // Nothing is fetched, and the sources need not be a checkout.
    go.env("CGO_CFLAGS", flags)
        .env("GOTOOLCHAIN", "local")
        .env("GOPROXY", "off")
        .env("GOFLAGS", "-buildvcs=false");
    go.env("GOEXPERIMENT", "cgocheck2");
    go
}

/// `go test`, whose results are not kept: Go does not see that a library has changed.
fn go_test() -> Command {
    let mut go = go();
    go.args(["test", "-race", "-count=1", "-timeout=300s"]);
    go
}

/// The program of README.md, in a module of its own that has the binding as README.md of the binding says.
fn build_the_example(flags: &OsString) {
    let dir = tempfile::tempdir().expect("a directory");
    let guide = fs::read_to_string(root().join("ffi/README.md")).expect("the guide");
    let (_, rest) = guide.split_once("\n```go\n").expect("a program in Go");
    let (program, _) = rest.split_once("\n```\n").expect("its end");
    let module = dir.path().join("host");
    fs::create_dir(&module).expect("a directory");
    fs::write(module.join("main.go"), format!("{program}\n")).expect("a file");
    fs::write(module.join("go.mod"), "module host\n\ngo 1.24\n").expect("a file");
    let replaced = format!("-replace=ringtail={}", root().join("bindings/go").display());
    run(go().current_dir(&module).args(["mod", "edit", "-require=ringtail@v0.0.0"]).arg(replaced));
    run(go().current_dir(&module).args(["build", "-race", "-o", "host"]).env("CGO_LDFLAGS", flags));
}

fn from_dir(option: &str, dir: &Path) -> OsString {
    let mut flags = OsString::from(option);
    flags.push(dir);
    flags
}

/// One test, so that the two do not build the same standard library at once.
#[test]
fn the_go_binding_passes_its_tests_with_the_static_and_the_shared_library() {
    if let Some(why) = missing() {
        return not_run(&why);
    }
    // Always the same, since Go remembers what it built by the flags.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    fs::create_dir_all(&dir).expect("a directory");
    run(Command::new(root().join("scripts/static-library"))
        .arg(artifacts().join("libringtail.a"))
        .arg(dir.join("libringtail.a")));
    let flags = from_dir("-L", &dir);
    run(go_test().arg("./...").env("CGO_LDFLAGS", &flags));
    build_the_example(&flags);

    if Command::new("pkg-config").arg("--version").output().is_err() {
        return not_run("bindings/go with the shared library: no pkg-config is on the PATH");
    }
    for name in ["libringtail.so", "libringtail.so.1"] {
        // What was there before may be of another build.
        let _ = fs::remove_file(dir.join(name));
        std::os::unix::fs::symlink(artifacts().join("libringtail.so"), dir.join(name)).expect("a link");
    }
    let package = format!(
        "Name: ringtail\nDescription: libringtail\nVersion: {}\nLibs: -L{} -lringtail\nCflags: -I{}\n",
        env!("CARGO_PKG_VERSION"),
        dir.display(),
        root().join("include").display(),
    );
    fs::write(dir.join("ringtail.pc"), package).expect("a file");
    // The flags again, because Go remembers without what pkg-config said.
    run(go_test()
        .args(["-tags=ringtail_dynamic", "."])
        .env("CGO_LDFLAGS", &flags)
        .env("PKG_CONFIG_PATH", &dir)
        .env("LD_LIBRARY_PATH", &dir));
}
