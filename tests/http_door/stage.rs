//! The office as HTTP sees it, played: questions are answered from memory, orders are kept for the test to look at.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use pinconnector::asterisk::PbxId;
use pinconnector::call::record::{Direction, Moment, Source, Status};
use pinconnector::call::{PlaceCall, Record};
use pinconnector::clock::Now;
use pinconnector::http::office::{
    AuditLine, Crm, Done, Figure, KeptAnswer, NotPlaced, Pbx, PbxStatus, RecordingPlace, Refresh, Status as Standing,
    Wanted,
};
use pinconnector::http::settings::{OneOrMany, TokenSettings, UserSettings};
use pinconnector::http::{ClickToCallSettings, Happened, Http, HttpSettings, LinkKey, Office, Role, Setup, passwords};
use pinconnector::phone::{DialFormat, Numbers, NumbersSettings};
use pinconnector::secret::Secret;
use pinconnector::sign;

/// Held by every test here: some measure, and time and memory belong to the whole process.
pub static ALONE: Mutex<()> = Mutex::new(());

/// Nobody else measures now; a test that failed while measuring does not stop the others.
pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub const SECRET: &str = "b9c1b0a8f7d64e0c9a3c5d7e1f20314255667788";
pub const TOKEN: &str = "monitoring-token-0123456789";
pub const LINK_KEY: LinkKey = LinkKey([5; 32]);

/// What the office was asked to do.
pub enum Ordered {
    Place { call: Box<PlaceCall>, kept: KeptAnswer, line: AuditLine, done: Done },
    Cancel(String),
    Audit(AuditLine),
    Close { record: String, by: String },
    Refresh(String, Refresh),
}

/// What the office knows.
#[derive(Default)]
pub struct Known {
    pub kept: Vec<KeptAnswer>,
    pub records: Vec<Record>,
    pub recordings: Vec<(String, RecordingPlace)>,
    pub standing: Standing,
    /// Commits are over at once.
    pub commits: bool,
}

pub struct PlayedOffice {
    pub known: Mutex<Known>,
    orders: Sender<Ordered>,
}

impl Office for PlayedOffice {
    fn place_call(&self, call: PlaceCall, kept: KeptAnswer, line: AuditLine, done: Done) {
        if self.known.lock().expect("no test has panicked here").commits {
            self.known.lock().expect("no test has panicked here").kept.push(kept.clone());
            let nothing: Done = Box::new(|_| {});
            let _ = self.orders.send(Ordered::Place { call: Box::new(call), kept, line, done: nothing });
            done(Ok(()));
        } else {
            let _ = self.orders.send(Ordered::Place { call: Box::new(call), kept, line, done });
        }
    }

    fn cancel_call(&self, crm: &str, request: &str) -> bool {
        assert_eq!(crm, "vtiger");
        self.orders.send(Ordered::Cancel(request.to_owned())).is_ok()
    }

    fn audit(&self, line: AuditLine) {
        let _ = self.orders.send(Ordered::Audit(line));
    }

    fn kept_answer(&self, crm: &str, request: &str) -> Result<Option<String>, String> {
        let known = self.known.lock().expect("no test has panicked here");
        Ok(known.kept.iter().find(|k| k.crm == crm && k.request == request).map(|k| k.answer.clone()))
    }

    fn calls(&self, wanted: &Wanted) -> Result<Vec<Record>, String> {
        let fits = |r: &&Record| {
            (!wanted.open || !r.status.is_final())
                && (!wanted.lead || r.lead)
                && (!wanted.to_call_back || r.follow_up.is_some())
                && wanted.conversation.as_ref().is_none_or(|c| r.conversation == *c)
        };
        Ok(self
            .known
            .lock()
            .expect("no test has panicked here")
            .records
            .iter()
            .filter(fits)
            .take(wanted.limit)
            .cloned()
            .collect())
    }

    fn status(&self) -> Result<Standing, String> {
        Ok(self.known.lock().expect("no test has panicked here").standing.clone())
    }

    fn figures(&self) -> Vec<Figure> {
        Vec::new()
    }

    fn recording(&self, id: &str) -> Result<Option<RecordingPlace>, String> {
        let known = self.known.lock().expect("no test has panicked here");
        Ok(known.recordings.iter().find(|(known, _)| known == id).map(|(_, place)| place.clone()))
    }

    fn close_follow_up(&self, record_id: &str, by: &str) -> Result<bool, String> {
        let _ = self.orders.send(Ordered::Close { record: record_id.to_owned(), by: by.to_owned() });
        Ok(true)
    }

    fn refresh(&self, crm: &str, what: Refresh) {
        let _ = self.orders.send(Ordered::Refresh(crm.to_owned(), what));
    }
}

/// HTTP in front of a played office, listening on a port of its own.
pub struct Stage {
    pub http: Http,
    pub address: SocketAddr,
    pub office: Arc<PlayedOffice>,
    pub orders: Receiver<Ordered>,
}

pub fn settings() -> HttpSettings {
    HttpSettings {
        listen: OneOrMany::One("127.0.0.1:0".to_owned()),
        token: vec![TokenSettings { name: "prometheus".into(), secret: Secret::new(TOKEN), role: Role::Admin }],
        ..HttpSettings::default()
    }
}

pub fn user(name: &str, password: &str, role: Role) -> UserSettings {
    let hash = passwords::hash(password).expect("randomness");
    UserSettings { name: name.to_owned(), password_hash: Secret::new(hash), role }
}

pub fn crm(name: &str, secret: &str) -> Crm {
    Crm {
        name: name.to_owned(),
        secret: Secret::new(secret),
        is_stock: name.starts_with("stock"),
        pbxs: vec![],
        extensions: vec![],
        contexts: vec![],
    }
}

pub fn setup() -> Setup {
    let region = NumbersSettings { region: Some("RU".into()), ..NumbersSettings::default() };
    let pbx = Pbx {
        id: PbxId(0),
        name: "msk".into(),
        dial_format: DialFormat::AsGiven,
        dial_prefix: String::new(),
        channel: None,
        context: None,
    };
    Setup {
        http: settings(),
        click_to_call: ClickToCallSettings { per_extension_per_minute: 1000, ..ClickToCallSettings::default() },
        crms: vec![crm("vtiger", SECRET), crm("other", "another-secret"), crm("stock", "stock-secret")],
        pbxs: vec![pbx],
        numbers: Numbers::new(&region).expect("good settings").into(),
        zone: jiff::tz::TimeZone::UTC,
        search: vec![],
        link_key: LINK_KEY,
    }
}

impl Stage {
    pub fn new(setup: Setup) -> Self {
        let (orders_sender, orders) = unbounded();
        let known = Known { commits: true, ..Known::default() };
        let office = Arc::new(PlayedOffice { known: Mutex::new(known), orders: orders_sender });
        let http = Http::start(setup, Arc::clone(&office) as Arc<dyn Office>).expect("starts");
        let address = http.addresses()[0];
        let stage = Self { http, address, office, orders };
        stage.tell(Happened::Link(PbxStatus { name: "msk".into(), up: true, ..PbxStatus::default() }));
        stage
    }

    pub fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.office.known.lock().expect("no test has panicked here")
    }

    pub fn tell(&self, happened: Happened) {
        assert!(self.http.feed().tell(happened), "the desk has room");
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, head: &str, body: &[u8]) -> Reply {
        let mut client = self.client();
        client.send(head, body);
        client.reply()
    }

    pub fn get(&self, path: &str, lines: &str) -> Reply {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: pbx\r\n{lines}"), b"")
    }

    pub fn signed(&self, method: &str, path: &str, body: &str) -> Reply {
        self.ask(&signed_as("vtiger", SECRET, method, path, body, 0, &nonce()), body.as_bytes())
    }

    pub fn next_order(&self) -> Ordered {
        self.orders.recv_timeout(Duration::from_secs(10)).expect("an order")
    }

    pub fn next_placed(&self) -> PlaceCall {
        match self.next_order() {
            Ordered::Place { call, .. } => *call,
            _ => panic!("another order"),
        }
    }

    /// The middle one of five honest requests, in milliseconds.
    pub fn honest_ms(&self) -> u128 {
        let mut took: Vec<u128> = (0..5)
            .map(|_| {
                let begun = Instant::now();
                let reply = self.get("/health", "");
                assert_eq!(reply.status, 200, "{reply:?}");
                begun.elapsed().as_millis()
            })
            .collect();
        took.sort_unstable();
        took[2]
    }

    pub fn stop(self) {
        let left = self.http.stop(Instant::now() + Duration::from_secs(10));
        assert_eq!(left, Vec::<String>::new());
    }
}

pub fn nonce() -> String {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("randomness");
    sign::nonce(random)
}

/// The head of a signed request; `off_s` is how wrong the sender's clock is.
pub fn signed_as(key: &str, secret: &str, method: &str, path: &str, body: &str, off_s: i64, nonce: &str) -> String {
    let time_s = Now::read().wall_ms / 1000 + off_s;
    let request = sign::Signed { method, path, time_s, nonce, body: body.as_bytes() };
    let signature = sign::signature(&Secret::new(secret), &request);
    format!(
        "{method} {path} HTTP/1.1\r\nHost: pbx\r\nX-PIN-Key: {key}\r\nX-PIN-Time: {time_s}\r\nX-PIN-Nonce: {nonce}\r\n\
         X-PIN-Signature: {signature}\r\nContent-Type: application/json\r\n"
    )
}

pub fn record(id: &str, status: Status) -> Record {
    let mut value = serde_json::json!({
        "id": id, "conversation": id.rsplit_once('-').expect("an id").0, "pbx": "msk", "revision": 1, "source": Source::Ami,
        "direction": Direction::Incoming, "status": status, "lead": true, "started_at": Moment(Now::read().wall_ms),
    });
    value["crm"] = "vtiger".into();
    value["client_number"] = "+79161234567".into();
    serde_json::from_value(value).expect("a record")
}

pub fn place(folder: PathBuf, file: &str) -> RecordingPlace {
    RecordingPlace {
        folder: Some(folder),
        file: file.to_owned(),
        started_at: Moment(1_795_329_208_170),
        zone: jiff::tz::TimeZone::UTC,
        crms: vec!["vtiger".to_owned()],
    }
}

/// A connection as a browser or CRM has one.
pub struct Client {
    pub stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Status and code of an error.
    pub fn error(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap_or_default().to_owned())
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        // Where descriptors are short on purpose, our end shares them with the gate, which may take the last for a moment.
        let deadline = Instant::now() + Duration::from_secs(5);
        let stream = loop {
            match TcpStream::connect(address) {
                Err(full) if full.raw_os_error() == Some(24) && Instant::now() < deadline => std::thread::yield_now(),
                connected => break connected.expect("connects"),
            }
        };
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        stream.set_write_timeout(Some(Duration::from_secs(20))).expect("set");
        Self { stream: BufReader::new(stream) }
    }

    /// `head` without its last empty line; the length is added where there is a body.
    pub fn send(&mut self, head: &str, body: &[u8]) {
        let mut bytes = head.as_bytes().to_vec();
        if !body.is_empty() {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        self.stream.get_mut().write_all(&bytes).expect("sent");
    }

    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("a reply")
    }

    pub fn try_reply(&mut self) -> std::io::Result<Reply> {
        let mut reply = self.reply_head()?;
        let length: usize = reply.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        if !(reply.status == 304 || reply.head.contains("\u{0}")) {
            reply.body = vec![0; length];
            self.stream.read_exact(&mut reply.body)?;
        }
        Ok(reply)
    }

    pub fn reply_head(&mut self) -> std::io::Result<Reply> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
        Ok(Reply { status, head, body: Vec::new() })
    }

    /// The next Server-Sent Event: its name and data. Heartbeats are passed over.
    pub fn event(&mut self) -> (String, serde_json::Value) {
        self.try_event().expect("an event")
    }

    /// The same; `None` once the other side has closed.
    pub fn try_event(&mut self) -> Option<(String, serde_json::Value)> {
        loop {
            let mut size = String::new();
            if self.stream.read_line(&mut size).expect("a chunk") == 0 {
                return None;
            }
            let size = usize::from_str_radix(size.trim(), 16).expect("a size");
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).expect("a chunk");
            let text = String::from_utf8(chunk).expect("text");
            let of = |key| text.lines().find_map(|line: &str| line.strip_prefix(key)).map(str::to_owned);
            if let (Some(name), Some(data)) = (of("event: "), of("data: ")) {
                if name == "beat" {
                    continue;
                }
                return Some((name, serde_json::from_str(&data).expect("JSON")));
            }
        }
    }
}

pub fn no_link() -> NotPlaced {
    NotPlaced::NoLink
}

/// Memory of this process that is its own, in bytes.
pub fn anonymous_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
