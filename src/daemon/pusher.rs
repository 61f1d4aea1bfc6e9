//! The `recordings-push` thread (`[recordings] push`): uploads finished recordings to CRMs that say they cannot fetch them, piece by piece.
//!
//! What is still to be pushed stands in the database until the CRM has all of it, so a restart or a CRM that is away loses nothing. One
//! recording at a time; a CRM that is away holds up only its own. What a file is and where it lies is told by [`crate::recording_file`]
//! and [`crate::http::sound`].

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use super::queues::Released;
use super::senders;
use crate::call::Record;
use crate::call::record::{Recording, RecordingState};
use crate::crm::answer::Fault;
use crate::crm::calls_module::{SendRecording, ask};
use crate::crm::{Client, CrmSettings, Kind, RequestLog};
use crate::http::sound;
use crate::recording_file::{self, Search};
use crate::store::{self, Item, Reader, Save};
use crate::threads::Thread;

/// Before the ids of a record and of its recording that is still to be pushed.
pub const TO_PUSH: &str = "push ";
/// Two thirds of a megabyte in base64: web servers take a megabyte where nobody has told them otherwise.
const PIECE_BYTES: usize = 512 * 1024;
/// The module takes no more.
const LARGEST_BYTES: u64 = 200 << 20;
/// Recordings that wait in memory; the others wait in the database for the next start.
const WAITING_MAX: usize = 10_000;
/// After a fault of the CRM, or where it has not said yet whether it fetches by itself.
const RETRY: Duration = Duration::from_secs(30);
/// Longer than any wait here; waking once in a while costs nothing.
/// How long its end is waited for.
const GRACE: Duration = Duration::from_secs(3);
const NO_WORK: Duration = Duration::from_secs(3600);

/// What the pusher is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// A recording of this record is complete.
    Ready { record: String, recording: String },
    /// Whether this CRM fetches recordings by itself.
    Fetches { crm: String, fetches: bool },
}

/// What the thread works with.
pub struct Pusher {
    pub crms: Vec<CrmSettings>,
    /// By the exchange's name.
    pub folders: BTreeMap<String, (PathBuf, Search)>,
    pub database: PathBuf,
    /// Only while it is used: a CRM that does not answer must not keep the keeper from ending.
    pub keeper: Weak<Sender<store::Input<Released>>>,
    pub log: RequestLog,
}

struct Waiting {
    record: String,
    recording: String,
    due: Instant,
}

/// What became of one try.
enum Outcome {
    /// It is there, or can never be, or nobody wants it.
    Over,
    Later,
    Stopped,
}

/// Hears between two pieces whether we are to stop.
struct Ear<'a> {
    told: &'a Receiver<Told>,
    /// What else was told meanwhile.
    missed: Vec<Told>,
}

impl Ear<'_> {
    fn is_to_stop(&mut self) -> bool {
        loop {
            match self.told.try_recv() {
                Ok(told) => self.missed.push(told),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
    }
}

impl Pusher {
    /// Until the other end of `told` is dropped.
    #[expect(clippy::needless_pass_by_value, reason = "the thread owns its queue end")]
    pub fn run(self, told: Receiver<Told>) {
        let mut clients: BTreeMap<String, Client> = BTreeMap::new();
        let mut fetches: BTreeMap<String, bool> = BTreeMap::new();
        let mut waiting = self.left();
        loop {
            let due = waiting.iter().map(|one| one.due).min();
            let wait = due.map_or(NO_WORK, |due| due.saturating_duration_since(Instant::now()));
            match told.recv_timeout(wait) {
                Ok(told) => take(told, &mut waiting, &mut fetches),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            let Some(at) = waiting.iter().position(|one| one.due <= now) else { continue };
            let Some(mut one) = waiting.remove(at) else { continue };
            let mut ear = Ear { told: &told, missed: Vec::new() };
            let outcome = self.push(&one, &fetches, &mut clients, &mut ear);
            ear.missed.into_iter().for_each(|told| take(told, &mut waiting, &mut fetches));
            match outcome {
                Outcome::Over => self.forget(&one),
                Outcome::Later => {
                    one.due = Instant::now() + RETRY;
                    waiting.push_back(one);
                }
                Outcome::Stopped => return,
            }
        }
    }

    /// What an earlier run did not finish.
    fn left(&self) -> VecDeque<Waiting> {
        let kept = Reader::open(&self.database).and_then(|reader| reader.settings_under(TO_PUSH));
        let kept = kept.unwrap_or_else(|error| {
            log::warn!("which recordings are still to be pushed cannot be read: {error}");
            Vec::new()
        });
        let due = Instant::now();
        let parts = kept.iter().filter_map(|(key, _)| key.strip_prefix(TO_PUSH)?.split_once(' '));
        let left = parts.map(|(record, recording)| Waiting { record: record.into(), recording: recording.into(), due });
        left.take(WAITING_MAX).collect()
    }

    fn forget(&self, one: &Waiting) {
        let item = Item::Setting { key: key(&one.record, &one.recording), value: String::new() };
        // Full or gone: it is pushed once more at the next start, which changes nothing there.
        if let Some(keeper) = self.keeper.upgrade() {
            let _ = keeper.try_send(store::Input::Save(Save { items: vec![item], release: Vec::new() }));
        }
    }

    fn push(
        &self,
        one: &Waiting,
        fetches: &BTreeMap<String, bool>,
        clients: &mut BTreeMap<String, Client>,
        ear: &mut Ear<'_>,
    ) -> Outcome {
        let record = match Reader::open(&self.database).and_then(|reader| reader.record(&one.record)) {
            Ok(Some(record)) => record,
            // A forgotten client's.
            Ok(None) => return Outcome::Over,
            Err(_) => return Outcome::Later,
        };
        let Some(recording) = record.recordings.iter().find(|recording| recording.id == one.recording) else {
            return Outcome::Over;
        };
        let section = record.crm.as_ref().and_then(|crm| self.crms.iter().find(|section| section.name == *crm));
        let Some(section) = section.filter(|section| section.kind == Kind::Calls) else { return Outcome::Over };
        match fetches.get(&section.name) {
            Some(false) => {}
            Some(true) => return Outcome::Over,
            None => return Outcome::Later,
        }
        if !clients.contains_key(&section.name) {
            let Ok(crm) = senders::open(section) else { return Outcome::Later };
            clients.insert(section.name.clone(), Client::new(crm, self.log.clone()));
        }
        let client = clients.get_mut(&section.name).expect("it was just put there");
        let outcome = self.upload(&record, recording, client, ear);
        client.rest();
        outcome
    }

    fn upload(&self, record: &Record, recording: &Recording, client: &mut Client, ear: &mut Ear<'_>) -> Outcome {
        let id = &recording.id;
        let Some((folder, search)) = self.folders.get(&record.pbx) else { return Outcome::Over };
        let found = match recording_file::find(folder, &recording.file, recording.started_at.0, search) {
            Ok(found) => found,
            Err(recording_file::Missing::File) if recording.state != Some(RecordingState::Deleted) => {
                return Outcome::Later;
            }
            Err(recording_file::Missing::File) => return Outcome::Over,
            Err(recording_file::Missing::Folder) => return Outcome::Later,
        };
        let name = found.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (content_type, coding) = sound::kind_of(&name);
        let size = sound::length(coding, found.bytes);
        if size == 0 || size > LARGEST_BYTES {
            log::warn!("{id}: a recording of {size} bytes is not pushed; the limit is {LARGEST_BYTES}");
            return Outcome::Over;
        }
        let mut offset = 0;
        // The first piece also asks where an earlier upload ended.
        for _ in 0..=2 + size / PIECE_BYTES as u64 {
            let Some(data) = piece(folder, &found.path, coding, found.bytes, offset) else { return Outcome::Later };
            let part = SendRecording {
                call: record.id.clone(),
                recording: id.clone(),
                size,
                offset,
                content_type,
                data: BASE64_STANDARD.encode(&data),
            };
            let answer = match ask(client, &part) {
                Ok(answer) => answer,
                Err(Fault::Crm { .. }) => return Outcome::Later,
                Err(Fault::Request { why }) => {
                    log::error!("{id}: the recording is refused and not pushed: {why}");
                    return Outcome::Over;
                }
            };
            match answer.result.as_str() {
                "saved" if answer.have == size => {
                    log::info!("{id}: the recording is pushed, {size} bytes");
                    return Outcome::Over;
                }
                "saved" if answer.have > size => return Outcome::Later,
                "saved" => offset = answer.have,
                "rejected" => {
                    let why = answer.reason.unwrap_or_default();
                    log::warn!("{id}: the recording is not taken: {why}");
                    return Outcome::Over;
                }
                _ => return Outcome::Later,
            }
            if ear.is_to_stop() {
                return Outcome::Stopped;
            }
        }
        Outcome::Later
    }
}

/// The key of what is still to be pushed.
pub fn key(record: &str, recording: &str) -> String {
    format!("{TO_PUSH}{record} {recording}")
}

fn take(told: Told, waiting: &mut VecDeque<Waiting>, fetches: &mut BTreeMap<String, bool>) {
    match told {
        Told::Ready { record, recording } => {
            let known = waiting.iter().any(|one| one.record == record && one.recording == recording);
            if !known && waiting.len() < WAITING_MAX {
                waiting.push_back(Waiting { record, recording, due: Instant::now() });
            }
        }
        Told::Fetches { crm, fetches: now } => {
            if fetches.insert(crm, now) != Some(now) {
                waiting.iter_mut().for_each(|one| one.due = Instant::now());
            }
        }
    }
}

fn piece(
    folder: &std::path::Path,
    path: &std::path::Path,
    coding: sound::Coding,
    stored: u64,
    from: u64,
) -> Option<Vec<u8>> {
    let file = std::fs::File::open(folder.join(path)).ok()?;
    let mut source = sound::open(file, coding, stored, from).ok()?;
    let mut data = vec![0; PIECE_BYTES];
    let mut read = 0;
    while read < data.len() {
        match source.read(&mut data[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    data.truncate(read);
    Some(data)
}

/// The pusher's thread and the way to it.
pub struct Pushing {
    pub told: Sender<Told>,
    thread: Thread,
    keeper: Arc<Sender<store::Input<Released>>>,
}

impl Pushing {
    /// Starts it where `[recordings] push` says so and a CRM may want it.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        config: &crate::config::Config,
        keeper: &Sender<store::Input<Released>>,
        log: &RequestLog,
    ) -> std::io::Result<Option<Self>> {
        if !config.recordings.push || !config.crm.iter().any(|section| section.kind == Kind::Calls) {
            return Ok(None);
        }
        let keeper = Arc::new(keeper.clone());
        let folders = config.asterisk.iter().filter_map(|section| {
            let search = Search { patterns: config.recordings.search.clone(), zone: config.zone_of(section) };
            Some((section.name.clone(), (section.recordings.clone()?, search)))
        });
        let pusher = Pusher {
            crms: config.crm.clone(),
            folders: folders.collect(),
            database: config.store.path.clone(),
            keeper: Arc::downgrade(&keeper),
            log: log.clone(),
        };
        let (told, from_told) = bounded(super::queues::PUSHED.capacity);
        let thread = Thread::start("recordings-push", move || pusher.run(from_told))?;
        Ok(Some(Self { told, thread, keeper }))
    }

    /// Ends it, once nobody else can tell it anything; its name if it waits for a CRM. What was not finished is pushed after the next start.
    pub fn stop(self) -> Option<String> {
        drop(self.told);
        let name = self.thread.name().to_owned();
        let ended = self.thread.join_until(Instant::now() + GRACE);
        drop(self.keeper);
        (!ended).then_some(name)
    }
}
