//! Who is next, how many at once, when to try again, and what an answer means for a row.
//!
//! One [`Lane`] per destination remembers what is under way and whether the destination is down; the rows themselves lie
//! in the database, which is asked for what [`Lane::want`] says. Nothing here grows with the backlog.

use std::collections::{HashSet, VecDeque};

use super::{Outcome, Verdict};
use crate::clock::Now;

/// A record whose state is younger than this is a call of now (`live` on the wire).
pub const LIVE_MS: i64 = 30_000;
/// The first wait after a fault of a destination; doubled with each further one.
pub const BACKOFF_FIRST_MS: u64 = 1_000;
/// The longest wait, but for a destination that asks for more (`Retry-After`).
pub const BACKOFF_MAX_MS: u64 = 300_000;
/// No destination makes us wait longer than this.
pub const RETRY_AFTER_MAX_MS: u64 = 3_600_000;
/// One batch in so many is the oldest that waits.
const OLDEST_EVERY: u32 = 4;
/// A receiver that calls us stale so often in a row is at odds with itself; its record then waits, too.
const RAISES_AT_ONCE: u32 = 3;

/// Which rows to look for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Want {
    /// This one alone: it was in a batch that was refused.
    Alone { item: String },
    /// Any one, to see whether the destination is back.
    Probe,
    /// Up to `max`. Calls of now if there are any; else, if `backlog`, the newest that wait.
    NewestFirst { max: usize, backlog: bool },
    /// Up to `max` of those that have waited longest.
    Oldest { max: usize },
}

/// What becomes of the row of one delivered record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It has arrived, and nothing newer came meanwhile.
    Delete,
    /// Something newer came meanwhile: it is sent next.
    SendNewer,
    /// The receiver has a revision from a life we do not remember: go on above it, at `revision`.
    Raise { revision: u64, delay_ms: u64 },
    /// The receiver has a younger state than the one found at the start (an old copy of the database came back): its own
    /// stays, and what comes next goes on above `revision`.
    Overtaken { revision: u64 },
    /// Not sent again until it changes or somebody retries it.
    Park { reason: String },
    /// Tried again on its own after `delay_ms`.
    Delay { delay_ms: u64, why: String },
    /// Waits as it did; only the attempt is noted.
    Wait { why: String },
    /// Still held by the lane: it is sent alone next.
    Held,
}

/// What the outcome of a batch changed for the destination as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Turn {
    Same,
    WentDown {
        why: String,
    },
    /// Another failed attempt while down.
    StillDown {
        why: String,
    },
    CameBack {
        down_for_ms: u64,
    },
}

/// A destination that takes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Down {
    pub since: Now,
    /// Monotonic: when the next probe may go.
    pub until_ms: u64,
    pub tries: u32,
    pub why: String,
}

/// What is known of a row when its outcome arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RowState {
    /// The newest revision that waits.
    pub newest: u64,
    /// Attempts that did not deliver it so far.
    pub tries: u32,
    /// Its state was made by this process, not found at the start.
    pub ours: bool,
}

/// Spreads retries: a small generator from a seed, so that equal seeds give equal waits.
#[derive(Clone, Debug)]
pub struct Spread(u64);

impl Spread {
    pub fn new(seed: u64) -> Self {
        // The generator stands still at zero.
        Self(seed | 1)
    }

    /// `base_ms` and up to a quarter more.
    pub fn add_to(&mut self, base_ms: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        base_ms.saturating_add((base_ms / 4).saturating_mul(self.0 >> 54) >> 10)
    }
}

/// The wait after the `tries`-th failure in a row (from 1), without spread.
pub fn backoff_ms(tries: u32) -> u64 {
    let doublings = tries.saturating_sub(1).min(32);
    (BACKOFF_FIRST_MS << doublings).min(BACKOFF_MAX_MS)
}

/// One destination: what is under way to it and whether it takes anything.
#[derive(Debug)]
pub struct Lane {
    senders: usize,
    batch_max: usize,
    /// Grows from 1 after a fault: a destination that comes back is not drowned, and a record that brings it down is
    /// soon alone in its batch.
    batch_now: usize,
    /// Items in some batch, or held to be sent alone; senders × `batch_max` at most.
    held: HashSet<String>,
    /// Held, and to be sent alone.
    alone: VecDeque<String>,
    /// Size of the batch that was refused, until its records have been sent alone.
    refused_len: usize,
    /// One of them was refused alone as well, so the size was not the matter.
    refused_alone: bool,
    batches: usize,
    backlog_batches: usize,
    turn: u32,
    down: Option<Down>,
    /// Another connector delivers.
    withheld: bool,
}

impl Lane {
    pub fn new(senders: usize, batch_max: usize) -> Self {
        let batch_max = batch_max.max(1);
        Self {
            senders: senders.max(1),
            batch_max,
            batch_now: batch_max,
            held: HashSet::new(),
            alone: VecDeque::new(),
            refused_len: 0,
            refused_alone: false,
            batches: 0,
            backlog_batches: 0,
            turn: 0,
            down: None,
            withheld: false,
        }
    }

    /// Another connector delivers from now on: nothing is wanted until [`Lane::deliver`].
    pub fn withhold(&mut self) {
        self.withheld = true;
    }

    /// It is ours to deliver.
    pub fn deliver(&mut self) {
        self.withheld = false;
    }

    /// New limits (a reload); what is under way stays so.
    pub fn resize(&mut self, senders: usize, batch_max: usize) {
        self.senders = senders.max(1);
        self.batch_max = batch_max.max(1);
        self.batch_now = self.batch_now.min(self.batch_max);
    }

    pub fn down(&self) -> Option<&Down> {
        self.down.as_ref()
    }

    /// Batches under way.
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// Whether an item must not be put into another batch.
    pub fn holds(&self, item: &str) -> bool {
        self.held.contains(item)
    }

    /// How many rows a search must be ready to skip.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// What to look for now, if a sender is idle and the destination may be tried.
    pub fn want(&self, now: Now) -> Option<Want> {
        if self.batches >= self.senders || self.withheld {
            return None;
        }
        if let Some(down) = &self.down {
            // One at a time, and not before its time.
            return if self.batches == 0 && now.mono_ms >= down.until_ms {
                Some(self.alone.front().map_or(Want::Probe, |item| Want::Alone { item: item.clone() }))
            } else {
                None
            };
        }
        if let Some(item) = self.alone.front() {
            return Some(Want::Alone { item: item.clone() });
        }
        // The backlog leaves one sender free, so that a call of now need not wait for fifty old ones.
        let backlog = self.backlog_batches < self.senders.saturating_sub(1).max(1);
        if backlog && self.turn % OLDEST_EVERY == OLDEST_EVERY - 1 {
            return Some(Want::Oldest { max: self.batch_now });
        }
        Some(Want::NewestFirst { max: self.batch_now, backlog })
    }

    /// These items are now under way in one batch. `backlog`: none of them is a call of now.
    pub fn take(&mut self, items: impl IntoIterator<Item = String>, backlog: Backlog) {
        for item in items {
            if let Some(at) = self.alone.iter().position(|a| *a == item) {
                self.alone.remove(at);
            }
            self.held.insert(item);
        }
        self.batches += 1;
        self.turn = self.turn.wrapping_add(1);
        if backlog == Backlog::Yes {
            self.backlog_batches += 1;
        }
    }

    /// An item held to be sent alone has no row any more.
    pub fn let_go(&mut self, item: &str) {
        self.alone.retain(|a| a != item);
        self.held.remove(item);
    }

    /// A batch came back. `rows` gives, for each of its records, what is known of its row, or `None` if it has none any
    /// more. Answers what becomes of each row, and of the destination.
    pub fn settle(
        &mut self,
        sent: &[(&str, u64)],
        rows: &[Option<RowState>],
        outcome: &Outcome,
        backlog: Backlog,
        now: Now,
        spread: &mut Spread,
    ) -> (Vec<Fate>, Turn) {
        self.batches = self.batches.saturating_sub(1);
        if backlog == Backlog::Yes {
            self.backlog_batches = self.backlog_batches.saturating_sub(1);
        }
        for (item, _) in sent {
            self.held.remove(*item);
        }
        let at = |i: usize| rows.get(i).copied().flatten();
        match outcome {
            Outcome::Answered(verdicts) if verdicts.len() == sent.len() => {
                let turn = self.is_up(now);
                self.batch_now = self.batch_now.saturating_mul(2).min(self.batch_max);
                let fates = sent
                    .iter()
                    .zip(verdicts)
                    .enumerate()
                    .map(|(i, ((_, revision), verdict))| fate(verdict, *revision, at(i), spread))
                    .collect::<Vec<_>>();
                if sent.len() == 1 {
                    self.sent_alone(matches!(fates.first(), Some(Fate::Park { .. })));
                }
                (fates, turn)
            }
            Outcome::Answered(verdicts) => {
                let why = format!("it answered for {} of {} records", verdicts.len(), sent.len());
                self.failed(sent, rows, &why, None, now, spread)
            }
            Outcome::BatchRefused { why } if sent.len() == 1 => {
                let turn = self.is_up(now);
                self.sent_alone(true);
                (vec![parked(why, sent[0].1, at(0))], turn)
            }
            Outcome::BatchRefused { .. } => {
                let turn = self.is_up(now);
                self.refused_len = sent.len();
                self.refused_alone = false;
                let mut fates = Vec::with_capacity(sent.len());
                for (i, (item, _)) in sent.iter().enumerate() {
                    if at(i).is_some() {
                        self.held.insert((*item).to_owned());
                        self.alone.push_back((*item).to_owned());
                    }
                    fates.push(Fate::Held);
                }
                (fates, turn)
            }
            Outcome::CrmDown { why, retry_after_s } => self.failed(sent, rows, why, *retry_after_s, now, spread),
            Outcome::NotOurs => {
                self.withheld = true;
                (vec![Fate::SendNewer; sent.len()], Turn::Same)
            }
        }
    }

    /// Somebody wants it tried at once.
    pub fn try_now(&mut self, now: Now) {
        if let Some(down) = &mut self.down {
            down.until_ms = now.mono_ms;
        }
    }

    /// When [`Lane::want`] may say something else without anything having happened; monotonic milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.down.as_ref().filter(|_| self.batches == 0 && !self.withheld).map(|down| down.until_ms)
    }

    fn is_up(&mut self, now: Now) -> Turn {
        match self.down.take() {
            Some(down) => Turn::CameBack { down_for_ms: now.mono_ms.saturating_sub(down.since.mono_ms) },
            None => Turn::Same,
        }
    }

    /// One of a refused batch was tried alone. If none of them was refused, the batch was simply too large.
    fn sent_alone(&mut self, refused: bool) {
        if self.refused_len == 0 {
            return;
        }
        self.refused_alone |= refused;
        if self.alone.is_empty() {
            if !self.refused_alone {
                self.batch_max = (self.refused_len / 2).max(1);
                self.batch_now = self.batch_now.min(self.batch_max);
            }
            self.refused_len = 0;
        }
    }

    fn failed(
        &mut self,
        sent: &[(&str, u64)],
        rows: &[Option<RowState>],
        why: &str,
        retry_after_s: Option<u32>,
        now: Now,
        spread: &mut Spread,
    ) -> (Vec<Fate>, Turn) {
        let turn = match &mut self.down {
            // Its time has not come, so this batch was sent before the destination went down: the same fault.
            Some(down) if now.mono_ms < down.until_ms => Turn::StillDown { why: why.to_owned() },
            Some(down) => {
                down.tries = down.tries.saturating_add(1);
                down.until_ms = now.mono_ms.saturating_add(wait_ms(down.tries, retry_after_s, spread));
                why.clone_into(&mut down.why);
                Turn::StillDown { why: why.to_owned() }
            }
            None => {
                let until_ms = now.mono_ms.saturating_add(wait_ms(1, retry_after_s, spread));
                self.down = Some(Down { since: now, until_ms, tries: 1, why: why.to_owned() });
                Turn::WentDown { why: why.to_owned() }
            }
        };
        self.batch_now = 1;
        let alone = sent.len() == 1;
        let fates = (0..sent.len())
            .map(|i| match rows.get(i).copied().flatten() {
                // Alone when it failed: perhaps it is this record that brings the destination down, so the next probe
                // takes another one. A newer revision is tried without that wait.
                Some(row) if alone && row.newest == sent[i].1 => {
                    let delay_ms = spread.add_to(backoff_ms(row.tries.saturating_add(1)));
                    Fate::Delay { delay_ms, why: why.to_owned() }
                }
                Some(_) => Fate::Wait { why: why.to_owned() },
                None => Fate::Delete,
            })
            .collect();
        (fates, turn)
    }
}

/// Whether a batch is of the backlog or has calls of now in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backlog {
    Yes,
    No,
}

fn wait_ms(tries: u32, retry_after_s: Option<u32>, spread: &mut Spread) -> u64 {
    let asked_ms = u64::from(retry_after_s.unwrap_or(0)).saturating_mul(1_000).min(RETRY_AFTER_MAX_MS);
    spread.add_to(backoff_ms(tries)).max(asked_ms)
}

fn parked(reason: &str, sent: u64, row: Option<RowState>) -> Fate {
    match row {
        Some(row) if row.newest > sent => Fate::SendNewer,
        _ => Fate::Park { reason: reason.to_owned() },
    }
}

/// What the receiver's word on one record means for its row.
fn fate(verdict: &Verdict, sent: u64, row: Option<RowState>, spread: &mut Spread) -> Fate {
    let Some(row) = row else { return Fate::Delete };
    match verdict {
        Verdict::Saved | Verdict::Unchanged if row.newest <= sent => Fate::Delete,
        Verdict::Saved | Verdict::Unchanged => Fate::SendNewer,
        Verdict::Rejected { reason } => parked(reason, sent, Some(row)),
        Verdict::Retry { .. } if row.newest > sent => Fate::SendNewer,
        Verdict::Retry { why } => {
            Fate::Delay { delay_ms: spread.add_to(backoff_ms(row.tries.saturating_add(1))), why: why.clone() }
        }
        // It has what we sent, whatever it calls that.
        Verdict::Stale { has } if *has == sent && row.newest == sent => Fate::Delete,
        Verdict::Stale { has } if *has > sent && *has < row.newest => Fate::SendNewer,
        // A number no database holds: going above it is impossible.
        Verdict::Stale { has } if *has >= i64::MAX as u64 => {
            Fate::Park { reason: format!("the receiver claims to have revision {has}") }
        }
        Verdict::Stale { has } if *has > sent && !row.ours && row.newest <= sent => Fate::Overtaken { revision: *has },
        Verdict::Stale { has } if *has > sent => {
            let delay_ms = if row.tries < RAISES_AT_ONCE { 0 } else { spread.add_to(backoff_ms(row.tries)) };
            Fate::Raise { revision: has.saturating_add(1).max(row.newest), delay_ms }
        }
        Verdict::Stale { .. } if row.newest > sent => Fate::SendNewer,
        Verdict::Stale { has } => Fate::Delay {
            delay_ms: spread.add_to(backoff_ms(row.tries.saturating_add(1))),
            why: format!("the receiver has revision {has} and calls {sent} stale"),
        },
    }
}
