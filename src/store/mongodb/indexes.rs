//! The indexes of the collection, made when the writer connects, and how long it keeps what.

use mongodb::bson::{Bson, Document, doc};
use mongodb::error::Error;

use super::{Connection, fault, millis};

/// The name of the index that forgets old conversations.
const RETENTION: &str = "retention";
const DAY_S: i64 = 86_400;
/// A forgotten conversation is remembered as such for so long, against a late writer.
const GONE_DAYS: i64 = 7;
/// An index over many documents takes its time; it goes on in the server if we wait no longer.
const BUILDING_MAX: std::time::Duration = std::time::Duration::from_secs(60);

/// All but the one for retention.
fn wanted() -> Vec<Document> {
    let recent = |field: &str| doc! { field: 1, "last_call_at": -1 };
    vec![
        doc! { "name": "recent", "key": { "last_call_at": -1 } },
        doc! { "name": "call", "key": { "calls.id": 1 } },
        doc! { "name": "client", "key": recent("calls.client_number_normalized") },
        doc! { "name": "extension", "key": recent("calls.extension") },
        // Few conversations have one: the others take no room in it.
        doc! { "name": "recording", "key": { "calls.recordings.id": 1 }, "sparse": true },
        doc! { "name": "missed", "key": recent("missed"), "partialFilterExpression": { "missed": true } },
        doc! { "name": "gone", "key": { "gone_at": 1 }, "expireAfterSeconds": GONE_DAYS * DAY_S },
    ]
}

/// Makes the indexes that are missing, and gives retention its time.
///
/// # Errors
/// What MongoDB said.
pub fn ensure(connection: &Connection, keep_days: u32) -> Result<(), Error> {
    let name = connection.collection.name();
    let create = |indexes: Vec<Document>| {
        let command = doc! { "createIndexes": name, "indexes": indexes, "maxTimeMS": millis(BUILDING_MAX) };
        connection.database.run_command(command).run().map(drop)
    };
    create(wanted())?;
    let mut retention = doc! { "name": RETENTION, "key": { "started_at": 1 } };
    let seconds = i64::from(keep_days) * DAY_S;
    if keep_days > 0 {
        retention.insert("expireAfterSeconds", seconds);
    }
    match existing(connection)? {
        Some(has) if has == Some(seconds).filter(|_| keep_days > 0) => return Ok(()),
        Some(has) => {
            let days = |seconds: Option<i64>| match seconds {
                Some(seconds) => format!("{} days", seconds / DAY_S),
                None => "for ever".to_owned(),
            };
            log::warn!(
                "the history in MongoDB was kept {} and is now kept {} ([store] keep_days); that holds for everybody who \
                 writes to this collection",
                days(has),
                days(Some(seconds).filter(|_| keep_days > 0))
            );
            connection.database.run_command(doc! { "dropIndexes": name, "index": RETENTION }).run()?;
        }
        None => {}
    }
    create(vec![retention])
}

/// After how many seconds the retention index removes, if there is one and it does.
#[expect(clippy::option_option, reason = "no index, and one that never removes, are two things")]
fn existing(connection: &Connection) -> Result<Option<Option<i64>>, Error> {
    let list = doc! { "listIndexes": connection.collection.name(), "cursor": { "batchSize": 200 } };
    let answer = connection.database.run_command(list).run()?;
    let indexes = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let found = indexes.ok().and_then(|indexes| {
        indexes.iter().filter_map(Bson::as_document).find(|index| index.get_str("name") == Ok(RETENTION))
    });
    Ok(found.map(|index| match index.get("expireAfterSeconds") {
        Some(Bson::Int32(seconds)) => Some(i64::from(*seconds)),
        Some(Bson::Int64(seconds)) => Some(*seconds),
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds, as we wrote them")]
        Some(Bson::Double(seconds)) => Some(*seconds as i64),
        _ => None,
    }))
}

/// Whether going on without indexes is the better part: what fails here is no matter of the connection.
pub fn can_wait(error: &Error) -> bool {
    // Not allowed, too slow, or at odds with what somebody else made by hand.
    fault::is_unauthorized(error) || matches!(fault::code(error), Some(50 | 67 | 68 | 85 | 86 | 262))
}
