#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringtail_fuzz::run("gz", data));
