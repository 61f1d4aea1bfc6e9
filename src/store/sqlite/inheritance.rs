//! What a connector takes over from the one that was active before it: rows of its outbox that were delivered are dropped, rows
//! it never had are made, and of calls that were over by the other one's last word that word stands
//! ([`crate::outbox::last_word`] has the rule). It stands also against what our own core still says of them later.

use std::collections::HashMap;

use rusqlite::params;

use super::Database;
use super::history::Hand;
use crate::call::Record;
use crate::outbox::last_word;
use crate::store::error::StoreError;
use crate::store::follow_up::weigh;
use crate::store::rows::{Inheritance, LastWord};
use crate::store::settings::HISTORY;

impl Database {
    /// Makes the outbox that of the other connector, as far as it is known, and of ours since then. Answers how many rows
    /// are left to whoever must have them.
    ///
    /// # Errors
    /// If the database fails.
    pub fn inherit(&self, inheritance: Inheritance, at_ms: i64) -> Result<u64, StoreError> {
        self.transaction(|| {
            self.connection.execute_batch(
                "CREATE TEMP TABLE IF NOT EXISTS undelivered (item TEXT, destination INTEGER,
                     PRIMARY KEY (item, destination)) WITHOUT ROWID;
                 DELETE FROM undelivered;",
            )?;
            let mut revisions = HashMap::new();
            for word in &inheritance.over {
                self.take_last_word(word, at_ms)?;
                revisions.extend(word.calls.iter().map(|theirs| (theirs.id.as_str(), theirs.revision)));
            }
            for (destination, record) in &inheritance.undelivered {
                let destination = self.destination(destination)?;
                self.connection
                    .prepare_cached("INSERT OR IGNORE INTO undelivered (item, destination) VALUES (?1, ?2)")?
                    .execute(params![record.id, destination])?;
                match self.record(&record.id)? {
                    Some(ours) => {
                        let is_younger = revisions.get(record.id.as_str()).is_none_or(|known| *known < record.revision);
                        let is_over = !inheritance.open.contains(&record.conversation);
                        let mut revision = ours.revision;
                        if is_over && is_younger && last_word::stands(record, &ours) {
                            revision = self.replace(record, &ours)?;
                        }
                        self.queue_again(destination, &ours.id, revision, at_ms)?;
                    }
                    // Its conversation is in the second history already, whole, and not made anew from what we have of it.
                    None => {
                        self.write(record, None, 0, Hand::Core)?;
                        self.queue_for(destination, &record.id, record.revision, at_ms)?;
                    }
                }
            }
            if let Some(before_ms) = inheritance.delivered_before_ms {
                // Whole conversations are not listed: they go where the lease comes from, and are there as long as it is held.
                self.connection.execute(
                    "DELETE FROM outbox WHERE changed_at < ?1 AND NOT EXISTS
                         (SELECT 1 FROM undelivered u WHERE u.item = outbox.item AND u.destination = outbox.destination)",
                    [before_ms],
                )?;
            }
            self.connection.execute_batch("DELETE FROM undelivered;")?;
            let left: i64 = self.connection.query_row(
                "SELECT count(*) FROM outbox WHERE destination IN (SELECT id FROM destination WHERE name <> ?1)",
                [HISTORY],
                |row| row.get(0),
            )?;
            Ok(u64::try_from(left).unwrap_or(0))
        })
    }

    /// A conversation that was over: its records become the other one's, whether they wait or not. Those it has and we do not are
    /// written, too: the conversation goes into the common history as a whole, and made of what is here.
    fn take_last_word(&self, word: &LastWord, at_ms: i64) -> Result<(), StoreError> {
        for theirs in &word.calls {
            match self.record(&theirs.id)? {
                Some(ours) if last_word::stands(theirs, &ours) => drop(self.replace(theirs, &ours)?),
                Some(_) => {}
                None => self.write(theirs, None, weigh(theirs) as i64, Hand::Theirs)?,
            }
        }
        let lead = word.calls.iter().find(|theirs| theirs.lead).or(word.calls.first());
        let Some(lead) = lead else { return Ok(()) };
        for id in &word.joined {
            self.connection
                .prepare_cached("INSERT OR IGNORE INTO joined (id, into_id, at) VALUES (?1, ?2, ?3)")?
                .execute(params![id, word.conversation, at_ms])?;
        }
        for id in word.joined.iter().chain([&word.conversation]) {
            for mut ours in self.records_of(id)? {
                let is_his = word.calls.iter().any(|theirs| theirs.id == ours.id);
                if is_his || ours.superseded_by.is_some() || !last_word::is_his_under_another_id(&ours) {
                    continue;
                }
                // Who never heard of it drops what it is told now.
                ours.superseded_by = Some(lead.id.clone());
                ours.lead = false;
                ours.revision = Record::next_revision(ours.revision, at_ms);
                let stored = self.stored(&ours.id)?;
                self.write(&ours, stored.as_ref(), 0, Hand::Theirs)?;
                self.queue(ours.crm.as_deref(), &ours.id, ours.revision, at_ms)?;
            }
        }
        Ok(())
    }

    /// Puts the other one's word in the place of ours, also in what waits. Answers its revision, which is not below either's.
    fn replace(&self, theirs: &Record, ours: &Record) -> Result<u64, StoreError> {
        let revision = theirs.revision.max(ours.revision);
        let theirs = Record { revision, ..theirs.clone() };
        let stored = self.stored(&ours.id)?;
        let weighed = stored.as_ref().map_or(0, |stored| stored.weighed).max(weigh(&theirs) as i64);
        self.write(&theirs, stored.as_ref(), weighed, Hand::Theirs)?;
        self.connection
            .prepare_cached("UPDATE outbox SET revision = ?2 WHERE item = ?1")?
            .execute(params![theirs.id, super::signed(revision)])?;
        Ok(revision)
    }

    /// The records of a conversation under its present name.
    fn records_of(&self, conversation: &str) -> Result<Vec<Record>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT body FROM record WHERE conversation = ?1")?;
        let mut rows = statement.query([conversation])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
        }
        Ok(records)
    }

    /// Queues what is not queued already.
    fn queue_again(&self, destination: i64, item: &str, revision: u64, at_ms: i64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO outbox (destination, item, revision, since, changed_at) VALUES (?1, ?2, ?3, ?4, ?4)
                 ON CONFLICT (item, destination) DO NOTHING",
            )?
            .execute(params![destination, item, super::signed(revision), at_ms])?;
        Ok(())
    }
}
