//! The call record: the contract between the connector, its store, its command line and the CRM.
//!
//! The fields, their names and their meaning are those of the design's "The record"; this file holds only the shape and
//! how it is written as JSON. How a field comes by its value is decided in the rest of `call/`. `serde` appears here
//! (and in [`super::model`]) because these types *are* the stored and transmitted form; nothing here reads or writes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock;

/// Milliseconds since 1970 UTC, written as RFC 3339 with milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Moment(pub i64);

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&clock::rfc3339(self.0))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        clock::parse_rfc3339(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A span of time in milliseconds, written as seconds with decimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Span(pub i64);

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_precision_loss, reason = "a call does not last 285,000 years")]
        serializer.serialize_f64(self.0 as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, which is what a broken value deserves")]
        f64::deserialize(deserializer).map(|s| Self((s * 1000.0).round() as i64))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Seen live.
    #[default]
    Ami,
    /// Filled in afterwards from Asterisk's call detail records.
    Cdr,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// trunk → us
    Incoming,
    /// extension → trunk
    Outgoing,
    /// extension → extension
    Internal,
}

impl Direction {
    /// As the record writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
            Self::Internal => "internal",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ringing,
    InProgress,
    Completed,
    Missed,
    NoAnswer,
    Busy,
    Failed,
    Cancelled,
}

impl Status {
    /// Nothing more will happen to the phone this record is about, unless it is tried again.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Ringing | Self::InProgress)
    }

    /// As the record writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Missed => "missed",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Where a missed client was lost, or why a click-to-call never reached the customer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Greeting,
    Menu,
    Queue,
    Abandoned,
    NoAnswer,
    Busy,
    Unreachable,
    Rejected,
    DialplanError,
    Voicemail,
    Lookup,
    Lost,
    AgentNoAnswer,
    AgentBusy,
    AgentUnreachable,
}

impl Reason {
    /// As the record writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Menu => "menu",
            Self::Queue => "queue",
            Self::Abandoned => "abandoned",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
            Self::Rejected => "rejected",
            Self::DialplanError => "dialplan_error",
            Self::Voicemail => "voicemail",
            Self::Lookup => "lookup",
            Self::Lost => "lost",
            Self::AgentNoAnswer => "agent_no_answer",
            Self::AgentBusy => "agent_busy",
            Self::AgentUnreachable => "agent_unreachable",
        }
    }
}

/// Who hung up, gave the call away or refused it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    Client,
    /// An extension or an outside phone of ours, the CRM, another AMI client.
    Us,
    /// Time-outs, the dialplan, a restart.
    Pbx,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    Blind,
    Attended,
}

/// How the follow-up of a missed client stands; on the lead record of a missed conversation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowUp {
    Open,
    /// We rang, no answer.
    Tried,
    CalledBack,
    ClientGotThrough,
    /// By hand.
    Closed,
}

/// What is known of a recording's file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// Still growing.
    Recording,
    Ready,
    /// Neither where the PBX put it nor where it is usually moved to.
    Deleted,
    /// The folder is not there now (not mounted).
    Unavailable,
    /// The file holds no sound, only a header: there is nothing to play.
    Empty,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Recording {
    /// Unique within the PBX, stable; what links to the sound are made of.
    pub id: String,
    /// As the PBX names it; never a path outside the recordings folder.
    pub file: String,
    pub started_at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RecordingState>,
    /// Bytes, once it has stopped growing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// One step of how a conversation went, in order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Step {
    pub at: Moment,
    pub step: StepKind,
    /// The phone (extension or outside number) it happened to, or who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Box<str>>,
    /// Queue, menu context, DID, slot, box, file: where or with what.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub place: Option<Box<str>>,
    /// The other party of a transfer or pickup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Box<str>>,
    /// `blind` or `attended`; how a ring ended; who hung up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<Box<str>>,
    /// How long it lasted, where that is known afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Span>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Enter,
    Greeting,
    Menu,
    Digits,
    Queue,
    Lookup,
    Ring,
    /// The phone stopped ringing without an answer.
    RingEnd,
    Answer,
    Hold,
    Unhold,
    Transfer,
    Park,
    Retrieve,
    Pickup,
    Recording,
    Voicemail,
    Hangup,
}

/// One call, as every interface shows it. Absent means unknown.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// `<conversation it was born in>-<n>`; never changes.
    pub id: String,
    /// `<pbx>-<uniqueid of its first channel>`; changes when conversations are joined.
    pub conversation: String,
    pub pbx: String,
    /// Grows with every change: max(previous + 1, milliseconds of the clock).
    pub revision: u64,
    pub source: Source,
    pub direction: Direction,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Exactly one record of a conversation leads it.
    pub lead: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_number: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_number_normalized: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// The CRM's id of the client, from the dialplan's question (FastAGI).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub did: Option<String>,
    /// Outgoing: the number of ours that the client saw, as far as Asterisk's channels say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presented: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    pub started_at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_seconds: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub talk_seconds: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_seconds: Option<Span>,
    /// Q.850
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hangup_cause: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<EndedBy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub menu: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voicemail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transferred_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transferred_to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picked_up_from: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<Recording>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub click_to_call: bool,
    /// The id the caller of the click-to-call API got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crm_record: Option<String>,
    /// The CRM user who clicked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up: Option<FollowUp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_tries: Option<u32>,
    /// Id of the call that settled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_call: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed_up_at: Option<Moment>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub outside_hours: bool,
    /// Which CRM the record belongs to; absent if to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crm: Option<String>,
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub variables: std::collections::BTreeMap<String, String>,
    /// On the lead record: how the whole conversation went. On the others: the steps of this phone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Arc<Step>>,
    /// A receiver drops this record: another one has taken it over (with `records = "per-call"` a consultation that became a
    /// transfer; a place kept for a phone nobody was found behind). Where it names the record itself, the call turned out to belong to
    /// another CRM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// What may still change in a finished call; applied to the stored record by whoever owns the store.
#[derive(Clone, PartialEq, Debug)]
pub enum Amendment {
    FollowUp {
        follow_up: FollowUp,
        /// The call that settled it, or that was a try.
        call: Option<String>,
        at: Moment,
    },
    /// The file of a recording was looked at.
    Recording { id: String, state: RecordingState, size: Option<u64>, file: Option<String> },
}

impl Record {
    /// The next revision at `wall_ms`: grows even if the clock was set back or the database lost.
    pub fn next_revision(previous: u64, wall_ms: i64) -> u64 {
        previous.saturating_add(1).max(u64::try_from(wall_ms).unwrap_or(0))
    }

    /// It was begun by a connector that had not heard how its conversation began.
    pub fn began_in_mid_call(&self) -> bool {
        let n = self.id.rsplit('-').next().and_then(|n| n.parse::<u32>().ok());
        n.is_some_and(|n| n >= super::resync::FIRST_N_MID_WAY)
    }

    /// Applies `amendment`; false if that changed nothing. The revision grows if it did.
    pub fn amend(&mut self, amendment: &Amendment, wall_ms: i64) -> bool {
        let before = self.clone();
        match amendment {
            Amendment::FollowUp { follow_up, call, at } => {
                // Settled is settled: a later try does not open it again.
                let settled = matches!(
                    self.follow_up,
                    Some(FollowUp::CalledBack | FollowUp::ClientGotThrough | FollowUp::Closed)
                );
                if self.follow_up.is_none() || settled {
                    return false;
                }
                self.follow_up = Some(*follow_up);
                match follow_up {
                    FollowUp::Tried => self.follow_up_tries = Some(self.follow_up_tries.unwrap_or(0).saturating_add(1)),
                    FollowUp::CalledBack | FollowUp::ClientGotThrough | FollowUp::Closed => {
                        self.follow_up_call.clone_from(call);
                        self.followed_up_at = Some(*at);
                    }
                    FollowUp::Open => {}
                }
            }
            Amendment::Recording { id, state, size, file } => {
                for recording in self.recordings.iter_mut().filter(|r| r.id == *id) {
                    recording.state = Some(*state);
                    recording.size = size.or(recording.size);
                    if let Some(file) = file {
                        recording.file.clone_from(file);
                    }
                }
            }
        }
        let changed = before != *self;
        if changed {
            self.revision = Self::next_revision(self.revision, wall_ms);
        }
        changed
    }
}

/// A step at `at`, to be filled in.
pub(crate) fn step(kind: StepKind, at: i64) -> Step {
    Step { at: Moment(at), step: kind, who: None, place: None, to: None, how: None, seconds: None }
}

impl Step {
    pub(crate) fn who(mut self, who: impl Into<Option<String>>) -> Self {
        self.who = who.into().map(String::into_boxed_str);
        self
    }

    pub(crate) fn place(mut self, place: impl Into<Option<String>>) -> Self {
        self.place = place.into().map(String::into_boxed_str);
        self
    }

    pub(crate) fn to(mut self, to: impl Into<Option<String>>) -> Self {
        self.to = to.into().map(String::into_boxed_str);
        self
    }

    pub(crate) fn how(mut self, how: &str) -> Self {
        self.how = Some(how.into());
        self
    }
}
