//! What HTTP needs to know and to have done, as the shell hands it in: [`Office`] for questions and orders, [`Feed`] for
//! what happens.
//!
//! The functions that read a database or a folder are called on errand threads and may take their time; those that give an
//! order only put it into a queue.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Sender, TrySendError};
use serde::Serialize;

use super::desk::ToDesk;
use crate::asterisk::PbxId;
use crate::call::record::Moment;
use crate::call::{PlaceCall, Progress, Record};
use crate::phone::{DialFormat, EndpointPattern};
use crate::secret::Secret;

/// The office that HTTP is the window of.
pub trait Office: Send + Sync + 'static {
    /// Has the call placed. `line` and `kept` are committed together with the record before Asterisk is asked; `done` is
    /// called once that commit is over, or with the reason why there will be none. Must not wait.
    fn place_call(&self, call: PlaceCall, kept: KeptAnswer, line: AuditLine, done: Done);

    /// Has a click-to-call cancelled; false if it cannot even be passed on now.
    fn cancel_call(&self, crm: &str, request: &str) -> bool;

    /// Writes a line of the audit log. Must not wait.
    fn audit(&self, line: AuditLine);

    /// The answer this request of this CRM got within the last 24 hours, as JSON.
    ///
    /// # Errors
    /// If the database cannot be read, in the operator's words; so for all questions here.
    fn kept_answer(&self, crm: &str, request: &str) -> Result<Option<String>, String>;

    /// Records, newest first.
    #[expect(clippy::missing_errors_doc, reason = "as above")]
    fn calls(&self, wanted: &Wanted) -> Result<Vec<Record>, String>;

    /// How things stand.
    #[expect(clippy::missing_errors_doc, reason = "as above")]
    fn status(&self) -> Result<Status, String>;

    /// Figures the rest of the service wants in `/metrics`.
    fn figures(&self) -> Vec<Figure>;

    /// A recording by its id; `None` if no record has it (any more) or its links were revoked.
    #[expect(clippy::missing_errors_doc, reason = "as above")]
    fn recording(&self, id: &str) -> Result<Option<RecordingPlace>, String>;

    /// Settles a missed call by hand; false if it was settled already or does not exist. `by` is who did it.
    #[expect(clippy::missing_errors_doc, reason = "as above")]
    fn close_follow_up(&self, record_id: &str, by: &str) -> Result<bool, String>;

    /// A CRM says that its users or its directory have changed. Must not wait.
    fn refresh(&self, crm: &str, what: Refresh);
}

/// Called with how a commit went.
pub type Done = Box<dyn FnOnce(Result<(), NotPlaced>) + Send>;

/// Why a call that passed the guard is not placed after all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotPlaced {
    /// The link to this PBX is down.
    NoLink,
    /// A queue is full or the database does not commit.
    Busy,
    /// Another connector is active; this one only follows.
    Standby,
}

/// The answer a click-to-call request got, to be given again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptAnswer {
    pub crm: String,
    pub request: String,
    /// As JSON.
    pub answer: String,
    pub at_ms: i64,
}

/// One line of the click-to-call audit log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditLine {
    pub at_ms: i64,
    pub crm: String,
    pub user: Option<String>,
    pub request: Option<String>,
    pub from: String,
    pub to: String,
    /// `placed`, or why it was refused.
    pub outcome: String,
    pub peer: String,
}

/// What a CRM has told us it no longer knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refresh {
    Users,
    Directory,
}

/// Which records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Calls that have not ended.
    pub open: bool,
    /// Missed and not yet called back.
    pub to_call_back: bool,
    /// Lead records only.
    pub lead: bool,
    pub conversation: Option<String>,
    pub limit: usize,
}

/// Where the sound of a recording lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordingPlace {
    /// The recordings folder of its PBX; `None` if none is configured.
    pub folder: Option<PathBuf>,
    /// As the PBX names it.
    pub file: String,
    /// When the recording began: for nightly moves into dated folders.
    pub started_at: Moment,
    /// Of its PBX: dated folders are in its days.
    pub zone: jiff::tz::TimeZone,
    /// CRMs that have a record with it.
    pub crms: Vec<String>,
}

/// An exchange calls can be placed on.
#[derive(Clone, Debug)]
pub struct Pbx {
    pub id: PbxId,
    pub name: String,
    pub dial_format: DialFormat,
    pub dial_prefix: String,
    /// Instead of `[click_to_call] channel` and `context`, where the PBX has its own.
    pub channel: Option<String>,
    pub context: Option<String>,
}

/// A CRM that may ask us.
#[derive(Clone, Debug)]
pub struct Crm {
    /// What stands in `X-PIN-Key`.
    pub name: String,
    pub secret: Secret,
    /// The stock PBXManager module: its secret opens `/makecall`.
    pub is_stock: bool,
    /// Its own PBXs, extensions and contexts; an empty list does not restrict.
    pub pbxs: Vec<String>,
    pub extensions: Vec<EndpointPattern>,
    pub contexts: Vec<String>,
}

/// How things stand; what the status page, `/api/v1/status` and `/metrics` show.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Status {
    pub version: String,
    pub started_at: Moment,
    pub pbxs: Vec<PbxStatus>,
    pub crms: Vec<CrmStatus>,
    pub today: Today,
    /// Absent where this connector stands alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairStatus>,
    /// What an administrator should know, as sentences.
    pub warnings: Vec<String>,
}

/// Which of two connectors for one exchange this one is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PairStatus {
    pub name: String,
    pub role: PairRole,
    /// Of the lease, while active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// Who is active, while we follow and know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PairRole {
    Active,
    Standby,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct PbxStatus {
    pub name: String,
    pub up: bool,
    /// Up or down since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asterisk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct CrmStatus {
    pub name: String,
    /// Records on their way.
    pub waiting: u64,
    pub parked: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_since: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<Moment>,
    /// The newest first.
    pub requests: Vec<CrmRequest>,
}

/// One request to a CRM, and what it answered.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct CrmRequest {
    pub op: String,
    pub at: Moment,
    pub took_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub answer: String,
}

/// Conversations since midnight of the office's time zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Today {
    pub calls: u64,
    pub missed: u64,
    /// Missed and not yet called back, of any day.
    pub to_call_back: u64,
}

/// One Prometheus metric with all its samples.
#[derive(Clone, PartialEq, Debug)]
pub struct Figure {
    /// Without the `pinconnector_` before it.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: FigureKind,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FigureKind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// `_bucket`, `_sum`, `_count` of a histogram; else empty.
    pub suffix: &'static str,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

/// How long requests to a CRM take, told one by one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CrmTook {
    pub crm: String,
    pub op: &'static str,
    pub took_ms: u64,
    pub succeeded: bool,
}

/// What happens, for live listeners, for waiting clicks and for the counters.
#[derive(Debug)]
pub enum Happened {
    /// Records changed and are committed (or at least on their way to it).
    Records(Vec<Arc<Record>>),
    /// A click-to-call went on.
    Request(Box<Progress>),
    /// A link came up or went down; also told once at the start, for each.
    Link(PbxStatus),
    /// The outbox of a CRM changed noticeably; once a second is enough.
    Backlog(CrmStatus),
    /// A request to a CRM is over.
    CrmTook(CrmTook),
    /// Of two connectors, which one we are now.
    Pair(PairStatus),
}

/// Where the shell tells what happens. Never waits: when the desk is too busy, listeners are told to fetch the state anew.
#[derive(Clone)]
pub struct Feed {
    desk: Sender<ToDesk>,
}

impl Feed {
    pub(super) fn new(desk: Sender<ToDesk>) -> Self {
        Self { desk }
    }

    /// Tells the desk; false if it was too busy. What was missed of calls is read from the database by the next
    /// [`Office::calls`], what was missed of a click-to-call is overtaken by its next state.
    pub fn tell(&self, happened: Happened) -> bool {
        match self.desk.try_send(ToDesk::Happened(Box::new(happened))) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}
