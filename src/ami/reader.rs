//! The thread that reads one connection: bytes, messages, events, into the queue of the call-state thread.
//!
//! It owns the codec and keeps the link thread told of what concerns the link: greeting, answers to its own actions, the end.
//! It waits for nobody but the queue; while that is full it does not read, and TCP makes Asterisk wait.

use super::capture::Capture;
use super::codec::{Codec, Frame};
use super::figures::{LinkFigures, ORDER, count};
use super::parse::{Parsed, Parser};
use super::pbx_clock::PbxClock;
use super::problem::Problem;
use super::wire::Wire;
use super::{FromPbx, Heard};
use crate::asterisk::event::Response;
use crate::asterisk::{Event, PbxId};
use crate::clock::Now;
use crossbeam_channel::{Receiver, Sender, TrySendError, select};
use std::sync::Arc;

/// A read brings at most so many bytes …
pub const READ_BYTES: usize = 32 * 1024;
/// … and the call-state queue of a PBX should hold so many reads: 32 MB as Asterisk sent it, some 65,536 events.
pub const QUEUE_READS: usize = 1024;

/// Events of one read so far apart are handed on separately, each with its time. Milliseconds.
const AT_ONCE_MS: i64 = 50;

/// What the link thread is told.
pub(super) enum Notice {
    Greeting,
    /// An answer to one of the link's own actions, other than an accepted login.
    Answer(Box<Response>),
    /// Logged in; the call-state thread has heard it before.
    Up,
    /// An action of the core was answered with `Permission denied`.
    Denied {
        action_id: Box<str>,
    },
    /// Nothing more will come.
    Ended(Problem),
}

pub(super) struct Reader {
    pub pbx: PbxId,
    pub wire: Wire,
    pub parser: Arc<Parser>,
    pub figures: Arc<LinkFigures>,
    pub heard: Sender<FromPbx>,
    pub notices: Sender<Notice>,
    /// Closed when the link wants the reader to end.
    pub stopped: Receiver<()>,
    pub capture: Option<Capture>,
    /// What the ActionIDs of the link begin with.
    pub own_ids: Arc<str>,
}

/// Somebody has gone, so the thread ends without a word.
struct Gone;

impl Reader {
    pub fn run(mut self) {
        let problem = self.read_to_the_end();
        if let Some(capture) = &mut self.capture
            && let Err(error) = capture.flush()
        {
            log::error!("the recording is not complete: {error}");
        }
        if let Ok(problem) = problem {
            let _ = self.tell(Notice::Ended(problem));
        }
    }

    fn read_to_the_end(&mut self) -> Result<Problem, Gone> {
        let mut codec = Codec::new();
        let mut state = State::Greeting;
        let mut clock = PbxClock::default();
        // What was read and is handed on next: as many as there are, since it may wait in the queue.
        let mut heard = Vec::new();
        loop {
            let room = codec.room();
            let room_bytes = room.len().min(READ_BYTES);
            let bytes = match self.wire.read(&mut room[..room_bytes]) {
                Ok(0) => return Ok(ended(&state, codec.pending(), Problem::Closed)),
                Ok(bytes) => bytes,
                Err(error) => return Ok(ended(&state, codec.pending(), Problem::Broken(error.to_string()))),
            };
            let at = Now::read();
            self.figures.heard_at_ms.store(at.mono_ms, ORDER);
            count(&self.figures.bytes, bytes as u64);
            self.record(|capture| capture.bytes(&room[..bytes]));
            codec.filled(bytes);

            // When what is in `heard` happened; usually at one moment.
            let mut moment = at;
            let (mut ignored, mut events) = (0, 0);
            while codec.advance() {
                let offset = codec.frame_offset();
                self.record(|capture| capture.message_at(offset));
                match codec.frame() {
                    Some(Frame::Message(message)) => {
                        count(&self.figures.messages, 1);
                        match self.parser.parse(&message) {
                            Parsed::Ignored => ignored += 1,
                            Parsed::Malformed => count(&self.figures.malformed, 1),
                            Parsed::Event(event, stamp_ms) => {
                                let wall_ms = clock.moment(at, stamp_ms);
                                if heard.is_empty() {
                                    moment.wall_ms = wall_ms;
                                } else if (wall_ms - moment.wall_ms).abs() >= AT_ONCE_MS {
                                    // Read late: it waited for us while time went on.
                                    events += heard.len();
                                    self.pass_on(FromPbx {
                                        pbx: self.pbx,
                                        at: moment,
                                        ahead_ms: clock.ahead_ms(),
                                        heard: all_of(&mut heard),
                                    })?;
                                    moment.wall_ms = wall_ms;
                                }
                                self.sort(event, &mut state, &mut heard)?;
                            }
                        }
                    }
                    Some(Frame::Greeting { version }) => {
                        let version = String::from_utf8_lossy(version).into_owned();
                        state = State::Login { version };
                        self.tell(Notice::Greeting)?;
                    }
                    Some(Frame::Foreign(seen)) => return Ok(Problem::foreign(seen)),
                    Some(Frame::Stray(_)) => count(&self.figures.malformed, 1),
                    Some(Frame::Oversized) => count(&self.figures.oversized, 1),
                    None => {}
                }
            }
            count(&self.figures.ignored, ignored);
            count(&self.figures.events, (events + heard.len()) as u64);
            if heard.is_empty() {
                continue;
            }
            let heard = all_of(&mut heard);
            self.pass_on(FromPbx { pbx: self.pbx, at: moment, ahead_ms: clock.ahead_ms(), heard })?;
        }
    }

    /// What is the link's stays with the link, what is the core's goes on.
    fn sort(&self, event: Event, state: &mut State, heard: &mut Vec<Heard>) -> Result<(), Gone> {
        let Event::Response(response) = event else {
            if matches!(state, State::Up) {
                heard.push(Heard::Event(event));
            }
            return Ok(());
        };
        let is_ours = response.action_id.starts_with(&*self.own_ids);
        match state {
            State::Up if is_ours => return Ok(()),
            State::Up => {
                if is_denial(&response) {
                    // Only a line in the log hangs on it, so it may get lost when the link has its hands full.
                    let _ = self.notices.try_send(Notice::Denied { action_id: response.action_id.clone() });
                }
                heard.push(Heard::Event(Event::Response(response)));
            }
            State::Login { version } if is_ours && response.success && response.challenge.is_empty() => {
                heard.push(Heard::Up { version: Some(std::mem::take(version)) });
                *state = State::Up;
                self.tell(Notice::Up)?;
            }
            // Asterisk answers what it cannot read without an ActionID.
            State::Greeting | State::Login { .. } => self.tell(Notice::Answer(response))?,
        }
        Ok(())
    }

    fn tell(&self, notice: Notice) -> Result<(), Gone> {
        select! {
            send(self.notices, notice) -> sent => sent.map_err(|_| Gone),
            recv(self.stopped) -> _ => Err(Gone),
        }
    }

    fn pass_on(&self, from: FromPbx) -> Result<(), Gone> {
        let from = match self.heard.try_send(from) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(_)) => return Err(Gone),
            Err(TrySendError::Full(from)) => from,
        };
        count(&self.figures.queue_waits, 1);
        self.figures.waiting.store(true, ORDER);
        let result = select! {
            send(self.heard, from) -> sent => sent.map_err(|_| Gone),
            recv(self.stopped) -> _ => Err(Gone),
        };
        // The silence of that time was ours.
        self.figures.heard_at_ms.store(Now::read().mono_ms, ORDER);
        self.figures.waiting.store(false, ORDER);
        result
    }

    /// A recording that cannot be written ends; the link goes on.
    fn record(&mut self, write: impl FnOnce(&mut Capture) -> std::io::Result<()>) {
        if let Some(capture) = &mut self.capture
            && let Err(error) = write(capture)
        {
            log::error!("the recording ends here: {error}");
            self.capture = None;
        }
    }
}

/// What lies in `heard`, in a vector of just that size; `heard` keeps its room for the next read.
#[expect(clippy::drain_collect, reason = "taking it would take the room along, which then waits in the queue")]
fn all_of(heard: &mut Vec<Heard>) -> Vec<Heard> {
    heard.drain(..).collect()
}

enum State {
    Greeting,
    Login { version: String },
    Up,
}

fn is_denial(response: &Response) -> bool {
    !response.success && &*response.message == "Permission denied"
}

/// An end before the greeting says more about the other side than about the connection.
fn ended(state: &State, pending: &[u8], problem: Problem) -> Problem {
    match state {
        State::Greeting if pending.is_empty() => Problem::ClosedAtOnce,
        State::Greeting => Problem::foreign(pending),
        State::Login { .. } | State::Up => problem,
    }
}
