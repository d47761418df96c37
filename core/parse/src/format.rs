//! How the lines of a file are written, and how that is found out.

use std::fmt;
use std::str::FromStr;

use ringtail_memory::{CarryPool, Exhausted};
use ringtail_record::Stream;

use crate::time::Timestamps;
use crate::{cri, docker};

/// How the lines of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `<time> <stdout|stderr> <tags> <content>`: kubelet's files, written by containerd and CRI-O.
    Cri,
    /// `{"log":...,"stream":...,"attrs":...,"time":...}`: dockerd's json-file driver.
    DockerJson,
    /// Anything: a line is a record.
    Raw,
}

/// What a pipeline says about the format of its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// The first whole line of a file decides: CRI where its header is legal, docker where it is an object with a legal
    /// `stream` and `time`, raw otherwise. A lineage keeps its format, except that a raw one is looked at again in
    /// each new file: its first line may have been torn.
    #[default]
    Auto,
    /// This one; what does not fit is malformed.
    Fixed(Format),
}

/// Not the name of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownInput;

impl fmt::Display for UnknownInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the input is one of auto, cri, docker-json, raw")
    }
}

impl std::error::Error for UnknownInput {}

impl FromStr for Input {
    type Err = UnknownInput;

    fn from_str(name: &str) -> Result<Self, UnknownInput> {
        match name {
            "auto" => Ok(Input::Auto),
            "cri" => Ok(Input::Fixed(Format::Cri)),
            "docker-json" => Ok(Input::Fixed(Format::DockerJson)),
            "raw" => Ok(Input::Fixed(Format::Raw)),
            _ => Err(UnknownInput),
        }
    }
}

/// The format of a file whose first whole line is `line`, without its newline.
pub(crate) fn of_line(line: &[u8], clock: &mut Timestamps, carries: &CarryPool) -> Result<Format, Exhausted> {
    if cri::header(clock, line).is_some() {
        return Ok(Format::Cri);
    }
    let docker = docker::streams_and_time(line, clock, carries)?;
    Ok(if docker.is_some_and(|(stream, _)| stream != Stream::None) {
        Format::DockerJson
    } else {
        Format::Raw
    })
}

/// The format of a file whose first line begins with `head`, as far as that can be told: raw only where it can be
/// nothing else.
pub(crate) fn of_head(head: &[u8], clock: &mut Timestamps) -> Option<Format> {
    if cri::header(clock, head).is_some() {
        return Some(Format::Cri);
    }
    let undecided = cri::may_begin(head) || docker::may_begin(head);
    (!undecided).then_some(Format::Raw)
}

/// The format of a file whose first line is over `max_line` and begins with `head`.
pub(crate) fn of_cut(head: &[u8], clock: &mut Timestamps) -> Format {
    if cri::header(clock, head).is_some() {
        return Format::Cri;
    }
    if docker::may_begin(head) { Format::DockerJson } else { Format::Raw }
}
