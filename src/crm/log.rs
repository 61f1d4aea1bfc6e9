//! The last requests to the CRMs, for the status page and `doctor`.
//!
//! Whoever talks to a CRM sends a [`RequestLine`] into a bounded queue and never waits for it; whoever owns the other
//! end keeps [`LastRequests`]. No lock, and a page nobody reads costs nothing but the ring.

use std::collections::VecDeque;

use crossbeam_channel::Sender;

/// How much of an answer is kept.
pub const ANSWER_CHARS: usize = 500;
/// How many requests are kept per CRM.
pub const KEPT: usize = 50;

/// One request to a CRM and how it ended. Secrets are masked already.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestLine {
    /// Name of the `[[crm]]` section.
    pub crm: String,
    /// `records`, `users`, `StartApp`, ...
    pub op: &'static str,
    /// When it was sent, wall clock.
    pub at_ms: i64,
    /// From the first byte sent to the last received, or to giving up.
    pub took_ms: u64,
    /// Size of the request's body.
    pub bytes: usize,
    /// Absent where nothing that looks like HTTP came back.
    pub status: Option<u16>,
    /// The first [`ANSWER_CHARS`] characters of the answer, or why there is none.
    pub answer: String,
}

/// Where the lines go: the writing end.
#[derive(Clone, Debug)]
pub struct RequestLog(Option<Sender<RequestLine>>);

impl RequestLog {
    /// Lines go into `queue`; where that is full, the line is dropped: the log may have holes, a call may not wait for it.
    pub fn new(queue: Sender<RequestLine>) -> Self {
        Self(Some(queue))
    }

    /// Nobody wants to know.
    pub fn none() -> Self {
        Self(None)
    }

    pub(super) fn tell(&self, line: RequestLine) {
        if let Some(queue) = &self.0 {
            // Full or gone: nobody is reading, and nothing depends on it.
            let _ = queue.try_send(line);
        }
    }
}

/// The reading end's memory: the newest [`KEPT`] lines of each CRM, newest first.
#[derive(Debug, Default)]
pub struct LastRequests(Vec<(String, VecDeque<RequestLine>)>);

impl LastRequests {
    pub fn push(&mut self, line: RequestLine) {
        let index = match self.0.iter().position(|(crm, _)| *crm == line.crm) {
            Some(index) => index,
            None => {
                self.0.push((line.crm.clone(), VecDeque::with_capacity(KEPT)));
                self.0.len() - 1
            }
        };
        let lines = &mut self.0[index].1;
        lines.truncate(KEPT - 1);
        lines.push_front(line);
    }

    /// Of one CRM, newest first.
    pub fn of(&self, crm: &str) -> impl Iterator<Item = &RequestLine> {
        self.0.iter().filter(move |(name, _)| name == crm).flat_map(|(_, lines)| lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(crm: &str, at_ms: i64) -> RequestLine {
        let (op, answer) = ("records", String::new());
        RequestLine { crm: crm.to_owned(), op, at_ms, took_ms: 1, bytes: 2, status: Some(200), answer }
    }

    #[test]
    fn the_newest_fifty_of_each_crm_are_kept_newest_first() {
        let mut last = LastRequests::default();
        last.push(line("other", 7));
        for at_ms in 0..120 {
            last.push(line("vtiger", at_ms));
        }
        let kept: Vec<i64> = last.of("vtiger").map(|l| l.at_ms).collect();
        assert_eq!(kept, (70..120).rev().collect::<Vec<i64>>());
        assert_eq!(last.of("other").count(), 1);
        assert_eq!(last.of("nobody").count(), 0);
    }

    #[test]
    fn a_full_log_holds_nobody_up() {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let log = RequestLog::new(sender);
        log.tell(line("vtiger", 1));
        log.tell(line("vtiger", 2));
        assert_eq!(receiver.try_iter().map(|l| l.at_ms).collect::<Vec<_>>(), [1]);
        drop(receiver);
        log.tell(line("vtiger", 3));
    }
}
