//! What the keeper does in idle moments: copies the log back, forgets what is old, and looks around once a minute.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Alarm;
use super::lanes::DestinationLane;
use crate::clock::Now;
use crate::store::error::StoreError;
use crate::store::settings::{HISTORY, Settings, StoreKind};
use crate::store::sqlite::Database;
use crate::store::sqlite::upkeep::Cursor;

/// A process that has lived so long was not brought down by what it restored.
const RESTORED_WELL_MS: u64 = 600_000;
/// The log is copied back after so long without work,
const CHECKPOINT_IDLE_MS: u64 = 2_000;
/// if there were so many commits since, or
const CHECKPOINT_COMMITS: u64 = 64;
/// after so long whatever there is.
const CHECKPOINT_LATEST_MS: u64 = 60_000;
/// Retention begins so long after the start, and again so long after its end.
const RETENTION_FIRST_MS: u64 = 60_000;
const RETENTION_EVERY_MS: u64 = 3_600_000;
/// Calls looked at in one slice, and how long the keeper serves others between two.
const RETENTION_SLICE: usize = 50;
const RETENTION_PAUSE_MS: u64 = 100;
/// If it is never idle, upkeep is done all the same once it is overdue by this.
const OVERDUE_MS: u64 = 600_000;
const DAY_MS: i64 = 86_400_000;
/// How often the file and the outbox are looked at without a reason.
const LOOK_EVERY_MS: u64 = 60_000;

/// When what is due; all monotonic milliseconds.
pub struct Upkeep {
    started_ms: u64,
    restored_well: bool,
    commits: u64,
    last_commit_ms: u64,
    retention_due_ms: u64,
    cursor: Cursor,
    look_due_ms: u64,
    /// Device and inode of the file when it was first looked at.
    file: Option<(u64, u64)>,
    file_gone: bool,
}

impl Upkeep {
    pub fn new(now: Now) -> Self {
        Self {
            started_ms: now.mono_ms,
            restored_well: false,
            commits: 0,
            last_commit_ms: now.mono_ms,
            retention_due_ms: now.mono_ms + RETENTION_FIRST_MS,
            cursor: Cursor::default(),
            // At the first idle moment.
            look_due_ms: now.mono_ms,
            file: None,
            file_gone: false,
        }
    }

    pub fn committed(&mut self, now: Now) {
        self.commits += 1;
        self.last_commit_ms = now.mono_ms;
    }

    /// When there is something to do, if nothing comes before.
    pub fn next_ms(&self) -> u64 {
        let mut next_ms = self.retention_due_ms.min(self.look_due_ms);
        if self.commits > 0 {
            next_ms = next_ms.min(self.checkpoint_due_ms());
        }
        if !self.restored_well {
            next_ms = next_ms.min(self.started_ms + RESTORED_WELL_MS);
        }
        next_ms
    }

    /// The keeper was not idle for too long.
    pub fn is_overdue(&self, now: Now) -> bool {
        now.mono_ms >= self.retention_due_ms.min(self.look_due_ms) + OVERDUE_MS
    }

    /// Does what is due, a little at a time.
    pub fn work(
        &mut self,
        database: &Database,
        settings: &Settings,
        lanes: &mut [DestinationLane],
        now: Now,
    ) -> Option<Alarm> {
        let mut alarm = None;
        let mut done = Ok(());
        if self.commits > 0 && now.mono_ms >= self.checkpoint_due_ms() {
            self.commits = 0;
            done = database.checkpoint();
        }
        if done.is_ok() && !self.restored_well && now.mono_ms >= self.started_ms + RESTORED_WELL_MS {
            self.restored_well = true;
            done = database.restored_well();
        }
        if now.mono_ms >= self.look_due_ms {
            self.look_due_ms = now.mono_ms + LOOK_EVERY_MS;
            alarm = self.look_for_file(&settings.path);
            // Rows may have been changed from outside.
            lanes.iter_mut().for_each(DestinationLane::look_again);
        }
        if let Err(error) = done.and_then(|()| self.retain(database, settings, now)) {
            log::warn!("upkeep of the database was put off: {error}");
            self.retention_due_ms = now.mono_ms + RETENTION_EVERY_MS;
        }
        alarm
    }

    /// When the log is copied back, if nothing comes before.
    fn checkpoint_due_ms(&self) -> u64 {
        let wait_ms = if self.commits >= CHECKPOINT_COMMITS { CHECKPOINT_IDLE_MS } else { CHECKPOINT_LATEST_MS };
        self.last_commit_ms + wait_ms
    }

    /// One slice of forgetting, if it is time.
    fn retain(&mut self, database: &Database, settings: &Settings, now: Now) -> Result<(), StoreError> {
        if now.mono_ms < self.retention_due_ms {
            return Ok(());
        }
        let days_ago = |days: u32| now.wall_ms.saturating_sub(i64::from(days) * DAY_MS);
        let before_ms = if settings.keep_days == 0 { i64::MIN } else { days_ago(settings.keep_days) };
        let cursor = self.cursor;
        let (next, more) = database.transaction(|| {
            let more = database.forget_old_rest(now.wall_ms, before_ms, RETENTION_SLICE)?;
            let mut next = None;
            if cursor.started_at_ms < before_ms {
                next = database.forget_old(before_ms, cursor, RETENTION_SLICE)?;
            }
            if next.is_none() && settings.kind == StoreKind::Mongodb {
                // What MongoDB has as well; what began before it was fed, and was not copied, is here alone.
                let local_ms = days_ago(settings.mongodb.local_days);
                if let Some(since_ms) = database.fed_since(HISTORY)? {
                    let from = cursor.max(Cursor { started_at_ms: since_ms.max(before_ms), n: 0 });
                    next = database.forget_old(local_ms, from, RETENTION_SLICE)?;
                }
            }
            Ok((next, more))
        })?;
        self.commits += 1;
        self.cursor = next.unwrap_or_default();
        let pause_ms = if next.is_some() || more { RETENTION_PAUSE_MS } else { RETENTION_EVERY_MS };
        self.retention_due_ms = now.mono_ms + pause_ms;
        Ok(())
    }

    /// Whether the file is still the one that was opened.
    fn look_for_file(&mut self, path: &Path) -> Option<Alarm> {
        let file = std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        let opened = *self.file.get_or_insert(file.unwrap_or_default());
        if file == Some(opened) || std::mem::replace(&mut self.file_gone, true) {
            return None;
        }
        log::error!(
            "the database {} was deleted or replaced while in use: what is stored now goes to a file without a name and is \
             gone at the next stop. Restart the service",
            path.display()
        );
        Some(Alarm::StoreReplaced { path: path.to_owned() })
    }
}
