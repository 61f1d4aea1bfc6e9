//! A CRM at the socket, and the clock between the two ends: when a message was sent, and when what it changed arrived.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use pinconnector::call::record::Status;
use serde::Deserialize;

use crate::story::{MARKS_MAX, Story, play_of};

/// Which plays are under way, when each of their states was brought about, and how long it took to arrive.
pub struct Clockwork {
    epoch: Instant,
    first: u32,
    /// By play and mark: nanoseconds since `epoch`; 0 is not sent, or already arrived.
    sent: Vec<AtomicU64>,
    /// By story: suffix and status to the mark.
    marks: Vec<HashMap<(String, Status), usize>>,
    /// By story: message to its marks.
    by_message: Vec<HashMap<usize, Vec<usize>>>,
    finals: Vec<Vec<bool>>,
    arrived: Mutex<Arrived>,
    changed: Condvar,
}

#[derive(Default)]
struct Arrived {
    /// In nanoseconds.
    took: Vec<u64>,
    finals: usize,
    last: Option<Instant>,
}

impl Clockwork {
    /// For these plays.
    pub fn new(stories: &[Story], plays: std::ops::Range<u32>) -> Self {
        let marks = stories.iter().map(|story| {
            story.marks.iter().enumerate().map(|(nth, mark)| ((mark.suffix.clone(), mark.status), nth)).collect()
        });
        let by_message = stories.iter().map(|story| {
            let mut by_message: HashMap<usize, Vec<usize>> = HashMap::new();
            for (nth, mark) in story.marks.iter().enumerate() {
                by_message.entry(mark.message).or_default().push(nth);
            }
            by_message
        });
        Self {
            epoch: Instant::now(),
            first: plays.start,
            sent: (0..plays.len() * MARKS_MAX).map(|_| AtomicU64::new(0)).collect(),
            marks: marks.collect(),
            by_message: by_message.collect(),
            finals: stories.iter().map(|story| story.marks.iter().map(|mark| mark.is_final).collect()).collect(),
            arrived: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// For nobody: nothing is timed.
    pub fn none(stories: &[Story]) -> Self {
        Self::new(stories, 0..0)
    }

    fn place(&self, play: u32, mark: usize) -> Option<&AtomicU64> {
        self.sent.get(usize::try_from(play.checked_sub(self.first)?).ok()? * MARKS_MAX + mark)
    }

    /// A message is about to be written.
    pub fn sent(&self, play: u32, message: usize, at: Instant) {
        let Some(marks) = self.by_message[play as usize % self.marks.len()].get(&message) else { return };
        for mark in marks {
            if let Some(place) = self.place(play, *mark) {
                place.store((at - self.epoch).as_nanos() as u64, Ordering::Relaxed);
            }
        }
    }

    /// A record came, in this state.
    pub fn arrived(&self, id: &str, status: Status, at: Instant) {
        let Some((play, suffix)) = play_of(id) else { return };
        let story = play as usize % self.marks.len();
        let Some(&mark) = self.marks[story].get(&(suffix.to_owned(), status)) else { return };
        let Some(place) = self.place(play, mark) else { return };
        let sent = place.swap(0, Ordering::Relaxed);
        if sent == 0 {
            return;
        }
        let mut arrived = self.arrived.lock().expect("not poisoned");
        arrived.took.push(((at - self.epoch).as_nanos() as u64).saturating_sub(sent));
        if self.finals[story][mark] {
            arrived.finals += 1;
            arrived.last = Some(at);
            self.changed.notify_all();
        }
    }

    /// Waits until so many records have come to their end here; when the last did.
    pub fn wait_for_finals(&self, finals: usize, limit: Duration) -> Instant {
        let until = Instant::now() + limit;
        let mut arrived = self.arrived.lock().expect("not poisoned");
        while arrived.finals < finals {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {finals} records came within {limit:?}", arrived.finals);
            arrived = self.changed.wait_timeout(arrived, left).expect("not poisoned").0;
        }
        arrived.last.unwrap_or(self.epoch)
    }

    /// Times from message to arrival so far, ascending, in milliseconds.
    pub fn times_ms(&self) -> Vec<f64> {
        let mut took = self.arrived.lock().expect("not poisoned").took.clone();
        took.sort_unstable();
        took.into_iter().map(|ns| ns as f64 / 1e6).collect()
    }
}

/// The CRM. Runs until the process ends.
pub struct Receiver {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// It answers 503 while this holds.
    is_down: AtomicBool,
    requests: AtomicU64,
    records: AtomicU64,
    clockwork: Mutex<Arc<Clockwork>>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    records: Vec<Taken<'a>>,
}

#[derive(Deserialize)]
pub struct Taken<'a> {
    pub id: &'a str,
    pub status: Status,
}

impl Receiver {
    pub fn open(clockwork: Clockwork) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            is_down: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            records: AtomicU64::new(0),
            clockwork: Mutex::new(Arc::new(clockwork)),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A connection that breaks is the sender's affair.
                std::thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub fn be_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Requests taken so far, and the records in them.
    pub fn taken(&self) -> (u64, u64) {
        (self.shared.requests.load(Ordering::Relaxed), self.shared.records.load(Ordering::Relaxed))
    }

    /// From now on arrivals are told to this one.
    pub fn tell(&self, clockwork: Clockwork) -> Arc<Clockwork> {
        let clockwork = Arc::new(clockwork);
        *self.shared.clockwork.lock().expect("not poisoned") = Arc::clone(&clockwork);
        clockwork
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut output = stream;
    let mut reader = BufReader::with_capacity(32 * 1024, stream);
    let (mut line, mut body) = (Vec::new(), Vec::new());
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                break;
            }
            if text.len() > 15 && text[..15].eq_ignore_ascii_case(b"content-length:") {
                let text = std::str::from_utf8(&text[15..]).expect("digits");
                length = text.trim().parse().expect("a length");
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        let at = Instant::now();
        if shared.is_down.load(Ordering::SeqCst) {
            output.write_all(b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        }
        output.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}")?;
        let taken: Body<'_> = serde_json::from_slice(&body).expect("the body is as tests/wire says");
        shared.requests.fetch_add(1, Ordering::Relaxed);
        shared.records.fetch_add(taken.records.len() as u64, Ordering::Relaxed);
        let clockwork = Arc::clone(&shared.clockwork.lock().expect("not poisoned"));
        for record in &taken.records {
            clockwork.arrived(record.id, record.status, at);
        }
    }
}
