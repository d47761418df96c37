#![no_main]
// redb asserts on some damage, and the engine catches it: a panic is not yet a failure here.
libfuzzer_sys::fuzz_target!(init: ringtail_fuzz::let_panics_be_caught(), |data: &[u8]| ringtail_fuzz::run("checkpoint", data));
