//! A redacted recording gives the same calls, number for replaced number, and holds nothing of the real ones.

use std::io::Write;

use pinconnector::ami::redact::{Redacting, Redactor};
use pinconnector::ami::replay::Recording;
use pinconnector::call::rules::RecordKind;
use serde_json::Value;

use super::{play, traces};

fn redact(recording: &Recording, redactor: &Redactor) -> Recording {
    let mut bytes = Vec::new();
    let mut redacting = Redacting::new(redactor.clone(), &mut bytes);
    redacting.write_all(recording.ami()).expect("memory takes everything");
    redacting.flush().expect("memory takes everything");
    assert_eq!(bytes.len(), recording.ami().len(), "each line keeps its length");
    let timing: String = recording.marks().map(|(ms, offset)| format!("{ms}\t{offset}\n")).collect();
    Recording::new(bytes, Some(&timing)).expect("a recording")
}

fn records(parts: &[Recording], kind: RecordKind) -> Vec<Value> {
    let outcome = play::play(play::heard(parts), play::rules(kind));
    outcome.records().iter().map(|record| serde_json::to_value(record).expect("JSON")).collect()
}

/// A record as it must come of the redacted recording.
fn replaced(value: &Value, key: &str, redactor: &Redactor) -> Value {
    match value {
        Value::String(text) => Value::String(match key {
            // Times and ids.
            key if key == "at" || key.ends_with("_at") => text.clone(),
            "client_name" => redactor.name(text),
            "client_number" | "from" | "to" | "did" | "phone" => redactor.number(text),
            _ => redactor.text(text),
        }),
        Value::Array(all) => all.iter().map(|value| replaced(value, key, redactor)).collect(),
        Value::Object(all) => all.iter().map(|(key, value)| (key.clone(), replaced(value, key, redactor))).collect(),
        other => other.clone(),
    }
}

/// The values of keys that hold names, and the numbers of callers, as they stand in the stream.
fn private(parts: &[Recording]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for part in parts {
        for line in part.ami().split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (key, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let is_name =
                [&b"CallerIDName"[..], b"ConnectedLineName", b"MemberName"].iter().any(|end| key.ends_with(end));
            let is_number = [&b"CallerIDNum"[..], b"ConnectedLineNum", b"Exten"].iter().any(|end| key.ends_with(end));
            let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
            let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii()).count();
            let is_nobody = [&b"<unknown>"[..], b"unknown", b"Anonymous", b"anonymous"].contains(&value)
                || value.contains(&b'/')
                // Asterisk 22 has taken these letters out itself.
                || value.starts_with("\u{fffd}".as_bytes());
            if is_name && letters >= 4 && !is_nobody || is_number && digits >= 7 && letters == 0 {
                found.push(value.to_owned());
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn every_story_gives_the_same_calls_when_its_numbers_and_names_are_replaced() {
    let redactor = Redactor::with_key("a key of the tests");
    let (mut failed, mut told, mut gone) = (Vec::new(), 0, 0);
    for name in traces::names() {
        let parts = traces::load(&name).parts;
        let hidden: Vec<Recording> = parts.iter().map(|part| redact(part, &redactor)).collect();
        for kind in [RecordKind::PerPhone, RecordKind::PerCall] {
            let expected: Vec<Value> =
                records(&parts, kind).iter().map(|record| replaced(record, "", &redactor)).collect();
            let given = records(&hidden, kind);
            told += given.len();
            if given != expected {
                let show = |records: &[Value]| serde_json::to_string_pretty(records).expect("JSON");
                let (given, expected) = (show(&given), show(&expected));
                let differing = given.lines().zip(expected.lines()).find(|(one, other)| one != other);
                failed.push(format!("{name} {kind:?}: {differing:?}"));
            }
        }
        for value in private(&parts) {
            gone += 1;
            let left = hidden.iter().any(|part| part.ami().windows(value.len()).any(|bytes| bytes == value));
            if left {
                failed.push(format!("{name}: {} is still there", String::from_utf8_lossy(&value)));
            }
        }
    }
    assert!(told > 500 && gone > 500, "{told} records and {gone} private values: looked at too little");
    assert!(failed.is_empty(), "{} faults:\n{}", failed.len(), failed.join("\n"));
}
