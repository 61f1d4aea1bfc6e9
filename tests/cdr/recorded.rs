//! The rows of every recorded story against the records its events must give.

use pinconnector::call::cdr::{Found, Row, found, gather};
use pinconnector::call::record::Source;
use pinconnector::call::{Record, Rules};
use pinconnector::cdr::columns::{Columns, Line};
use pinconnector::cdr::{csv, local_time};
use serde_json::Value;

use crate::{compare, traces};

/// What no row tells.
const NOT_IN_ROWS: [&str; 6] =
    ["ended_by", "ring_seconds", "wait_seconds", "client_name", "click_to_call", "hangup_cause"];

pub fn rows(text: &[u8]) -> Vec<Row> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().map(csv::values);
    let columns = Columns::named(&lines.next().expect("a header")).expect("known columns");
    let lines: Vec<Line> = lines.map(|values| columns.line(&values).expect("a row")).collect();
    local_time::to_utc(lines, &jiff::tz::TimeZone::UTC).0
}

pub fn conversations(rows: &[Row], rules: &Rules) -> Vec<Found> {
    let groups = gather(rows);
    groups
        .iter()
        .flat_map(|group| {
            let rows: Vec<&Row> = group.iter().map(|at| &rows[*at]).collect();
            found("pbx", &rows, rules, 1_800_000_000_000)
        })
        .collect()
}

pub fn records(rows: &[Row]) -> Vec<Record> {
    conversations(rows, &Rules::default()).into_iter().flat_map(|found| found.records).collect()
}

/// The differences that are known, a line each: what no row tells, or tells otherwise. `TELL=1` writes them anew.
const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cdr/what_rows_do_not_tell.txt");

#[test]
fn rows_give_the_records_that_the_events_give() {
    let only = std::env::var("STORY").ok();
    let mut told = String::new();
    let mut compared = 0;
    for name in traces::names() {
        if only.as_ref().is_some_and(|only| !name.starts_with(only.as_str())) {
            continue;
        }
        let trace = traces::load(&name);
        let (Some(csv), Some(mut expected)) = (trace.cdr_csv, trace.expected) else { continue };
        for call in expected["calls"].as_array_mut().expect("calls") {
            for key in NOT_IN_ROWS {
                call.as_object_mut().expect("a call").remove(key);
            }
        }
        compared += 1;
        let records: Vec<Value> =
            records(&rows(&csv)).iter().map(|record| serde_json::to_value(record).expect("JSON")).collect();
        if only.is_some() {
            for record in &records {
                println!("{}", serde_json::to_string_pretty(record).expect("JSON"));
            }
        }
        for difference in compare::differences(&expected, &records) {
            told.push_str(&format!("{name}: {difference}\n"));
        }
    }
    if only.is_some() {
        return println!("{told}");
    }
    assert!(compared > 200, "only {compared} stories have rows");
    if std::env::var("TELL").is_ok() {
        std::fs::write(KNOWN, &told).expect("written");
    }
    let known = std::fs::read_to_string(KNOWN).expect("the known differences");
    let new: Vec<&str> = told.lines().filter(|line| !known.lines().any(|known| known == *line)).collect();
    let gone: Vec<&str> = known.lines().filter(|line| !told.lines().any(|told| told == *line)).collect();
    assert!(new.is_empty(), "rows that tell something wrong: {new:#?}");
    assert!(gone.is_empty(), "known differences that are no more, strike them out: {gone:#?}");
}

#[test]
fn every_record_found_says_that_it_was_found() {
    for name in traces::names() {
        let Some(csv) = traces::load(&name).cdr_csv else { continue };
        for found in conversations(&rows(&csv), &Rules::default()) {
            let leads = found.records.iter().filter(|record| record.lead).count();
            assert!(found.records.is_empty() || leads == 1, "{name}: {leads} leads");
            for record in &found.records {
                assert_eq!(record.source, Source::Cdr, "{name}");
                assert!(record.status.is_final() && record.ended_at.is_some(), "{name}: {}", record.id);
                assert!(found.known_as.contains(&record.conversation), "{name}: {} is not one of its ids", record.id);
            }
        }
    }
}

#[test]
fn without_linkedid_and_uniqueid_the_same_calls_are_found() {
    let (mut apart, mut told) = (0, 0);
    for name in traces::names() {
        let Some(csv) = traces::load(&name).cdr_csv else { continue };
        let all = rows(&csv);
        if all.iter().any(|row| &*row.application == "ConfBridge") {
            // Pairs whoever is in it: without ids nothing says who came with whom.
            continue;
        }
        let whole = conversations(&all, &Rules::default());
        let answered = |found: &[Found]| {
            found.iter().flat_map(|found| &found.records).filter(|record| record.answered_at.is_some()).count()
        };
        let mut bare = all.clone();
        bare.iter_mut().for_each(|row| row.linkedid = None);
        let without = conversations(&bare, &Rules::default());
        apart += u32::from(answered(&without) != answered(&whole));
        bare.iter_mut().for_each(|row| row.uniqueid = None);
        let without = conversations(&bare, &Rules::default());
        assert!(without.iter().all(|found| found.known_as.is_empty()));
        let again = conversations(&bare, &Rules::default());
        assert_eq!(without, again, "{name}: the ids are the same each time");
        apart += u32::from(answered(&without) != answered(&whole));
        told += 2;
    }
    // A few calls are only put together by the linkedid; what is told of them then is told twice, never lost.
    assert!(apart * 20 < told, "{apart} of {told} are told otherwise without ids");
}
