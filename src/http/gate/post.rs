//! What goes to the gate and what it shows: tokens, posts, its figures and limits.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crossbeam_channel::Sender;

use super::PIECE_BYTES;
use super::connection::Source;
use crate::http::answer::Answer;

/// One connection in its lifetime; a token is never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token(pub(super) u64);

/// What the gate is told.
pub enum Post {
    Answer(Token, Answer),
    /// A piece for a listener of events.
    Event(Token, Arc<[u8]>),
    /// A listener is to hear no more.
    End(Token),
    /// A piece of a source, and what is left of it; `None` if it could not be read.
    Piece(Token, Vec<u8>, Option<Source>),
    Stop,
}

/// Reading a piece of a body, for an errand thread.
pub struct Fill {
    pub(super) token: Token,
    pub(super) source: Source,
}

impl Fill {
    /// Reads it and sends it back.
    pub fn run(mut self, mailbox: &Mailbox) {
        let wanted = usize::try_from(self.source.left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let mut piece = vec![0; wanted];
        let source = match crate::http::answer::fill(&mut *self.source.source, &mut piece) {
            Ok(read) if read == wanted => {
                self.source.left -= read as u64;
                Some(self.source)
            }
            // The file became shorter or its disk went away: the client sees that less came than was promised.
            _ => None,
        };
        mailbox.send(Post::Piece(self.token, piece, source));
    }
}

/// The way to the gate for everybody else.
#[derive(Clone)]
pub struct Mailbox {
    pub(super) posts: Sender<Post>,
    pub(super) bell: Arc<OwnedFd>,
}

impl Mailbox {
    /// Waits if the gate has much to do; it waits for nobody, so never for long.
    pub fn send(&self, post: Post) {
        if self.posts.send(post).is_ok() {
            // Fails only if nobody has listened to the bell 2^64 times.
            let _ = rustix::io::write(&*self.bell, &1u64.to_ne_bytes());
        }
    }

    pub fn answer(&self, token: Token, answer: Answer) {
        self.send(Post::Answer(token, answer));
    }
}

/// What the gate has counted; read for `/metrics`.
#[derive(Debug, Default)]
pub struct Figures {
    pub connections: AtomicU64,
    pub accepted: AtomicU64,
    pub requests: AtomicU64,
    /// Refused here: bad, too long, too slow.
    pub refused: AtomicU64,
    /// Closed to make room.
    pub evicted: AtomicU64,
    /// Listeners dropped because they did not read.
    pub dropped_listeners: AtomicU64,
}

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    /// From one address; does not count for loopback, behind which a proxy may stand for everybody.
    pub per_address: usize,
}

/// A listening address.
pub struct Door {
    pub listener: TcpListener,
    pub tls: Option<Arc<rustls::ServerConfig>>,
}
