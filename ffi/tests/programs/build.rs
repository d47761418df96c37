#![allow(unreachable_pub, reason = "a module of tests")]
//! Building and running C and C++ programs.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

/// The programs that this process has built or is building, with their sources.
static BUILT: LazyLock<Mutex<HashMap<PathBuf, Arc<OnceLock<PathBuf>>>>> = LazyLock::new(Mutex::default);

/// How a program has the library.
#[derive(Clone, Copy, Debug)]
pub enum Linkage {
    Shared,
    Static,
}

impl Linkage {
    pub const ALL: [Linkage; 2] = [Linkage::Shared, Linkage::Static];
}

/// A source of this directory on its way to a program.
#[derive(Clone)]
pub struct Program {
    source: PathBuf,
    linkage: Linkage,
    flags: Vec<String>,
}

/// No warning is let pass, by any of the compilers.
const WARNINGS: [&str; 10] = [
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Werror",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wshadow",
    "-Wundef",
    "-Wcast-align",
    "-Wwrite-strings",
];

/// What the static library needs besides, as README.md says.
const NATIVE: [&str; 4] = ["-lgcc_s", "-lpthread", "-ldl", "-lm"];

impl Program {
    /// `<name>.c` of this directory, as C11.
    pub fn c(name: &str) -> Self {
        Program::of(Path::new("tests/programs").join(name).with_extension("c"))
    }

    /// The source at `path` in the crate.
    pub fn of(path: impl AsRef<Path>) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        Program { source, linkage: Linkage::Shared, flags: Vec::new() }
    }

    pub fn linked(mut self, linkage: Linkage) -> Self {
        self.linkage = linkage;
        self
    }

    #[allow(dead_code, reason = "not by every test")]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Builds it, once for all tests that want it; where the program is.
    ///
    /// Several tests run one program at the same time, and what a linker has open for writing cannot be run (ETXTBSY): it writes
    /// under another name, and what stands under the program's own is whole and never written again.
    pub fn build(&self) -> PathBuf {
        let file = self.source.file_name().unwrap_or_default().to_string_lossy();
        let name: String = format!("{file}-{:?}{}", self.linkage, self.flags.join(""))
            .chars()
            .map(|char| if char.is_ascii_alphanumeric() { char } else { '-' })
            .collect();
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let built =
            BUILT.lock().unwrap_or_else(PoisonError::into_inner).entry(out.clone()).or_default().clone();
        let source = built.get_or_init(|| {
            let unfinished = out.with_extension(std::process::id().to_string());
            self.compile(&unfinished);
            fs::rename(&unfinished, &out).expect("in its place, at once");
            self.source.clone()
        });
        assert_eq!(source, &self.source, "two sources want to be {}", out.display());
        out
    }

    /// Has the compiler write the program to `out`.
    fn compile(&self, out: &Path) {
        let is_c = self.source.extension().is_some_and(|extension| extension == "c");
        let (variable, usual, standard) =
            if is_c { ("CC", "cc", "-std=c11") } else { ("CXX", "c++", "-std=c++17") };
        let mut command = Command::new(env::var(variable).unwrap_or_else(|_| usual.into()));
        command.args([standard, "-g", "-O1"]).args(WARNINGS).args(&self.flags);
        command.arg("-I").arg(root().join("include")).arg(&self.source).arg("-o").arg(out);
        match self.linkage {
            Linkage::Shared => {
                let dir = shared();
                command.arg("-L").arg(&dir).arg("-lringtail");
                command.arg(format!("-Wl,-rpath,{}", dir.display()));
            }
            Linkage::Static => {
                // As it is installed; small, too: without what a debugger wants to know.
                command.arg(crate::artifacts::static_library()).args(NATIVE);
            }
        }
        let output =
            command.arg("-lpthread").output().expect("a C and a C++ compiler; scripts/setup installs them");
        assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Builds and runs it in a directory of its own; what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let dir = tempfile::tempdir().expect("a directory");
        run(Command::new(self.build()).arg(dir.path()).args(arguments))
    }
}

/// Runs a program that must succeed; what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// Where cargo put the libraries that these tests were built with.
pub fn artifacts() -> PathBuf {
    let test = env::current_exe().expect("this test");
    test.parent().expect("target/<profile>/deps").to_path_buf()
}

/// A directory with the shared library under the names that a linker and a loader look for.
fn shared() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lib");
    fs::create_dir_all(&dir).expect("a directory");
    for name in ["libringtail.so", "libringtail.so.1"] {
        let link = dir.join(name);
        let target = artifacts().join("libringtail.so");
        if fs::read_link(&link).ok().as_deref() != Some(&target) {
            let temporary =
                dir.join(format!(".{name}.{}-{:?}", std::process::id(), std::thread::current().id()));
            std::os::unix::fs::symlink(&target, &temporary).expect("a link");
            fs::rename(&temporary, &link).expect("in its place, at once");
        }
    }
    dir
}
