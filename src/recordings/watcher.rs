//! The `recordings` thread: looks at files when [`Waiting`] says so, goes through the history in rounds, and says what it
//! found as amendments of records.
//!
//! A round (at the start, every six hours, after a reload, when a folder is back) finds what was moved, converted or deleted
//! by others, what was missed while the service was down, and what is old enough to be deleted. It reads the history in
//! small pages, so that it holds up nobody. A folder on a dead network mount may hold up this thread; nobody waits for it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use jiff::tz::TimeZone;

use super::settings::RecordingsSettings;
use super::waiting::{Expected, Look, Seen, Verdict, WAITING_MAX, Waiting};
use crate::call::Record;
use crate::call::record::{Amendment, Recording, RecordingState};
use crate::clock::Now;
use crate::recording_file::{self, Found, Missing, Search};
use crate::threads::Thread;

/// Between the end of one round and the next.
const ROUND_EVERY_MS: u64 = 6 * 3_600_000;
/// The start has enough to do.
const FIRST_ROUND_MS: u64 = 3_000;
/// Records of one page, and the pause between two.
const PAGE: usize = 100;
const PAGE_PAUSE_MS: u64 = 50;
/// When a round goes on that had to stop: too many are waited for, or the database is behind.
const HELD_UP_MS: u64 = 5_000;
/// When the history is tried again that could not be read.
const UNREADABLE_MS: u64 = 60_000;
/// How often a folder that is not there is looked for.
const FOLDER_EVERY_MS: u64 = 10_000;
/// A file may come so long after its call (a script carries it over), if the call is young.
const PATIENCE_MS: u64 = 600_000;
const YOUNG_MS: i64 = 3_600_000;
/// A deleted recording may come back (a nightly copy, a restored disk) within so many days.
const COMES_BACK_DAYS: i64 = 7;
/// A call that has not ended after so long has an end nobody saw.
const OPEN_MS: i64 = 24 * 3_600_000;
/// Files of one recording: itself and its conversions.
const COPIES_MAX: usize = 16;
/// Looks between two looks at what we are told, which includes the wish to stop.
const LOOKS_AT_ONCE: usize = 64;
const DAY_MS: i64 = 86_400_000;

/// The recordings of one exchange.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// Name of the exchange.
    pub pbx: String,
    pub folder: PathBuf,
    /// Dated folders are in its days.
    pub zone: TimeZone,
}

/// What the watcher is told.
#[derive(Debug)]
pub enum Told {
    /// A recording is over; the record was handed to whoever stores it before.
    Over { pbx: String, record: String, recording: Recording },
    /// `[recordings]` after a reload.
    Reloaded(RecordingsSettings),
}

/// Has a stored record amended; false if that cannot be passed on now.
pub type Amend = Box<dyn FnMut(String, Amendment) -> bool + Send>;
/// At most so many records with recordings that were stored before the one of this number (all, without one), newest
/// first, each with its number.
pub type Older = Box<dyn FnMut(Option<i64>, usize) -> Result<Vec<(i64, Record)>, String> + Send>;

/// What the watcher needs to begin.
pub struct Plan {
    pub shelves: Vec<Shelf>,
    pub settings: RecordingsSettings,
    pub amend: Amend,
    pub older: Older,
    pub clock: fn() -> Now,
}

/// Starts the thread; it ends when the other end of `told` is dropped.
///
/// # Errors
/// If the system gives no thread.
pub fn start(plan: Plan, told: Receiver<Told>) -> io::Result<Thread> {
    let now_ms = (plan.clock)().mono_ms;
    let shelves =
        plan.shelves.into_iter().map(|shelf| (shelf.pbx.clone(), Place { shelf, is_absent: false, is_locked: false }));
    let mut watcher = Watcher {
        places: shelves.collect(),
        settings: plan.settings,
        amend: plan.amend,
        older: plan.older,
        clock: plan.clock,
        waiting: Waiting::default(),
        round: Round { below: None, due_ms: now_ms + FIRST_ROUND_MS, deleted: 0 },
        folders_due_ms: None,
    };
    Thread::start("recordings", move || watcher.run(&told))
}

struct Place {
    shelf: Shelf,
    /// The folder was not there at the last look.
    is_absent: bool,
    /// Files cannot be deleted there; said once a round.
    is_locked: bool,
}

/// Where the walk through the history stands.
struct Round {
    below: Option<i64>,
    due_ms: u64,
    deleted: u64,
}

struct Watcher {
    places: BTreeMap<String, Place>,
    settings: RecordingsSettings,
    amend: Amend,
    older: Older,
    clock: fn() -> Now,
    waiting: Waiting,
    round: Round,
    /// When folders that are not there are looked for.
    folders_due_ms: Option<u64>,
}

impl Watcher {
    fn run(&mut self, told: &Receiver<Told>) {
        loop {
            let next_ms = [self.waiting.next_due_ms(), self.folders_due_ms, Some(self.round.due_ms)];
            let next_ms = next_ms.into_iter().flatten().min().unwrap_or(u64::MAX);
            let wait = Duration::from_millis(next_ms.saturating_sub((self.clock)().mono_ms));
            match told.recv_timeout(wait) {
                Ok(told) => self.take(told),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for _ in 0..LOOKS_AT_ONCE {
                let now = (self.clock)();
                let Some(expected) = self.waiting.due(now.mono_ms).cloned() else { break };
                let look = self.look(&expected.pbx, &expected.file, expected.started_ms);
                let verdict = self.waiting.looked(&expected.id, look, now.mono_ms);
                if let Some(verdict) = verdict {
                    self.say(verdict);
                }
            }
            let now = (self.clock)();
            if self.folders_due_ms.is_some_and(|at_ms| at_ms <= now.mono_ms) {
                self.look_for_folders(now);
            }
            if self.round.due_ms <= now.mono_ms {
                self.go_round(now);
            }
        }
    }

    fn take(&mut self, told: Told) {
        let now = (self.clock)();
        match told {
            Told::Over { pbx, record, recording } => {
                if !self.expect(&pbx, record, &recording, PATIENCE_MS, now) {
                    log::warn!("{}: too many recordings are waited for; this one is looked at later", recording.id);
                }
            }
            Told::Reloaded(settings) => {
                if self.settings != settings {
                    self.settings = settings;
                    self.round = Round { below: None, due_ms: now.mono_ms, deleted: 0 };
                }
            }
        }
    }

    fn expect(&mut self, pbx: &str, record: String, recording: &Recording, patience_ms: u64, now: Now) -> bool {
        let Some(place) = self.places.get(pbx) else { return true };
        let expected = Expected {
            id: recording.id.clone(),
            pbx: pbx.to_owned(),
            file: recording.file.clone(),
            path: recording_file::inside(&place.shelf.folder, &recording.file).unwrap_or_default(),
            started_ms: recording.started_at.0,
            records: vec![record],
            patience_ms,
        };
        self.waiting.expect(expected, now.mono_ms)
    }

    fn find(&self, pbx: &str, file: &str, started_ms: i64) -> Result<Found, Missing> {
        let Shelf { folder, zone, .. } = &self.places.get(pbx).ok_or(Missing::Folder)?.shelf;
        let search = Search { patterns: self.settings.search.clone(), zone: zone.clone() };
        recording_file::find(folder, file, started_ms, &search)
    }

    fn look(&mut self, pbx: &str, file: &str, started_ms: i64) -> Look {
        match self.find(pbx, file, started_ms) {
            Ok(Found { path, bytes, modified_ns, .. }) => Look::Seen(Seen { path, bytes, modified_ns }),
            Err(Missing::File) => Look::NoFile,
            Err(Missing::Folder) => {
                self.folder_is_absent(pbx);
                Look::NoFolder
            }
        }
    }

    fn folder_is_absent(&mut self, pbx: &str) {
        if let Some(place) = self.places.get_mut(pbx).filter(|place| !place.is_absent) {
            place.is_absent = true;
            let folder = place.shelf.folder.display();
            log::warn!(
                "{pbx}: the recordings folder {folder} is not there, or empty: is it mounted? It is looked for again"
            );
            self.folders_due_ms = Some((self.clock)().mono_ms + FOLDER_EVERY_MS);
        }
    }

    /// A folder that is back brings a round: whatever was missed is looked at then.
    fn look_for_folders(&mut self, now: Now) {
        let mut is_back = false;
        for place in self.places.values_mut().filter(|place| place.is_absent) {
            if recording_file::is_there(&place.shelf.folder) {
                log::info!(
                    "{}: the recordings folder {} is there again",
                    place.shelf.pbx,
                    place.shelf.folder.display()
                );
                place.is_absent = false;
                is_back = true;
            }
        }
        if is_back {
            self.round = Round { below: None, due_ms: now.mono_ms, deleted: 0 };
        }
        let still = self.places.values().any(|place| place.is_absent);
        self.folders_due_ms = still.then_some(now.mono_ms + FOLDER_EVERY_MS);
    }

    fn say(&mut self, verdict: Verdict) -> bool {
        let Verdict { id, records, state, bytes, file } = verdict;
        match (state, bytes) {
            (RecordingState::Deleted, _) => log::info!("{id}: the file of the recording is nowhere to be found"),
            (_, Some(bytes)) => log::debug!("{id}: the recording is {state:?}, {bytes} bytes"),
            _ => log::debug!("{id}: the recording is {state:?}"),
        }
        let mut said = true;
        for record in records {
            let amendment = Amendment::Recording { id: id.clone(), state, size: bytes, file: file.clone() };
            said &= (self.amend)(record, amendment);
        }
        if !said {
            log::warn!("{id}: the database is behind; what became of the recording is looked at again later");
        }
        said
    }

    /// One page of the round.
    fn go_round(&mut self, now: Now) {
        if self.waiting.len() > WAITING_MAX / 2 {
            self.round.due_ms = now.mono_ms + HELD_UP_MS;
            return;
        }
        let page = match (self.older)(self.round.below, PAGE) {
            Ok(page) => page,
            Err(error) => {
                log::warn!("the recordings of earlier calls cannot be looked at now: {error}");
                self.round.due_ms = now.mono_ms + UNREADABLE_MS;
                return;
            }
        };
        for (number, record) in &page {
            for recording in &record.recordings {
                if !self.look_again(record, recording, now) {
                    self.round.due_ms = now.mono_ms + HELD_UP_MS;
                    return;
                }
            }
            self.round.below = Some(*number);
        }
        self.round.due_ms = (self.clock)().mono_ms + PAGE_PAUSE_MS;
        if page.is_empty() {
            if self.round.deleted > 0 {
                log::info!(
                    "{} recordings older than {} days were deleted",
                    self.round.deleted,
                    self.settings.keep_days
                );
            }
            self.round = Round { below: None, due_ms: now.mono_ms + ROUND_EVERY_MS, deleted: 0 };
            self.places.values_mut().for_each(|place| place.is_locked = false);
        }
    }

    /// What a recording of the history is now; false if that cannot be said yet.
    fn look_again(&mut self, record: &Record, recording: &Recording, now: Now) -> bool {
        let Some(place) = self.places.get(&record.pbx) else { return true };
        let age_ms = now.wall_ms.saturating_sub(recording.started_at.0);
        let is_open = record.ended_at.is_none() && age_ms < OPEN_MS;
        if place.is_absent || is_open {
            return true;
        }
        let keep_ms = i64::from(self.settings.keep_days) * DAY_MS;
        let is_old = keep_ms > 0 && age_ms > keep_ms;
        match recording.state {
            Some(RecordingState::Deleted) if is_old || age_ms > COMES_BACK_DAYS * DAY_MS => return true,
            Some(RecordingState::Empty) if !is_old => return true,
            _ => {}
        }
        match self.look(&record.pbx, &recording.file, recording.started_at.0) {
            Look::NoFolder => true,
            Look::NoFile if recording.state == Some(RecordingState::Deleted) => true,
            Look::NoFile if age_ms < YOUNG_MS => {
                self.expect(&record.pbx, record.id.clone(), recording, PATIENCE_MS, now)
            }
            Look::NoFile => self.say(gone(record, recording)),
            Look::Seen(_) if is_old => self.delete(record, recording),
            Look::Seen(seen) => {
                let path =
                    self.places.get(&record.pbx).and_then(|p| recording_file::inside(&p.shelf.folder, &recording.file));
                let is_known = recording.state == Some(RecordingState::Ready)
                    && recording.size == Some(seen.bytes)
                    && path.as_deref() == Some(&seen.path);
                is_known || self.expect(&record.pbx, record.id.clone(), recording, PATIENCE_MS, now)
            }
        }
    }

    /// Deletes the file of a recording, and what it was converted into.
    fn delete(&mut self, record: &Record, recording: &Recording) -> bool {
        let Some(place) = self.places.get(&record.pbx).filter(|place| !place.is_locked) else { return true };
        let folder = place.shelf.folder.clone();
        for _ in 0..COPIES_MAX {
            let Ok(found) = self.find(&record.pbx, &recording.file, recording.started_at.0) else { break };
            if let Err(error) = recording_file::remove(&folder, &found.path) {
                self.is_locked(&record.pbx, &folder.join(&found.path), &error);
                return true;
            }
            log::info!(
                "{}: recording {} deleted, older than {} days",
                record.id,
                folder.join(&found.path).display(),
                self.settings.keep_days
            );
        }
        self.round.deleted += 1;
        self.say(gone(record, recording))
    }

    fn is_locked(&mut self, pbx: &str, file: &Path, error: &io::Error) {
        if let Some(place) = self.places.get_mut(pbx) {
            // A link among the files is that file's affair; a folder we may not change is everybody's.
            place.is_locked =
                matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
        }
        log::error!("[recordings] keep_days: {} cannot be deleted: {error}", file.display());
    }
}

fn gone(record: &Record, recording: &Recording) -> Verdict {
    Verdict {
        id: recording.id.clone(),
        records: vec![record.id.clone()],
        state: RecordingState::Deleted,
        bytes: None,
        file: None,
    }
}
