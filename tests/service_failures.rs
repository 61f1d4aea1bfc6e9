//! What must not lose a call: SIGKILL, a CRM that fails in every way CRMs fail, a bad reload, an end in mid-call.

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::Value;
use support::crm::{Crm, Mood};
use support::office::{exchange, exchange_at};
use support::program::Place;

const PATIENCE: Duration = Duration::from_secs(60);

fn is_over(record: &Value) -> bool {
    record["ended_at"].is_string()
}

fn all_over(crm: &Crm, calls: usize) -> bool {
    let newest = crm.newest();
    newest.len() == calls && newest.values().all(is_over)
}

/// What the database holds, by id, as the command line shows it.
fn history(place: &Place) -> Vec<Value> {
    let out = place.command(&["calls", "--json", "--limit", "1000"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn ids(records: &[Value]) -> BTreeSet<String> {
    records.iter().map(|record| record["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn killed_in_mid_call_the_next_start_ends_what_is_gone() {
    let (crm, place) = (Crm::start(), Place::new());
    let stage = exchange(&["22/a_in_answered_caller_hangs"], 1, Duration::ZERO, 1.0);
    let address = stage.address();
    place.write_usual(address.port(), &crm.url(), "");
    let service = place.start();
    crm.wait_until("the talk has begun", PATIENCE, |crm| {
        crm.newest().values().any(|record| record["status"] == "in_progress")
    });
    service.kill();
    drop(stage);
    let before = crm.newest();
    let (id, record) = before.first_key_value().expect("a call");

    // Asterisk has forgotten the call, and another one comes.
    let _stage = exchange_at(address, &["22/d_greeting_caller_hangs"], 1, Duration::from_secs(1), 4.0);
    let service = place.start();
    crm.wait_until("the old call is over and the new one, too", PATIENCE, |crm| all_over(crm, 2));
    let newest = crm.newest();
    let ended = &newest[id];
    assert_eq!(ended["status"], "completed", "it had been answered: {ended:#?}");
    assert_eq!(ended["answered_at"], record["answered_at"]);
    assert_eq!(ended["conversation"], record["conversation"]);
    crm.assert_order();
    assert_eq!(ids(&history(&place)), newest.keys().cloned().collect(), "{}", service.log());
}

#[test]
fn killed_again_and_again_nothing_is_lost_and_nothing_comes_under_a_second_id() {
    let (crm, place) = (Crm::start(), Place::new());
    // Eight calls, one every half second; each connection sees them from the first on, as a resumed session would not, so
    // the same uniqueids are heard again: the records must be the same, too.
    let stage = exchange(&["22/h_group_answered_102", "22/b_in_busy"], 8, Duration::from_millis(500), 4.0);
    place.write_usual(stage.address().port(), &crm.url(), "");
    for kill_after in [1, 3, 5] {
        let service = place.start();
        let seen = crm.taken().len();
        crm.wait_until("some records came", PATIENCE, |crm| crm.taken().len() >= seen + kill_after);
        service.kill();
    }
    let _service = place.start();
    crm.wait_until("every call is over", PATIENCE, |crm| all_over(crm, 4 * 3 + 4));
    crm.assert_order();
    assert_eq!(ids(&history(&place)), crm.newest().keys().cloned().collect());
}

#[test]
fn a_crm_that_fails_in_any_way_gets_everything_in_the_end() {
    for mood in [Mood::Status(401), Mood::Status(500), Mood::Html, Mood::Hang, Mood::Close] {
        let (crm, place) = (Crm::start(), Place::new());
        crm.set(mood);
        let stage = exchange(&["22/h_group_answered_102", "22/b_in_busy"], 2, Duration::ZERO, 10.0);
        place.write_usual(stage.address().port(), &crm.url(), "");
        let service = place.start();
        service.wait_for_log("crm hook", PATIENCE);
        // While it fails, all calls happen and end.
        let all_waiting = || {
            let out = place.command(&["outbox", "list", "--json"]);
            String::from_utf8(out.stdout).expect("UTF-8").lines().count() == 4
        };
        let records_over = || history(&place).iter().filter(|record| is_over(record)).count() == 4;
        crm.wait_until("all four wait", PATIENCE, |_| records_over() && all_waiting());
        assert_eq!(crm.taken().len(), 0, "{mood:?}");
        if mood != Mood::Hang {
            assert!(crm.refused() > 0, "{mood:?}: it was never tried");
        }
        let list = String::from_utf8(place.command(&["outbox"]).stdout).expect("UTF-8");
        assert!(!list.contains("refused:"), "{mood:?}: nothing may be parked for a fault of the CRM:\n{list}");

        crm.set(Mood::Well);
        // Its turn would come by itself; an administrator who mended the CRM does not want to wait.
        assert!(place.command(&["outbox", "retry"]).status.success());
        crm.wait_until("all four came", PATIENCE, |crm| all_over(crm, 4));
        crm.assert_order();
        let empty = || String::from_utf8(place.command(&["outbox"]).stdout).expect("UTF-8").contains("Nothing waits.");
        crm.wait_until("nothing waits", PATIENCE, |_| empty());
        // What waited came as its newest state only, once.
        assert_eq!(crm.taken().len(), 4, "{mood:?}: {:#?}\n{}", crm.taken(), service.log());
    }
}

#[test]
fn a_refused_record_is_parked_and_blocks_nobody() {
    let (crm, place) = (Crm::start(), Place::new());
    crm.set(Mood::Status(422));
    let stage = exchange(&["22/d_greeting_caller_hangs"], 1, Duration::ZERO, 10.0);
    place.write_usual(stage.address().port(), &crm.url(), "");
    let _service = place.start();
    let list = || String::from_utf8(place.command(&["outbox"]).stdout).expect("UTF-8");
    crm.wait_until("it is parked", PATIENCE, |_| list().contains("refused:"));
    crm.set(Mood::Well);
    // Parked stays parked until somebody says otherwise.
    let rows = String::from_utf8(place.command(&["outbox", "list", "--json"]).stdout).expect("UTF-8");
    let row: Value = serde_json::from_str(rows.lines().next().expect("a row")).expect("JSON");
    let id = row["id"].to_string();
    assert!(place.command(&["outbox", "retry", &id]).status.success());
    crm.wait_until("it came", PATIENCE, |crm| all_over(crm, 1));
    assert_eq!(place.command(&["outbox", "drop", "--yes", "99999"]).status.code(), Some(65), "no such row");
}

#[test]
fn sigterm_delivers_what_is_under_way_and_keeps_the_rest() {
    let (crm, place) = (Crm::start(), Place::new());
    let stage = exchange(&["22/h_group_answered_102"], 20, Duration::from_millis(20), 8.0);
    let address = stage.address();
    place.write_usual(address.port(), &crm.url(), "");
    let mut service = place.start();
    crm.wait_until("calls are going on", PATIENCE, |crm| crm.newest().len() > 10);
    service.signal("TERM");
    let status = service.wait(Duration::from_secs(20));
    assert!(status.success(), "{status}: {}", service.log());
    assert!(service.log().contains("stopped"), "{}", service.log());
    drop(stage);
    // What the database knows is what the CRM knows, once the rest is delivered.
    let _stage = exchange_at(address, &["22/d_greeting_caller_hangs"], 1, Duration::ZERO, 10.0);
    let _service = place.start();
    let known = ids(&history(&place)).len();
    assert!(known > 10);
    crm.wait_until("everything is over", PATIENCE, |crm| {
        let newest = crm.newest();
        newest.len() > known && newest.values().all(is_over)
    });
    crm.assert_order();
    assert_eq!(ids(&history(&place)), crm.newest().keys().cloned().collect());
}

#[test]
fn a_reload_takes_over_what_it_can_and_a_bad_file_changes_nothing() {
    let (first, second, place) = (Crm::start(), Crm::start(), Place::new());
    let stage = exchange(&["22/d_greeting_caller_hangs"], 60, Duration::from_millis(2000), 8.0);
    place.write_usual(stage.address().port(), &first.url(), "");
    let service = place.start();
    first.wait_until("a call came", PATIENCE, |crm| !crm.taken().is_empty());

    let good = std::fs::read_to_string(place.config()).expect("written");
    place.write(&format!("{good}\n[lag]\nlevel = \"debug\"\n"));
    service.signal("HUP");
    service.wait_for_log("everything stays as it was", PATIENCE);
    assert!(service.log().contains("no such section or key: `lag`; did you mean `log`?"), "{}", service.log());
    let seen = first.taken().len();
    first.wait_until("calls still come", PATIENCE, |crm| crm.taken().len() > seen);

    place.write(&good.replace(&first.url(), &second.url()).replace("region = \"RU\"", "region = \"KZ\""));
    service.signal("HUP");
    service.wait_for_log("the new configuration is in force", PATIENCE);
    second.wait_until("the other CRM gets them", PATIENCE, |crm| crm.newest().values().any(is_over));

    let text = std::fs::read_to_string(place.config()).expect("written");
    place.write(&text.replace("name = \"office\"", "name = \"other\""));
    service.signal("HUP");
    service.wait_for_log("[[asterisk]], which needs a restart", PATIENCE);
}

#[test]
fn the_supervisor_hears_of_readiness_life_and_end() {
    let (crm, place) = (Crm::start(), Place::new());
    let stage = exchange(&["22/d_greeting_caller_hangs"], 1, Duration::ZERO, 10.0);
    place.write_usual(stage.address().port(), &crm.url(), "");
    let path = place.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("bound");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let path = path.to_str().expect("UTF-8");
    let mut service = place.start_with(&[("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "400000")]);
    let hear = || {
        let mut text = [0; 500];
        let length = socket.recv(&mut text).expect("the supervisor is told in time");
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let ready = hear();
    assert!(ready.starts_with("READY=1\nSTATUS=exchanges: office; CRMs: hook"), "{ready}");
    assert_eq!(hear(), "WATCHDOG=1");
    assert_eq!(hear(), "WATCHDOG=1");
    service.signal("HUP");
    while hear() != "RELOADING=1" {}
    assert!(hear().starts_with("READY=1"));
    service.signal("TERM");
    while !hear().starts_with("STOPPING=1") {}
    assert!(service.wait(PATIENCE).success());
}

#[test]
fn an_exchange_that_is_not_there_yet_is_waited_for() {
    let (crm, place) = (Crm::start(), Place::new());
    // A port that was free a moment ago, and is again.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    drop(listener);
    place.write_usual(address.port(), &crm.url(), "");
    let service = place.start();
    service.wait_for_log("no link to Asterisk", PATIENCE);
    let _stage = exchange_at(address, &["22/d_greeting_caller_hangs"], 1, Duration::ZERO, 10.0);
    crm.wait_until("the call came", PATIENCE, |crm| all_over(crm, 1));
}

#[test]
fn a_program_is_told_when_something_is_down_and_when_it_is_over() {
    let (crm, place) = (Crm::start(), Place::new());
    let told = place.folder.path().join("told");
    let more = format!(
        "\n[alert]\nafter_s = 0\ncommand = \"echo $PINCONNECTOR_ALERT $PINCONNECTOR_STATE >> {}\"\n",
        told.display()
    );
    crm.set(Mood::Status(503));
    let stage = exchange(&["22/d_greeting_caller_hangs"], 1, Duration::ZERO, 10.0);
    place.write_usual(stage.address().port(), &crm.url(), &more);
    let _service = place.start();
    let has = |line: &str| std::fs::read_to_string(&told).unwrap_or_default().lines().any(|told| told == line);
    crm.wait_until("the fault is told", PATIENCE, |_| has("crm hook on"));
    crm.set(Mood::Well);
    place.command(&["outbox", "retry"]);
    crm.wait_until("its end is told", PATIENCE, |_| has("crm hook off"));
    drop(stage);
    crm.wait_until("the lost link is told", PATIENCE, |_| has("asterisk office on"));
}
