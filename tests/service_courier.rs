//! The running service and a vTiger that cannot reach it: commands are fetched and carried out, and vTiger hears what becomes of them and
//! how the connector is.

mod support;

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use support::office::{exchange, exchange_at};
use support::program::{Place, Service};
use support::vtiger::Vtiger;

const PATIENCE: Duration = Duration::from_secs(60);
const STORY: [&str; 1] = ["22/d_greeting_caller_hangs"];

/// A service with no door of its own, and a vTiger.
fn write(place: &Place, ami_port: u16, vtiger: &Vtiger, more: &str) {
    place.write(&format!(
        "[[asterisk]]\nname = \"office\"\nhost = \"127.0.0.1\"\nport = {ami_port}\nusername = \"pinconnector\"\n\
         secret = \"a-secret-of-twenty-bytes\"\n\n[numbers]\nregion = \"RU\"\n\n[store]\npath = {:?}\n\n\
         [[crm]]\nname = \"vtiger\"\nkind = \"calls\"\nurl = \"{}\"\nsecret = \"another-secret-of-bytes\"\n\n\
         [http]\nlisten = []\n{more}",
        place.database(),
        vtiger.url()
    ));
}

fn call(id: &str, request: &str, from: &str, to: &str, expires_at: &str) -> Value {
    let call = json!({ "request": request, "from": from, "to": to, "crm_record": "4012", "user": "6" });
    json!({ "id": id, "command": "call", "expires_at": expires_at, "call": call })
}

const LATER: &str = "2999-01-01T00:00:00Z";

fn done(vtiger: &Vtiger, service: &Service, id: &str) -> (bool, String) {
    let done = vtiger.wait_for(&format!("command {id} is done\n{}", service.log()), PATIENCE, |v| v.done(id));
    (done["ok"] == true, done["error"].as_str().unwrap_or_default().to_owned())
}

fn records(vtiger: &Vtiger) -> Vec<Value> {
    let of = |asked: Value| asked["records"].as_array().cloned().unwrap_or_default();
    vtiger.asked("records").into_iter().flat_map(of).collect()
}

#[test]
fn what_a_crm_wants_done_is_fetched_and_carried_out() {
    let (vtiger, place) = (Vtiger::start(), Place::new());
    let stage = exchange(&STORY, 1, Duration::ZERO, 10.0);
    let agi = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    write(&place, stage.address().port(), &vtiger, &format!("\n[agi]\nlisten = [\"127.0.0.1:{agi}\"]\n"));
    let mut service = place.start();
    let missed = vtiger.wait_for("the missed call", PATIENCE, |vtiger| {
        records(vtiger).into_iter().find(|record| record["follow_up"] == "open" && record["ended_at"].is_string())
    });

    // A click goes the whole way: stored, asked for, and told of to its end (this exchange is a recording and refuses it).
    vtiger.command(call("1", "click-1", "101", "+7 916 123-45-67", LATER));
    assert_eq!(done(&vtiger, &service, "1"), (true, String::new()));
    let of_click = |vtiger: &Vtiger| {
        records(vtiger).into_iter().find(|record| record["request"] == "click-1" && record["ended_at"].is_string())
    };
    let record = vtiger.wait_for("the click's record", PATIENCE, of_click);
    assert_eq!(
        (&record["crm_record"], &record["from"], &record["lead"]),
        (&json!("4012"), &json!("101"), &json!(true))
    );
    let told = vtiger.wait_for("how the click goes", PATIENCE, |vtiger| {
        let of = |asked: Value| asked["requests"].as_array().cloned().unwrap_or_default();
        vtiger.asked("commands").into_iter().flat_map(of).find(|told| told["state"] == "failed")
    });
    assert_eq!((&told["request"], &told["conversation"]), (&json!("click-1"), &record["conversation"]));
    assert_eq!(told["reason"], record["reason"], "{told:#}");

    // What is refused is told with the code a posted click would have got.
    vtiger.command(call("2", "click-2", "101", "${EXTEN}", LATER));
    assert_eq!(done(&vtiger, &service, "2"), (false, "bad_number".into()));
    vtiger.command(call("3", "click-3", "101", "+79161234567", "2026-11-22T10:00:00Z"));
    assert_eq!(done(&vtiger, &service, "3"), (false, "expired".into()));
    vtiger.command(json!({ "id": "4", "command": "dance" }));
    assert_eq!(done(&vtiger, &service, "4"), (false, "unknown_command".into()));
    vtiger.command(json!({ "id": "5", "command": "cancel", "request": "click-1" }));
    assert!(done(&vtiger, &service, "5").0);

    let id = missed["id"].as_str().expect("an id");
    let close = |nth: &str, id: &str| {
        json!({ "id": nth, "command": "close_follow_up", "call": id, "follow_up": "closed",
                                              "user": "5", "at": "2026-11-22T10:00:00Z" })
    };
    vtiger.command(close("6", "office-1.1-1"));
    assert_eq!(done(&vtiger, &service, "6"), (false, "not_found".into()));
    vtiger.command(close("7", id));
    assert!(done(&vtiger, &service, "7").0);
    vtiger.wait_for("the closed follow-up", PATIENCE, |vtiger| {
        records(vtiger).into_iter().find(|record| record["id"] == id && record["follow_up"] == "closed")
    });

    // Users and directory are asked for again when vTiger says so, and after a reload commands still come.
    service.signal("HUP");
    service.wait_for_log("the new configuration is in force", PATIENCE);
    let before = (vtiger.asked("users").len(), vtiger.asked("directory").len());
    vtiger.command(json!({ "id": "8", "command": "refresh", "what": "users" }));
    assert!(done(&vtiger, &service, "8").0);
    vtiger.wait_for("users are asked for again", PATIENCE, |vtiger| {
        (vtiger.asked("users").len() > before.0 && vtiger.asked("directory").len() > before.1).then_some(())
    });
    service.signal("TERM");
    assert!(service.wait(PATIENCE).success(), "{}", service.log());
    assert!(service.log().contains("stopped; what was not delivered"), "in time, in mid-poll:\n{}", service.log());
}

#[test]
fn the_crm_hears_at_once_when_a_link_goes_down_or_up() {
    let (vtiger, place) = (Vtiger::start(), Place::new());
    let stage = exchange(&STORY, 1, Duration::ZERO, 10.0);
    let address = stage.address();
    write(&place, address.port(), &vtiger, "\n[agi]\nlisten = []\n");
    let service = place.start();
    let beat = |what: &str, fits: &dyn Fn(&Value) -> bool| {
        let found = |vtiger: &Vtiger| vtiger.asked("heartbeat").into_iter().rfind(|beat| fits(&beat["pbxs"][0]));
        vtiger.wait_for(&format!("{what}\n{}", service.log()), PATIENCE, found)
    };
    let up = beat("the link is up, and which Asterisk it is", &|pbx| pbx["up"] == true && pbx["asterisk"].is_string());
    assert_eq!(
        (&up["region"], &up["last_digits"], &up["version"]),
        (&json!("RU"), &json!(7), &json!(env!("CARGO_PKG_VERSION")))
    );
    assert_eq!((&up["pbxs"][0]["pbx"], &up["outbox"]["parked"]), (&json!("office"), &json!(0)));
    assert!(up["started_at"].is_string() && up["sent_at"].is_string(), "{up:#}");
    drop(stage);
    let down = beat("the link is down", &|pbx| pbx["up"] == false && pbx["error"].is_string());
    assert!(down["pbxs"][0]["since"].as_str() >= up["pbxs"][0]["since"].as_str(), "{down:#}");
    let count = vtiger.asked("heartbeat").len();
    let _stage = exchange_at(address, &STORY, 1, Duration::ZERO, 10.0);
    vtiger.wait_for("the link is up again", PATIENCE, |vtiger| {
        vtiger.asked("heartbeat").iter().skip(count).any(|beat| beat["pbxs"][0]["up"] == true).then_some(())
    });
}

#[test]
fn a_client_is_forgotten_in_the_crm_too_even_if_it_is_away_now() {
    let (vtiger, place) = (Vtiger::start(), Place::new());
    let stage = exchange(&STORY, 1, Duration::ZERO, 10.0);
    write(&place, stage.address().port(), &vtiger, "\n[agi]\nlisten = []\n");
    let service = place.start();
    vtiger.wait_for("the call", PATIENCE, |vtiger| {
        records(vtiger).iter().any(|r| r["ended_at"].is_string()).then_some(())
    });
    vtiger.be_away(true);
    let forget = place.command(&["forget", "--yes", "8 916 123-45-67"]);
    assert!(forget.status.success(), "{}", String::from_utf8_lossy(&forget.stderr));
    service.wait_for_log("reports wait", PATIENCE);
    service.kill();
    vtiger.be_away(false);
    let mut service = place.start();
    let asked = vtiger.wait_for("it is told after the restart", PATIENCE, |vtiger| vtiger.asked("forget").pop());
    assert_eq!(asked["number"], "+79161234567");
    service.wait_for_log("is forgotten there", PATIENCE);
    service.signal("TERM");
    assert!(service.wait(PATIENCE).success(), "{}", service.log());
    // Without a running service it is kept for the next.
    let forget = place.command(&["forget", "--yes", "+7 495 123-45-67"]);
    assert!(forget.status.success(), "{}", String::from_utf8_lossy(&forget.stderr));
    let told = vtiger.asked("forget").len();
    let mut service = place.start();
    vtiger.wait_for("the second one", PATIENCE, |vtiger| (vtiger.asked("forget").len() > told).then_some(()));
    service.signal("TERM");
    assert!(service.wait(PATIENCE).success(), "{}", service.log());
    let mut numbers: Vec<Value> = vtiger.asked("forget").into_iter().map(|asked| asked["number"].clone()).collect();
    numbers.dedup();
    assert_eq!(numbers, [json!("+79161234567"), json!("+74951234567")], "whoever was forgotten is not asked for again");
    drop(stage);
}
