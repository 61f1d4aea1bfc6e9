//! Everything that can follow from an input, one closed enum; carried out by `daemon`, in order.

use std::sync::Arc;

use super::model::Conversation;
use super::record::{Amendment, Record};
use crate::asterisk::{Action, ActionId, PbxId, Text};

#[derive(Debug)]
pub enum Effect {
    /// Commit this, then (after the commit) deliver its records.
    Save(Box<Change>),
    /// Change a finished record in the store and deliver it.
    Amend { record_id: String, amendment: Amendment },
    /// Ask Asterisk, at once.
    Ask { pbx: PbxId, action_id: ActionId, action: Action },
    /// Ask Asterisk after everything before it in the list is committed (an Originate must not outrun its record).
    AskAfterCommit { pbx: PbxId, action_id: ActionId, action: Action },
    /// What happened while the link to this exchange was down is settled as far as Asterisk still knows; what only its call
    /// detail records know can be looked for once everything before this is committed.
    Resynced { pbx: PbxId },
    /// Tell whoever waits for this click-to-call how it stands.
    Progress(Box<Progress>),
}

/// All that one input changed in one conversation; committed in one transaction.
#[derive(Debug, PartialEq)]
pub struct Change {
    pub conversation: String,
    pub pbx: String,
    /// The state to restore after a restart; `None` once the conversation is over or was joined into another.
    pub open: Option<Box<Conversation>>,
    /// Set when the conversation was joined into this other one.
    pub joined_into: Option<String>,
    /// The records that changed, each with a new revision.
    pub records: Vec<Arc<Record>>,
}

/// How one click-to-call stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The CRM that asked; its ids of requests are its own.
    pub crm: Option<String>,
    pub request: Text,
    pub conversation: String,
    pub state: RequestState,
    /// Why it is over without a talk: the record's reason, else its status.
    pub reason: Option<Text>,
}

/// How a click-to-call goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestState {
    Queued,
    AgentRinging,
    CustomerRinging,
    Talking,
    Done,
    Failed,
}

impl RequestState {
    /// As the wire writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::AgentRinging => "agent_ringing",
            Self::CustomerRinging => "customer_ringing",
            Self::Talking => "talking",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}
