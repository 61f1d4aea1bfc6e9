//! What became of the sessions, counted; read by the status page and the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::script::Status;
use super::session::End;

/// Counts of everything since the start. Written by the listener alone.
#[derive(Debug, Default)]
pub struct Counters {
    sessions: AtomicU64,
    ok: AtomicU64,
    not_found: AtomicU64,
    absent: AtomicU64,
    timeout: AtomicU64,
    error: AtomicU64,
    hung_up: AtomicU64,
    not_agi: AtomicU64,
    unheard: AtomicU64,
    busy: AtomicU64,
    stranger: AtomicU64,
}

/// One reading of [`Counters`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Counts {
    /// Connections that became sessions; each ends in one of the following seven.
    pub sessions: u64,
    pub ok: u64,
    pub not_found: u64,
    pub absent: u64,
    /// Neither directory nor CRM could tell in time.
    pub timeout: u64,
    /// Unknown script or CRM.
    pub error: u64,
    /// Asterisk or the caller was gone before the answer.
    pub hung_up: u64,
    /// Did not speak AGI, or too much of it.
    pub not_agi: u64,
    /// Asterisk was silent until the budget was over.
    pub unheard: u64,
    /// Told `ERROR` at once, since all sessions were taken; no session.
    pub busy: u64,
    /// Not allowed to ask; no session.
    pub stranger: u64,
}

impl Counters {
    pub fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            sessions: read(&self.sessions),
            ok: read(&self.ok),
            not_found: read(&self.not_found),
            absent: read(&self.absent),
            timeout: read(&self.timeout),
            error: read(&self.error),
            hung_up: read(&self.hung_up),
            not_agi: read(&self.not_agi),
            unheard: read(&self.unheard),
            busy: read(&self.busy),
            stranger: read(&self.stranger),
        }
    }

    pub(super) fn began(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, end: End) {
        let counter = match end {
            End::Told(Status::Ok) => &self.ok,
            End::Told(Status::NotFound) => &self.not_found,
            End::Told(Status::Absent) => &self.absent,
            End::Told(Status::Timeout) => &self.timeout,
            End::Told(Status::Error) => &self.error,
            End::HungUp => &self.hung_up,
            End::NotAgi => &self.not_agi,
            End::Unheard => &self.unheard,
            End::Busy => &self.busy,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stranger(&self) {
        self.stranger.fetch_add(1, Ordering::Relaxed);
    }
}
