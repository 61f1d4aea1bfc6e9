//! What happens reaches whoever watches: every kind of news the window knows, from the real service.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::crm::{Crm, Mood};
use support::office::exchange;
use support::program::Place;

const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "a-token-of-more-than-20-characters";

fn open_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

fn request(port: u16, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the window is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    BufReader::new(stream)
}

/// Somebody who listens to live events.
struct Listener(BufReader<TcpStream>);

impl Listener {
    /// Reads on until an event of this kind of which `fits` says so.
    fn wait_for(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut is_kind = false;
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "no such {kind} came");
            let mut line = String::new();
            let read = self.0.read_line(&mut line).unwrap_or_else(|error| panic!("no {kind}: {error}"));
            assert!(read > 0, "the events ended before {kind}");
            if let Some(name) = line.strip_prefix("event: ") {
                is_kind = name.trim() == kind;
            } else if let Some(body) = line.strip_prefix("data: ").filter(|_| is_kind) {
                let body: Value = serde_json::from_str(body).expect("JSON");
                if fits(&body) {
                    return body;
                }
            }
        }
    }
}

fn metrics(port: u16) -> String {
    let mut text = String::new();
    request(port, "/metrics").read_to_string(&mut text).expect("an answer");
    text
}

#[test]
fn whoever_watches_hears_of_calls_links_crms_and_figures() {
    let (crm, place) = (Crm::start(), Place::new());
    let stage = exchange(&["22/a_in_answered_caller_hangs"], 1, Duration::ZERO, 1.0);
    let port = open_port();
    let agi = open_port();
    place.write_usual(stage.address().port(), &crm.url(), "");
    let text = std::fs::read_to_string(place.config()).expect("written");
    let window = format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\n\n[[http.token]]\nname = \"test\"\nsecret = \"{TOKEN}\"\nrole = \"admin\"\n"
    );
    let text = text.replace("[http]\nlisten = []\n", &window);
    place.write(&text.replace("[agi]\nlisten = []\n", &format!("[agi]\nlisten = [\"127.0.0.1:{agi}\"]\n")));
    let service = place.start();
    service.wait_for_log("http: listening", PATIENCE);
    let mut listener = Listener(request(port, "/api/v1/events"));
    listener.wait_for("state", |state| state["calls"].is_array() && state["pbxs"][0]["name"] == "office");

    // Records.
    listener.wait_for("call", |call| call["status"] == "ringing");
    // Backlog: the CRM is ill when the next word of the call reaches it, then well.
    crm.set(Mood::Status(503));
    let ill = listener.wait_for("backlog", |crm| crm["name"] == "hook" && crm["down_since"].is_string());
    assert!(ill["last_error"].as_str().is_some_and(|why| why.contains("503")), "{ill:#}");
    listener.wait_for("call", |call| call["status"] == "completed");
    crm.set(Mood::Well);
    assert!(place.command(&["outbox", "retry"]).status.success());
    listener.wait_for("backlog", |crm| crm["name"] == "hook" && crm["down_since"].is_null());
    // Link.
    drop(stage);
    let down = listener.wait_for("link", |pbx| pbx["up"] == false);
    assert_eq!(down["name"], "office");

    // The dialplan asks, and goes.
    let mut asks = TcpStream::connect(("127.0.0.1", agi)).expect("FastAGI listens");
    asks.set_read_timeout(Some(PATIENCE)).expect("set");
    asks.write_all(b"agi_network: yes\nagi_network_script: nonsense\nagi_uniqueid: 1.1\n\n").expect("asked");
    let mut said = String::new();
    BufReader::new(&asks).read_line(&mut said).expect("an answer");
    assert!(said.contains("PINCONNECTOR_STATUS"), "{said}");
    drop(asks);

    // CrmTook, and the figures of everybody else.
    let wanted = [
        "pinconnector_crm_request_duration_seconds_count{crm=\"hook\",op=\"records\",result=\"failed\"}",
        "pinconnector_crm_request_duration_seconds_count{crm=\"hook\",op=\"records\",result=\"ok\"}",
        "pinconnector_calls_total{pbx=\"office\",direction=\"incoming\",status=\"completed\"} 1",
        "pinconnector_agi_session_duration_seconds_count 1",
        "pinconnector_agi_session_duration_seconds_bucket{le=\"+Inf\"} 1",
        "pinconnector_agi_refused_total{why=\"busy\"} 0",
        "pinconnector_queue_length{queue=\"heard\"} 0",
        "pinconnector_queue_capacity{queue=\"saves\"} 512",
        "pinconnector_outbox_waiting{crm=\"hook\"} 0",
        "pinconnector_pbx_up{pbx=\"office\"} 0",
    ];
    crm.wait_until("all figures are there", PATIENCE, |_| {
        let text = metrics(port);
        wanted.iter().all(|figure| text.contains(figure))
    });
}

/// What the dialplan is told to present to this number.
fn presented(port: u16, to: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("FastAGI listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let asked = format!(
        "agi_network: yes\nagi_network_script: callerid?to={to}\nagi_channel: PJSIP/101-00000000\nagi_uniqueid: 1763805700.21\n\
         agi_callerid: 101\nagi_context: from-internal\nagi_extension: {to}\nagi_priority: 2\n\n"
    );
    stream.write_all(asked.as_bytes()).expect("asked");
    let mut said = String::new();
    let mut lines = BufReader::new(stream.try_clone().expect("a second end"));
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
        said.push_str(&std::mem::take(&mut line));
        if stream.write_all(b"200 result=1\n").is_err() {
            break;
        }
    }
    said
}

#[test]
fn a_client_sees_again_the_number_he_saw_when_we_called_him() {
    let (crm, place) = (Crm::start(), Place::new());
    // 101 calls a client, and the dialplan presents +74951234567.
    let stage = exchange(&["22/i_out_cid_rewritten_recorded"], 1, Duration::ZERO, 4.0);
    let agi = open_port();
    place.write_usual(stage.address().port(), &crm.url(), "");
    let text = std::fs::read_to_string(place.config()).expect("written");
    let section = format!(
        "[agi]\nlisten = [\"127.0.0.1:{agi}\"]\ncaller_ids = [\"+74957654321\", \"+74951234567\"]\n\
         default_caller_id = \"+74957654321\"\n"
    );
    place.write(&text.replace("[agi]\nlisten = []\n", &section));
    let service = place.start();
    crm.wait_until("the call is over", PATIENCE, |crm| {
        crm.newest().values().any(|record| record["ended_at"].is_string() && record["presented"] == "+74951234567")
    });
    let said = presented(agi, "89161234567");
    assert!(said.contains("OUTGOING_CALLERID") && said.contains("+74951234567"), "{said}\n{}", service.log());
    let stranger = presented(agi, "89997654321");
    assert!(stranger.contains("+74957654321"), "{stranger}");
}
