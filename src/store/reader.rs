//! Reading for the command line and the status page: a read-only connection of its own beside the keeper's. And
//! [`Desk`]: the few changes an administrator makes while the service may be running.

use std::path::Path;

use super::error::StoreError;
use super::rows::{AuditRow, DestinationState, Forgotten, FoundCall, OutboxRow, RequestRow, Rows};
use super::sqlite::Database;
use super::sqlite::history::Writing;
use super::sqlite::questions::Access;
use super::sqlite::relayed::Waiting;
use crate::call::Record;
use crate::call::record::Moment;
use crate::clock::Now;

/// How many calls are shown if nobody says.
pub const CALLS_SHOWN: usize = 100;

/// Which calls; everything given must hold. Newest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallFilter {
    /// Lead records of missed conversations.
    pub missed: bool,
    /// Calls that have not ended.
    pub open: bool,
    /// Missed and not yet called back.
    pub to_call_back: bool,
    pub since: Option<Moment>,
    pub until: Option<Moment>,
    pub extension: Option<String>,
    /// Normalised number.
    pub client: Option<String>,
    pub conversation: Option<String>,
    pub crm: Option<String>,
    /// At most this many; 0 means 100.
    pub limit: usize,
}

/// Figures for the status page.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Counts {
    /// Calls that have not ended.
    pub open: u64,
    /// Lead records since the given moment.
    pub since: u64,
    /// Of them missed.
    pub missed_since: u64,
    /// Missed and not yet called back, of any age.
    pub to_call_back: u64,
}

/// A read-only view; sees every commit made before a question.
pub struct Reader {
    database: Database,
}

#[expect(clippy::missing_errors_doc, reason = "every question fails only if the database cannot be read")]
impl Reader {
    /// Fails if there is no database there, or none of this version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open_beside(path, Access::Read)? })
    }

    /// For whoever takes over: see [`Database::open_state`].
    pub fn open_state(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.database.open_state(id)
    }

    pub fn open_states(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.database.open_states()
    }

    pub fn waiting(&self, item: &str) -> Result<Vec<Waiting>, StoreError> {
        self.database.waiting(item)
    }

    pub fn all_waiting(&self, after: i64, most: usize) -> Result<Vec<(i64, Waiting)>, StoreError> {
        self.database.all_waiting(after, most)
    }

    pub fn conversations_that_wait(&self, most: usize) -> Result<Vec<String>, StoreError> {
        self.database.conversations_that_wait(most)
    }

    pub fn calls(&self, filter: &CallFilter) -> Result<Vec<Record>, StoreError> {
        self.database.calls(filter)
    }

    /// One record by id.
    pub fn record(&self, id: &str) -> Result<Option<Record>, StoreError> {
        self.database.record(id)
    }

    /// All records of a conversation, by its own id or that of one that was joined into it; the lead one first.
    pub fn conversation(&self, id: &str) -> Result<Vec<Record>, StoreError> {
        self.database.conversation(id)
    }

    /// Whether there is, or was until its client was forgotten, a conversation of this id.
    pub fn knows(&self, conversation: &str) -> Result<bool, StoreError> {
        self.database.knows(conversation)
    }

    /// The records of an exchange that began between two moments, oldest first.
    pub fn records_between(
        &self,
        pbx: &str,
        from: Moment,
        to: Moment,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.database.records_between(pbx, from.0, to.0, limit)
    }

    /// The records whose phone talked while this recording ran.
    pub fn records_of_recording(&self, recording_id: &str) -> Result<Vec<Record>, StoreError> {
        self.database.records_of_recording(recording_id)
    }

    /// At most `limit` records with recordings, stored before the one of number `below` (the newest, without one), newest
    /// first, each with its number.
    pub fn recorded(&self, below: Option<i64>, limit: usize) -> Result<Vec<(i64, Record)>, StoreError> {
        self.database.recorded(below, limit)
    }

    /// When the oldest call here began.
    #[cfg(feature = "mongodb")]
    pub fn oldest_call(&self) -> Result<Option<Moment>, StoreError> {
        Ok(self.database.oldest_call()?.map(Moment))
    }

    pub fn counts(&self, since: Moment) -> Result<Counts, StoreError> {
        self.database.counts(since)
    }

    /// Every destination anything was ever queued for.
    pub fn destinations(&self) -> Result<Vec<DestinationState>, StoreError> {
        self.database.destination_states()
    }

    /// Rows of the outbox, parked ones first, then the oldest.
    pub fn outbox(&self, destination: Option<&str>, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        self.database.outbox_rows(destination, limit)
    }

    pub fn request(&self, crm: &str, request: &str) -> Result<Option<RequestRow>, StoreError> {
        self.database.request(crm, request)
    }

    /// The newest lines of the click-to-call audit log, newest first.
    pub fn audit(&self, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.database.audit(limit)
    }

    pub fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.database.setting(key)
    }

    /// Settings whose key begins with `prefix`.
    pub fn settings_under(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.database.settings_under(prefix)
    }

    /// A consistent copy into the new file `to`, which appears under its name only when it is whole.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let failing = |what: &str, e: &std::io::Error| StoreError::Failing {
            why: format!("{what}: {e}"),
            disk_full: e.kind() == std::io::ErrorKind::StorageFull,
        };
        if to.exists() {
            let why = format!("{} exists; a backup never overwrites", to.display());
            return Err(StoreError::Unstorable { why });
        }
        let mut partial = to.as_os_str().to_owned();
        partial.push(".partial");
        let partial = std::path::PathBuf::from(partial);
        // Of a copy that was broken off; SQLite would try to go on with it.
        let _ = std::fs::remove_file(&partial);
        let done = self.database.backup(&partial).and_then(|()| {
            std::fs::File::open(&partial).and_then(|f| f.sync_all()).map_err(|e| failing("writing the copy", &e))?;
            std::fs::rename(&partial, to).map_err(|e| failing("naming the copy", &e))
        });
        if done.is_err() {
            let _ = std::fs::remove_file(&partial);
        }
        done
    }
}

/// Changes made from outside the keeper, in short transactions of their own. A running service notices them with its next
/// look at the outbox, or at once when it is told to reload.
pub struct Desk {
    database: Database,
}

#[expect(clippy::missing_errors_doc, reason = "all fail only if the database cannot be written")]
impl Desk {
    /// Fails if there is no database there, or none of this version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::open_beside(path, Access::Write)?;
        database.know_histories()?;
        Ok(Self { database })
    }

    /// Makes parked and delayed rows ready again; answers how many.
    pub fn retry(&self, rows: &Rows) -> Result<u64, StoreError> {
        self.database.transaction(|| self.database.retry(rows))
    }

    /// Removes rows undelivered; answers how many.
    pub fn drop_rows(&self, rows: &Rows) -> Result<u64, StoreError> {
        self.database.transaction(|| self.database.drop_rows(rows))
    }

    /// Stores calls that were found in Asterisk's own records and are not known; answers how many.
    pub fn save_found(&self, calls: &[FoundCall], follow_up_days: u32, now: Now) -> Result<u64, StoreError> {
        self.database.save_found(calls, Writing { at_ms: now.wall_ms, follow_up_days })
    }

    /// Keeps a small fact; an empty value removes it.
    pub fn save_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        self.database.transaction(|| self.database.save_setting(key, value))
    }

    /// Removes a client's calls, by normalised number.
    pub fn forget(&self, number: &str, now: Now) -> Result<Forgotten, StoreError> {
        self.database.forget(number, now.wall_ms)
    }
}
