//! Writing calls and open conversations.

use std::sync::Arc;

use rusqlite::{OptionalExtension, ToSql, params};

use super::{Database, signed, unsigned};
use crate::call::record::{Amendment, Direction, FollowUp, Moment, Status};
use crate::call::{Conversation, Record};
use crate::outbox::last_word;
use crate::store::error::StoreError;
use crate::store::follow_up::{Weight, carry_over, is_to_settle, settles, weigh};
use crate::store::relay::RelayChange;
use crate::store::rows::{AuditRow, RequestRow};

/// One call may settle so many missed ones at most; more of one client within a week is a robot.
const SETTLED_AT_ONCE: i64 = 100;
const DAY_MS: i64 = 86_400_000;

/// Who wrote a record, as its column `amended` has it; only grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Hand {
    /// The core alone.
    Core = 0,
    /// Something was added to what the core said.
    Amended = 1,
    /// It is the last word of the connector that was active before us; see [`crate::outbox::last_word`].
    Theirs = 2,
}

/// When something is written, and by which rules.
#[derive(Clone, Copy, Debug)]
pub struct Writing {
    pub at_ms: i64,
    pub follow_up_days: u32,
}

/// What the stored form of a record says beside its body.
pub(super) struct Stored {
    n: i64,
    pub(super) revision: u64,
    fingerprint: i64,
    pub(super) weighed: i64,
    hand: Hand,
    /// Empty: it belongs to none.
    crm: String,
}

impl Database {
    /// The state to restore after a restart; `None` once it is over.
    ///
    /// # Errors
    /// If the database fails.
    pub fn save_conversation(&self, id: &str, pbx: &str, open: Option<&Conversation>) -> Result<(), StoreError> {
        self.touch(|| RelayChange::Conversation(id.to_owned()));
        let Some(open) = open else {
            self.connection.prepare_cached("DELETE FROM open_conversation WHERE id = ?1")?.execute([id])?;
            return Ok(());
        };
        let state = serde_json::to_vec(open)?;
        self.connection
            .prepare_cached(
                "INSERT INTO open_conversation (id, pbx, state) VALUES (?1, ?2, ?3)
                 ON CONFLICT (id) DO UPDATE SET state = excluded.state",
            )?
            .execute(params![id, pbx, state])?;
        Ok(())
    }

    /// Notes that a conversation is part of another one.
    ///
    /// # Errors
    /// If the database fails.
    pub fn save_joined(&self, id: &str, into: &str, at_ms: i64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO joined (id, into_id, at) VALUES (?1, ?2, ?3)")?
            .execute(params![id, into, at_ms])?;
        self.queue_conversation(id, at_ms)
    }

    /// The same, unless it is known; answers whether it was new.
    ///
    /// # Errors
    /// If the database fails.
    pub fn take_in_joined(&self, id: &str, into: &str, at_ms: i64) -> Result<bool, StoreError> {
        let there = self
            .connection
            .prepare_cached("SELECT 1 FROM joined WHERE id = ?1")?
            .query_row([id], |_| Ok(()))
            .optional()?
            .is_some();
        if !there {
            self.connection
                .prepare_cached("INSERT INTO joined (id, into_id, at) VALUES (?1, ?2, ?3)")?
                .execute(params![id, into, at_ms])?;
        }
        Ok(!there)
    }

    /// Stores the newest revision of a record, queues it for its CRM, and settles what it settles. Its revision is
    /// raised if the stored one is not below it (a receiver made us go above what the core knows). `delivered`: the
    /// revision its CRM took while it could not be stored.
    ///
    /// # Errors
    /// If the database fails.
    pub fn save_record(&self, record: &mut Arc<Record>, delivered: u64, writing: Writing) -> Result<(), StoreError> {
        let stored = self.stored(&record.id)?;
        if let Some(stored) = &stored {
            if stored.hand > Hand::Core
                && let Some(known) = self.record(&record.id)?
            {
                if stored.hand == Hand::Theirs && last_word::stands(&known, record) {
                    return Ok(());
                }
                carry_over(&known, Arc::make_mut(record));
            }
            if record.revision <= stored.revision {
                Arc::make_mut(record).revision = stored.revision + 1;
            }
        }
        let first_missed = is_to_settle(record) && record.follow_up == Some(FollowUp::Open);
        if first_missed && let Some((call, direction, at)) = self.reached_since(record, writing)? {
            // The client was reached while this conversation was still going on elsewhere.
            let follow_up =
                if direction == Direction::Incoming { FollowUp::ClientGotThrough } else { FollowUp::CalledBack };
            Arc::make_mut(record).amend(&Amendment::FollowUp { follow_up, call: Some(call), at }, writing.at_ms);
        }
        let weight = weigh(record);
        let weighed_before = stored.as_ref().map_or(0, |s| s.weighed);
        self.write(record, stored.as_ref(), weighed_before.max(weight as i64), Hand::Core)?;
        if let Some(before) = stored.as_ref().map(|s| s.crm.as_str()).filter(|crm| !crm.is_empty())
            && record.crm.as_deref() != Some(before)
        {
            // Only later was it known whose call this is: who has it by mistake is told to drop it.
            self.queue(Some(before), &record.id, record.revision, writing.at_ms)?;
        }
        if delivered < record.revision {
            self.queue(record.crm.as_deref(), &record.id, record.revision, writing.at_ms)?;
        } else if let Some(crm) = &record.crm {
            self.delivered(self.destination(crm)?, &record.id, delivered)?;
        }
        self.queue_conversation(&record.conversation, writing.at_ms)?;
        if weight as i64 > weighed_before {
            self.settle_missed(record, weight, writing)?;
        }
        Ok(())
    }

    /// Changes a stored record and queues it again. Answers it as it is now, or `None` if nothing changed or there is no
    /// such record.
    ///
    /// # Errors
    /// If the database fails.
    pub fn amend(&self, id: &str, amendment: &Amendment, at_ms: i64) -> Result<Option<Record>, StoreError> {
        let Some(stored) = self.stored(id)? else { return Ok(None) };
        let Some(mut record) = self.record(id)? else { return Ok(None) };
        if !record.amend(amendment, at_ms) {
            return Ok(None);
        }
        self.write(&record, Some(&stored), stored.weighed, Hand::Amended)?;
        self.queue(record.crm.as_deref(), id, record.revision, at_ms)?;
        self.queue_conversation(&record.conversation, at_ms)?;
        Ok(Some(record))
    }

    /// Gives a stored record a revision the receiver has to accept; answers whether there is such a record.
    ///
    /// # Errors
    /// If the database fails.
    pub fn raise(&self, id: &str, revision: u64) -> Result<bool, StoreError> {
        let Some(stored) = self.stored(id)? else { return Ok(false) };
        let Some(mut record) = self.record(id)? else { return Ok(false) };
        record.revision = revision.max(stored.revision);
        self.write(&record, Some(&stored), stored.weighed, stored.hand)?;
        Ok(true)
    }

    /// One record by id.
    ///
    /// # Errors
    /// If the database fails.
    pub fn record(&self, id: &str) -> Result<Option<Record>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT body FROM record WHERE id = ?1")?;
        let mut rows = statement.query([id])?;
        match rows.next()? {
            Some(row) => {
                let body = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
                Ok(Some(serde_json::from_str(body)?))
            }
            None => Ok(None),
        }
    }

    pub(super) fn stored(&self, id: &str) -> Result<Option<Stored>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT n, revision, fingerprint, weighed, amended, crm FROM record WHERE id = ?1")?;
        let stored = statement
            .query_row([id], |row| {
                Ok(Stored {
                    n: row.get(0)?,
                    revision: unsigned(row.get(1)?),
                    fingerprint: row.get(2)?,
                    weighed: row.get(3)?,
                    hand: match row.get(4)? {
                        0_i64 => Hand::Core,
                        1 => Hand::Amended,
                        _ => Hand::Theirs,
                    },
                    crm: row.get(5)?,
                })
            })
            .optional()?;
        Ok(stored)
    }

    pub(super) fn write(
        &self,
        record: &Record,
        stored: Option<&Stored>,
        weighed: i64,
        hand: Hand,
    ) -> Result<(), StoreError> {
        let amended = hand as i64;
        let body = serde_json::to_string(record)?;
        let fingerprint = fingerprint(record);
        let revision = signed(record.revision);
        if let Some(stored) = stored.filter(|s| s.fingerprint == fingerprint) {
            self.connection
                .prepare_cached(
                    "UPDATE record SET revision = ?2, body = ?3, weighed = ?4, amended = max(amended, ?5) WHERE n = ?1",
                )?
                .execute(params![stored.n, revision, body, weighed, amended])?;
            return Ok(());
        }
        let missed = record.lead && record.status == Status::Missed;
        let open = record.ended_at.is_none() && !record.status.is_final();
        let crm = record.crm.as_deref().unwrap_or_default();
        let n = match stored {
            Some(stored) => {
                self.connection
                    .prepare_cached(
                        "UPDATE record SET revision = ?2, body = ?3, weighed = ?4, amended = max(amended, ?5), pbx = ?6, crm = ?7,
                             lead = ?8, fingerprint = ?9
                         WHERE n = ?1",
                    )?
                    .execute(params![
                        stored.n,
                        revision,
                        body,
                        weighed,
                        amended,
                        record.pbx,
                        crm,
                        record.lead,
                        fingerprint
                    ])?;
                // SQLite writes every index anew whose column is named, whether it changes or not. What a step of a call changes
                // is one of these at most.
                let indexed: [(&str, &dyn ToSql); 4] = [
                    (
                        "UPDATE record SET conversation = ?2 WHERE n = ?1 AND conversation IS NOT ?2",
                        &record.conversation,
                    ),
                    ("UPDATE record SET started_at = ?2 WHERE n = ?1 AND started_at IS NOT ?2", &record.started_at.0),
                    ("UPDATE record SET extension = ?2 WHERE n = ?1 AND extension IS NOT ?2", &record.extension),
                    (
                        "UPDATE record SET client = ?2 WHERE n = ?1 AND client IS NOT ?2",
                        &record.client_number_normalized,
                    ),
                ];
                for (update, value) in indexed {
                    self.connection.prepare_cached(update)?.execute(params![stored.n, value])?;
                }
                self.connection
                    .prepare_cached(
                        "UPDATE record SET open = ?2, missed = ?3, to_settle = ?4
                         WHERE n = ?1 AND (open IS NOT ?2 OR missed IS NOT ?3 OR to_settle IS NOT ?4)",
                    )?
                    .execute(params![stored.n, open, missed, is_to_settle(record)])?;
                stored.n
            }
            None => self
                .connection
                .prepare_cached(
                    "INSERT INTO record (id, revision, body, weighed, amended, conversation, pbx, crm, started_at,
                         extension, client, open, lead, missed, to_settle, fingerprint)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
                )?
                .insert(params![
                    record.id,
                    revision,
                    body,
                    weighed,
                    amended,
                    record.conversation,
                    record.pbx,
                    crm,
                    record.started_at.0,
                    record.extension,
                    record.client_number_normalized,
                    open,
                    record.lead,
                    missed,
                    is_to_settle(record),
                    fingerprint
                ])?,
        };
        if stored.is_some() {
            self.connection.prepare_cached("DELETE FROM recording WHERE record = ?1")?.execute([n])?;
        }
        for recording in &record.recordings {
            self.connection
                .prepare_cached("INSERT OR IGNORE INTO recording (id, record) VALUES (?1, ?2)")?
                .execute(params![recording.id, n])?;
        }
        Ok(())
    }

    /// A finished call settles the missed ones of its client that began before it.
    fn settle_missed(&self, record: &Record, weight: Weight, writing: Writing) -> Result<(), StoreError> {
        let (Some(client), Some(follow_up)) = (&record.client_number_normalized, settles(record, weight)) else {
            return Ok(());
        };
        let at = record.answered_at.unwrap_or(record.started_at);
        let oldest_ms = at.0.saturating_sub(i64::from(writing.follow_up_days) * DAY_MS);
        let mut statement = self.connection.prepare_cached(
            "SELECT id FROM record
             WHERE to_settle = 1 AND client = ?1 AND crm = ?2 AND started_at BETWEEN ?3 AND ?4 LIMIT ?5",
        )?;
        let crm = record.crm.as_deref().unwrap_or_default();
        let missed = statement
            .query_map(params![client, crm, oldest_ms, at.0, SETTLED_AT_ONCE], |row| row.get::<_, String>(0))?
            .collect::<Result<Vec<_>, _>>()?;
        for id in missed.iter().filter(|id| **id != record.id) {
            let amendment = Amendment::FollowUp { follow_up, call: Some(record.id.clone()), at };
            self.amend(id, &amendment, writing.at_ms)?;
        }
        Ok(())
    }

    /// The first call in which this missed client was reached since: his missed conversation was still going on then, or
    /// is filled in afterwards.
    fn reached_since(
        &self,
        missed: &Record,
        writing: Writing,
    ) -> Result<Option<(String, Direction, Moment)>, StoreError> {
        let Some(client) = &missed.client_number_normalized else { return Ok(None) };
        let mut statement = self.connection.prepare_cached(
            "SELECT body FROM record
             WHERE client = ?1 AND started_at BETWEEN ?2 AND ?3 AND crm = ?4 AND weighed = 2 ORDER BY started_at LIMIT 1",
        )?;
        let crm = missed.crm.as_deref().unwrap_or_default();
        let from = missed.started_at.0;
        let to = from.saturating_add(i64::from(writing.follow_up_days) * DAY_MS);
        let mut rows = statement.query(params![client, from, to, crm])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let reached: Record = serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?;
        let at = reached.answered_at.unwrap_or(reached.started_at);
        Ok(Some((reached.id, reached.direction, at)))
    }

    /// # Errors
    /// If the database fails.
    pub fn save_request(&self, row: &RequestRow) -> Result<(), StoreError> {
        // The first answer stands.
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO request (crm, request, answer, at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![row.crm, row.request, row.answer, row.at_ms])?;
        Ok(())
    }

    /// # Errors
    /// If the database fails.
    pub fn save_audit(&self, row: &AuditRow) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO audit (at, crm, user, request, caller, called, outcome, peer)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![row.at_ms, row.crm, row.user, row.request, row.from, row.to, row.outcome, row.peer])?;
        Ok(())
    }

    /// # Errors
    /// If the database fails.
    pub fn save_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        if value.is_empty() {
            self.connection.prepare_cached("DELETE FROM setting WHERE key = ?1")?.execute([key])?;
            return Ok(());
        }
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO setting (key, value) VALUES (?1, ?2)")?
            .execute([key, value])?;
        Ok(())
    }
}

/// FNV-1a over everything that has an index of its own, so that an update that changes none of it touches none of them.
fn fingerprint(record: &Record) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        // A border, so that two fields cannot be mistaken for one.
        hash = (hash ^ 0xff).wrapping_mul(0x100_0000_01b3);
    };
    add(record.conversation.as_bytes());
    add(record.pbx.as_bytes());
    for text in [&record.crm, &record.extension, &record.client_number_normalized] {
        add(&[u8::from(text.is_some())]);
        add(text.as_deref().unwrap_or_default().as_bytes());
    }
    add(&record.started_at.0.to_le_bytes());
    add(&[
        record.status as u8,
        u8::from(record.lead),
        u8::from(record.ended_at.is_some()),
        u8::from(is_to_settle(record)),
    ]);
    for recording in &record.recordings {
        add(recording.id.as_bytes());
    }
    hash.cast_signed()
}
