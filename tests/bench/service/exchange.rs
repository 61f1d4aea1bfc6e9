//! An Asterisk at the socket: lets the connector in, answers what it asks (nobody is on the phone), and plays stories at a chosen
//! rate or as fast as they are taken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::story::Story;

pub struct Exchange {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Held while a message is written, so that an answer does not fall into the middle of a burst.
    writing: Mutex<()>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    link: Option<TcpStream>,
    /// When each login came.
    logins: Vec<Instant>,
    /// When each Originate came.
    originates: Vec<Instant>,
}

/// How stories are played.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Stories begun in a second; `None`: as soon as another has ended.
    pub per_second: Option<f64>,
    /// Stories played at once, where none has a time to begin.
    pub at_once: usize,
    /// So many times as fast as they were recorded; without effect where there is no rate.
    pub times: f64,
}

impl Pace {
    pub fn rate(per_second: f64) -> Self {
        Self { per_second: Some(per_second), at_once: usize::MAX, times: 10.0 }
    }

    pub fn unbraked(at_once: usize) -> Self {
        Self { per_second: None, at_once, times: 1.0 }
    }
}

/// What was played.
#[derive(Clone, Copy, Default)]
pub struct Played {
    pub messages: u64,
    pub bytes: u64,
}

impl Exchange {
    pub fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { port, shared }
    }

    /// How often somebody logged in so far.
    pub fn logins(&self) -> usize {
        self.shared.state.lock().expect("not poisoned").logins.len()
    }

    /// The moment of the `nth` login, counted from 0; `None` if it does not come.
    pub fn login(&self, nth: usize) -> Option<Instant> {
        self.wait(|state| state.logins.get(nth).copied())
    }

    /// How many Originates came so far.
    pub fn originates(&self) -> usize {
        self.shared.state.lock().expect("not poisoned").originates.len()
    }

    /// The moment of the `nth` Originate, counted from 0; `None` if it does not come.
    pub fn originate(&self, nth: usize) -> Option<Instant> {
        self.wait(|state| state.originates.get(nth).copied())
    }

    fn wait<T>(&self, mut look: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let until = Instant::now() + Duration::from_secs(30);
        let mut state = self.shared.state.lock().expect("not poisoned");
        loop {
            let found = look(&state);
            let left = until.saturating_duration_since(Instant::now());
            if found.is_some() || left.is_zero() {
                return found;
            }
            state = self.shared.changed.wait_timeout(state, left).expect("not poisoned").0;
        }
    }

    /// Plays stories in turn, the first as play number `plays.start`. `sent` is told of each message (play, number, moment)
    /// before it is written; `until`: messages of a story are played as long as it says so, so that a call can be left open.
    pub fn play(
        &self,
        stories: &[Story],
        plays: std::ops::Range<u32>,
        pace: Pace,
        sent: &dyn Fn(u32, usize, Instant),
        until: impl Fn(&Story, usize) -> bool,
    ) -> Played {
        let link = self.wait(|state| state.link.as_ref().map(|link| link.try_clone().expect("a socket")));
        let link = link.expect("somebody is logged in");
        let mut played = Played::default();
        let begun = Instant::now();
        let mut due: BinaryHeap<Reverse<(Duration, u32, usize)>> = BinaryHeap::new();
        let mut next = plays.start;
        let mut burst: Vec<u8> = Vec::with_capacity(64 * 1024);
        let mut marks: Vec<(u32, usize)> = Vec::new();
        let mut turn = Duration::ZERO;
        loop {
            // Who begins now.
            while next < plays.end && due.len() < pace.at_once {
                let at =
                    pace.per_second.map_or(turn, |rate| Duration::from_secs_f64(f64::from(next - plays.start) / rate));
                if pace.per_second.is_some() && due.peek().is_some_and(|Reverse((first, ..))| *first < at) {
                    break;
                }
                due.push(Reverse((at, next, 0)));
                next += 1;
            }
            let Some(Reverse((at, play, nth))) = due.pop() else { break };
            if pace.per_second.is_some() {
                let wait = at.saturating_sub(begun.elapsed());
                if !wait.is_zero() {
                    played.bytes += send(&link, &self.shared.writing, &mut burst, &mut marks, sent);
                    std::thread::sleep(wait);
                }
            }
            let story = &stories[play as usize % stories.len()];
            story.messages[nth].render(play, &mut burst);
            marks.push((play, nth));
            played.messages += 1;
            if nth + 1 < story.messages.len() && until(story, nth + 1) {
                let later = (story.messages[nth + 1].at - story.messages[nth].at).div_f64(pace.times);
                // Without a rate everybody says one message in turn.
                turn += Duration::from_nanos(1);
                let at = if pace.per_second.is_some() { at + later } else { turn };
                due.push(Reverse((at, play, nth + 1)));
            }
            if burst.len() > 32 * 1024 {
                played.bytes += send(&link, &self.shared.writing, &mut burst, &mut marks, sent);
            }
        }
        played.bytes += send(&link, &self.shared.writing, &mut burst, &mut marks, sent);
        played
    }
}

fn send(
    mut link: &TcpStream,
    writing: &Mutex<()>,
    burst: &mut Vec<u8>,
    marks: &mut Vec<(u32, usize)>,
    sent: &dyn Fn(u32, usize, Instant),
) -> u64 {
    if burst.is_empty() {
        return 0;
    }
    let _alone = writing.lock().expect("not poisoned");
    let now = Instant::now();
    for (play, nth) in marks.drain(..) {
        sent(play, nth, now);
    }
    link.write_all(burst).expect("the connector reads");
    let bytes = burst.len() as u64;
    burst.clear();
    bytes
}

fn serve(stream: TcpStream, shared: &Shared) {
    stream.set_nodelay(true).expect("a socket");
    let mut output = stream.try_clone().expect("a socket");
    let say = |output: &mut TcpStream, text: &str| output.write_all(text.as_bytes()).is_ok();
    say(&mut output, "Asterisk Call Manager/11.0.0\r\n");
    let mut lines = BufReader::new(stream).lines();
    let (mut action, mut id) = (String::new(), String::new());
    while let Some(Ok(line)) = lines.next() {
        match line.split_once(": ") {
            Some(("Action", value)) => value.clone_into(&mut action),
            Some(("ActionID", value)) => value.clone_into(&mut id),
            Some(_) => {}
            None if action.is_empty() => {}
            None => {
                let done = |rest: &str| format!("Response: Success\r\nActionID: {id}\r\n{rest}\r\n");
                let list = |name: &str| {
                    let start = done("EventList: start\r\nMessage: will follow\r\n");
                    let end = "EventList: Complete\r\nListItems: 0\r\n\r\n";
                    format!("{start}Event: {name}Complete\r\nActionID: {id}\r\n{end}")
                };
                let answer = match &*action {
                    "Challenge" => done("Challenge: 1\r\n"),
                    "Login" => done("Message: Authentication accepted\r\n"),
                    "Ping" => done("Ping: Pong\r\n"),
                    "CoreSettings" => done("AMIversion: 11.0.0\r\nAsteriskVersion: 22.10.1\r\n"),
                    "CoreStatus" => done("CoreStartupDate: 2026-11-22\r\nCoreStartupTime: 06:29:48\r\n"),
                    "Originate" => done("Message: Originate successfully queued\r\n"),
                    name => list(name),
                };
                let now = Instant::now();
                {
                    let mut state = shared.state.lock().expect("not poisoned");
                    match &*action {
                        "Login" => {
                            state.link = Some(output.try_clone().expect("a socket"));
                            state.logins.push(now);
                        }
                        "Originate" => state.originates.push(now),
                        _ => {}
                    }
                }
                let alone = shared.writing.lock().expect("not poisoned");
                let said = say(&mut output, &answer);
                drop(alone);
                if !said {
                    return;
                }
                shared.changed.notify_all();
                action.clear();
            }
        }
    }
}
