//! The `agi-listener` thread: owns every connection, moves bytes and time, and never waits but in one place, `poll`.
//!
//! What the bytes mean is decided in [`super::session`]. Every descriptor it polls either makes progress when it is ready or is
//! closed; so a connection that closes without a word, or never says one, costs one accept and one close.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TrySendError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind as bind_socket, listen, socket_with, sockopt};

use super::Office;
use super::clerks::{Clerks, Question};
use super::counters::Counters;
use super::session::{End, Session, Turn};
use super::settings::Limits;
use crate::phone::PbxNumbers;

/// Connections that wait to be accepted: a burst of calls while we answer others.
const BACKLOG: i32 = 512;
/// Accepted in one go before those that are open get their turn.
const ACCEPTS_AT_ONCE: usize = 64;
/// Refused connections that may linger so that they hear their `ERROR`; further ones are just closed.
const REFUSED_MAX: usize = 64;
/// After an accept that failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);
/// A warning that strangers or a crowd could repeat is written once in this time.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Asterisk writes its prelude line by line, two dozen packets within a tenth of a millisecond: who has said a part of it is given
/// this long to say the rest before he is listened to again.
const PRELUDE_PAUSE: Duration = Duration::from_micros(300);
/// More than this is never read from one connection in one go.
const READ_BYTES: usize = 16 << 10;

/// New settings for a running listener.
#[derive(Debug)]
pub struct Reload {
    pub limits: Limits,
    pub numbers: PbxNumbers,
}

/// What the thread owns.
pub struct Listener {
    sockets: Vec<TcpListener>,
    /// Closed by the other side to stop, written to after a [`Reload`].
    line: UnixStream,
    reloads: Receiver<Reload>,
    limits: Limits,
    office: Office,
    clerks: Clerks,
    counters: Arc<Counters>,
    connections: Vec<Connection>,
    refused: usize,
    next_id: u64,
    /// No accept before.
    paused_until: Option<Instant>,
    warned_of_stranger: Option<Instant>,
    warned_of_crowd: Option<Instant>,
    warned_of_fault: Option<Instant>,
    buffer: Box<[u8]>,
}

struct Connection {
    id: u64,
    stream: TcpStream,
    session: Session,
    is_refused: bool,
    began: Instant,
    /// Not read before.
    paused_until: Option<Instant>,
    /// Set when the session is over: to be taken out.
    ended: Option<End>,
}

/// A socket that listens; a restart finds its port free.
///
/// # Errors
/// If the address is taken or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("FastAGI cannot listen on {address}: {error}"));
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(|e| named(e.into()))?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(|e| named(e.into()))?;
    bind_socket(&socket, &address).map_err(|e| named(e.into()))?;
    listen(&socket, BACKLOG).map_err(|e| named(e.into()))?;
    Ok(TcpListener::from(socket))
}

impl Listener {
    pub fn new(
        sockets: Vec<TcpListener>,
        line: UnixStream,
        reloads: Receiver<Reload>,
        limits: Limits,
        office: Office,
        clerks: Clerks,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        line.set_nonblocking(true)?;
        Ok(Self {
            sockets,
            line,
            reloads,
            limits,
            office,
            clerks,
            counters,
            connections: Vec::new(),
            refused: 0,
            next_id: 0,
            paused_until: None,
            warned_of_stranger: None,
            warned_of_crowd: None,
            warned_of_fault: None,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
        })
    }

    /// Runs until the other end of `line` is closed and nobody is being answered any more.
    pub fn run(mut self) {
        let mut ready = Vec::new();
        let mut is_stopping = false;
        loop {
            if is_stopping {
                self.sockets.clear();
                if self.connections.is_empty() {
                    return;
                }
            }
            let may_accept = self.paused_until.is_none_or(|until| Instant::now() >= until);
            if may_accept {
                self.paused_until = None;
            }
            self.poll(may_accept, !is_stopping, &mut ready);
            let mut ready = ready.drain(..);
            if ready.next().unwrap_or(false) {
                is_stopping |= self.hear_the_house();
            }
            if ready.next().unwrap_or(false) {
                self.take_replies();
            }
            let accepting: Vec<bool> = ready.by_ref().take(if may_accept { self.sockets.len() } else { 0 }).collect();
            // Those that are open come before those that want to be.
            for (nth, is_ready) in ready.enumerate() {
                if is_ready {
                    self.read(nth);
                }
            }
            let now = Instant::now();
            for nth in 0..self.connections.len() {
                let connection = &mut self.connections[nth];
                if connection.ended.is_none() && now >= connection.session.next_deadline() {
                    let turn = connection.session.time(now, &self.office, &self.limits.caller_ids);
                    self.carry_out(nth, turn);
                }
            }
            self.take_out_ended();
            for (nth, is_ready) in accepting.into_iter().enumerate() {
                if is_ready {
                    self.accept(nth);
                }
            }
        }
    }

    /// Waits for anything to happen. `ready`: the line, the bell, each listening socket if `may_accept`, each connection.
    fn poll(&self, may_accept: bool, has_line: bool, ready: &mut Vec<bool>) {
        let now = Instant::now();
        let deadlines = self.connections.iter().flat_map(|c| [Some(c.session.next_deadline()), c.pause(now)]);
        let next = deadlines.chain([self.paused_until]).flatten().min();
        // Rounded up, so that a deadline has come when we wake for it.
        let wait = next.map(|at| at.saturating_duration_since(now) + Duration::from_micros(50));
        let wait = wait.map(|wait| Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        });
        let mut polled = Vec::with_capacity(2 + self.sockets.len() + self.connections.len());
        // A line that is closed would be ready for ever, so the bell takes its place.
        polled.push(PollFd::new(if has_line { &self.line } else { &self.clerks.bell }, PollFlags::IN));
        polled.push(PollFd::new(&self.clerks.bell, PollFlags::IN));
        if may_accept {
            polled.extend(self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        }
        polled.extend(self.connections.iter().map(|connection| {
            let writes = if connection.session.out.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            let reads = if connection.pause(now).is_some() { PollFlags::empty() } else { PollFlags::IN };
            PollFd::new(&connection.stream, reads | writes)
        }));
        match poll(&mut polled, wait.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            // Out of kernel memory: there is nothing to do but to try again, a moment later.
            Err(_) => std::thread::sleep(PAUSE),
        }
        ready.extend(polled.iter().enumerate().map(|(nth, fd)| {
            let happened = fd.revents();
            !happened.is_empty() && (nth > 0 || has_line)
        }));
    }

    /// A reload, or the end: true.
    fn hear_the_house(&mut self) -> bool {
        let mut bytes = [0; 64];
        let is_closed = loop {
            match (&self.line).read(&mut bytes) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        if let Ok(Reload { limits, numbers }) = self.reloads.try_recv() {
            self.limits = limits;
            self.office.numbers = numbers;
        }
        is_closed
    }

    fn take_replies(&mut self) {
        let mut bytes = [0; 256];
        while matches!((&self.clerks.bell).read(&mut bytes), Ok(1..)) {}
        while let Ok(reply) = self.clerks.replies.try_recv() {
            // Gone: the answer came too late.
            let Some(nth) = self.connections.iter().position(|connection| connection.id == reply.id) else { continue };
            let turn = self.connections[nth].session.answered(reply.said, &self.office, &self.limits.caller_ids);
            self.carry_out(nth, turn);
        }
    }

    fn accept(&mut self, nth: usize) {
        for _ in 0..ACCEPTS_AT_ONCE {
            match self.sockets[nth].accept() {
                Ok((stream, peer)) => self.accepted(stream, peer.ip()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Gone before we came: the next one.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(error) => {
                    if is_due(&mut self.warned_of_fault) {
                        log::error!("FastAGI cannot accept connections: {error}; tried again until it works");
                    }
                    self.paused_until = Some(Instant::now() + PAUSE);
                    return;
                }
            }
        }
    }

    fn accepted(&mut self, stream: TcpStream, peer: IpAddr) {
        if !self.limits.peers.allows(peer) {
            self.counters.stranger();
            if is_due(&mut self.warned_of_stranger) {
                log::warn!(
                    "FastAGI: {peer} is not allowed to ask; if it is an Asterisk of yours, add it to [agi] allow"
                );
            }
            return;
        }
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        // Each command waits for its answer, so there is never anything to collect.
        let _ = stream.set_nodelay(true);
        let (now, budget) = (Instant::now(), self.limits.budget);
        let is_refused = self.connections.len() - self.refused >= self.limits.sessions;
        let session = if is_refused { Session::refused(peer, now, budget) } else { Session::new(peer, now, budget) };
        if is_refused && is_due(&mut self.warned_of_crowd) {
            let sessions = self.limits.sessions;
            log::warn!("FastAGI: {sessions} sessions at once are taken ([agi] sessions); further ones are told ERROR");
        }
        if is_refused && self.refused >= REFUSED_MAX {
            // What arrives is luck now, but nobody hangs.
            let _ = (&stream).write(&session.out);
            let _ = stream.shutdown(Shutdown::Write);
            self.counters.ended(End::Busy);
            return;
        }
        self.next_id += 1;
        self.connections.push(Connection {
            id: self.next_id,
            stream,
            session,
            is_refused,
            began: now,
            paused_until: None,
            ended: None,
        });
        if is_refused {
            self.refused += 1;
            self.carry_out(self.connections.len() - 1, Turn::Leave(End::Busy));
        } else {
            self.counters.began();
        }
    }

    fn read(&mut self, nth: usize) {
        let connection = &mut self.connections[nth];
        if connection.ended.is_some() {
            return;
        }
        let turn = match (&connection.stream).read(&mut self.buffer) {
            Ok(0) => Turn::Over(connection.session.end_if_closed()),
            Ok(length) => {
                let heard = &self.buffer[..length];
                let turn = connection.session.received(heard, &self.office, &self.limits.caller_ids);
                let is_partial = connection.session.is_in_prelude();
                connection.paused_until = is_partial.then(|| Instant::now() + PRELUDE_PAUSE);
                turn
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Turn::Wait,
            Err(_) => Turn::Over(connection.session.end_if_closed()),
        };
        self.carry_out(nth, turn);
    }

    fn carry_out(&mut self, nth: usize, mut turn: Turn) {
        // A question that finds no clerk is answered at once, and what follows from that is carried out, too.
        while let Turn::Ask(asked) = turn {
            turn = self.ask(nth, asked);
        }
        let connection = &mut self.connections[nth];
        if !connection.session.out.is_empty() {
            connection.send();
        }
        match turn {
            Turn::Over(end) => connection.ended = Some(end),
            Turn::Leave(_) => {
                // Closing with something unread would take back our last word: the other side hears the end of it,
                // and closes first, if it can.
                let _ = connection.stream.shutdown(Shutdown::Write);
            }
            Turn::Wait | Turn::Ask(_) => {}
        }
    }

    fn ask(&mut self, nth: usize, asked: Vec<(super::clerks::What, crate::client::Inquiry)>) -> Turn {
        let mut turn = Turn::Wait;
        for (what, inquiry) in asked {
            let connection = &mut self.connections[nth];
            let until = connection.session.answer_by();
            match self.clerks.questions.try_send(Question { id: connection.id, what, inquiry, until }) {
                Ok(()) => {}
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                    turn = connection.session.not_asked(what, &self.office, &self.limits.caller_ids);
                }
            }
        }
        turn
    }

    fn take_out_ended(&mut self) {
        self.connections.retain(|connection| {
            let Some(end) = connection.ended else { return true };
            self.counters.ended(end);
            if !connection.is_refused {
                self.counters.took(connection.began.elapsed());
            }
            self.refused -= usize::from(connection.is_refused);
            false
        });
    }
}

impl Connection {
    /// Until when it is not read, if that is still to come.
    fn pause(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| now < *until)
    }

    /// Sends what can be sent now; the rest when there is room.
    fn send(&mut self) {
        match (&self.stream).write(&self.session.out) {
            Ok(length) => {
                self.session.out.drain(..length);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.ended = Some(End::HungUp),
        }
    }
}

/// True once in [`WARN_EVERY`].
fn is_due(last: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let is_due = last.is_none_or(|last| now.duration_since(last) >= WARN_EVERY);
    if is_due {
        *last = Some(now);
    }
    is_due
}
