//! A keeper whose history is in MongoDB, as the daemon puts it together, and what is in MongoDB then.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use mongodb::bson::{Document, doc};
use mongodb::sync::Collection;
use pinconnector::outbox::Batch;
use pinconnector::secret::Secret;
use pinconnector::store::mongodb::{Connection, Target, reader, writer};
use pinconnector::store::settings::HISTORY;
use pinconnector::store::{
    Destination, DestinationKind, Input, Item, MongodbSettings, Order, Reader, Settings, StoreKind,
};

use crate::store_support::*;

/// A new primary, or a server that starts again, and the pause of the outbox after that; on a busy machine.
pub const ELECTION: Duration = Duration::from_secs(180);

/// What a MongoDB on a busy machine answers in the end. The reader of a person who waits gives up within seconds, and says so.
pub fn patiently<T, E: std::fmt::Debug>(mut ask: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + ELECTION;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A target nobody else of this process writes to.
pub fn target(uri: &str) -> Target {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let database = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let settings = MongodbSettings { uri: Some(Secret::new(uri)), database, ..MongodbSettings::default() };
    Target { settings, keep_days: 0, pbxs: vec!["pbx".to_owned()] }
}

pub fn settings_of(folder: &std::path::Path, target: &Target) -> Settings {
    Settings { kind: StoreKind::Mongodb, mongodb: target.settings.clone(), keep_days: 0, ..settings(folder) }
}

/// Starts the writer; answers the destination for the keeper.
pub fn start_writer(target: &Target, desk: &Desk) -> (Destination, JoinHandle<()>) {
    let (queue, work) = bounded::<Batch>(1);
    let (target, outcomes) = (target.clone(), desk.keeper.outcomes.clone());
    let thread = std::thread::spawn(move || writer::run(target, &work, &outcomes, &pinconnector::lease::Pass::alone()));
    let (name, kind) = (HISTORY.to_owned(), DestinationKind::History);
    (Destination { name, kind, senders: 1, batch_max: 50, queue }, thread)
}

/// A keeper, the writer, and both readers.
pub struct Office {
    pub desk: Desk,
    pub target: Target,
    pub past: reader::Reader,
    pub path: PathBuf,
    writer: JoinHandle<()>,
    crm: JoinHandle<u64>,
    _stop: Sender<()>,
    folder: tempfile::TempDir,
}

impl Office {
    pub fn open(target: Target) -> Self {
        Self::reopen(target, tempfile::tempdir().unwrap())
    }

    pub fn reopen(target: Target, folder: tempfile::TempDir) -> Self {
        let desk = open(&settings_of(folder.path(), &target), 1, 50);
        let crm = obliging_crm(desk.batches.clone(), desk.keeper.outcomes.clone());
        let (history, writer) = start_writer(&target, &desk);
        let (stop, _) = bounded(0);
        let past = reader::Reader::open(&target).unwrap();
        let path = desk.path.clone();
        let office = Self { desk, past, path, writer, crm, target, _stop: stop, folder };
        office.name_destinations(history);
        office
    }

    fn name_destinations(&self, history: Destination) {
        // The CRM of the desk was known from the start; naming all again leaves it as it is.
        let (crm, batches) = destination("crm", 1, 50);
        let outcomes = self.desk.keeper.outcomes.clone();
        drop(obliging_crm(batches, outcomes));
        self.desk.keeper.inputs.send(Input::Destinations(vec![crm, history])).unwrap();
    }

    pub fn take(&self, item: Item) {
        self.desk.save_and_wait(vec![item], 1);
    }

    /// Waits until nothing waits for MongoDB.
    pub fn until_fed(&self) {
        let reader = self.reader();
        until_within(ELECTION, "MongoDB has everything", || {
            reader.outbox(Some(HISTORY), 10).unwrap().iter().all(|row| row.parked.is_some())
        });
    }

    pub fn reader(&self) -> Reader {
        Reader::open(&self.path).unwrap()
    }

    pub fn collection(&self) -> Collection<Document> {
        Connection::open(&self.target.settings).unwrap().collection
    }

    pub fn tree(&self, id: &str) -> Option<Document> {
        patiently(|| self.collection().find_one(doc! { "_id": id }).run())
    }

    pub fn forget(&self, number: &str) -> u64 {
        let (answer, answers) = bounded(1);
        let order = Order::Forget { number: number.to_owned(), answer };
        self.desk.keeper.inputs.send(Input::Order(order)).unwrap();
        answers.recv_timeout(PATIENCE).unwrap().unwrap().records
    }

    /// Stops as the daemon does.
    pub fn stop(self) -> tempfile::TempDir {
        self.desk.stop();
        self.writer.join().unwrap();
        self.crm.join().unwrap();
        self.folder
    }
}
