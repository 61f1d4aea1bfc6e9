//! Everything that can happen to the core, one closed enum.

use super::model::Conversation;
use super::rules::Rules;
use crate::asterisk::{Event, PbxId, Text, Uniqueid};

#[derive(Debug)]
pub enum Input {
    /// Asterisk said something.
    Heard { pbx: PbxId, event: Event },
    /// Logged in to Asterisk (again): what it holds must be compared with what we believe.
    LinkUp { pbx: PbxId },
    /// The link broke; nothing is known until it is up again.
    LinkDown { pbx: PbxId },
    /// This exchange will never say more (the end of a recording): what is open ends here, its end unseen.
    Over { pbx: PbxId },
    /// A deadline given by `next_deadline` may have come.
    Tick,
    /// A CRM user clicked a number.
    PlaceCall(Box<PlaceCall>),
    /// The clicker thought better of it. Each CRM has its own ids of requests.
    CancelCall { crm: Text, request: Text },
    /// The dialplan asked who a caller is and got an answer (FastAGI).
    CallerIdentified { pbx: PbxId, uniqueid: Uniqueid, client_id: Option<Text>, client_name: Option<Text> },
    /// An open conversation as it was stored before a restart of ours.
    Restored(Box<Conversation>),
    /// An open conversation as the connector that was active before us had stored it. What we have heard whole stands, and
    /// learns what only the other one was told (the click behind it, what the dialplan asked); what we have heard only in part
    /// gives way to it.
    Adopted(Box<Conversation>),
    /// An open conversation as the connector that is active stored it a moment ago. Where we have heard it only in part (we were
    /// started in the middle of it, or the link broke) and nothing happens in it just now, its word takes the place of ours.
    Followed(Box<Conversation>),
    /// New rules (SIGHUP); open conversations keep those they began with.
    Reloaded(Box<Rules>),
}

/// A click-to-call that has passed the guard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaceCall {
    pub pbx: PbxId,
    /// Unguessable and never used before: becomes the uniqueid of the agent's channel, and with a suffix that of the
    /// other half.
    pub call_id: Text,
    /// The id the caller of the API got.
    pub request: Text,
    /// The agent's extension.
    pub from: Text,
    /// The number as asked for, and as the dialplan is to see it.
    pub to: Text,
    pub dialled: Text,
    /// What to ring, as `PJSIP/101` or `Local/101@from-internal/n`.
    pub channel: Text,
    pub context: Text,
    pub caller_id: Text,
    pub timeout_ms: u32,
    pub variables: Vec<(Text, Text)>,
    /// The CRM that asked.
    pub crm: Option<Text>,
    pub crm_record: Option<Text>,
    pub user: Option<Text>,
}
