//! The configuration's language: YAML text to a tree with places, a walker that collects every mistake, and the
//! sections that the agent and the library read the same way.
//!
//! YAML is read with granit-parser, whose events carry places, into a tree; a walker takes key by key and goes on
//! after a mistake. (serde-saphyr, which is built on it, stops at the first mistake of a file.)
//!
//! Never here: outputs, the environment (it is passed in), looking for log files.

mod common;
mod origin;
mod problem;
mod reader;
mod scalar;
mod yaml;

pub use common::{absolute, check_name, count, hold_deleted, literal, memory};
pub use origin::{Needed, Origin, RECORD_BYTES_MAX};
pub use problem::{Place, Problem, Problems};
pub use reader::{Environment, Field, Fields, Later, Reader, suggestion};
pub use scalar::{duration, show_size, size};
pub use yaml::{Entry, Node, Value, parse};
