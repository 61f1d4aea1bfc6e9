//! The real binary fills gaps from Asterisk's own records: on start, by command, once each, and never what was forgotten.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use support::crm::Crm;
use support::office::exchange;
use support::program::Place;

const PATIENCE: Duration = Duration::from_secs(60);

/// The rows of a story as `cdr_csv` writes them, so many seconds before now, with ids of their own.
fn rows(story: &str, ago_s: i64) -> String {
    let csv = String::from_utf8(support::traces::load(story).cdr_csv.expect("rows")).expect("UTF-8");
    let mut lines = csv.lines().map(pinconnector::cdr::csv::values);
    let header = lines.next().expect("a header");
    let lines: Vec<Vec<String>> = lines.collect();
    let at = |name: &str| header.iter().position(|own| own == name).expect("a column");
    let second = |text: &str| pinconnector::cdr::columns::local_ms(text).expect("a time") / 1_000;
    let first = lines.iter().map(|values| second(&values[at("start")])).min().expect("rows");
    let shift = jiff::Timestamp::now().as_second() - ago_s - first;
    let order = [
        "accountcode",
        "src",
        "dst",
        "dcontext",
        "clid",
        "channel",
        "dstchannel",
        "lastapp",
        "lastdata",
        "start",
        "answer",
        "end",
        "duration",
        "billsec",
        "disposition",
        "amaflags",
        "uniqueid",
        "userfield",
        "peeraccount",
        "linkedid",
        "sequence",
    ];
    let mut text = String::new();
    for values in lines {
        let values = order.map(|name| {
            let value = &values[at(name)];
            match name {
                "start" | "answer" | "end" if !value.is_empty() => {
                    let moved = jiff::Timestamp::from_second(second(value) + shift).expect("a time");
                    moved.strftime("%Y-%m-%d %H:%M:%S").to_string()
                }
                "uniqueid" | "linkedid" => {
                    let (epoch, counter) = value.split_once('.').expect("EPOCH.COUNTER");
                    format!("{}.{counter}", epoch.parse::<i64>().expect("a number") + shift)
                }
                _ => value.replace('"', "\"\""),
            }
        });
        text.push_str(&format!("\"{}\"\n", values.join("\",\"")));
    }
    text
}

struct Office {
    place: Place,
    csv: PathBuf,
    crm: Crm,
    _exchange: pinconnector::ami::stage::Stage,
}

impl Office {
    fn new() -> Self {
        let (place, crm) = (Place::new(), Crm::start());
        let exchange = exchange(&[], 0, Duration::ZERO, 1.0);
        let csv = place.folder.path().join("Master.csv");
        std::fs::write(&csv, "").expect("written");
        place.write_usual(exchange.address().port(), &crm.url(), "");
        let text = std::fs::read_to_string(place.config()).expect("written");
        let section = format!("[asterisk.cdr]\nkind = \"csv\"\npath = {csv:?}\ntime_zone = \"UTC\"\n\n[numbers]");
        place.write(&text.replace("[numbers]", &section));
        Self { place, csv, crm, _exchange: exchange }
    }

    fn append(&self, text: &str) {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().append(true).open(&self.csv).expect("there");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn reconcile(&self, words: &[&str]) -> Value {
        let out = self.place.command(&[&["reconcile", "--json"], words].concat());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).expect("one report")
    }
}

#[test]
fn what_nobody_heard_is_filled_in_once() {
    let office = Office::new();
    let mut service = office.place.start();
    service.wait_for_log("call detail records are read from now on", PATIENCE);
    assert_eq!(office.crm.newest().len(), 0);
    service.signal("TERM");
    assert!(service.wait(PATIENCE).success(), "{}", service.log());

    // While nobody listens: three phones ring and one answers; a client hangs up in the greeting.
    office.append(&rows("22/h_group_answered_102", 300));
    office.append(&rows("22/d_greeting_caller_hangs", 200));
    let service = office.place.start();
    office.crm.wait_until("the gap is filled", PATIENCE, |crm| crm.newest().len() == 4);
    for record in office.crm.newest().values() {
        assert_eq!((&record["source"], &record["live"]), (&Value::from("cdr"), &Value::from(false)), "{record}");
    }
    let missed = office.crm.newest().into_values().find(|record| record["status"] == "missed").expect("the greeting");
    assert_eq!((&missed["reason"], &missed["follow_up"]), (&Value::from("greeting"), &Value::from("open")));

    // By command: all there, though nothing was written of calls that reached nobody.
    let report = office.reconcile(&["--since", "1h"]);
    assert_eq!(
        (&report["calls"], &report["missing"], &report["imported"]),
        (&2.into(), &0.into(), &0.into()),
        "{report}"
    );
    assert!(report["notes"].to_string().contains("unanswered = yes"), "{report}");
    let text = String::from_utf8(office.place.command(&["reconcile", "--since", "1h"]).stdout).expect("UTF-8");
    assert!(text.contains("2 calls, all present"), "{text}");

    // What is not to be imported is only named; then it is.
    office.append(&rows("22/b_in_noanswer", 100));
    let report = office.reconcile(&["--since", "1h", "--dry-run"]);
    assert_eq!((&report["missing"], &report["imported"]), (&1.into(), &0.into()), "{report}");
    let report = office.reconcile(&["--since", "1h"]);
    assert_eq!((&report["missing"], &report["imported"]), (&1.into(), &1.into()), "{report}");
    office.crm.wait_until("it arrives", PATIENCE, |crm| crm.newest().len() == 5);

    // Forgotten is forgotten, also by those who read Asterisk's records.
    assert!(office.place.command(&["forget", "--yes", "+79161234567"]).status.success());
    let report = office.reconcile(&["--since", "1h"]);
    assert_eq!(
        (&report["calls"], &report["missing"], &report["imported"]),
        (&3.into(), &0.into(), &0.into()),
        "{report}"
    );
    drop(service);

    // Without a service the command does it itself.
    office.append(&rows("22/j_internal_answered", 50));
    let report = office.reconcile(&["--since", "1h"]);
    assert_eq!((&report["missing"], &report["imported"]), (&1.into(), &1.into()), "{report}");
    assert_eq!(office.reconcile(&["--since", "1h"])["missing"], 0);
}

#[test]
fn without_records_of_calls_reconcile_says_what_to_add() {
    let (place, crm) = (Place::new(), Crm::start());
    place.write_usual(1, &crm.url(), "");
    let out = place.command(&["reconcile"]);
    assert_eq!(out.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&out.stderr).contains("[asterisk.cdr]"));
}
