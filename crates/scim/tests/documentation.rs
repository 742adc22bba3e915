//! `docs/scim.md` names tests and transcripts as its evidence: they are there.

use std::collections::HashSet;
use std::path::Path;

#[test]
fn what_the_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/scim.md")).expect("the page is there");
    let quoted: HashSet<&str> = page.split('`').skip(1).step_by(2).collect();
    let mut tests = 0;
    for name in quoted {
        if let Some((file, test)) = name.split_once("::").filter(|(file, _)| file.ends_with(".rs")) {
            let source =
                std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(
                source.contains(&format!("fn {test}(")),
                "{file} has no test {test}; docs/scim.md names it"
            );
            tests += 1;
        } else if name.starts_with("transcripts/") {
            assert!(root.join(name).is_file(), "{name} is not there; docs/scim.md names it");
        }
    }
    assert!(tests > 50, "only {tests} tests were found on the page: has its form changed?");
}
