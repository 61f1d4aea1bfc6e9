//! The pool that asks where asking takes time, so that no session ever waits for more than its share of the budget.
//!
//! A question that finds no room is not asked; one that has waited too long is not asked any more; an answer that comes too
//! late finds its session gone. What a clerk does is handed in.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Clerk;
use crate::client::{Found, Inquiry};
use crate::threads::Thread;

/// Questions that may wait for each clerk: more would be answered too late anyway.
const WAITING_PER_CLERK: usize = 2;

/// What a session wants to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// Of the connection that asks.
    pub id: u64,
    pub what: What,
    pub inquiry: Inquiry,
    /// Of no use after that.
    pub until: Instant,
}

/// Which of its two questions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Client,
    Presented,
}

/// A clerk's answer to the question of connection `id`.
#[derive(Debug)]
pub struct Reply {
    pub id: u64,
    pub said: Said,
}

/// What was found out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    Client(Result<Option<Box<Found>>, String>),
    Presented(Vec<String>),
}

/// The listener's end of the pool. Dropping it ends the threads.
pub struct Clerks {
    pub questions: Sender<Question>,
    pub replies: Receiver<Reply>,
    /// Readable when there are replies.
    pub bell: UnixStream,
}

impl Clerks {
    /// Starts `count` clerks.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn start(count: usize, make: &dyn Fn() -> Box<dyn Clerk>) -> io::Result<(Self, Vec<Thread>)> {
        let (questions, asked) = bounded::<Question>(count * WAITING_PER_CLERK);
        // Every question that is queued or under way has room for its reply: a clerk never waits.
        let (said, replies) = bounded::<Reply>(count * (WAITING_PER_CLERK + 1));
        let (bell, rope) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rope.set_nonblocking(true)?;
        let mut threads = Vec::with_capacity(count);
        for nth in 1..=count {
            let (clerk, asked, said, rope) = (make(), asked.clone(), said.clone(), rope.try_clone()?);
            threads.push(Thread::start(&format!("crm-lookup-{nth}"), move || serve(clerk, &asked, &said, &rope))?);
        }
        Ok((Self { questions, replies, bell }, threads))
    }
}

fn serve(mut clerk: Box<dyn Clerk>, asked: &Receiver<Question>, said: &Sender<Reply>, mut rope: &UnixStream) {
    for question in asked {
        let Some(left) = question.until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
            continue;
        };
        let answer = match question.what {
            What::Client => Said::Client(clerk.ask_crm(&question.inquiry, left).map(|found| found.map(Box::new))),
            What::Presented => Said::Presented(clerk.presented(&question.inquiry)),
        };
        if said.send(Reply { id: question.id, said: answer }).is_err() {
            return;
        }
        // Full: it rings already.
        let _ = rope.write(&[1]);
    }
}
