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

/// What a page of the CRM hears: the phones its link names, whichever way the connector writes an extension, and a manager's own mobile.
#[test]
fn a_link_names_whose_phones_are_heard() {
    let _alone = alone();
    let stage = Stage::new(setup());
    let mut page = listen(&stage, &signed("&extension=msk%2F101%2C205&phone=%2B79031110101"), "");
    let mut mobile_only = listen(&stage, &signed("&phone=%2B79031110101"), "");
    page.event();
    mobile_only.event();
    let at = |id: &str, pbx: &str, extension: Option<&str>, phone: Option<&str>| {
        let mut call = record(id, Status::Ringing);
        call.pbx = pbx.into();
        call.extension = extension.map(str::to_owned);
        call.phone = phone.map(str::to_owned);
        let started_at = Moment(0);
        call.recordings.push(Recording { id: "ab".into(), file: "a.wav".into(), started_at, state: None, size: None });
        call.into()
    };
    stage.tell(Happened::Records(vec![
        at("msk-1.1-1", "msk", Some("102"), None),
        at("spb-2.1-1", "spb", Some("spb/101"), None),
        at("msk-3.1-1", "msk", Some("101"), None),
        at("msk-4.1-1", "msk", Some("msk/101"), None),
        at("spb-5.1-1", "spb", Some("spb/205"), None),
        at("msk-6.1-1", "msk", None, Some("89031110102")),
        at("msk-7.1-1", "msk", None, Some("89031110101")),
    ]));
    for id in ["msk-3.1-1", "msk-4.1-1", "spb-5.1-1", "msk-7.1-1"] {
        let (_, heard) = page.event();
        assert_eq!(heard["id"].as_str(), Some(id));
        assert_eq!(heard.get("recordings"), None, "who may hear recordings the CRM decides");
    }
    assert_eq!(mobile_only.event().1["id"].as_str(), Some("msk-7.1-1"));
    stage.stop();
}

#[test]
fn a_link_is_good_for_as_long_as_it_says() {
    let _alone = alone();
    let stage = Stage::new(setup());
    let expires = Now::read().wall_ms / 1000 + 2;
    let link = links::sign(&Secret::new(SECRET), &format!("/api/v1/events?key=vtiger&expires={expires}"));
    let mut page = listen(&stage, &link, "");
    let begun = Instant::now();
    let mut heard = 0;
    while page.try_event().is_some() {
        heard += 1;
        assert!(begun.elapsed() < Duration::from_secs(20), "still heard after {heard} events");
        stage.tell(Happened::Records(vec![record("msk-1.1-1", Status::Ringing).into()]));
    }
    assert!(Now::read().wall_ms / 1000 >= expires, "sent away before its time");
    stage.stop();
}

/// The examples that the module's PHP makes the same links from.
#[test]
fn links_are_those_of_the_wires_examples() {
    let examples: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../wire/calls/links.json")).expect("examples");
    assert!(examples.len() >= 2);
    for example in &examples {
        let text = |key: &str| example[key].as_str().expect("a text");
        assert_eq!(links::sign(&Secret::new(text("secret")), text("target")), text("link"), "{}", text("why"));
    }
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
