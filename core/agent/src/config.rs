//! The configuration: YAML, one file or a directory of them, to a [`Config`] that is right, or to everything that is
//! wrong with it.
//!
//! YAML is read with granit-parser, whose events carry places, into a tree; a walker takes key by key and goes on
//! after a mistake. (serde-saphyr, which is built on it, stops at the first mistake of a file.)
//!
//! Never here: opening outputs, looking for log files, the environment: it is passed in.

mod legality;
mod load;
mod model;
mod outputs;
mod pipelines;
mod problem;
mod reader;
mod scalar;
mod shares;
mod yaml;

pub use load::{Loaded, load, parse};
pub use model::{Config, Output, Pipeline, Threads};
pub use problem::{Place, Problem, Problems};
pub use reader::Environment;
pub(crate) use scalar::duration;
pub use shares::{Shortage, shortages};

use reader::Reader;

/// Bytes of a pipeline's or an output's name: it is a metric's label and part of the checkpoint's keys.
const NAME_BYTES_MAX: usize = 64;

fn check_name(reader: &mut Reader<'_>, place: &Place, key: &str, name: &str) {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(legal) {
        let message = format!(
            "is not a legal name; use 1 to {NAME_BYTES_MAX} of the letters a-z, A-Z, digits, `-`, `_` and `.`"
        );
        reader.error_at(place, key, message);
    }
}

/// A path from the root.
fn absolute(text: &str) -> Result<String, String> {
    match text.starts_with('/') {
        true => Ok(text.into()),
        false => Err("is not absolute; write the path from `/` on".into()),
    }
}
