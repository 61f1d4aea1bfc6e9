//! A vTiger with our module at the socket: takes every operation, repeats commands until they are done, and remembers what it was told.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::crm::read_request;

#[derive(Default)]
struct State {
    /// Every request but long polls, in order.
    asked: Vec<Value>,
    commands: Vec<Value>,
    /// Answers nothing but 503.
    is_away: bool,
}

/// Ends with the test process.
#[derive(Clone)]
pub struct Vtiger {
    pub port: u16,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Vtiger {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let vtiger = Self { port, shared: Arc::default() };
        let serving = vtiger.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let vtiger = serving.clone();
                std::thread::spawn(move || vtiger.serve(&stream));
            }
        });
        vtiger
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets this wait to be fetched.
    pub fn command(&self, command: Value) {
        self.shared.0.lock().expect("not poisoned").commands.push(command);
        self.shared.1.notify_all();
    }

    pub fn be_away(&self, is_away: bool) {
        self.shared.0.lock().expect("not poisoned").is_away = is_away;
        self.shared.1.notify_all();
    }

    /// Every request so far with this operation.
    pub fn asked(&self, op: &str) -> Vec<Value> {
        let state = self.shared.0.lock().expect("not poisoned");
        state.asked.iter().filter(|asked| asked["op"] == op).cloned().collect()
    }

    /// Waits for something it is told; gives it.
    pub fn wait_for<T>(&self, what: &str, limit: Duration, find: impl Fn(&Self) -> Option<T>) -> T {
        let until = Instant::now() + limit;
        loop {
            if let Some(found) = find(self) {
                return found;
            }
            let state = self.shared.0.lock().expect("not poisoned");
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {} s in vain: {what}; asked: {:#?}", limit.as_secs(), state.asked);
            // Wakes at every request; the short limit covers a change between the look and the wait.
            let _ = self.shared.1.wait_timeout(state, left.min(Duration::from_millis(50)));
        }
    }

    /// What was told of this command.
    pub fn done(&self, id: &str) -> Option<Value> {
        let done = |asked: &Value| asked["done"].as_array().cloned().unwrap_or_default();
        self.asked("commands").iter().flat_map(done).find(|done| done["id"] == id)
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(body) = read_request(&mut reader) {
            let asked: Value = serde_json::from_slice(&body).expect("the body is JSON");
            let (status, mut answer) = self.answer(&asked);
            answer["module"] = "Calls".into();
            answer["ok"] = (status == 200).into();
            let text = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            let mut out = stream;
            if out.write_all(format!("{head}{text}").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, asked: &Value) -> (u16, Value) {
        let mut state = self.shared.0.lock().expect("not poisoned");
        if state.is_away {
            return (503, json!({ "error": "unavailable", "message": "away" }));
        }
        let wait_s = asked["wait_s"].as_u64().unwrap_or_default();
        let is_told = asked["op"] != "commands" || wait_s == 0;
        if is_told {
            state.asked.push(asked.clone());
            let done: Vec<&Value> =
                asked["done"].as_array().map(|all| all.iter().map(|d| &d["id"]).collect()).unwrap_or_default();
            state.commands.retain(|command| !done.contains(&&command["id"]));
            self.shared.1.notify_all();
        }
        let answer = match asked["op"].as_str().unwrap_or_default() {
            "records" => {
                let of = |r: &Value| json!({ "id": r["id"], "result": "saved", "revision": r["revision"] });
                json!({ "results": asked["records"].as_array().expect("records").iter().map(of).collect::<Vec<_>>() })
            }
            "commands" => {
                let until = Instant::now() + Duration::from_secs(wait_s);
                while state.commands.is_empty() && Instant::now() < until && !state.is_away {
                    let left = until.saturating_duration_since(Instant::now());
                    state = self.shared.1.wait_timeout(state, left).expect("not poisoned").0;
                }
                json!({ "commands": state.commands })
            }
            "directory" => json!({ "cursor": "since:1", "entries": [] }),
            _ => json!({}),
        };
        (200, answer)
    }
}
