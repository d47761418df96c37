//! Where logs are read, where positions lie, and where records go.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringtail_ship::SinkConfig;
use url::Url;

use super::Finding;
use crate::config::{Config, Output, Pipeline};
use crate::matches;
use crate::no_config;
use crate::unmatched::{Unmatched, is_glob};

/// How long an output may take to accept a connection, for each of its addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where runtimes leave logs, for a node that has no configuration yet.
pub(super) fn usual() -> Vec<Finding> {
    let remedy = "mount it, or run as a user who may read it; or name other files in a configuration";
    let look = |dir: &Path| match readable(dir) {
        Ok(()) => Finding::ok("logs", format!("{} can be read", dir.display())),
        Err(error) => Finding::warn("logs", format!("{}: {error}", dir.display()), remedy),
    };
    let found: Vec<Finding> = no_config::directories().iter().map(|dir| look(dir)).collect();
    // One runtime is enough: the others' directories are not missed.
    match found.iter().any(|finding| finding.remedy.is_none()) {
        true => found.into_iter().filter(|finding| finding.remedy.is_none()).collect(),
        false => found,
    }
}

/// What a configuration names.
pub(super) fn configured(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> = config.data_dir.iter().map(|dir| data_dir(dir)).collect();
    findings.extend(config.pipelines.iter().flat_map(pipeline));
    let matches = matches::look(&config.pipelines).unwrap_or_default();
    findings.extend(matches.errors.into_iter().map(unreadable));
    findings.extend(config.outputs.iter().map(output));
    findings
}

/// A probe file says more than permission bits: the file system may be read-only or full.
fn data_dir(dir: &Path) -> Finding {
    let probe = dir.join(format!(".doctor-{}", std::process::id()));
    let tried = fs::create_dir_all(dir).and_then(|()| File::create(&probe)).and_then(|file| file.sync_all());
    let _ = fs::remove_file(&probe);
    match tried {
        Ok(()) => Finding::ok("data_dir", format!("{} can be written", dir.display())),
        Err(error) => Finding::fail(
            "data_dir",
            format!("{}: {error}", dir.display()),
            "make it writable for this user, or name another directory",
        ),
    }
}

fn pipeline(pipeline: &Pipeline) -> Vec<Finding> {
    let name = || format!("pipeline {}", pipeline.name);
    let look = |path: &String| {
        let root = fixed_part(path);
        let looked_at = root.clone();
        match matches::patiently(move || readable(&looked_at)) {
            None => Finding::warn(
                name(),
                format!("{}: its file system does not answer", root.display()),
                "look after the mount; other files are collected all the same",
            ),
            Some(Ok(())) => Finding::ok(name(), format!("{} can be read", root.display())),
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => Finding::warn(
                name(),
                format!("{} is not there", root.display()),
                "nothing, if it is to come; otherwise mount it or correct `paths`",
            ),
            Some(Err(error)) if error.kind() == ErrorKind::InvalidInput => {
                Finding::warn(name(), format!("{} {error}", root.display()), "correct `paths`")
            }
            Some(Err(error)) => Finding::fail(
                name(),
                format!("{}: {error}", root.display()),
                "run as a user who may read it, or grant CAP_DAC_READ_SEARCH",
            ),
        }
    };
    pipeline.origin.paths.iter().map(look).collect()
}

/// Something that a pattern matches and that is not read.
fn unreadable(error: String) -> Finding {
    let remedy = "grant CAP_DAC_READ_SEARCH where the rights are missing; name a symlink's target in `paths` to follow it";
    Finding::warn("logs", error, remedy)
}

/// The directories before the first wildcard, or the whole path where there is none.
fn fixed_part(pattern: &str) -> PathBuf {
    let fixed: PathBuf =
        pattern.split('/').take_while(|part| !is_glob(part)).filter(|part| !part.is_empty()).collect();
    Path::new("/").join(fixed)
}

/// `InvalidInput` where there is neither a directory nor a regular file: opening a FIFO would wait for somebody who writes.
fn readable(path: &Path) -> io::Result<()> {
    match fs::metadata(path)? {
        metadata if metadata.is_dir() => fs::read_dir(path).map(drop),
        metadata if metadata.is_file() => File::open(path).map(drop),
        metadata => Err(io::Error::new(ErrorKind::InvalidInput, Unmatched::no_file(&metadata).to_string())),
    }
}

fn output(output: &Output) -> Finding {
    let name = format!("output {}", output.name);
    match &output.sink {
        SinkConfig::Null => Finding::ok(name, "nowhere"),
        SinkConfig::Stdout { .. } => Finding::ok(name, "standard output"),
        SinkConfig::File { path, .. } => file(name, path),
        SinkConfig::Http { url, .. } => match Url::parse(url) {
            Ok(url) => http(name, &url),
            Err(error) => Finding::fail(name, error.to_string(), "correct `url`"),
        },
    }
}

/// Opens for appending without creating; where the file is missing, its directory must be there or be made.
fn file(name: String, path: &Path) -> Finding {
    let tried = match OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => writable_above(path),
        tried => tried.map(drop),
    };
    match tried {
        Ok(()) => Finding::ok(name, format!("{} can be written", path.display())),
        Err(error) => Finding::fail(
            name,
            format!("{}: {error}", path.display()),
            "make it writable for this user, or name another path",
        ),
    }
}

/// Whether the nearest directory above that exists lets this process make entries.
fn writable_above(path: &Path) -> io::Result<()> {
    let exists = |dir: &&Path| dir.is_dir();
    let dir = path.ancestors().skip(1).find(exists).unwrap_or(Path::new("/"));
    let probe = dir.join(format!(".ringtail-doctor-{}", std::process::id()));
    File::create(&probe)?;
    fs::remove_file(probe)
}

/// A connection and nothing more: a request would be a record.
fn http(name: String, url: &Url) -> Finding {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(443);
    let shown = format!("{}://{host}:{port}", url.scheme());
    // Brackets around an IPv6 address belong to the URL.
    let addresses = (host.trim_matches(['[', ']']), port).to_socket_addrs();
    let connected = addresses.and_then(|addresses| {
        let none = || io::Error::new(ErrorKind::NotFound, "the name has no address");
        let connect = |address| TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map(drop);
        addresses.map(connect).reduce(Result::or).unwrap_or_else(|| Err(none()))
    });
    match connected {
        Ok(()) => Finding::ok(name, format!("{shown} accepts connections")),
        Err(error) => Finding::fail(
            name,
            format!("{shown}: {error}"),
            "start it, correct `url`, or open the way in the firewall; until then the reading waits",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_before_a_wildcard_is_what_must_be_readable() {
        for (pattern, fixed) in [
            ("/var/log/pods/*/*/*.log", "/var/log/pods"),
            ("/var/log/app.log", "/var/log/app.log"),
            ("/var/{log,lib}/x", "/var"),
            ("/**/*.log", "/"),
        ] {
            assert_eq!(fixed_part(pattern), Path::new(fixed), "{pattern}");
        }
    }

    #[test]
    fn what_is_not_reachable_fails_and_names_itself() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let url =
            Url::parse(&format!("http://user:secret@{}/x", closed.expect("an address"))).expect("a URL");
        let finding = http("output main".into(), &url);
        assert_eq!((finding.state, finding.found.contains("secret")), (super::super::State::Fail, false));
        let folder = tempfile::tempdir().expect("a folder");
        assert!(file("f".into(), &folder.path().join("new/deeper/x.log")).remedy.is_none());
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0, "probes are removed");
    }
}
