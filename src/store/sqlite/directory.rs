//! The contact directory's rows: numbers and whose they are, by CRM. What they mean is known to the directory itself.
//!
//! Written beside the keeper, through a connection of its own and in transactions short enough that no commit of a call waits
//! for them noticeably.

use std::path::Path;

use rusqlite::{CachedStatement, OptionalExtension, params};

use super::Database;
use super::questions::Access;
use crate::client::{Client, Kept, NumberOwners, Shelf};
use crate::store::error::StoreError;

/// Numbers written in one transaction: a few milliseconds.
const NUMBERS_AT_ONCE: usize = 250;

/// One CRM's part of the directory.
pub struct DirectoryRows {
    database: Database,
    crm: i64,
}

impl DirectoryRows {
    /// The part of `crm` in the database at `path`, which must exist.
    ///
    /// # Errors
    /// If there is no database there, or none of this version.
    pub fn open(path: &Path, crm: &str) -> Result<Self, StoreError> {
        let database = Database::open_beside(path, Access::Write)?;
        database.connection.execute("INSERT INTO directory_state (crm) VALUES (?1) ON CONFLICT DO NOTHING", [crm])?;
        let id = database.connection.query_row("SELECT id FROM directory_state WHERE crm = ?1", [crm], |r| r.get(0))?;
        Ok(Self { database, crm: id })
    }

    fn prepared(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        Ok(self.database.connection.prepare_cached(sql)?)
    }

    fn read(&self, take: &mut dyn FnMut(NumberOwners)) -> Result<Kept, StoreError> {
        let mut statement = self.prepared(
            "SELECT number, module, id, name, user, caller_id, contacted_at FROM directory WHERE crm = ?1
             ORDER BY number, module, id",
        )?;
        let mut rows = statement.query([self.crm])?;
        let mut owners = NumberOwners { number: String::new(), clients: Vec::new() };
        while let Some(row) = rows.next()? {
            let number = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            if number != owners.number && !owners.clients.is_empty() {
                take(std::mem::replace(&mut owners, NumberOwners { number: String::new(), clients: Vec::new() }));
            }
            if owners.clients.is_empty() {
                number.clone_into(&mut owners.number);
            }
            owners.clients.push(Client {
                module: row.get(1)?,
                id: row.get(2)?,
                name: row.get(3)?,
                user: row.get(4)?,
                caller_id: row.get(5)?,
                contacted_at_s: row.get(6)?,
            });
        }
        if !owners.clients.is_empty() {
            take(owners);
        }
        let mut statement = self.prepared("SELECT cursor, users FROM directory_state WHERE id = ?1")?;
        Ok(statement.query_row([self.crm], |row| Ok(Kept { cursor: row.get(0)?, users: row.get(1)? }))?)
    }

    fn write(&self, page: &[NumberOwners], walk: Option<i64>) -> Result<(), StoreError> {
        let mut remove = self.prepared("DELETE FROM directory WHERE crm = ?1 AND number = ?2")?;
        let mut insert = self.prepared(
            "INSERT OR REPLACE INTO directory (crm, number, module, id, name, user, caller_id, contacted_at, walk)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        for NumberOwners { number, clients } in page {
            remove.execute(params![self.crm, number])?;
            for client in clients {
                let Client { module, id, name, user, caller_id, contacted_at_s } = client;
                let walk = walk.unwrap_or(0);
                insert.execute(params![self.crm, number, module, id, name, user, caller_id, contacted_at_s, walk])?;
            }
        }
        Ok(())
    }
}

impl Shelf for DirectoryRows {
    fn each(&mut self, take: &mut dyn FnMut(NumberOwners)) -> Result<Kept, String> {
        self.read(take).map_err(|error| error.to_string())
    }

    fn put(&mut self, page: &[NumberOwners], cursor: &str, walk: Option<i64>) -> Result<(), String> {
        let put = || -> Result<(), StoreError> {
            for some in page.chunks(NUMBERS_AT_ONCE) {
                self.database.transaction(|| self.write(some, walk))?;
            }
            // The cursor comes last: what is interrupted is asked for again, and putting it twice changes nothing.
            self.prepared("UPDATE directory_state SET cursor = ?2 WHERE id = ?1")?
                .execute(params![self.crm, cursor])?;
            Ok(())
        };
        put().map_err(|error| error.to_string())
    }

    fn sweep(&mut self, walk: i64, gone: &mut dyn FnMut(&str)) -> Result<(), String> {
        let sweep = |gone: &mut dyn FnMut(&str)| -> Result<(), StoreError> {
            let mut from = String::new();
            loop {
                // By the key's order, a piece at a time: a directory that was exchanged leaves as many rows as it had.
                let to: Option<String> = self
                    .prepared(
                        "SELECT max(number) FROM (SELECT number FROM directory WHERE crm = ?1 AND number > ?2
                         ORDER BY number LIMIT ?3)",
                    )?
                    .query_row(params![self.crm, from, NUMBERS_AT_ONCE * 4], |row| row.get(0))
                    .optional()?
                    .flatten();
                let Some(to) = to else { return Ok(()) };
                self.database.transaction(|| {
                    let mut remove = self.prepared(
                        "DELETE FROM directory WHERE crm = ?1 AND number > ?2 AND number <= ?3 AND walk <> ?4
                         RETURNING number",
                    )?;
                    let mut rows = remove.query(params![self.crm, from, to, walk])?;
                    while let Some(row) = rows.next()? {
                        gone(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
                    }
                    Ok(())
                })?;
                from = to;
            }
        };
        sweep(gone).map_err(|error| error.to_string())
    }

    fn put_users(&mut self, users: &str) -> Result<(), String> {
        let put = || -> Result<(), StoreError> {
            self.prepared("UPDATE directory_state SET users = ?2 WHERE id = ?1")?.execute(params![self.crm, users])?;
            Ok(())
        };
        put().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::settings::PowerLoss;

    fn owners(number: &str, ids: &[&str]) -> NumberOwners {
        let client = |id: &&str| Client { module: "Contacts".to_owned(), id: (*id).to_owned(), ..Client::default() };
        NumberOwners { number: number.to_owned(), clients: ids.iter().map(client).collect() }
    }

    fn all(rows: &mut DirectoryRows) -> (Vec<NumberOwners>, Kept) {
        let mut all = Vec::new();
        let kept = rows.each(&mut |owners| all.push(owners)).expect("readable");
        (all, kept)
    }

    #[test]
    fn pages_replace_what_a_number_had_and_walks_forget_what_they_have_not_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.db");
        let _keeper = Database::open(&path, PowerLoss::LastSecond).expect("a database");
        let mut rows = DirectoryRows::open(&path, "vtiger").expect("rows");
        let mut others = DirectoryRows::open(&path, "other").expect("rows");
        others.put(&[owners("+70000000001", &["9"])], "o", None).expect("kept");

        rows.put(&[owners("+70000000001", &["1", "2"]), owners("12", &["3"])], "a", Some(7)).expect("kept");
        rows.put_users("{}").expect("kept");
        let (numbers, kept) = all(&mut rows);
        assert_eq!(numbers, [owners("+70000000001", &["1", "2"]), owners("12", &["3"])]);
        assert_eq!(kept, Kept { cursor: "a".to_owned(), users: "{}".to_owned() });

        rows.put(&[owners("+70000000001", &["2"]), owners("12", &[])], "b", None).expect("kept");
        assert_eq!(all(&mut rows).0, [owners("+70000000001", &["2"])]);

        let many: Vec<_> = (0..3_000).map(|n| owners(&format!("+7{n:010}"), &["5"])).collect();
        rows.put(&many, "c", Some(8)).expect("kept");
        rows.put(&many[..10], "d", Some(9)).expect("kept");
        let mut gone = Vec::new();
        rows.sweep(9, &mut |number| gone.push(number.to_owned())).expect("swept");
        assert_eq!((gone.len(), all(&mut rows).0.len()), (2_990, 10));
        // Opened again, as after a restart; the other CRM's rows are untouched.
        assert_eq!(all(&mut DirectoryRows::open(&path, "vtiger").expect("rows")).1.cursor, "d");
        assert_eq!(all(&mut others).0, [owners("+70000000001", &["9"])]);
    }
}
