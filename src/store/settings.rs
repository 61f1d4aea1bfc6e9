//! `[store]`: where the database lies and how long it remembers.

use std::path::PathBuf;

use serde::Deserialize;

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

/// The keys of `[store]` that concern the local database.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The database file; its folder must be writable, SQLite keeps two files beside it.
    pub path: PathBuf,
    pub power_loss: PowerLoss,
    /// Calls older than this are removed, but never one that somebody still waits for. 0 keeps everything.
    pub keep_days: u32,
    /// How many records are kept in memory while the database cannot be written; beyond it the oldest are lost.
    pub unsaved_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/pinconnector/pinconnector.db"),
            power_loss: PowerLoss::default(),
            keep_days: 365,
            unsaved_max: 10_000,
        }
    }
}
