//! A short visit to an Asterisk: log in, ask, listen a little, leave. For the command line, on the caller's own thread.
//!
//! The service's own link is [`super::link`]. Here a message is a list of keys and values, since what is asked for is not
//! what calls are made of.

use super::codec::{self, Codec, Frame, Kind, Message};
use super::link::login_key;
use super::problem::Problem;
use super::wire::{Address, Wire};
use std::io;
use std::time::{Duration, Instant};

/// A logged-in visit.
pub struct Inquiry {
    wire: Wire,
    codec: Codec,
    /// Version of the manager protocol, from the greeting.
    pub protocol: String,
    /// What was heard that was no answer to a question, in order, at most [`HEARD_MAX`].
    pub heard: Vec<Said>,
    asked: u32,
    /// For one answer, lists included.
    patience: Duration,
}

/// One message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Said {
    /// `Newchannel` of an event; empty for a response.
    pub event: String,
    lines: Vec<(String, String)>,
}

/// What came back to a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub response: Said,
    /// The events of a list, without the last one, which only says that it is over; at most [`ITEMS_MAX`].
    pub items: Vec<Said>,
}

/// A busy exchange says a lot while it is asked; more than this is not kept.
pub const HEARD_MAX: usize = 20_000;
/// The largest dialplans have some tens of thousands of steps.
pub const ITEMS_MAX: usize = 200_000;

impl Said {
    /// The first value of a key; empty where it is not.
    pub fn get(&self, key: &str) -> &str {
        self.lines.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }

    fn of(message: &Message<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pair = |line: &[u8]| {
            let colon = memchr::memchr(b':', line)?;
            let value = &line[colon + 1..];
            Some((text(&line[..colon]), text(value.strip_prefix(b" ").unwrap_or(value))))
        };
        let event = match message.kind() {
            Kind::Event(name) => text(name),
            Kind::Response(_) => String::new(),
        };
        Self { event, lines: message.lines().filter_map(pair).collect() }
    }
}

impl Answer {
    pub fn succeeded(&self) -> bool {
        matches!(self.response.get("Response"), "Success" | "Goodbye" | "Follows")
    }

    /// The account lacks the right for this action.
    pub fn is_denied(&self) -> bool {
        !self.succeeded() && self.response.get("Message") == "Permission denied"
    }
}

impl Inquiry {
    /// Connects and logs in, by challenge where it is offered.
    ///
    /// # Errors
    /// In the operator's words.
    pub fn open(address: &Address) -> Result<Self, Problem> {
        let wire = Wire::connect(address)?;
        let (codec, patience) = (Codec::new(), address.connect_timeout);
        let mut inquiry = Self { wire, codec, protocol: String::new(), heard: Vec::new(), asked: 0, patience };
        inquiry.greeting()?;
        let challenge = inquiry.ask("Challenge", &[("AuthType", "MD5")])?;
        let login = if challenge.succeeded() && !challenge.response.get("Challenge").is_empty() {
            let key = login_key(challenge.response.get("Challenge"), &address.secret);
            inquiry.ask("Login", &[("AuthType", "MD5"), ("Username", &address.user), ("Key", &key)])?
        } else {
            inquiry.ask("Login", &[("Username", &address.user), ("Secret", address.secret.expose())])?
        };
        if login.succeeded() {
            return Ok(inquiry);
        }
        Err(Problem::refused(login.response.get("Message"), &address.user))
    }

    /// Asks and waits for the answer and, where it is a list, for its end.
    ///
    /// # Errors
    /// If the connection ends, or the answer does not come in time.
    pub fn ask(&mut self, action: &'static str, fields: &[(&'static str, &str)]) -> Result<Answer, Problem> {
        self.asked += 1;
        let id = format!("pinconnector-inquiry-{}-{}", std::process::id(), self.asked);
        let mut bytes = Vec::with_capacity(256);
        codec::encode_question(action, &id, fields, &mut bytes).map_err(|error| Problem::Ours(error.to_string()))?;
        self.wire.write_all(&bytes).map_err(|error| Problem::Broken(error.to_string()))?;
        let deadline = Instant::now() + self.patience;
        let mut answer: Option<Answer> = None;
        while let Some(said) = self.next(deadline)? {
            if said.get("ActionID") != id {
                self.keep(said);
            } else if said.event.is_empty() {
                let is_list = said.get("EventList").eq_ignore_ascii_case("start");
                let whole = Answer { response: said, items: Vec::new() };
                // Asterisk 16 begins some lists without saying so in the response.
                if !is_list || !whole.succeeded() {
                    return Ok(whole);
                }
                answer = Some(whole);
            } else if let Some(open) = &mut answer {
                if said.get("EventList").eq_ignore_ascii_case("complete") {
                    return Ok(answer.expect("it is there"));
                }
                if open.items.len() < ITEMS_MAX {
                    open.items.push(said);
                }
            } else {
                // OriginateResponse has the id of its action.
                self.keep(said);
            }
        }
        Err(Problem::Silent { seconds: self.patience.as_secs() })
    }

    /// Listens until something was heard that `enough` wants, or the time is over. True if it was.
    ///
    /// # Errors
    /// If the connection ends.
    pub fn listen(&mut self, limit: Duration, enough: impl Fn(&[Said]) -> bool) -> Result<bool, Problem> {
        let deadline = Instant::now() + limit;
        while !enough(&self.heard) {
            match self.next(deadline)? {
                Some(said) => self.keep(said),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn keep(&mut self, said: Said) {
        if !said.event.is_empty() && self.heard.len() < HEARD_MAX {
            self.heard.push(said);
        }
    }

    fn greeting(&mut self) -> Result<(), Problem> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.codec.next_frame() {
                Some(Frame::Greeting { version }) => {
                    self.protocol = String::from_utf8_lossy(version).into_owned();
                    return Ok(());
                }
                Some(Frame::Foreign(seen)) => return Err(Problem::foreign(seen)),
                Some(_) => {}
                None => match self.read(deadline) {
                    Ok(true) => {}
                    Ok(false) => return Err(Problem::NoGreeting { seconds: self.patience.as_secs() }),
                    Err(_) if self.codec.pending().is_empty() => return Err(Problem::ClosedAtOnce),
                    Err(_) => return Err(Problem::foreign(self.codec.pending())),
                },
            }
        }
    }

    /// The next message; `None` when the time is over.
    fn next(&mut self, deadline: Instant) -> Result<Option<Said>, Problem> {
        loop {
            match self.codec.next_frame() {
                Some(Frame::Message(message)) => return Ok(Some(Said::of(&message))),
                Some(_) => {}
                None => {
                    if !self.read(deadline)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Reads what is there; false when the time is over.
    fn read(&mut self, deadline: Instant) -> Result<bool, Problem> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        self.wire.read_within(left).map_err(|error| Problem::Ours(error.to_string()))?;
        match self.wire.read(self.codec.room()) {
            Ok(0) => Err(Problem::Closed),
            Ok(bytes) => {
                self.codec.filled(bytes);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(Problem::Broken(error.to_string())),
        }
    }
}

impl Drop for Inquiry {
    fn drop(&mut self) {
        // Politeness: Asterisk logs who left, instead of who vanished.
        let _ = self.wire.write_all(b"Action: Logoff\r\n\r\n");
        self.wire.shut();
    }
}
