//! The outbox: what must reach whom, in which order, when to retry, when to give up. Pure.
//!
//! The rows lie in the local database (`store/`), which asks this module what to do with one record at a time; the bytes
//! are carried by `crm/`. Both meet in the types below.

pub mod last_word;
pub mod policy;

/// One record on its way to one CRM: the newest revision of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    pub record_id: String,
    pub revision: u64,
    /// The record as JSON, without `live`.
    pub body: Box<str>,
    /// When the state in it came to be, for `live`.
    pub changed_at_ms: i64,
    /// What this CRM has been told of this record so far, in words that only its sender understands: a CRM that takes
    /// events instead of states (`kind = "pbxmanager"`) must never be told one twice. The store keeps the text for as
    /// long as the record may change, also when no row waits any more, and replaces it by what the batch carries when
    /// it comes back, however it fared. Absent for the kinds that need no memory.
    pub told: Option<Box<str>>,
}

/// What one sender carries in one request: records of one CRM, each at most once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Name of the `[[crm]]` section.
    pub crm: String,
    pub deliveries: Vec<Delivery>,
}

/// What the CRM said of one record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Saved,
    Unchanged,
    /// It has a newer revision; if we never sent that one, we go on above it.
    Stale {
        has: u64,
    },
    /// It will never take this record as it is.
    Rejected {
        reason: String,
    },
    /// It did not judge this record (a lock, its own end at another record of the batch): send it again, later, and do
    /// not let it hold up the others.
    Retry {
        why: String,
    },
}

/// How a batch fared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// One verdict per delivery, in order.
    Answered(Vec<Verdict>),
    /// 400, 413, 422 for the whole request: these records, or one of them, cannot be taken. More than one: send singly.
    BatchRefused { why: String },
    /// A fault of the CRM, not of a record: nothing is parked, everything waits.
    CrmDown { why: String, retry_after_s: Option<u32> },
    /// Nothing was sent: another connector holds the lease ([`crate::lease`]). Everything waits as it did until ours is told
    /// that it may deliver again.
    NotOurs,
}

/// A batch and how it fared: what a sender reports to whoever keeps the rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivered {
    pub batch: Batch,
    pub outcome: Outcome,
}
