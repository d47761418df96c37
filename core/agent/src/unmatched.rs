//! Why a path of a configuration matches nothing. Looks at the file system, and may block.

use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What there is, instead of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// A glob that matches nothing, or a directory without anything in it: usual on a new node.
    Yet,
    /// Nothing has this name, though it is no glob.
    Missing,
    /// A symlink that leads nowhere.
    Dangling,
    /// FIFO, socket or device.
    NoFile(&'static str),
    /// A directory in which there are other things, perhaps directories.
    Directory {
        /// Whether directories are among them.
        has_directories: bool,
    },
    /// A file that is left out.
    LeftOut,
    /// It cannot be looked at.
    Failed(String),
}

impl Unmatched {
    /// Looks at what is at `path`, a pattern that matches no log.
    pub fn look(path: &str) -> Self {
        if is_glob(path) {
            return Unmatched::Yet;
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => directory(Path::new(path)).unwrap_or_else(failed),
            Ok(metadata) if metadata.is_file() => Unmatched::LeftOut,
            Ok(metadata) => Unmatched::no_file(&metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => match fs::symlink_metadata(path) {
                Ok(_) => Unmatched::Dangling,
                Err(_) => Unmatched::Missing,
            },
            Err(error) => failed(error),
        }
    }

    /// What is neither a directory nor a regular file.
    pub fn no_file(metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        Unmatched::NoFile(match () {
            () if kind.is_fifo() => "a FIFO",
            () if kind.is_socket() => "a socket",
            () => "a device",
        })
    }

    /// Whether nobody need be warned: what appears is collected, and it is usual that nothing is there yet.
    pub fn is_usual(&self) -> bool {
        *self == Unmatched::Yet
    }
}

/// What follows the path in a sentence.
impl fmt::Display for Unmatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unmatched::Yet => f.write_str("matches no file now; files that appear are collected"),
            Unmatched::Missing => f.write_str("matches no file now: nothing has this name; it is collected when it appears"),
            Unmatched::Dangling => f.write_str("matches no file now: it is a symlink to nothing"),
            Unmatched::NoFile(kind) => write!(f, "is {kind}, and only regular files are read"),
            Unmatched::Directory { has_directories: true } => f.write_str(
                "is a directory without a log directly in it; to read those in its directories too, write `/**` behind it",
            ),
            Unmatched::Directory { has_directories: false } => {
                f.write_str("is a directory without a log in it; files that appear are collected")
            }
            Unmatched::LeftOut => {
                f.write_str("is left out: `exclude` names it, or this agent itself writes it")
            }
            Unmatched::Failed(why) => write!(f, "cannot be looked at: {why}"),
        }
    }
}

/// Whether a path is a pattern; one that only escapes such characters counts as one.
pub fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '[', '{', '\\'])
}

fn failed(error: io::Error) -> Unmatched {
    Unmatched::Failed(error.to_string())
}

fn directory(path: &Path) -> io::Result<Unmatched> {
    let (mut is_empty, mut has_directories) = (true, false);
    for entry in fs::read_dir(path)? {
        is_empty = false;
        has_directories |= entry?.file_type()?.is_dir();
    }
    Ok(if is_empty { Unmatched::Yet } else { Unmatched::Directory { has_directories } })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_is_there_instead_of_a_log_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let made = |name: &str| {
            fs::create_dir_all(at(name)).expect("made");
        };
        made("empty");
        made("nested/below");
        symlink("nothing", at("dangling")).expect("linked");
        fs::write(at("file"), "").expect("written");
        let _socket = UnixListener::bind(at("socket")).expect("a socket");
        let fifo = rustix::fs::Mode::from(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, fifo, 0)
            .expect("a FIFO");
        let look = |name: &str| Unmatched::look(&at(name).display().to_string());
        for (name, expected) in [
            ("*.log", Unmatched::Yet),
            ("empty", Unmatched::Yet),
            ("none", Unmatched::Missing),
            ("dangling", Unmatched::Dangling),
            ("fifo", Unmatched::NoFile("a FIFO")),
            ("socket", Unmatched::NoFile("a socket")),
            ("nested", Unmatched::Directory { has_directories: true }),
            ("file", Unmatched::LeftOut),
        ] {
            assert_eq!(look(name), expected, "{name}");
        }
        assert_eq!(Unmatched::look("/dev/null"), Unmatched::NoFile("a device"));
        assert!(matches!(look("file/below"), Unmatched::Failed(_)));
    }
}
