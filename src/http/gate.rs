//! The door: one thread that accepts, reads, admits and writes for every connection, and never waits for one of them.
//!
//! It stands where tiny_http's own accept loop and reader would be. Those must not face a network (0.12 allocates what a
//! Content-Length declares, may panic when a connection is reset, stops accepting for good when descriptors run out, and is
//! held up by half-sent bodies), and putting them behind a private socket would copy every byte twice and cost a thread
//! per connection. So of tiny_http only the half that writes answers is used ([`super::answer`]); reading is here: only a
//! complete request within all limits leaves this thread. Who answers it is `desk`'s affair; what must be read from
//! a disk is read by errand threads, a piece at a time, while the client takes it.
//!
//! Limits, and what happens at each: connections (the one longest without a request is closed, else the new one),
//! connections of one address (the new one is closed), head, body and time (answered 4xx and closed), memory of
//! half-read requests (the largest is closed), descriptors (the longest idle one is closed, or accepting pauses for 100 ms),
//! events a listener leaves unread (it is dropped).

mod connection;
mod post;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec};
use rustls::ServerConnection;

use connection::{Connection, Phase, Source, Taken};
pub use post::{Door, Figures, Fill, Limits, Mailbox, Post, Token};

use super::answer::{Answer, Body};
use super::desk::ToDesk;
use super::request::{BODY_BYTES_MAX, HEAD_BYTES_MAX};

/// Time for a whole request, from its first byte (or the connection's).
const REQUEST_TIME: Duration = Duration::from_secs(15);
/// How long a connection may be kept open without a request.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Time for an answer to be found. What takes longest is a commit on a tired disk.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// How long a client may take nothing of its answer; a browser whose player is paused comes back with a Range.
const SEND_TIME: Duration = Duration::from_secs(60);
const LINGER_TIME: Duration = Duration::from_millis(1000);
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often deadlines are looked at, while there are connections.
const SWEEP: Duration = Duration::from_millis(250);
/// A queue is memory from the start, whether used or not; who sends more at once waits a moment.
const POSTS_WAITING: usize = 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests in progress may hold this much of all memory together.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What is read of a source at a time.
pub const PIECE_BYTES: usize = 32 * 1024;
/// How long answers under way may take once we are to stop.
const STOP_TIME: Duration = Duration::from_secs(2);

const BELL: u64 = u64::MAX;
/// Tokens from here on are listeners.
const LISTENERS: u64 = u64::MAX - 64;

pub struct Gate {
    epoll: OwnedFd,
    bell: Arc<OwnedFd>,
    inbox: Receiver<Post>,
    doors: Vec<Door>,
    desk: Sender<ToDesk>,
    errands: Sender<super::Errand>,
    limits: Limits,
    figures: Arc<Figures>,
    connections: Vec<Option<Connection>>,
    /// Per slot, how often it was used; the upper half of a token.
    generations: Vec<u32>,
    free: Vec<usize>,
    open: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Accepting pauses until then.
    paused_until: Option<Instant>,
    /// Connections whose source waits for room in the errands' queue.
    unfilled: Vec<Token>,
    next_sweep: Instant,
    stop_at: Option<Instant>,
    scratch: Box<[u8]>,
}

impl Gate {
    /// # Errors
    /// If the system gives no descriptors.
    pub fn new(
        doors: Vec<Door>,
        limits: Limits,
        desk: Sender<ToDesk>,
        errands: Sender<super::Errand>,
        figures: Arc<Figures>,
    ) -> io::Result<(Self, Mailbox)> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(&epoll, &*bell, EventData::new_u64(BELL), EventFlags::IN)?;
        for (nth, door) in doors.iter().enumerate() {
            door.listener.set_nonblocking(true)?;
            epoll::add(&epoll, &door.listener, EventData::new_u64(LISTENERS + nth as u64), EventFlags::IN)?;
        }
        let (posts, inbox) = crossbeam_channel::bounded(POSTS_WAITING);
        let mailbox = Mailbox { posts, bell: Arc::clone(&bell) };
        let gate = Self {
            epoll,
            bell,
            inbox,
            doors,
            desk,
            errands,
            limits,
            figures,
            connections: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            open: 0,
            by_address: HashMap::new(),
            paused_until: None,
            unfilled: Vec::new(),
            next_sweep: Instant::now(),
            stop_at: None,
            scratch: vec![0; 16 * 1024].into(),
        };
        Ok((gate, mailbox))
    }

    /// Until told to stop.
    pub fn run(mut self) {
        let mut events = Vec::with_capacity(128);
        loop {
            let now = Instant::now();
            if now >= self.next_sweep {
                self.sweep(now);
                self.next_sweep = now + SWEEP;
            }
            if self.stop_at.is_some_and(|at| now >= at || !self.is_busy()) {
                return;
            }
            // Without connections nothing needs a look at the clock.
            let timeout = (self.open > 0 || self.paused_until.is_some() || self.stop_at.is_some()).then(|| {
                let wait = self.next_sweep.saturating_duration_since(now);
                Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() }
            });
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("epoll_wait fails only on a descriptor that is none: {error}"),
            }
            for event in &events {
                match event.data.u64() {
                    BELL => {
                        let mut count = [0; 8];
                        let _ = rustix::io::read(&*self.bell, &mut count);
                    }
                    door if door >= LISTENERS => {
                        self.accept(usize::try_from(door - LISTENERS).expect("there are at most 64 doors"));
                    }
                    token => self.ready(Token(token), event.flags),
                }
            }
            let mut posts = 0;
            while let Ok(post) = self.inbox.try_recv() {
                self.take(post);
                posts += 1;
                if posts == 1024 {
                    // The rest after the sockets have had their turn.
                    let _ = rustix::io::write(&*self.bell, &1u64.to_ne_bytes());
                    break;
                }
            }
        }
    }

    fn take(&mut self, post: Post) {
        match post {
            Post::Answer(token, answer) => self.answer(token, answer),
            Post::Event(token, event) => self.event(token, &event),
            Post::End(token) => self.close(token),
            Post::Piece(token, piece, source) => self.piece(token, &piece, source),
            Post::Stop => {
                let now = Instant::now();
                self.stop_at = Some(now + STOP_TIME);
                self.doors.clear();
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.connections.iter().flatten().any(|c| matches!(c.phase, Phase::Working | Phase::Sending))
    }

    fn accept(&mut self, door: usize) {
        for _ in 0..64 {
            let Some(Door { listener, tls }) = self.doors.get(door) else { return };
            let (socket, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // Gone before we looked.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => continue,
                Err(e) => {
                    if !self.evict() {
                        log::warn!("http: cannot accept: {e}; trying again in {} ms", ACCEPT_PAUSE.as_millis());
                        self.pause();
                        return;
                    }
                    continue;
                }
            };
            // It has none any more if it is gone already.
            let Ok(own) = socket.local_addr() else { continue };
            self.figures.accepted.fetch_add(1, Ordering::Relaxed);
            let address = peer.ip().to_canonical();
            if !address.is_loopback() && self.by_address.get(&address).is_some_and(|n| *n >= self.limits.per_address) {
                self.figures.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let tls = match tls.as_ref().map(|config| ServerConnection::new(Arc::clone(config))) {
                None => None,
                Some(Ok(session)) => Some(Box::new(session)),
                Some(Err(e)) => {
                    log::error!("http: TLS cannot begin: {e}");
                    continue;
                }
            };
            if self.open >= self.limits.connections && !self.evict() {
                self.figures.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if socket.set_nonblocking(true).is_err() {
                continue;
            }
            // Answers are written whole; waiting for more to send would only delay events.
            let _ = socket.set_nodelay(true);
            let now = Instant::now();
            self.admit(Connection::new(socket, (own, peer), tls, now, now + REQUEST_TIME));
        }
    }

    fn admit(&mut self, connection: Connection) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.generations.push(0);
            self.connections.len() - 1
        });
        self.generations[slot] = self.generations[slot].wrapping_add(1) & 0x7fff_ffff;
        let token = self.token(slot);
        let added = epoll::add(&self.epoll, connection.socket(), EventData::new_u64(token.0), EventFlags::IN);
        if added.is_err() {
            self.free.push(slot);
            return;
        }
        *self.by_address.entry(connection.peer.ip().to_canonical()).or_default() += 1;
        self.connections[slot] = Some(connection);
        self.open += 1;
        self.figures.connections.store(self.open as u64, Ordering::Relaxed);
    }

    fn token(&self, slot: usize) -> Token {
        Token(u64::from(self.generations[slot]) << 32 | slot as u64)
    }

    fn slot(&self, token: Token) -> Option<usize> {
        let slot = usize::try_from(token.0 & 0xffff_ffff).ok()?;
        let is_it = self.connections.get(slot)?.is_some() && self.token(slot) == token;
        is_it.then_some(slot)
    }

    fn connection(&mut self, token: Token) -> Option<&mut Connection> {
        let slot = self.slot(token)?;
        self.connections[slot].as_mut()
    }

    fn close(&mut self, token: Token) {
        let Some(slot) = self.slot(token) else { return };
        let Some(connection) = self.connections[slot].take() else { return };
        let _ = epoll::delete(&self.epoll, connection.socket());
        self.free.push(slot);
        self.open -= 1;
        self.figures.connections.store(self.open as u64, Ordering::Relaxed);
        let address = connection.peer.ip().to_canonical();
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        if connection.phase == Phase::Events {
            // If the desk is too busy to hear it, it hears it at the next event for this listener.
            let _ = self.desk.try_send(ToDesk::Left(token));
        }
    }

    /// Closes the connection that has gone longest without a complete request; false if all are being served.
    fn evict(&mut self) -> bool {
        let reading = |c: &Connection| matches!(c.phase, Phase::Reading | Phase::Lingering);
        let open = self.connections.iter().enumerate().filter_map(|(slot, c)| Some((slot, c.as_ref()?)));
        let Some((slot, _)) = open.filter(|(_, c)| reading(c)).min_by_key(|(_, c)| c.alive_at) else { return false };
        self.figures.evicted.fetch_add(1, Ordering::Relaxed);
        self.close(self.token(slot));
        true
    }

    /// No accepting for a moment: a listener that cannot be served would ring without end.
    fn pause(&mut self) {
        for door in &self.doors {
            let _ = epoll::delete(&self.epoll, &door.listener);
        }
        self.paused_until = Some(Instant::now() + ACCEPT_PAUSE);
    }

    fn sweep(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| now >= until) {
            self.paused_until = None;
            for (nth, door) in self.doors.iter().enumerate() {
                let data = EventData::new_u64(LISTENERS + nth as u64);
                let _ = epoll::add(&self.epoll, &door.listener, data, EventFlags::IN);
            }
        }
        let mut held = 0;
        for slot in 0..self.connections.len() {
            let Some(connection) = &self.connections[slot] else { continue };
            held += connection.held_bytes();
            if now < connection.deadline {
                continue;
            }
            let token = self.token(slot);
            match connection.phase {
                Phase::Reading if !connection.is_idle() => {
                    self.refuse(token, 408, "timeout", "the request took too long to arrive");
                }
                Phase::Working => {
                    self.answer(token, Answer::error(503, "busy", "no answer could be found in time; try again"));
                }
                _ => self.close(token),
            }
        }
        while held > HELD_BYTES_MAX {
            let open = self.connections.iter().enumerate().filter_map(|(slot, c)| Some((slot, c.as_ref()?)));
            let Some((slot, bytes)) = open.map(|(slot, c)| (slot, c.held_bytes())).max_by_key(|(_, bytes)| *bytes)
            else {
                break;
            };
            self.figures.evicted.fetch_add(1, Ordering::Relaxed);
            held -= bytes;
            self.close(self.token(slot));
        }
        for token in std::mem::take(&mut self.unfilled) {
            self.proceed(token);
        }
        if self.open == 0 && self.connections.len() > 64 {
            // After a flood: give the memory back.
            self.connections = Vec::new();
            self.free = (0..self.generations.len()).rev().collect();
            self.connections.resize_with(self.generations.len(), || None);
        }
    }

    fn ready(&mut self, token: Token, flags: EventFlags) {
        let Some(slot) = self.slot(token) else { return };
        let connection = self.connections[slot].as_mut().expect("a slot with a token is filled");
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) && !flags.contains(EventFlags::IN) {
            self.close(token);
            return;
        }
        if flags.contains(EventFlags::IN) && connection.interest.0 {
            let was_idle = connection.is_idle();
            match connection.read(&mut self.scratch) {
                Ok(Taken::Some) if was_idle => connection.deadline = Instant::now() + REQUEST_TIME,
                Ok(Taken::Some | Taken::Nothing) => {}
                Ok(Taken::End) if connection.phase == Phase::Reading && connection.input_bytes() > 0 => {
                    // A client may close its half after the request; if this is not a whole one, nothing will come.
                    connection.manner.keep_alive = false;
                    self.admit_request(token);
                    if self.connection(token).is_some_and(|c| c.phase == Phase::Reading) {
                        self.close(token);
                    }
                    return;
                }
                Ok(Taken::End) | Err(_) => {
                    self.close(token);
                    return;
                }
            }
            match connection.phase {
                Phase::Reading => {
                    self.admit_request(token);
                    return;
                }
                Phase::Events | Phase::Lingering => {
                    connection.discard();
                    if connection.discarded > LINGER_BYTES_MAX {
                        self.close(token);
                        return;
                    }
                }
                Phase::Working | Phase::Sending => {}
            }
        }
        self.proceed(token);
    }

    /// Takes the next request, if it is complete, to whoever answers it.
    fn admit_request(&mut self, token: Token) {
        let now = Instant::now();
        let stopping = self.stop_at.is_some();
        let Some(connection) = self.connection(token) else { return };
        match connection.next_request() {
            Ok(None) => {
                if connection.input_bytes() > HEAD_BYTES_MAX + BODY_BYTES_MAX {
                    self.close(token);
                    return;
                }
                self.proceed(token);
            }
            Ok(Some(request)) => {
                connection.phase = Phase::Working;
                connection.alive_at = now;
                connection.deadline = now + ANSWER_TIME;
                if stopping {
                    connection.manner.keep_alive = false;
                }
                self.figures.requests.fetch_add(1, Ordering::Relaxed);
                self.set_interest(token);
                if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
                    self.desk.try_send(ToDesk::Ask(token, Box::new(request)))
                {
                    self.answer(token, Answer::error(503, "busy", "too many requests at once; try again"));
                }
            }
            Err(bad) => self.refuse(token, bad.status(), "bad_request", bad.message()),
        }
    }

    /// Answers what is no request of ours, and closes.
    fn refuse(&mut self, token: Token, status: u16, code: &str, message: &str) {
        self.figures.refused.fetch_add(1, Ordering::Relaxed);
        let Some(connection) = self.connection(token) else { return };
        connection.discard();
        connection.manner.keep_alive = false;
        connection.phase = Phase::Working;
        self.answer(token, Answer::error(status, code, message));
    }

    fn answer(&mut self, token: Token, answer: Answer) {
        let now = Instant::now();
        let stopping = self.stop_at.is_some();
        let Some(connection) = self.connection(token) else {
            if matches!(answer.body, Body::Events) {
                let _ = self.desk.try_send(ToDesk::Left(token));
            }
            return;
        };
        if connection.phase != Phase::Working {
            return;
        }
        if stopping {
            connection.manner.keep_alive = false;
        }
        let printed = answer.print(connection.manner);
        connection.queue(&printed);
        connection.deadline = now + SEND_TIME;
        match answer.body {
            Body::Events if !connection.manner.head_only => connection.phase = Phase::Events,
            Body::Source { source, length } if !connection.manner.head_only && length > 0 => {
                connection.phase = Phase::Sending;
                connection.source = Some(Source { source, left: length });
            }
            _ => connection.phase = Phase::Sending,
        }
        self.proceed(token);
    }

    fn event(&mut self, token: Token, event: &[u8]) {
        let Some(connection) = self.connection(token) else {
            let _ = self.desk.try_send(ToDesk::Left(token));
            return;
        };
        if connection.phase != Phase::Events {
            return;
        }
        if !connection.queue_event(event) {
            self.figures.dropped_listeners.fetch_add(1, Ordering::Relaxed);
            self.close(token);
            return;
        }
        self.proceed(token);
    }

    fn piece(&mut self, token: Token, piece: &[u8], source: Option<Source>) {
        let Some(connection) = self.connection(token) else { return };
        connection.is_filling = false;
        let Some(source) = source else {
            // Less than promised cannot be told apart from the whole in any other way.
            self.close(token);
            return;
        };
        connection.queue(piece);
        connection.source = (source.left > 0).then_some(source);
        self.proceed(token);
    }

    /// Sends what can be sent, and goes on to what comes after it.
    fn proceed(&mut self, token: Token) {
        {
            let now = Instant::now();
            let Some(connection) = self.connection(token) else { return };
            let had = connection.wants_write();
            let all_out = match connection.flush() {
                Ok(all_out) => all_out,
                Err(_) => {
                    self.close(token);
                    return;
                }
            };
            match connection.phase {
                Phase::Sending if all_out && connection.is_filling => {}
                Phase::Sending if all_out => {
                    connection.deadline = now + SEND_TIME;
                    if let Some(source) = connection.source.take() {
                        connection.is_filling = true;
                        self.fill(token, source);
                    } else if !connection.manner.keep_alive {
                        connection.shut();
                        connection.discard();
                        connection.phase = Phase::Lingering;
                        connection.deadline = now + LINGER_TIME;
                    } else {
                        connection.phase = Phase::Reading;
                        connection.alive_at = now;
                        connection.deadline = now + IDLE_TIME;
                        if !connection.is_idle() {
                            connection.deadline = now + REQUEST_TIME;
                            // Pipelined: the next one is here already. Others have their turn in between, because its
                            // answer comes from another thread.
                            self.admit_request(token);
                            return;
                        }
                    }
                }
                Phase::Events if all_out || had && !connection.wants_write() => {
                    connection.deadline = now + SEND_TIME;
                }
                _ => {}
            }
            self.set_interest(token);
        }
    }

    fn fill(&mut self, token: Token, source: Source) {
        if let Err(refused) = self.errands.try_send(super::Errand::Fill(Fill { token, source })) {
            let super::Errand::Fill(fill) = refused.into_inner() else { return };
            if let Some(connection) = self.connection(token) {
                connection.source = Some(fill.source);
                connection.is_filling = false;
                self.unfilled.push(token);
            }
        }
    }

    fn set_interest(&mut self, token: Token) {
        let Some(slot) = self.slot(token) else { return };
        let connection = self.connections[slot].as_mut().expect("a slot with a token is filled");
        let reads = matches!(connection.phase, Phase::Reading | Phase::Events | Phase::Lingering);
        let wanted = (reads, connection.wants_write());
        if wanted == connection.interest {
            return;
        }
        connection.interest = wanted;
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, wanted.0);
        flags.set(EventFlags::OUT, wanted.1);
        if epoll::modify(&self.epoll, connection.socket().as_fd(), EventData::new_u64(token.0), flags).is_err() {
            self.close(token);
        }
    }
}
