//! The status page's door: login, roles, what is open to whom; metrics and health.

use pinconnector::call::record::{FollowUp, Moment, Status};
use pinconnector::clock::Now;
use pinconnector::http::office::{CrmStatus, CrmTook, PbxStatus};
use pinconnector::http::{Happened, Role};

use crate::stage::{Ordered, Reply, Stage, TOKEN, alone, record, setup, user};

fn login(stage: &Stage, name: &str, password: &str) -> Reply {
    let head = "POST /login HTTP/1.1\r\nHost: pbx\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    stage.ask(head, format!("name={name}&password={password}").as_bytes())
}

fn cookie(reply: &Reply) -> String {
    let set = reply.header("set-cookie").expect("a cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    format!("Cookie: {}\r\n", set.split(';').next().expect("a value"))
}

#[test]
fn the_page_wants_a_login_and_roles_hold() {
    let _alone = alone();
    let mut with = setup();
    with.http.user = vec![user("boss", "correct horse", Role::Admin), user("anna", "battery staple", Role::Viewer)];
    let stage = Stage::new(with);
    let mut missed = record("msk-1.1-1", Status::Missed);
    missed.follow_up = Some(FollowUp::Open);
    stage.known().records.push(missed);
    for path in ["/metrics", "/api/v1/status", "/api/v1/recent", "/api/v1/conversation?id=x", "/api/v1/events"] {
        assert_eq!(stage.get(path, "").error(), (401, "login".into()), "{path}");
    }
    let page = stage.get("/", "");
    assert_eq!(page.status, 401);
    assert!(page.text().contains("<form") && !page.text().contains("page.js"), "only the login form");
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for asset in ["/page/page.js", "/page/words.js", "/page/page.css", "/page/icon.svg"] {
        assert_eq!(stage.get(asset, "").status, 200, "{asset}");
    }
    assert_eq!(stage.get("/page/../Cargo.toml", "").status, 404);

    let wrong = login(&stage, "boss", "wrong");
    assert_eq!((wrong.status, wrong.header("location"), wrong.header("set-cookie")), (303, Some("./?failed"), None));
    let boss = cookie(&login(&stage, "boss", "correct+horse"));
    let anna = cookie(&login(&stage, "anna", "battery+staple"));
    for (who, role) in [(&boss, "admin"), (&anna, "viewer")] {
        let status = stage.get("/api/v1/status", who).json();
        assert_eq!(status["me"]["role"].as_str(), Some(role));
        assert!(stage.get("/", who).text().contains("page.js"));
        let recent = stage.get("/api/v1/recent", who).json();
        assert_eq!(recent["to_call_back"][0]["id"].as_str(), Some("msk-1.1-1"));
    }
    let close = |who: &str, lines: &str| {
        let head = format!("POST /api/v1/follow-up HTTP/1.1\r\nHost: pbx\r\n{who}{lines}");
        stage.ask(&head, br#"{"call":"msk-1.1-1"}"#).status
    };
    assert_eq!(close(&boss, ""), 403, "a form of another page");
    assert_eq!(close(&anna, "X-PIN-Page: 1\r\n"), 403, "a viewer");
    assert_eq!(close("", "X-PIN-Page: 1\r\n"), 401);
    assert_eq!(close(&boss, "X-PIN-Page: 1\r\n"), 200);
    assert!(matches!(stage.next_order(), Ordered::Close { record, by } if record == "msk-1.1-1" && by == "boss"));
    let logout = format!("POST /logout HTTP/1.1\r\nHost: pbx\r\n{boss}X-PIN-Page: 1\r\n");
    assert_eq!(stage.ask(&logout, b"").status, 204);
    assert_eq!(stage.get("/api/v1/status", &boss).status, 401, "logged out");
    assert_eq!(stage.get("/api/v1/status", &anna).status, 200);
}

#[test]
fn passwords_cannot_be_tried_for_long() {
    let _alone = alone();
    let mut with = setup();
    with.http.user = vec![user("boss", "correct horse", Role::Admin)];
    let stage = Stage::new(with);
    for nth in 0..8 {
        assert_eq!(login(&stage, "boss", &format!("{nth}")).header("location"), Some("./?failed"));
    }
    assert_eq!(login(&stage, "boss", "correct+horse").header("location"), Some("./?later"));
    assert_eq!(login(&stage, "other", "x").header("location"), Some("./?later"), "by address");
    let long = "x".repeat(1000);
    assert_eq!(login(&stage, "boss", &long).header("location"), Some("./?failed"), "not even hashed");
}

#[test]
fn who_sits_at_this_machine_gets_in_only_where_that_is_set() {
    let _alone = alone();
    let stage = Stage::new(setup());
    let as_host = |stage: &Stage, host: &str, lines: &str| {
        stage.ask(&format!("GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\n{lines}"), b"").status
    };
    assert_eq!(as_host(&stage, "localhost", ""), 401, "not by default");
    let mut with = setup();
    with.http.local_without_login = true;
    let stage = Stage::new(with);
    assert_eq!(as_host(&stage, "localhost:8383", ""), 200);
    assert_eq!(as_host(&stage, "pbx.example.com", ""), 401);
    assert_eq!(as_host(&stage, "localhost", "X-Forwarded-For: 1.2.3.4\r\n"), 401);
    assert_eq!(as_host(&stage, "localhost", "Origin: https://evil.example\r\n"), 401);
    // What nginx sends of itself with `proxy_pass http://localhost:8383;`.
    let nginx = stage.ask("GET /api/v1/status HTTP/1.0\r\nHost: localhost:8383\r\nConnection: close\r\n", b"");
    assert_eq!(nginx.status, 401);
}

#[test]
fn metrics_and_health() {
    let _alone = alone();
    let mut with = setup();
    with.http.health_after_s = 30;
    let stage = Stage::new(with);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    stage.known().standing.pbxs = vec![PbxStatus { name: "msk".into(), up: true, ..PbxStatus::default() }];
    stage.known().standing.crms = vec![CrmStatus { name: "vtiger".into(), waiting: 7, ..CrmStatus::default() }];
    let mut ended = record("msk-1.1-1", Status::Missed);
    stage.tell(Happened::Records(vec![ended.clone().into(), record("msk-2.2-1", Status::Ringing).into()]));
    ended.revision += 1;
    stage.tell(Happened::Records(vec![ended.into()]));
    stage.tell(Happened::CrmTook(CrmTook { crm: "vtiger".into(), op: "records", took_ms: 30, succeeded: true }));
    let metrics = stage.get("/metrics", &bearer);
    for line in [
        "pinconnector_calls_total{pbx=\"msk\",direction=\"incoming\",status=\"missed\"} 1",
        "pinconnector_open_calls 1",
        "pinconnector_pbx_up{pbx=\"msk\"} 1",
        "pinconnector_outbox_waiting{crm=\"vtiger\"} 7",
        "pinconnector_crm_request_duration_seconds_count{crm=\"vtiger\",op=\"records\",result=\"ok\"} 1",
    ] {
        assert!(metrics.text().lines().any(|written| written == line), "{line}\n{}", metrics.text());
    }
    assert_eq!(stage.get("/metrics", "Authorization: Bearer wrong\r\n").status, 401);

    let health = || stage.get("/health", "").status;
    let link = |up, ago_ms| {
        let since = Some(Moment(Now::read().wall_ms - ago_ms));
        stage.tell(Happened::Link(PbxStatus { name: "msk".into(), up, since, ..PbxStatus::default() }));
    };
    assert_eq!(health(), 200);
    link(false, 1_000);
    assert_eq!(health(), 200, "a short break is none");
    link(false, 31_000);
    assert_eq!(health(), 503);
    link(true, 0);
    assert_eq!(health(), 200);
    // Told without a time, it is down since now.
    stage.tell(Happened::Link(PbxStatus { name: "msk".into(), up: false, ..PbxStatus::default() }));
    assert_eq!(health(), 200);
    stage.known().standing.pbxs[0].up = false;
    let standing = stage.get("/api/v1/status", &bearer).json();
    assert!(standing["pbxs"][0]["since"].is_string(), "{standing}");
}

#[test]
fn paths_and_methods() {
    let _alone = alone();
    let stage = Stage::new(setup());
    assert_eq!(stage.get("/nothing", "").error(), (404, "not_found".into()));
    let reply = stage.get("/api/v1/calls", "");
    assert_eq!((reply.error(), reply.header("allow")), ((405, "method".into()), Some("POST")));
    let reply = stage.ask("BREW / HTTP/1.1\r\nHost: x\r\n", b"");
    assert_eq!(reply.error(), (405, "method".into()));
    let mut client = stage.client();
    client.send("HEAD /health HTTP/1.1\r\nHost: x\r\n", b"");
    let head = client.reply_head().expect("a head");
    assert_eq!(head.status, 200);
    assert!(head.header("content-length").is_some_and(|length| length != "0"));
    client.send("GET /health HTTP/1.1\r\nHost: x\r\n", b"");
    assert_eq!(client.reply().text(), r#"{"status":"ok"}"#, "the same connection, no body left over");
}
