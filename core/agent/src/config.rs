//! The configuration: YAML, one file or a directory of them, to a [`Config`] that is right, or to everything that is
//! wrong with it.
//!
//! The language (tree, walker, the section `from:`) is the crate `config`'s, which the library reads too.
//!
//! Never here: opening outputs, looking for log files, the environment: it is passed in.

mod legality;
mod load;
mod model;
mod outputs;
mod pipelines;
mod shares;

pub use load::{Loaded, load, parse};
pub use model::{Config, Output, Pipeline, Threads};
pub(crate) use ringtail_config::duration;
pub use ringtail_config::{Environment, Place, Problem, Problems};
pub use shares::{Shortage, shortages};
