//! The page that says which test here stands for which failure of other collectors names tests that exist.

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let page = fs::read_to_string(root.join("docs/peers.md")).expect("the page");
    let quoted = page.split('`').skip(1).step_by(2);
    let named: Vec<(&str, &str)> = quoted.filter_map(|text| text.split_once(".rs::")).collect();
    assert!(named.len() > 50, "{} tests are named", named.len());
    let is_missing = |(file, test): &&(&str, &str)| {
        let code = fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_default();
        !code.contains(&format!("fn {test}("))
    };
    let missing: Vec<_> = named.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
