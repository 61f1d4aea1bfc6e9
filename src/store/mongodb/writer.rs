//! The `mongodb-writer` thread: takes batches of conversations from the outbox, writes them, says what became of each.
//!
//! `update` commands with several statements, each a replacement with the filter `_id, revision < n` and an upsert: where a
//! younger revision is there already, the upsert meets its `_id`, and the answer is "stale".

use crossbeam_channel::{Receiver, Sender};
use mongodb::bson::{Bson, Document, doc};

use super::fault::{Fault, is_duplicate};
use super::tree::{self, Shape, shape};
use super::{COMMAND_MAX, Connection, Target, indexes, millis};
use crate::clock::boot_ms;
use crate::lease::Pass;
use crate::outbox::{Batch, Delivered, Delivery, Outcome, Verdict};

/// Bytes of documents in one command; MongoDB takes 48 MB.
const COMMAND_BYTES: usize = 16 * 1024 * 1024;

/// Writes until no more batches come. `pass` is looked at right before each: of two connectors only the holder of the lease writes.
pub fn run(target: Target, work: &Receiver<Batch>, outcomes: &Sender<Delivered>, pass: &Pass) {
    let mut writer = Writer::new(target);
    for batch in work {
        let outcome = match pass.term(boot_ms()) {
            Some(term) => {
                writer.term = term;
                writer.deliver(&batch.deliveries)
            }
            None => Outcome::NotOurs,
        };
        if outcomes.send(Delivered { batch, outcome }).is_err() {
            break;
        }
    }
}

/// A connection that is made when it is first needed, and its collection's indexes.
pub struct Writer {
    target: Target,
    connection: Option<Connection>,
    indexed: bool,
    /// Of our lease; 0: this connector stands alone, and documents carry none.
    term: u64,
}

/// A document on its way.
struct Statement {
    /// Where its delivery is in the batch.
    at: usize,
    tree: Document,
    bytes: usize,
}

impl Writer {
    pub fn new(target: Target) -> Self {
        Self { target, connection: None, indexed: false, term: 0 }
    }

    /// Writes the conversations of one batch.
    pub fn deliver(&mut self, deliveries: &[Delivery]) -> Outcome {
        match self.write(deliveries) {
            Ok(verdicts) => Outcome::Answered(verdicts),
            Err(why) => Outcome::CrmDown { why, retry_after_s: None },
        }
    }

    /// # Errors
    /// Why MongoDB takes nothing now.
    fn write(&mut self, deliveries: &[Delivery]) -> Result<Vec<Verdict>, String> {
        let connection = self.connected()?;
        let mut verdicts = vec![Verdict::Saved; deliveries.len()];
        let (mut whole, mut tombstones, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for (at, delivery) in deliveries.iter().enumerate() {
            let sized = |tree: Document| tree::bytes(&tree).map(|bytes| Statement { at, tree, bytes });
            let shaped = match shape(delivery) {
                Ok(Shape::Whole(tree)) => sized(tree).map(|statement| whole.push(statement)),
                Ok(Shape::Tombstone(tree)) => sized(tree).map(|statement| tombstones.push(statement)),
                Ok(Shape::Forget { number }) => {
                    numbers.push(number);
                    Ok(())
                }
                Err(reason) => Err(reason),
            };
            if let Err(reason) = shaped {
                verdicts[at] = Verdict::Rejected { reason };
            }
        }
        // A tombstone comes after what it points at.
        for statements in [whole, tombstones] {
            for command in commands(statements) {
                update(&connection, &command, self.term, deliveries, &mut verdicts)?;
            }
        }
        for number in numbers {
            forget(&connection, &self.target.pbxs, &number)?;
        }
        Ok(verdicts)
    }

    fn connected(&mut self) -> Result<Connection, String> {
        let connection = match &self.connection {
            Some(connection) => connection.clone(),
            None => self.connection.insert(Connection::open(&self.target.settings).map_err(Fault::into_text)?).clone(),
        };
        if !self.indexed {
            match indexes::ensure(&connection, self.target.keep_days) {
                Ok(()) => log::info!(
                    "history: writes to MongoDB, {}.{}",
                    self.target.settings.database,
                    self.target.settings.collection
                ),
                Err(error) if indexes::can_wait(&error) => log::warn!(
                    "the indexes of the history in MongoDB could not be made: {}. It is written all the same; look-ups and \
                     retention suffer until a restart finds that repaired",
                    Fault::of(&error).into_text()
                ),
                Err(error) => return Err(Fault::of(&error).into_text()),
            }
            self.indexed = true;
        }
        Ok(connection)
    }
}

/// Packs statements into commands.
fn commands(statements: Vec<Statement>) -> Vec<Vec<Statement>> {
    let mut commands: Vec<Vec<Statement>> = Vec::new();
    let mut room = 0;
    for statement in statements {
        match commands.last_mut() {
            Some(command) if statement.bytes <= room => {
                room -= statement.bytes;
                command.push(statement);
            }
            _ => {
                room = COMMAND_BYTES.saturating_sub(statement.bytes);
                commands.push(vec![statement]);
            }
        }
    }
    commands
}

/// Carries out one command and enters what became of its statements.
///
/// # Errors
/// Why MongoDB takes nothing now.
fn update(
    connection: &Connection,
    statements: &[Statement],
    term: u64,
    deliveries: &[Delivery],
    verdicts: &mut [Verdict],
) -> Result<(), String> {
    let term = i64::try_from(term).unwrap_or(i64::MAX);
    let updates: Vec<Document> = statements
        .iter()
        .map(|statement| {
            let tree = &statement.tree;
            // The shard key is in it, for whoever shards by it.
            let mut filter = doc! { "_id": tree.get("_id"), "conversation": tree.get("conversation") };
            let older = doc! { "revision": { "$lt": tree.get("revision") } };
            if term == 0 {
                filter.extend(older);
                return doc! { "q": filter, "u": tree, "upsert": true };
            }
            // Whatever an older term says, and what we said before.
            let mut ours = doc! { "term": term };
            ours.extend(older);
            filter.insert("$or", vec![doc! { "term": { "$lt": term } }, doc! { "term": { "$exists": false } }, ours]);
            let mut tree = tree.clone();
            tree.insert("term", term);
            doc! { "q": filter, "u": tree, "upsert": true }
        })
        .collect();
    let command = doc! {
        "update": connection.collection.name(),
        "updates": updates,
        "ordered": false,
        "writeConcern": connection.write_concern.clone(),
        "maxTimeMS": millis(COMMAND_MAX),
    };
    let answer = match connection.database.run_command(command).run() {
        Ok(answer) => answer,
        Err(error) => match Fault::of(&error) {
            // The command as a whole: alone it can be held against its document.
            Fault::Document(reason) if statements.len() == 1 => {
                verdicts[statements[0].at] = Verdict::Rejected { reason };
                return Ok(());
            }
            Fault::Document(_) => {
                for statement in statements {
                    update(connection, std::slice::from_ref(statement), term.unsigned_abs(), deliveries, verdicts)?;
                }
                return Ok(());
            }
            Fault::Away(why) => return Err(why),
        },
    };
    let mut there = Vec::new();
    for error in documents(&answer, "writeErrors") {
        let index = usize::try_from(number(error, "index").unwrap_or(-1)).unwrap_or(usize::MAX);
        let Some(statement) = statements.get(index) else {
            return Err(format!("MongoDB's answer is not understood: {error}"));
        };
        let code = number(error, "code").and_then(|code| i32::try_from(code).ok()).unwrap_or(0);
        if is_duplicate(code) {
            there.push(statement);
            continue;
        }
        match Fault::of_code(code, error.get_str("errmsg").unwrap_or_default()) {
            Fault::Document(reason) => verdicts[statement.at] = Verdict::Rejected { reason },
            Fault::Away(why) => return Err(why),
        }
    }
    if let Ok(error) = answer.get_document("writeConcernError") {
        let code = number(error, "code").and_then(|code| i32::try_from(code).ok()).unwrap_or(0);
        return Err(Fault::of_code(code, error.get_str("errmsg").unwrap_or_default()).into_text());
    }
    stale(connection, &there, term, deliveries, verdicts)
}

/// Looks which revisions are there of documents that were not replaced.
fn stale(
    connection: &Connection,
    there: &[&Statement],
    term: i64,
    deliveries: &[Delivery],
    verdicts: &mut [Verdict],
) -> Result<(), String> {
    if there.is_empty() {
        return Ok(());
    }
    let ids: Vec<Bson> = there.iter().filter_map(|statement| statement.tree.get("_id").cloned()).collect();
    let command = doc! {
        "find": connection.collection.name(),
        "filter": { "_id": { "$in": ids } },
        "projection": { "revision": 1, "term": 1 },
        "singleBatch": true,
        "batchSize": i64::try_from(there.len()).unwrap_or(i64::MAX),
        "maxTimeMS": millis(COMMAND_MAX),
    };
    let answer = connection.database.run_command(command).run().map_err(|error| Fault::of(&error).into_text())?;
    let cursor = answer.get_document("cursor").map_err(|error| error.to_string())?;
    for statement in there {
        let id = deliveries[statement.at].record_id.as_str();
        let found = documents(cursor, "firstBatch").find(|found| found.get_str("_id") == Ok(id));
        let has = found.and_then(|found| number(found, "revision")).and_then(|has| u64::try_from(has).ok());
        let sent = deliveries[statement.at].revision;
        if found.and_then(|found| number(found, "term")).is_some_and(|theirs| theirs > term && term > 0) {
            let why = "another connector has taken over".to_owned();
            verdicts[statement.at] = Verdict::Retry { why };
            continue;
        }
        verdicts[statement.at] = match has {
            Some(has) if has == sent => Verdict::Unchanged,
            Some(has) if has > sent => Verdict::Stale { has },
            // It came and went meanwhile, or its revision is no number.
            _ => Verdict::Retry { why: "MongoDB has it in a state that cannot be compared".to_owned() },
        };
    }
    Ok(())
}

/// Removes every call of a number from conversations of our exchanges, however old. What has no call left is marked as gone.
fn forget(connection: &Connection, pbxs: &[String], number: &str) -> Result<(), String> {
    let keep =
        doc! { "$filter": { "input": "$calls", "cond": { "$ne": ["$$this.client_number_normalized", number] } } };
    let gone = doc! { "$cond": [{ "$eq": [{ "$size": "$calls" }, 0] }, "$$NOW", "$$REMOVE"] };
    let command = doc! {
        "update": connection.collection.name(),
        "updates": [{
            "q": { "calls.client_number_normalized": number, "pbx": { "$in": pbxs } },
            "u": [{ "$set": { "calls": keep } }, { "$set": { "gone_at": gone } }],
            "multi": true,
        }],
        "writeConcern": connection.write_concern.clone(),
        "maxTimeMS": millis(COMMAND_MAX),
    };
    let answer = connection.database.run_command(command).run().map_err(|error| Fault::of(&error).into_text())?;
    let failed = documents(&answer, "writeErrors").next().or(answer.get_document("writeConcernError").ok());
    match failed {
        Some(error) => Err(format!("a client could not be forgotten: {}", error.get_str("errmsg").unwrap_or("?"))),
        None => Ok(()),
    }
}

fn documents<'a>(answer: &'a Document, list: &str) -> impl Iterator<Item = &'a Document> {
    answer.get_array(list).map(Vec::as_slice).unwrap_or_default().iter().filter_map(Bson::as_document)
}

fn number(document: &Document, key: &str) -> Option<i64> {
    match document.get(key)? {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers only: others are none of ours")]
        Bson::Double(number) if number.fract() == 0.0 => Some(*number as i64),
        _ => None,
    }
}
