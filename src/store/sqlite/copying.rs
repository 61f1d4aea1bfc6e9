//! Whole histories on their way out of the local database and into it: slices in an order that can be gone on with.

use rusqlite::{OptionalExtension, params};

use super::Database;
use super::history::Hand;
use crate::call::Record;
use crate::outbox::Delivery;
use crate::store::error::StoreError;
use crate::store::follow_up::weigh;

/// A slice of what is copied out, and where to go on; `None` at the end.
pub type Slice<T> = (Vec<Delivery>, Option<T>);

#[expect(clippy::missing_errors_doc, reason = "all fail only if the database does")]
impl Database {
    /// About how many calls there are.
    pub fn calls_there_are(&self) -> Result<u64, StoreError> {
        let last: Option<i64> = self.connection.query_row("SELECT max(n) FROM record", [], |row| row.get(0))?;
        Ok(super::unsigned(last.unwrap_or(0)))
    }

    /// The conversations of up to `slice` calls after the `after`th, each with its first one. A copy is as old as the youngest of
    /// its calls, so that whatever a running service writes is younger.
    pub fn conversations_after(&self, after: i64, slice: usize) -> Result<Slice<i64>, StoreError> {
        let most = i64::try_from(slice).unwrap_or(i64::MAX);
        let mut statement =
            self.connection.prepare_cached("SELECT n, conversation FROM record WHERE n > ?1 ORDER BY n LIMIT ?2")?;
        let rows = statement
            .query_map(params![after, most], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        let next = rows.last().map(|(n, _)| *n);
        let mut found = Vec::new();
        let mut whole = self
            .connection
            .prepare_cached("SELECT min(n), max(revision), max(started_at) FROM record WHERE conversation = ?1")?;
        for (n, id) in rows {
            let (first, revision, at_ms): (Option<i64>, i64, i64) =
                whole.query_row([&id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            if first == Some(n) {
                let body = self.conversation_body(&id)?;
                let revision = super::unsigned(revision);
                found.push(Delivery { record_id: id, revision, body, changed_at_ms: at_ms, told: None });
            }
        }
        Ok((found, next))
    }

    /// The tombstones of up to `slice` joined conversations after the one named.
    pub fn joined_after(&self, after: &str, slice: usize) -> Result<Slice<String>, StoreError> {
        let most = i64::try_from(slice).unwrap_or(i64::MAX);
        let mut statement =
            self.connection.prepare_cached("SELECT id, at FROM joined WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        let rows = statement
            .query_map(params![after, most], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        let next = rows.last().map(|(id, _)| id.clone());
        let mut found = Vec::with_capacity(rows.len());
        for (id, at_ms) in rows {
            let body = self.conversation_body(&id)?;
            let revision = super::unsigned(at_ms);
            found.push(Delivery { record_id: id, revision, body, changed_at_ms: at_ms, told: None });
        }
        Ok((found, next))
    }

    /// Takes in a call that was delivered long ago: it is not queued for anybody and settles nothing. Answers whether it was
    /// new here, or younger than what was.
    pub fn take_in(&self, record: &Record) -> Result<bool, StoreError> {
        let stored = self.stored(&record.id)?;
        if stored.as_ref().is_some_and(|stored| stored.revision >= record.revision) {
            return Ok(false);
        }
        // Whatever the core knows of it, it knows less.
        self.write(record, stored.as_ref(), weigh(record) as i64, Hand::Amended)?;
        self.connection
            .prepare_cached(
                "UPDATE record SET open = 0 WHERE id = ?1 AND open = 1
                 AND NOT EXISTS (SELECT 1 FROM open_conversation c WHERE c.id = record.conversation)",
            )?
            .execute([&record.id])?;
        Ok(true)
    }

    /// When the oldest call here began; wall clock, milliseconds.
    pub fn oldest_call(&self) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT started_at FROM record ORDER BY started_at LIMIT 1";
        Ok(self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?)
    }

    /// Removes a cursor or a small fact.
    pub fn remove_setting(&self, key: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached("DELETE FROM setting WHERE key = ?1")?.execute([key])?;
        Ok(())
    }
}
