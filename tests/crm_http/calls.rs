//! The module «Calls»: every example of `wire/calls/` built and read as the contract says.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use pinconnector::call::record::{FollowUp, Moment};
use pinconnector::clock;
use pinconnector::crm::answer::{Answer, Fault};
use pinconnector::crm::calls_module::*;
use pinconnector::crm::sender;
use pinconnector::outbox::{Delivery, Outcome, Verdict};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::scripted::{Asked, Reply, Server};
use crate::{SECRET, batch, client, crm, delivery, down, no_links, send, signature};

const CALLBACK: &str = "/modules/Calls/callbacks/Connector.php";

fn wire(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire/calls").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn at(text: &str) -> Moment {
    Moment(clock::parse_rfc3339(text).expect("a time"))
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() }
}

fn read<T: DeserializeOwned>(name: &str) -> T {
    decode(&answer(200, &wire(name))).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

/// The example is written with indents, the wire without; key by key and byte by byte they are the same.
fn same<O: Operation>(operation: &O, name: &str) {
    let body = Body { op: O::OP, operation };
    let indented = serde_json::to_string_pretty(&body).expect("JSON");
    assert_eq!(indented, wire(name).trim_end(), "{name}");
    let compact: Value = serde_json::from_slice(&encode(operation)).expect("JSON");
    assert_eq!(compact, serde_json::from_str::<Value>(&wire(name)).expect("JSON"), "{name}");
    assert!(!encode(operation).contains(&b'\n'));
}

#[test]
fn every_request_is_the_example_byte_for_byte() {
    same(&Users {}, "users.request.json");
    same(
        &Lookup { number: "89161234567".to_owned(), did: some("+74951234531"), pbx: some("msk") },
        "lookup.request.json",
    );
    same(&Directory { cursor: String::new(), limit: DIRECTORY_PAGE }, "directory.request.json");
    same(&Directory { cursor: "since:731".to_owned(), limit: DIRECTORY_PAGE }, "directory-increment.request.json");
    let data = "UklGRgwAAABXQVZFZGF0YQAAAAA=".to_owned();
    let (call, recording) = ("msk-1763805600.17-1".to_owned(), "msk-1763805600.17-r1".to_owned());
    let piece = SendRecording { call, recording, size: 20, offset: 0, content_type: "audio/wav", data };
    same(&piece, "recording.request.json");
    same(&Forget { number: "+79161234567".to_owned() }, "forget.request.json");
    let commands = Commands {
        wait_s: MAX_WAIT_S,
        done: vec![
            CommandDone { id: "16".to_owned(), ok: true, error: None, message: None },
            CommandDone {
                id: "15".to_owned(),
                ok: false,
                error: some("conflict"),
                message: some("101 already has a request ringing"),
            },
        ],
        requests: vec![
            RequestProgress {
                request: "0b7a5c1e2d3f40516273849586a7b8c9".to_owned(),
                state: "customer_ringing".to_owned(),
                conversation: some("msk-1763805700.21"),
                reason: None,
            },
            RequestProgress {
                request: "11111111222222223333333344444444".to_owned(),
                state: "failed".to_owned(),
                conversation: None,
                reason: some("agent_no_answer"),
            },
        ],
    };
    same(&commands, "commands.request.json");
    let heartbeat = Heartbeat {
        sent_at: at("2026-11-22T10:00:00.000Z"),
        version: "0.3.0".to_owned(),
        started_at: at("2026-11-20T06:00:00.000Z"),
        public_url: some("https://pbx.example.ru:8384"),
        event_origins: vec!["https://crm.example.ru".to_owned()],
        region: some("RU"),
        area_code: some("495"),
        last_digits: 7,
        time_zone: some("Europe/Moscow"),
        pbxs: vec![
            PbxHealth {
                pbx: "msk".to_owned(),
                up: true,
                since: at("2026-11-21T22:10:00.000Z"),
                asterisk: some("20.11.0"),
                open_calls: Some(3),
                error: None,
            },
            PbxHealth {
                pbx: "spb".to_owned(),
                up: false,
                since: at("2026-11-22T09:41:00.000Z"),
                asterisk: None,
                open_calls: None,
                error: some("connection refused (10.1.0.5:5038)"),
            },
        ],
        outbox: OutboxHealth { waiting: 12, parked: 1, oldest_at: Some(at("2026-11-22T09:58:00.000Z")) },
        last_error: Some(LastError {
            at: at("2026-11-22T09:57:00.000Z"),
            message: "msk-1763801111.3-1 rejected: started_at is missing".to_owned(),
        }),
        counters: Counters { records_saved: 10412, requests_failed: 3, calls_placed: 211 },
    };
    same(&heartbeat, "heartbeat.request.json");
}

#[test]
fn the_examples_heads_carry_our_signature_over_their_bodies() {
    let heads = [
        "records",
        "users",
        "lookup",
        "directory",
        "directory-increment",
        "forget",
        "commands",
        "heartbeat",
        "recording",
    ];
    for name in heads {
        let body = wire(&format!("{name}.request.json")).into_bytes();
        let asked = Asked { head: wire(&format!("{name}.request.head")), body, connection: 0 };
        let header = |header| asked.header(header).unwrap_or_else(|| panic!("{header} in {name}"));
        let (time, nonce) = (header("x-pin-time"), header("x-pin-nonce"));
        assert_eq!(asked.line(), format!("POST {CALLBACK} HTTP/1.1"));
        assert_eq!(header("content-length"), asked.body.len().to_string(), "{name}");
        let independent = signature::independent(SECRET, "POST", CALLBACK, time, nonce, &asked.body);
        assert_eq!(header("x-pin-signature"), independent, "{name}");
    }
}

/// The records of the example as they would lie in the outbox: without `live`.
fn example_records() -> Vec<Delivery> {
    let whole: Value = serde_json::from_str(&wire("records.request.json")).expect("JSON");
    let sent_at = at("2026-11-22T10:05:01.000Z").0;
    let stored = |record: &Value| {
        let mut record = record.clone();
        let live = record.as_object_mut().expect("an object").remove("live");
        let age_ms = if live == Some(true.into()) { 1_000 } else { 60_000 };
        Delivery {
            record_id: record["id"].as_str().expect("an id").to_owned(),
            revision: record["revision"].as_u64().expect("a revision"),
            body: record.to_string().into(),
            changed_at_ms: sent_at - age_ms,
            told: None,
        }
    };
    whole["records"].as_array().expect("records").iter().map(stored).collect()
}

#[test]
fn records_are_sent_as_in_the_example() {
    let body = pinconnector::crm::webhook::encode(&example_records(), at("2026-11-22T10:05:01.000Z").0, 0);
    let mut example: Value = serde_json::from_str(&wire("records.request.json")).expect("JSON");
    // The last record of the example is malformed on purpose, and has no `live`.
    example["records"][4]["live"] = false.into();
    assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), example);
}

#[test]
fn each_record_gets_its_own_verdict() {
    let records = example_records();
    let expected = vec![
        Verdict::Saved,
        Verdict::Saved,
        Verdict::Unchanged,
        Verdict::Stale { has: 1_763_805_599_999 },
        Verdict::Rejected { reason: "direction: \"sideways\" is none of incoming, outgoing, internal".to_owned() },
    ];
    let given = answer(200, &wire("records.answer.json"));
    assert_eq!(judge_records(&given, &records), Outcome::Answered(expected.clone()));
    // Results come in any order.
    let turned: Vec<Delivery> = records.iter().rev().cloned().collect();
    assert_eq!(judge_records(&given, &turned), Outcome::Answered(expected.into_iter().rev().collect()));
}

#[test]
fn what_was_not_judged_is_sent_again() {
    let records = &example_records()[..3];
    let expected = vec![
        Verdict::Saved,
        Verdict::Rejected {
            reason: "vTiger stopped while saving: Allowed memory size of 134217728 bytes exhausted".to_owned(),
        },
        Verdict::Retry { why: "not reached".to_owned() },
    ];
    let given = answer(200, &wire("records-retry.answer.json"));
    assert_eq!(judge_records(&given, records), Outcome::Answered(expected));
}

#[test]
fn an_answer_that_says_nothing_of_a_record_or_nothing_we_know_is_no_verdict() {
    let judge = |results: &str, count: usize| {
        let records: Vec<Delivery> = (1..=count).map(|n| delivery(&format!("a-{n}-1"), 5)).collect();
        judge_records(&answer(200, &format!(r#"{{"ok":true,"module":"Calls","results":[{results}]}}"#)), &records)
    };
    let saved = r#"{"id":"a-1-1","result":"saved","revision":5}"#;
    let Outcome::Answered(verdicts) = judge(&format!(r#"{saved},{{"id":"a-2-1","result":"eaten"}}"#), 3) else {
        panic!()
    };
    assert_eq!(verdicts[0], Verdict::Saved);
    assert_eq!(verdicts[1], Verdict::Retry { why: "result \"eaten\" is not understood".to_owned() });
    assert_eq!(verdicts[2], Verdict::Retry { why: "the answer does not name it".to_owned() });
    let stale = judge(r#"{"id":"a-1-1","result":"stale"}"#, 1);
    assert!(
        matches!(&stale, Outcome::Answered(v) if matches!(v[0], Verdict::Retry { .. })),
        "which revision? {stale:?}"
    );
    let rejected = judge(r#"{"id":"a-1-1","result":"rejected","reason":"no","crm_id":"5090"}"#, 1);
    let reason = "no (vTiger record 5090)".to_owned();
    assert_eq!(rejected, Outcome::Answered(vec![Verdict::Rejected { reason }]));
}

#[test]
fn a_batch_of_which_nothing_was_judged_is_no_fault_of_its_records() {
    let records = vec![delivery("a-1-1", 5), delivery("a-2-1", 5)];
    let nothing = answer(200, r#"{"ok":true,"module":"Calls","results":[]}"#);
    let why = down(judge_records(&nothing, &records));
    assert_eq!(why, "it took none of 2 records: the answer does not name it");
    // A single one must not hold up the others.
    assert!(
        matches!(judge_records(&nothing, &records[..1]), Outcome::Answered(v) if matches!(v[0], Verdict::Retry { .. }))
    );
}

#[test]
fn every_answer_is_read() {
    let users: UsersAnswer = read("users.answer.json");
    assert_eq!(users.revision.as_deref(), Some("3c1f0b2a"));
    assert_eq!(users.users.len(), 3);
    let first = &users.users[0];
    assert_eq!((first.user.as_str(), first.active, first.deputy.as_deref()), ("5", true, Some("6")));
    assert_eq!(first.groups, ["3", "4"]);
    assert_eq!(first.mobiles, ["+79031112233"]);
    let today = UserExtension {
        pbx: some("msk"),
        extension: "107".to_owned(),
        source: some("today"),
        until: Some(at("2026-11-22T20:00:00.000Z")),
    };
    let card = UserExtension { pbx: None, extension: "101".to_owned(), source: some("card"), until: None };
    assert_eq!(first.extensions, [today, card]);
    assert!(!users.users[2].active && users.users[2].extensions.is_empty());
    assert_eq!(users.groups[0].caller_id.as_deref(), Some("+74951234500"));
    assert_eq!((users.groups[1].priority, users.groups[1].pbx.as_deref()), (Some(2), None));

    let lookup: LookupAnswer = read("lookup.answer.json");
    assert!(lookup.found && lookup.others == 2);
    let client = lookup.client.expect("a client");
    assert_eq!((client.module.as_str(), client.id.as_str(), client.name.as_str()), ("Contacts", "4012", "Иван Петров"));
    assert_eq!(client.caller_id.as_deref(), Some("+74951234500"));
    let responsible = lookup.responsible.expect("a manager");
    assert_eq!((responsible.extension.as_deref(), responsible.deputy.as_deref()), (Some("101"), Some("6")));
    let nobody: LookupAnswer = read("lookup-notfound.answer.json");
    assert_eq!((nobody.found, nobody.client, nobody.responsible, nobody.others), (false, None, None, 0));

    let page: DirectoryAnswer = read("directory.answer.json");
    assert!(page.reset && page.more && page.entries.len() == 2);
    assert_eq!(page.cursor, "all:731:+79161234567");
    let increment: DirectoryAnswer = read("directory-increment.answer.json");
    assert!(!increment.reset && !increment.more);
    assert_eq!(increment.entries[0], DirectoryEntry { number: "+79161234567".to_owned(), client: None });
    assert_eq!(increment.entries[1].client.as_ref().map(|c| c.module.as_str()), Some("Leads"));

    let heartbeat: HeartbeatAnswer = read("heartbeat.answer.json");
    assert_eq!(heartbeat.clock_skew_seconds, Some(0.25));
    assert_eq!(heartbeat.users_revision.as_deref(), Some("3c1f0b2a"));
    assert_eq!(heartbeat.directory_head.as_deref(), Some("since:733"));

    let sound: SendRecordingAnswer = read("recording.answer.json");
    assert_eq!((sound.result.as_str(), sound.have), ("saved", 20));
    let forgotten: ForgetAnswer = read("forget.answer.json");
    assert_eq!((forgotten.calls, forgotten.recordings), (3, 1));
}

#[test]
fn every_command_is_read() {
    let answer: CommandsAnswer = read("commands.answer.json");
    let expected = [
        (
            "17",
            Order::Call {
                call: serde_json::from_str(&wire("to-connector.calls.request.json")).expect("the same body"),
                expires_at: Some(at("2026-11-22T10:00:30.000Z")),
            },
        ),
        ("18", Order::Cancel { request: "0b7a5c1e2d3f40516273849586a7b8c9".to_owned() }),
        ("19", Order::Refresh { what: Refresh::Users }),
        ("20", Order::Refresh { what: Refresh::Directory }),
        (
            "21",
            Order::CloseFollowUp {
                call: "msk-1763805600.17-1".to_owned(),
                follow_up: FollowUp::Closed,
                user: some("5"),
                at: at("2026-11-22T10:00:00.000Z"),
            },
        ),
    ];
    let expected = expected.map(|(id, order)| Command { id: id.to_owned(), order: Ok(order) });
    assert_eq!(answer.commands, expected);
    let Ok(Order::Call { call, .. }) = &answer.commands[0].order else { panic!("a call") };
    assert_eq!((call.from.as_str(), call.to.as_str(), &call.variables), ("102", "84957654321", &BTreeMap::new()));
    assert!(read::<CommandsAnswer>("commands-none.answer.json").commands.is_empty());
}

#[test]
fn a_command_of_tomorrow_does_not_hide_those_of_today() {
    let body = r#"{"ok":true,"module":"Calls","commands":[
        {"id":"1","command":"dance"},{"id":"2","command":"refresh","what":"moon"},{"id":"3","command":"cancel","request":"r"}]}"#;
    let commands = decode::<CommandsAnswer>(&answer(200, body)).expect("an answer").commands;
    assert!(commands[0].order.as_ref().is_err_and(|why| why.contains("dance")), "{commands:?}");
    assert!(commands[1].order.as_ref().is_err_and(|why| why.contains("moon")), "{commands:?}");
    assert_eq!(commands[2].order, Ok(Order::Cancel { request: "r".to_owned() }));
}

#[test]
fn the_examples_errors_mean_what_the_readme_says() {
    let errors: Vec<Value> = serde_json::from_str(&wire("errors.json")).expect("JSON");
    let mut seen = Vec::new();
    for example in &errors {
        let status = u16::try_from(example["status"].as_u64().expect("a status")).expect("a status");
        let code = example["body"]["error"].as_str().expect("a code");
        let message = example["body"]["message"].as_str().expect("a message");
        let fault = decode::<UsersAnswer>(&answer(status, &example["body"].to_string())).expect_err("an error");
        assert!(fault.to_string().contains(message), "{fault}");
        seen.push((code, matches!(fault, Fault::Request { .. })));
    }
    let expected = [
        ("bad_request", true),
        // A module that does not know what we ask is too old for us: no record is to blame.
        ("unknown_op", false),
        ("unsigned", false),
        ("bad_signature", false),
        ("clock", false),
        ("nonce", false),
        ("disabled", false),
        ("method", false),
        ("too_large", true),
        ("internal", false),
        ("unavailable", false),
    ];
    assert_eq!(seen, expected);
    let clock = errors.iter().find(|e| e["body"]["error"] == "clock").expect("the clock's");
    let fault = decode::<UsersAnswer>(&answer(401, &clock["body"].to_string())).expect_err("an error");
    assert!(fault.to_string().contains("2026-11-22T09:50:00Z, ours 2026-11-22T10:00:00Z"), "{fault}");
}

#[test]
fn an_answer_that_is_not_the_modules_is_a_fault_of_the_crm() {
    let login = "<!DOCTYPE html>\n<html><head><title>vtiger</title></head><input type=\"password\"></html>";
    let fatal = "<br />\n<b>Fatal error</b>:  Uncaught Error: Call to undefined function foo() in /var/www/x.php:3\n";
    for (status, body, words) in [
        (200, login, "a login page «vtiger» instead of the module's JSON"),
        (200, "<html><body>It works!</body></html>", "an HTML page instead of the module's JSON"),
        (200, "", "an empty answer instead of the module's JSON"),
        (200, "Licence expired", "Licence expired instead of the module's JSON"),
        (200, "{}", "instead of the module's JSON"),
        (200, r#"{"ok":true,"results":[]}"#, "instead of the module's JSON"),
        (200, r#"{"ok":true,"module":"Other","results":[]}"#, "instead of the module's JSON"),
        (200, fatal, "a PHP error: Fatal error: Uncaught Error: Call to undefined function foo()"),
        (204, "", "an empty answer instead of the module's JSON"),
        (200, r#"{"ok":true,"module":"Calls","version":"9.0.0"}"#, "module Calls 9.0.0 is not understood"),
        (200, r#"{"ok":false,"module":"Calls","message":"odd"}"#, "odd"),
        (400, "<html>400 Bad Request</html>", "400"),
        (422, "no", "422: no"),
        (404, "<html><title>404 Not Found</title></html>", "is url right and the module installed?"),
        (500, "", "PHP died"),
        (500, fatal, "Call to undefined function foo()"),
        (302, "", "redirects"),
    ] {
        let why = down(judge_records(&answer(status, body), &[delivery("a-1-1", 1)]));
        assert!(why.contains(words), "{status} {body}: {why}");
    }
    let proxy = judge_records(&answer(413, "<html><title>413 Request Entity Too Large</title></html>"), &[]);
    assert!(
        matches!(&proxy, Outcome::BatchRefused { why } if why.contains("413")),
        "a smaller one may pass: {proxy:?}"
    );
}

#[test]
fn records_go_to_the_callback_and_their_verdicts_come_back() {
    let example = wire("records.answer.json");
    for (folder, path) in [("", ""), ("/", ""), ("/crm", "/crm"), ("/crm/index.php", "/crm"), (CALLBACK, "")] {
        let server = Server::start([Reply::new(200, example.clone()).with("Content-Type", "application/json")]);
        let (back, outcome) = send(&crm("calls", &server.url(folder), ""), batch(example_records()));
        let asked = server.next();
        assert_eq!(asked.line(), format!("POST {path}{CALLBACK} HTTP/1.1"));
        signature::check(&asked);
        assert_eq!(asked.json()["op"], "records");
        assert_eq!(back.deliveries.len(), 5);
        assert!(matches!(outcome, Outcome::Answered(verdicts) if verdicts.len() == 5));
    }
}

#[test]
fn a_question_is_asked_signed_and_answered() {
    let server = Server::start([
        Reply::new(200, wire("users.answer.json")),
        Reply::new(200, wire("commands-none.answer.json")),
        Reply::new(
            401,
            r#"{"ok":false,"module":"Calls","error":"bad_signature","message":"No connector \"vtiger\" with this secret."}"#,
        ),
        Reply::Hang,
    ]);
    let crm = crm("calls", &server.url(""), "");
    let mut client = client(&crm);
    assert_eq!(ask(&mut client, &Users {}).expect("users").users.len(), 3);
    assert!(ask(&mut client, &Commands { wait_s: 25, ..Commands::default() }).expect("commands").commands.is_empty());
    let fault = ask(&mut client, &Forget { number: "1".to_owned() }).expect_err("refused");
    assert_eq!(
        fault.to_string(),
        "401: No connector \"vtiger\" with this secret. Do name and secret agree on both sides?"
    );
    let started = std::time::Instant::now();
    let within = Some(std::time::Duration::from_millis(150));
    let fault =
        ask_within(&mut client, &Lookup { number: "1".to_owned(), ..Lookup::default() }, within).expect_err("late");
    assert_eq!(fault.to_string(), "no whole answer within 0.15 s");
    assert!(started.elapsed() < std::time::Duration::from_secs(2));
    let asked: Vec<Asked> = server.asked.try_iter().collect();
    asked.iter().for_each(signature::check);
    let ops: Vec<Value> = asked.iter().map(|a| a.json()["op"].clone()).collect();
    assert_eq!(ops, ["users", "commands", "forget", "lookup"]);
}

#[test]
fn a_page_of_the_directory_may_be_larger_than_other_answers() {
    let entry = |n: usize| {
        format!(
            r#"{{"number":"+7916{n:07}","client":{{"module":"Contacts","id":"{n}","name":"{}","user":"5"}}}}"#,
            "Имя".repeat(100)
        )
    };
    let entries: Vec<String> = (0..2000).map(entry).collect();
    let page = format!(
        r#"{{"ok":true,"module":"Calls","reset":true,"more":false,"cursor":"c","entries":[{}]}}"#,
        entries.join(",")
    );
    assert!(page.len() > 1_200_000);
    let server = Server::start([Reply::new(200, page.clone()), Reply::new(200, page)]);
    let crm = crm("calls", &server.url(""), "");
    let mut client = client(&crm);
    let answer = ask(&mut client, &Directory { cursor: String::new(), limit: DIRECTORY_PAGE }).expect("a page");
    assert_eq!(answer.entries.len(), 2000);
    let outcome = sender::send(&mut client, &mut batch(vec![delivery("a-1-1", 1)]), &no_links(), 0);
    assert_eq!(down(outcome), "its answer is larger than 1048576 bytes");
}
