//! What the fuzzers share: each gives its input to the oracle of its name. See CONTRIBUTING.md.

use ringtail_oracles::TARGETS;

/// Gives `data` to the target called `name`.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.expect("a fuzzer is called as its target is");
    target(data);
}

/// Takes libFuzzer's hook away, which ends the process at any panic, caught or not. What the oracle lets pass ends it all
/// the same.
pub fn let_panics_be_caught() {
    std::panic::set_hook(Box::new(|_| {}));
}
