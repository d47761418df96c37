//! ringtail agent. fn main is filled by its first landing.
fn main() {}
