//! The rows of the outbox: what must still reach whom. Whole conversations, for a second history, are in
//! [`super::conversations`].

use rusqlite::{OptionalExtension, Row, params};

use super::{Database, signed, unsigned};
use crate::outbox::Delivery;
use crate::outbox::policy::{Fate, LIVE_MS, Lane, RowState};
use crate::store::error::StoreError;
use crate::store::relay::RelayChange;
use crate::store::rows::{DestinationKind, Rows};

/// Which end of those that wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Newest,
    Oldest,
}

impl Database {
    /// The id of a destination; makes one for a new name.
    ///
    /// # Errors
    /// If the database fails.
    pub fn destination(&self, name: &str) -> Result<i64, StoreError> {
        if let Some(id) = self.destinations.borrow().get(name) {
            return Ok(*id);
        }
        self.connection
            .prepare_cached("INSERT INTO destination (name) VALUES (?1) ON CONFLICT (name) DO NOTHING")?
            .execute([name])?;
        let id = self
            .connection
            .prepare_cached("SELECT id FROM destination WHERE name = ?1")?
            .query_row([name], |row| row.get(0))?;
        self.destinations.borrow_mut().insert(name.to_owned(), id);
        Ok(id)
    }

    /// Queues the newest revision of a record for its CRM, if it has one. What was parked or delayed is ready again: the
    /// record has changed.
    ///
    /// # Errors
    /// If the database fails.
    pub fn queue(&self, crm: Option<&str>, item: &str, revision: u64, at_ms: i64) -> Result<(), StoreError> {
        if let Some(crm) = crm {
            let destination = self.destination(crm)?;
            self.queue_for(destination, item, revision, at_ms)?;
        }
        Ok(())
    }

    /// Queues an item for a destination.
    ///
    /// # Errors
    /// If the database fails.
    pub fn queue_for(&self, destination: i64, item: &str, revision: u64, at_ms: i64) -> Result<(), StoreError> {
        self.touch(|| RelayChange::Item(item.to_owned()));
        self.connection
            .prepare_cached(
                "INSERT INTO outbox (destination, item, revision, since, changed_at) VALUES (?1, ?2, ?3, ?4, ?4)
                 ON CONFLICT (item, destination) DO UPDATE
                 SET revision = excluded.revision, changed_at = excluded.changed_at, state = 0, tries = 0",
            )?
            .execute(params![destination, item, signed(revision), at_ms])?;
        Ok(())
    }

    /// Up to `max` rows that are ready, changed after `newer_than_ms` and are not held by `lane`, from one end, oldest
    /// change first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn ready(
        &self,
        (destination, kind): (i64, DestinationKind),
        lane: &Lane,
        end: End,
        max: usize,
        newer_than_ms: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        let sql = match (kind, end) {
            // A tombstone waits until what it points at is there.
            (DestinationKind::History, End::Newest) => {
                "SELECT o.item, o.revision, o.changed_at, NULL, NULL, o.id, NULL FROM outbox o
                 WHERE o.state = 0 AND o.destination = ?1 AND o.changed_at > ?2
                     AND NOT EXISTS (SELECT 1 FROM joined j JOIN outbox w ON w.item = j.into_id AND w.destination = ?1
                                     WHERE j.id = o.item)
                 ORDER BY o.changed_at DESC LIMIT ?3"
            }
            (DestinationKind::History, End::Oldest) => {
                "SELECT o.item, o.revision, o.changed_at, NULL, NULL, o.id, NULL FROM outbox o
                 WHERE o.state = 0 AND o.destination = ?1 AND o.changed_at > ?2
                     AND NOT EXISTS (SELECT 1 FROM joined j JOIN outbox w ON w.item = j.into_id AND w.destination = ?1
                                     WHERE j.id = o.item)
                 ORDER BY o.changed_at LIMIT ?3"
            }
            (DestinationKind::Crm, End::Newest) => {
                "SELECT o.item, o.revision, o.changed_at, r.body, t.text, o.id, r.crm
                 FROM outbox o LEFT JOIN record r ON r.id = o.item
                     LEFT JOIN told t ON t.item = o.item AND t.destination = o.destination
                 WHERE o.state = 0 AND o.destination = ?1 AND o.changed_at > ?2 ORDER BY o.changed_at DESC LIMIT ?3"
            }
            (DestinationKind::Crm, End::Oldest) => {
                "SELECT o.item, o.revision, o.changed_at, r.body, t.text, o.id, r.crm
                 FROM outbox o LEFT JOIN record r ON r.id = o.item
                     LEFT JOIN told t ON t.item = o.item AND t.destination = o.destination
                 WHERE o.state = 0 AND o.destination = ?1 AND o.changed_at > ?2 ORDER BY o.changed_at LIMIT ?3"
            }
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let most = i64::try_from(max.saturating_add(lane.held())).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![destination, newer_than_ms, most])?;
        let mut found = Vec::new();
        let mut orphans = Vec::new();
        while let Some(row) = rows.next()? {
            if found.len() == max {
                break;
            }
            if lane.holds(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?) {
                continue;
            }
            match self.delivery(row, (destination, kind))? {
                Some(delivery) => found.push(delivery),
                None => orphans.push(row.get::<_, i64>(5)?),
            }
        }
        drop(rows);
        // A row without its record can never be sent.
        for id in orphans {
            self.drop_row(id)?;
        }
        if end == End::Newest {
            found.reverse();
        }
        Ok(found)
    }

    /// The row of one item, if it waits.
    ///
    /// # Errors
    /// If the database fails.
    pub fn one(&self, (destination, kind): (i64, DestinationKind), item: &str) -> Result<Option<Delivery>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT o.item, o.revision, o.changed_at, r.body, t.text, o.id, r.crm
             FROM outbox o LEFT JOIN record r ON r.id = o.item
                 LEFT JOIN told t ON t.item = o.item AND t.destination = o.destination
             WHERE o.item = ?2 AND o.destination = ?1",
        )?;
        let mut rows = statement.query(params![destination, item])?;
        rows.next()?.map_or(Ok(None), |row| self.delivery(row, (destination, kind)))
    }

    /// The delayed row that is due first, and when that is.
    ///
    /// # Errors
    /// If the database fails.
    pub fn next_delayed(&self, destination: i64) -> Result<Option<(String, i64)>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT item, due FROM outbox WHERE state = 1 AND destination = ?1 ORDER BY due LIMIT 1")?;
        Ok(statement.query_row([destination], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// Makes delayed rows ready whose time has come; at most `max`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn wake_delayed(&self, destination: i64, now_ms: i64, max: usize) -> Result<usize, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "UPDATE outbox SET state = 0 WHERE id IN
             (SELECT id FROM outbox WHERE state = 1 AND destination = ?1 AND due <= ?2 ORDER BY due LIMIT ?3)",
        )?;
        Ok(statement.execute(params![destination, now_ms, i64::try_from(max).unwrap_or(i64::MAX)])?)
    }

    /// What is known of the row of an item; `started_ms`: when this process began.
    ///
    /// # Errors
    /// If the database fails.
    pub fn outbox_state(&self, destination: i64, item: &str, started_ms: i64) -> Result<Option<RowState>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT revision, tries, changed_at FROM outbox WHERE item = ?2 AND destination = ?1")?;
        let state = statement
            .query_row(params![destination, item], |row| {
                Ok(RowState {
                    newest: unsigned(row.get(0)?),
                    tries: row.get(1)?,
                    ours: row.get::<_, i64>(2)? >= started_ms,
                })
            })
            .optional()?;
        Ok(state)
    }

    /// Writes down what became of a row of which `sent` was delivered.
    ///
    /// # Errors
    /// If the database fails.
    pub fn apply(
        &self,
        (destination, kind): (i64, DestinationKind),
        item: &str,
        sent: u64,
        fate: &Fate,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        let due = |delay_ms: u64| at_ms.saturating_add(signed(delay_ms));
        match fate {
            Fate::Delete => self.delivered(destination, item, sent)?,
            Fate::SendNewer | Fate::Held => {}
            Fate::Raise { revision, delay_ms } => {
                let there = match kind {
                    DestinationKind::Crm => self.raise(item, *revision)?,
                    DestinationKind::History => self.raise_conversations(*revision),
                };
                if !there {
                    return self.delivered(destination, item, u64::MAX);
                }
                self.connection
                    .prepare_cached(
                        "UPDATE outbox SET revision = ?3, tries = tries + 1, state = ?4, due = ?5
                         WHERE item = ?2 AND destination = ?1",
                    )?
                    .execute(params![destination, item, signed(*revision), i64::from(*delay_ms > 0), due(*delay_ms)])?;
            }
            Fate::Overtaken { revision } => {
                match kind {
                    DestinationKind::Crm => self.raise(item, *revision)?,
                    DestinationKind::History => self.raise_conversations(*revision),
                };
                self.delivered(destination, item, sent)?;
            }
            Fate::Park { reason } => {
                self.connection
                    .prepare_cached(
                        "UPDATE outbox SET state = 2, last_error = ?3, tries = tries + 1
                         WHERE item = ?2 AND destination = ?1",
                    )?
                    .execute(params![destination, item, reason])?;
            }
            Fate::Delay { delay_ms, why } => {
                self.connection
                    .prepare_cached(
                        "UPDATE outbox SET state = 1, due = ?3, last_error = ?4, tries = tries + 1
                         WHERE item = ?2 AND destination = ?1",
                    )?
                    .execute(params![destination, item, due(*delay_ms), why])?;
            }
            Fate::Wait { why } => {
                self.connection
                    .prepare_cached(
                        "UPDATE outbox SET last_error = ?3, tries = tries + 1 WHERE item = ?2 AND destination = ?1",
                    )?
                    .execute(params![destination, item, why])?;
            }
        }
        Ok(())
    }

    /// Removes the row of an item, unless something newer than `revision` came.
    ///
    /// # Errors
    /// If the database fails.
    pub fn delivered(&self, destination: i64, item: &str, revision: u64) -> Result<(), StoreError> {
        self.touch(|| RelayChange::Item(item.to_owned()));
        self.connection
            .prepare_cached("DELETE FROM outbox WHERE item = ?2 AND destination = ?1 AND revision <= ?3")?
            .execute(params![destination, item, signed(revision)])?;
        Ok(())
    }

    /// Keeps what a destination has been told of an item.
    ///
    /// # Errors
    /// If the database fails.
    pub fn save_told(&self, destination: i64, item: &str, text: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO told (item, destination, text) VALUES (?1, ?2, ?3)
                 ON CONFLICT (item, destination) DO UPDATE SET text = excluded.text",
            )?
            .execute(params![item, destination, text])?;
        Ok(())
    }

    /// What a destination has been told of an item so far.
    ///
    /// # Errors
    /// If the database fails.
    pub fn told(&self, destination: i64, item: &str) -> Result<Option<Box<str>>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT text FROM told WHERE item = ?1 AND destination = ?2")?;
        Ok(statement.query_row(params![item, destination], |row| row.get(0)).optional()?)
    }

    /// A row of item, revision, `changed_at`, body of the record, what was told; `None` if what it is about is gone.
    fn delivery(
        &self,
        row: &Row<'_>,
        (destination, kind): (i64, DestinationKind),
    ) -> Result<Option<Delivery>, StoreError> {
        let body = match kind {
            DestinationKind::Crm => row.get_ref(3)?.as_str_or_null().map_err(rusqlite::Error::from)?.map(Box::from),
            DestinationKind::History => {
                Some(self.conversation_body(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?)
            }
        };
        let Some(mut body) = body else { return Ok(None) };
        if kind == DestinationKind::Crm {
            let owner = row.get_ref(6)?.as_str_or_null().map_err(rusqlite::Error::from)?.unwrap_or_default();
            if owner.is_empty() || self.destination(owner)? != destination {
                body = withdrawn(&body)?;
            }
        }
        Ok(Some(Delivery {
            record_id: row.get(0)?,
            revision: unsigned(row.get(1)?),
            body,
            changed_at_ms: row.get(2)?,
            told: row.get(4)?,
        }))
    }

    fn drop_row(&self, id: i64) -> Result<(), StoreError> {
        self.connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    /// Makes parked and delayed rows ready again; answers how many.
    ///
    /// # Errors
    /// If the database fails.
    pub fn retry(&self, rows: &Rows) -> Result<u64, StoreError> {
        let ready = "UPDATE outbox SET state = 0, tries = 0 WHERE state > 0";
        let count = match rows {
            Rows::One(id) => self.connection.execute(&format!("{ready} AND id = ?1"), [id])?,
            Rows::Of(name) => self
                .connection
                .execute(&format!("{ready} AND destination = (SELECT id FROM destination WHERE name = ?1)"), [name])?,
            Rows::All => self.connection.execute(ready, [])?,
        };
        Ok(count as u64)
    }

    /// Removes rows undelivered; answers how many.
    ///
    /// # Errors
    /// If the database fails.
    pub fn drop_rows(&self, rows: &Rows) -> Result<u64, StoreError> {
        self.touch(|| RelayChange::Everything);
        let count = match rows {
            Rows::One(id) => self.connection.execute("DELETE FROM outbox WHERE id = ?1", [id])?,
            Rows::Of(name) => self.connection.execute(
                "DELETE FROM outbox WHERE destination = (SELECT id FROM destination WHERE name = ?1)",
                [name],
            )?,
            Rows::All => self.connection.execute("DELETE FROM outbox", [])?,
        };
        Ok(count as u64)
    }

    /// Notes how a destination fares, for whoever looks from outside.
    ///
    /// # Errors
    /// If the database fails.
    pub fn note_down(
        &self,
        destination: i64,
        since_ms: i64,
        next_try_ms: i64,
        tries: u32,
        why: &str,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE destination SET down_since = ?2, next_try = ?3, tries = ?4, last_error = ?5, last_error_at = ?6
                 WHERE id = ?1",
            )?
            .execute(params![destination, since_ms, next_try_ms, tries, why, at_ms])?;
        Ok(())
    }

    /// Notes that a destination took something.
    ///
    /// # Errors
    /// If the database fails.
    pub fn note_up(&self, destination: i64, at_ms: i64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE destination SET down_since = NULL, next_try = NULL, tries = 0, last_success_at = ?2 WHERE id = ?1",
            )?
            .execute(params![destination, at_ms])?;
        Ok(())
    }

    /// Names of destinations that have rows.
    ///
    /// # Errors
    /// If the database fails.
    pub fn destinations_with_rows(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name FROM destination d WHERE EXISTS (SELECT 1 FROM outbox o WHERE o.destination = d.id AND state = 0)
             OR EXISTS (SELECT 1 FROM outbox o WHERE o.destination = d.id AND state = 1)
             OR EXISTS (SELECT 1 FROM outbox o WHERE o.destination = d.id AND state = 2)",
        )?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }
}

/// Everything that changed after this moment is a call of now.
pub fn live_since(now_ms: i64) -> i64 {
    now_ms.saturating_sub(LIVE_MS)
}

/// What a CRM is told of a record that belongs to another one (or to none) by now: enough to drop it, and nothing else of the call.
fn withdrawn(body: &str) -> Result<Box<str>, StoreError> {
    const KEPT: [&str; 7] = ["id", "conversation", "pbx", "revision", "source", "direction", "started_at"];
    let mut record: serde_json::Map<String, serde_json::Value> = serde_json::from_str(body)?;
    record.retain(|key, _| KEPT.contains(&key.as_str()));
    let (id, started_at) = (record.get("id").cloned(), record.get("started_at").cloned());
    record.insert("status".to_owned(), "cancelled".into());
    record.insert("lead".to_owned(), false.into());
    record.extend(started_at.map(|at| ("ended_at".to_owned(), at)));
    record.extend(id.map(|id| ("superseded_by".to_owned(), id)));
    Ok(serde_json::to_string(&record)?.into())
}
