//! A CRM at the socket: takes records over HTTP, or fails in one of the ways CRMs fail.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How it behaves now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    Well,
    /// This status, with a JSON body.
    Status(u16),
    /// 200 and a login page.
    Html,
    /// Takes the request and says nothing until the mood changes.
    Hang,
    /// Closes the connection in the middle of the request.
    Close,
}

/// One record as it was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    pub id: String,
    pub revision: u64,
    pub record: Value,
    pub at: Instant,
}

struct State {
    mood: Mood,
    taken: Vec<Taken>,
    /// Requests that were not taken, by mood.
    refused: u64,
}

/// The receiver; ends with the test process.
#[derive(Clone)]
pub struct Crm {
    pub port: u16,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Crm {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = State { mood: Mood::Well, taken: Vec::new(), refused: 0 };
        let crm = Self { port, shared: Arc::new((Mutex::new(state), Condvar::new())) };
        let serving = crm.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let crm = serving.clone();
                std::thread::spawn(move || crm.serve(&stream));
            }
        });
        crm
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub fn set(&self, mood: Mood) {
        self.shared.0.lock().expect("not poisoned").mood = mood;
        self.shared.1.notify_all();
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.shared.0.lock().expect("not poisoned").taken.clone()
    }

    pub fn refused(&self) -> u64 {
        self.shared.0.lock().expect("not poisoned").refused
    }

    /// The newest revision of each record.
    pub fn newest(&self) -> BTreeMap<String, Value> {
        let mut newest: BTreeMap<String, Taken> = BTreeMap::new();
        for taken in self.taken() {
            match newest.get(&taken.id) {
                Some(known) if known.revision >= taken.revision => {}
                _ => {
                    newest.insert(taken.id.clone(), taken);
                }
            }
        }
        newest.into_iter().map(|(id, taken)| (id, taken.record)).collect()
    }

    /// Waits until `enough` says so of what it was told.
    pub fn wait_until(&self, what: &str, limit: Duration, enough: impl Fn(&Self) -> bool) {
        let until = Instant::now() + limit;
        loop {
            if enough(self) {
                return;
            }
            let state = self.shared.0.lock().expect("not poisoned");
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {} s in vain: {what}; taken: {:#?}", limit.as_secs(), state.taken);
            // Wakes at every record; the short limit covers a change between the look and the wait.
            let _ = self.shared.1.wait_timeout(state, left.min(Duration::from_millis(50)));
        }
    }

    /// Nothing came twice in a different order: per record, revisions only grow.
    pub fn assert_order(&self) {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for taken in self.taken() {
            let known = last.insert(taken.id.clone(), taken.revision);
            assert!(
                known.is_none_or(|known| known <= taken.revision),
                "{}: {known:?} after {}",
                taken.id,
                taken.revision
            );
        }
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(body) = read_request(&mut reader) {
            let mood = self.wait_out_hanging();
            let answer = match mood {
                Mood::Well => {
                    self.take(&body);
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}".to_owned()
                }
                Mood::Status(status) => {
                    format!(
                        "HTTP/1.1 {status} No\r\nContent-Length: 14\r\nContent-Type: application/json\r\n\r\n{{\"error\":\"no\"}}"
                    )
                }
                Mood::Html => {
                    let page = "<!DOCTYPE html><html><form>Please log in <input type=\"password\"></form></html>";
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: text/html\r\n\r\n{page}",
                        page.len()
                    )
                }
                Mood::Hang | Mood::Close => return self.count_refused(),
            };
            if mood != Mood::Well {
                self.count_refused();
            }
            let mut out = stream;
            if out.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    /// The mood that ends the wait; a hanging request is dropped unanswered when it changes.
    fn wait_out_hanging(&self) -> Mood {
        let mut state = self.shared.0.lock().expect("not poisoned");
        let first = state.mood;
        while state.mood == Mood::Hang {
            state = self.shared.1.wait(state).expect("not poisoned");
        }
        first
    }

    fn count_refused(&self) {
        self.shared.0.lock().expect("not poisoned").refused += 1;
        self.shared.1.notify_all();
    }

    fn take(&self, body: &[u8]) {
        let body: Value = serde_json::from_slice(body).expect("the body is JSON");
        let mut state = self.shared.0.lock().expect("not poisoned");
        for record in body["records"].as_array().expect("records") {
            state.taken.push(Taken {
                id: record["id"].as_str().expect("an id").to_owned(),
                revision: record["revision"].as_u64().expect("a revision"),
                record: record.clone(),
                at: Instant::now(),
            });
        }
        self.shared.1.notify_all();
    }
}

pub fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    let mut first = true;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() && !first {
            break;
        }
        first = false;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}
