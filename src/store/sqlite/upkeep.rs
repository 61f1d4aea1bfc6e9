//! Forgetting: what is too old, what a client wants forgotten, and the write-ahead log.

use rusqlite::params;

use super::Database;
use super::found::FORGOTTEN;
use crate::call::{Conversation, Record};
use crate::store::error::StoreError;
use crate::store::rows::{Forgotten, RequestRow};

/// A conversation is set aside after so many restarts that ended in an abort.
const RESTORES_MAX: i64 = 3;
/// How long a click-to-call request keeps its answer.
pub const REQUEST_KEPT_MS: i64 = 86_400_000;

/// Where retention goes on: the last row it looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Cursor {
    pub started_at_ms: i64,
    pub n: i64,
}

/// What was open when the last process ended.
#[derive(Debug, Default)]
pub struct Restored {
    pub open: Vec<Box<Conversation>>,
    pub quarantined: Vec<String>,
}

impl Database {
    /// Reads the open conversations. After an abort each counts one more; those that reach three are set aside.
    ///
    /// # Errors
    /// If the database fails.
    pub fn restore(&self, aborted: bool, at_ms: i64) -> Result<Restored, StoreError> {
        self.transaction(|| {
            if aborted {
                self.connection.execute("UPDATE open_conversation SET restores = restores + 1", [])?;
            }
            let mut restored = Restored::default();
            let mut aside = Vec::new();
            let mut statement =
                self.connection.prepare("SELECT id, state, restores FROM open_conversation ORDER BY rowid")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let id: String = row.get(0)?;
                if row.get::<_, i64>(2)? >= RESTORES_MAX {
                    aside.push((id, "restoring it was followed by an abort three times".to_owned()));
                    continue;
                }
                let state = row.get_ref(1)?.as_bytes().map_err(rusqlite::Error::from)?;
                match serde_json::from_slice::<Conversation>(state) {
                    // Fields may be missing (an older version wrote it), but not what it is.
                    Ok(conversation) if conversation.id == id => restored.open.push(Box::new(conversation)),
                    Ok(_) => aside.push((id, "its state cannot be read: it is that of no conversation".to_owned())),
                    Err(error) => aside.push((id, format!("its state cannot be read: {error}"))),
                }
            }
            drop(rows);
            for (id, why) in aside {
                self.connection.execute(
                    "INSERT OR REPLACE INTO quarantine (id, pbx, state, at, why)
                     SELECT id, pbx, state, ?2, ?3 FROM open_conversation WHERE id = ?1",
                    params![id, at_ms, why],
                )?;
                self.connection.execute("DELETE FROM open_conversation WHERE id = ?1", [&id])?;
                restored.quarantined.push(format!("{id}: {why}"));
            }
            // Of a copy, and of what was set aside: nobody will end these any more.
            self.connection.execute(
                "UPDATE record SET open = 0
                 WHERE open = 1 AND NOT EXISTS (SELECT 1 FROM open_conversation c WHERE c.id = record.conversation)",
                [],
            )?;
            Ok(restored)
        })
    }

    /// The process has lived long enough (or ended well): what was restored did it no harm.
    ///
    /// # Errors
    /// If the database fails.
    pub fn restored_well(&self) -> Result<(), StoreError> {
        self.connection.execute("UPDATE open_conversation SET restores = 0 WHERE restores > 0", [])?;
        Ok(())
    }

    /// Requests whose answers still stand.
    ///
    /// # Errors
    /// If the database fails.
    pub fn requests_since(&self, since_ms: i64) -> Result<Vec<RequestRow>, StoreError> {
        let mut statement =
            self.connection.prepare("SELECT crm, request, answer, at FROM request WHERE at >= ?1 ORDER BY at")?;
        let rows = statement.query_map([since_ms], |row| {
            Ok(RequestRow { crm: row.get(0)?, request: row.get(1)?, answer: row.get(2)?, at_ms: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Looks at up to `slice` calls that began before `before_ms`, from `from` on, and removes those conversations of which
    /// none is younger, open or waited for: whole ones, since what is left of one would replace it in a second history.
    /// Answers where to go on, or `None` at the end.
    ///
    /// # Errors
    /// If the database fails.
    pub fn forget_old(&self, before_ms: i64, from: Cursor, slice: usize) -> Result<Option<Cursor>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT r.started_at, r.n, r.conversation, EXISTS (SELECT 1 FROM outbox o WHERE o.item = r.conversation)
                 OR EXISTS (SELECT 1 FROM open_conversation c WHERE c.id = r.conversation)
                 OR EXISTS (SELECT 1 FROM record s WHERE s.conversation = r.conversation AND (s.started_at >= ?1 OR s.open = 1
                     OR EXISTS (SELECT 1 FROM outbox o WHERE o.item = s.id)))
             FROM record r WHERE r.started_at < ?1 AND (r.started_at, r.n) > (?2, ?3)
             ORDER BY r.started_at, r.n LIMIT ?4",
        )?;
        let most = i64::try_from(slice).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![before_ms, from.started_at_ms, from.n, most], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?, row.get::<_, bool>(3)?))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        let mut of_conversation = self.connection.prepare_cached("SELECT n, id FROM record WHERE conversation = ?1")?;
        for (_, _, conversation, _) in rows.iter().filter(|(_, _, _, wanted)| !wanted) {
            let records = of_conversation
                .query_map([conversation], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?
                .collect::<Result<Vec<_>, _>>()?;
            for (n, id) in records {
                self.remove_record(n, &id)?;
            }
        }
        Ok(rows.last().filter(|_| rows.len() == slice).map(|&(started_at_ms, n, ..)| Cursor { started_at_ms, n }))
    }

    /// Removes a record and what hangs on it, but for its row in the outbox.
    fn remove_record(&self, n: i64, id: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached("DELETE FROM recording WHERE record = ?1")?.execute([n])?;
        self.connection.prepare_cached("DELETE FROM told WHERE item = ?1")?.execute([id])?;
        self.connection.prepare_cached("DELETE FROM record WHERE n = ?1")?.execute([n])?;
        Ok(())
    }

    /// Removes up to `slice` each of old requests, and of audit lines and joins from before `before_ms`. Answers whether
    /// there may be more.
    ///
    /// # Errors
    /// If the database fails.
    pub fn forget_old_rest(&self, now_ms: i64, before_ms: i64, slice: usize) -> Result<bool, StoreError> {
        let most = i64::try_from(slice).unwrap_or(i64::MAX);
        let requests = self
            .connection
            .prepare_cached(
                "DELETE FROM request WHERE (crm, request) IN
                 (SELECT crm, request FROM request WHERE at < ?1 ORDER BY at LIMIT ?2)",
            )?
            .execute(params![now_ms.saturating_sub(REQUEST_KEPT_MS), most])?;
        let audits = self
            .connection
            .prepare_cached("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ?1 ORDER BY at LIMIT ?2)")?
            .execute(params![before_ms, most])?;
        let joins = self
            .connection
            .prepare_cached(
                "DELETE FROM joined WHERE id IN
                 (SELECT id FROM joined j WHERE at < ?1 AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.item = j.id)
                  ORDER BY at LIMIT ?2)",
            )?
            .execute(params![before_ms, most])?;
        // The conversations of forgotten clients: by now nobody would look for calls so old.
        let forgotten = self
            .connection
            .prepare_cached(
                "DELETE FROM setting WHERE key IN (SELECT key FROM setting
                 WHERE key BETWEEN ?3 AND ?3 || '~' AND CAST(value AS INTEGER) < ?1 LIMIT ?2)",
            )?
            .execute(params![before_ms, most, FORGOTTEN])?;
        Ok(requests == slice || audits == slice || joins == slice || forgotten == slice)
    }

    /// Removes every call of a client, by normalised number.
    ///
    /// # Errors
    /// If the database fails.
    pub fn forget(&self, number: &str, at_ms: i64) -> Result<Forgotten, StoreError> {
        self.transaction(|| {
            let mut forgotten = Forgotten::default();
            let mut statement = self.connection.prepare("SELECT n, body FROM record WHERE client = ?1")?;
            let mut rows = statement.query([number])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let record: Record = serde_json::from_str(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?;
                found.push((row.get::<_, i64>(0)?, record));
            }
            drop(rows);
            for (n, record) in found {
                self.remove_record(n, &record.id)?;
                let rows =
                    self.connection.prepare_cached("DELETE FROM outbox WHERE item = ?1")?.execute([&record.id])?;
                forgotten.outbox_rows += rows as u64;
                forgotten.records += 1;
                // Asterisk's own records still have the call; it is not to be found there again.
                self.save_setting(&format!("{FORGOTTEN}{}", record.conversation), &at_ms.to_string())?;
                self.queue_conversation(&record.conversation, at_ms)?;
                for recording in record.recordings {
                    let entry = (record.pbx.clone(), recording.file);
                    if !forgotten.recordings.contains(&entry) {
                        forgotten.recordings.push(entry);
                    }
                }
                if let Some(crm) = record.crm {
                    forgotten.told.push((crm, record.id));
                }
            }
            self.queue_forgetting(number, at_ms)?;
            self.connection.execute("DELETE FROM audit WHERE called = ?1", [number])?;
            Ok(forgotten)
        })
    }

    /// Copies the write-ahead log back into the database without waiting for readers.
    ///
    /// # Errors
    /// If the database fails.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))?;
        Ok(())
    }

    /// Copies all of it back and empties it: the end of a process.
    ///
    /// # Errors
    /// If the database fails.
    pub fn checkpoint_fully(&self) -> Result<(), StoreError> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}
