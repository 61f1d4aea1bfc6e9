//! A CRM is tried out: what it is asked, that nothing changes in it, and what is made of its answers.

use pinconnector::crm::trial::{Trial, try_out};

use super::crm;
use super::scripted::{Reply, Server};

/// `Date` as HTTP has it, so many seconds from now.
fn date(ahead_s: i64) -> String {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ahead_s);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn tried(kind: &str, script: Vec<Reply>) -> (Trial, Server) {
    let server = Server::start(script);
    let url = format!("http://{}", server.address);
    (try_out(&crm(kind, &url, "timeout_s = 2\nconnect_timeout_s = 1\n")), server)
}

#[test]
fn the_module_calls_is_asked_for_its_users() {
    let answer = include_bytes!("../wire/calls/users.answer.json");
    let (trial, server) = tried("calls", vec![Reply::new(200, &answer[..]).with("Date", date(-600))]);
    let asked = server.asked.try_recv().expect("one request");
    assert_eq!(asked.json(), serde_json::json!({"op": "users"}));
    assert!(asked.header("X-PIN-Signature").is_some());
    let users = trial.result.expect("taken").users.expect("named");
    assert_eq!(users.users[0].user_name.as_deref(), Some("op1"));
    let ahead_ms = trial.clock_ahead_ms.expect("it says its time");
    assert!((-605_000..=-595_000).contains(&ahead_ms), "{ahead_ms}");
    assert!(server.asked.try_recv().is_err(), "one request only");
}

#[test]
fn a_refusal_is_explained() {
    let clock = r#"{"ok":false,"module":"Calls","version":"1","error":"clock","message":"mine 10:00, yours 10:10"}"#;
    let secret = r#"{"ok":false,"module":"Calls","version":"1","error":"bad_signature","message":"No."}"#;
    let disabled =
        r#"{"ok":false,"module":"Calls","version":"1","error":"unavailable","message":"The module is disabled."}"#;
    for (kind, reply, why, remedy) in [
        ("calls", Reply::new(401, clock), "clock and ours are too far apart", "NTP"),
        ("calls", Reply::new(401, secret), "Do name and secret agree", "copy key and secret"),
        ("calls", Reply::new(503, disabled), "The module is disabled", "Module Manager"),
        ("calls", Reply::new(404, "gone"), "404", "install Calls.zip"),
        ("calls", Reply::new(200, "<html>hello"), "instead of the module's JSON", "maintained"),
        ("webhook", Reply::new(401, "{}"), "do name and secret agree", "one and the same secret"),
        ("webhook", Reply::new(500, ""), "500 with an empty body", "its own log"),
        (
            "pbxmanager",
            Reply::new(200, "<Response><Authentication>Failure</Authentication></Response>"),
            "does not accept our secret",
            "Integration, PBXManager",
        ),
        ("pbxmanager", Reply::new(404, "gone"), "404", "url"),
        ("webhook", Reply::Hang, "no whole answer within 2 s", "does not answer"),
    ] {
        let (trial, _server) = tried(kind, vec![reply]);
        let said = trial.result.expect_err(why);
        assert!(said.why.contains(why) && said.remedy.contains(remedy), "{kind}: {said:?}");
    }
    let nobody = try_out(&crm("webhook", "http://127.0.0.1:1/x", ""));
    assert!(nobody.result.expect_err("nobody").why.contains("nothing listens at"));
}

#[test]
fn a_webhook_gets_an_empty_list_and_may_find_fault_with_it() {
    let (trial, server) = tried("webhook", vec![Reply::new(200, "{}")]);
    assert_eq!(trial.result.expect("taken").finds_fault, None);
    let asked = server.asked.try_recv().expect("one request").json();
    assert_eq!((&asked["op"], &asked["records"]), (&"records".into(), &serde_json::json!([])));
    let (trial, _server) = tried("webhook", vec![Reply::new(422, r#"{"error":"no records"}"#)]);
    assert!(trial.result.expect("there").finds_fault.expect("a word").contains("no records"));
}

#[test]
fn the_stock_module_is_asked_of_a_call_it_does_not_have_with_and_without_the_secret() {
    let refused = "<Response><Authentication>Failure</Authentication></Response>";
    let (trial, server) = tried("pbxmanager", vec![Reply::new(200, ""), Reply::new(200, refused)]);
    assert!(trial.result.is_ok() && !trial.takes_anybody, "{trial:?}");
    let bodies: Vec<String> =
        server.asked.try_iter().map(|asked| String::from_utf8(asked.body).expect("a form")).collect();
    assert_eq!(
        bodies,
        [
            format!("vtigersignature={}&callstatus=Hangup&callUUID=pinconnector-doctor&causetxt=null", super::SECRET),
            "vtigersignature=&callstatus=Hangup&callUUID=pinconnector-doctor&causetxt=null".to_owned()
        ]
    );
    let (trial, _server) = tried("pbxmanager", vec![Reply::new(200, ""), Reply::new(200, "")]);
    assert!(trial.takes_anybody);
}

#[test]
fn a_stock_module_without_any_secret_refuses_ours_and_takes_anybody() {
    let refused = "<Response><Authentication>Failure</Authentication></Response>";
    let (trial, _server) = tried("pbxmanager", vec![Reply::new(200, refused), Reply::new(200, "")]);
    assert!(trial.result.is_err() && trial.takes_anybody, "{trial:?}");
    let (trial, _server) = tried("pbxmanager", vec![Reply::new(200, refused), Reply::new(200, refused)]);
    assert!(trial.result.is_err() && !trial.takes_anybody, "{trial:?}");
}
