//! Oracles: beside each parser and encoder a naive one that must agree with it, and a caller that behaves as the real
//! one does.
//!
//! They are used three times: by the property tests of the crates that they are about, by the fuzzer (`fuzz/`), and by
//! the test of this crate, which gives every input in `fuzz/corpus` to them again. A [`Target`] takes any bytes: the
//! first few are decisions (limits, where chunks end), the rest is the text. It panics where the two disagree.
//!
//! Never here: randomness, which the callers bring, and part of the product.

#[cfg(feature = "checkpoint")]
mod checkpoint;
#[cfg(any(feature = "parse", feature = "gz", feature = "encode", feature = "config"))]
pub mod choices;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "encode")]
pub mod encode;
#[cfg(feature = "gz")]
pub mod gz;
#[cfg(feature = "parse")]
pub mod parse;
pub mod time;

/// Something to fuzz, under the name of its corpus. Panics when a promise is broken.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
#[cfg(all(
    feature = "parse",
    feature = "encode",
    feature = "gz",
    feature = "checkpoint",
    feature = "config"
))]
pub const TARGETS: [Target; 11] = [
    ("split", parse::split),
    ("raw", parse::raw),
    ("cri", parse::cri),
    ("docker", parse::docker),
    ("auto", parse::auto),
    ("gz", gz::fuzz),
    ("encode", encode::fuzz),
    ("compress", encode::compress),
    ("row", checkpoint::row),
    ("checkpoint", checkpoint::checkpoint),
    ("config", config::fuzz),
];
