//! What a failure means: each thing a CRM can do wrong, done at the socket, and what the operator reads of it.

use std::time::{Duration, Instant};

use pinconnector::outbox::{Outcome, Verdict};

use crate::scripted::{Reply, Server};
use crate::{batch, client, crm, delivery, down, no_links, send};
use pinconnector::crm::sender;

/// How one record fares with a webhook that replies so.
fn outcome(reply: Reply) -> Outcome {
    outcome_with(reply, "")
}

fn outcome_with(reply: Reply, more: &str) -> Outcome {
    let server = Server::start([reply]);
    send(&crm("webhook", &server.url("/hook"), more), batch(vec![delivery("a-1-1", 1)])).1
}

fn refused(outcome: Outcome) -> String {
    match outcome {
        Outcome::BatchRefused { why } => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn any_2xx_is_saved() {
    for status in [200, 201, 202, 299] {
        for body in ["", "ok", "{}", "<html><title>Thanks</title></html>"] {
            assert_eq!(outcome(Reply::new(status, body)), Outcome::Answered(vec![Verdict::Saved]), "{status} {body}");
        }
    }
    let nothing = Reply::Raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    assert_eq!(outcome(nothing), Outcome::Answered(vec![Verdict::Saved]));
    let pieces = vec![b"{\"o".to_vec(), b"k\":true}".to_vec()];
    assert_eq!(outcome(Reply::Chunked(pieces)), Outcome::Answered(vec![Verdict::Saved]));
}

#[test]
fn a_bad_request_is_refused_with_what_the_crm_said() {
    assert_eq!(refused(outcome(Reply::new(400, r#"{"message":"no such field"}"#))), "400: no such field");
    assert_eq!(refused(outcome(Reply::new(413, ""))), "413: an empty answer");
    assert_eq!(refused(outcome(Reply::new(422, "status is unknown"))), "422: status is unknown");
}

#[test]
fn a_web_server_that_wants_https_blames_no_record() {
    let page = "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n<body>\r\n\
                <center><h1>400 Bad Request</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body></html>";
    let why = down(outcome(Reply::new(400, page)));
    assert!(why.contains("The plain HTTP request was sent to HTTPS port"), "{why}");
    assert!(why.contains("http:// instead of https://"), "{why}");
}

#[test]
fn everything_else_is_a_fault_of_the_crm() {
    for (status, word) in [
        (401, "signature"),
        (402, "402"),
        (403, "forbidden"),
        (404, "url"),
        (405, "POST"),
        (409, "409"),
        (410, "url"),
        (415, "415"),
        (429, "too much"),
        (500, "failed"),
        (502, "not there"),
        (503, "not there"),
        (504, "too long"),
        (599, "failed"),
    ] {
        let why = down(outcome(Reply::new(status, "because")));
        assert!(why.starts_with(&status.to_string()) && why.contains("because") && why.contains(word), "{why}");
    }
}

#[test]
fn an_empty_500_is_php_that_died() {
    let why = down(outcome(Reply::new(500, "")));
    assert!(why.contains("PHP died") && why.contains("logs"), "{why}");
}

#[test]
fn a_refused_signature_says_both_clocks_when_they_differ() {
    let at = |date: &str| down(outcome(Reply::new(401, "no").with("Date", date)));
    let why = at("Sat, 01 Jan 2000 10:00:00 GMT");
    assert!(why.contains("its clock says 2000-01-01T10:00:00.000Z, ours 20"), "{why}");
    let now = jiff::fmt::rfc2822::to_string(&jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC));
    let why = at(&now.expect("a date"));
    assert!(!why.contains("clock"), "{why}");
}

#[test]
fn a_login_page_has_saved_nothing_whatever_its_status_says() {
    let page = "<!DOCTYPE html><html><head><title>vtiger</title></head><body><form action=\"index.php\">\
                <input name=\"username\"><input type=\"password\" name=\"password\"></form></body></html>";
    let why = down(outcome(Reply::new(200, page).with("Content-Type", "text/html; charset=UTF-8")));
    assert_eq!(why, "it answered 200 with a login page «vtiger»");
}

#[test]
fn a_redirect_is_not_followed_but_told() {
    let elsewhere = Server::start([]);
    for status in [301, 302, 303, 307, 308] {
        let why = down(outcome(Reply::new(status, "").with("Location", elsewhere.url("/new"))));
        assert!(why.contains(&format!("{status}: it redirects to {}", elsewhere.url("/new"))), "{why}");
    }
    assert!(elsewhere.asked.is_empty(), "nobody went there");
    let nowhere = down(outcome(Reply::new(302, "")));
    assert!(nowhere.contains("not where to"), "{nowhere}");
}

#[test]
fn it_may_say_when_to_come_back_within_bounds() {
    let asked = |value: &str| match outcome(Reply::new(503, "").with("Retry-After", value)) {
        Outcome::CrmDown { retry_after_s, .. } => retry_after_s,
        other => panic!("{other:?}"),
    };
    assert_eq!(asked("120"), Some(120));
    assert_eq!(asked("0"), Some(1));
    assert_eq!(asked("-5"), Some(1));
    assert_eq!(asked("86400"), Some(3600));
    assert_eq!(asked("99999999999999999999"), None);
    assert_eq!(asked("soon"), None);
    let date = Reply::new(429, "")
        .with("Retry-After", "Sun, 22 Nov 2026 10:01:30 GMT")
        .with("Date", "Sun, 22 Nov 2026 10:00:00 GMT");
    let Outcome::CrmDown { retry_after_s, .. } = outcome(date) else { panic!("not down") };
    assert_eq!(retry_after_s, Some(90), "a date is meant on its own clock");
}

#[test]
fn a_silent_crm_is_given_up_at_the_deadline() {
    let started = Instant::now();
    let why = down(outcome_with(Reply::Hang, "timeout_s = 1\nconnect_timeout_s = 1"));
    assert_eq!(why, "no whole answer within 1 s");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn an_answer_that_drips_is_given_up_at_the_deadline() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let started = Instant::now();
    let reply = Reply::Slowly(Duration::from_millis(100), answer);
    let why = down(outcome_with(reply, "timeout_s = 1\nconnect_timeout_s = 1"));
    assert_eq!(why, "no whole answer within 1 s");
    assert!(started.elapsed() < Duration::from_secs(3), "bytes in time do not prolong the deadline");
}

#[test]
fn an_answer_cut_short_is_no_answer() {
    for raw in [
        &b""[..],
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
    ] {
        let why = down(outcome(Reply::Raw(raw.to_vec())));
        assert!(why.contains("closed the connection"), "{why} for {:?}", String::from_utf8_lossy(raw));
    }
}

#[test]
fn an_endless_answer_is_not_read_to_its_end() {
    let started = Instant::now();
    let why = down(outcome(Reply::Huge(1 << 30)));
    assert_eq!(why, "its answer is larger than 1048576 bytes");
    assert!(started.elapsed() < Duration::from_secs(10));
    let endless_head = [&b"HTTP/1.1 200 OK\r\n"[..], &b"X-Noise: 0123456789\r\n".repeat(5000)].concat();
    let why = down(outcome(Reply::Raw(endless_head)));
    assert!(why.contains("larger than 16384 bytes") || why.contains("not HTTP"), "{why}");
}

#[test]
fn an_answer_that_is_not_http_is_told_so() {
    let why = down(outcome(Reply::Raw(b"220 mail.example.com ESMTP Postfix\r\n".to_vec())));
    assert!(why.contains("not HTTP"), "{why}");
}

#[test]
fn nobody_there_is_told_with_the_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let why = down(send(&crm("webhook", &format!("http://{address}/"), ""), batch(vec![delivery("a-1-1", 1)])).1);
    assert_eq!(why, format!("no connection: nothing listens at {address}"));
}

#[test]
fn a_name_without_address_is_told_with_the_name() {
    // .invalid never exists (RFC 2606), whatever the resolver of the machine.
    let crm = crm("webhook", "https://crm.invalid/", "timeout_s = 20\nconnect_timeout_s = 20");
    let why = down(send(&crm, batch(vec![delivery("a-1-1", 1)])).1);
    assert!(why.contains("cannot be resolved") && why.contains("crm.invalid") || why.contains("name server"), "{why}");
}

#[test]
fn a_batch_that_is_too_large_is_sent_singly_and_the_bad_one_is_found() {
    let server = Server::start([
        Reply::new(413, "too large"),
        Reply::new(200, ""),
        Reply::new(413, "still too large"),
        Reply::new(200, ""),
    ]);
    let crm = crm("webhook", &server.url("/hook"), "batch = 3");
    let all = vec![delivery("a-1-1", 1), delivery("a-2-1", 2), delivery("a-3-1", 3)];
    let (whole, outcome) = send(&crm, batch(all.clone()));
    assert_eq!(whole.deliveries, all, "a refused batch comes back whole");
    assert_eq!(refused(outcome), "413: too large");
    let singly: Vec<Outcome> = whole.deliveries.into_iter().map(|one| send(&crm, batch(vec![one])).1).collect();
    assert_eq!(singly[0], Outcome::Answered(vec![Verdict::Saved]));
    assert_eq!(singly[1], Outcome::BatchRefused { why: "413: still too large".to_owned() });
    assert_eq!(singly[2], Outcome::Answered(vec![Verdict::Saved]));
}

#[test]
fn after_every_fault_the_same_client_goes_on() {
    let server = Server::start([
        Reply::new(200, ""),
        Reply::new(401, "no"),
        Reply::new(500, ""),
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12".to_vec()),
        Reply::new(200, "<html>"),
        // Over the kept connection, then over a new one.
        Reply::Raw(Vec::new()),
        Reply::Raw(Vec::new()),
        Reply::Hang,
        Reply::Huge(4 << 20),
        Reply::new(200, ""),
        Reply::new(200, ""),
    ]);
    let crm = crm("webhook", &server.url("/hook"), "timeout_s = 1\nconnect_timeout_s = 1");
    let mut client = client(&crm);
    let outcomes: Vec<bool> = (1..=10)
        .map(|revision| {
            let outcome = sender::send(&mut client, &mut batch(vec![delivery("a-1-1", revision)]), &no_links(), 0);
            outcome == Outcome::Answered(vec![Verdict::Saved])
        })
        .collect();
    assert_eq!(outcomes, [true, false, false, false, true, false, false, false, true, true]);
    let revisions: Vec<u64> =
        server.asked.try_iter().map(|a| a.json()["records"][0]["revision"].as_u64().unwrap()).collect();
    assert_eq!(
        revisions,
        [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10],
        "each was sent once, in order, but for the kept connection"
    );
}

#[test]
fn a_long_request_can_be_ended_from_elsewhere() {
    let server = Server::start([Reply::Hang]);
    let crm = crm("webhook", &server.url("/hook"), "");
    let mut client = client(&crm);
    let interrupter = client.interrupter();
    let thread =
        std::thread::spawn(move || sender::send(&mut client, &mut batch(vec![delivery("a-1-1", 1)]), &no_links(), 0));
    server.next();
    let started = Instant::now();
    interrupter.interrupt();
    let outcome = thread.join().expect("the request ends");
    assert!(matches!(outcome, Outcome::CrmDown { .. }), "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}
