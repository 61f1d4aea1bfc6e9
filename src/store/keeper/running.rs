//! The loop of the keeper thread: take in, commit, release, hand out; and what it does when idle or when the disk fails.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, never, select};

use super::committing::{Written, commit};
use super::lanes::{DestinationLane, Rows};
use super::pending::Pending;
use super::upkeep::Upkeep;
use super::{Alarm, Destination, DestinationKind, Input, Item, Order, Plan, Save};
use crate::call::record::Amendment;
use crate::call::record::Moment;
use crate::clock::Now;
use crate::outbox::Delivered;
use crate::outbox::policy::Spread;
use crate::store::error::StoreError;
use crate::store::lock::Lock;
use crate::store::relay::Relay;
use crate::store::settings::Settings;
use crate::store::sqlite::Database;
use crate::store::sqlite::history::Writing;
use crate::store::sqlite::schema::Patience;

/// Inputs that arrived while a commit was under way and go into the next one.
const GROUP_MAX: usize = 256;
/// How long the work of one commit may take, by what the last one took.
const GROUP_WORK_MS: u64 = 50;
/// How long a state of an open conversation waits for company, if nothing else hangs on it: no record, nobody who is to be told
/// once it is stored. A call's steps through the dialplan come in bursts of milliseconds; a restart finds what it did not read
/// here by asking Asterisk.
const COMPANY_MS: u64 = 50;
/// How often a commit is tried while the database fails.
const RETRY_MS: u64 = 1_000;
/// Since when the database fails and what that cost.
struct Failing {
    since_ms: u64,
    retry_ms: u64,
    lost: u64,
    losing_said: bool,
}

pub struct Running<R> {
    database: Database,
    _lock: Lock,
    settings: Settings,
    follow_up_days: u32,
    release: Box<dyn FnMut(R) + Send>,
    alarms: Sender<Alarm>,
    clock: fn() -> Now,
    spread: Spread,
    stop_grace_ms: u64,
    /// Wall clock.
    started_ms: i64,
    lanes: Vec<DestinationLane>,
    /// Another connector delivers.
    withheld: bool,
    /// Who is told what changed, where another connector follows.
    relay: Option<Relay>,
    pending: Pending,
    /// Since what is pending waits for company: until when.
    company_until_ms: Option<u64>,
    released: Vec<R>,
    failing: Option<Failing>,
    upkeep: Upkeep,
    /// Inputs of one commit, so that its work stays within bounds on a slow disk or processor.
    group_max: usize,
}

impl<R> Running<R> {
    pub fn new(database: Database, lock: Lock, settings: Settings, plan: Plan<R>) -> Self {
        let now = (plan.clock)();
        Self {
            database,
            _lock: lock,
            settings,
            follow_up_days: plan.follow_up_days,
            release: plan.release,
            alarms: plan.alarms,
            clock: plan.clock,
            spread: Spread::new(plan.seed),
            stop_grace_ms: plan.stop_grace_ms,
            started_ms: now.wall_ms,
            lanes: plan.destinations.into_iter().map(|to| DestinationLane::new(to, now.wall_ms)).collect(),
            withheld: false,
            relay: None,
            pending: Pending::default(),
            company_until_ms: None,
            released: Vec::new(),
            failing: None,
            upkeep: Upkeep::new(now),
            group_max: GROUP_MAX,
        }
    }

    pub fn run(mut self, inputs: &Receiver<Input<R>>, outcomes: Receiver<Delivered>) {
        // Without a sender left there is nobody to report, nor anything to wait for at the end.
        let (mut outcomes, mut reporting) = (outcomes, true);
        // The daemon names them a moment later: who is not named yet is not gone.
        if !self.lanes.is_empty() {
            self.meet_destinations();
        }
        self.fill();
        loop {
            let wait = Duration::from_millis(self.wait_ms());
            let mut orders = Vec::new();
            select! {
                recv(inputs) -> input => match input {
                    Ok(input) => self.take(input, &mut orders),
                    Err(_) => break,
                },
                recv(outcomes) -> delivered => match delivered {
                    Ok(delivered) => self.settle(&delivered),
                    Err(_) => (outcomes, reporting) = (never(), false),
                },
                // Woken for what waited for company: that is no idleness.
                default(wait) => if self.company_until_ms.is_none() {
                    self.idle();
                },
            }
            self.gather(inputs, &outcomes, &mut orders);
            if !orders.is_empty() || !self.may_wait() {
                self.commit();
            }
            for order in orders {
                self.carry_out(order);
            }
            self.fill();
        }
        self.stop(reporting.then_some(&outcomes));
    }

    /// Takes what arrived meanwhile: a group for one commit.
    fn gather(&mut self, inputs: &Receiver<Input<R>>, outcomes: &Receiver<Delivered>, orders: &mut Vec<Order>) {
        for _ in 1..self.group_max {
            match inputs.try_recv() {
                Ok(input) => self.take(input, orders),
                // Disconnected is met, and acted upon, by the next wait.
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        // At most as many as there are senders.
        while let Ok(delivered) = outcomes.try_recv() {
            self.settle(&delivered);
        }
    }

    fn take(&mut self, input: Input<R>, orders: &mut Vec<Order>) {
        match input {
            Input::Save(Save { items, release }) => {
                let at_ms = (self.clock)().wall_ms;
                for item in items {
                    self.take_item(item, at_ms);
                }
                self.released.extend(release);
            }
            Input::Destinations(destinations) => self.replace_destinations(destinations),
            Input::Deliver(ours) => {
                self.withheld = !ours;
                self.lanes.iter_mut().for_each(|lane| lane.withhold(!ours));
            }
            Input::Relay(relay) => {
                self.database.note_changes();
                self.relay = Some(relay);
            }
            Input::Reloaded { settings, follow_up_days } => {
                let (path, kind) = (self.settings.path.clone(), self.settings.kind);
                self.settings = Settings { path, kind, ..settings };
                self.follow_up_days = follow_up_days;
                self.try_all_now();
            }
            Input::Order(order) => orders.push(order),
        }
    }

    fn take_item(&mut self, item: Item, at_ms: i64) {
        match item {
            Item::Change(change) => self.pending.add_change(*change, at_ms),
            Item::Amend { record_id, amendment } => self.pending.amendments.push_back((record_id, amendment, at_ms)),
            Item::Request(row) => self.pending.requests.push_back(row),
            Item::Audit(row) => self.pending.audits.push_back(row),
            Item::Setting { key, value } => {
                self.pending.settings.insert(key, value);
            }
        }
    }

    fn replace_destinations(&mut self, destinations: Vec<Destination>) {
        let mut old = std::mem::take(&mut self.lanes);
        for destination in destinations {
            let known = old.iter().position(|lane| lane.destination.name == destination.name);
            self.lanes.push(match known {
                Some(at) => {
                    let mut lane = old.swap_remove(at);
                    lane.replace(destination);
                    lane
                }
                None => DestinationLane::new(destination, self.started_ms),
            });
        }
        let withheld = self.withheld;
        self.lanes.iter_mut().for_each(|lane| lane.withhold(withheld));
        self.meet_destinations();
    }

    fn meet_destinations(&self) {
        let histories = self.lanes.iter().filter(|lane| lane.destination.kind == DestinationKind::History);
        let histories = histories.map(|lane| lane.destination.name.clone()).collect();
        if let Err(error) = self.database.feed_histories(histories, (self.clock)().wall_ms) {
            log::error!("the second history is fed only after a restart: {error}");
        }
        match self.database.destinations_with_rows() {
            Ok(names) => {
                for name in names.iter().filter(|name| self.lanes.iter().all(|l| l.destination.name != **name)) {
                    log::warn!(
                        "records wait for {name}, but no [[crm]] (nor [store] kind) of that name is configured; they stay in \
                         the outbox"
                    );
                }
            }
            Err(error) => log::warn!("the outbox could not be looked through: {error}"),
        }
    }

    fn settle(&mut self, delivered: &Delivered) {
        let now = (self.clock)();
        let database = if self.failing.is_none() { Some(&self.database) } else { None };
        // A destination that is gone after a reload: its rows stay as they are and are sent again if it returns.
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.destination.name == delivered.batch.crm) else {
            return;
        };
        for alarm in lane.settle(delivered, database, &mut self.pending, now, &mut self.spread) {
            let _ = self.alarms.try_send(alarm);
        }
    }

    /// Nothing is pending but what may wait for company.
    fn may_wait(&mut self) -> bool {
        if self.failing.is_some() || !self.released.is_empty() || !self.pending.is_open_conversations_only() {
            return false;
        }
        let now_ms = (self.clock)().mono_ms;
        now_ms < *self.company_until_ms.get_or_insert(now_ms + COMPANY_MS)
    }

    /// Commits what is pending, if there is any and the database is believed to work, and lets go of what waited for it.
    fn commit(&mut self) {
        self.company_until_ms = None;
        let now = (self.clock)();
        let may_try = self.failing.as_ref().is_none_or(|failing| now.mono_ms >= failing.retry_ms);
        // While failing, an empty commit still tells whether the disk is back.
        if may_try && (!self.pending.is_empty() || self.failing.is_some()) {
            let inputs = self.pending.conversations.len() + self.pending.records.len() + self.pending.fates.len();
            let writing = Writing { at_ms: now.wall_ms, follow_up_days: self.follow_up_days };
            match commit(&self.database, &mut self.pending, writing, self.clock) {
                Ok(written) => self.committed(now, inputs, &written),
                Err(error) => self.failed(now, &error),
            }
        }
        if self.failing.is_some() {
            self.keep_within_bounds();
        }
        for released in self.released.drain(..) {
            (self.release)(released);
        }
    }

    fn committed(&mut self, began: Now, changes: usize, written: &Written) {
        let now = (self.clock)();
        self.pending = Pending::default();
        self.lanes.iter_mut().for_each(DestinationLane::look_again);
        self.tell_follower();
        self.upkeep.committed(now);
        // The disk's part does not count: on a slow one fewer and larger commits are what helps.
        let worked_ms = written.worked_until.mono_ms.saturating_sub(began.mono_ms);
        if worked_ms > GROUP_WORK_MS {
            self.group_max = (self.group_max / 2).max(1);
        } else if worked_ms < GROUP_WORK_MS / 2 {
            self.group_max = (self.group_max * 2).min(GROUP_MAX);
        }
        if let Some(failing) = self.failing.take() {
            self.database.be_patient(Patience::Usual);
            let failed_for_ms = now.mono_ms.saturating_sub(failing.since_ms);
            let lost = failing.lost + written.unstorable;
            log::warn!(
                "the database can be written again after {} s: {changes} changes stored, {lost} records lost to the history",
                failed_for_ms / 1_000
            );
            let _ = self.alarms.try_send(Alarm::StoreWorks { failed_for_ms, lost });
        }
    }

    /// Says what the last commit changed.
    fn tell_follower(&self) {
        if let Some(relay) = &self.relay {
            relay.tell(self.database.changed());
        }
    }

    fn failed(&mut self, now: Now, error: &StoreError) {
        let retry_ms = now.mono_ms + RETRY_MS;
        if let Some(failing) = &mut self.failing {
            failing.retry_ms = retry_ms;
            return;
        }
        log::error!(
            "the database cannot be written: {error}. Calls go on and are delivered from memory; tried again every second"
        );
        self.database.be_patient(Patience::Failing);
        self.failing = Some(Failing { since_ms: now.mono_ms, retry_ms, lost: 0, losing_said: false });
        let disk_full = matches!(error, StoreError::Failing { disk_full: true, .. });
        let _ = self.alarms.try_send(Alarm::StoreFailing { why: error.to_string(), disk_full });
        self.lanes.iter_mut().for_each(DestinationLane::look_again);
    }

    fn keep_within_bounds(&mut self) {
        let lost = self.pending.shrink(self.settings.unsaved_max.max(1));
        let Some(failing) = self.failing.as_mut().filter(|_| lost > 0) else { return };
        failing.lost += lost;
        if !failing.losing_said {
            failing.losing_said = true;
            log::error!("more is unsaved than memory is given: the oldest records are now lost to the history");
            let _ = self.alarms.try_send(Alarm::StoreLosing { lost: failing.lost });
        }
    }

    /// Hands batches to idle senders.
    fn fill(&mut self) {
        let now = (self.clock)();
        let failing = self.failing.is_some();
        for lane in &mut self.lanes {
            if failing {
                lane.look_again();
            }
            let rows =
                if failing { Rows::Unstored(&self.database, &self.pending) } else { Rows::Stored(&self.database) };
            if let Err(error) = lane.fill(rows, now) {
                log::error!("{}: the outbox cannot be read: {error}", lane.destination.name);
                lane.rest(now);
            }
        }
    }

    /// Somebody repaired something: whoever is down is tried at once.
    fn try_all_now(&mut self) {
        let now = (self.clock)();
        for lane in &mut self.lanes {
            lane.lane.try_now(now);
            lane.look_again();
        }
    }

    fn carry_out(&mut self, order: Order) {
        let at_ms = (self.clock)().wall_ms;
        let database = &self.database;
        match order {
            Order::Retry { rows, answer } => {
                let done = database.transaction(|| database.retry(&rows));
                self.try_all_now();
                let _ = answer.try_send(done);
            }
            Order::Drop { rows, answer } => {
                let _ = answer.try_send(database.transaction(|| database.drop_rows(&rows)));
            }
            Order::Inherit { inheritance, answer } => {
                let _ = answer.try_send(database.inherit(*inheritance, at_ms));
            }
            Order::Forget { number, answer } => {
                let _ = answer.try_send(database.forget(&number, at_ms));
            }
            Order::Found { calls, answer } => {
                let writing = Writing { at_ms, follow_up_days: self.follow_up_days };
                let _ = answer.try_send(database.save_found(&calls, writing));
            }
            Order::FollowUp { record_id, follow_up, answer } => {
                let amendment = Amendment::FollowUp { follow_up, call: None, at: Moment(at_ms) };
                let done = database.transaction(|| database.amend(&record_id, &amendment, at_ms));
                let _ = answer.try_send(done.map(|record| record.is_some()));
            }
        }
        self.tell_follower();
        self.lanes.iter_mut().for_each(DestinationLane::look_again);
    }

    /// Nothing came for a while.
    fn idle(&mut self) {
        if self.failing.is_some() {
            return;
        }
        let now = (self.clock)();
        if let Some(alarm) = self.upkeep.work(&self.database, &self.settings, &mut self.lanes, now) {
            let _ = self.alarms.try_send(alarm);
        }
    }

    /// How long nothing has to be done by itself.
    fn wait_ms(&mut self) -> u64 {
        let now = (self.clock)();
        if self.upkeep.is_overdue(now) {
            // Never idle: upkeep takes its turn among the rest.
            self.idle();
        }
        let mut next_ms = match &self.failing {
            Some(failing) => failing.retry_ms,
            None => self.upkeep.next_ms(),
        };
        for lane in &self.lanes {
            next_ms = lane.next_deadline(now).map_or(next_ms, |at| next_ms.min(at));
        }
        next_ms = self.company_until_ms.map_or(next_ms, |at| next_ms.min(at));
        next_ms.saturating_sub(now.mono_ms)
    }

    /// Everybody who had something to store is gone: what is under way may still come back, then the database is closed.
    fn stop(mut self, outcomes: Option<&Receiver<Delivered>>) {
        self.commit();
        let until_ms = (self.clock)().mono_ms + self.stop_grace_ms;
        let mut under_way = 0;
        for lane in &mut self.lanes {
            under_way += lane.lane.batches();
            // The senders end when they have reported.
            lane.close();
        }
        while let Some(outcomes) = outcomes.filter(|_| under_way > 0) {
            let left_ms = until_ms.saturating_sub((self.clock)().mono_ms);
            let Ok(delivered) = outcomes.recv_timeout(Duration::from_millis(left_ms)) else { break };
            self.settle(&delivered);
            under_way -= 1;
        }
        if let Some(failing) = &mut self.failing {
            failing.retry_ms = 0;
        }
        self.commit();
        if self.failing.is_some() {
            log::error!(
                "stopping while the database cannot be written: {} records and {} open conversations are not stored",
                self.pending.records.len(),
                self.pending.conversations.len()
            );
            return;
        }
        if let Err(error) = self.database.restored_well().and_then(|()| self.database.checkpoint_fully()) {
            log::warn!("the database was left with its log beside it: {error}");
        }
    }
}
