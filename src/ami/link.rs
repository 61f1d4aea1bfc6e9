//! The thread that owns one PBX's link: connecting, logging in, writing actions, pings, reconnecting.
//!
//! It logs in and says [`Heard::Up`]; what to ask Asterisk then is decided in the core. It never waits for `FullyBooted`,
//! which some accounts never get. The link ends when the sender of its actions is dropped, at once in whatever state it is.
//! Actions that come while there is no link are dropped and counted: the core has heard [`Heard::Down`].
//!
//! Whoever joins the thread must either keep receiving what is heard, or drop that receiver first.

use super::capture::{Capture, OpenCapture};
use super::charset::Charset;
use super::codec;
use super::figures::{LinkFigures, ORDER, count};
use super::parse::Parser;
use super::problem::{Problem, needed_right};
use super::reader::{Notice, Reader};
use super::wire::{Address, Wire};
use super::{FromPbx, Heard};
use crate::asterisk::event::Response;
use crate::asterisk::{Action, ActionId, Event, PbxId};
use crate::clock::Now;
use crate::secret::Secret;
use crossbeam_channel::{Receiver, Sender, bounded, select};
use md5::{Digest, Md5};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// One `[[asterisk]]` section, as far as the link needs it.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    pub pbx: PbxId,
    /// What the operator calls it; stands before every line in the log.
    pub name: String,
    pub address: Address,
    /// How often Asterisk is asked for a sign of life.
    pub ping: Duration,
    /// How long it may take to give one.
    pub ping_answer: Duration,
    /// Of caller names that are not UTF-8.
    pub charset: Option<Charset>,
    /// Channel variables the core wants to hear of, beside those the parser always keeps.
    pub keep_variables: Vec<String>,
}

/// An action for Asterisk; its answer is heard as [`Event::Response`] with the same id.
pub type ToPbx = (ActionId, Action);

/// Waiting to be written. The core never waits for a link: what does not fit is not sent.
pub const ACTIONS_WAITING: usize = 256;

/// A ping every 15 s, answered within 10 s: a dead link is known after half a minute.
pub const PING: Duration = Duration::from_secs(15);
pub const PING_ANSWER: Duration = Duration::from_secs(10);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_LAST: Duration = Duration::from_secs(30);
/// A link that held so long was a good one; the next attempt comes soon.
const GOOD_LINK: Duration = Duration::from_secs(30);
/// Answers that may be `Permission denied` come within the next few.
const REMEMBERED_ACTIONS: usize = 256;
/// TLS wants some; the rest is small.
const STACK_BYTES: usize = 256 * 1024;

/// Starts the link's thread; `actions` ends it when its sender is dropped.
///
/// # Errors
/// If the system gives no thread.
pub fn start(
    settings: LinkSettings,
    actions: Receiver<ToPbx>,
    heard: Sender<FromPbx>,
    figures: Arc<LinkFigures>,
    capture: Option<OpenCapture>,
) -> io::Result<JoinHandle<()>> {
    let parser = Arc::new(Parser::new(settings.charset, settings.keep_variables.clone()));
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let own_ids = format!("link-{:016x}-", u64::from_ne_bytes(random)).into();
    let link = Link {
        settings,
        parser,
        actions,
        heard,
        figures,
        capture,
        own_ids,
        connections: 0,
        said: Said::Nothing,
        next_action: None,
    };
    spawn("ami-link", move || link.run())
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(run)
}

struct Link {
    settings: LinkSettings,
    parser: Arc<Parser>,
    actions: Receiver<ToPbx>,
    heard: Sender<FromPbx>,
    figures: Arc<LinkFigures>,
    capture: Option<OpenCapture>,
    /// What the ActionIDs of the link itself begin with; random, so that no text of a stranger can look like an answer to it.
    own_ids: Arc<str>,
    connections: u32,
    said: Said,
    /// Taken from the queue and not yet written. Beside the action under way, that is what the core asked for as soon as it
    /// heard of the login, before this thread did.
    next_action: Option<ToPbx>,
}

/// What the log was told last, so that each state is told once and not at every retry.
#[derive(PartialEq)]
enum Said {
    Nothing,
    Up,
    Down(Discriminant<Problem>),
}

/// Why a connection is over.
enum End {
    /// The action queue is closed: the program (or this PBX's part of it) stops.
    Stopped,
    Problem(Problem),
}

impl From<Problem> for End {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// A connection that has been made, with its reader.
struct Connection {
    wire: Wire,
    notices: Receiver<Notice>,
    reader: JoinHandle<()>,
    /// Dropped to end the reader where it waits for a queue.
    stop: Sender<()>,
}

impl Link {
    fn run(mut self) {
        let mut backoff = BACKOFF_FIRST;
        loop {
            let mut up_at = None;
            let problem = match self.connect_and_serve(&mut up_at) {
                End::Stopped => return,
                End::Problem(problem) => problem,
            };
            if up_at.is_some_and(|at: Instant| at.elapsed() >= GOOD_LINK) {
                backoff = BACKOFF_FIRST;
            }
            let pause = if problem.retry_slowly() { BACKOFF_LAST } else { backoff };
            backoff = (backoff * 2).min(BACKOFF_LAST);
            if self.say_down(&problem).is_err() || self.pause(pause).is_err() {
                return;
            }
        }
    }

    fn connect_and_serve(&mut self, up_at: &mut Option<Instant>) -> End {
        let wire = match self.connect() {
            Ok(wire) => wire,
            Err(end) => return end,
        };
        let mut connection = match self.start_reader(wire) {
            Ok(connection) => connection,
            Err(error) => return Problem::Ours(error.to_string()).into(),
        };
        let served = self.log_in(&mut connection).and_then(|()| {
            *up_at = Some(Instant::now());
            self.say_up();
            self.serve(&mut connection)
        });
        self.figures.up_since_ms.store(0, ORDER);
        if let Some(action) = self.next_action.take() {
            self.say_dropped(&action);
        }
        let end = match served {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if matches!(end, End::Stopped) {
            // Politeness: Asterisk logs who left, instead of who vanished.
            let _ = self.write(&mut connection.wire, &ActionId(self.own_id("logoff")), &Action::Logoff);
        }
        connection.wire.shut();
        drop((connection.stop, connection.notices));
        connection.reader.join().expect("the reader does not panic");
        end
    }

    /// In a thread of its own, since neither finding a host nor connecting can be interrupted; stopping leaves it behind,
    /// and it ends by its time-outs.
    fn connect(&mut self) -> Result<Wire, End> {
        let (sender, connected) = bounded(1);
        let address = self.settings.address.clone();
        let started = spawn("ami-connect", move || {
            // Nobody waits for it any more if this fails.
            let _ = sender.send(Wire::connect(&address));
        });
        started.map_err(|error| Problem::Ours(error.to_string()))?;
        loop {
            select! {
                recv(connected) -> wire => {
                    return Ok(wire.map_err(|_| Problem::Broken("no thread to connect".to_owned()))??);
                }
                recv(self.actions) -> action => self.drop_action(action.ok())?,
            }
        }
    }

    fn start_reader(&mut self, wire: Wire) -> io::Result<Connection> {
        self.connections += 1;
        let (notice_sender, notices) = bounded(16);
        let (stop, stopped) = bounded(0);
        let reader = Reader {
            pbx: self.settings.pbx,
            wire: wire.split()?,
            parser: Arc::clone(&self.parser),
            figures: Arc::clone(&self.figures),
            heard: self.heard.clone(),
            notices: notice_sender,
            stopped,
            capture: self.open_capture(),
            own_ids: Arc::clone(&self.own_ids),
        };
        let reader = spawn("ami-reader", move || reader.run())?;
        Ok(Connection { wire, notices, reader, stop })
    }

    fn open_capture(&mut self) -> Option<Capture> {
        let open = self.capture.as_mut()?;
        open(self.connections).inspect_err(|error| log::error!("{}: no recording: {error}", self.settings.name)).ok()
    }

    /// Greeting, challenge, login. With an answer that is no challenge, the secret is sent as it is.
    fn log_in(&mut self, connection: &mut Connection) -> Result<(), End> {
        let seconds = self.settings.address.connect_timeout.as_secs();
        let half = self.settings.address.connect_timeout / 2;
        let mut greeting = self.notice_within(connection, half)?;
        let mut challenged = false;
        if greeting.is_none() {
            // Asterisk speaks first. Who does not may be a web or TLS server, which says so when spoken to.
            self.challenge(&mut connection.wire)?;
            challenged = true;
            greeting = self.notice_within(connection, half)?;
        }
        match greeting {
            Some(Notice::Greeting) => {}
            Some(other) => return Err(self.unexpected(other)),
            None => return Err(Problem::NoGreeting { seconds }.into()),
        }
        if !challenged {
            self.challenge(&mut connection.wire)?;
        }
        let username = self.settings.address.user.as_str().into();
        let secret = self.settings.address.secret.clone();
        let login = match self.answer(connection)? {
            answer if answer.success && !answer.challenge.is_empty() => {
                let key = login_key(&answer.challenge, &secret).into();
                Action::LoginMd5 { username, key }
            }
            answer if is_about_the_account(&answer) => return Err(self.refused(&answer).into()),
            _ => Action::LoginPlain { username, secret: secret.expose().into() },
        };
        self.write(&mut connection.wire, &ActionId(self.own_id("login")), &login)?;
        match self.notice_within(connection, self.settings.address.connect_timeout)? {
            Some(Notice::Up) => Ok(()),
            Some(Notice::Answer(answer)) => Err(self.refused(&answer).into()),
            Some(other) => Err(self.unexpected(other)),
            None => Err(Problem::LoginUnanswered { seconds }.into()),
        }
    }

    fn challenge(&self, wire: &mut Wire) -> Result<(), End> {
        self.write(wire, &ActionId(self.own_id("challenge")), &Action::Challenge)
    }

    fn answer(&mut self, connection: &Connection) -> Result<Box<Response>, End> {
        let timeout = self.settings.address.connect_timeout;
        match self.notice_within(connection, timeout)? {
            Some(Notice::Answer(answer)) => Ok(answer),
            Some(other) => Err(self.unexpected(other)),
            None => Err(Problem::LoginUnanswered { seconds: timeout.as_secs() }.into()),
        }
    }

    fn refused(&self, answer: &Response) -> Problem {
        Problem::refused(&answer.message, &self.settings.address.user)
    }

    fn unexpected(&self, notice: Notice) -> End {
        match notice {
            Notice::Ended(problem) => problem.into(),
            Notice::Answer(answer) => self.refused(&answer).into(),
            Notice::Greeting | Notice::Up | Notice::Denied { .. } => {
                Problem::Broken("answers out of order".to_owned()).into()
            }
        }
    }

    /// `None` when the time is over.
    fn notice_within(&mut self, connection: &Connection, timeout: Duration) -> Result<Option<Notice>, End> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            select! {
                recv(connection.notices) -> notice => return Ok(Some(notice.map_err(|_| End::from(Problem::Closed))?)),
                recv(self.actions) -> action => {
                    let action = action.map_err(|_| End::Stopped)?;
                    // The reader tells this thread of the login first and the core then, so whoever asks because of the
                    // login finds it told here, even if his question is seen before it.
                    let notice = connection.notices.try_recv().ok();
                    if matches!(notice, Some(Notice::Up)) {
                        self.next_action = Some(action);
                    } else {
                        self.say_dropped(&action);
                    }
                    if notice.is_some() {
                        return Ok(notice);
                    }
                }
                default(left) => return Ok(None),
            }
        }
    }

    /// Logged in: actions are written as they come, until the end.
    fn serve(&mut self, connection: &mut Connection) -> Result<std::convert::Infallible, End> {
        let mut sent: VecDeque<(Box<str>, &'static str)> = VecDeque::new();
        let mut denied = Vec::new();
        let mut pings = Pings::new(&self.settings);
        // Its answer says what time it is there, whether or not events are stamped, before any question of the core is answered.
        self.write(&mut connection.wire, &ActionId(self.own_id("ping")), &Action::Ping)?;
        loop {
            if let Some((id, action)) = self.next_action.take() {
                if sent.len() == REMEMBERED_ACTIONS {
                    sent.pop_front();
                }
                sent.push_back((id.0.clone(), codec::name(&action)));
                self.write(&mut connection.wire, &id, &action)?;
            }
            select! {
                recv(self.actions) -> action => self.next_action = Some(action.map_err(|_| End::Stopped)?),
                recv(connection.notices) -> notice => match notice {
                    Ok(Notice::Denied { action_id }) => {
                        let action = sent.iter().find(|(id, _)| *id == action_id).map(|(_, name)| *name);
                        self.say_denied(action, &mut denied);
                    }
                    Ok(notice) => return Err(self.unexpected(notice)),
                    Err(_) => return Err(Problem::Closed.into()),
                },
                default(pings.wake_in()) => {
                    if pings.wake(&self.figures)? {
                        self.write(&mut connection.wire, &ActionId(self.own_id("ping")), &Action::Ping)?;
                    }
                }
            }
        }
    }

    /// Writes an action. One that cannot be said is answered here, as Asterisk would answer a bad one.
    fn write(&self, wire: &mut Wire, id: &ActionId, action: &Action) -> Result<(), End> {
        let mut bytes = Vec::with_capacity(256);
        if let Err(error) = codec::encode(action, id, &mut bytes) {
            log::error!("{}: {} is not sent: {error}", self.settings.name, codec::name(action));
            count(&self.figures.actions_dropped, 1);
            let message = format!("not sent: {error}").into();
            let response = Response { action_id: id.0.clone(), message, ..Response::default() };
            return self.hear(Heard::Event(Event::Response(Box::new(response))));
        }
        count(&self.figures.actions_sent, 1);
        wire.write_all(&bytes).map_err(|error| Problem::Broken(error.to_string()).into())
    }

    fn own_id(&self, what: &str) -> Box<str> {
        format!("{}{what}", self.own_ids).into()
    }

    fn hear(&self, heard: Heard) -> Result<(), End> {
        let from = FromPbx { pbx: self.settings.pbx, at: Now::read(), ahead_ms: None, heard: vec![heard] };
        self.heard.send(from).map_err(|_| End::Stopped)
    }

    /// `None` is the end of the queue.
    fn drop_action(&self, action: Option<ToPbx>) -> Result<(), End> {
        self.say_dropped(&action.ok_or(End::Stopped)?);
        Ok(())
    }

    fn say_dropped(&self, (_, action): &ToPbx) {
        count(&self.figures.actions_dropped, 1);
        log::debug!("{}: {} is not sent, there is no link", self.settings.name, codec::name(action));
    }

    fn pause(&self, pause: Duration) -> Result<(), End> {
        let deadline = Instant::now() + pause;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            select! {
                recv(self.actions) -> action => self.drop_action(action.ok())?,
                default(left) => return Ok(()),
            }
        }
    }

    fn say_up(&mut self) {
        count(&self.figures.logins, 1);
        self.figures.up_since_ms.store(Now::read().wall_ms.max(1), ORDER);
        let Address { host, port, user, .. } = &self.settings.address;
        log::info!("{}: logged in to Asterisk at {host}:{port} as \"{user}\"", self.settings.name);
        self.said = Said::Up;
    }

    fn say_down(&mut self, problem: &Problem) -> Result<(), End> {
        count(&self.figures.failures, 1);
        // The same problem at every retry is one fact.
        let said = Said::Down(discriminant(problem));
        if self.said == said {
            return Ok(());
        }
        self.said = said;
        let why = problem.to_string();
        let Address { host, port, .. } = &self.settings.address;
        log::warn!("{}: no link to Asterisk at {host}:{port}: {why}; trying again", self.settings.name);
        self.hear(Heard::Down { why })
    }

    fn say_denied(&self, action: Option<&'static str>, denied: &mut Vec<&'static str>) {
        let Some(action) = action.filter(|action| !denied.contains(action)) else { return };
        denied.push(action);
        log::warn!(
            "{}: Asterisk denies the action {action}: account \"{}\" in manager.conf needs {}",
            self.settings.name,
            self.settings.address.user,
            needed_right(action)
        );
    }
}

/// When to ask for a sign of life, and when its absence means that the link is dead. Whatever is heard counts.
struct Pings {
    every: Duration,
    answered_within: Duration,
    next: Instant,
    /// Of the last ping: when it was sent, on the figures' clock, and when a sign of life is due.
    open: Option<(u64, Instant)>,
}

impl Pings {
    fn new(settings: &LinkSettings) -> Self {
        let LinkSettings { ping, ping_answer, .. } = *settings;
        Self { every: ping, answered_within: ping_answer, next: Instant::now() + ping, open: None }
    }

    fn wake_in(&self) -> Duration {
        let due = self.open.map_or(self.next, |(_, due)| due.min(self.next));
        due.saturating_duration_since(Instant::now())
    }

    /// True when a ping is to be sent now.
    fn wake(&mut self, figures: &LinkFigures) -> Result<bool, Problem> {
        let now = Instant::now();
        if let Some((sent_ms, due)) = self.open
            && now >= due
        {
            let heard_ms = figures.heard_at_ms.load(ORDER);
            if figures.waiting.load(ORDER) {
                // We do not listen, so it cannot be blamed for silence.
                self.open = Some((sent_ms, now + self.answered_within));
            } else if heard_ms < sent_ms {
                let seconds = Now::read().mono_ms.saturating_sub(heard_ms) / 1000;
                return Err(Problem::Silent { seconds });
            } else {
                self.open = None;
            }
        }
        let ping = now >= self.next && self.open.is_none();
        if now >= self.next {
            self.next = now + self.every;
        }
        if ping {
            self.open = Some((Now::read().mono_ms, now + self.answered_within));
        }
        Ok(ping)
    }
}

/// Refusals that a login in plain text would only repeat.
fn is_about_the_account(answer: &Response) -> bool {
    matches!(&*answer.message, "Authentication failed" | "Login Already In Use")
}

/// The answer to a challenge: hex MD5 of it and the secret.
pub(super) fn login_key(challenge: &str, secret: &Secret) -> String {
    hex(&Md5::new().chain_update(challenge.as_bytes()).chain_update(secret.expose()).finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
