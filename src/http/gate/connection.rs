//! One connection: its bytes in and out, plain or TLS, and where it stands. Never blocks; when to read, write or close it is
//! decided by the gate.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use rustls::ServerConnection;

use crate::http::answer::{Manner, chunk};
use crate::http::request::{BadHead, HEAD_BYTES_MAX, Head, Method, Request};

/// What a listener of events may leave unread, beside what the system's own buffers hold.
const EVENTS_UNREAD_MAX: usize = 256 * 1024;

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Waiting for a request, or in the middle of one.
    Reading,
    /// The request is with whoever answers it.
    Working,
    /// The answer is on its way.
    Sending,
    /// Listens to events.
    Events,
    /// All is said; what the client still sends is thrown away, so that the answer is not lost with a reset.
    Lingering,
}

/// What one attempt to read brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// Bytes, perhaps only of a TLS handshake.
    Some,
    /// Nothing now.
    Nothing,
    /// The other side has said all it will.
    End,
}

/// The rest of a body that is read from elsewhere.
pub struct Source {
    pub source: Box<dyn Read + Send>,
    pub left: u64,
}

pub struct Connection {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    pub peer: SocketAddr,
    own: SocketAddr,
    pub phase: Phase,
    /// When it is closed unless something happens.
    pub deadline: Instant,
    /// When it last did something worth keeping it for: accepted, or a request complete.
    pub alive_at: Instant,
    /// Decrypted bytes that are not used up.
    input: Vec<u8>,
    /// A head whose body is not complete.
    head: Option<Head>,
    output: Vec<u8>,
    /// How many bytes of `output` are out.
    sent: usize,
    /// The body that follows `output`.
    pub source: Option<Source>,
    /// The source is away to be read from.
    pub is_filling: bool,
    pub manner: Manner,
    /// What epoll was told last: (read, write).
    pub interest: (bool, bool),
    /// Bytes thrown away while lingering.
    pub discarded: usize,
}

impl Connection {
    pub fn new(
        socket: TcpStream,
        (own, peer): (SocketAddr, SocketAddr),
        tls: Option<Box<ServerConnection>>,
        now: Instant,
        deadline: Instant,
    ) -> Self {
        Self {
            socket,
            tls,
            peer,
            own,
            phase: Phase::Reading,
            deadline,
            alive_at: now,
            input: Vec::new(),
            head: None,
            output: Vec::new(),
            sent: 0,
            source: None,
            is_filling: false,
            manner: Manner { is_1_1: true, keep_alive: false, head_only: false },
            interest: (true, false),
            discarded: 0,
        }
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Reads once, at most a buffer full.
    ///
    /// # Errors
    /// The connection is of no further use.
    pub fn read(&mut self, scratch: &mut [u8]) -> io::Result<Taken> {
        let Some(tls) = &mut self.tls else {
            return match self.socket.read(scratch) {
                Ok(0) => Ok(Taken::End),
                Ok(read) => {
                    self.input.extend_from_slice(&scratch[..read]);
                    Ok(Taken::Some)
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(Taken::Nothing),
                Err(e) => Err(e),
            };
        };
        let taken = match tls.read_tls(&mut self.socket) {
            Ok(0) => Taken::End,
            Ok(_) => Taken::Some,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Taken::Nothing,
            Err(e) => return Err(e),
        };
        if let Err(e) = tls.process_new_packets() {
            // The alert tells the client what we did not like; whether it arrives is its own affair.
            let _ = tls.write_tls(&mut self.socket);
            return Err(io::Error::new(ErrorKind::InvalidData, e));
        }
        loop {
            match tls.reader().read(scratch) {
                Ok(0) => return Ok(Taken::End),
                Ok(read) => self.input.extend_from_slice(&scratch[..read]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(taken),
                // Closed without TLS's farewell: to a complete request it makes no difference.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(Taken::End),
                Err(e) => return Err(e),
            }
        }
    }

    /// The next complete request of what was read.
    ///
    /// # Errors
    /// The head is bad; nothing more can be understood here.
    pub fn next_request(&mut self) -> Result<Option<Request>, BadHead> {
        if self.head.is_none() {
            // Empty lines between requests are tolerated (RFC 9112, 2.2).
            let blank = self.input.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            self.input.drain(..blank);
            if self.input.is_empty() {
                self.input = Vec::new();
                return Ok(None);
            }
            let Some((head, length)) = Head::parse(&self.input[..self.input.len().min(HEAD_BYTES_MAX + 1)])? else {
                return Ok(None);
            };
            self.input.drain(..length);
            if head.expects_continue && self.input.len() < head.body_length {
                self.queue(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            self.head = Some(head);
        }
        let have = self.input.len();
        let Some(head) = self.head.take_if(|head| head.body_length <= have) else {
            return Ok(None);
        };
        let rest = self.input.split_off(head.body_length);
        let body = std::mem::replace(&mut self.input, rest);
        self.manner =
            Manner { is_1_1: head.is_1_1, keep_alive: head.keep_alive, head_only: head.method == Method::Head };
        Ok(Some(Request { head, body, peer: self.peer, own: self.own, is_tls: self.tls.is_some() }))
    }

    /// Nothing of a request is here: the connection is only kept open.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Reading && self.input.is_empty() && self.head.is_none()
    }

    /// Memory this connection holds for its client.
    pub fn held_bytes(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }

    pub fn input_bytes(&self) -> usize {
        self.input.len()
    }

    /// Throws away what was read.
    pub fn discard(&mut self) {
        self.discarded = self.discarded.saturating_add(self.input.len());
        self.input = Vec::new();
        self.head = None;
    }

    /// Adds to what goes out.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Adds an event for a listener; false if he has left too much unread.
    #[must_use]
    pub fn queue_event(&mut self, event: &[u8]) -> bool {
        if self.output.len() - self.sent + event.len() > EVENTS_UNREAD_MAX {
            return false;
        }
        if self.manner.is_1_1 {
            self.queue(&chunk(event));
        } else {
            self.queue(event);
        }
        true
    }

    /// Sends what it can; true once nothing is left.
    ///
    /// # Errors
    /// The connection is of no further use.
    pub fn flush(&mut self) -> io::Result<bool> {
        loop {
            let rest = &self.output[self.sent..];
            let wrote = match &mut self.tls {
                None if rest.is_empty() => break,
                None => self.socket.write(rest),
                Some(tls) => {
                    if !rest.is_empty() {
                        // As much as its buffer takes; the rest when some of that is out.
                        self.sent += tls.writer().write(rest)?;
                    }
                    if !tls.wants_write() {
                        break;
                    }
                    tls.write_tls(&mut self.socket)
                }
            };
            match wrote {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(wrote) if self.tls.is_none() => self.sent += wrote,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.forget_sent();
                    return Ok(false);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        // Nothing goes out before a TLS handshake is over.
        if self.sent < self.output.len() {
            return Ok(false);
        }
        self.output = Vec::new();
        self.sent = 0;
        Ok(true)
    }

    /// Something waits to go out.
    pub fn wants_write(&self) -> bool {
        self.sent < self.output.len() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Says that nothing more will come.
    pub fn shut(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut self.socket);
        }
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// So that a listener's buffer does not grow by what is long out.
    fn forget_sent(&mut self) {
        if self.sent > 16 * 1024 {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
    }
}
