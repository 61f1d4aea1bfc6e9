//! One process at a time: a lock file beside the database, and the mark of an abort.

use std::path::Path;

/// The process that holds this database, if one does.
pub fn holder(database: &Path) -> Option<u32> {
    let _ = database;
    todo!()
}

/// Notes that this process is about to abort, so that the next start can tell a conversation that brings it down.
/// For the panic hook: makes one empty file, allocates little, cannot fail loudly.
pub fn mark_abort(database: &Path) {
    let _ = database;
}
