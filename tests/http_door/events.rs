//! Live events: the present state, then every change; filters; who does not read is dropped.

use std::time::{Duration, Instant};

use pinconnector::call::record::{Moment, Recording, RecordingState, Status};
use pinconnector::clock::Now;
use pinconnector::http::links;
use pinconnector::http::office::PbxStatus;
use pinconnector::http::settings::TokenSettings;
use pinconnector::http::{Happened, Role};
use pinconnector::secret::Secret;

use crate::stage::{Client, SECRET, Stage, TOKEN, alone, anonymous_bytes, record, setup};

fn listen(stage: &Stage, path: &str, token: &str) -> Client {
    let mut client = stage.client();
    let bearer = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: pbx\r\n{bearer}"), b"");
    let head = client.reply_head().expect("a head");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream; charset=utf-8")), "{head:?}");
    client
}

fn signed(query: &str) -> String {
    let expires = Now::read().wall_ms / 1000 + 60;
    links::sign(&Secret::new(SECRET), &format!("/api/v1/events?key=vtiger&expires={expires}{query}"))
}

#[test]
fn a_listener_hears_the_present_state_and_then_every_change() {
    let _alone = alone();
    let mut with = setup();
    let secret = Secret::new("viewer-token-0123456789");
    with.http.token.push(TokenSettings { name: "viewer".into(), secret, role: Role::Viewer });
    let stage = Stage::new(with);
    let mut call = record("msk-1.1-1", Status::Ringing);
    call.extension = Some("101".into());
    call.client_name = Some("<img src=x onerror=alert(1)>\u{202e}".into());
    stage.tell(Happened::Records(vec![call.clone().into()]));
    let mut admin = listen(&stage, "/api/v1/events", TOKEN);
    let mut viewer = listen(&stage, "/api/v1/events", "viewer-token-0123456789");
    let mut phone = listen(&stage, &signed("&extension=102"), "");
    for client in [&mut admin, &mut viewer] {
        let (name, state) = client.event();
        assert_eq!((name.as_str(), state["calls"][0]["id"].as_str()), ("state", Some("msk-1.1-1")));
        assert_eq!(state["pbxs"][0]["name"].as_str(), Some("msk"));
    }
    let (_, state) = phone.event();
    assert_eq!((state["calls"].as_array().map(Vec::len), state.get("pbxs")), (Some(0), None));

    call.status = Status::Completed;
    let started_at = Moment(0);
    let state = Some(RecordingState::Ready);
    call.recordings.push(Recording { id: "ab".into(), file: "a.wav".into(), started_at, state, size: None });
    let mut other = record("msk-2.2-1", Status::Ringing);
    other.extension = Some("102".into());
    let mut foreign = record("msk-3.3-1", Status::Ringing);
    foreign.extension = Some("102".into());
    foreign.crm = Some("other".into());
    stage.tell(Happened::Records(vec![call.into(), foreign.into(), other.into()]));
    let (name, heard) = admin.event();
    assert_eq!((name.as_str(), heard["recordings"][0]["id"].as_str()), ("call", Some("ab")));
    let (_, heard) = viewer.event();
    assert_eq!((heard["id"].as_str(), heard.get("recordings")), (Some("msk-1.1-1"), None), "a viewer hears nothing");
    let (_, heard) = phone.event();
    assert_eq!(heard["id"].as_str(), Some("msk-2.2-1"), "its own extension of its own CRM");
    stage.tell(Happened::Link(PbxStatus { name: "msk".into(), up: false, ..PbxStatus::default() }));
    let (name, link) = std::iter::repeat_with(|| admin.event()).find(|(name, _)| name != "call").expect("a link");
    assert_eq!((name.as_str(), link["up"].as_bool()), ("link", Some(false)));
    // Over: a new listener does not see it.
    let (_, state) = listen(&stage, "/api/v1/events", TOKEN).event();
    assert_eq!(state["calls"].as_array().map(Vec::len), Some(2));
    stage.stop();
}

#[test]
fn nobody_listens_without_a_right() {
    let _alone = alone();
    let stage = Stage::new(setup());
    assert_eq!(stage.get("/api/v1/events", "").error(), (401, "login".into()));
    let link = signed("&extension=101");
    assert_eq!(stage.get(&link.replace("101", "102"), "").error(), (403, "signature".into()));
    let old = links::sign(&Secret::new(SECRET), "/api/v1/events?key=vtiger&expires=1000");
    assert_eq!(stage.get(&old, "").error(), (403, "expired".into()));
    let foreign = links::sign(&Secret::new("x"), "/api/v1/events?key=nobody&expires=9999999999");
    assert_eq!(stage.get(&foreign, "").error(), (403, "signature".into()));
}

#[test]
fn a_hundred_listeners_hear_at_once_and_a_deaf_one_costs_nothing() {
    let _alone = alone();
    let stage = Stage::new(setup());
    let mut listeners: Vec<Client> = (0..100).map(|_| listen(&stage, "/api/v1/events", TOKEN)).collect();
    let deaf: Vec<Client> = (0..20).map(|_| listen(&stage, "/api/v1/events", TOKEN)).collect();
    listeners.iter_mut().for_each(|listener| drop(listener.event()));
    let mut worst = Vec::new();
    for nth in 0..20 {
        let begun = Instant::now();
        stage.tell(Happened::Records(vec![record(&format!("msk-{nth}.1-1"), Status::Ringing).into()]));
        for listener in &mut listeners {
            assert_eq!(listener.event().0, "call");
        }
        worst.push(begun.elapsed());
    }
    worst.sort_unstable();
    println!("last of 100 listeners: median {:?}, worst {:?}", worst[10], worst[19]);
    assert!(worst[10] < Duration::from_millis(50), "{:?}", worst[10]);

    // Far more than the deaf ones can leave unread, while the others read on.
    drop(listeners);
    let before = anonymous_bytes();
    let mut reader = listen(&stage, "/api/v1/events", TOKEN);
    let mut long = record("msk-9.9-1", Status::Ringing);
    long.client_name = Some("ы".repeat(5000));
    reader.event();
    for _ in 0..1500 {
        stage.tell(Happened::Records(vec![long.clone().into()]));
        reader.event();
    }
    let dropped = |metrics: &str| {
        let name = "pinconnector_event_listeners_dropped_total ";
        metrics.lines().find_map(|line| line.strip_prefix(name)).and_then(|n| n.parse::<u32>().ok())
    };
    let metrics = stage.get("/metrics", &format!("Authorization: Bearer {TOKEN}\r\n"));
    assert_eq!(dropped(metrics.text()), Some(20));
    let grown = anonymous_bytes().saturating_sub(before);
    assert!(grown < 20 << 20, "grown by {grown} bytes");
    drop(deaf);
    stage.stop();
}
