//! A headless Chromium, driven by its own protocol over two pipes: no driver, no port.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    next: u64,
    session: String,
    /// Whatever the page complained about: exceptions, refused scripts, failed loads.
    pub complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

/// The browser, if this machine has one.
fn program() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    })
}

impl Browser {
    /// `None` where there is no Chromium; a build server must have one.
    pub fn open() -> Option<Self> {
        let Some(program) = program() else {
            assert!(std::env::var_os("CI").is_none(), "a build server needs chromium for the browser tests");
            eprintln!("no chromium here: the browser tests are left out");
            return None;
        };
        let profile = tempfile::tempdir().expect("a folder");
        let pipe = |name: &str| profile.path().join(name);
        for name in ["to", "from"] {
            let made = Command::new("mkfifo").arg(pipe(name)).status().expect("mkfifo");
            assert!(made.success());
        }
        // Chromium wants its pipes as descriptors 3 and 4.
        let child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<\"$TO\" 4>\"$FROM\"", program])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"])
            .args(["--no-first-run", "--remote-debugging-pipe", "--hide-scrollbars", "--disable-background-networking"])
            .arg(format!("--user-data-dir={}", pipe("profile").display()))
            .arg("about:blank")
            .env("TO", pipe("to"))
            .env("FROM", pipe("from"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let to = File::options().write(true).open(pipe("to")).expect("a pipe");
        let heard = File::open(pipe("from")).expect("a pipe");
        let (sender, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(heard).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser =
            Self { child, to, from, next: 0, session: String::new(), complaints: vec![], _profile: profile };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let session = browser.ask("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    pub fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("the browser lives");
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = self.from.recv_timeout(left).unwrap_or_else(|e| panic!("{method}: {e}"));
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let about = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Page.javascriptDialogOpening") => self.complaints.push(about.to_string()),
            Some("Log.entryAdded") if about["entry"]["level"] == "error" => {
                self.complaints.push(about["entry"]["text"].to_string());
            }
            _ => {}
        }
    }

    /// A window of this size, as a phone (with touch and a phone's pixels) or a desk has it.
    pub fn resize(&mut self, width: u32, height: u32) {
        let mobile = width < 500;
        let scale = if mobile { 2 } else { 1 };
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile });
        self.ask("Emulation.setDeviceMetricsOverride", size);
    }

    pub fn go(&mut self, url: &str) {
        self.ask("Page.navigate", json!({ "url": url }));
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// The value of an expression; a promise is waited for.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let result = self.ask("Runtime.evaluate", asked);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until the expression is true; says how long that took.
    pub fn wait(&mut self, expression: &str) -> Duration {
        let begun = Instant::now();
        while self.value(&format!("Boolean({expression})")) != json!(true) {
            let seen = || "document.body && document.body.innerText";
            if begun.elapsed() > Duration::from_secs(20) {
                let text = self.value(seen());
                panic!("never: {expression}\n{text}\n{:?}", self.complaints);
            }
            std::thread::yield_now();
        }
        begun.elapsed()
    }

    /// Clicks in the middle of an element, as a mouse does.
    pub fn click(&mut self, selector: &str) {
        let at = self.value(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center' }}); \
             const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
            self.ask("Input.dispatchMouseEvent", event);
        }
    }

    pub fn type_into(&mut self, selector: &str, text: &str) {
        self.value(&format!("document.querySelector({selector:?}).focus()"));
        self.ask("Input.insertText", json!({ "text": text }));
    }

    /// A picture of the whole page as PNG, where `PINCONNECTOR_SCREENSHOTS` names a folder.
    pub fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("PINCONNECTOR_SCREENSHOTS") else { return };
        self.value("scrollTo(0, 0)");
        let shot = self.ask("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
        let text = shot["data"].as_str().expect("a picture");
        let file = std::path::Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(file, base64(text)).expect("written");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => u32::from(b - b'A'),
        b'a'..=b'z' => u32::from(b - b'a') + 26,
        b'0'..=b'9' => u32::from(b - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group.iter().fold(0, |bits, b| bits << 6 | digit(*b)) << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
