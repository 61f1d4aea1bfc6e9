//! `[store]`: where the database lies, where the history, and how long it is remembered.

use std::path::PathBuf;

use serde::Deserialize;

use crate::secret::Secret;

/// The name of the history in MongoDB among the destinations of the outbox.
pub const HISTORY: &str = "mongodb";

/// Where calls are kept once they are over. The local database keeps the last days whatever is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In the local database.
    #[default]
    Sqlite,
    /// In MongoDB, which is fed through the outbox.
    Mongodb,
}

/// What a power failure may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerLoss {
    /// Nothing that was acknowledged: every commit reaches the disk (`synchronous=FULL`).
    #[default]
    LastCommit,
    /// About the last second: for disks on which a flush takes tens of milliseconds (`synchronous=NORMAL`).
    LastSecond,
}

/// `[store]`
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub kind: StoreKind,
    /// The database file; its folder must be writable, SQLite keeps two files beside it.
    pub path: PathBuf,
    pub power_loss: PowerLoss,
    /// Calls older than this are removed from the history, wherever it is, but never one that somebody still waits for. 0
    /// keeps everything.
    pub keep_days: u32,
    /// How many records are kept in memory while the database cannot be written; beyond it the oldest are lost.
    pub unsaved_max: usize,
    /// `[store.mongodb]`
    pub mongodb: MongodbSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kind: StoreKind::default(),
            path: PathBuf::from("/var/lib/pinconnector/pinconnector.db"),
            power_loss: PowerLoss::default(),
            keep_days: 365,
            unsaved_max: 10_000,
            mongodb: MongodbSettings::default(),
        }
    }
}

/// `[store.mongodb]`: where the history is if `kind = "mongodb"`, and where `history copy` copies to and from.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MongodbSettings {
    /// The connection string: hosts, replica set, credentials, TLS.
    pub uri: Option<Secret>,
    pub database: String,
    pub collection: String,
    /// How many days stay in the local database as well.
    pub local_days: u32,
}

impl Default for MongodbSettings {
    fn default() -> Self {
        Self { uri: None, database: "pinconnector".to_owned(), collection: "conversations".to_owned(), local_days: 30 }
    }
}

/// Something about `[store]` that does not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub key: &'static str,
    pub message: String,
}

impl Settings {
    /// Everything wrong that only shows when the keys are laid side by side. `follow_up_days`: how long a missed client may
    /// be settled by a later call, which is looked for in the local database.
    pub fn problems(&self, follow_up_days: u32) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut tell = |key, message: String| found.push(Problem { key, message });
        let MongodbSettings { uri, database, collection, local_days } = &self.mongodb;
        if let Some(uri) = uri
            && !["mongodb://", "mongodb+srv://"].iter().any(|scheme| uri.expose().starts_with(scheme))
        {
            tell("mongodb.uri", "write it as mongodb://user:password@host1,host2/?replicaSet=name".to_owned());
        }
        if database.is_empty() || database.len() > 63 || database.contains(['/', '\\', '.', ' ', '"', '$', '\0']) {
            tell("mongodb.database", format!("{database:?} is no name of a database: letters, digits, - and _"));
        }
        if collection.is_empty()
            || collection.len() > 120
            || collection.starts_with("system.")
            || collection.contains(['$', '\0'])
        {
            tell("mongodb.collection", format!("{collection:?} is no name of a collection: letters, digits, - and _"));
        }
        if self.kind == StoreKind::Sqlite {
            return found;
        }
        if !cfg!(feature = "mongodb") {
            let text = "this program was built without MongoDB (--no-default-features): take kind = \"sqlite\", or \
                        another build";
            tell("kind", text.to_owned());
        }
        if uri.is_none() {
            let text = "kind = \"mongodb\" needs to know where it is: add uri = \"mongodb://...\" (or uri_file) to \
                        [store.mongodb]";
            tell("mongodb.uri", text.to_owned());
        }
        if *local_days <= follow_up_days {
            let text = format!(
                "{local_days} days: missed calls are settled from the local database for [calls] follow_up_days \
                 ({follow_up_days}), so it must be more than that"
            );
            tell("mongodb.local_days", text);
        }
        if self.keep_days != 0 && self.keep_days < *local_days {
            let text = format!(
                "{local_days} days are more than keep_days ({}), after which calls are removed",
                self.keep_days
            );
            tell("mongodb.local_days", text);
        }
        found
    }
}
