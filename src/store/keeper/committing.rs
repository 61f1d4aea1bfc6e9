//! One commit: everything pending, in one transaction.

use super::pending::{Note, Pending};
use crate::clock::Now;
use crate::store::error::StoreError;
use crate::store::sqlite::Database;
use crate::store::sqlite::history::Writing;

/// What a commit did.
pub struct Written {
    /// Things that can never be stored and were left out.
    pub unstorable: u64,
    /// When the statements were done and the disk's part began.
    pub worked_until: Now,
}

/// Writes all of `pending`. What cannot ever be stored is skipped and counted, so that it does not keep the rest from
/// being stored.
///
/// # Errors
/// If the database fails; `pending` is then to be written again.
pub fn commit(
    database: &Database,
    pending: &mut Pending,
    writing: Writing,
    clock: fn() -> Now,
) -> Result<Written, StoreError> {
    // What became of deliveries may be forgotten by a power failure: they are sent once more, which is harmless. Waiting for the
    // disk for them would keep the next call's change waiting.
    database.must_outlast_power(pending.is_more_than_fates())?;
    let written = database.transaction(|| {
        let mut unstorable = 0;
        let mut skip = |what: &str, done: Result<(), StoreError>| match done {
            Err(StoreError::Unstorable { why }) => {
                log::error!("{what}: cannot be stored and is left out: {why}");
                unstorable += 1;
                Ok(())
            }
            done => done,
        };
        // First what became of earlier revisions, so that a newer one of the same commit is queued anew.
        for fate in &pending.fates {
            let done = database
                .destination(&fate.destination)
                .and_then(|id| database.apply((id, fate.kind), &fate.item, fate.sent, &fate.fate, writing.at_ms));
            skip(&fate.item, done)?;
        }
        for (id, conversation) in &pending.conversations {
            skip(id, database.save_conversation(id, &conversation.pbx, conversation.open.as_deref()))?;
            if let Some(into) = &conversation.joined_into {
                skip(id, database.save_joined(id, into, writing.at_ms))?;
            }
        }
        for pending in pending.records.values_mut() {
            let at_ms = pending.changed_at_ms;
            let done = database.save_record(&mut pending.record, pending.delivered, Writing { at_ms, ..writing });
            skip(&pending.record.id, done)?;
        }
        for (id, amendment, at_ms) in &pending.amendments {
            skip(id, database.amend(id, amendment, *at_ms).map(drop))?;
        }
        for request in &pending.requests {
            skip(&request.request, database.save_request(request))?;
        }
        for audit in &pending.audits {
            skip("an audit line", database.save_audit(audit))?;
        }
        for (key, value) in &pending.settings {
            skip(key, database.save_setting(key, value))?;
        }
        for ((name, item), text) in &pending.told {
            skip(item, database.destination(name).and_then(|id| database.save_told(id, item, text)))?;
        }
        for (name, note) in &pending.notes {
            let done = database.destination(name).and_then(|id| match note {
                Note::Up => database.note_up(id, writing.at_ms),
                Note::Down { since_ms, next_try_ms, tries, why } => {
                    database.note_down(id, *since_ms, *next_try_ms, *tries, why, writing.at_ms)
                }
            });
            skip(name, done)?;
        }
        Ok(Written { unstorable, worked_until: clock() })
    });
    // Whatever else commits does not know of this.
    database.must_outlast_power(true)?;
    written
}
