//! What the store keeps beside calls, and what it tells about itself: plain values.

use std::collections::HashSet;

use serde::Serialize;

use crate::call::Record;

/// A click-to-call request and the answer it was given; the same request within 24 hours gets the same answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RequestRow {
    /// The CRM (`X-PIN-Key`) that asked; ids are unique within it.
    pub crm: String,
    pub request: String,
    /// The answer as JSON.
    pub answer: String,
    pub at_ms: i64,
}

/// One line of the click-to-call audit log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct AuditRow {
    pub at_ms: i64,
    pub crm: String,
    /// The CRM user who clicked.
    pub user: Option<String>,
    pub request: Option<String>,
    pub from: String,
    pub to: String,
    /// `placed`, or why it was refused.
    pub outcome: String,
    /// Address of the peer.
    pub peer: Option<String>,
}

/// How one destination of the outbox stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DestinationState {
    pub name: String,
    /// Rows that wait to be sent, parked ones not counted.
    pub waiting: u64,
    pub parked: u64,
    /// When the oldest waiting change came to be.
    pub oldest_ms: Option<i64>,
    /// Set while the destination is down.
    pub down_since_ms: Option<i64>,
    /// When it is tried again, while down.
    pub next_try_ms: Option<i64>,
    pub tries: u32,
    /// The last fault of the destination itself, kept after it recovered.
    pub last_error: Option<String>,
    pub last_error_ms: Option<i64>,
    /// When something was last taken by it.
    pub last_success_ms: Option<i64>,
}

impl DestinationState {
    /// Of a destination that nothing was ever queued for.
    pub fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            waiting: 0,
            parked: 0,
            oldest_ms: None,
            down_since_ms: None,
            next_try_ms: None,
            tries: 0,
            last_error: None,
            last_error_ms: None,
            last_success_ms: None,
        }
    }
}

/// One record that waits for one destination.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OutboxRow {
    /// What `outbox drop` and `outbox retry` take.
    pub id: i64,
    pub destination: String,
    /// Id of the record (of the conversation, for a history).
    pub item: String,
    pub revision: u64,
    /// Since when something of it is undelivered.
    pub since_ms: i64,
    /// When its newest state came to be.
    pub changed_at_ms: i64,
    pub tries: u32,
    pub last_error: Option<String>,
    /// Why it is not sent any more until it changes or is retried by hand.
    pub parked: Option<String>,
}

/// What a row of the outbox is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DestinationKind {
    /// One record at a time, to the CRM named in it.
    Crm,
    /// Whole conversations, every one of them (a second history).
    History,
}

/// Which rows of the outbox an order is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rows {
    One(i64),
    /// All rows of one destination.
    Of(String),
    All,
}

/// What the connector that was active before us left behind.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Inheritance {
    /// Records that had not arrived at these destinations, as that one knew them.
    pub undelivered: Vec<(String, Record)>,
    /// Whatever of ours changed before this moment of our clock and is not among them had arrived. `None`: nothing is known of
    /// that, and everything of ours is sent (again).
    pub delivered_before_ms: Option<i64>,
    /// Ids of conversations that went on by its last word.
    pub open: HashSet<String>,
    /// Conversations of which something of ours waits and which were over by its last word.
    pub over: Vec<LastWord>,
}

/// What the connector that was active before us had written of a conversation into the common history.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LastWord {
    pub conversation: String,
    /// Ids of conversations that were joined into it.
    pub joined: Vec<String>,
    pub calls: Vec<Record>,
}

/// What `forget NUMBER` removed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Forgotten {
    pub records: u64,
    pub outbox_rows: u64,
    /// (PBX, file) of every recording of those calls, for whoever removes files.
    pub recordings: Vec<(String, String)>,
    /// (CRM, record id) of what was removed, for telling the CRM.
    pub told: Vec<(String, String)>,
}

/// A call that was found afterwards in Asterisk's own records.
#[derive(Clone, PartialEq, Debug)]
pub struct FoundCall {
    /// The ids under which it may be known; it is stored only if none of them is, unless `is_known`.
    pub known_as: Vec<String>,
    /// It is known, and `records` say how it ended.
    pub is_known: bool,
    pub records: Vec<Record>,
}
