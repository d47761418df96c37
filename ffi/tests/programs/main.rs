//! The library from C and C++: programs that are built here, against the shared library and the static one, and run.
//!
//! A program prints what went wrong and ends with 1; it gets a directory of its own as its first argument.

mod ages;
mod artifacts;
mod build;
mod checkers;
mod installed;
mod kills;

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

/// A panic, a wrong or freed handle, NULL, a structure of another age, several threads at once, a fork, a stop while
/// others fetch: each has its status, on the library as it is shipped.
#[test]
fn what_a_host_does_wrong_has_its_status_and_no_crash() {
    for linkage in Linkage::ALL {
        Program::c("border").linked(linkage).run(&[&backend()]);
    }
}

#[test]
fn files_and_attributes_come_and_go_beside_a_second_collector() {
    Program::c("files").run(&[&backend()]);
}

#[test]
fn a_host_with_its_own_tailer_parses_joins_and_encodes() {
    for linkage in Linkage::ALL {
        Program::c("tailer").linked(linkage).run(&[]);
    }
}

#[test]
fn the_cpp_face_owns_what_it_holds() {
    for linkage in Linkage::ALL {
        Program::of("tests/programs/face.cpp").linked(linkage).run(&[&backend()]);
    }
}

/// Tests run at the same time, some of them the same program: nobody meets one that is being written (ETXTBSY).
#[test]
fn a_program_of_several_tests_is_built_once_and_run_by_each() {
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| Program::c("layout").flag("-DFOR_SEVERAL_TESTS").run(&[])))
            .collect();
        assert!(runs.into_iter().all(|run| !run.join().expect("it runs").is_empty()));
    });
}
