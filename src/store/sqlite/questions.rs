//! What people ask: calls by all kinds of filters, how the outbox stands.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params_from_iter};

use super::schema::BUSY_TIMEOUT_MS;
use super::{Database, unsigned};
use crate::call::Record;
use crate::call::record::Moment;
use crate::store::error::StoreError;
use crate::store::reader::{CALLS_SHOWN, CallFilter, Counts};
use crate::store::rows::{AuditRow, DestinationState, OutboxRow, RequestRow};

/// A conversation of more records than this is cut when shown.
const CONVERSATION_MAX: i64 = 1_000;

/// Whether a second connection only looks or also changes rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Read,
    Write,
}

impl Database {
    /// A second connection beside the keeper's: no migration, no lock; short transactions only.
    ///
    /// # Errors
    /// If there is no database, or it is not of this version.
    pub fn open_beside(path: &Path, access: Access) -> Result<Self, StoreError> {
        let flags = match access {
            Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.execute_batch("PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY;")?;
        let has: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if has != super::schema::version() {
            let why = format!("its schema is {has}, this program's is {}", super::schema::version());
            return Err(StoreError::Unstorable { why });
        }
        Ok(Self::new(connection))
    }

    /// Calls, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn calls(&self, filter: &CallFilter) -> Result<Vec<Record>, StoreError> {
        let mut wanted = vec!["1"];
        let mut values = Vec::new();
        if filter.missed {
            wanted.push("missed = 1");
        }
        if filter.open {
            wanted.push("open = 1");
        }
        if filter.to_call_back {
            wanted.push("to_settle = 1");
        }
        let mut given = |clause: &'static str, value: Option<Value>| {
            if let Some(value) = value {
                wanted.push(clause);
                values.push(value);
            }
        };
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        given("started_at >= ?", filter.since.map(|at| Value::Integer(at.0)));
        given("started_at <= ?", filter.until.map(|at| Value::Integer(at.0)));
        given("extension = ?", text(&filter.extension));
        given("client = ?", text(&filter.client));
        given("conversation = ?", text(&filter.conversation));
        given("crm = ?", text(&filter.crm));
        let limit = if filter.limit == 0 { CALLS_SHOWN } else { filter.limit };
        let wanted = wanted.join(" AND ");
        let sql = format!("SELECT body FROM record WHERE {wanted} ORDER BY started_at DESC, n DESC LIMIT {limit}");
        self.bodies(&sql, values)
    }

    /// All records of a conversation, by its own id or that of one that was joined into it; the lead one first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn conversation(&self, id: &str) -> Result<Vec<Record>, StoreError> {
        let mut id = id.to_owned();
        // Joined into one that was joined itself: as long a chain as anybody transfers, and no circle.
        for _ in 0..16 {
            let mut statement = self.connection.prepare_cached("SELECT into_id FROM joined WHERE id = ?1")?;
            match statement.query_row([&id], |row| row.get::<_, String>(0)).optional()? {
                Some(into) => id = into,
                None => break,
            }
        }
        let sql = format!(
            "SELECT body FROM record WHERE conversation = ? ORDER BY lead DESC, started_at, n LIMIT {CONVERSATION_MAX}"
        );
        self.bodies(&sql, vec![Value::Text(id)])
    }

    /// The records whose phone talked while this recording ran.
    ///
    /// # Errors
    /// If the database fails.
    pub fn records_of_recording(&self, id: &str) -> Result<Vec<Record>, StoreError> {
        let sql =
            "SELECT r.body FROM recording JOIN record r ON r.n = recording.record WHERE recording.id = ? LIMIT 100";
        self.bodies(sql, vec![Value::Text(id.to_owned())])
    }

    /// Records with recordings, the newest first, each with its number, below which the next page begins.
    ///
    /// # Errors
    /// If the database fails.
    pub fn recorded(&self, below: Option<i64>, limit: usize) -> Result<Vec<(i64, Record)>, StoreError> {
        let sql = "SELECT r.n, r.body FROM (SELECT DISTINCT record FROM recording WHERE record < ?1 ORDER BY record DESC LIMIT ?2)
             JOIN record r ON r.n = record ORDER BY record DESC";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query((below.unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX)))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let body = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            match serde_json::from_str(body) {
                Ok(record) => found.push((row.get(0)?, record)),
                // One that a later version wrote must not end the walk for the others.
                Err(error) => log::debug!("a record cannot be read: {error}"),
            }
        }
        Ok(found)
    }

    fn bodies(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Record>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
        }
        Ok(records)
    }

    /// Figures for the status page.
    ///
    /// # Errors
    /// If the database fails.
    pub fn counts(&self, since: Moment) -> Result<Counts, StoreError> {
        let count = |sql: &str, since: Option<i64>| -> Result<u64, StoreError> {
            let n = self.connection.prepare_cached(sql)?.query_row(params_from_iter(since), |row| row.get(0))?;
            Ok(unsigned(n))
        };
        Ok(Counts {
            open: count("SELECT count(*) FROM record WHERE open = 1", None)?,
            since: count("SELECT count(*) FROM record WHERE started_at >= ? AND lead = 1", Some(since.0))?,
            missed_since: count("SELECT count(*) FROM record WHERE missed = 1 AND started_at >= ?", Some(since.0))?,
            to_call_back: count("SELECT count(*) FROM record WHERE to_settle = 1", None)?,
        })
    }

    /// Every destination there ever was.
    ///
    /// # Errors
    /// If the database fails.
    pub fn destination_states(&self) -> Result<Vec<DestinationState>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT d.name, d.down_since, d.next_try, d.tries, d.last_error, d.last_error_at, d.last_success_at,
                 (SELECT count(*) FROM outbox o WHERE o.destination = d.id AND o.state = 0),
                 (SELECT count(*) FROM outbox o WHERE o.destination = d.id AND o.state = 1),
                 (SELECT count(*) FROM outbox o WHERE o.destination = d.id AND o.state = 2),
                 (SELECT min(o.changed_at) FROM outbox o WHERE o.destination = d.id AND o.state = 0),
                 (SELECT min(o.changed_at) FROM outbox o WHERE o.destination = d.id AND o.state = 1)
             FROM destination d ORDER BY d.name",
        )?;
        let rows = statement.query_map([], |row| {
            let oldest = [row.get::<_, Option<i64>>(10)?, row.get(11)?];
            Ok(DestinationState {
                name: row.get(0)?,
                down_since_ms: row.get(1)?,
                next_try_ms: row.get(2)?,
                tries: row.get(3)?,
                last_error: row.get(4)?,
                last_error_ms: row.get(5)?,
                last_success_ms: row.get(6)?,
                waiting: unsigned(row.get::<_, i64>(7)?) + unsigned(row.get(8)?),
                parked: unsigned(row.get(9)?),
                oldest_ms: oldest.into_iter().flatten().min(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Rows of the outbox: parked ones first, then the oldest.
    ///
    /// # Errors
    /// If the database fails.
    pub fn outbox_rows(&self, destination: Option<&str>, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let mut found = Vec::new();
        let mut names = self.connection.prepare_cached("SELECT id, name FROM destination ORDER BY name")?;
        let names = names
            .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        for (state, order) in [(2, "id"), (1, "due"), (0, "changed_at")] {
            for (id, name) in names.iter().filter(|(_, name)| destination.is_none_or(|wanted| wanted == name)) {
                let left = limit.saturating_sub(found.len());
                let sql = format!(
                    "SELECT id, item, revision, since, changed_at, tries, last_error FROM outbox
                     WHERE state = {state} AND destination = ?1 ORDER BY {order} LIMIT {left}"
                );
                let mut statement = self.connection.prepare(&sql)?;
                let rows = statement.query_map([id], |row| {
                    let last_error: Option<String> = row.get(6)?;
                    Ok(OutboxRow {
                        id: row.get(0)?,
                        destination: name.clone(),
                        item: row.get(1)?,
                        revision: unsigned(row.get(2)?),
                        since_ms: row.get(3)?,
                        changed_at_ms: row.get(4)?,
                        tries: row.get(5)?,
                        parked: last_error.clone().filter(|_| state == 2),
                        last_error,
                    })
                })?;
                for row in rows {
                    found.push(row?);
                }
            }
        }
        Ok(found)
    }

    /// # Errors
    /// If the database fails.
    pub fn request(&self, crm: &str, request: &str) -> Result<Option<RequestRow>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT crm, request, answer, at FROM request WHERE crm = ?1 AND request = ?2")?;
        let row = statement.query_row([crm, request], |row| {
            Ok(RequestRow { crm: row.get(0)?, request: row.get(1)?, answer: row.get(2)?, at_ms: row.get(3)? })
        });
        Ok(row.optional()?)
    }

    /// The newest lines of the click-to-call audit log, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn audit(&self, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT at, crm, user, request, caller, called, outcome, peer FROM audit ORDER BY id DESC LIMIT ?1",
        )?;
        let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok(AuditRow {
                at_ms: row.get(0)?,
                crm: row.get(1)?,
                user: row.get(2)?,
                request: row.get(3)?,
                from: row.get(4)?,
                to: row.get(5)?,
                outcome: row.get(6)?,
                peer: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// # Errors
    /// If the database fails.
    pub fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM setting WHERE key = ?1")?;
        Ok(statement.query_row([key], |row| row.get(0)).optional()?)
    }

    /// Settings whose key begins with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// If the database fails.
    pub fn settings_under(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT key, value FROM setting WHERE key >= ?1 AND key < ?2 ORDER BY key")?;
        let beyond = format!("{prefix}{}", char::MAX);
        let rows = statement.query_map([prefix, &beyond], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?)
    }

    /// Copies everything but what is open, as of one moment, into the new file `to`.
    ///
    /// # Errors
    /// If either side fails; `to` is then of no use.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let mut copy = Connection::open(to)?;
        let backup = rusqlite::backup::Backup::new(&self.connection, &mut copy)?;
        // All in one step: one read transaction, so one moment; the keeper writes on meanwhile.
        loop {
            match backup.step(-1)? {
                rusqlite::backup::StepResult::Done => break,
                rusqlite::backup::StepResult::More => {}
                _ => {
                    let why = "the database was busy for too long".to_owned();
                    return Err(StoreError::Failing { why, disk_full: false });
                }
            }
        }
        drop(backup);
        // What was open then is over when the copy is used: restored, it would end as lost, and the CRM would believe that.
        copy.execute("DELETE FROM open_conversation", [])?;
        // A copy in one file: without the companions of a write-ahead log.
        copy.pragma_update(None, "journal_mode", "DELETE")?;
        Ok(())
    }
}
