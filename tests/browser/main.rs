//! The status page in a real browser: login, live calls, hostile names, the player, both languages, both sizes of screen.

mod chromium;
#[path = "../http_door/stage.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod stage;

use pinconnector::call::Record;
use pinconnector::call::record::{FollowUp, Moment, Status};
use pinconnector::clock::Now;
use pinconnector::http::office::{CrmRequest, CrmStatus, PbxStatus, Status as Standing, Today};
use pinconnector::http::{Happened, Role};
use serde_json::json;

use chromium::Browser;
use stage::{Ordered, Stage, place, record, setup, user};

const HOSTILE: [&str; 5] = [
    "<img src=x onerror=\"window.hacked = 1\">",
    "\u{202e}txet tfel-ot-thgir\u{2066}",
    "مطعم الشرق",
    "</script><script>window.hacked = 1</script>'\"&lt;",
    "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
];

/// A record as JSON tells it, over the usual one.
fn call(id: &str, status: Status, ago_s: i64, more: serde_json::Value) -> Record {
    let mut value = serde_json::to_value(record(id, status)).expect("JSON");
    let at = |ago_s: i64| pinconnector::clock::rfc3339(Now::read().wall_ms - ago_s * 1000);
    value["started_at"] = at(ago_s).into();
    if status == Status::InProgress {
        value["answered_at"] = at(ago_s - 6).into();
    }
    for (key, more) in more.as_object().expect("an object") {
        value[key] = more.clone();
    }
    serde_json::from_value(value).expect("a record")
}

fn timeline(ago_s: i64) -> serde_json::Value {
    let at = |s: i64| pinconnector::clock::rfc3339(Now::read().wall_ms - (ago_s - s) * 1000);
    json!([
        { "at": at(0), "step": "enter", "where": "+74951234500" },
        { "at": at(1), "step": "greeting", "seconds": 4.0 },
        { "at": at(5), "step": "queue", "where": "sales" },
        { "at": at(6), "step": "ring", "who": "101", "seconds": 7.0 },
        { "at": at(6), "step": "ring", "who": "102", "seconds": 7.0 },
        { "at": at(13), "step": "answer", "who": "102" },
        { "at": at(40), "step": "transfer", "who": "102", "to": "105", "how": "blind" },
    ])
}

/// Three seconds of a quiet tone, as Asterisk writes a wav.
fn tone() -> Vec<u8> {
    let samples: Vec<u8> = (0..24_000u32)
        .flat_map(|n| {
            let phase = f64::from(n) * 440.0 * std::f64::consts::TAU / 8000.0;
            #[expect(clippy::cast_possible_truncation, reason = "within 16 bits")]
            ((phase.sin() * 3000.0) as i16).to_le_bytes()
        })
        .collect();
    let length = u32::try_from(samples.len()).expect("short");
    let mut wav = b"RIFF".to_vec();
    wav.extend_from_slice(&(length + 36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&8000u32.to_le_bytes());
    wav.extend_from_slice(&16000u32.to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&length.to_le_bytes());
    wav.extend_from_slice(&samples);
    wav
}

/// A busy morning.
fn office(folder: &std::path::Path) -> Stage {
    std::fs::write(folder.join("разговор.wav"), tone()).expect("written");
    // The same tone as bare G.711 would be silence; any bytes are sound there.
    std::fs::write(folder.join("old.ulaw"), (0..=255).cycle().take(24_000).collect::<Vec<u8>>()).expect("written");
    let mut with = setup();
    with.http.user = vec![user("boss", "correct horse", Role::Admin), user("анна", "battery staple", Role::Viewer)];
    let stage = Stage::new(with);
    let now = Moment(Now::read().wall_ms);
    let recording = |id: &str, state: &str| json!([{ "id": id, "file": "x", "started_at": now, "state": state }]);
    let mut known = stage.known();
    known.recordings = vec![
        ("tone".into(), place(folder.to_owned(), "разговор.wav")),
        ("ulaw".into(), place(folder.to_owned(), "old.ulaw")),
        ("moved".into(), place(folder.to_owned(), "moved.wav")),
    ];
    known.records = vec![
        call(
            "msk-20.1-1",
            Status::Completed,
            900,
            json!({ "client_name": "ООО «Ромашка»", "extension": "102", "talk_seconds": 187.0,
            "recordings": recording("tone", "ready"), "queue": "sales", "timeline": timeline(900) }),
        ),
        call(
            "msk-21.1-1",
            Status::Missed,
            1500,
            json!({ "client_name": HOSTILE[0], "reason": "queue", "queue": "sales", "follow_up": "open" }),
        ),
        call(
            "msk-22.1-1",
            Status::Completed,
            2100,
            json!({ "direction": "outgoing", "client_name": HOSTILE[4], "extension": "103",
            "talk_seconds": 4012.0, "recordings": recording("ulaw", "ready"), "click_to_call": true }),
        ),
        call(
            "msk-23.1-1",
            Status::NoAnswer,
            3000,
            json!({ "direction": "internal", "from": "101", "extension": "105", "client_number": null }),
        ),
        call(
            "msk-24.1-1",
            Status::Missed,
            5000,
            json!({ "client_name": HOSTILE[2], "reason": "abandoned", "follow_up": "tried",
            "follow_up_tries": 2, "outside_hours": true }),
        ),
        call(
            "msk-25.1-1",
            Status::Completed,
            90_000,
            json!({ "client_name": "ы".repeat(300), "extension": "101", "talk_seconds": 12.0,
            "recordings": recording("moved", "ready") }),
        ),
        call(
            "msk-26.1-1",
            Status::Cancelled,
            95_000,
            json!({ "direction": "outgoing", "reason": "agent_no_answer", "extension": "101" }),
        ),
    ];
    known.standing = Standing {
        version: "0.3.0".into(),
        started_at: Moment(now.0 - 86_400_000),
        pair: None,
        pbxs: vec![PbxStatus {
            name: "msk".into(),
            up: true,
            since: Some(Moment(now.0 - 7_200_000)),
            asterisk: Some("20.11.0".into()),
            error: None,
        }],
        crms: vec![
            CrmStatus {
                name: "vtiger".into(),
                waiting: 0,
                last_success_at: Some(now),
                requests: vec![
                    CrmRequest {
                        op: "records".into(),
                        at: now,
                        took_ms: 43,
                        status: Some(200),
                        answer: "{\"ok\":true}".into(),
                    },
                    CrmRequest {
                        op: "users".into(),
                        at: Moment(now.0 - 60_000),
                        took_ms: 30_000,
                        status: None,
                        answer: "time-out <b>".into(),
                    },
                ],
                ..CrmStatus::default()
            },
            CrmStatus {
                name: "billing".into(),
                waiting: 12,
                parked: 1,
                oldest_at: Some(Moment(now.0 - 600_000)),
                down_since: Some(Moment(now.0 - 590_000)),
                next_try_at: Some(Moment(now.0 + 30_000)),
                last_error: Some("connection refused (10.1.0.7:443)".into()),
                ..CrmStatus::default()
            },
        ],
        today: Today { calls: 48, missed: 5, to_call_back: 2 },
        warnings: vec![],
    };
    drop(known);
    let live = [
        call(
            "msk-30.1-1",
            Status::NoAnswer,
            44,
            json!({ "client_name": "Пётр Ильич", "extension": "101", "lead": false, "did": "+74951234500", "queue": "sales" }),
        ),
        call(
            "msk-30.1-2",
            Status::InProgress,
            44,
            json!({ "client_name": "Пётр Ильич", "extension": "102", "did": "+74951234500", "queue": "sales", "timeline": timeline(44) }),
        ),
        call(
            "msk-30.1-3",
            Status::Ringing,
            4,
            json!({ "client_name": "Пётр Ильич", "extension": "105", "lead": false }),
        ),
        call("msk-31.1-1", Status::Ringing, 12, json!({ "client_name": HOSTILE[1], "did": "+74951234500" })),
        call(
            "msk-32.1-1",
            Status::Ringing,
            3,
            json!({ "client_name": HOSTILE[3], "direction": "outgoing", "extension": "104", "click_to_call": true }),
        ),
    ];
    // In the order in which it happened: the first phone was the last to settle.
    stage.tell(Happened::Records(live.iter().rev().cloned().map(Into::into).collect()));
    stage
}

fn log_in(browser: &mut Browser, stage: &Stage, name: &str, password: &str) {
    browser.go(&format!("http://{}/", stage.address));
    browser.wait("document.querySelector('input[name=name]')");
    browser.type_into("input[name=name]", name);
    browser.type_into("input[name=password]", password);
    browser.click("button[type=submit]");
    browser.wait("document.querySelector('#recent article')");
}

/// Whatever strangers call themselves, it is text, within the screen.
fn is_safe(browser: &mut Browser) {
    assert_eq!(browser.value("window.hacked === undefined"), json!(true));
    assert_eq!(browser.value("document.querySelectorAll('main img, main script').length"), json!(0));
    let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.value(overflow), json!(0), "the page is wider than the screen");
    let names = browser.value("[...document.querySelectorAll('.who')].map(e => e.textContent).join('\\n')");
    for name in HOSTILE {
        assert!(names.as_str().is_some_and(|names| names.contains(name)), "{name} in {names}");
    }
}

#[test]
fn an_office_manager_looks_at_the_page() {
    let Some(mut browser) = Browser::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let stage = office(folder.path());
    browser.resize(1280, 900);

    browser.go(&format!("http://{}/", stage.address));
    browser.wait("document.querySelector('#language').textContent");
    browser.picture("login-1280");
    browser.complaints.clear(); // The 401 of the first page is one.
    browser.type_into("input[name=name]", "boss");
    browser.type_into("input[name=password]", "wrong");
    browser.click("button[type=submit]");
    browser.wait("document.querySelector('#message')?.hidden === false");
    browser.complaints.clear();
    log_in(&mut browser, &stage, "boss", "correct horse");
    browser.complaints.clear();
    browser.wait("document.querySelectorAll('#live article').length === 3");
    is_safe(&mut browser);
    let tree = browser.value("document.querySelector('[data-conversation=\"msk-30.1\"] .tree').innerText");
    assert!(["101", "102", "105"].iter().all(|phone| tree.as_str().is_some_and(|t| t.contains(phone))), "{tree}");
    browser.value("localStorage.setItem('language', 'en')");
    browser.click("[data-conversation=\"msk-30.1\"] summary");
    browser.wait("document.querySelectorAll('[data-conversation=\"msk-30.1\"] .steps li').length === 7");
    browser.picture("page-1280-en");

    // Live: no reload, no waiting.
    browser.value(
        "window.same = 1; window.shown = 0; new MutationObserver(() => { \
         if (!shown && document.querySelector('[data-conversation=\"msk-40.1\"]')) shown = Date.now(); \
         }).observe(document.querySelector('#live'), { childList: true })",
    );
    let new = call("msk-40.1-1", Status::Ringing, 0, json!({ "client_name": "Новый клиент", "extension": "101" }));
    let told_ms = Now::read().wall_ms;
    stage.tell(Happened::Records(vec![new.clone().into()]));
    browser.wait("window.shown");
    let took_ms = browser.value("window.shown").as_i64().expect("a time") - told_ms;
    println!("an event was in the page after {took_ms} ms");
    assert!(took_ms < 500, "{took_ms} ms");
    let mut ended = new;
    ended.status = Status::Completed;
    ended.revision += 1;
    stage.known().records.insert(0, ended.clone());
    stage.tell(Happened::Records(vec![ended.into()]));
    browser.wait("!document.querySelector('[data-conversation=\"msk-40.1\"]') && document.querySelector('#recent [data-id=\"msk-40.1-1\"]')");
    stage.tell(Happened::Link(PbxStatus {
        name: "spb".into(),
        up: false,
        error: Some("refused".into()),
        ..PbxStatus::default()
    }));
    browser.wait("document.querySelector('#links .bad + .bad, #links .bad') && document.querySelector('#links').innerText.includes('spb')");
    assert_eq!(browser.value("window.same"), json!(1), "without a reload");

    // Recordings really play, also those that are made into WAV on the way.
    for id in ["msk-20.1-1", "msk-22.1-1"] {
        browser.click(&format!("[data-id=\"{id}\"] .play"));
        browser.wait(&format!("document.querySelector('[data-id=\"{id}\"] audio')?.currentTime > 0.2"));
        browser.value(&format!("document.querySelector('[data-id=\"{id}\"] audio').pause()"));
    }
    browser.click("[data-id=\"msk-25.1-1\"] .play");
    browser.wait("document.querySelector('[data-id=\"msk-25.1-1\"] .sound').innerText.includes('file is gone')");
    browser.complaints.retain(|text| !text.contains("404"));
    browser.click("[data-id=\"msk-20.1-1\"] summary");
    browser.wait("document.querySelectorAll('[data-id=\"msk-20.1-1\"] .steps li').length === 7");

    // A follow-up is closed by hand.
    browser.click("#back [data-id=\"msk-24.1-1\"] .close");
    browser.wait("!document.querySelector('#back [data-id=\"msk-24.1-1\"]')");
    assert!(matches!(stage.next_order(), Ordered::Close { record, by } if record == "msk-24.1-1" && by == "boss"));

    browser.click("#language");
    browser.wait("document.querySelector('#live-section h2').textContent === 'Сейчас'");
    let text = browser.value("document.body.innerText");
    let text = text.as_str().expect("text");
    for russian in ["Последние звонки", "Перезвонить", "разговор", "звонок из CRM", "не дождался", "Слушать"]
    {
        assert!(text.contains(russian) || text.contains("Всем перезвонили"), "{russian} in {text}");
    }
    let missing = "Object.keys(Words.lists.en).concat(Object.keys(Words.lists.ru)) \
                   .filter(w => !(w in Words.lists.en) || !(w in Words.lists.ru))";
    assert_eq!(browser.value(missing), json!([]), "a word without its translation");
    browser.picture("page-1280-ru");
    browser.resize(390, 844);
    is_safe_but_closed(&mut browser);
    browser.picture("page-390-ru");
    assert_eq!(browser.complaints, Vec::<String>::new());
    browser.click("#logout");
    browser.wait("document.querySelector('input[name=password]')");
    browser.picture("login-390");
}

/// As [`is_safe`], once the hostile caller of the list of missed calls is gone from it.
fn is_safe_but_closed(browser: &mut Browser) {
    is_safe(browser);
    let small = "[...document.querySelectorAll('button, summary, .sound a')].filter(e => e.offsetParent && e.offsetHeight < 24).length";
    assert_eq!(browser.value(small), json!(0), "something is too small for a finger");
}

#[test]
fn a_viewer_hears_and_changes_nothing() {
    let Some(mut browser) = Browser::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let stage = office(folder.path());
    let mut owed = stage.known().records[1].clone();
    owed.follow_up = Some(FollowUp::Open);
    stage.known().records[1] = owed;
    browser.resize(390, 844);
    log_in(&mut browser, &stage, "анна", "battery staple");
    browser.wait("document.querySelector('#back article')");
    assert_eq!(browser.value("document.querySelectorAll('.play, .close, audio').length"), json!(0));
    assert_eq!(browser.value("fetch('recordings/tone').then(r => r.status)"), json!(403));
    is_safe(&mut browser);
    browser.picture("viewer-390-en");
}
