//! Whole conversations on their way into a second history: one row each in the outbox, with a revision of its own.
//!
//! The body is made when it is sent, from the records as they are then:
//! `{"conversation": id, "joined_into": id or absent, "calls": [record, ...]}`. Without calls and without `joined_into`
//! the conversation was forgotten and is to be deleted. And `{"forget": number}`: what the history has of a client beyond
//! what is here.

use rusqlite::OptionalExtension;

use super::Database;
use crate::store::error::StoreError;

/// Where the revision of conversations is kept, so that it grows across restarts though the clock be set back.
const REVISION_KEY: &str = "conversation_revision";
/// Names of the histories, one a line: for changes made beside the keeper.
const HISTORIES_KEY: &str = "histories";
/// Followed by a history's name: since when it has been fed without a gap; wall clock, milliseconds.
const SINCE_KEY: &str = "history_since.";
/// Followed by a number: the item of a row that is about a client. No conversation's id has a space in it.
const FORGET: &str = "forget ";

impl Database {
    /// Which destinations take whole conversations from now on.
    ///
    /// # Errors
    /// If the database fails.
    pub fn feed_histories(&self, names: Vec<String>, now_ms: i64) -> Result<(), StoreError> {
        self.know_histories()?;
        let known = self.histories.borrow().clone();
        if known == names {
            return Ok(());
        }
        self.transaction(|| {
            for name in known.iter().filter(|name| !names.contains(name)) {
                self.connection.execute("DELETE FROM setting WHERE key = ?1", [format!("{SINCE_KEY}{name}")])?;
            }
            for name in names.iter().filter(|name| !known.contains(name)) {
                self.fed_since_is(name, now_ms)?;
            }
            self.save_setting(HISTORIES_KEY, &names.join("\n"))
        })?;
        *self.histories.borrow_mut() = names;
        Ok(())
    }

    /// Since when a history has been told of every change; what began before may be here alone. Wall clock, milliseconds.
    ///
    /// # Errors
    /// If the database fails.
    pub fn fed_since(&self, name: &str) -> Result<Option<i64>, StoreError> {
        Ok(self.setting(&format!("{SINCE_KEY}{name}"))?.and_then(|text| text.parse().ok()))
    }

    /// A history has everything since `at_ms`: it was copied there.
    ///
    /// # Errors
    /// If the database fails.
    pub fn fed_since_is(&self, name: &str, at_ms: i64) -> Result<(), StoreError> {
        self.save_setting(&format!("{SINCE_KEY}{name}"), &at_ms.to_string())
    }

    /// Reads which destinations take whole conversations, as the keeper was last told.
    ///
    /// # Errors
    /// If the database fails.
    pub fn know_histories(&self) -> Result<(), StoreError> {
        let kept = self.setting(REVISION_KEY)?.and_then(|text| text.parse().ok()).unwrap_or(0);
        self.raise_conversations(kept);
        let names = self.setting(HISTORIES_KEY)?.unwrap_or_default();
        *self.histories.borrow_mut() = names.lines().map(str::to_owned).collect();
        Ok(())
    }

    /// Queues a conversation of which something changed for every history.
    ///
    /// # Errors
    /// If the database fails.
    pub fn queue_conversation(&self, id: &str, at_ms: i64) -> Result<(), StoreError> {
        self.queue_for_histories(id, at_ms)
    }

    /// Has every history remove the calls of a client, also those that are no longer here.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) fn queue_forgetting(&self, number: &str, at_ms: i64) -> Result<(), StoreError> {
        self.queue_for_histories(&format!("{FORGET}{number}"), at_ms)
    }

    fn queue_for_histories(&self, item: &str, at_ms: i64) -> Result<(), StoreError> {
        let histories = self.histories.borrow();
        if histories.is_empty() {
            return Ok(());
        }
        let revision = self.conversation_revision.get().saturating_add(1).max(super::unsigned(at_ms));
        self.conversation_revision.set(revision);
        for name in histories.iter() {
            self.queue_for(self.destination(name)?, item, revision, at_ms)?;
        }
        self.save_setting(REVISION_KEY, &revision.to_string())
    }

    /// Revisions given out from now on are above this one.
    pub(super) fn raise_conversations(&self, revision: u64) -> bool {
        self.conversation_revision.set(self.conversation_revision.get().max(revision));
        true
    }

    /// See the module.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) fn conversation_body(&self, id: &str) -> Result<Box<str>, StoreError> {
        if let Some(number) = id.strip_prefix(FORGET) {
            return Ok(format!("{{\"forget\":{}}}", serde_json::to_string(number)?).into());
        }
        let mut statement = self.connection.prepare_cached("SELECT into_id FROM joined WHERE id = ?1")?;
        let joined_into: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
        let mut body = format!("{{\"conversation\":{}", serde_json::to_string(id)?);
        if let Some(into) = joined_into {
            body.push_str(",\"joined_into\":");
            body.push_str(&serde_json::to_string(&into)?);
        }
        body.push_str(",\"calls\":[");
        let mut statement = self.connection.prepare_cached("SELECT body FROM record WHERE conversation = ?1")?;
        let mut rows = statement.query([id])?;
        let mut first = true;
        while let Some(row) = rows.next()? {
            if !std::mem::take(&mut first) {
                body.push(',');
            }
            body.push_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
        }
        body.push_str("]}");
        Ok(body.into())
    }
}
