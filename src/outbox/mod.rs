//! The outbox: what must reach whom, in which order, when to retry, when to give up. Pure.
//!
//! The rows lie in the local database (`store/`), which asks this module what to do with one record at a time; the bytes
//! are carried by `crm/`. Both meet in the types below.

/// One record on its way to one CRM: the newest revision of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    pub record_id: String,
    pub revision: u64,
    /// The record as JSON, without `live`.
    pub body: Box<str>,
    /// When the state in it came to be, for `live`.
    pub changed_at_ms: i64,
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
}
