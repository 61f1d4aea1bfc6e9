//! Questions to the history in MongoDB: the same as to the local database, with the same answers.

use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::{ReadPreference, SelectionCriteria};

use super::fault::Fault;
use super::tree::{self, is_open};
use super::{COMMAND_MAX, Connection, Target};
use crate::call::Record;
use crate::call::record::{Moment, Status};
use crate::store::error::StoreError;
use crate::store::follow_up::is_to_settle;
use crate::store::reader::{CALLS_SHOWN, CallFilter};

/// Documents fetched at once.
const FETCHED: u32 = 200;
/// As long a chain as anybody transfers, and no circle.
const JOINS_MAX: usize = 16;
/// No call of a conversation begins later than this after its first one.
const LONGEST_MS: i64 = 86_400_000;
/// Records of one recording.
const RECORDINGS_MAX: usize = 100;

/// A conversation as it is kept, for copying.
#[derive(Clone, PartialEq, Debug)]
pub struct Kept {
    pub id: String,
    /// The one it is part of, and since when (milliseconds).
    pub joined_into: Option<(String, i64)>,
    pub calls: Vec<Record>,
}

/// Reads what is of our exchanges.
#[derive(Clone, Debug)]
pub struct Reader {
    connection: Connection,
    pbxs: Vec<String>,
}

#[expect(clippy::missing_errors_doc, reason = "every question fails only if MongoDB is away, and says why")]
impl Reader {
    /// Fails if the URI cannot be understood; nobody is asked yet.
    pub fn open(target: &Target) -> Result<Self, StoreError> {
        let connection = Connection::open(&target.settings).map_err(away)?;
        Ok(Self { connection, pbxs: target.pbxs.clone() })
    }

    /// Calls, newest first.
    pub fn calls(&self, filter: &CallFilter) -> Result<Vec<Record>, StoreError> {
        let limit = if filter.limit == 0 { CALLS_SHOWN } else { filter.limit };
        let mut found: Vec<Record> = Vec::new();
        let mut trees = Vec::new();
        if let Some(until) = filter.until {
            // Few: those that were going on at that moment.
            for tree in self.find(self.across(filter, until), None)? {
                trees.push(tree);
            }
        }
        // Conversations by their last call; a later one of them has only older calls, so once there are enough the rest
        // need not be fetched.
        let ordered = self.find(self.sieve(filter), Some(doc! { "last_call_at": -1 }))?;
        for tree in trees.into_iter().chain(ordered) {
            let tree = tree.map_err(|error| away(Fault::of(&error)))?;
            // Those going on at `until` have a later last call than any that was found, so they end nothing.
            let enough = found.get(limit - 1).is_some_and(|last| last.started_at >= tree::last_call_at(&tree));
            if enough {
                break;
            }
            for record in calls(&tree)?.into_iter().filter(|record| fits(record, filter)) {
                let at = found.partition_point(|other| other.started_at > record.started_at);
                if at < limit {
                    found.insert(at, record);
                    found.truncate(limit);
                }
            }
        }
        Ok(found)
    }

    /// One record by id.
    pub fn record(&self, id: &str) -> Result<Option<Record>, StoreError> {
        let mut found: Option<Record> = None;
        for tree in self.find(doc! { "calls.id": id }, None)? {
            let tree = tree.map_err(|error| away(Fault::of(&error)))?;
            // For a moment of a join it may be in both conversations.
            for record in calls(&tree)?.into_iter().filter(|record| record.id == id) {
                if found.as_ref().is_none_or(|other| other.revision < record.revision) {
                    found = Some(record);
                }
            }
        }
        Ok(found)
    }

    /// All records of a conversation, by its own id or that of one that was joined into it; the lead one first.
    pub fn conversation(&self, id: &str) -> Result<Vec<Record>, StoreError> {
        let mut id = id.to_owned();
        for _ in 0..JOINS_MAX {
            let Some(tree) = self.find(doc! { "_id": &id }, None)?.next() else { return Ok(Vec::new()) };
            let tree = tree.map_err(|error| away(Fault::of(&error)))?;
            if let Ok(into) = tree.get_str("joined_into") {
                into.clone_into(&mut id);
                continue;
            }
            let mut records = calls(&tree)?;
            records.sort_by_key(|record| (!record.lead, record.started_at));
            return Ok(records);
        }
        Ok(Vec::new())
    }

    /// The records whose phone talked while this recording ran.
    pub fn records_of_recording(&self, id: &str) -> Result<Vec<Record>, StoreError> {
        let mut found = Vec::new();
        for tree in self.find(doc! { "calls.recordings.id": id }, None)? {
            let tree = tree.map_err(|error| away(Fault::of(&error)))?;
            found.extend(calls(&tree)?.into_iter().filter(|call| call.recordings.iter().any(|r| r.id == id)));
            if found.len() >= RECORDINGS_MAX {
                break;
            }
        }
        found.truncate(RECORDINGS_MAX);
        Ok(found)
    }

    /// Up to `most` conversations of ours by id, after `after`; with the tombstones of joined ones, everybody's.
    pub fn after(&self, after: &str, most: usize) -> Result<Vec<Kept>, StoreError> {
        let mut found = Vec::new();
        let ours = vec![doc! { "pbx": { "$in": &self.pbxs } }, doc! { "joined_into": { "$exists": true } }];
        let filter = doc! { "_id": { "$gt": after }, "gone_at": { "$exists": false }, "$or": ours };
        for tree in self.find(filter, Some(doc! { "_id": 1 }))?.take(most) {
            let tree = tree.map_err(|error| away(Fault::of(&error)))?;
            let id = tree.get_str("_id").unwrap_or_default().to_owned();
            let at_ms = tree.get_datetime("started_at").map_or(0, |at| at.timestamp_millis());
            let joined_into = tree.get_str("joined_into").ok().map(|into| (into.to_owned(), at_ms));
            found.push(Kept { id, joined_into, calls: calls(&tree)? });
        }
        Ok(found)
    }

    /// Whether a conversation is of one of our exchanges, by its name.
    pub fn is_ours(&self, id: &str) -> bool {
        self.pbxs.iter().any(|pbx| id.strip_prefix(pbx.as_str()).is_some_and(|rest| rest.starts_with('-')))
    }

    /// About how many documents there are, of everybody.
    pub fn about(&self) -> Result<u64, StoreError> {
        let count = self.connection.collection.estimated_document_count().max_time(COMMAND_MAX).run();
        count.map_err(|error| away(Fault::of(&error)))
    }

    /// Conversations with calls before and after `until`.
    fn across(&self, filter: &CallFilter, until: Moment) -> Document {
        let mut wanted = self.sieve(filter);
        let first = Moment(until.0.saturating_sub(LONGEST_MS));
        wanted.insert("started_at", doc! { "$gte": date(first), "$lte": date(until) });
        wanted.insert("last_call_at", doc! { "$gt": date(until) });
        wanted
    }

    /// What the indexes can sort out; the rest is for [`fits`].
    fn sieve(&self, filter: &CallFilter) -> Document {
        let mut last = doc! { "$gte": date(filter.since.unwrap_or(Moment(i64::MIN / 2))) };
        if let Some(until) = filter.until {
            last.insert("$lte", date(until));
        }
        let mut wanted = doc! { "last_call_at": last };
        if let Some(id) = &filter.conversation {
            wanted.insert("_id", id);
        }
        for (mark, set) in [("missed", filter.missed), ("open", filter.open), ("to_call_back", filter.to_call_back)] {
            if set {
                wanted.insert(mark, true);
            }
        }
        for (field, value) in [
            ("calls.extension", &filter.extension),
            ("calls.client_number_normalized", &filter.client),
            ("calls.crm", &filter.crm),
        ] {
            if let Some(value) = value {
                wanted.insert(field, value);
            }
        }
        wanted
    }

    fn find(
        &self,
        mut filter: Document,
        sort: Option<Document>,
    ) -> Result<mongodb::sync::Cursor<Document>, StoreError> {
        // A tombstone is nobody's and is found by its name alone.
        if !filter.contains_key("_id") {
            filter.insert("pbx", doc! { "$in": &self.pbxs });
        }
        let nearest = SelectionCriteria::ReadPreference(ReadPreference::PrimaryPreferred { options: None });
        let mut find = self.connection.collection.find(filter).selection_criteria(nearest);
        find = find.batch_size(FETCHED).max_time(COMMAND_MAX);
        if let Some(sort) = sort {
            find = find.sort(sort);
        }
        find.run().map_err(|error| away(Fault::of(&error)))
    }
}

fn date(at: Moment) -> DateTime {
    DateTime::from_millis(at.0)
}

fn fits(record: &Record, filter: &CallFilter) -> bool {
    let is = |wanted: &Option<String>, has: Option<&str>| wanted.as_deref().is_none_or(|wanted| has == Some(wanted));
    (!filter.missed || record.lead && record.status == Status::Missed)
        && (!filter.open || is_open(record))
        && (!filter.to_call_back || is_to_settle(record))
        && filter.since.is_none_or(|since| record.started_at >= since)
        && filter.until.is_none_or(|until| record.started_at <= until)
        && is(&filter.extension, record.extension.as_deref())
        && is(&filter.client, record.client_number_normalized.as_deref())
        && is(&filter.conversation, Some(&record.conversation))
        && is(&filter.crm, record.crm.as_deref())
}

fn calls(tree: &Document) -> Result<Vec<Record>, StoreError> {
    tree::calls(tree).map_err(|why| StoreError::Unstorable {
        why: format!("conversation {} in MongoDB cannot be read: {why}", tree.get("_id").unwrap_or(&Bson::Null)),
    })
}

fn away(fault: Fault) -> StoreError {
    StoreError::Failing { why: fault.into_text(), disk_full: false }
}
