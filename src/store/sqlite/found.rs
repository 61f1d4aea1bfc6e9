//! Calls that were found afterwards in Asterisk's own records.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::Database;
use super::history::Writing;
use crate::call::Record;
use crate::store::error::StoreError;
use crate::store::rows::FoundCall;

/// Beginning of the keys of `setting` that name the conversations of forgotten clients: they are not to be found again.
pub const FORGOTTEN: &str = "forgotten/";

impl Database {
    /// Stores what was found and is still not known, each call all or nothing; answers how many calls that were.
    ///
    /// # Errors
    /// If the database fails; nothing is stored then.
    pub fn save_found(&self, calls: &[FoundCall], writing: Writing) -> Result<u64, StoreError> {
        self.transaction(|| {
            let mut saved = 0;
            for call in calls {
                if self.is_news(call)? {
                    for record in &call.records {
                        self.save_record(&mut Arc::new(record.clone()), 0, writing)?;
                    }
                    saved += 1;
                }
            }
            Ok(saved)
        })
    }

    /// Whether somebody heard of the call, or changed it, since it was looked for.
    fn is_news(&self, call: &FoundCall) -> Result<bool, StoreError> {
        if !call.is_known {
            for id in &call.known_as {
                if self.knows(id)? {
                    return Ok(false);
                }
            }
        }
        for record in &call.records {
            let stored = self.record(&record.id)?;
            if stored.is_some_and(|stored| !call.is_known || stored.revision >= record.revision) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether there is, or was until its client was forgotten, such a conversation.
    ///
    /// # Errors
    /// If the database fails.
    pub fn knows(&self, conversation: &str) -> Result<bool, StoreError> {
        Ok(self.is_forgotten(conversation)?
            || self.is_open(conversation)?
            || !self.conversation(conversation)?.is_empty())
    }

    /// Whether its client was forgotten.
    ///
    /// # Errors
    /// If the database fails.
    pub fn is_forgotten(&self, conversation: &str) -> Result<bool, StoreError> {
        Ok(self.setting(&format!("{FORGOTTEN}{conversation}"))?.is_some())
    }

    /// Whether it goes on, though it may have no record yet.
    ///
    /// # Errors
    /// If the database fails.
    pub fn is_open(&self, conversation: &str) -> Result<bool, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT 1 FROM open_conversation WHERE id = ?1")?;
        Ok(statement.query_row([conversation], |_| Ok(())).optional()?.is_some())
    }

    /// The records of an exchange that began between two moments, oldest first; at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn records_between(
        &self,
        pbx: &str,
        from_ms: i64,
        to_ms: i64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT body FROM record WHERE started_at BETWEEN ?1 AND ?2 AND pbx = ?3 ORDER BY started_at LIMIT ?4",
        )?;
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query(rusqlite::params![from_ms, to_ms, pbx, most])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
        }
        Ok(records)
    }
}
