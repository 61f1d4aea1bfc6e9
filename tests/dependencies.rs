//! Holds `deny.toml` and `rust-version` against what `Cargo.lock` resolves to, offline.

use std::process::Command;

use serde_json::Value;

/// Every package the program is built from (and with), on the platforms it is made for.
fn packages() -> Vec<Value> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked", "--all-features"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let resolved: Vec<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| node["id"].as_str().expect("an id"))
        .collect();
    let all = metadata["packages"].as_array().expect("packages");
    let used: Vec<Value> =
        all.iter().filter(|package| resolved.contains(&package["id"].as_str().unwrap_or(""))).cloned().collect();
    assert!(used.len() > 50, "only {} packages: the metadata were not understood", used.len());
    used
}

fn rules() -> toml::Table {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).expect("deny.toml");
    text.parse().expect("TOML")
}

fn name(package: &Value) -> String {
    format!("{} {}", package["name"].as_str().unwrap_or("?"), package["version"].as_str().unwrap_or("?"))
}

/// Whether an SPDX expression can be satisfied with the allowed licences.
fn satisfied(expression: &str, allowed: &[&str]) -> bool {
    // `/` is how old manifests write OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let result = any_of(&words, &mut at, allowed);
    assert_eq!(at, words.len(), "not understood: {expression}");
    result
}

fn any_of(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut good = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        good |= all_of(words, at, allowed);
    }
    good
}

fn all_of(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut good = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        good &= one(words, at, allowed);
    }
    good
}

fn one(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    if words.get(*at) == Some(&"(") {
        *at += 1;
        let good = any_of(words, at, allowed);
        assert_eq!(words.get(*at), Some(&")"), "{words:?}");
        *at += 1;
        return good;
    }
    let mut licence = words[*at].to_owned();
    *at += 1;
    if words.get(*at) == Some(&"WITH") {
        licence = format!("{licence} WITH {}", words[*at + 1]);
        *at += 2;
    }
    allowed.contains(&licence.as_str())
}

#[test]
fn licences_are_among_the_allowed() {
    let rules = rules();
    let allowed: Vec<&str> =
        rules["licenses"]["allow"].as_array().expect("a list").iter().filter_map(toml::Value::as_str).collect();
    assert!(satisfied("(MIT OR Apache-2.0) AND Unicode-3.0", &allowed));
    assert!(!satisfied("MIT AND GPL-3.0-only", &allowed));
    let bad: Vec<String> = packages()
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(|licence| satisfied(licence, &allowed)))
        .map(|package| format!("{}: {}", name(package), package["license"]))
        .collect();
    assert!(bad.is_empty(), "not allowed by deny.toml: {bad:#?}");
}

#[test]
fn banned_crates_are_not_in() {
    let rules = rules();
    let banned: Vec<&str> =
        rules["bans"]["deny"].as_array().expect("a list").iter().filter_map(|entry| entry["crate"].as_str()).collect();
    assert!(!banned.is_empty());
    let packages = packages();
    let found: Vec<String> =
        packages.iter().filter(|package| banned.contains(&package["name"].as_str().unwrap_or(""))).map(name).collect();
    assert!(found.is_empty(), "banned by deny.toml: {found:?}");
}

#[test]
fn the_numbering_plans_are_boiled_down_before_they_are_linked() {
    // Linked, phonenumber costs six megabytes of resident memory; the build and the tests may use it.
    let packages = packages();
    let ours = packages.iter().find(|package| package["name"] == "pinconnector").expect("we are in our own metadata");
    let linked = |dependency: &Value| dependency["kind"].is_null() && dependency["name"] == "phonenumber";
    assert!(!ours["dependencies"].as_array().expect("a list").iter().any(linked));
}

#[test]
fn everything_comes_from_the_one_registry() {
    let packages = packages();
    let sources: std::collections::BTreeSet<&str> =
        packages.iter().filter_map(|package| package["source"].as_str()).collect();
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(sources.iter().all(|source| source.starts_with("registry+")), "{sources:?}");
}

#[test]
fn no_dependency_wants_a_newer_compiler_than_we_declare() {
    let version = |text: &str| -> Vec<u32> {
        let mut parts: Vec<u32> = text.split('.').map(|part| part.parse().unwrap_or(0)).collect();
        parts.resize(3, 0);
        parts
    };
    let ours = version(env!("CARGO_PKG_RUST_VERSION"));
    let newer: Vec<String> = packages()
        .iter()
        .filter(|package| package["rust_version"].as_str().is_some_and(|theirs| version(theirs) > ours))
        .map(|package| format!("{} wants {}", name(package), package["rust_version"]))
        .collect();
    assert!(newer.is_empty(), "rust-version = {:?}, but {newer:#?}", env!("CARGO_PKG_RUST_VERSION"));
}
