//! Click-to-call: who may, what is ordered, what is answered, and how often it is dialled.

use std::time::Instant;

use crossbeam_channel::bounded;
use pinconnector::call::{Progress, RequestState};
use pinconnector::http::office::{KeptAnswer, PbxStatus, Refresh};
use pinconnector::http::{ClickToCallSettings, Happened, Reply};
use serde_json::json;

use crate::stage::{Client, Ordered, SECRET, Stage, alone, no_link, nonce, setup, signed_as};

fn body(request: &str, from: &str, to: &str) -> String {
    json!({ "request": request, "from": from, "to": to, "crm_record": "4012", "user": "6" }).to_string()
}

/// How the core says that a click of `vtiger` goes.
fn progress(request: &str, state: RequestState, reason: Option<&str>) -> Happened {
    Happened::Request(Box::new(Progress {
        crm: Some("vtiger".to_owned()),
        request: request.into(),
        conversation: "msk-1".to_owned(),
        state,
        reason: reason.map(Into::into),
    }))
}

#[test]
fn a_click_is_ordered_once_and_answered_after_the_commit() {
    let _alone = alone();
    let stage = Stage::new(setup());
    stage.known().commits = false;
    let asked = body("r1", "101", "+7 (495) 765-43-21");
    let (mut first, mut second) = (stage.client(), stage.client());
    let head = |nonce: &str| signed_as("vtiger", SECRET, "POST", "/api/v1/calls", &asked, 0, nonce);
    first.send(&head(&nonce()), asked.as_bytes());
    let Ordered::Place { call, kept, line, done } = stage.next_order() else { panic!("another order") };
    assert_eq!((&*call.from, &*call.to, &*call.dialled), ("101", "+7 (495) 765-43-21", "+74957654321"));
    assert_eq!((&*call.channel, &*call.context, &*call.caller_id), ("PJSIP/101", "from-internal", "101"));
    assert_eq!(
        (call.crm.as_deref(), call.crm_record.as_deref(), call.user.as_deref()),
        (Some("vtiger"), Some("4012"), Some("6"))
    );
    assert_eq!((call.timeout_ms, &*call.request, line.outcome.as_str()), (30_000, "r1", "placed"));
    second.send(&head(&nonce()), asked.as_bytes());
    // The agent's phone rings already: that is another click.
    let other = body("r2", "101", "+74957654321");
    assert_eq!(stage.signed("POST", "/api/v1/calls", &other).error(), (409, "already_ringing".into()));
    let Ordered::Audit(line) = stage.next_order() else { panic!("another order") };
    assert!(line.outcome.starts_with("409 already_ringing"), "{line:?}");
    done(Ok(()));
    for client in [&mut first, &mut second] {
        let reply = client.reply();
        let conversation = format!("msk-{}", call.call_id);
        assert_eq!((reply.status, reply.json()), (202, json!({ "request": "r1", "conversation": conversation })));
        assert_eq!(reply.json(), serde_json::from_str::<serde_json::Value>(&kept.answer).expect("JSON"));
    }
    let again = stage.signed("POST", "/api/v1/calls", &asked);
    assert_eq!((again.status, &again.json()["request"]), (202, &json!("r1")));
    assert!(stage.orders.try_recv().is_err(), "nothing was dialled twice");

    let state = || stage.signed("GET", "/api/v1/calls/r1", "").json()["state"].as_str().map(str::to_owned);
    assert_eq!(state().as_deref(), Some("queued"));
    stage.tell(progress("r1", RequestState::CustomerRinging, None));
    assert_eq!(state().as_deref(), Some("customer_ringing"));
    assert_eq!(stage.signed("DELETE", "/api/v1/calls/r1", "").status, 202);
    assert!(matches!(stage.next_order(), Ordered::Cancel(request) if request == "r1"));
    stage.tell(progress("r1", RequestState::Failed, Some("agent_busy")));
    let over = stage.signed("GET", "/api/v1/calls/r1", "").json();
    assert_eq!((over["state"].as_str(), over["reason"].as_str()), (Some("failed"), Some("agent_busy")));
    let theirs = signed_as("other", "another-secret", "GET", "/api/v1/calls/r1", "", 0, &nonce());
    assert_eq!(stage.ask(&theirs, b"").status, 404, "another CRM's click");
    assert_eq!(stage.signed("GET", "/api/v1/calls/unknown", "").error(), (404, "not_found".into()));
    stage.stop();
}

#[test]
fn a_click_that_was_fetched_passes_the_same_guard() {
    let _alone = alone();
    let stage = Stage::new(setup());
    let (told, answers) = bounded(8);
    let fetched = |crm: &str, body: &str| {
        let told = told.clone();
        let reply = Reply::new(move |answer| {
            let _ = told.send(answer.map_err(|refusal| (refusal.status, refusal.code)));
        });
        stage.http.clicks().ask(crm, body.as_bytes().to_vec(), reply);
    };
    let answer = || answers.recv_timeout(std::time::Duration::from_secs(10)).expect("an answer");
    let asked = body("q1", "101", "+7 (495) 765-43-21");
    fetched("vtiger", &asked);
    assert_eq!(answer(), Ok(()));
    let call = stage.next_placed();
    assert_eq!((&*call.request, &*call.dialled, call.crm.as_deref()), ("q1", "+74957654321", Some("vtiger")));
    // The same way round or the other, it is one click.
    fetched("vtiger", &asked);
    assert_eq!(answer(), Ok(()));
    assert_eq!(stage.signed("POST", "/api/v1/calls", &asked).status, 202);
    assert!(stage.orders.try_recv().is_err(), "nothing was dialled twice");
    fetched("vtiger", &body("q2", "101", "+74957654321"));
    assert_eq!(answer(), Err((409, "already_ringing")));
    fetched("vtiger", &body("q3", "102", "${EXTEN}"));
    assert_eq!(answer(), Err((400, "bad_number")));
    fetched("vtiger", "no JSON");
    assert_eq!(answer(), Err((400, "bad_request")));
    fetched("nobody", &body("q4", "103", "+74957654321"));
    assert_eq!(answer(), Err((401, "unknown_key")));
    // Nobody says how it went: whoever drops the answer was too busy.
    stage.known().commits = false;
    fetched("vtiger", &body("q5", "104", "+74957654321"));
    stage.stop();
    assert_eq!(answer(), Err((503, "busy")));
}

#[test]
fn what_was_answered_before_a_restart_is_answered_again() {
    let _alone = alone();
    let stage = Stage::new(setup());
    let answer = r#"{"request":"old","conversation":"msk-pin-1-2"}"#.to_owned();
    stage.known().kept.push(KeptAnswer {
        crm: "vtiger".into(),
        request: "old".into(),
        answer: answer.clone(),
        at_ms: 0,
    });
    let reply = stage.signed("POST", "/api/v1/calls", &body("old", "101", "+74957654321"));
    assert_eq!((reply.status, reply.text()), (202, &*answer));
    let state = stage.signed("GET", "/api/v1/calls/old", "").json();
    assert_eq!((state["state"].as_str(), state["conversation"].as_str()), (Some("queued"), Some("msk-pin-1-2")));
    assert!(stage.orders.try_recv().is_err(), "nothing was dialled");
}

#[test]
fn a_click_that_could_not_be_placed_may_be_clicked_again() {
    let _alone = alone();
    let stage = Stage::new(setup());
    stage.known().commits = false;
    let asked = body("r1", "101", "+74957654321");
    let mut client = stage.client();
    client.send(&signed_as("vtiger", SECRET, "POST", "/api/v1/calls", &asked, 0, &nonce()), asked.as_bytes());
    let Ordered::Place { done, .. } = stage.next_order() else { panic!("another order") };
    done(Err(no_link()));
    assert_eq!(client.reply().error(), (503, "no_link".into()));
    stage.known().commits = true;
    assert_eq!(stage.signed("POST", "/api/v1/calls", &asked).status, 202);
    stage.tell(Happened::Link(PbxStatus { name: "msk".into(), up: false, ..PbxStatus::default() }));
    let asked = body("r2", "102", "+74957654321");
    assert_eq!(stage.signed("POST", "/api/v1/calls", &asked).error(), (503, "no_link".into()));
}

#[test]
fn only_good_signatures_are_taken_and_each_once() {
    let _alone = alone();
    let stage = Stage::new(setup());
    let asked = body("r1", "101", "+74957654321");
    let path = "/api/v1/calls";
    let post = |head: &str, body: &str| stage.ask(head, body.as_bytes()).error();
    let unsigned = format!("POST {path} HTTP/1.1\r\nHost: pbx\r\n");
    assert_eq!(post(&unsigned, &asked), (401, "unsigned".into()));
    let by = |key: &str, secret: &str, off_s| signed_as(key, secret, "POST", path, &asked, off_s, &nonce());
    assert_eq!(post(&by("nobody", SECRET, 0), &asked), (401, "unknown_key".into()));
    assert_eq!(post(&by("vtiger", "wrong", 0), &asked), (401, "signature".into()));
    assert_eq!(post(&by("vtiger", SECRET, 0), &asked.replace("101", "102")), (401, "signature".into()));
    for off_s in [-301, 301] {
        let refused = stage.ask(&by("vtiger", SECRET, off_s), asked.as_bytes());
        assert_eq!(refused.error(), (401, "clock".into()));
        let message = refused.json()["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains("your clock says") && message.contains("ours"), "{message}");
    }
    let once = by("vtiger", SECRET, 0);
    assert_eq!(stage.ask(&once, asked.as_bytes()).status, 202);
    assert_eq!(post(&once, &asked), (401, "replayed".into()));
    let refresh = r#"{"what":"users"}"#;
    assert_eq!(stage.signed("POST", "/api/v1/refresh", refresh).status, 202);
    let _placed = stage.next_placed();
    assert!(matches!(stage.next_order(), Ordered::Refresh(crm, Refresh::Users) if crm == "vtiger"));
    assert_eq!(stage.signed("POST", "/api/v1/refresh", r#"{"what":"all"}"#).status, 400);
}

#[test]
fn the_guard_says_why() {
    let _alone = alone();
    let mut with = setup();
    with.crms[0].extensions = vec![pinconnector::phone::EndpointPattern::parse("_1XX").expect("a pattern")];
    with.crms[0].pbxs = vec!["msk".into()];
    with.click_to_call =
        ClickToCallSettings { deny: vec!["_810.".into()], per_extension_per_minute: 2, ..with.click_to_call };
    let spb = pinconnector::http::office::Pbx {
        name: "spb".into(),
        id: pinconnector::asterisk::PbxId(1),
        ..with.pbxs[0].clone()
    };
    with.pbxs.push(spb);
    let stage = Stage::new(with);
    let click = |body: serde_json::Value| stage.signed("POST", "/api/v1/calls", &body.to_string());
    for (asked, refused) in [
        (json!({ "from": "101", "to": "+7495\r\nAction: Command" }), (400, "bad_number")),
        (json!({ "from": "101", "to": "7495&SIP/101" }), (400, "bad_number")),
        (json!({ "from": "101", "to": "${EXTEN}" }), (400, "bad_number")),
        (json!({ "from": "101@x", "to": "+74957654321" }), (400, "bad_extension")),
        (json!({ "from": "101", "to": "+74957654321", "context": "a,b" }), (400, "bad_field")),
        (json!({ "from": "trunk", "to": "+74957654321" }), (400, "bad_extension")),
        (json!({ "from": "201", "to": "+74957654321" }), (403, "not_your_extension")),
        (json!({ "from": "101", "to": "+74957654321", "context": "outside" }), (403, "not_your_context")),
        (json!({ "from": "101", "to": "+74957654321", "pbx": "spb" }), (403, "not_your_pbx")),
        (json!({ "from": "101", "to": "+74957654321", "pbx": "ekb" }), (404, "unknown_pbx")),
        (json!({ "from": "101", "to": "810442079460000" }), (422, "forbidden_number")),
        (json!({ "from": "101", "to": "*72" }), (422, "forbidden_number")),
        (json!({ "to": "1" }), (400, "bad_request")),
    ] {
        let reply = click(asked.clone());
        assert_eq!(reply.error(), (refused.0, refused.1.to_owned()), "{asked}");
        assert!(!reply.json()["message"].as_str().unwrap_or_default().is_empty());
        let Ordered::Audit(line) = stage.next_order() else { panic!("{asked}: no line in the audit log") };
        assert!(line.outcome.contains(refused.1) && !line.to.contains('\n'), "{line:?}");
    }
    for (nth, status) in [202, 202, 429].into_iter().enumerate() {
        let reply = click(json!({ "from": "101", "to": "+74957654321", "request": format!("n{nth}") }));
        assert_eq!(reply.status, status, "{reply:?}");
        if status == 202 {
            stage.next_placed();
            stage.tell(progress(&format!("n{nth}"), RequestState::Done, None));
        }
    }
}

#[test]
fn the_stock_module_is_answered_in_its_words() {
    let _alone = alone();
    let stage = Stage::new(setup());
    // As connectors/PBXManager.php of vTiger 8.0 sends it.
    let ask = |query: &str| {
        let head = format!(
            "POST /makecall?{query} HTTP/1.1\r\nUser-Agent: Mozilla/5.0\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\
             Referer: http://crm.example/index.php?module=Contacts&view=Detail&record=2\r\nHost: connector.example:8383\r\n\
             Content-Length: 0\r\n"
        );
        let reply = stage.ask(&head, b"");
        (reply.status, reply.text().to_owned())
    };
    let good = "event=OutgoingCall&secret=stock-secret&from=100&to=%2B74951234567&context=from-internal";
    assert_eq!(ask(good), (200, "Success".into()));
    let call = stage.next_placed();
    assert_eq!((&*call.from, &*call.dialled, call.crm_record.as_deref()), ("100", "+74951234567", Some("2")));
    assert_eq!(ask(good), (200, "Error".into()), "the phone rings already");
    assert_eq!(ask(&good.replace("stock-secret", "x")), (200, "Authentication Failure".into()));
    assert_eq!(ask(&good.replace("secret=stock-secret&", "")), (200, "Authentication Failure".into()));
    // The secret of a CRM with the other module does not open this door.
    assert_eq!(ask(&good.replace("stock-secret", SECRET)), (200, "Authentication Failure".into()));
    assert_eq!(ask(&good.replace("%2B7495", "%0D%0AAction:")), (200, "Error".into()));
    assert_eq!(ask(&good.replace("OutgoingCall", "Other")), (200, "Error".into()));
    assert_eq!(ask(&good.replace("from-internal", "outside")), (200, "Error".into()));
    let unescaped = good.replace("%2B", "+").replace("from=100", "from=102");
    assert_eq!(ask(&unescaped), (200, "Success".into()), "a + that nobody escaped is a plus");
    let form = good.replace("from=100", "from=103");
    let mut client = Client::new(stage.address);
    client.send(
        "POST /makecall HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n",
        form.as_bytes(),
    );
    assert_eq!(client.reply().text(), "Success");
}

#[test]
fn a_click_is_answered_at_once() {
    let _alone = alone();
    let stage = Stage::new(setup());
    let mut took: Vec<_> = (0..50)
        .map(|nth| {
            let asked = body(&format!("r{nth}"), &format!("{}", 100 + nth), "+74957654321");
            stage.tell(progress(&format!("r{nth}"), RequestState::Done, None));
            let begun = Instant::now();
            let reply = stage.signed("POST", "/api/v1/calls", &asked);
            assert_eq!(reply.status, 202, "{reply:?}");
            stage.tell(progress(&format!("r{nth}"), RequestState::Done, None));
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!("click-to-call, connection included: median {:?}, worst {:?}", took[25], took[49]);
    assert!(took[25].as_millis() < 5, "median {:?}", took[25]);
}
