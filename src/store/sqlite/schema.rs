//! The tables, how they came to be, and opening the file they are in.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Database;
use crate::store::error::StartError;
use crate::store::settings::PowerLoss;

/// `PRAGMA application_id`: "PINC". A file that carries another is not ours.
const APPLICATION_ID: i64 = 0x5049_4e43;

/// One entry a version, never changed once released; `user_version` counts how many were applied.
const MIGRATIONS: &[&str] = &[include_str!("schema_1.sql"), include_str!("schema_2.sql"), include_str!("schema_3.sql")];

/// How long a commit waits for another writer (the command line's `outbox drop`) before it counts as failed.
pub const BUSY_TIMEOUT_MS: u64 = 2_000;
/// And how long while it fails already: the deliveries from memory must not wait each time.
const BUSY_TIMEOUT_FAILING_MS: u64 = 50;
/// Pages of memory for the keeper's connection. The tables it works on are seeked, not scanned, and the system caches the
/// file anyway: measured, a larger cache gains nothing at 1,000 calls a second.
const CACHE_KIB: i64 = 512;
/// The write-ahead log is copied back when it has this many pages, if no idle moment came before (16 MB).
const CHECKPOINT_PAGES: i64 = 4_000;

impl Database {
    /// Opens the file for writing, makes it if there is none, brings the schema up to date, and proves that a commit
    /// reaches the disk.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn open(path: &Path, power_loss: PowerLoss) -> Result<Self, StartError> {
        // Calls are personal: the file is for its owner and group, and SQLite gives its companions the same mode.
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(path)
            .map_err(|e| of_io(path, &e))?;
        let fault = |e: rusqlite::Error| of_sqlite(path, &e);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS)).map_err(fault)?;
        connection.set_prepared_statement_cache_capacity(64);
        // Else what is bound to a range makes SQLite plan the statement anew each time: a quarter of this thread's work.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(fault)?;

        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(fault);
        let has = number("user_version")?;
        let knows = version();
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fault)?;
        if tables > 0 && number("application_id")? != APPLICATION_ID {
            let why = "it belongs to another program".to_owned();
            return Err(StartError::Corrupt { path: path.to_owned(), why });
        }
        if has > knows {
            return Err(StartError::Newer { path: path.to_owned(), has, knows });
        }

        let synchronous = match power_loss {
            PowerLoss::LastCommit => "FULL",
            PowerLoss::LastSecond => "NORMAL",
        };
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = {synchronous};
                 PRAGMA cache_size = -{CACHE_KIB};
                 PRAGMA mmap_size = 0;
                 PRAGMA temp_store = MEMORY;
                 PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
                 PRAGMA journal_size_limit = 33554432;
                 PRAGMA secure_delete = OFF;"
            ))
            .map_err(fault)?;

        let database = Self::new(connection);
        database.waits_for_disk.set((power_loss == PowerLoss::LastCommit).then_some(true));
        database.migrate(has).map_err(fault)?;
        database.probe(path)?;
        Ok(database)
    }

    /// Sets how long a commit waits for another writer, by whether the last one failed.
    pub fn be_patient(&self, patience: Patience) {
        let ms = match patience {
            Patience::Usual => BUSY_TIMEOUT_MS,
            Patience::Failing => BUSY_TIMEOUT_FAILING_MS,
        };
        // It only sets a number in the connection; if that failed, the old one would do as well.
        let _ = self.connection.busy_timeout(std::time::Duration::from_millis(ms));
    }

    fn migrate(&self, has: i64) -> rusqlite::Result<()> {
        let done = usize::try_from(has).unwrap_or(0);
        for (i, sql) in MIGRATIONS.iter().enumerate().skip(done) {
            let version = i + 1;
            self.connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {sql}
                 PRAGMA application_id = {APPLICATION_ID};
                 PRAGMA user_version = {version};
                 COMMIT;"
            ))?;
        }
        Ok(())
    }

    /// A small write that must reach the disk, and a look at the table every start depends on.
    fn probe(&self, path: &Path) -> Result<(), StartError> {
        let fault = |e: rusqlite::Error| of_sqlite(path, &e);
        self.connection
            .execute(
                "INSERT INTO setting (key, value) VALUES ('starts', '1')
                 ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1",
                [],
            )
            .map_err(fault)?;
        let word: String = self
            .connection
            .query_row("PRAGMA quick_check('open_conversation')", [], |row| row.get(0))
            .map_err(fault)?;
        if word == "ok" { Ok(()) } else { Err(StartError::Corrupt { path: path.to_owned(), why: word }) }
    }
}

/// See [`Database::be_patient`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    Usual,
    Failing,
}

/// The schema this program writes.
pub fn version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// What an error of the file system means for the start.
pub fn of_io(path: &Path, error: &std::io::Error) -> StartError {
    use std::io::ErrorKind as K;
    let path = path.to_owned();
    match error.kind() {
        K::StorageFull | K::QuotaExceeded => StartError::DiskFull { path },
        K::PermissionDenied | K::ReadOnlyFilesystem | K::NotFound | K::NotADirectory | K::IsADirectory => {
            StartError::NotWritable { path, why: error.to_string() }
        }
        _ => StartError::Io { path, why: error.to_string() },
    }
}

fn of_sqlite(path: &Path, error: &rusqlite::Error) -> StartError {
    let path = path.to_owned();
    let why = error.to_string();
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return StartError::Corrupt { path, why };
    };
    match failure.code {
        ErrorCode::DiskFull => StartError::DiskFull { path },
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            StartError::Locked { path, pid: None }
        }
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            StartError::NotWritable { path, why }
        }
        ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown => StartError::Corrupt { path, why },
        _ => StartError::Io { path, why },
    }
}
