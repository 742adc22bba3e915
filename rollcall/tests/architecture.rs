//! Dependencies point one way: scim <- platform <- services, gateway <- rollcall; proto depends on nothing of ours. A service
//! never links another service, the gateway never links a service or a database driver (docs/ARCHITECTURE.md).
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What each crate may depend on among ours, for the product itself (not for its tests).
const MAY_USE: [(&str, &[&str]); 13] = [
    ("scim", &[]),
    ("bench", &[]),
    ("rollcall-client", &["proto"]),
    ("proto", &[]),
    ("migrations", &[]),
    ("platform", &["proto", "scim"]),
    ("identity", &["platform", "proto", "scim"]),
    ("journal", &["platform", "proto", "scim"]),
    ("membership", &["platform", "proto", "scim"]),
    ("token", &["platform", "proto", "scim"]),
    ("gateway", &["platform", "proto", "scim"]),
    (
        "rollcall",
        &[
            "gateway",
            "identity",
            "journal",
            "membership",
            "migrations",
            "platform",
            "proto",
            "rollcall-client",
            "scim",
            "token",
        ],
    ),
    ("testkit", &["migrations", "platform", "proto"]),
];

/// Crates that reach a database.
const DATABASE: [&str; 6] =
    ["sea-orm", "sea-orm-migration", "sea-query", "sqlx", "sqlx-core", "libsqlite3-sys"];

/// Crates that do input and output, or wait for it.
const INPUT_OUTPUT: [&str; 9] =
    ["tokio", "futures", "hyper", "axum", "tonic", "reqwest", "tracing-subscriber", "redis", "mio"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the binary's crate lies in the workspace")
        .to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(workspace())
        .output()
        .expect("cargo runs, it runs this test");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// For each of our crates, which of our crates its product depends on.
fn declared() -> BTreeMap<String, BTreeSet<String>> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--no-deps"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let mut declared = BTreeMap::new();
    for package in packages {
        let mut uses = BTreeSet::new();
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            if dependency["kind"] != "dev" && ours.contains(name) {
                uses.insert(name.to_owned());
            }
        }
        declared.insert(package["name"].as_str().unwrap().to_owned(), uses);
    }
    declared
}

/// The names of all crates that are linked when only `package` is built, with the features it asks for itself.
fn linked(package: &str) -> BTreeSet<String> {
    let tree =
        cargo(&["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn our_crates_depend_one_way() {
    let declared = declared();
    for (package, uses) in &declared {
        let allowed = MAY_USE.iter().find(|(name, _)| name == package);
        let Some((_, allowed)) = allowed else {
            panic!(
                "`{package}` is new: say in this test, and in docs/ARCHITECTURE.md, what it may depend on"
            );
        };
        for used in uses {
            assert!(
                allowed.contains(&used.as_str()),
                "`{package}` may not depend on `{used}`, only on {allowed:?}"
            );
        }
    }
    assert_eq!(declared.len(), MAY_USE.len(), "a crate named in this test is gone");
}

#[test]
fn neither_gateway_nor_scim_reaches_a_database() {
    for package in ["gateway", "scim", "proto"] {
        let linked = linked(package);
        for driver in DATABASE {
            assert!(
                !linked.contains(driver),
                "`{package}` links {driver}: see `cargo tree -p {package} -i {driver}`"
            );
        }
    }
    // The same look finds it where it is, or this test shows nothing.
    assert!(linked("identity").contains("sea-orm"));
}

#[test]
fn scim_is_pure() {
    let linked = linked("scim");
    for name in INPUT_OUTPUT {
        assert!(
            !linked.contains(name),
            "`scim` links {name}: no I/O, no async, see `cargo tree -p scim -i {name}`"
        );
    }
}

#[test]
fn rules_know_neither_transport_nor_database() {
    let mut seen = 0;
    for service in ["identity", "journal", "membership", "token"] {
        let mut folders = vec![workspace().join("services").join(service).join("src/domain")];
        while let Some(folder) = folders.pop() {
            for entry in
                std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                seen += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                for name in ["tonic", "sea_orm"] {
                    assert!(!text.contains(&format!("{name}::")), "{} uses {name}", path.display());
                }
            }
        }
    }
    assert!(seen > 0, "no rules found: have the services moved?");
}
