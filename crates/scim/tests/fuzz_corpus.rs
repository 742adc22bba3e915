//! The fuzz corpus as an ordinary test: every entry as it is, then mutated for a moment.
//!
//! The mutations come from a seed that is printed. `SCIM_FUZZ_SEED=7 SCIM_FUZZ_SECONDS=60 cargo test -p scim --test
//! fuzz_corpus` runs those of another one, for longer. The real fuzzer: see `fuzz/Cargo.toml`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the seed and the input are told to whoever runs the test"
)]

#[path = "../fuzz/checks.rs"]
mod checks;
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

/// What mutations put in: the words of the grammars, and what breaks naive parsers.
const TOKENS: &[&str] = &[
    "\"",
    "\\",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    ":",
    ".",
    ",",
    " ",
    "null",
    "true",
    "\"True\"",
    "-1",
    "1e999",
    "0.5",
    "\u{0}",
    "\\u0000",
    "ß",
    "İ",
    "Σ",
    "😀",
    " and ",
    " or ",
    "not (",
    " eq ",
    " pr",
    "value",
    "type",
    "primary",
    "$ref",
    "bulkId:a",
    "schemas",
    "emails",
    "name",
    "members",
    "password",
    "id",
    "\"op\":\"remove\"",
    "\"path\":\"emails[type eq \\\"x\\\"]\"",
    "\"value\":[{\"value\":\"x\",\"primary\":true}]",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    "urn:ietf:params:scim:schemas:extension:zeeg:2.0:User:badge",
    "2011-05-13T04:42:34Z",
    "",
];

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).expect("31 bits") % bound.max(1)
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the corpus is there")
        .map(|entry| entry.expect("a file").path())
        .collect();
    paths.sort(); // the same order on every machine
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(data.len() + 1);
        let to = (at + random.below(12)).min(data.len());
        match random.below(5) {
            0 => _ = data.splice(at..at, TOKENS[random.below(TOKENS.len())].bytes()),
            1 => _ = data.splice(at..to, TOKENS[random.below(TOKENS.len())].bytes()),
            2 => _ = data.drain(at..to),
            3 => data.extend_from_within(at..to),
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let upto = (from + random.below(60)).min(other.len());
                data.splice(at..at, other[from..upto].iter().copied());
            }
        }
    }
    data
}

/// Says which input it was when a check panics.
struct Blame<'a>(&'a [u8]);

impl Drop for Blame<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input was {:?}", String::from_utf8_lossy(self.0));
        }
    }
}

fn run(target: &str, check: fn(&[u8])) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty());
    for entry in &corpus {
        let _blame = Blame(entry);
        check(entry);
    }
    let seed = setting("SCIM_FUZZ_SEED").unwrap_or(1);
    let seconds = setting("SCIM_FUZZ_SECONDS").unwrap_or(2);
    println!("SCIM_FUZZ_SEED={seed}");
    let mut random = Random(seed.max(1));
    let (start, mut runs) = (Instant::now(), 0_u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        let data = mutate(&mut random, &corpus);
        let _blame = Blame(&data);
        check(&data);
        runs += 1;
    }
    println!("{target}: {} entries, {runs} mutations", corpus.len());
}

#[test]
fn filter() {
    run("filter", checks::filter);
}

#[test]
fn path() {
    run("path", checks::path);
}

#[test]
fn patch() {
    run("patch", checks::patch);
}

#[test]
fn resource() {
    run("resource", checks::resource);
}

#[test]
fn bulk() {
    run("bulk", checks::bulk);
}
