//! What became of the sessions, counted; read by the status page and the metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::script::Status;
use super::session::End;

/// Upper bounds of [`Counts::latency`], in seconds; beyond the last is beyond every budget but a generous one.
pub const LATENCY_BOUNDS_S: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1.0];

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
    latency: [AtomicU64; LATENCY_BOUNDS_S.len()],
    timed: AtomicU64,
    took_us: AtomicU64,
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
    /// Sessions that took at most [`LATENCY_BOUNDS_S`], each counted in its bucket alone.
    pub latency: [u64; LATENCY_BOUNDS_S.len()],
    /// Sessions that were timed, and how long all of them took, in microseconds.
    pub timed: u64,
    pub took_us: u64,
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
            latency: std::array::from_fn(|nth| read(&self.latency[nth])),
            timed: read(&self.timed),
            took_us: read(&self.took_us),
        }
    }

    pub(super) fn began(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// A session is over that began so long ago.
    pub(super) fn took(&self, took: Duration) {
        if let Some(bucket) = LATENCY_BOUNDS_S.iter().position(|bound| took.as_secs_f64() <= *bound) {
            self.latency[bucket].fetch_add(1, Ordering::Relaxed);
        }
        self.timed.fetch_add(1, Ordering::Relaxed);
        self.took_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
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
