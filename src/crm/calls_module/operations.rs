//! The operations of the vTiger module «Calls» as types: what is asked, and what is answered. No logic.
//!
//! The names are those of the wire (`tests/wire/calls/`); what they mean together is told in the README there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::Operation;
use crate::call::record::{FollowUp, Moment};

/// The longest a `commands` request may wait at the CRM.
pub const MAX_WAIT_S: u8 = 25;
/// What a request may take beyond the time it was asked to wait.
const WAIT_MARGIN: Duration = Duration::from_secs(10);
/// Entries asked for in one page of the directory: about half a megabyte.
pub const DIRECTORY_PAGE: u32 = 2000;

/// Who has this number?
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Lookup {
    /// As Asterisk gave it.
    pub number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pbx: Option<String>,
}

impl Operation for Lookup {
    const OP: &'static str = "lookup";
    type Answer = LookupAnswer;
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct LookupAnswer {
    pub found: bool,
    /// As it was compared.
    pub number: Option<String>,
    pub client: Option<CrmClient>,
    /// How many more clients have the number.
    #[serde(default)]
    pub others: u32,
    pub responsible: Option<Responsible>,
}

/// A client's card.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct CrmClient {
    /// `Contacts`, `Leads`, `Accounts`.
    pub module: String,
    pub id: String,
    pub name: String,
    pub account: Option<String>,
    /// Relative to vTiger's address.
    pub url: Option<String>,
    /// The client's manager, as in [`UsersAnswer`].
    pub user: Option<String>,
    /// The number to present to this client.
    pub caller_id: Option<String>,
}

/// A client's manager with the extension he has now.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Responsible {
    pub user: String,
    pub name: Option<String>,
    /// False where he may not log in any more.
    pub active: bool,
    pub pbx: Option<String>,
    /// Absent where he has none.
    pub extension: Option<String>,
    /// The user who stands in for him.
    pub deputy: Option<String>,
}

/// What changed in the directory of numbers since a cursor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Directory {
    /// Opaque; empty asks for everything.
    pub cursor: String,
    pub limit: u32,
}

impl Operation for Directory {
    const OP: &'static str = "directory";
    const ANSWER_LIMIT_BYTES: u64 = 8 << 20;
    type Answer = DirectoryAnswer;
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct DirectoryAnswer {
    /// First page of a full walk: what we hold is replaced once the walk has ended.
    #[serde(default)]
    pub reset: bool,
    /// Ask again with [`Self::cursor`].
    #[serde(default)]
    pub more: bool,
    pub cursor: String,
    #[serde(default)]
    pub entries: Vec<DirectoryEntry>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct DirectoryEntry {
    /// E.164 with `+`, or bare digits where none could be made.
    pub number: String,
    /// `None`: nobody's any more.
    pub client: Option<CrmClient>,
}

/// The whole map of (pbx, extension) to user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Users {}

impl Operation for Users {
    const OP: &'static str = "users";
    type Answer = UsersAnswer;
}

/// An answer without users never clears the map.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct UsersAnswer {
    pub revision: Option<String>,
    #[serde(default)]
    pub users: Vec<User>,
    #[serde(default)]
    pub groups: Vec<Group>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct User {
    pub user: String,
    pub user_name: Option<String>,
    pub name: Option<String>,
    pub active: bool,
    #[serde(default)]
    pub groups: Vec<String>,
    pub deputy: Option<String>,
    /// In order of preference, today's first.
    #[serde(default)]
    pub extensions: Vec<UserExtension>,
    #[serde(default)]
    pub mobiles: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct UserExtension {
    /// Absent: on every PBX.
    pub pbx: Option<String>,
    pub extension: String,
    /// `today` or `card`.
    pub source: Option<String>,
    pub until: Option<Moment>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Group {
    pub group: String,
    pub name: Option<String>,
    /// 1 comes first: of a user's groups the first counts.
    pub priority: Option<u32>,
    pub pbx: Option<String>,
    pub context: Option<String>,
    pub caller_id: Option<String>,
}

/// What does the CRM want done?
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Commands {
    /// Until there is something, at most [`MAX_WAIT_S`].
    pub wait_s: u8,
    /// Those of earlier answers that are done: each is repeated until it stands here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<CommandDone>,
    /// How click-to-calls go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestProgress>,
}

impl Operation for Commands {
    const OP: &'static str = "commands";
    type Answer = CommandsAnswer;

    fn timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.wait_s.into()) + WAIT_MARGIN)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct CommandDone {
    pub id: String,
    pub ok: bool,
    /// The code and the sentence of the HTTP answer to the same call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct RequestProgress {
    pub request: String,
    /// `queued`, `agent_ringing`, `customer_ringing`, `talking`, `done`, `failed`.
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct CommandsAnswer {
    /// The CRM's clock.
    pub time: Option<Moment>,
    #[serde(default)]
    pub commands: Vec<Command>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Command {
    pub id: String,
    /// `Err`: a command this connector does not know, or cannot read: to be answered so, once.
    pub order: Result<Order, String>,
}

impl<'de> Deserialize<'de> for Command {
    /// A command of tomorrow's module must not hide those beside it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let whole = serde_json::Value::deserialize(deserializer)?;
        let id = whole.get("id").and_then(serde_json::Value::as_str);
        let id = id.ok_or_else(|| serde::de::Error::missing_field("id"))?.to_owned();
        let order = serde_json::from_value(whole).map_err(|error| error.to_string());
        Ok(Self { id, order })
    }
}

#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Order {
    /// Click-to-call; idempotent by `call.request`.
    Call {
        call: ClickToCall,
        /// After it the call must not be dialled.
        expires_at: Option<Moment>,
    },
    Cancel {
        request: String,
    },
    Refresh {
        what: Refresh,
    },
    CloseFollowUp {
        /// Id of the main record.
        call: String,
        follow_up: FollowUp,
        user: Option<String>,
        at: Moment,
    },
}

/// What of the CRM has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refresh {
    Users,
    Directory,
}

/// The body of `POST /api/v1/calls`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClickToCall {
    pub request: String,
    pub from: String,
    pub to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pbx: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crm_record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

/// How the connector is; once a minute, and at once when a PBX link goes down or comes back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Heartbeat {
    pub sent_at: Moment,
    pub version: String,
    pub started_at: Moment,
    /// Where the CRM and browsers reach us, if they can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Origins of pages that may listen to live events here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub event_origins: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The office's own area code, for city numbers written without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area_code: Option<String>,
    pub last_digits: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    pub pbxs: Vec<PbxHealth>,
    pub outbox: OutboxHealth,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    pub counters: Counters,
}

impl Operation for Heartbeat {
    const OP: &'static str = "heartbeat";
    type Answer = HeartbeatAnswer;
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct PbxHealth {
    pub pbx: String,
    pub up: bool,
    pub since: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asterisk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_calls: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct OutboxHealth {
    pub waiting: u64,
    pub parked: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<Moment>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct LastError {
    pub at: Moment,
    pub message: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counters {
    pub records_saved: u64,
    pub requests_failed: u64,
    pub calls_placed: u64,
}

#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct HeartbeatAnswer {
    pub vtiger: Option<String>,
    /// Ours less its own, as it sees them.
    pub clock_skew_seconds: Option<f64>,
    /// Whether it can fetch recordings from us; absent from older modules, which must.
    pub fetches_recordings: Option<bool>,
    /// Another one than last time: asking for users brings something new.
    pub users_revision: Option<String>,
    /// Another one than our cursor: asking for the directory brings something new.
    pub directory_head: Option<String>,
    #[serde(default)]
    pub commands_waiting: u32,
}

/// A client wants to be forgotten: his calls, comments on them and sounds go, his card stays.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Forget {
    pub number: String,
}

impl Operation for Forget {
    const OP: &'static str = "forget";
    type Answer = ForgetAnswer;
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct ForgetAnswer {
    pub number: Option<String>,
    #[serde(default)]
    pub calls: u32,
    #[serde(default)]
    pub recordings: u32,
}

/// A piece of a recording, for a CRM that cannot fetch it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SendRecording {
    /// Id of a record that has it.
    pub call: String,
    pub recording: String,
    /// Of the whole, in bytes.
    pub size: u64,
    /// Where this piece begins.
    pub offset: u64,
    /// `audio/wav`, `audio/mpeg`, `audio/ogg`.
    #[serde(rename = "type")]
    pub content_type: &'static str,
    /// The piece in base64.
    pub data: String,
}

impl Operation for SendRecording {
    const OP: &'static str = "recording";
    type Answer = SendRecordingAnswer;
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct SendRecordingAnswer {
    /// `saved`, `retry`, `rejected`.
    pub result: String,
    /// Bytes the CRM has now: the next piece begins there.
    #[serde(default)]
    pub have: u64,
    pub reason: Option<String>,
}
