//! What the tests of the store share: records, a keeper on a temporary folder, and a CRM that does as it is told.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod contract;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use pinconnector::asterisk::PbxId;
use pinconnector::call::record::Moment;
use pinconnector::call::{Change, Conversation, Record};
use pinconnector::clock::Now;
use pinconnector::outbox::{Batch, Delivered, Outcome, Verdict};
use pinconnector::store::{
    Alarm, Destination, DestinationKind, Input, Item, Keeper, Opened, Plan, PowerLoss, Save, Settings,
};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An open conversation with nothing in it.
pub fn conversation(id: &str) -> Box<Conversation> {
    Box::new(Conversation::new(id.to_owned(), "pbx".to_owned(), PbxId(0), 1_795_000_000_000, 1))
}

/// An incoming call of 101 from a client, missed unless changed.
pub fn record(conversation: &str, n: u32, started_at_ms: i64) -> Record {
    serde_json::from_value(serde_json::json!({
        "id": format!("{conversation}-{n}"),
        "conversation": conversation,
        "pbx": "pbx",
        "revision": started_at_ms,
        "source": "ami",
        "direction": "incoming",
        "status": "ringing",
        "lead": n == 1,
        "client_number": "89161234567",
        "client_number_normalized": "+79161234567",
        "from": "89161234567",
        "to": "74951234567",
        "extension": "101",
        "trunk": "trunk",
        "started_at": pinconnector::clock::rfc3339(started_at_ms),
        "crm": "crm",
    }))
    .expect("a record")
}

pub fn change(conversation_id: &str, open: bool, records: Vec<Record>) -> Item {
    Item::Change(Box::new(Change {
        conversation: conversation_id.to_owned(),
        pbx: "pbx".to_owned(),
        open: open.then(|| conversation(conversation_id)),
        joined_into: None,
        records: records.into_iter().map(std::sync::Arc::new).collect(),
    }))
}

pub fn settings(folder: &Path) -> Settings {
    Settings {
        path: folder.join("calls.db"),
        power_loss: PowerLoss::LastCommit,
        keep_days: 30,
        unsaved_max: 100,
        ..Settings::default()
    }
}

/// A keeper, what it released and said, and the queue of one CRM called `crm`.
pub struct Desk {
    pub path: PathBuf,
    pub keeper: Keeper<u32>,
    pub released: Receiver<u32>,
    pub alarms: Receiver<Alarm>,
    pub batches: Receiver<Batch>,
    pub restored: Vec<String>,
    pub quarantined: Vec<String>,
}

pub fn destination(name: &str, senders: usize, batch_max: usize) -> (Destination, Receiver<Batch>) {
    let (queue, batches) = bounded(senders);
    (Destination { name: name.to_owned(), kind: DestinationKind::Crm, senders, batch_max, queue }, batches)
}

pub fn open(settings: &Settings, senders: usize, batch_max: usize) -> Desk {
    let opened = Opened::open(settings, Now::read()).expect("the database opens");
    let restored = opened.restored.iter().map(|c| c.id.clone()).collect();
    let quarantined = opened.quarantined.clone();
    let (release, released) = unbounded();
    let (alarms_to, alarms) = bounded(1_000);
    let (crm, batches) = destination("crm", senders, batch_max);
    let keeper = opened
        .keep(Plan {
            destinations: vec![crm],
            follow_up_days: 7,
            release: Box::new(move |n| release.send(n).expect("somebody listens")),
            alarms: alarms_to,
            clock: Now::read,
            seed: 1,
            queue_max: 1_024,
            stop_grace_ms: 5_000,
        })
        .expect("a thread");
    Desk { path: settings.path.clone(), keeper, released, alarms, batches, restored, quarantined }
}

impl Desk {
    pub fn save(&self, items: Vec<Item>) {
        self.keeper.inputs.send(Input::Save(Save { items, release: Vec::new() })).expect("it listens");
    }

    /// Saves and waits until it is committed.
    pub fn save_and_wait(&self, items: Vec<Item>, mark: u32) {
        self.keeper.inputs.send(Input::Save(Save { items, release: vec![mark] })).expect("it listens");
        assert_eq!(self.released.recv_timeout(PATIENCE), Ok(mark), "released after the commit");
    }

    pub fn batch(&self) -> Batch {
        self.batches.recv_timeout(PATIENCE).expect("a batch")
    }

    pub fn report(&self, batch: Batch, outcome: Outcome) {
        self.keeper.outcomes.send(Delivered { batch, outcome }).expect("it listens");
    }

    pub fn saved(&self, batch: Batch) {
        let verdicts = vec![Verdict::Saved; batch.deliveries.len()];
        self.report(batch, Outcome::Answered(verdicts));
    }

    pub fn alarm(&self) -> Alarm {
        self.alarms.recv_timeout(PATIENCE).expect("an alarm")
    }

    /// Stops it as the daemon does; what is in the database is then final.
    pub fn stop(self) {
        let Self { keeper: Keeper { inputs, outcomes, thread }, .. } = self;
        drop(inputs);
        drop(outcomes);
        thread.join().expect("the keeper ends well");
    }
}

/// Ids and revisions of a batch.
pub fn contents(batch: &Batch) -> Vec<(&str, u64)> {
    batch.deliveries.iter().map(|d| (d.record_id.as_str(), d.revision)).collect()
}

pub fn now_ms() -> i64 {
    Now::read().wall_ms
}

pub fn moment(ms: i64) -> Moment {
    Moment(ms)
}

/// Asks until it is so.
pub fn until(what: &str, so: impl FnMut() -> bool) {
    until_within(PATIENCE, what, so);
}

/// Asks until it is so, for as long as the other side may take.
pub fn until_within(limit: Duration, what: &str, mut so: impl FnMut() -> bool) {
    let give_up = std::time::Instant::now() + limit;
    while !so() {
        assert!(std::time::Instant::now() < give_up, "{what}: never came to be");
        std::thread::yield_now();
    }
}

/// A sender that takes everything, on a thread of its own; ends with the queue.
pub fn obliging_crm(batches: Receiver<Batch>, outcomes: Sender<Delivered>) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut taken = 0;
        for batch in batches {
            taken += batch.deliveries.len() as u64;
            let verdicts = vec![Verdict::Saved; batch.deliveries.len()];
            if outcomes.send(Delivered { batch, outcome: Outcome::Answered(verdicts) }).is_err() {
                break;
            }
        }
        taken
    })
}
