//! Compares records with what a story must give (the `.json` beside each trace).
//!
//! `null` means absent, `{"has": [...]}` a value that contains these texts, `*_seconds` within a second (0 may be
//! absent), `false` may be absent, `has_recording` asks for a non-empty list, `conversation` numbers group records.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

const TOLERANCE_S: f64 = 1.0;

/// Every difference in words; empty if the records are what they must be.
pub fn differences(expected: &Value, records: &[Value]) -> Vec<String> {
    let wanted: Vec<&Map<String, Value>> =
        expected["calls"].as_array().expect("a list of calls").iter().map(|c| c.as_object().expect("a call")).collect();
    let mut found = Vec::new();
    if wanted.len() != records.len() {
        found.push(format!("{} calls expected, {} found", wanted.len(), records.len()));
    }
    found.extend(ids(records));
    let pairs = pair(&wanted, records);
    for (index, want) in wanted.iter().enumerate() {
        match pairs.get(&index) {
            None => found.push(format!("missing: [{}] {}", name(want), want["status"])),
            Some(&at) => {
                for (key, value) in checked(want) {
                    if !agrees(key, value, &records[at]) {
                        found.push(format!("[{}] {key}: expected {value}, got {}", name(want), records[at][key]));
                    }
                }
            }
        }
    }
    for (at, record) in records.iter().enumerate() {
        if !pairs.values().any(|&p| p == at) {
            found.push(format!(
                "too much: {} {}>{}{} {}",
                record["direction"], record["from"], record["extension"], record["phone"], record["status"]
            ));
        }
    }
    found.extend(grouping(&wanted, records, &pairs));
    found
}

fn ids(records: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeMap::new();
    let mut leads: BTreeMap<&str, u32> = BTreeMap::new();
    for record in records {
        *seen.entry(record["id"].as_str().unwrap_or_default()).or_insert(0) += 1;
        *leads.entry(record["conversation"].as_str().unwrap_or_default()).or_insert(0) +=
            u32::from(record["lead"] == Value::Bool(true));
    }
    for (id, count) in seen {
        if id.is_empty() || count > 1 {
            found.push(format!("id {id:?} {count} times"));
        }
    }
    for (conversation, count) in leads {
        if conversation.is_empty() || count != 1 {
            found.push(format!("conversation {conversation:?} has {count} leads"));
        }
    }
    found
}

fn checked(want: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    want.iter().filter(|(key, _)| !matches!(key.as_str(), "conversation" | "undecided" | "note"))
}

fn agrees(key: &str, want: &Value, record: &Value) -> bool {
    let got = &record[key];
    if key == "has_recording" {
        let some = record["recordings"].as_array().is_some_and(|list| !list.is_empty());
        return want.as_bool() == Some(some);
    }
    match want {
        Value::Null => got.is_null(),
        Value::Object(has) => {
            let text = got.as_str().map_or_else(|| got.to_string(), str::to_owned);
            !got.is_null()
                && has["has"].as_array().expect("texts").iter().all(|part| text.contains(part.as_str().expect("text")))
        }
        Value::Bool(false) => got.is_null() || *got == Value::Bool(false),
        Value::Number(number) if key.ends_with("_seconds") => {
            let number = number.as_f64().expect("a number");
            match got.as_f64() {
                None => got.is_null() && number == 0.0,
                Some(got) => (got - number).abs() <= TOLERANCE_S + 1e-9,
            }
        }
        other => got == other,
    }
}

fn weight(key: &str) -> u32 {
    match key {
        "extension" | "phone" => 6,
        "from" | "client_number" => 4,
        "direction" | "status" => 3,
        "transferred_from" | "transferred_to" | "talk_seconds" => 2,
        _ => 1,
    }
}

/// Which record is meant by which expectation: the best agreement first.
fn pair(wanted: &[&Map<String, Value>], records: &[Value]) -> BTreeMap<usize, usize> {
    let mut table = Vec::new();
    for (index, want) in wanted.iter().enumerate() {
        for (at, record) in records.iter().enumerate() {
            let score: u32 = checked(want).filter(|(k, v)| agrees(k, v, record)).map(|(k, _)| weight(k)).sum();
            table.push((std::cmp::Reverse(score), index, at));
        }
    }
    table.sort();
    let mut pairs = BTreeMap::new();
    for (_, index, at) in table {
        if !pairs.contains_key(&index) && !pairs.values().any(|&p| p == at) {
            pairs.insert(index, at);
        }
    }
    pairs
}

fn grouping(wanted: &[&Map<String, Value>], records: &[Value], pairs: &BTreeMap<usize, usize>) -> Vec<String> {
    let mut found = Vec::new();
    let (mut there, mut back) = (BTreeMap::new(), BTreeMap::new());
    for (index, at) in pairs {
        let Some(group) = wanted[*index].get("conversation").and_then(Value::as_i64) else { continue };
        let conversation = records[*at]["conversation"].to_string();
        if *there.entry(group).or_insert_with(|| conversation.clone()) != conversation {
            found.push(format!("[{}] is in conversation {conversation}, not with its own", name(wanted[*index])));
        }
        if *back.entry(conversation.clone()).or_insert(group) != group {
            found
                .push(format!("[{}] is in a conversation it does not belong to: {conversation}", name(wanted[*index])));
        }
    }
    found
}

fn name(want: &Map<String, Value>) -> String {
    let text = |key: &str| want.get(key).and_then(Value::as_str).map(str::to_owned);
    format!(
        "{} {}>{}",
        text("direction").unwrap_or_default(),
        text("from").or_else(|| text("transferred_from")).unwrap_or_default(),
        text("extension").or_else(|| text("phone")).unwrap_or_else(|| "no phone".to_owned())
    )
}
