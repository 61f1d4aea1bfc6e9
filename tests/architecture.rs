//! What `src/lib.rs` promises about structure: who imports whom, and that what is called pure is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each folder (or file) of `src/`, and which others it may name. Everybody may name himself and the leaves.
const MAY_IMPORT: [(&str, &[&str]); 14] = [
    ("asterisk", &[]),
    ("call", &["asterisk"]),
    ("outbox", &["call", "asterisk"]),
    ("ami", &["asterisk", "call", "outbox"]),
    ("agi", &["asterisk", "call", "outbox"]),
    ("http", &["asterisk", "call", "outbox"]),
    ("cdr", &["asterisk", "call"]),
    ("crm", &["asterisk", "call", "outbox"]),
    ("store", &["asterisk", "call", "outbox"]),
    ("recordings", &["asterisk", "call", "outbox"]),
    ("config", &["asterisk", "call", "outbox", "ami", "agi", "cdr", "http", "crm", "store", "recordings"]),
    ("daemon", &["asterisk", "call", "outbox", "ami", "agi", "cdr", "http", "crm", "store", "recordings", "config"]),
    (
        "cli",
        &["asterisk", "call", "outbox", "ami", "agi", "cdr", "http", "crm", "store", "recordings", "config", "daemon"],
    ),
    ("main", &["cli"]),
];

/// Small things everybody may use; they use only each other.
const LEAVES: [&str; 8] = ["client", "clock", "lease", "phone", "recording_file", "threads", "secret", "sign"];

/// Folders that decide and do nothing, and what they must not name.
const PURE: [&str; 3] = ["asterisk", "call", "outbox"];
const IMPURE: [&str; 21] = [
    "std::io",
    "std::net",
    "std::fs",
    "std::time",
    "std::thread",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::mpsc",
    "std::sync::atomic",
    "std::sync::{",
    "std::process",
    "std::env",
    "Instant",
    "SystemTime",
    "Now::read",
    "crossbeam",
    "getrandom",
    "rusqlite",
    "ureq",
    "log::",
    "thread_local!",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every Rust file under `folder`, as a path relative to `src/`.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.strip_prefix(source()).expect("under src").to_owned());
        }
    }
}

fn all_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&source(), &mut found);
    found.sort();
    assert!(found.len() > 20, "only {} files: looked in the wrong place", found.len());
    found
}

/// The code of a file: without comments and without what stands after `#[cfg(test)]`.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(source().join(path)).expect("readable");
    let body = text.split("#[cfg(test)]\nmod ").next().unwrap_or("");
    body.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// `ami` of `ami/link.rs` and of `ami.rs`.
fn room(path: &Path) -> String {
    let first = path.iter().next().expect("not empty").to_str().expect("UTF-8");
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms a file names as `crate::room`, also in `use crate::{a, b}`.
fn named(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => rooms.push(std::mem::take(&mut word)),
                    letter if depth == 0 => word.push(letter),
                    _ => {}
                }
            }
            rooms.push(word);
        } else {
            rooms.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    rooms.iter().map(|room| room.split("::").next().unwrap_or("").trim().to_owned()).filter(|r| !r.is_empty()).collect()
}

#[test]
fn folders_import_only_what_they_may() {
    let rules: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    let mut wrong = Vec::new();
    for path in all_files() {
        let room = room(&path);
        if room == "lib" {
            continue;
        }
        let leaf = LEAVES.contains(&room.as_str());
        assert!(leaf || rules.contains_key(room.as_str()), "{}: which layer is {room}?", path.display());
        for other in named(&code(&path)) {
            // `crate::Type` is no room of its own, and macros are nobody's.
            let known = LEAVES.contains(&other.as_str()) || rules.contains_key(other.as_str());
            let allowed = other == room
                || LEAVES.contains(&other.as_str())
                || (!leaf && rules[room.as_str()].contains(&other.as_str()));
            if known && !allowed {
                wrong.push(format!("{} names {other}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the import rules: {wrong:#?}");
}

#[test]
fn pure_folders_name_no_input_output_clock_thread_or_queue() {
    let mut wrong = Vec::new();
    for path in all_files().into_iter().filter(|path| PURE.contains(&room(path).as_str())) {
        let code = code(&path);
        for name in IMPURE {
            if let Some(line) = code.lines().find(|line| names(line, name)) {
                wrong.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "not pure: {wrong:#?}");
}

/// Whether `line` holds `name` as a whole word at its beginning: `log::` is not in `Backlog::`.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn sql_stays_in_sqlite_and_bson_in_mongodb() {
    for path in all_files() {
        let (code, shown) = (code(&path), path.display().to_string());
        assert!(!code.contains("rusqlite") || shown.starts_with("store/"), "{shown} names rusqlite");
        assert!(!code.contains("bson") || shown.starts_with("store/mongodb"), "{shown} names bson");
    }
}

#[test]
fn every_file_says_what_it_is_responsible_for() {
    for path in all_files() {
        let text = std::fs::read_to_string(source().join(&path)).expect("readable");
        assert!(text.starts_with("//! "), "{} does not open with //!", path.display());
    }
}

#[test]
fn nothing_is_left_open_in_the_code() {
    // Put together, so that this file does not find itself.
    let marks = ["TO", "FIX"].map(|half| half.to_owned() + if half == "TO" { "DO" } else { "ME" });
    let mut wrong = Vec::new();
    for path in all_files() {
        let text = std::fs::read_to_string(source().join(&path)).expect("readable");
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark.as_str()))
                || line.contains("todo!(")
                || line.contains("unimplemented!(")
            {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "left open: {wrong:#?}");
}

#[test]
fn files_are_rooms_not_halls() {
    // Above 500 lines a file is probably two rooms; that is for a reader to judge. Above 800 it is for this test.
    let mut halls = Vec::new();
    for path in all_files() {
        let lines = std::fs::read_to_string(source().join(&path)).expect("readable").lines().count();
        if lines > 500 {
            println!("{lines} lines: src/{}", path.display());
        }
        if lines > 800 {
            halls.push(format!("{} ({lines} lines)", path.display()));
        }
    }
    assert!(halls.is_empty(), "too long: {halls:?}");
}

#[test]
fn names_say_what_a_thing_is() {
    // House rule 11: such names say nothing about telephony.
    const EMPTY_NAMES: [&str; 6] = ["utils", "helpers", "common", "manager", "processor", "misc"];
    for path in all_files() {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        assert!(!EMPTY_NAMES.contains(&stem), "{} says nothing", path.display());
    }
}
