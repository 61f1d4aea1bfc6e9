//! The webhook's wire, byte for byte, and how a sender behaves over many records.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use pinconnector::call::record::{
    Direction, EndedBy, FollowUp, Reason, Record, Recording, RecordingState, Span, Status, StepKind, TransferKind,
};
use pinconnector::crm::{LastRequests, RequestLog, sender, webhook};
use pinconnector::lease::Pass;
use pinconnector::outbox::{Delivered, Delivery, Outcome, Verdict};

use crate::records::{at, bare, step, stored};
use crate::scripted::{Asked, Reply, Server};
use crate::{SECRET, batch, client, crm, delivery, no_links, send, signature};

fn wire(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire/webhook").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A client who rings now: `records.request`.
fn ringing() -> Record {
    let started_at = at("2026-11-22T10:00:00.120Z");
    Record {
        client_number: Some("89161234567".to_owned()),
        client_number_normalized: Some("+79161234567".to_owned()),
        client_name: Some("Иван \"Ваня\" Петров".to_owned()),
        from: Some("89161234567".to_owned()),
        to: Some("74951234531".to_owned()),
        did: Some("74951234531".to_owned()),
        extension: Some("101".to_owned()),
        trunk: Some("trunk-msk".to_owned()),
        timeline: vec![
            step(started_at, StepKind::Enter, None, Some("74951234531")).into(),
            step(at("2026-11-22T10:00:02.845Z"), StepKind::Ring, Some("101"), None).into(),
        ],
        ..bare(
            "msk-1763805600.17-1",
            "msk-1763805600.17",
            1_763_805_602_845,
            Direction::Incoming,
            Status::Ringing,
            started_at,
        )
    }
}

/// A missed one and an answered one of yesterday: `records-backlog.request`.
fn backlog() -> Vec<Record> {
    let missed = Record {
        reason: Some(Reason::Abandoned),
        ended_at: Some(at("2026-11-22T10:00:12.345Z")),
        ring_seconds: Some(Span(9_500)),
        total_seconds: Some(Span(12_225)),
        hangup_cause: Some(16),
        ended_by: Some(EndedBy::Client),
        queue: Some("sales".to_owned()),
        menu: Some("ivr-main 1".to_owned()),
        wait_seconds: Some(Span(11_400)),
        follow_up: Some(FollowUp::Open),
        outside_hours: true,
        variables: BTreeMap::from([("CAMPAIGN".to_owned(), "autumn".to_owned())]),
        status: Status::Missed,
        revision: 1_763_805_612_345,
        ..ringing()
    };
    let started_at = at("2026-11-22T10:01:40.000Z");
    let answered = Record {
        client_number: Some("84957654321".to_owned()),
        client_number_normalized: Some("+74957654321".to_owned()),
        from: Some("102".to_owned()),
        to: Some("84957654321".to_owned()),
        extension: Some("102".to_owned()),
        trunk: Some("trunk-msk".to_owned()),
        answered_at: Some(at("2026-11-22T10:01:49.500Z")),
        ended_at: Some(at("2026-11-22T10:03:10.000Z")),
        ring_seconds: Some(Span(8_200)),
        talk_seconds: Some(Span(80_500)),
        total_seconds: Some(Span(90_000)),
        hangup_cause: Some(16),
        ended_by: Some(EndedBy::Us),
        transferred_to: Some("103".to_owned()),
        transfer: Some(TransferKind::Blind),
        recordings: vec![Recording {
            id: "5f1c2ab09d3e4c77".to_owned(),
            file: "2026/11/22/out-84957654321-102.wav".to_owned(),
            started_at: at("2026-11-22T10:01:49.600Z"),
            state: Some(RecordingState::Ready),
            size: Some(1_287_724),
        }],
        click_to_call: true,
        request: Some("0b7a5c1e2d3f40516273849586a7b8c9".to_owned()),
        crm_record: Some("4012".to_owned()),
        ..bare(
            "msk-1763805700.21-1",
            "msk-1763805700.21",
            1_763_805_790_000,
            Direction::Outgoing,
            Status::Completed,
            started_at,
        )
    };
    vec![missed, answered]
}

#[test]
fn the_term_of_a_lease_stands_in_each_record() {
    let sent_at = at("2026-11-22T10:00:02.900Z").0;
    let body = webhook::encode(&[stored(&ringing(), sent_at - 55)], sent_at, 7);
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["records"][0]["term"], 7);
    assert_eq!(body["records"][0]["live"], true);
}

#[test]
fn the_body_is_the_golden_one_byte_for_byte() {
    let sent_at = at("2026-11-22T10:00:02.900Z").0;
    let body = webhook::encode(&[stored(&ringing(), sent_at - 55)], sent_at, 0);
    assert_eq!(String::from_utf8(body).expect("UTF-8"), wire("records.request.json").trim_end_matches('\n'));

    let sent_at = at("2026-11-23T08:00:00.000Z").0;
    let waiting: Vec<Delivery> = backlog().iter().map(|r| stored(r, at("2026-11-22T10:03:10.000Z").0)).collect();
    let body = webhook::encode(&waiting, sent_at, 0);
    assert_eq!(String::from_utf8(body).expect("UTF-8"), wire("records-backlog.request.json").trim_end_matches('\n'));
}

#[test]
fn the_golden_heads_are_signed_over_the_golden_bodies() {
    for name in ["records", "records-backlog"] {
        let head = wire(&format!("{name}.request.head"));
        let body = wire(&format!("{name}.request.json"));
        let asked = Asked { head, body: body.trim_end_matches('\n').as_bytes().to_vec(), connection: 0 };
        let header = |header| asked.header(header).unwrap_or_else(|| panic!("{header} in {name}"));
        let (time, nonce) = (header("x-pin-time"), header("x-pin-nonce"));
        let signed = signature::independent(SECRET, "POST", "/pinconnector?from=msk", time, nonce, &asked.body);
        assert_eq!(header("x-pin-signature"), signed, "{name}");
        assert_eq!(header("content-length"), asked.body.len().to_string(), "{name}");
    }
}

#[test]
fn the_head_is_the_golden_one_but_for_time_nonce_and_signature() {
    let server = Server::start([]);
    let crm = crm("webhook", &server.url("/pinconnector?from=msk"), "");
    let (_, outcome) = send(&crm, batch(vec![stored(&ringing(), 0)]));
    assert_eq!(outcome, Outcome::Answered(vec![Verdict::Saved]));
    let asked = server.next();
    signature::check(&asked);
    let golden = wire("records.request.head");
    // What differs from one request or version to the next, and where the test's server listens.
    let vary = ["host", "content-length", "user-agent", "x-pin-time", "x-pin-nonce", "x-pin-signature"];
    let fixed = |head: &str| -> Vec<String> {
        let name = |line: &str| line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let value =
            |line: &str| if vary.contains(&&*name(line)) { format!("{}: …", name(line)) } else { line.to_owned() };
        head.lines().filter(|line| !line.is_empty()).map(value).collect()
    };
    assert_eq!(fixed(&asked.head), fixed(&golden));
}

#[test]
fn the_golden_answers_mean_what_the_readme_says() {
    let server = Server::start([]);
    let crm = crm("webhook", &server.url("/pinconnector"), "");
    let mut client = client(&crm);
    let mut reply = |name: &str| {
        server.then(Reply::Raw(wire(name).replace('\n', "\r\n").into_bytes()));
        sender::send(&mut client, &mut batch(vec![delivery("msk-1763805600.17-1", 1)]), &no_links(), 0)
    };
    assert_eq!(reply("saved.answer.http"), Outcome::Answered(vec![Verdict::Saved]));
    assert_eq!(reply("saved-empty.answer.http"), Outcome::Answered(vec![Verdict::Saved]));
    let why = "422: direction: \"sideways\" is none of incoming, outgoing, internal".to_owned();
    assert_eq!(reply("refused.answer.http"), Outcome::BatchRefused { why });
    let Outcome::CrmDown { why, retry_after_s } = reply("down.answer.http") else { panic!("not down") };
    assert_eq!(
        (why.as_str(), retry_after_s),
        ("503: it is not there at the moment (maintenance until 10:05)", Some(120))
    );
}

#[test]
fn a_kept_connection_that_is_closed_under_a_request_is_replaced_once() {
    let saved = || Reply::new(200, r#"{"ok":true}"#);
    let closed = || Reply::Raw(Vec::new());
    let server = Server::start([saved(), closed(), saved(), closed(), closed()]);
    let crm = crm("webhook", &server.url("/pinconnector"), "");
    let mut client = client(&crm);
    let mut sent = || sender::send(&mut client, &mut batch(vec![delivery("msk-1763805600.17-1", 1)]), &no_links(), 0);
    assert_eq!(sent(), Outcome::Answered(vec![Verdict::Saved]));
    assert_eq!(sent(), Outcome::Answered(vec![Verdict::Saved]));
    let connections: Vec<usize> = (0..3).map(|_| server.next().connection).collect();
    assert_eq!(connections, [0, 0, 1], "the second request came twice");
    let Outcome::CrmDown { why, .. } = sent() else { panic!("not down") };
    assert!(why.contains("closed the connection"), "{why}");
}

#[test]
fn live_is_what_is_younger_than_thirty_seconds_when_it_is_sent() {
    let live = |age_ms: i64| {
        let record = Delivery { changed_at_ms: 1_000_000_000_000 - age_ms, ..delivery("a-1-1", 1) };
        let body = webhook::encode(&[record], 1_000_000_000_000, 0);
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        body["records"][0]["live"].as_bool().expect("live is there")
    };
    assert!(live(0) && live(29_999) && live(-60_000));
    assert!(!live(30_000) && !live(86_400_000));
}

#[test]
fn live_is_put_into_a_record_of_any_shape() {
    for body in ["{}", " {\"a\":1} ", "{\"a\":{\"b\":\"}\"}}", "{\n}\n"] {
        let record = Delivery { body: body.into(), ..delivery("a-1-1", 1) };
        let sent = webhook::encode(&[record.clone(), record], 0, 0);
        let sent: serde_json::Value = serde_json::from_slice(&sent).unwrap_or_else(|e| panic!("{body}: {e}"));
        let mut expected: serde_json::Value = serde_json::from_str(body).expect("JSON");
        expected["live"] = true.into();
        assert_eq!(sent["records"], serde_json::json!([expected, expected]));
    }
}

#[test]
fn every_request_is_signed_with_a_nonce_of_its_own_over_one_connection() {
    let server = Server::start([]);
    let crm = crm("webhook", &server.url("/a/b?c=%D0%AF&d=1"), "");
    let mut client = client(&crm);
    for revision in 1..=5 {
        sender::send(&mut client, &mut batch(vec![delivery("a-1-1", revision)]), &no_links(), 0);
    }
    let asked: Vec<Asked> = server.asked.try_iter().collect();
    assert_eq!(asked.len(), 5);
    for (index, one) in asked.iter().enumerate() {
        assert_eq!(one.line(), "POST /a/b?c=%D0%AF&d=1 HTTP/1.1");
        assert_eq!(one.connection, 0, "the connection is kept");
        assert_eq!(one.json()["records"][0]["revision"], index + 1);
        signature::check(one);
    }
    let nonces: std::collections::BTreeSet<&str> = asked.iter().filter_map(|a| a.header("x-pin-nonce")).collect();
    assert_eq!(nonces.len(), 5);
}

#[test]
fn an_address_without_a_path_is_asked_for_the_root() {
    let server = Server::start([]);
    send(&crm("webhook", &server.url(""), ""), batch(vec![delivery("a-1-1", 1)]));
    let asked = server.next();
    assert_eq!(asked.line(), "POST / HTTP/1.1");
    signature::check(&asked);
}

#[test]
fn the_operators_header_goes_along_and_never_into_the_log() {
    let server = Server::start([Reply::new(200, format!("you sent Bearer hunter2-hunter2 and {SECRET}"))]);
    let crm =
        crm("webhook", &server.url("/"), "header = { name = \"Authorization\", value = \"Bearer hunter2-hunter2\" }");
    let (lines, log) = bounded(10);
    let mut client = pinconnector::crm::Client::new(Arc::clone(&crm), RequestLog::new(lines));
    sender::send(&mut client, &mut batch(vec![delivery("a-1-1", 1)]), &no_links(), 0);
    assert_eq!(server.next().header("authorization"), Some("Bearer hunter2-hunter2"));
    let line = log.try_recv().expect("a line for the request");
    assert_eq!(line.answer, "you sent *** and ***");
    assert_eq!((line.crm.as_str(), line.op, line.status), ("vtiger", "records", Some(200)));
    assert!(line.bytes > 60 && line.at_ms > 1_700_000_000_000);
    for shown in [format!("{crm:?}"), format!("{client:?}"), format!("{line:?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains(SECRET), "{shown}");
    }
    let mut last = LastRequests::default();
    last.push(line);
    assert_eq!(last.of("vtiger").count(), 1);
}

#[test]
fn the_log_keeps_the_first_500_characters_of_an_answer() {
    let closed = || Reply::Raw(Vec::new());
    let server = Server::start([Reply::new(200, "я".repeat(10_000)), closed(), closed()]);
    let crm = crm("webhook", &server.url("/"), "");
    let (lines, log) = bounded(10);
    let mut client = pinconnector::crm::Client::new(crm, RequestLog::new(lines));
    for _ in 0..2 {
        sender::send(&mut client, &mut batch(vec![delivery("a-1-1", 1)]), &no_links(), 0);
    }
    assert_eq!(log.try_recv().expect("a line").answer, format!("{}…", "я".repeat(500)));
    let broken = log.try_recv().expect("a line");
    assert_eq!(broken.status, None);
    assert!(broken.answer.contains("closed the connection"), "{}", broken.answer);
}

#[test]
fn senders_work_side_by_side_and_end_when_there_is_no_more_work() {
    let server = Server::start([Reply::Hang]);
    let crm = crm("webhook", &server.url("/"), "timeout_s = 2\nconnect_timeout_s = 2");
    let (work, receiver) = bounded(0);
    let (done, outcomes) = bounded(16);
    let threads: Vec<_> = (0..crm.senders)
        .map(|_| {
            let (crm, receiver, done) = (Arc::clone(&crm), receiver.clone(), done.clone());
            std::thread::spawn(move || {
                sender::run(crm, receiver, done, RequestLog::none(), no_links(), Pass::alone(), Arc::default())
            })
        })
        .collect();
    drop((receiver, done));
    let started = Instant::now();
    work.send(batch(vec![delivery("slow-1-1", 1)])).expect("a sender is idle");
    server.next();
    for n in 2..=9 {
        work.send(batch(vec![delivery(&format!("fast-{n}-1"), 1)])).expect("the other sender is idle");
        let Delivered { batch: back, outcome } = outcomes.recv().expect("an outcome");
        assert_eq!(back.deliveries[0].record_id, format!("fast-{n}-1"));
        assert_eq!(outcome, Outcome::Answered(vec![Verdict::Saved]));
    }
    assert!(started.elapsed() < Duration::from_millis(1500), "one that hangs does not hold up the other");
    drop(work);
    let Delivered { batch: back, outcome } = outcomes.recv().expect("the slow one comes back, too");
    assert_eq!(back.deliveries[0].record_id, "slow-1-1");
    assert!(matches!(outcome, Outcome::CrmDown { .. }));
    for thread in threads {
        thread.join().expect("a sender without work ends");
    }
    assert!(outcomes.recv().is_err(), "and lets go of its queues");
}

/// Not a test of speed: the figure is printed, the floor only catches a connection made anew for every request.
#[test]
fn a_sender_is_no_bottleneck() {
    const REQUESTS: u32 = 500;
    let server = Server::start([]);
    let crm = crm("webhook", &server.url("/"), "");
    let mut client = client(&crm);
    let record = stored(&ringing(), 0);
    let started = Instant::now();
    for _ in 0..REQUESTS {
        let outcome = sender::send(&mut client, &mut batch(vec![record.clone()]), &no_links(), 0);
        assert_eq!(outcome, Outcome::Answered(vec![Verdict::Saved]));
    }
    let rate = f64::from(REQUESTS) / started.elapsed().as_secs_f64();
    println!("one sender, loopback, one record a request: {rate:.0} requests/s");
    assert!(rate > 200.0, "{rate}");
}
