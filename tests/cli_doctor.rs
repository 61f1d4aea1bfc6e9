//! `pinconnector doctor`, the real program against an exchange and a CRM at the socket: what it prints, and how it ends. Real
//! Asterisks, and one fault after another, are in tests/lab.

mod support;

use std::time::Duration;

use serde_json::Value;
use support::crm::{Crm, Mood};
use support::office::exchange;
use support::program::Place;

fn findings(place: &Place) -> (Option<i32>, Vec<Value>) {
    let out = place.command(&["doctor", "--json"]);
    let said = String::from_utf8(out.stdout).expect("UTF-8");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("a finding a line")).collect();
    assert!(!lines.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    (out.status.code(), lines)
}

fn level<'f>(findings: &'f [Value], about: &str, check: &str) -> &'f str {
    let found = findings.iter().find(|finding| finding["about"] == about && finding["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} of {about} in {findings:#?}"))["level"].as_str().expect("a word")
}

#[test]
fn what_is_well_and_what_fails_is_said_and_told_by_the_exit_code() {
    let crm = Crm::start();
    let stage = exchange(&["22/a_in_answered_caller_hangs"], 1, Duration::ZERO, 1.0);
    let place = Place::new();
    place.write_usual(stage.address().port(), &crm.url(), "");
    let (code, found) = findings(&place);
    assert_eq!(code, Some(0), "{found:#?}");
    for (about, check, expected) in [
        ("exchange office", "login", "ok"),
        ("exchange office", "version", "ok"),
        ("exchange office", "reporting", "ok"),
        // A recording makes no trial call, and has no devices.
        ("exchange office", "events", "unknown"),
        ("exchange office", "extensions", "warning"),
        ("CRM hook", "reachable", "ok"),
        ("this machine", "service", "warning"),
        ("this machine", "database", "ok"),
    ] {
        assert_eq!(level(&found, about, check), expected, "{about} {check}");
    }
    assert!(crm.taken().is_empty(), "nothing was changed in the CRM");

    crm.set(Mood::Status(401));
    let (code, found) = findings(&place);
    assert_eq!((code, level(&found, "CRM hook", "reachable")), (Some(69), "failure"));
    crm.set(Mood::Well);

    drop(stage);
    let (code, found) = findings(&place);
    assert_eq!((code, level(&found, "exchange office", "login")), (Some(69), "failure"));
    let text = String::from_utf8(place.command(&["doctor"]).stdout).expect("UTF-8");
    assert!(text.contains("FAILURE  login") && text.contains("connection refused") && text.contains("-> "), "{text}");
    assert!(!text.contains("a-secret-of-twenty-bytes"), "{text}");

    place.write("[calls]\nrecords = 3\n");
    assert_eq!(place.command(&["doctor"]).status.code(), Some(78));
}
