//! Commands fetched and reports told: each once, in order, through a CRM that fails.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use pinconnector::call::record::Moment;
use pinconnector::crm::calls_module::{CommandDone, Order, RequestProgress};
use pinconnector::crm::courier::{self, Fetched, Report, Word};
use pinconnector::crm::{Crm, Interrupter};

use crate::scripted::{Reply, Server};
use crate::{client, crm, signature};

const NOTHING: &str = r#"{"ok":true,"module":"Calls","commands":[]}"#;

fn cancels(ids: &[u32]) -> Reply {
    let commands: Vec<String> =
        ids.iter().map(|id| format!(r#"{{"id":"{id}","command":"cancel","request":"r{id}"}}"#)).collect();
    Reply::new(200, format!(r#"{{"ok":true,"module":"Calls","commands":[{}]}}"#, commands.join(",")))
}

struct Fetcher {
    orders: Receiver<Fetched>,
    stop: Sender<()>,
    interrupter: Interrupter,
    thread: JoinHandle<()>,
}

fn fetch(crm: &Arc<Crm>) -> Fetcher {
    let client = client(crm);
    let interrupter = client.interrupter();
    let (orders_in, orders) = bounded(16);
    let (stop, stopped) = bounded(0);
    let thread = std::thread::spawn(move || courier::fetch(client, orders_in, stopped));
    Fetcher { orders, stop, interrupter, thread }
}

impl Fetcher {
    /// The next command's id; all of these tests cancel.
    fn next(&self) -> String {
        let fetched = self.orders.recv_timeout(Duration::from_secs(20)).expect("a command");
        assert_eq!(fetched.crm, "vtiger");
        assert_eq!(fetched.command.order, Ok(Order::Cancel { request: format!("r{}", fetched.command.id) }));
        fetched.command.id
    }

    fn end(self) {
        drop(self.stop);
        self.interrupter.interrupt();
        let started = Instant::now();
        self.thread.join().expect("the fetcher ends");
        assert!(started.elapsed() < Duration::from_secs(5), "a long poll does not hold up the end");
    }
}

#[test]
fn a_command_that_is_repeated_until_it_is_done_is_handed_on_once() {
    let server = Server::start([cancels(&[1, 2]), cancels(&[1, 2, 3]), cancels(&[3]), cancels(&[4]), Reply::Hang]);
    let fetcher = fetch(&crm("calls", &server.url(""), ""));
    assert_eq!([fetcher.next(), fetcher.next(), fetcher.next(), fetcher.next()], ["1", "2", "3", "4"]);
    for _ in 0..5 {
        let asked = server.next();
        signature::check(&asked);
        assert_eq!(asked.json(), serde_json::json!({"op": "commands", "wait_s": 25}));
    }
    assert!(fetcher.orders.is_empty());
    fetcher.end();
}

#[test]
fn whether_a_command_came_too_late_is_told_by_the_clock_of_the_crm() {
    // Hours off ours: only signatures mind that.
    let answer = r#"{"ok":true,"module":"Calls","time":"2026-11-22T10:00:00Z","commands":[{"id":"1","command":"cancel","request":"r1"}]}"#;
    let server = Server::start([Reply::new(200, answer), Reply::Hang]);
    let fetcher = fetch(&crm("calls", &server.url(""), ""));
    let fetched = fetcher.orders.recv_timeout(Duration::from_secs(20)).expect("a command");
    let moment = |text: &str| serde_json::from_value::<Moment>(text.into()).expect("a moment");
    assert!(!fetched.is_past(moment("2026-11-22T10:30:00Z")));
    assert!(fetched.is_past(moment("2026-11-22T10:00:00Z")));
    fetcher.end();
}

#[test]
fn a_client_is_forgotten_once_the_crm_says_so() {
    let answer = r#"{"ok":true,"module":"Calls","number":"+79161234567","calls":3,"recordings":1}"#;
    let server = Server::start([Reply::new(503, ""), Reply::new(200, answer), Reply::new(200, NOTHING)]);
    let teller = tell(&crm("calls", &server.url(""), ""));
    teller.reports.send(Report::Forget("+79161234567".to_owned())).expect("the teller listens");
    let asked = server.next();
    assert_eq!(asked.json(), serde_json::json!({"op": "forget", "number": "+79161234567"}));
    assert!(teller.heard.is_empty(), "the CRM was away");
    assert_eq!(server.next().json()["op"], "forget");
    let (_, word) = teller.heard.recv_timeout(Duration::from_secs(10)).expect("an answer");
    assert_eq!(word, Word::Forgotten("+79161234567".to_owned()));
    drop(teller.reports);
    teller.thread.join().expect("the teller ends");
    assert!(server.asked.is_empty());
}

#[test]
fn a_crm_that_does_not_wait_is_not_asked_without_pause() {
    let server = Server::start((0..1000).map(|_| Reply::new(200, NOTHING)));
    let fetcher = fetch(&crm("calls", &server.url(""), ""));
    server.next();
    let started = Instant::now();
    server.next();
    server.next();
    assert!(started.elapsed() >= Duration::from_millis(1500), "{:?}", started.elapsed());
    fetcher.end();
}

#[test]
fn fetching_goes_on_when_the_crm_is_back() {
    let server = Server::start([
        cancels(&[1]),
        Reply::new(500, ""),
        Reply::new(200, "<html>proxy</html>"),
        cancels(&[1, 2]),
        Reply::Hang,
    ]);
    let fetcher = fetch(&crm("calls", &server.url(""), ""));
    let started = Instant::now();
    assert_eq!([fetcher.next(), fetcher.next()], ["1", "2"]);
    assert!(started.elapsed() >= Duration::from_secs(3), "1 s and 2 s of waiting");
    fetcher.end();
}

#[test]
fn fetching_ends_when_nobody_wants_commands() {
    let server = Server::start([cancels(&[1])]);
    let Fetcher { orders, thread, stop: _stop, .. } = fetch(&crm("calls", &server.url(""), ""));
    drop(orders);
    thread.join().expect("the fetcher ends");
}

struct Teller {
    reports: Sender<Report>,
    heard: Receiver<(String, Word)>,
    thread: JoinHandle<()>,
}

fn tell(crm: &Arc<Crm>) -> Teller {
    let client = client(crm);
    let (reports, receiver) = bounded(64);
    let (answers, heard) = bounded(1);
    let thread = std::thread::spawn(move || courier::tell(client, receiver, answers));
    Teller { reports, heard, thread }
}

fn progress(request: &str, state: &str) -> Report {
    Report::Progress(RequestProgress {
        request: request.to_owned(),
        state: state.to_owned(),
        conversation: None,
        reason: None,
    })
}

fn done(id: &str) -> Report {
    Report::Done(CommandDone { id: id.to_owned(), ok: true, error: None, message: None })
}

#[test]
fn reports_are_told_at_once_and_heartbeats_are_answered() {
    let beat = r#"{"ok":true,"module":"Calls","users_revision":"7","commands_waiting":2}"#;
    let server = Server::start([Reply::new(200, NOTHING), Reply::new(200, beat), Reply::new(200, NOTHING)]);
    let teller = tell(&crm("calls", &server.url(""), ""));
    teller.reports.send(done("16")).expect("the teller listens");
    let asked = server.next();
    signature::check(&asked);
    assert_eq!(asked.json(), serde_json::json!({"op": "commands", "wait_s": 0, "done": [{"id": "16", "ok": true}]}));
    teller.reports.send(Report::Heartbeat(Box::default())).expect("the teller listens");
    assert_eq!(server.next().json()["op"], "heartbeat");
    let (from, answer) = teller.heard.recv_timeout(Duration::from_secs(10)).expect("an answer");
    let Word::Heartbeat(answer) = answer else { panic!("{answer:?}") };
    assert_eq!((from.as_str(), answer.users_revision.as_deref(), answer.commands_waiting), ("vtiger", Some("7"), 2));
    teller.reports.send(progress("r", "talking")).expect("the teller listens");
    assert_eq!(server.next().json()["requests"], serde_json::json!([{"request": "r", "state": "talking"}]));
    drop(teller.reports);
    teller.thread.join().expect("the teller ends");
    assert!(server.asked.is_empty());
}

#[test]
fn what_a_crm_missed_is_told_when_it_is_back_and_of_each_call_only_how_it_stands() {
    let server = Server::start([Reply::new(503, ""), Reply::new(200, NOTHING), Reply::new(200, NOTHING)]);
    let teller = tell(&crm("calls", &server.url(""), ""));
    let send = |report| teller.reports.send(report).expect("the teller listens");
    send(done("1"));
    server.next();
    // All of these come while it waits for the CRM.
    send(progress("a", "queued"));
    send(progress("b", "queued"));
    send(progress("a", "agent_ringing"));
    send(done("2"));
    send(progress("a", "talking"));
    let json = server.next().json();
    assert_eq!(json["done"], serde_json::json!([{"id": "1", "ok": true}, {"id": "2", "ok": true}]));
    let states = serde_json::json!([{"request": "b", "state": "queued"}, {"request": "a", "state": "talking"}]);
    assert_eq!(json["requests"], states);
    drop(teller.reports);
    teller.thread.join().expect("the teller ends");
}

#[test]
fn a_report_that_is_refused_holds_up_no_other() {
    let refusal = r#"{"ok":false,"module":"Calls","error":"bad_request","message":"no"}"#;
    let server = Server::start([Reply::new(400, refusal), Reply::new(200, NOTHING)]);
    let teller = tell(&crm("calls", &server.url(""), ""));
    teller.reports.send(done("1")).expect("the teller listens");
    assert_eq!(server.next().json()["done"][0]["id"], "1");
    teller.reports.send(done("2")).expect("the teller listens");
    assert_eq!(server.next().json()["done"], serde_json::json!([{"id": "2", "ok": true}]));
    drop(teller.reports);
    teller.thread.join().expect("the teller ends");
}

#[test]
fn at_the_end_what_is_left_is_told_once_more() {
    let server = Server::start([Reply::new(503, "").with("Retry-After", "600"), Reply::new(200, NOTHING)]);
    let teller = tell(&crm("calls", &server.url(""), ""));
    teller.reports.send(done("1")).expect("the teller listens");
    server.next();
    drop(teller.reports);
    teller.thread.join().expect("the teller ends without waiting ten minutes");
    assert_eq!(server.next().json()["done"], serde_json::json!([{"id": "1", "ok": true}]));
}

#[test]
fn a_hundred_reports_go_into_a_request_and_a_thousand_wait() {
    let server = Server::start([Reply::new(503, "")]);
    let teller = tell(&crm("calls", &server.url(""), ""));
    teller.reports.send(Report::Heartbeat(Box::default())).expect("the teller listens");
    server.next();
    (0..1500).for_each(|_| server.then(Reply::new(200, NOTHING)));
    for n in 0..1200 {
        teller.reports.send(done(&n.to_string())).expect("the teller listens");
    }
    drop(teller.reports);
    teller.thread.join().expect("the teller ends");
    let told: Vec<Vec<u32>> = server
        .asked
        .try_iter()
        .filter_map(|asked| {
            let id = |done: &serde_json::Value| done["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
            Some(asked.json()["done"].as_array()?.iter().map(id).collect())
        })
        .collect();
    assert!(told.iter().all(|batch| batch.len() <= 100));
    let told = told.concat();
    assert!(told.is_sorted_by(|a, b| a < b), "in order, each once");
    assert!(told.len() >= 1000 && told.last() == Some(&1199), "the newest thousand at least: {}", told.len());
}
