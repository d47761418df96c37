//! The library from C and C++: programs that are built here, against the shared library and the static one, and run.
//!
//! A program prints what went wrong and ends with 1; it gets a directory of its own as its first argument.

mod build;

use build::{Linkage, Program};

/// Every test that collects does so on the backend that RINGTAIL_IO names: the library itself never looks.
fn backend() -> String {
    std::env::var("RINGTAIL_IO").unwrap_or_else(|_| "auto".into())
}

#[test]
fn a_collection_lives_from_its_configuration_to_its_end() {
    for linkage in Linkage::ALL {
        Program::c("life").linked(linkage).run(&[&backend()]);
    }
}
