//! What the keeper has taken in and not yet committed: of every conversation and record the newest state only.
//!
//! Usually this lives for the milliseconds of one commit. While the database fails it is all there is, so it has a bound,
//! and knows which records their CRM already has.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::call::record::Amendment;
use crate::call::{Change, Conversation, Record};
use crate::outbox::Delivery;
use crate::outbox::policy::{Fate, Lane, RowState};
use crate::store::rows::{AuditRow, DestinationKind, RequestRow};

/// The newest state of a conversation.
pub struct PendingConversation {
    pub pbx: String,
    pub open: Option<Box<Conversation>>,
    pub joined_into: Option<String>,
}

/// The newest state of a record.
pub struct PendingRecord {
    pub record: Arc<Record>,
    pub changed_at_ms: i64,
    /// What its CRM has already taken of it; 0 if nothing.
    pub delivered: u64,
}

/// What became of one delivered row.
pub struct PendingFate {
    pub destination: String,
    pub kind: DestinationKind,
    pub item: String,
    pub sent: u64,
    pub fate: Fate,
}

/// How a destination fares, to be noted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    Up,
    Down { since_ms: i64, next_try_ms: i64, tries: u32, why: String },
}

/// See the module.
#[derive(Default)]
pub struct Pending {
    pub conversations: HashMap<String, PendingConversation>,
    /// By number of arrival, so that the oldest is found when there is no room.
    pub records: BTreeMap<u64, PendingRecord>,
    numbers: HashMap<String, u64>,
    /// Numbers of records their CRM has not taken in their newest revision, by CRM. Used only while the database fails.
    unsent: HashMap<String, BTreeSet<u64>>,
    pub amendments: VecDeque<(String, Amendment, i64)>,
    pub requests: VecDeque<RequestRow>,
    pub audits: VecDeque<AuditRow>,
    pub settings: BTreeMap<String, String>,
    pub fates: Vec<PendingFate>,
    /// What destinations have been told of items, by both names.
    pub told: HashMap<(String, String), Box<str>>,
    pub notes: HashMap<String, Note>,
    next: u64,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        !self.is_more_than_fates() && self.is_without_fates()
    }

    /// Something is in it that must not be lost, whatever happens.
    pub fn is_more_than_fates(&self) -> bool {
        !(self.conversations.is_empty() && self.is_without_facts())
    }

    /// States of conversations that go on, and nothing else.
    pub fn is_open_conversations_only(&self) -> bool {
        !self.conversations.is_empty()
            && self.conversations.values().all(|c| c.open.is_some() && c.joined_into.is_none())
            && self.is_without_facts()
            && self.is_without_fates()
    }

    /// No record, and nothing else to be kept but conversations.
    fn is_without_facts(&self) -> bool {
        self.records.is_empty()
            && self.amendments.is_empty()
            && self.requests.is_empty()
            && self.audits.is_empty()
            && self.settings.is_empty()
    }

    /// Nothing of how deliveries and destinations fare.
    fn is_without_fates(&self) -> bool {
        self.fates.is_empty() && self.told.is_empty() && self.notes.is_empty()
    }

    pub fn add_change(&mut self, change: Change, at_ms: i64) {
        let Change { conversation, pbx, open, joined_into, records } = change;
        // Joined is joined, whatever is still said of it before the commit.
        let joined_into = joined_into.or_else(|| self.conversations.remove(&conversation)?.joined_into);
        self.conversations.insert(conversation, PendingConversation { pbx, open, joined_into });
        for record in records {
            self.add_record(record, at_ms);
        }
    }

    fn add_record(&mut self, record: Arc<Record>, at_ms: i64) {
        let number = match self.numbers.get(&record.id) {
            Some(number) => *number,
            None => {
                self.next += 1;
                self.numbers.insert(record.id.clone(), self.next);
                self.next
            }
        };
        if let Some(crm) = &record.crm {
            match self.unsent.get_mut(crm) {
                Some(numbers) => {
                    numbers.insert(number);
                }
                None => {
                    self.unsent.insert(crm.clone(), BTreeSet::from([number]));
                }
            }
        }
        match self.records.get_mut(&number) {
            Some(known) => {
                if known.record.crm != record.crm
                    && let Some(numbers) = known.record.crm.as_ref().and_then(|crm| self.unsent.get_mut(crm))
                {
                    // Whose call it is was only known later; the one before must not get it now.
                    numbers.remove(&number);
                }
                let mut record = record;
                // A receiver may have made us go above what the core knows.
                if record.revision <= known.record.revision {
                    Arc::make_mut(&mut record).revision = known.record.revision + 1;
                }
                known.record = record;
                known.changed_at_ms = at_ms;
            }
            None => {
                self.records.insert(number, PendingRecord { record, changed_at_ms: at_ms, delivered: 0 });
            }
        }
    }

    /// Keeps at most `max` of everything; answers how many records (and amendments of records) were lost for it. What the
    /// CRM has is given up first.
    pub fn shrink(&mut self, max: usize) -> u64 {
        let mut lost = 0;
        if self.records.len() > max {
            let surplus = self.records.len() - max;
            let taken = self.records.iter().filter(|(_, r)| r.delivered >= r.record.revision).map(|(n, _)| *n);
            let mut victims = taken.take(surplus).collect::<Vec<_>>();
            let missing = surplus - victims.len();
            victims.extend(
                self.records.keys().filter(|n| !victims.contains(n)).take(missing).copied().collect::<Vec<_>>(),
            );
            for number in victims {
                self.forget_record(number);
                lost += 1;
            }
        }
        while self.amendments.len() > max {
            self.amendments.pop_front();
            lost += 1;
        }
        while self.audits.len() > max {
            self.audits.pop_front();
        }
        while self.requests.len() > max {
            self.requests.pop_front();
        }
        if self.told.len() > max {
            // What was told of records that are kept; the others are gone themselves.
            self.told.retain(|(_, item), _| self.numbers.contains_key(item));
        }
        if self.fates.len() > max {
            // Their rows stay, and they are sent once more.
            self.fates.drain(..self.fates.len() - max);
        }
        if self.conversations.len() > max {
            // Those that are over: at worst they are restored once more, and found to have ended.
            let surplus = self.conversations.len() - max;
            let over = self.conversations.iter().filter(|(_, c)| c.open.is_none()).map(|(id, _)| id.clone());
            for id in over.take(surplus).collect::<Vec<_>>() {
                self.conversations.remove(&id);
            }
        }
        lost
    }

    fn forget_record(&mut self, number: u64) {
        if let Some(gone) = self.records.remove(&number) {
            self.numbers.remove(&gone.record.id);
            if let Some(numbers) = gone.record.crm.as_ref().and_then(|crm| self.unsent.get_mut(crm)) {
                numbers.remove(&number);
            }
        }
    }

    /// What is known here of a row, beside what the database knows.
    pub fn newest(&self, item: &str) -> Option<u64> {
        self.record(item).map(|r| r.record.revision)
    }

    fn record(&self, item: &str) -> Option<&PendingRecord> {
        self.numbers.get(item).and_then(|n| self.records.get(n))
    }

    /// Up to `max` records of this CRM that it has not got, oldest first, straight from memory.
    pub fn unsent(&self, crm: &str, lane: &Lane, max: usize) -> Vec<Delivery> {
        let numbers = self.unsent.get(crm).into_iter().flatten();
        let free = numbers.filter_map(|n| self.records.get(n)).filter(|r| !lane.holds(&r.record.id));
        free.take(max).filter_map(delivery).collect()
    }

    /// One of them.
    pub fn unsent_one(&self, item: &str) -> Option<Delivery> {
        self.record(item).filter(|r| r.delivered < r.record.revision).and_then(delivery)
    }

    /// What became of a record that was delivered from memory.
    pub fn settle(&mut self, item: &str, sent: u64, fate: &Fate) {
        let Some(number) = self.numbers.get(item).copied() else { return };
        let Some(pending) = self.records.get_mut(&number) else { return };
        let done = match fate {
            Fate::Delete => {
                pending.delivered = pending.delivered.max(sent);
                pending.delivered >= pending.record.revision
            }
            Fate::Raise { revision, .. } => {
                if *revision > pending.record.revision {
                    Arc::make_mut(&mut pending.record).revision = *revision;
                }
                false
            }
            // Parked: it is stored as waiting, and sent once more when that is possible.
            Fate::Park { .. } => pending.record.revision <= sent,
            Fate::SendNewer | Fate::Overtaken { .. } | Fate::Delay { .. } | Fate::Wait { .. } | Fate::Held => false,
        };
        if done && let Some(numbers) = pending.record.crm.as_ref().and_then(|crm| self.unsent.get_mut(crm)) {
            numbers.remove(&number);
        }
    }

    /// The row a record in memory would have.
    pub fn row(&self, item: &str, stored: Option<RowState>) -> Option<RowState> {
        match (self.newest(item), stored) {
            (Some(newest), Some(stored)) => Some(RowState { newest: newest.max(stored.newest), ours: true, ..stored }),
            (Some(newest), None) => Some(RowState { newest, tries: 0, ours: true }),
            (None, stored) => stored,
        }
    }
}

fn delivery(pending: &PendingRecord) -> Option<Delivery> {
    Some(Delivery {
        record_id: pending.record.id.clone(),
        revision: pending.record.revision,
        body: serde_json::to_string(&*pending.record).ok()?.into(),
        changed_at_ms: pending.changed_at_ms,
        told: None,
    })
}
