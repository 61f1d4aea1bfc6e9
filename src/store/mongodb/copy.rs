//! `history copy`: the whole history from the local database to MongoDB, or back. Goes on where it was broken off: how far
//! it came is kept in the local database. What is there in a younger state stays.

use std::path::Path;

use super::Target;
use super::reader::Reader;
use super::writer::Writer;
use crate::outbox::{Delivery, Outcome, Verdict};
use crate::store::error::{StartError, StoreError};
use crate::store::settings::{HISTORY, Settings, StoreKind};
use crate::store::sqlite::Database;
use crate::store::sqlite::questions::Access;

/// Calls read at once, and conversations.
const SLICE: usize = 200;
/// The cursors, with the place in MongoDB they belong to.
const CURSOR_KEYS: [(Direction, &str); 2] =
    [(Direction::ToMongodb, "history_copy.to_mongodb"), (Direction::ToSqlite, "history_copy.to_sqlite")];
/// In a cursor: the conversations are done, their tombstones follow.
const JOINED: &str = "joined ";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    ToMongodb,
    ToSqlite,
}

/// How far it has come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Calls (to MongoDB) or conversations (to SQLite) looked at, of about so many; both with what earlier runs did.
    pub seen: u64,
    pub total: u64,
    /// Conversations written by this run,
    pub written: u64,
    /// and those that were there already.
    pub there: u64,
    /// Conversations that MongoDB will not take, and why.
    pub refused: Vec<(String, String)>,
}

/// Why it ended early; what is done is done.
#[derive(Debug)]
pub enum Broken {
    Local(String),
    /// MongoDB is away.
    Away(String),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Local(error.to_string())
    }
}

impl From<StartError> for Broken {
    fn from(error: StartError) -> Self {
        Self::Local(error.to_string())
    }
}

/// Copies. `again`: from the beginning, whatever was done before. `told` hears of the progress after each slice.
///
/// # Errors
/// If either side fails; the same call goes on from there.
pub fn copy(
    settings: &Settings,
    target: &Target,
    direction: Direction,
    again: bool,
    told: &mut dyn FnMut(&Progress),
) -> Result<Progress, Broken> {
    let database = open(settings, direction)?;
    let mut copy = Copy { database, key: key(direction), place: place(target), progress: Progress::default() };
    if again {
        copy.database.remove_setting(copy.key)?;
    }
    match direction {
        Direction::ToMongodb => copy.fill_mongodb(Writer::new(target.clone()), settings.kind, told)?,
        Direction::ToSqlite => copy.fill_sqlite(&Reader::open(target)?, told)?,
    }
    copy.database.remove_setting(copy.key)?;
    Ok(copy.progress)
}

/// Where a running service has its database, too, so only in short transactions.
fn open(settings: &Settings, direction: Direction) -> Result<Database, Broken> {
    let path: &Path = &settings.path;
    if direction == Direction::ToSqlite && !path.exists() {
        // A new machine: made as the service would make it.
        drop(Database::open(path, settings.power_loss)?);
    }
    Ok(Database::open_beside(path, Access::Write)?)
}

fn key(direction: Direction) -> &'static str {
    CURSOR_KEYS.iter().find(|(of, _)| *of == direction).map_or("", |(_, key)| key)
}

/// Hosts, database and collection, without the account.
fn place(target: &Target) -> String {
    let uri = target.settings.uri.as_ref().map_or("", |uri| uri.expose());
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let hosts = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
    format!("{hosts}/{}.{}", target.settings.database, target.settings.collection)
}

struct Copy {
    database: Database,
    key: &'static str,
    place: String,
    progress: Progress,
}

impl Copy {
    /// Where an earlier run to the same place was broken off.
    fn cursor(&self) -> Result<Option<String>, StoreError> {
        let kept = self.database.setting(self.key)?;
        Ok(kept.and_then(|kept| kept.strip_prefix(&format!("{} ", self.place)).map(str::to_owned)))
    }

    fn save_cursor(&self, cursor: &str) -> Result<(), StoreError> {
        self.database.save_setting(self.key, &format!("{} {cursor}", self.place))
    }

    fn fill_mongodb(
        &mut self,
        mut writer: Writer,
        kind: StoreKind,
        told: &mut dyn FnMut(&Progress),
    ) -> Result<(), Broken> {
        let cursor = self.cursor()?;
        let joined = cursor.as_deref().and_then(|cursor| cursor.strip_prefix(JOINED)).map(str::to_owned);
        self.progress.total = self.database.calls_there_are()?;
        if joined.is_none() {
            let mut after = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0_i64);
            while let (deliveries, Some(next)) = self.database.conversations_after(after, SLICE)? {
                self.deliver(&mut writer, &deliveries)?;
                after = next;
                self.save_cursor(&after.to_string())?;
                self.progress.seen = u64::try_from(after).unwrap_or(0);
                told(&self.progress);
            }
        }
        // After what they point at.
        let mut after = joined.unwrap_or_default();
        while let (deliveries, Some(next)) = self.database.joined_after(&after, SLICE)? {
            self.deliver(&mut writer, &deliveries)?;
            after = next;
            self.save_cursor(&format!("{JOINED}{after}"))?;
        }
        if kind == StoreKind::Mongodb && self.progress.refused.is_empty() && self.database.fed_since(HISTORY)?.is_some()
        {
            // Nothing is here alone any more, so the local database need not keep it.
            self.database.fed_since_is(HISTORY, 0)?;
        }
        Ok(())
    }

    fn deliver(&mut self, writer: &mut Writer, deliveries: &[Delivery]) -> Result<(), Broken> {
        let verdicts = match writer.deliver(deliveries) {
            Outcome::Answered(verdicts) => verdicts,
            Outcome::CrmDown { why, .. } | Outcome::BatchRefused { why } => return Err(Broken::Away(why)),
            Outcome::NotOurs => return Err(Broken::Away("another connector holds the lease".to_owned())),
        };
        for (delivery, verdict) in deliveries.iter().zip(verdicts) {
            match verdict {
                Verdict::Saved => self.progress.written += 1,
                Verdict::Unchanged | Verdict::Stale { .. } => self.progress.there += 1,
                Verdict::Rejected { reason } => self.progress.refused.push((delivery.record_id.clone(), reason)),
                Verdict::Retry { why } => return Err(Broken::Away(why)),
            }
        }
        Ok(())
    }

    fn fill_sqlite(&mut self, reader: &Reader, told: &mut dyn FnMut(&Progress)) -> Result<(), Broken> {
        let away = |error: StoreError| Broken::Away(error.to_string());
        let (seen, mut after) = self
            .cursor()?
            .and_then(|cursor| cursor.split_once(' ').map(|(seen, after)| (seen.to_owned(), after.to_owned())))
            .unwrap_or_default();
        self.progress.seen = seen.parse().unwrap_or(0);
        self.progress.total = reader.about().map_err(away)?;
        loop {
            let kept = reader.after(&after, SLICE).map_err(away)?;
            let Some(last) = kept.last() else { return Ok(()) };
            after.clone_from(&last.id);
            self.progress.seen += kept.len() as u64;
            let cursor = format!("{} {after}", self.progress.seen);
            let new = self.database.transaction(|| {
                let mut new = 0;
                for conversation in &kept {
                    let mut taken = false;
                    for record in &conversation.calls {
                        taken |= self.database.take_in(record)?;
                    }
                    if let Some((into, at_ms)) = &conversation.joined_into
                        && reader.is_ours(&conversation.id)
                    {
                        taken |= self.database.take_in_joined(&conversation.id, into, *at_ms)?;
                    }
                    new += u64::from(taken);
                }
                self.save_cursor(&cursor)?;
                Ok(new)
            })?;
            self.progress.written += new;
            self.progress.there += kept.len() as u64 - new;
            told(&self.progress);
        }
    }
}
