//! The whole way: an exchange speaks AMI over TCP, the real binary listens, a CRM gets records over HTTP.

#[path = "scenarios/compare.rs"]
mod compare;
mod support;

use std::time::Duration;

use serde_json::Value;
use support::crm::Crm;
use support::office::exchange;
use support::program::Place;
use support::traces;

const PATIENCE: Duration = Duration::from_secs(60);

fn is_over(record: &Value) -> bool {
    record["ended_at"].is_string()
}

#[test]
fn stories_arrive_at_the_crm_as_they_must() {
    const STORIES: [&str; 6] = [
        "22/h_group_answered_102",
        "22/e_ivr_hangs_in_waitexten",
        "22/c_in_unregistered",
        "22/i_out_busy",
        "22/l_blind_refer",
        "16sip/b_in_busy",
    ];
    let expected: Vec<Value> = STORIES.iter().filter_map(|name| traces::load(name).expected).collect();
    let calls: usize = expected.iter().map(|story| story["calls"].as_array().expect("calls").len()).sum();
    let (crm, place) = (Crm::start(), Place::new());
    // As fast as it was recorded, so that seconds are seconds; overlapping, as in an office.
    let exchange = exchange(&STORIES, 6, Duration::from_millis(400), 1.0);
    place.write_usual(exchange.address().port(), &crm.url(), "");
    let mut service = place.start();
    crm.wait_until("every call is over", PATIENCE, |crm| {
        let newest = crm.newest();
        newest.len() >= calls && newest.values().all(is_over)
    });
    service.signal("TERM");
    assert!(service.wait(PATIENCE).success(), "{}", service.log());

    crm.assert_order();
    let mut conversations: Vec<Vec<Value>> = Vec::new();
    for record in crm.newest().into_values() {
        match conversations.iter_mut().find(|known| known[0]["conversation"] == record["conversation"]) {
            Some(known) => known.push(record),
            None => conversations.push(vec![record]),
        }
    }
    conversations.sort_by_key(|records| records[0]["conversation"].as_str().map(str::to_owned));
    assert_eq!(conversations.len(), STORIES.len());
    // Each story must be told by one of the conversations, whichever.
    for (name, expected) in STORIES.iter().zip(&expected) {
        let fits = conversations.iter().position(|records| compare::differences(expected, records).is_empty());
        let Some(fits) = fits else {
            panic!("no conversation tells {name}: {conversations:#?}\n{}", service.log());
        };
        conversations.remove(fits);
    }
    // What ended is in the log, a line each, with the call's id before it.
    let said = service.log().lines().filter(|line| line.contains(" info ") && line.contains("Incoming")).count();
    assert!(said > 3, "{}", service.log());
}

#[test]
fn the_command_line_sees_what_the_service_knows() {
    let (crm, place) = (Crm::start(), Place::new());
    let exchange = exchange(&["22/h_group_answered_102", "22/d_greeting_caller_hangs"], 2, Duration::ZERO, 5.0);
    place.write_usual(exchange.address().port(), &crm.url(), "");
    let service = place.start();
    crm.wait_until("four calls are over", PATIENCE, |crm| {
        crm.newest().len() == 4 && crm.newest().values().all(is_over)
    });

    let json = |words: &[&str]| -> Vec<Value> {
        let out = place.command(words);
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    assert_eq!(json(&["calls", "--json"]).len(), 4);
    let missed = json(&["calls", "--json", "--missed"]);
    assert_eq!(missed.len(), 1);
    assert_eq!(missed[0]["reason"], "greeting");
    assert_eq!(json(&["calls", "--json", "--extension", "102"]).len(), 1);
    assert_eq!(json(&["calls", "--json", "--open"]).len(), 0);
    assert_eq!(json(&["calls", "--json", "--since", "1h", "--client", "8 (916) 123-45-67"]).len(), 4);
    assert_eq!(json(&["calls", "--json", "--since", "2020-01-01", "--limit", "2"]).len(), 2);

    let answered = json(&["calls", "--json", "--extension", "102"]);
    let conversation = answered[0]["conversation"].as_str().expect("an id");
    let tree = String::from_utf8(place.command(&["calls", "--conversation", conversation]).stdout).expect("UTF-8");
    assert!(tree.starts_with(conversation), "{tree}");
    assert!(tree.contains("102, completed") && tree.contains("└─ "), "{tree}");

    let outbox = String::from_utf8(place.command(&["outbox"]).stdout).expect("UTF-8");
    assert!(outbox.contains("Nothing waits."), "{outbox}");

    let copy = place.folder.path().join("copy.db");
    let copy = copy.to_str().expect("UTF-8");
    assert!(place.command(&["backup", copy]).status.success());
    assert_eq!(place.command(&["backup", copy]).status.code(), Some(64), "a backup overwrites nothing");

    // A second service on the same database would deliver everything twice.
    let second = place.command(&["run"]);
    assert_eq!(second.status.code(), Some(78), "{}", String::from_utf8_lossy(&second.stderr));

    assert_eq!(place.command(&["forget", "+79161234567"]).status.code(), Some(64), "nobody said yes");
    assert!(place.command(&["forget", "--yes", "8 916 123 45 67"]).status.success());
    assert_eq!(json(&["calls", "--json", "--client", "+79161234567"]).len(), 0);
    drop(service);
}

#[test]
fn a_wrong_start_says_why_and_exits_as_sysexits_have_it() {
    let place = Place::new();
    place.write("[numbers]\nregion = \"RU\"\n");
    let out = place.command(&["run"]);
    assert_eq!(out.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&out.stderr).contains("there is no exchange to listen to"));

    place.write_usual(1, "http://127.0.0.1:1/", "");
    let text = std::fs::read_to_string(place.config()).expect("written");
    place.write(&text.replace("calls.db", "no/such/folder/calls.db"));
    let out = place.command(&["run"]);
    assert_eq!(out.status.code(), Some(78), "{}", String::from_utf8_lossy(&out.stderr));

    place.write_usual(1, "http://127.0.0.1:1/", "");
    std::fs::write(place.database(), "this is no database, but quite a long text, longer than a header of SQLite's")
        .expect("written");
    let out = place.command(&["run"]);
    assert_eq!(out.status.code(), Some(74), "{}", String::from_utf8_lossy(&out.stderr));

    assert_eq!(place.command(&["dance"]).status.code(), Some(64));
    assert_eq!(place.command(&["replay", "no-such-file.ami"]).status.code(), Some(66));
}
