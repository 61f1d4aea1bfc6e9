//! All SQL of the local database, and nothing but: no policy, no threads, no clock.
//!
//! Split by what the tables are about: [`schema`] opens and migrates, [`history`] writes calls and open conversations,
//! [`outbox_rows`] and [`conversations`] keep what must still reach whom, [`upkeep`] forgets what is old or unwanted,
//! [`directory`] keeps numbers and whose they are, [`found`] takes in calls found afterwards, [`questions`] reads for people.
//! Statements are prepared once and cached; those on the keeper's path seek by an index and never sort.

pub mod conversations;
#[cfg(feature = "mongodb")]
pub mod copying;
pub mod directory;
mod found;
pub mod history;
pub mod inheritance;
pub mod outbox_rows;
pub mod questions;
pub mod relayed;
pub mod schema;
pub mod upkeep;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use rusqlite::{Connection, ErrorCode, ffi};

use super::error::StoreError;
use super::relay::RelayChange;

/// The keeper's connection.
pub struct Database {
    pub(super) connection: Connection,
    /// `destination.id` by name; as many as there ever were `[[crm]]` sections.
    pub(super) destinations: RefCell<HashMap<String, i64>>,
    /// Names of the destinations that take whole conversations.
    pub(super) histories: RefCell<Vec<String>>,
    /// The last revision of a conversation that was given out.
    pub(super) conversation_revision: Cell<u64>,
    /// What changed, where somebody follows it.
    pub(super) touched: RefCell<Option<Vec<RelayChange>>>,
    /// Whether a commit waits for the disk; absent where it never does (`power_loss = "last-second"`).
    pub(super) waits_for_disk: Cell<Option<bool>>,
}

impl Database {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            destinations: RefCell::default(),
            histories: RefCell::default(),
            conversation_revision: Cell::default(),
            touched: RefCell::default(),
            waits_for_disk: Cell::default(),
        }
    }

    /// Whether the next commits must outlast a power failure by themselves. Others are written all the same, outlast everything
    /// but that, and reach the disk with the next commit that must.
    ///
    /// # Errors
    /// What SQLite answered.
    pub fn must_outlast_power(&self, must: bool) -> Result<(), StoreError> {
        if self.waits_for_disk.get().is_none_or(|does| does == must) {
            return Ok(());
        }
        let level = if must { "FULL" } else { "NORMAL" };
        self.connection.execute_batch(&format!("PRAGMA synchronous = {level}"))?;
        self.waits_for_disk.set(Some(must));
        Ok(())
    }

    /// Runs `work` in one transaction. Whatever it wrote is there after `Ok`, and none of it after `Err`.
    ///
    /// # Errors
    /// What `work` or the commit answered.
    pub fn transaction<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        // Immediate: another writer (the command line) is met here, not halfway.
        self.run("BEGIN IMMEDIATE")?;
        match work().and_then(|done| self.run("COMMIT").map(|()| done)) {
            Ok(done) => Ok(done),
            Err(error) => {
                // After a full disk SQLite may have rolled back by itself.
                if !self.connection.is_autocommit() {
                    let _ = self.run("ROLLBACK");
                }
                // Ids given out in it are gone as well.
                self.destinations.borrow_mut().clear();
                Err(error)
            }
        }
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql).and_then(|mut s| s.execute([])).map(drop).map_err(StoreError::from)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let why = error.to_string();
        match &error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Self::Failing { why, disk_full: true },
                ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::ApiMisuse
                | ErrorCode::ParameterOutOfRange => Self::Unstorable { why },
                // A statement that cannot be prepared is a fault of ours, if the file is sound.
                ErrorCode::Unknown if failure.extended_code == ffi::SQLITE_ERROR => Self::Unstorable { why },
                _ => Self::Failing { why, disk_full: false },
            },
            _ => Self::Unstorable { why },
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Unstorable { why: error.to_string() }
    }
}

/// SQLite's integers have a sign; revisions stay far below it.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
