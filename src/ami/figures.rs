//! What a link counts, for metrics and the status page. Written by the link's two threads, read by anybody.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Counters since the start of the program; they survive reconnects.
#[derive(Default, Debug)]
pub struct LinkFigures {
    /// Bytes read.
    pub bytes: AtomicU64,
    /// Messages, of whatever use.
    pub messages: AtomicU64,
    /// Events and answers that were passed on.
    pub events: AtomicU64,
    /// Messages of no importance to a call.
    pub ignored: AtomicU64,
    /// Lines that are no message, or events not written as Asterisk writes them.
    pub malformed: AtomicU64,
    /// Messages beyond the limits, which were skipped.
    pub oversized: AtomicU64,
    /// Successful logins.
    pub logins: AtomicU64,
    /// Connections that failed or broke.
    pub failures: AtomicU64,
    /// How often the reader had to wait for the call-state thread.
    pub queue_waits: AtomicU64,
    pub actions_sent: AtomicU64,
    /// Actions that came while there was no link, or that cannot be said in AMI.
    pub actions_dropped: AtomicU64,
    /// When the present login was accepted, in ms since 1970; 0 while there is no link.
    pub up_since_ms: AtomicI64,
    /// When something was read last, on the monotonic clock.
    pub(super) heard_at_ms: AtomicU64,
    /// The reader waits for the call-state thread, so silence is ours and not Asterisk's.
    pub(super) waiting: AtomicBool,
}

/// Counters are read one by one and need no order among each other.
pub(super) const ORDER: Ordering = Ordering::Relaxed;

pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, ORDER);
}
