//! How open conversations and the outbox stand, for the other one of two connectors.

use rusqlite::{OptionalExtension, params};

use super::Database;
use crate::store::error::StoreError;
use crate::store::relay::RelayChange;
use crate::store::settings::HISTORY;

/// A record that waits: destination, item, body.
pub type Waiting = (String, String, String);

impl Database {
    /// From now on what changes is noted, for [`Database::changed`].
    pub fn note_changes(&self) {
        self.touched.replace(Some(Vec::new()));
    }

    /// What changed since it was asked last. What a transaction that failed would have changed is in it as well.
    pub fn changed(&self) -> Vec<RelayChange> {
        self.touched.borrow_mut().as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn touch(&self, change: impl FnOnce() -> RelayChange) {
        if let Some(touched) = self.touched.borrow_mut().as_mut() {
            touched.push(change());
        }
    }

    /// The stored state of an open conversation.
    ///
    /// # Errors
    /// If the database fails.
    pub fn open_state(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT state FROM open_conversation WHERE id = ?1")?;
        Ok(statement.query_row([id], |row| row.get(0)).optional()?)
    }

    /// The stored states of all open conversations, with their ids.
    ///
    /// # Errors
    /// If the database fails.
    pub fn open_states(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT id, state FROM open_conversation")?;
        Ok(statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
    }

    /// Who a record waits for, and with which body.
    ///
    /// # Errors
    /// If the database fails.
    pub fn waiting(&self, item: &str) -> Result<Vec<Waiting>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT d.name, o.item, r.body FROM outbox o JOIN destination d ON d.id = o.destination
                 JOIN record r ON r.id = o.item WHERE o.item = ?1 AND d.name <> ?2",
        )?;
        let rows = statement.query_map(params![item, HISTORY], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Up to `most` records that wait, from the row after `after` on; the last with its row's number, to go on from.
    ///
    /// # Errors
    /// If the database fails.
    pub fn all_waiting(&self, after: i64, most: usize) -> Result<Vec<(i64, Waiting)>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT o.id, d.name, o.item, r.body FROM outbox o JOIN destination d ON d.id = o.destination
                 JOIN record r ON r.id = o.item WHERE o.id > ?1 AND d.name <> ?2 ORDER BY o.id LIMIT ?3",
        )?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![after, HISTORY, most], |row| {
            Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The conversations of which something waits, the youngest first; at most `most`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn conversations_that_wait(&self, most: usize) -> Result<Vec<String>, StoreError> {
        // Rows of a second history are about conversations themselves, or (with a space) about a client.
        let mut statement = self.connection.prepare_cached(
            "SELECT coalesce(r.conversation, o.item) AS of FROM outbox o LEFT JOIN record r ON r.id = o.item
                 WHERE instr(o.item, ' ') = 0 GROUP BY of ORDER BY max(o.changed_at) DESC LIMIT ?1",
        )?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        Ok(statement.query_map([most], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }
}
