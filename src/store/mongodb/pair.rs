//! What two connectors for one exchange share in MongoDB: the lease, and what the active one has not delivered yet.
//!
//! Collection `lease`: `{_id: name, holder, term, expires, left, caught_up}`; only the server's clock (`$$NOW`) is looked at. Collection
//! `relay`: `{_id: {lease, kind, ...}, term, body | state}`, a document for each record that waits for a CRM and for each open
//! conversation of the active one; and one of kind `whole`, whose term says that everything of that term's holder is there.
//!
//! What a holder had on its way when it lost the lease may arrive long after (a line that was cut and is mended). It changes
//! nothing of a younger term, and what it brings anew is older than the document `whole` and nobody's.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};
use mongodb::options::{ReadPreference, SelectionCriteria};
use mongodb::sync::Database;

use super::fault::Fault;
use super::{Connection, millis};
use crate::call::Conversation;
use crate::clock::boot_ms;
use crate::lease::{Answer, LEASE_MS, Pass};
use crate::store::Reader;
use crate::store::relay::{Left, RelayChange, Relayed};
use crate::store::rows::LastWord;
use crate::store::settings::MongodbSettings;
use crate::store::sqlite::relayed::Waiting;

/// How long the server may work on a question for the lease, and a majority take to confirm it.
const LEASE_ANSWER: Duration = Duration::from_millis(1_000);
/// How long it may take to store one batch of the relay, or to read from it.
const RELAY_ANSWER: Duration = Duration::from_secs(10);
/// Documents in one command.
const BATCH: usize = 500;
/// A conversation that was joined into one that was joined into another one, and so on.
const JOINS_MAX: usize = 8;
/// The wait after MongoDB did not take something.
const RETRY: Duration = Duration::from_secs(1);

/// Who this connector is, and where the pair's things are.
#[derive(Clone, Debug)]
pub struct Place {
    pub settings: MongodbSettings,
    /// `[pair] lease`
    pub lease: String,
    /// Of this process: a process that was started anew is another holder.
    pub me: String,
}

/// The lease's document.
#[derive(Debug)]
pub struct LeaseDocument {
    place: Place,
    connection: Option<Connection>,
}

impl LeaseDocument {
    pub fn new(place: Place) -> Self {
        Self { place, connection: None }
    }

    /// Takes or renews the lease, or says who has it.
    pub fn ask(&mut self, caught_up: bool) -> Answer {
        self.try_ask(caught_up).unwrap_or_else(|why| Answer::Unknown { why })
    }

    fn try_ask(&mut self, caught_up: bool) -> Result<Answer, String> {
        let place = self.place.clone();
        let database = connected(&mut self.connection, &place.settings)?;
        let ours = doc! { "$eq": ["$holder", &place.me] };
        // A lease that was never there is over, too: what is missing is less than any time.
        let free = doc! { "$lte": ["$expires", "$$NOW"] };
        let if_taken = |taken: Bson, else_: &str| doc! { "$cond": ["$taken", taken, else_] };
        let next = doc! { "$add": [{ "$ifNull": ["$term", 0_i64] }, 1_i64] };
        let until = doc! { "$add": ["$$NOW", i64::try_from(LEASE_MS).unwrap_or(i64::MAX)] };
        let set = doc! {
            "holder": if_taken(place.me.clone().into(), "$holder"),
            "term": if_taken(doc! { "$cond": [ours.clone(), "$term", next] }.into(), "$term"),
            "expires": if_taken(until.into(), "$expires"),
            "caught_up": if_taken(caught_up.into(), "$caught_up"),
        };
        let command = doc! {
            "findAndModify": "lease",
            "query": { "_id": &place.lease },
            "update": [
                { "$set": { "taken": { "$or": [ours, free] } } },
                { "$set": set },
                { "$set": { "left": { "$subtract": ["$expires", "$$NOW"] } } },
                { "$unset": "taken" },
            ],
            "upsert": true,
            "new": true,
            "maxTimeMS": millis(LEASE_ANSWER),
            "writeConcern": { "w": "majority", "wtimeout": millis(LEASE_ANSWER) },
        };
        let answer = database.run_command(command).run().map_err(in_words)?;
        if answer.contains_key("writeConcernError") {
            return Err("no majority has confirmed it".to_owned());
        }
        let lease = answer.get_document("value").map_err(|_| "an answer without the lease".to_owned())?;
        let holder = lease.get_str("holder").unwrap_or_default();
        if holder == place.me {
            return Ok(Answer::Granted { term: term(lease) });
        }
        Ok(Answer::Refused {
            holder: holder.split('#').next().unwrap_or_default().to_owned(),
            term: term(lease),
            caught_up: lease.get_bool("caught_up").unwrap_or(false),
            left_ms: number(lease, "left"),
        })
    }

    /// Gives the lease back, if it is ours: it is over at once.
    pub fn release(&mut self) {
        let place = self.place.clone();
        let done = connected(&mut self.connection, &place.settings).and_then(|database| {
            let command = doc! {
                "update": "lease",
                "updates": [{
                    "q": { "_id": &place.lease, "holder": &place.me },
                    "u": [{ "$set": { "expires": "$$NOW" } }],
                }],
                "maxTimeMS": millis(LEASE_ANSWER),
            };
            database.run_command(command).run().map_err(in_words)
        });
        if let Err(why) = done {
            log::warn!("the lease could not be given back and ends by itself: {why}");
        }
    }

    /// What the connector that was active last had not delivered, and what was going on.
    ///
    /// # Errors
    /// If MongoDB cannot be read, in words.
    pub fn left(&mut self) -> Result<Left, String> {
        self.relayed(doc! { "_id.lease": &self.place.lease })
    }

    /// What goes on by the word of the active connector.
    ///
    /// # Errors
    /// If MongoDB cannot be read, in words.
    pub fn open(&mut self) -> Result<Vec<Conversation>, String> {
        Ok(self.relayed(doc! { "_id.lease": &self.place.lease, "_id.kind": "open" })?.open)
    }

    /// What the common history has of these conversations; those it does not have are left out.
    ///
    /// # Errors
    /// If MongoDB cannot be read, in words.
    pub fn written(&mut self, conversations: &[String]) -> Result<Vec<LastWord>, String> {
        let place = self.place.clone();
        let database = connected(&mut self.connection, &place.settings)?;
        let history = database.collection::<Document>(&place.settings.collection);
        let mut words: HashMap<String, LastWord> = HashMap::new();
        // Each with the names it had before it was joined into another one.
        let mut wanted: Vec<(String, Vec<String>)> = conversations.iter().map(|id| (id.clone(), Vec::new())).collect();
        for _ in 0..JOINS_MAX {
            let mut next = Vec::new();
            for slice in wanted.chunks(BATCH) {
                let ids: Vec<&str> = slice.iter().map(|(id, _)| id.as_str()).collect();
                let found = history.find(doc! { "_id": { "$in": ids } }).selection_criteria(newest());
                let mut trees = HashMap::new();
                for tree in found.max_time(RELAY_ANSWER).run().map_err(in_words)? {
                    let tree = tree.map_err(in_words)?;
                    trees.insert(tree.get_str("_id").unwrap_or_default().to_owned(), tree);
                }
                for (id, names) in slice {
                    let Some(tree) = trees.get(id) else { continue };
                    if let Ok(into) = tree.get_str("joined_into") {
                        next.push((into.to_owned(), names.iter().chain([id]).cloned().collect()));
                        continue;
                    }
                    let calls = super::tree::calls(tree)?;
                    let word = words.entry(id.clone()).or_insert_with(|| LastWord {
                        conversation: id.clone(),
                        joined: Vec::new(),
                        calls,
                    });
                    word.joined.extend(names.iter().cloned());
                }
            }
            wanted = next;
        }
        Ok(words.into_values().collect())
    }

    fn relayed(&mut self, filter: Document) -> Result<Left, String> {
        let place = self.place.clone();
        let database = connected(&mut self.connection, &place.settings)?;
        let mut left = Left::default();
        let relay = database.collection::<Document>("relay");
        let whole =
            relay.find_one(doc! { "_id": whole_id(&place) }).selection_criteria(newest()).max_time(RELAY_ANSWER);
        let since = whole.run().map_err(in_words)?.map_or(0, |whole| term(&whole));
        let found = relay.find(filter).selection_criteria(newest()).max_time(RELAY_ANSWER).run().map_err(in_words)?;
        for document in found {
            let document = document.map_err(in_words)?;
            if term(&document) < since {
                continue;
            }
            let id = document.get_document("_id").map_err(|error| error.to_string())?;
            match (document.get_str("body"), document.get_binary_generic("state")) {
                (Ok(body), _) => {
                    let destination = id.get_str("destination").unwrap_or_default().to_owned();
                    match serde_json::from_str(body) {
                        Ok(record) => left.undelivered.push((destination, record)),
                        Err(error) => {
                            log::error!("{id}: a record that the other connector left cannot be read: {error}")
                        }
                    }
                }
                (_, Ok(state)) => match serde_json::from_slice(state) {
                    Ok(conversation) => left.open.push(conversation),
                    Err(error) => {
                        log::error!("{id}: a conversation that the other connector left cannot be read: {error}")
                    }
                },
                _ => {}
            }
        }
        Ok(left)
    }
}

/// Whatever the URI says of reading: what the other one wrote last is on the primary.
fn newest() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(ReadPreference::Primary)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn in_words(error: mongodb::error::Error) -> String {
    Fault::of(&error).into_text()
}

fn term(document: &Document) -> u64 {
    number(document, "term")
}

/// 0 for what is missing, and for what is below.
fn number(document: &Document, key: &str) -> u64 {
    match document.get(key) {
        Some(Bson::Int64(number)) => u64::try_from(*number).unwrap_or(0),
        Some(Bson::Int32(number)) => u64::try_from(*number).unwrap_or(0),
        _ => 0,
    }
}

fn connected<'a>(connection: &'a mut Option<Connection>, settings: &MongodbSettings) -> Result<&'a Database, String> {
    if connection.is_none() {
        *connection = Some(Connection::open(settings).map_err(Fault::into_text)?);
    }
    Ok(&connection.as_ref().expect("made just now").database)
}

/// The `relay` thread: while we are active, keeps what we have not delivered in MongoDB, until the keeper lets go of the other
/// end. `caught_up` says whether all of it is there.
pub fn relay(place: &Place, relayed: &Relayed, database: &Path, pass: &Pass, caught_up: &Arc<AtomicBool>) {
    let mut connection = None;
    let mut changes = HashSet::new();
    let mut failing = false;
    // The term in which everything was written last.
    let mut whole = None;
    loop {
        let next = if failing {
            relayed.changes.recv_timeout(RETRY)
        } else {
            relayed.changes.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match next {
            Ok(change) => {
                caught_up.store(false, Ordering::SeqCst);
                changes.insert(change);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        relayed.gather(&mut changes);
        let Some(term) = pass.term(boot_ms()) else {
            // The other one writes. When it is our turn again, everything is written.
            changes.clear();
            failing = false;
            continue;
        };
        match write(&mut connection, place, database, term, &changes) {
            Ok(()) => {
                if failing {
                    log::info!("the other connector can take over again");
                }
                failing = false;
                if changes.contains(&RelayChange::Everything) {
                    whole = Some(term);
                }
                changes.clear();
                // Before that it is only what has changed since the lease became ours.
                if relayed.changes.is_empty() && whole == Some(term) {
                    caught_up.store(true, Ordering::SeqCst);
                }
            }
            Err(why) => {
                if !failing {
                    log::warn!(
                        "what is not delivered cannot be left for the other connector: {why}; tried every second"
                    );
                }
                failing = true;
            }
        }
    }
}

fn write(
    connection: &mut Option<Connection>,
    place: &Place,
    database: &Path,
    term: u64,
    changes: &HashSet<RelayChange>,
) -> Result<(), String> {
    let term = i64::try_from(term).unwrap_or(i64::MAX);
    let reader = Reader::open(database).map_err(|error| error.to_string())?;
    let shared = connected(connection, &place.settings)?;
    if changes.contains(&RelayChange::Everything) {
        return write_everything(shared, place, term, &reader);
    }
    let (mut updates, mut deletes) = (Vec::new(), Vec::new());
    for change in changes {
        match change {
            RelayChange::Conversation(id) => match reader.open_state(id).map_err(|error| error.to_string())? {
                Some(state) => updates.push(open(place, id, state)),
                None => deletes.push(doc! { "_id": open_id(place, id) }),
            },
            RelayChange::Item(item) => {
                let waiting = reader.waiting(item).map_err(|error| error.to_string())?;
                let waits_for: Vec<&str> = waiting.iter().map(|(destination, ..)| destination.as_str()).collect();
                deletes.push(doc! {
                    "_id.lease": &place.lease, "_id.item": item, "_id.destination": { "$nin": waits_for },
                });
                updates.extend(waiting.into_iter().map(|waiting| row(place, waiting)));
            }
            RelayChange::Everything => {}
        }
    }
    store(shared, term, updates)?;
    remove(shared, term, deletes)
}

/// Makes the relay what we have, whatever was in it.
fn write_everything(shared: &Database, place: &Place, term: i64, reader: &Reader) -> Result<(), String> {
    let whole = doc! { "_id": whole_id(place) };
    let mut kept = HashSet::from([id_text(&whole)]);
    let states = reader.open_states().map_err(|error| error.to_string())?;
    let open = states.into_iter().map(|(id, state)| open(place, &id, state)).collect::<Vec<_>>();
    kept.extend(open.iter().map(id_text));
    store(shared, term, open)?;
    let mut after = 0;
    loop {
        let slice = reader.all_waiting(after, BATCH).map_err(|error| error.to_string())?;
        let Some((last, _)) = slice.last() else { break };
        after = *last;
        let rows = slice.into_iter().map(|(_, waiting)| row(place, waiting)).collect::<Vec<_>>();
        kept.extend(rows.iter().map(id_text));
        store(shared, term, rows)?;
    }
    let there = shared
        .collection::<Document>("relay")
        .find(doc! { "_id.lease": &place.lease })
        .projection(doc! { "_id": 1 })
        .max_time(RELAY_ANSWER)
        .run()
        .map_err(in_words)?;
    let mut gone = Vec::new();
    for document in there {
        let document = document.map_err(in_words)?;
        if !kept.contains(&id_text(&document)) {
            gone.extend(document.get("_id").map(|id| doc! { "_id": id.clone() }));
        }
    }
    remove(shared, term, gone)?;
    store(shared, term, vec![whole])
}

fn whole_id(place: &Place) -> Document {
    doc! { "lease": &place.lease, "kind": "whole" }
}

fn id_text(document: &Document) -> String {
    document.get("_id").map(ToString::to_string).unwrap_or_default()
}

fn open_id(place: &Place, conversation: &str) -> Document {
    doc! { "lease": &place.lease, "kind": "open", "conversation": conversation }
}

fn open(place: &Place, conversation: &str, state: Vec<u8>) -> Document {
    let state = Binary { subtype: BinarySubtype::Generic, bytes: state };
    doc! { "_id": open_id(place, conversation), "state": state }
}

fn row(place: &Place, (destination, item, body): Waiting) -> Document {
    doc! { "_id": { "lease": &place.lease, "kind": "row", "destination": destination, "item": item }, "body": body }
}

/// Writes documents of this term, but over none of a younger one.
fn store(shared: &Database, term: i64, documents: Vec<Document>) -> Result<(), String> {
    for slice in documents.chunks(BATCH) {
        let updates = slice
            .iter()
            .map(|document| {
                let mut document = document.clone();
                document.insert("term", term);
                let q = doc! { "_id": document.get("_id").cloned(), "term": not_younger(term) };
                doc! { "q": q, "u": document, "upsert": true }
            })
            .collect::<Vec<_>>();
        command(shared, doc! { "update": "relay", "updates": updates, "ordered": false })?;
    }
    Ok(())
}

fn remove(shared: &Database, term: i64, filters: Vec<Document>) -> Result<(), String> {
    for slice in filters.chunks(BATCH) {
        let deletes = slice
            .iter()
            .map(|filter| {
                let mut q = filter.clone();
                q.insert("term", not_younger(term));
                doc! { "q": q, "limit": 0 }
            })
            .collect::<Vec<_>>();
        command(shared, doc! { "delete": "relay", "deletes": deletes, "ordered": false })?;
    }
    Ok(())
}

/// Of a term up to this one, or of none.
fn not_younger(term: i64) -> Document {
    doc! { "$not": { "$gt": term } }
}

fn command(shared: &Database, mut command: Document) -> Result<(), String> {
    command.insert("maxTimeMS", millis(RELAY_ANSWER));
    command.insert("writeConcern", doc! { "w": "majority", "wtimeout": millis(RELAY_ANSWER) });
    let answer = shared.run_command(command).run().map_err(in_words)?;
    let errors = answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    // One of a younger term is there: it was not found by its term, and cannot be made anew.
    let is_there = |error: &Bson| {
        let code = error.as_document().and_then(|error| error.get_i32("code").ok());
        code.is_some_and(super::fault::is_duplicate)
    };
    if !errors.iter().all(is_there) || answer.contains_key("writeConcernError") {
        return Err(format!("MongoDB has not stored all of it: {answer}"));
    }
    Ok(())
}
