//! What an earlier version left on disk in the middle of work is read: `tests/upgrade/` holds one such state per release,
//! written by the real program (see `tests/upgrade/make`).

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod store_support;

use std::path::{Path, PathBuf};

use pinconnector::call::record::Status;
use pinconnector::store::reader::CallFilter;
use pinconnector::store::{Reader, Settings};
use store_support::*;

/// Every state that is kept: its version and the SQL that makes its database.
fn states() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade");
    let mut states: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path: &PathBuf| path.extension().is_some_and(|extension| extension == "sql"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    states.sort();
    assert!(!states.is_empty(), "no state of any version");
    states
}

/// These calls grow older with every year: none is to be removed for it.
fn without_end(folder: &Path) -> Settings {
    Settings { keep_days: 0, ..settings(folder) }
}

/// Makes the database of a state, and `after` it.
fn lay_down(settings: &Settings, sql: &str, after: &str) {
    let connection = rusqlite::Connection::open(&settings.path).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.execute_batch(after).unwrap();
}

/// Three calls: one is over, one is talked on, one rings; none has reached the CRM.
fn everything_is_there(settings: &Settings, version: &str) {
    let before: i64 = {
        let connection = rusqlite::Connection::open(&settings.path).unwrap();
        connection.query_row("SELECT count(*) FROM open_conversation", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(before, 2, "{version}: the state itself");
    let desk = open(settings, 1, 50);
    assert_eq!(desk.restored.len(), 2, "{version}: open conversations");
    assert!(desk.quarantined.is_empty(), "{version}: {:?}", desk.quarantined);
    desk.stop();

    let reader = Reader::open(&settings.path).unwrap();
    let mut statuses: Vec<Status> =
        reader.calls(&CallFilter { limit: 10, ..CallFilter::default() }).unwrap().iter().map(|r| r.status).collect();
    statuses.sort_by_key(|status| format!("{status:?}"));
    assert_eq!(statuses, [Status::Completed, Status::InProgress, Status::Ringing], "{version}: the history");
    assert_eq!(reader.outbox(Some("lab"), 10).unwrap().len(), 3, "{version}: what waits");
    assert!(reader.setting("http.link_key").unwrap().is_some(), "{version}: links to recordings stay valid");
}

#[test]
fn the_state_of_every_version_is_read() {
    for (version, sql) in states() {
        let folder = tempfile::tempdir().unwrap();
        let settings = without_end(folder.path());
        lay_down(&settings, &sql, "");
        everything_is_there(&settings, &version);
    }
}

#[test]
fn a_database_of_the_first_schema_is_brought_up_to_date() {
    let (version, sql) = states().remove(0);
    let folder = tempfile::tempdir().unwrap();
    let settings = without_end(folder.path());
    // What schemas 2 and 3 added is taken away again.
    let first = "DROP TABLE told; DROP TABLE directory; DROP TABLE directory_state; PRAGMA user_version = 1;";
    lay_down(&settings, &sql, first);
    everything_is_there(&settings, &version);
    let connection = rusqlite::Connection::open(&settings.path).unwrap();
    let tables: i64 = connection
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name IN ('told', 'directory', 'directory_state')",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(tables, 3);
}
