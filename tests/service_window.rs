//! The window of the running service: health, status, a signed click-to-call, over real sockets.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use pinconnector::secret::Secret;
use pinconnector::sign::{self, Signed};
use serde_json::{Value, json};
use support::crm::Crm;
use support::office::exchange;
use support::program::Place;

const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "a-token-of-more-than-20-characters";
const SECRET: &str = "another-secret-of-bytes";

/// One request, one answer: status and body.
fn ask(port: u16, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the window is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{text}"));
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}

fn click(port: u16, nonce: &str, body: &Value) -> (u16, Value) {
    signed(port, "POST", "/api/v1/calls", nonce, &body.to_string())
}

fn signed_get(port: u16, path: &str) -> (u16, Value) {
    signed(port, "GET", path, "30112233445566778899aabbccddeeff", "")
}

fn signed(port: u16, method: &str, path: &str, nonce: &str, body: &str) -> (u16, Value) {
    let time_s = i64::try_from(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs(),
    )
    .expect("this century");
    let signed = Signed { method, path, time_s, nonce, body: body.as_bytes() };
    let signature = sign::signature(&Secret::new(SECRET), &signed);
    let headers = format!(
        "X-PIN-Key: hook\r\nX-PIN-Time: {time_s}\r\nX-PIN-Nonce: {nonce}\r\nX-PIN-Signature: {signature}\r\n\
         Content-Type: application/json\r\n"
    );
    let (status, answer) = ask(port, method, path, &headers, body);
    (status, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{status}: {answer}")))
}

#[test]
fn the_window_shows_the_office_and_takes_orders() {
    let (crm, place) = (Crm::start(), Place::new());
    let stage = exchange(&["22/d_greeting_caller_hangs"], 1, Duration::ZERO, 10.0);
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    place.write_usual(stage.address().port(), &crm.url(), "");
    let text = std::fs::read_to_string(place.config()).expect("written");
    let window = format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\n\n[[http.token]]\nname = \"test\"\nsecret = \"{TOKEN}\"\nrole = \"admin\"\n"
    );
    place.write(&text.replace("[http]\nlisten = []\n", &window));
    let service = place.start();
    crm.wait_until("the call came", PATIENCE, |crm| crm.newest().values().any(|record| record["ended_at"].is_string()));

    assert_eq!(ask(port, "GET", "/health", "", "").0, 200);
    assert!(matches!(ask(port, "GET", "/api/v1/status", "", "").0, 401 | 403), "nobody sees it without a token");
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let (status, body) = ask(port, "GET", "/api/v1/status", &bearer, "");
    assert_eq!(status, 200, "{body}");
    let shown: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(shown["pbxs"][0]["name"], "office", "{shown:#}");
    assert_eq!(shown["pbxs"][0]["up"], true);
    assert_eq!(shown["today"]["missed"], 1);
    assert_eq!(shown["crms"][0]["name"], "hook");
    let (status, metrics) = ask(port, "GET", "/metrics", &bearer, "");
    assert_eq!(status, 200);
    assert!(metrics.contains("pinconnector_ami_events_total{pbx=\"office\"}"), "{metrics}");

    // A signed click is stored with its answer, asked for, and its record reaches the CRM.
    let order = json!({"from": "101", "to": "+79161234567", "request": "click-1"});
    let (status, answer) = click(port, "00112233445566778899aabbccddeeff", &order);
    assert_eq!(status, 202, "{answer}\n{}", service.log());
    assert_eq!(answer["request"], "click-1");
    let (status, again) = click(port, "10112233445566778899aabbccddeeff", &order);
    assert_eq!((status, &again), (202, &answer), "the same request gets the same answer");
    // This exchange is a recording and refuses every Originate, which is the end of the call.
    crm.wait_until("the click's record is over", PATIENCE, |crm| {
        crm.newest().values().any(|record| record["request"] == "click-1" && record["ended_at"].is_string())
    });
    let state = |_: &Crm| {
        let (status, body) = signed_get(port, "/api/v1/calls/click-1");
        status == 200 && body["state"] == "failed"
    };
    crm.wait_until("whoever asks hears that it failed", PATIENCE, state);
    let (status, refused) = click(port, "20112233445566778899aabbccddeeff", &json!({"from": "101", "to": "bad!"}));
    assert_eq!(status, 400, "{refused}");
}

/// Asks as Asterisk does, says yes to everything, and gives what was said.
fn dialplan_asks(port: u16, script: &str, caller: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("FastAGI listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let asked = format!(
        "agi_network: yes\nagi_network_script: {script}\nagi_request: agi://127.0.0.1/{script}\n\
         agi_channel: PJSIP/trunk-msk-00000000\nagi_uniqueid: 1763805700.21\nagi_callerid: {caller}\n\
         agi_dnid: +74951234567\nagi_context: from-trunk\nagi_extension: s\nagi_priority: 2\n\n"
    );
    stream.write_all(asked.as_bytes()).expect("asked");
    let mut lines = Vec::new();
    let mut answers = std::io::BufReader::new(stream.try_clone().expect("a second end"));
    loop {
        let mut line = String::new();
        match std::io::BufRead::read_line(&mut answers, &mut line) {
            Ok(0) | Err(_) => return lines,
            Ok(_) => {}
        }
        lines.push(line.trim_end().to_owned());
        if stream.write_all(b"200 result=1\n").is_err() {
            return lines;
        }
    }
}

#[test]
fn the_dialplan_is_told_who_calls() {
    let (crm, place) = (Crm::start(), Place::new());
    let stage = exchange(&["22/d_greeting_caller_hangs"], 1, Duration::ZERO, 10.0);
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let file = place.folder.path().join("clients.json");
    let clients = json!({"entries": [{"number": "8 916 123-45-67", "client": {"id": "12x7", "name": "Ivan Petrov"}}]});
    std::fs::write(&file, clients.to_string()).expect("written");
    let directory = format!("directory = {{ from = {file:?} }}\n\n[agi]\nlisten = [\"127.0.0.1:{port}\"]\n");
    place.write_usual(stage.address().port(), &crm.url(), "");
    let text = std::fs::read_to_string(place.config()).expect("written");
    place.write(&text.replace("\n[agi]\nlisten = []\n", &directory));
    let service = place.start();
    service.wait_for_log("FastAGI: listening", PATIENCE);
    crm.wait_until("the client is known", PATIENCE, |_| {
        let said = dialplan_asks(port, "client", "+79161234567").join("\n");
        said.contains("PINCONNECTOR_STATUS") && said.contains("Ivan Petrov") && said.contains("12x7")
    });
    let said = dialplan_asks(port, "client", "+74957777777").join("\n");
    assert!(said.contains("PINCONNECTOR_STATUS") && said.contains("NOTFOUND"), "{said}\n{}", service.log());
}
