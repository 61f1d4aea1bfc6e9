//! The recorded stories beside this file, for every integration test that plays them; what they are says `README.md`.
//!
//! Used with `#[path = "traces/mod.rs"] mod traces;`.
#![allow(dead_code, reason = "each test crate uses its part")]

use pinconnector::ami::replay::Recording;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// One story: what was recorded, and which records it must give.
pub struct Trace {
    /// `22/a_in_answered_caller_hangs`
    pub name: String,
    /// The connections in order; several where the link broke.
    pub parts: Vec<Recording>,
    /// What physically happened.
    pub story: String,
    /// The expected records (`calls` in it), with `records = "per-phone"`.
    pub expected: Option<serde_json::Value>,
    /// The same with `records = "per-call"`.
    pub expected_per_call: Option<serde_json::Value>,
    /// The rows Asterisk itself wrote, with a header line; not always UTF-8. `None` if it wrote none.
    pub cdr_csv: Option<Vec<u8>>,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces")
}

/// The story `name`, as `22/a_in_answered_caller_hangs`.
pub fn load(name: &str) -> Trace {
    let path = |ending: &str| folder().join(format!("{name}{ending}"));
    let bytes = |ending: &str| match fs::read(path(ending)) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => panic!("{name}{ending}: {error}"),
    };
    let text = |ending: &str| bytes(ending).map(|bytes| String::from_utf8(bytes).expect(ending));
    let json = |ending: &str| text(ending).map(|text| serde_json::from_str(&text).expect(ending));
    let mut files = vec![path(".ami.gz")];
    if !files[0].exists() {
        files = (1..).map(|part| path(&format!("_part{part}.ami.gz"))).take_while(|file| file.exists()).collect();
    }
    assert!(!files.is_empty(), "no such story: {name}");
    Trace {
        name: name.to_owned(),
        parts: files.iter().map(|file| Recording::open(file).expect("a recording")).collect(),
        story: text(".md").expect("every recording has its story"),
        expected: json(".json"),
        expected_per_call: json(".per-call.json"),
        cdr_csv: bytes(".cdr.csv"),
    }
}

/// The names of all stories, sorted.
pub fn names() -> Vec<String> {
    let mut names = Vec::new();
    for version in ["16", "16sip", "22"] {
        for entry in fs::read_dir(folder().join(version)).expect("the traces are part of the repository") {
            let file = entry.expect("readable").file_name().into_string().expect("ASCII names");
            if let Some(name) = file.strip_suffix(".md") {
                names.push(format!("{version}/{name}"));
            }
        }
    }
    names.sort();
    assert!(names.len() > 200, "the traces are not all here");
    names
}

pub fn all() -> Vec<Trace> {
    names().iter().map(|name| load(name)).collect()
}
