//! Every recorded story gives exactly its records.
//!
//! `STORY=22/l_blind cargo test --test scenarios -- --nocapture` plays only stories whose name begins so and prints
//! their records.

mod compare;
mod disturbed;
mod generated;
mod identified;
mod overtaken;
mod peers;
mod play;
mod redacted;
mod taken_over;
#[path = "../traces/mod.rs"]
mod traces;

use pinconnector::call::rules::RecordKind;
use serde_json::Value;

#[test]
fn every_story_gives_its_records() {
    let only = std::env::var("STORY").ok();
    let mut failed = Vec::new();
    let mut played = 0;
    for name in traces::names() {
        if only.as_ref().is_some_and(|only| !name.starts_with(only.as_str())) {
            continue;
        }
        let trace = traces::load(&name);
        let heard = play::heard(&trace.parts);
        for (kind, expected) in
            [(RecordKind::PerPhone, &trace.expected), (RecordKind::PerCall, &trace.expected_per_call)]
        {
            let Some(expected) = expected else { continue };
            played += 1;
            let Ok(outcome) = std::panic::catch_unwind(|| play::play(heard.clone(), play::rules(kind))) else {
                failed.push(format!("{name} {kind:?}: panicked"));
                continue;
            };
            let records: Vec<Value> =
                outcome.records().iter().map(|r| serde_json::to_value(r).expect("a record is JSON")).collect();
            if only.is_some() {
                for record in &records {
                    println!("{}", serde_json::to_string_pretty(record).expect("JSON"));
                }
            }
            let differences = compare::differences(expected, &records);
            if !differences.is_empty() || outcome.open > 0 {
                failed.push(format!("{name} {kind:?}: {} open; {}", outcome.open, differences.join("; ")));
            }
        }
    }
    assert!(played > 0, "no story was played");
    assert!(failed.is_empty(), "{} of {played} stories fail:\n{}", failed.len(), failed.join("\n"));
}
