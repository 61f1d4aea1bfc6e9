//! Reading for the command line and the status page: a read-only connection of its own beside the keeper's.

use std::path::Path;

use super::error::StoreError;
use super::rows::{DestinationState, OutboxRow, RequestRow};
use crate::call::Record;
use crate::call::record::Moment;

/// Which calls; everything given must hold. Newest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallFilter {
    /// Lead records of missed conversations.
    pub missed: bool,
    /// Calls that have not ended.
    pub open: bool,
    /// Missed and not yet called back.
    pub to_call_back: bool,
    pub since: Option<Moment>,
    pub until: Option<Moment>,
    pub extension: Option<String>,
    /// Normalised number.
    pub client: Option<String>,
    pub conversation: Option<String>,
    pub crm: Option<String>,
    /// At most this many; 0 means 100.
    pub limit: usize,
}

/// Figures for the status page.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Counts {
    /// Calls that have not ended.
    pub open: u64,
    /// Lead records since the given moment.
    pub since: u64,
    /// Of them missed.
    pub missed_since: u64,
    /// Missed and not yet called back, of any age.
    pub to_call_back: u64,
}

/// A read-only view; sees every commit made before a question.
pub struct Reader {
    _todo: (),
}

impl Reader {
    /// # Errors
    /// If there is no database there, or none this version can read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let _ = path;
        todo!()
    }

    /// # Errors
    /// If reading fails; the same for all questions below.
    pub fn calls(&self, filter: &CallFilter) -> Result<Vec<Record>, StoreError> {
        let _ = filter;
        todo!()
    }

    /// One record by id.
    #[expect(clippy::missing_errors_doc, reason = "as above")]
    pub fn record(&self, id: &str) -> Result<Option<Record>, StoreError> {
        let _ = id;
        todo!()
    }

    /// All records of a conversation, by its own id or that of one that was joined into it; the lead one first.
    #[expect(clippy::missing_errors_doc, reason = "as above")]
    pub fn conversation(&self, id: &str) -> Result<Vec<Record>, StoreError> {
        let _ = id;
        todo!()
    }

    /// The records whose phone talked while this recording ran.
    #[expect(clippy::missing_errors_doc, reason = "as above")]
    pub fn records_of_recording(&self, recording_id: &str) -> Result<Vec<Record>, StoreError> {
        let _ = recording_id;
        todo!()
    }

    #[expect(clippy::missing_errors_doc, reason = "as above")]
    pub fn counts(&self, since: Moment) -> Result<Counts, StoreError> {
        let _ = since;
        todo!()
    }

    /// Every destination that has rows or ever had a fault.
    #[expect(clippy::missing_errors_doc, reason = "as above")]
    pub fn destinations(&self) -> Result<Vec<DestinationState>, StoreError> {
        todo!()
    }

    /// Rows of the outbox, parked ones first, then the oldest.
    #[expect(clippy::missing_errors_doc, reason = "as above")]
    pub fn outbox(&self, destination: Option<&str>, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let _ = (destination, limit);
        todo!()
    }

    #[expect(clippy::missing_errors_doc, reason = "as above")]
    pub fn request(&self, crm: &str, request: &str) -> Result<Option<RequestRow>, StoreError> {
        let _ = (crm, request);
        todo!()
    }

    #[expect(clippy::missing_errors_doc, reason = "as above")]
    pub fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let _ = key;
        todo!()
    }
}
