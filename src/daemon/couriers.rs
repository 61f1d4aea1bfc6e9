//! The `crm-NAME-fetch` and `crm-NAME-tell` threads: for each CRM with our module, one that waits for its commands and one that tells it
//! what became of them, how click-to-calls go and how we are. Made anew where a reload changed something.
//!
//! What they say over HTTP is [`crate::crm::courier`]'s; what a command does, [`super::crm_orders`]'s.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Sender, TrySendError, bounded};

use super::{queues, senders};
use crate::crm::courier::{self, Fetched, Heard, Report};
use crate::crm::{Client, CrmSettings, Interrupter, Kind, RequestLog};
use crate::threads::Thread;

/// The couriers of all CRMs.
pub struct Couriers {
    lines: Vec<Line>,
    orders: Sender<Fetched>,
    heard: Heard,
    log: RequestLog,
    /// Of before a reload; they end by themselves.
    retired: Vec<Thread>,
}

struct Line {
    crm: String,
    reports: Sender<Report>,
    /// Dropping it ends the fetcher.
    stop: Sender<()>,
    interrupter: Interrupter,
    fetcher: Thread,
    teller: Thread,
}

impl Couriers {
    /// Starts them for every CRM of `kind = "calls"`.
    ///
    /// # Errors
    /// If the system gives no threads, or a file of a CRM has vanished.
    pub fn start(sections: &[CrmSettings], orders: Sender<Fetched>, heard: Heard, log: RequestLog) -> io::Result<Self> {
        let mut couriers = Self { lines: Vec::new(), orders, heard, log, retired: Vec::new() };
        couriers.lines = couriers.lines_of(sections)?;
        Ok(couriers)
    }

    fn lines_of(&self, sections: &[CrmSettings]) -> io::Result<Vec<Line>> {
        sections.iter().filter(|section| section.kind == Kind::Calls).map(|section| self.line(section)).collect()
    }

    fn line(&self, section: &CrmSettings) -> io::Result<Line> {
        let crm = senders::open(section)?;
        let name = &section.name;
        let (reports, reported) = bounded(queues::REPORTS.capacity);
        let (stop, stopped) = bounded(0);
        let fetching = Client::new(Arc::clone(&crm), self.log.clone());
        let interrupter = fetching.interrupter();
        let orders = self.orders.clone();
        let fetcher = Thread::start(&format!("crm-{name}-fetch"), move || courier::fetch(fetching, orders, stopped))?;
        let (telling, heard) = (Client::new(crm, self.log.clone()), self.heard.clone());
        let teller = Thread::start(&format!("crm-{name}-tell"), move || courier::tell(telling, reported, heard))?;
        Ok(Line { crm: name.clone(), reports, stop, interrupter, fetcher, teller })
    }

    /// Nobody is to be told anything.
    pub fn is_idle(&self) -> bool {
        self.lines.is_empty()
    }

    /// The CRMs that are told.
    pub fn crms(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| line.crm.as_str())
    }

    /// Tells one CRM; nobody, where it is of another kind.
    pub fn tell(&self, crm: &str, report: Report) {
        let Some(line) = self.lines.iter().find(|line| line.crm == crm) else { return };
        match line.reports.try_send(report) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => log::warn!("{crm}: too many reports wait, one is dropped"),
            Err(TrySendError::Disconnected(_)) => log::debug!("{crm}: nobody tells any more, we are stopping"),
        }
    }

    /// Takes over new settings. Nobody is waited for: the old ones tell what they have and end.
    ///
    /// # Errors
    /// As [`Couriers::start`]; the old ones go on then.
    pub fn reload(&mut self, sections: &[CrmSettings]) -> io::Result<()> {
        let lines = self.lines_of(sections)?;
        self.retired.retain(|thread| !thread.is_finished());
        for old in std::mem::replace(&mut self.lines, lines) {
            drop((old.stop, old.reports));
            old.interrupter.interrupt();
            self.retired.extend([old.fetcher, old.teller]);
        }
        Ok(())
    }

    /// Fetches no more commands; what is left to tell may still come.
    pub fn stop_fetching(self, until: Instant, left: &mut Vec<String>) -> Tellers {
        let mut tellers = Vec::new();
        let mut fetchers = Vec::new();
        for line in self.lines {
            drop(line.stop);
            line.interrupter.interrupt();
            fetchers.push(line.fetcher);
            tellers.push((line.crm, line.reports, line.teller));
        }
        join(fetchers, until, left);
        Tellers { tellers, retired: self.retired }
    }
}

/// Those that tell what is left.
pub struct Tellers {
    tellers: Vec<(String, Sender<Report>, Thread)>,
    retired: Vec<Thread>,
}

impl Tellers {
    /// Tells the last reports and ends.
    pub fn stop(self, last: impl Iterator<Item = (String, Report)>, until: Instant, left: &mut Vec<String>) {
        for (crm, report) in last {
            if let Some((_, reports, _)) = self.tellers.iter().find(|(name, ..)| *name == crm) {
                // Full: the CRM is away, and nothing of this would be told.
                let _ = reports.try_send(report);
            }
        }
        // Each is let go before the first is waited for.
        let threads: Vec<Thread> = self.tellers.into_iter().map(|(_, _, thread)| thread).collect();
        join(threads.into_iter().chain(self.retired), until, left);
    }
}

fn join(threads: impl IntoIterator<Item = Thread>, until: Instant, left: &mut Vec<String>) {
    for thread in threads {
        let name = thread.name().to_owned();
        if !thread.join_until(until) {
            left.push(name);
        }
    }
}
