//! A small AMI server that plays recordings as if they happened now: for `demo`, tests and benchmarks, over real sockets.
//!
//! It greets, lets in by challenge or plain password, answers what this program asks of an Asterisk, and knows from what it
//! plays which channels there are. It is no Asterisk: actions that would change something are refused.

use super::codec::{Codec, Frame, Message};
use super::parse::{Parsed, Parser};
use super::replay::Recording;
use crate::asterisk::{Event, Leg};
use crate::secret::Secret;
use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use md5::{Digest, Md5};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What is played, and how.
#[derive(Clone, Debug)]
pub struct Programme {
    /// Played in turn, from the first again after the last.
    pub recordings: Vec<Recording>,
    /// How many are played in all.
    pub plays: u32,
    /// Between the beginning of one and that of the next.
    pub start_every: Duration,
    pub pace: Pace,
    /// Each play gets uniqueids, channel names and bridge ids of its own, so that one recording makes many different calls.
    pub distinct: bool,
    /// The user and the secret that are let in.
    pub user: String,
    pub secret: Secret,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pace {
    /// So many times as fast as it was recorded.
    Times(f64),
    /// As fast as it is taken, in the order of [`Pace::Times`].
    Unbraked,
}

/// A server that runs until it is dropped.
pub struct Stage {
    address: SocketAddr,
    listener: TcpListener,
    accepting: Option<JoinHandle<()>>,
    /// A message for each connection whose programme was played to its end.
    played: Receiver<()>,
}

const GREETING: &[u8] = b"Asterisk Call Manager/11.0.0\r\n";
/// An action is short; whatever is longer is not one of ours.
const MAX_ACTION_BYTES: u64 = 64 * 1024;
/// A client that does not read is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

impl Stage {
    /// Listens on a loopback address; `127.0.0.1:0` takes any free port.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn open(listen: SocketAddr, programme: Programme) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        let address = listener.local_addr()?;
        let (ended, played) = unbounded();
        let accepting = {
            let listener = listener.try_clone()?;
            let programme = Arc::new(programme);
            thread::Builder::new().name("stage".to_owned()).spawn(move || accept(&listener, &programme, &ended))?
        };
        Ok(Self { address, listener, accepting: Some(accepting), played })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Receives something each time a connection has seen the whole programme.
    pub fn played(&self) -> &Receiver<()> {
        &self.played
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Wakes the thread that accepts, which ends its connections.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, programme: &Arc<Programme>, ended: &Sender<()>) {
    let mut connections: Vec<(TcpStream, JoinHandle<()>)> = Vec::new();
    while let Ok((socket, _)) = listener.accept() {
        let (programme, ended) = (Arc::clone(programme), ended.clone());
        let Ok(ours) = socket.try_clone() else { continue };
        connections.retain(|(_, thread)| !thread.is_finished());
        let thread = thread::Builder::new().name("stage-player".to_owned());
        let played = thread.spawn(move || {
            // A client may leave at any moment.
            let _ = serve(&socket, &programme, &ended);
            let _ = socket.shutdown(Shutdown::Both);
        });
        if let Ok(thread) = played {
            connections.push((ours, thread));
        }
    }
    for (socket, thread) in connections {
        let _ = socket.shutdown(Shutdown::Both);
        let _ = thread.join();
    }
}

fn serve(socket: &TcpStream, programme: &Programme, ended: &Sender<()>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut output = socket;
    output.write_all(GREETING)?;
    let mut input = BufReader::new(socket);
    let mut challenge = String::new();
    loop {
        let action = Request::read(&mut input)?;
        let (answer, accepted) = action.log_in(programme, &mut challenge);
        output.write_all(answer.as_bytes())?;
        if accepted {
            break;
        }
    }
    let (sender, requests) = bounded(16);
    thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok(request) = Request::read(&mut input) {
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        let played = Player::new(programme, socket).play(&requests, ended);
        // The reading thread may be blocked in a read or in a send.
        let _ = socket.shutdown(Shutdown::Both);
        drop(requests);
        played
    })
}

/// An action as it came.
struct Request {
    lines: Vec<(String, String)>,
}

impl Request {
    fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let mut lines = Vec::new();
        let mut input = input.take(MAX_ACTION_BYTES);
        loop {
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(':') {
                Some((key, value)) => lines.push((key.to_owned(), value.trim_start().to_owned())),
                None if lines.is_empty() => {}
                None => return Ok(Self { lines }),
            }
        }
    }

    fn get(&self, key: &str) -> &str {
        let found = self.lines.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map_or("", |(_, value)| value.as_str())
    }

    /// An answer with our keys before its own.
    fn answer(&self, response: &str, rest: &str) -> String {
        let id = match self.get("ActionID") {
            "" => String::new(),
            id => format!("ActionID: {id}\r\n"),
        };
        format!("Response: {response}\r\n{id}{rest}\r\n")
    }

    fn log_in(&self, programme: &Programme, challenge: &mut String) -> (String, bool) {
        let refuse = |why: &str| (self.answer("Error", &format!("Message: {why}\r\n")), false);
        match self.get("Action") {
            "Challenge" if self.get("AuthType").eq_ignore_ascii_case("MD5") => {
                let mut random = [0; 4];
                if getrandom::fill(&mut random).is_err() {
                    return refuse("No randomness");
                }
                *challenge = u32::from_ne_bytes(random).to_string();
                (self.answer("Success", &format!("Challenge: {challenge}\r\n")), false)
            }
            "Login" => {
                let hash =
                    Md5::new().chain_update(challenge.as_bytes()).chain_update(programme.secret.expose()).finalize();
                let key = hash.iter().fold(String::new(), |mut key, byte| {
                    let _ = write!(key, "{byte:02x}");
                    key
                });
                let by_challenge = !challenge.is_empty() && self.get("Key") == key;
                let plain = self.get("AuthType").is_empty() && self.get("Secret") == programme.secret.expose();
                if self.get("Username") == programme.user && (by_challenge || plain) {
                    (self.answer("Success", "Message: Authentication accepted\r\n"), true)
                } else {
                    refuse("Authentication failed")
                }
            }
            _ => refuse("Permission denied"),
        }
    }
}

/// One connection's programme.
struct Player<'a> {
    programme: &'a Programme,
    output: &'a TcpStream,
    begun: Instant,
    /// The next message of each recording that is being played, the earliest on top.
    due: BinaryHeap<Reverse<Cue>>,
    recordings: Vec<Vec<Line>>,
    started: u32,
    parser: Parser,
    /// What `CoreShowChannels` shows, by uniqueid.
    channels: BTreeMap<String, Leg>,
}

/// The next message of a play: when it is due, and where in its recording it stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cue {
    due: Duration,
    play: u32,
    line: usize,
}

/// One message of a recording.
struct Line {
    at: Duration,
    bytes: Vec<u8>,
}

impl<'a> Player<'a> {
    fn new(programme: &'a Programme, output: &'a TcpStream) -> Self {
        let recordings = programme.recordings.iter().map(lines).collect();
        Self {
            programme,
            output,
            begun: Instant::now(),
            due: BinaryHeap::new(),
            recordings,
            started: 0,
            parser: Parser::default(),
            channels: BTreeMap::new(),
        }
    }

    /// Plays and answers until the client leaves.
    fn play(mut self, requests: &Receiver<Request>, ended: &Sender<()>) -> io::Result<()> {
        let mut burst = Vec::new();
        let mut over = false;
        loop {
            self.start_what_is_due();
            let wait = match self.due.peek() {
                None => {
                    self.output.write_all(&burst)?;
                    burst.clear();
                    if !over {
                        over = true;
                        let _ = ended.send(());
                    }
                    Duration::MAX
                }
                Some(Reverse(cue)) => self.wait_for(cue.due),
            };
            if wait.is_zero() && requests.is_empty() {
                self.next_message(&mut burst);
                if burst.len() < 16 * 1024 {
                    continue;
                }
            }
            self.output.write_all(&burst)?;
            burst.clear();
            let request = if wait == Duration::MAX {
                requests.recv().ok()
            } else {
                select! {
                    recv(requests) -> request => request.ok(),
                    default(wait) => continue,
                }
            };
            let Some(request) = request else { return Ok(()) };
            let leaves = request.get("Action").eq_ignore_ascii_case("Logoff");
            self.output.write_all(self.answer(&request).as_bytes())?;
            if leaves {
                return Ok(());
            }
        }
    }

    fn start_what_is_due(&mut self) {
        while self.started < self.programme.plays && !self.recordings.is_empty() {
            let due = self.programme.start_every * self.started;
            // The heap need not hold more than the plays that have begun.
            if self.due.peek().is_some_and(|Reverse(cue)| cue.due < due) {
                return;
            }
            let play = self.started;
            self.started += 1;
            if let Some(first) = self.recordings[self.recording_of(play)].first() {
                self.due.push(Reverse(Cue { due: due + first.at, play, line: 0 }));
            }
        }
    }

    fn recording_of(&self, play: u32) -> usize {
        play as usize % self.recordings.len()
    }

    fn wait_for(&self, due: Duration) -> Duration {
        match self.programme.pace {
            Pace::Unbraked => Duration::ZERO,
            Pace::Times(times) => due.div_f64(times).saturating_sub(self.begun.elapsed()),
        }
    }

    fn next_message(&mut self, burst: &mut Vec<u8>) {
        let Some(Reverse(cue)) = self.due.pop() else { return };
        let recording = self.recording_of(cue.play);
        let lines = &self.recordings[recording];
        let line = &lines[cue.line];
        let begun = burst.len();
        if self.programme.distinct {
            rewrite(&line.bytes, cue.play, burst);
        } else {
            burst.extend_from_slice(&line.bytes);
        }
        if let Some(next) = lines.get(cue.line + 1) {
            let due = self.programme.start_every * cue.play + next.at;
            self.due.push(Reverse(Cue { due, play: cue.play, line: cue.line + 1 }));
        }
        if [&b"Event: Newchannel"[..], b"Event: Newstate", b"Event: Hangup\r"]
            .iter()
            .any(|name| line.bytes.starts_with(name))
        {
            self.note_channel(&burst[begun..]);
        }
    }

    fn note_channel(&mut self, bytes: &[u8]) {
        let mut codec = Codec::without_greeting();
        codec.push(bytes);
        let Some(Frame::Message(message)) = codec.next_frame() else { return };
        match self.parser.parse(&message) {
            Parsed::Event(Event::Newchannel(leg) | Event::Newstate(leg), _) => {
                self.channels.insert(leg.uniqueid.as_str().to_owned(), leg);
            }
            Parsed::Event(Event::Hangup { leg, .. }, _) => {
                self.channels.remove(leg.uniqueid.as_str());
            }
            _ => {}
        }
    }

    fn answer(&self, request: &Request) -> String {
        let list = |message: &str, name: &str, items: &[String]| {
            let id = request.get("ActionID");
            let mut text = request.answer("Success", &format!("EventList: start\r\nMessage: {message}\r\n"));
            text.extend(items.iter().map(String::as_str));
            let _ = write!(
                text,
                "Event: {name}Complete\r\nActionID: {id}\r\nEventList: Complete\r\nListItems: {}\r\n\r\n",
                items.len()
            );
            text
        };
        match request.get("Action") {
            "Ping" => request.answer("Success", "Ping: Pong\r\n"),
            "CoreSettings" => request.answer("Success", "AMIversion: 11.0.0\r\nAsteriskVersion: 22.10.1\r\n"),
            "CoreShowChannels" => {
                let id = request.get("ActionID");
                let shown: Vec<_> = self.channels.values().map(|leg| shown("CoreShowChannel", id, leg)).collect();
                list("Channels will follow", "CoreShowChannels", &shown)
            }
            "Status" => {
                let id = request.get("ActionID");
                let shown: Vec<_> = self.channels.values().map(|leg| shown("Status", id, leg)).collect();
                list("Channel status will follow", "Status", &shown)
            }
            "BridgeList" => list("Bridge listing will follow", "BridgeList", &[]),
            "QueueStatus" => list("Queue status will follow", "QueueStatus", &[]),
            "DeviceStateList" => list("Device State Changes will follow", "DeviceStateList", &[]),
            "Filter" => request.answer("Success", "Message: Filter added successfully\r\n"),
            "Logoff" => request.answer("Goodbye", "Message: Thanks for all the fish.\r\n"),
            _ => request.answer("Error", "Message: This is a recording; it does nothing.\r\n"),
        }
    }
}

fn shown(event: &str, id: &str, leg: &Leg) -> String {
    use crate::asterisk::ChannelState::{Busy, Down, Other, Ring, Ringing, Up};
    let state = match leg.state {
        Down => 0,
        Ring => 4,
        Ringing => 5,
        Up => 6,
        Busy => 7,
        Other(state) => state,
    };
    format!(
        "Event: {event}\r\nActionID: {id}\r\nChannel: {}\r\nChannelState: {state}\r\nCallerIDNum: {}\r\nCallerIDName: {}\r\n\
         ConnectedLineNum: {}\r\nContext: {}\r\nExten: {}\r\nUniqueid: {}\r\nLinkedid: {}\r\n\r\n",
        leg.name,
        leg.caller_number,
        leg.caller_name,
        leg.connected_number,
        leg.context,
        leg.exten,
        leg.uniqueid,
        leg.linkedid
    )
}

/// The messages of a recording with their times, counted from the first; without what only its own connection concerned.
fn lines(recording: &Recording) -> Vec<Line> {
    let mut lines = Vec::new();
    let (mut codec, mut fed) = (recording.codec(), 0);
    while let Some((offset, frame)) = super::replay::next_frame(&mut codec, recording, &mut fed) {
        let Frame::Message(message) = frame else { continue };
        if is_of_the_connection(&message) {
            continue;
        }
        let at = Duration::from_secs_f64(recording.ms_at(offset) / 1000.0);
        lines.push(Line { at, bytes: [message.bytes(), b"\r\n\r\n"].concat() });
    }
    if let Some(first) = lines.first().map(|line| line.at) {
        for line in &mut lines {
            line.at = line.at.saturating_sub(first);
        }
    }
    lines
}

/// Answers to the recorder's login, pings and leave.
fn is_of_the_connection(message: &Message<'_>) -> bool {
    message.bytes().starts_with(b"Response: Goodbye")
        || message.get(b"Message") == Some(b"Authentication accepted")
        || message.get(b"Challenge").is_some()
        || message.get(b"Ping").is_some()
}

/// Copies a message with ids of its own for each play, the same for the same: the seconds of uniqueids (`1795328990.2`), the
/// counters of channel names (`-0000005e`) and the beginnings of bridge ids (UUIDs).
fn rewrite(bytes: &[u8], play: u32, out: &mut Vec<u8>) {
    // Recordings were made within hours, so plays that lie so far apart cannot meet.
    let later_s = u64::from(play) * 10_000;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let starts = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        if starts && let Some(seconds) = uniqueid_seconds(rest) {
            let _ = write!(out, "{:010}", (seconds + later_s) % 10_000_000_000);
            at += 10;
        } else if starts && is_uuid(rest) {
            let number = rest[..8]
                .iter()
                .fold(0_u32, |number, digit| number << 4 | char::from(*digit).to_digit(16).unwrap_or_default());
            let _ = write!(out, "{:08x}", number.wrapping_add(play.wrapping_mul(0x9e37_79b1)));
            at += 8;
        } else if is_channel_counter(rest) {
            let _ = write!(out, "-{:04x}", play & 0xffff);
            at += 5;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
}

/// `1795328990.2`: ten digits, a dot, a digit.
fn uniqueid_seconds(bytes: &[u8]) -> Option<u64> {
    let (digits, rest) = bytes.split_at_checked(10)?;
    let is_one = digits.iter().all(u8::is_ascii_digit) && rest.first() == Some(&b'.') && rest.get(1)?.is_ascii_digit();
    is_one.then(|| digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// `05d6e04c-53b6-45c8-8f91-6d286796ffd0`
fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() >= 36
        && bytes[..36].iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `-0000005e` at the end of a channel's name, as long as Asterisk has not made 65,536 of them.
fn is_channel_counter(bytes: &[u8]) -> bool {
    bytes.len() >= 9
        && bytes.starts_with(b"-0000")
        && bytes[5..9].iter().all(u8::is_ascii_hexdigit)
        && !bytes.get(9).is_some_and(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_play_has_ids_of_its_own() {
        let message = b"Channel: PJSIP/101-0000005e\r\nUniqueid: 1795328990.2\r\nLinkedid: sip1-1795328990.12\r\n\
            BridgeUniqueid: 05d6e04c-53b6-45c8-8f91-6d286796ffd0\r\nX: Local/1@c-00000001;2 1234567890 12345678901.1\r\n";
        let mut same = Vec::new();
        rewrite(message, 0, &mut same);
        let same = String::from_utf8(same).expect("text");
        assert_eq!(same, String::from_utf8_lossy(message));
        let mut other = Vec::new();
        rewrite(message, 3, &mut other);
        let other = String::from_utf8(other).expect("text");
        assert_eq!(
            other,
            "Channel: PJSIP/101-0003005e\r\nUniqueid: 1795358990.2\r\nLinkedid: sip1-1795358990.12\r\n\
             BridgeUniqueid: e07d4d5f-53b6-45c8-8f91-6d286796ffd0\r\nX: Local/1@c-00030001;2 1234567890 12345678901.1\r\n"
        );
    }
}
