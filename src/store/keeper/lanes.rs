//! One destination as the keeper sees it: its lane of the outbox, its senders' queue, and where its rows are found.

use super::pending::{Note, Pending, PendingFate};
use super::{Alarm, Destination, DestinationKind};
use crate::clock::Now;
use crate::outbox::policy::{BACKOFF_MAX_MS, Backlog, Fate, Lane, RowState, Spread, Turn, Want};
use crate::outbox::{Batch, Delivered, Delivery, Outcome};
use crate::store::error::StoreError;
use crate::store::sqlite::Database;
use crate::store::sqlite::outbox_rows::{End, live_since};

/// A success is noted for outside eyes at most so often.
const SUCCESS_NOTED_EVERY_MS: u64 = 10_000;
/// No row is ever delayed further than this into the future; one that seems so was written before the clock was set back.
#[expect(clippy::cast_possible_wrap, reason = "a constant of minutes")]
const DELAY_MAX_MS: i64 = 2 * BACKOFF_MAX_MS as i64;
/// Delayed rows that become ready in one go.
const WOKEN_AT_ONCE: usize = 100;

/// Where the rows are found now.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    Stored(&'a Database),
    /// The database cannot be written: only what is in memory can be sent, and it is sent unstored.
    Unstored(&'a Database, &'a Pending),
}

pub struct DestinationLane {
    pub destination: Destination,
    pub lane: Lane,
    /// `destination.id`, once known.
    id: Option<i64>,
    /// There may be ready rows; false only after a search found none.
    maybe: bool,
    /// Wall clock: when a delayed row becomes ready.
    wake_ms: Option<i64>,
    /// First items of the batches under way that are of the backlog.
    backlog: Vec<String>,
    success_noted_ms: Option<u64>,
    /// Wall clock: what changed before was found at the start.
    started_ms: i64,
}

impl DestinationLane {
    pub fn new(destination: Destination, started_ms: i64) -> Self {
        let lane = Lane::new(destination.senders, destination.batch_max);
        Self {
            destination,
            lane,
            id: None,
            maybe: true,
            wake_ms: None,
            backlog: Vec::new(),
            success_noted_ms: None,
            started_ms,
        }
    }

    /// The same destination after a reload: what is under way stays known.
    pub fn replace(&mut self, destination: Destination) {
        self.lane.resize(destination.senders, destination.batch_max);
        self.destination = destination;
        self.maybe = true;
    }

    /// Rows may have come.
    pub fn look_again(&mut self) {
        self.maybe = true;
    }

    /// Whether another connector delivers.
    pub fn withhold(&mut self, withheld: bool) {
        if withheld {
            self.lane.withhold();
        } else {
            self.lane.deliver();
        }
        self.maybe = true;
    }

    /// Gives up its senders' queue: they end when they have reported what is under way.
    pub fn close(&mut self) {
        let (nobody, _) = crossbeam_channel::bounded(0);
        self.destination.queue = nobody;
    }

    /// The database could not be read for it: nothing more until something happens, or a second has passed.
    pub fn rest(&mut self, now: Now) {
        self.maybe = false;
        self.wake_ms = Some(now.wall_ms.saturating_add(1_000));
    }

    /// Hands batches to idle senders as long as there are both.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn fill(&mut self, rows: Rows<'_>, now: Now) -> Result<(), StoreError> {
        if self.wake_ms.is_some_and(|at| at <= now.wall_ms || at > now.wall_ms.saturating_add(DELAY_MAX_MS)) {
            self.maybe = true;
        }
        while self.maybe
            && let Some(want) = self.lane.want(now)
        {
            let (deliveries, backlog) = match rows {
                Rows::Stored(database) => self.find_stored(database, &want, now)?,
                Rows::Unstored(database, pending) => (self.find_unstored(database, pending, &want), Backlog::No),
            };
            if deliveries.is_empty() {
                match want {
                    // Its row is gone (dropped by hand, its client forgotten).
                    Want::Alone { item } => self.lane.let_go(&item),
                    // Only calls of now were wanted: when a sender is back from the backlog, it is looked at again.
                    _ => self.maybe = false,
                }
                continue;
            }
            let items = deliveries.iter().map(|d| d.record_id.clone()).collect::<Vec<_>>();
            let batch = Batch { crm: self.destination.name.clone(), deliveries };
            if self.destination.queue.try_send(batch).is_err() {
                // Its senders are ending, or fewer than they were before a reload.
                self.maybe = false;
                break;
            }
            if backlog == Backlog::Yes {
                self.backlog.extend(items.first().cloned());
            }
            self.lane.take(items, backlog);
        }
        Ok(())
    }

    fn find_stored(
        &mut self,
        database: &Database,
        want: &Want,
        now: Now,
    ) -> Result<(Vec<Delivery>, Backlog), StoreError> {
        let (id, kind) = (self.id(database)?, self.destination.kind);
        let live = live_since(now.wall_ms);
        let all = i64::MIN;
        let lane = &self.lane;
        let found = match want {
            Want::Alone { item } => (database.one((id, kind), item)?.into_iter().collect(), Backlog::No),
            Want::Probe => {
                let mut found = database.ready((id, kind), lane, End::Newest, 1, all)?;
                if found.is_empty()
                    && let Some((item, _)) = database.next_delayed(id)?
                {
                    found.extend(database.one((id, kind), &item)?);
                }
                if found.is_empty() {
                    self.wake_ms = None;
                }
                (found, Backlog::No)
            }
            Want::NewestFirst { max, backlog } => {
                self.wake_ms = self.wake(database, id, now)?;
                let lane = &self.lane;
                let fresh = database.ready((id, kind), lane, End::Newest, *max, live)?;
                if fresh.is_empty() && *backlog {
                    (database.ready((id, kind), lane, End::Newest, *max, all)?, Backlog::Yes)
                } else {
                    (fresh, Backlog::No)
                }
            }
            Want::Oldest { max } => {
                self.wake_ms = self.wake(database, id, now)?;
                let found = database.ready((id, kind), &self.lane, End::Oldest, *max, all)?;
                let backlog = found.first().is_some_and(|d| d.changed_at_ms <= live);
                (found, if backlog { Backlog::Yes } else { Backlog::No })
            }
        };
        Ok(found)
    }

    /// Makes delayed rows ready whose time has come; answers when the next one's does.
    fn wake(&self, database: &Database, id: i64, now: Now) -> Result<Option<i64>, StoreError> {
        let Some((_, due_ms)) = database.next_delayed(id)? else { return Ok(None) };
        let set_back = due_ms > now.wall_ms.saturating_add(DELAY_MAX_MS);
        if due_ms > now.wall_ms && !set_back {
            return Ok(Some(due_ms));
        }
        database.wake_delayed(id, if set_back { i64::MAX } else { now.wall_ms }, WOKEN_AT_ONCE)?;
        Ok(database.next_delayed(id)?.map(|(_, due_ms)| due_ms))
    }

    fn find_unstored(&self, database: &Database, pending: &Pending, want: &Want) -> Vec<Delivery> {
        // A history takes what is stored, and nothing is now.
        if self.destination.kind == DestinationKind::History {
            return Vec::new();
        }
        let name = &self.destination.name;
        let mut found = match want {
            Want::Alone { item } => pending.unsent_one(item).into_iter().collect(),
            Want::Probe => pending.unsent(name, &self.lane, 1),
            Want::NewestFirst { max, .. } | Want::Oldest { max } => pending.unsent(name, &self.lane, *max),
        };
        for delivery in &mut found {
            let told = pending.told.get(&(name.clone(), delivery.record_id.clone())).cloned();
            // A full disk can still be read; where it cannot, being told twice is the smaller harm.
            delivery.told = told.or_else(|| database.told(self.id?, &delivery.record_id).ok().flatten());
        }
        found
    }

    /// Takes in what became of a batch: the fates of its rows go to `pending`. `database` is `None` while it fails.
    pub fn settle(
        &mut self,
        delivered: &Delivered,
        database: Option<&Database>,
        pending: &mut Pending,
        now: Now,
        spread: &mut Spread,
    ) -> Vec<Alarm> {
        let sent = delivered.batch.deliveries.iter().map(|d| (d.record_id.as_str(), d.revision)).collect::<Vec<_>>();
        let id = database.and_then(|database| self.id(database).ok());
        let rows = sent
            .iter()
            .map(|(item, revision)| {
                let stored = match (database, id) {
                    (Some(database), Some(id)) => database.outbox_state(id, item, self.started_ms),
                    // It cannot be looked at; that it is still wanted is the safe guess.
                    _ => Ok(Some(RowState { newest: *revision, tries: 0, ours: true })),
                };
                pending.row(item, stored.unwrap_or(Some(RowState { newest: *revision, tries: 0, ours: true })))
            })
            .collect::<Vec<_>>();
        let first = sent.first().map_or("", |(item, _)| item);
        let backlog = match self.backlog.iter().position(|b| b == first) {
            Some(at) => {
                self.backlog.swap_remove(at);
                Backlog::Yes
            }
            None => Backlog::No,
        };
        let (fates, turn) = self.lane.settle(&sent, &rows, &delivered.outcome, backlog, now, spread);
        self.maybe = true;
        if delivered.outcome == Outcome::NotOurs {
            // Nothing was sent, so there is nothing to write down.
            return Vec::new();
        }

        let name = self.destination.name.clone();
        for delivery in &delivered.batch.deliveries {
            if let Some(told) = &delivery.told {
                pending.told.insert((name.clone(), delivery.record_id.clone()), told.clone());
            }
        }
        let mut alarms = Vec::new();
        for ((item, revision), fate) in sent.iter().zip(fates) {
            if let Fate::Park { reason } = &fate {
                log::warn!("{item}: {name} refuses it and it is parked: {reason}");
                alarms.push(Alarm::Parked { name: name.clone(), item: (*item).to_owned(), reason: reason.clone() });
            }
            if let Fate::Raise { revision: above, .. } = &fate {
                log::info!("{item}: {name} has a revision we never sent, going on above it at {above}");
            }
            if let Fate::Overtaken { revision: has } = &fate {
                log::warn!(
                    "{item}: {name} has a younger state, {has}, than this database, which is an old copy; it stays"
                );
            }
            let in_memory = database.is_none() && pending.newest(item).is_some();
            pending.settle(item, *revision, &fate);
            if in_memory {
                if fate == Fate::Delete {
                    log::warn!("{item}: delivered to {name} while it cannot be stored");
                }
            } else {
                pending.fates.push(PendingFate {
                    destination: name.clone(),
                    kind: self.destination.kind,
                    item: (*item).to_owned(),
                    sent: *revision,
                    fate,
                });
            }
        }
        alarms.extend(self.turned(turn, pending, now));
        alarms
    }

    fn turned(&mut self, turn: Turn, pending: &mut Pending, now: Now) -> Option<Alarm> {
        let name = self.destination.name.clone();
        if let (Turn::WentDown { .. } | Turn::StillDown { .. }, Some(down)) = (&turn, self.lane.down()) {
            let wait_ms = i64::try_from(down.until_ms.saturating_sub(now.mono_ms)).unwrap_or(i64::MAX);
            let note = Note::Down {
                since_ms: down.since.wall_ms,
                next_try_ms: now.wall_ms.saturating_add(wait_ms),
                tries: down.tries,
                why: down.why.clone(),
            };
            pending.notes.insert(name.clone(), note);
        }
        match turn {
            Turn::Same => {
                if self.success_noted_ms.is_none_or(|at| now.mono_ms >= at + SUCCESS_NOTED_EVERY_MS) {
                    self.success_noted_ms = Some(now.mono_ms);
                    pending.notes.insert(name, Note::Up);
                }
                None
            }
            Turn::WentDown { why } => {
                log::warn!("{name} takes nothing: {why}. All its records wait; next try in {} ms", self.wait_ms(now));
                Some(Alarm::DestinationDown { name, why })
            }
            Turn::StillDown { why } => {
                log::info!("{name} still takes nothing: {why}. Next try in {} ms", self.wait_ms(now));
                None
            }
            Turn::CameBack { down_for_ms } => {
                log::info!("{name} takes records again after {} s", down_for_ms / 1_000);
                self.success_noted_ms = Some(now.mono_ms);
                pending.notes.insert(name.clone(), Note::Up);
                Some(Alarm::DestinationUp { name, down_for_ms })
            }
        }
    }

    fn wait_ms(&self, now: Now) -> u64 {
        self.lane.down().map_or(0, |down| down.until_ms.saturating_sub(now.mono_ms))
    }

    /// When [`DestinationLane::fill`] may find more without anything having happened; monotonic milliseconds.
    pub fn next_deadline(&self, now: Now) -> Option<u64> {
        let rows_ms = if self.maybe {
            now.mono_ms
        } else {
            let wait_ms = self.wake_ms?.saturating_sub(now.wall_ms).clamp(1, DELAY_MAX_MS);
            now.mono_ms.saturating_add(u64::try_from(wait_ms).unwrap_or(1))
        };
        match self.lane.down() {
            Some(_) => self.lane.next_deadline().map(|probe_ms| probe_ms.max(rows_ms)),
            // Rows and nobody idle: an outcome comes first.
            None if self.maybe => None,
            None => Some(rows_ms),
        }
    }

    fn id(&mut self, database: &Database) -> Result<i64, StoreError> {
        if let Some(id) = self.id {
            return Ok(id);
        }
        let id = database.destination(&self.destination.name)?;
        self.id = Some(id);
        Ok(id)
    }
}
