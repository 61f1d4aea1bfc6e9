//! The history in MongoDB: one document per conversation, fed through the outbox. All BSON is here.
//!
//! [`tree`] gives a conversation its form, [`writer`] is the thread that writes it, [`indexes`] are made when it connects,
//! [`copy`] moves a whole history, [`reader`] answers what the local database no longer knows, [`pair`] is what two connectors for one exchange share, [`fault`] says what an error means. When to try again is
//! decided by [`crate::outbox::policy`], as for every destination.
//!
//! The driver starts a runtime with threads of its own at the first connection, and has no deadline per operation: so one
//! thread of ours writes, one reads, nobody else waits for either, and without `kind = "mongodb"` none of it begins.

pub mod copy;
pub mod fault;
pub mod indexes;
pub mod pair;
pub mod reader;
pub mod tree;
pub mod writer;

use std::time::Duration;

use mongodb::bson::Document;
use mongodb::options::{ClientOptions, WriteConcern};
use mongodb::sync::{Client, Collection, Database};

use super::settings::MongodbSettings;
use fault::Fault;

/// How long a member that takes writes (or reads) is looked for. An election takes longer, which is what retries are for.
const SELECTION: Duration = Duration::from_secs(3);
/// How long a connection may take; with the next, how long a frozen server goes unnoticed.
const CONNECTING: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long a majority may take to confirm, if the URI says nothing else.
const MAJORITY: Duration = Duration::from_secs(5);
/// How long the server may work on one command of ours.
pub const COMMAND_MAX: Duration = Duration::from_secs(10);

/// Where the history is, and whose part of it is ours.
#[derive(Clone, Debug)]
pub struct Target {
    pub settings: MongodbSettings,
    /// `[store] keep_days`; 0 keeps everything.
    pub keep_days: u32,
    /// Names of our exchanges: others may write into the same collection.
    pub pbxs: Vec<String>,
}

/// A client and the collection it is for. Cheap to clone; makes no connection before it is used.
#[derive(Clone, Debug)]
pub struct Connection {
    pub database: Database,
    pub collection: Collection<Document>,
    pub write_concern: Document,
}

impl Connection {
    /// Reads the URI; for `mongodb+srv://` that asks the DNS.
    ///
    /// # Errors
    /// If the URI cannot be understood, or its name not be resolved.
    pub fn open(settings: &MongodbSettings) -> Result<Self, Fault> {
        let uri = settings.uri.as_ref().map_or("", |uri| uri.expose());
        let away = |error: mongodb::error::Error| match Fault::of(&error) {
            // Not of any document: of the configuration.
            Fault::Document(text) | Fault::Away(text) => Fault::Away(format!("[store.mongodb] uri: {text}")),
        };
        let mut options = ClientOptions::parse(uri).run().map_err(away)?;
        options.app_name.get_or_insert_with(|| "pinconnector".to_owned());
        options.server_selection_timeout.get_or_insert(SELECTION);
        options.connect_timeout.get_or_insert(CONNECTING);
        options.heartbeat_freq.get_or_insert(HEARTBEAT);
        // One thread uses it.
        options.max_pool_size.get_or_insert(2);
        let write_concern = concern(options.write_concern.as_ref());
        let client = Client::with_options(options).map_err(away)?;
        let database = client.database(&settings.database);
        let collection = database.collection(&settings.collection);
        Ok(Self { database, collection, write_concern })
    }
}

/// A majority within its time, unless the URI wants otherwise.
fn concern(given: Option<&WriteConcern>) -> Document {
    let mut concern = given.and_then(|given| mongodb::bson::to_document(given).ok()).unwrap_or_default();
    if !concern.contains_key("w") {
        concern.insert("w", "majority");
    }
    if !concern.contains_key("wtimeout") {
        concern.insert("wtimeout", i64::try_from(MAJORITY.as_millis()).unwrap_or(i64::MAX));
    }
    concern
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
