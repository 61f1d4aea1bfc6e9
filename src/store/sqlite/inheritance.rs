//! What a connector takes over from the one that was active before it: rows of its outbox that were delivered are dropped, rows
//! it never had are made.

use rusqlite::params;

use super::Database;
use crate::store::error::StoreError;
use crate::store::rows::Inheritance;
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
            for (destination, record) in inheritance.undelivered {
                let destination = self.destination(&destination)?;
                self.connection
                    .prepare_cached("INSERT OR IGNORE INTO undelivered (item, destination) VALUES (?1, ?2)")?
                    .execute(params![record.id, destination])?;
                match self.record(&record.id)? {
                    // We heard the same call: our own word, in the younger term, is as good.
                    Some(ours) => self.queue_again(destination, &ours.id, ours.revision, at_ms)?,
                    // Its conversation is in the second history already, whole, and not made anew from what we have of it.
                    None => {
                        self.write(&record, None, 0, false)?;
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
