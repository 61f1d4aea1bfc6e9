//! What the core keeps: conversations, their channels and their phones. Serialised as it is when an open conversation
//! is stored, and handed back as `Input::Restored`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::record::{Direction, EndedBy, Record, Step, TransferKind};
use crate::asterisk::channel::Half;
use crate::asterisk::{BridgeId, ChannelName, DialStatus, PbxId, Text, Uniqueid};

/// Wall-clock milliseconds.
pub type Ms = i64;

/// Whose channel it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// A person's internal number.
    Extension(String),
    /// The outside world, by the endpoint's name.
    Trunk(String),
    /// Plumbing: the party is found behind it.
    #[default]
    Local,
}

/// How a channel came into being.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Not yet said by any event.
    #[default]
    Unknown,
    /// It called in: its dialplan decides.
    Caller,
    /// Asterisk dialled it for another channel.
    Dialled,
    /// Asterisk dialled it for nobody: the first leg of an Originate.
    Originated,
    /// The near end of the Local channel of a consultation by feature code.
    Consulting,
}

/// One channel of a conversation.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Channel {
    #[serde(with = "uniqueid_text")]
    pub uniqueid: Uniqueid,
    #[serde(with = "channel_text")]
    pub name: ChannelName,
    pub party: Party,
    pub role: Role,
    /// The outside party itself; on every other channel somebody of ours is.
    pub is_client: bool,
    /// Sits on the phone of this index and talks for it.
    pub phone: Option<usize>,
    /// Its ringing and its refusal are those of the phone of this index (outgoing: the customer's channel decides for
    /// our caller's record).
    pub decides: Option<usize>,
    #[serde(with = "uniqueid_option")]
    pub dialled_by: Option<Uniqueid>,
    /// The number a trunk was asked to call.
    pub dialled_number: Option<Text>,
    /// First caller id number and dialled extension, before the dialplan changed them.
    pub caller_number: Text,
    pub caller_name: Text,
    pub exten: Text,
    pub born: Ms,
    pub ring_from: Option<Ms>,
    pub ring_until: Option<Ms>,
    pub up_at: Option<Ms>,
    /// The party behind the channel asked to hang up, and as which of all such requests.
    pub asked_hangup: Option<(Ms, u64)>,
    /// When the party behind it last pressed a key, where we may hear that (`DTMFEnd`).
    pub pressed_key: Option<Ms>,
    pub hung_up: Option<Ms>,
    pub cause: Option<u16>,
    pub dial_end: Option<DialEnd>,
    /// The phone sent the call elsewhere (302).
    pub forwarded: bool,
    /// Somebody took its call by pickup.
    pub picked_up: bool,
    #[serde(with = "bridge_option")]
    pub bridge: Option<BridgeId>,
    /// An agent's who waits on the line for clients (`AgentLogin`).
    pub pooled: bool,
    /// The other half of a Local pair.
    #[serde(with = "uniqueid_option")]
    pub local_peer: Option<Uniqueid>,
    /// The Dial or Queue it runs, with its arguments.
    pub runs: Option<Box<(String, String)>>,
    /// Missing in the last comparison with what Asterisk holds.
    pub missing_once: bool,
}

impl Channel {
    pub fn is_live(&self) -> bool {
        self.hung_up.is_none()
    }

    pub fn extension(&self) -> Option<&str> {
        match &self.party {
            Party::Extension(extension) => Some(extension),
            Party::Trunk(_) | Party::Local => None,
        }
    }

    pub fn is_local(&self) -> bool {
        self.party == Party::Local
    }

    /// It rings now.
    pub fn rings(&self) -> bool {
        self.is_live() && self.ring_from.is_some() && self.ring_until.is_none() && self.up_at.is_none()
    }

    /// The phone behind it turned the call away by itself.
    ///
    /// A phone that refuses asks for the end itself (chan_sip says DialEnd BUSY instead). The cause alone does not tell: 19 is
    /// "no answer", too, and a Dial that hangs up hands the 17 or 21 of one phone on to those that still rang.
    pub fn refused(&self) -> bool {
        if self.up_at.is_some() || self.picked_up || self.forwarded {
            return false;
        }
        // Should its HangupRequest be lost: who never rang cannot have rung out.
        let by_itself =
            self.asked_hangup.is_some() || (self.ring_from.is_none() && self.dial_end != Some(DialEnd::Cancel));
        match self.cause {
            Some(17 | 21) => by_itself || matches!(self.dial_end, None | Some(DialEnd::Busy)),
            Some(19) => by_itself || self.dial_end == Some(DialEnd::Busy),
            _ => self.dial_end == Some(DialEnd::Busy),
        }
    }

    pub fn rang(&self) -> bool {
        self.ring_from.is_some()
    }
}

/// The first `DialEnd` of a dialled channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialEnd {
    Answer,
    NoAnswer,
    Busy,
    Cancel,
    Congestion,
    Other,
}

impl From<DialStatus> for DialEnd {
    fn from(status: DialStatus) -> Self {
        match status {
            DialStatus::Answer => Self::Answer,
            DialStatus::NoAnswer => Self::NoAnswer,
            DialStatus::Busy => Self::Busy,
            DialStatus::Cancel => Self::Cancel,
            DialStatus::Congestion | DialStatus::ChanUnavail => Self::Congestion,
            _ => Self::Other,
        }
    }
}

/// Which phone a record is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhoneKey {
    Extension(String),
    /// An outside number: follow-me, forwarding, a transfer to a mobile.
    Outside(String),
}

impl PhoneKey {
    pub fn name(&self) -> &str {
        match self {
            Self::Extension(name) | Self::Outside(name) => name,
        }
    }
}

/// Something the conversation tried to reach; each is a record of its own with `records = "per-phone"`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Phone {
    /// The record's id, given once and never changed.
    pub id: String,
    /// Order of naming: conversation's birth and n, so that joined conversations sort, too.
    pub order: (Ms, u32),
    /// `None` while only a Local channel was dialled and nobody was found behind it.
    pub key: Option<PhoneKey>,
    /// The Local pair (its `;1`) that named it before anybody was found behind it.
    #[serde(with = "uniqueid_option")]
    pub named_by: Option<Uniqueid>,
    pub started: Ms,
    /// Ring time of channels that are no longer kept.
    pub ring_ms: i64,
    pub talk_ms: i64,
    pub talk_from: Option<Ms>,
    pub answered: Option<Ms>,
    /// When it was last bridged with somebody.
    pub talk_until: Option<Ms>,
    /// Spans of talk, for recordings; at most [`MAX_TALKS`].
    pub talks: Vec<(Ms, Ms)>,
    /// When its last channel ended, or it gave the call away.
    pub ended: Option<Ms>,
    pub ended_by: Option<EndedBy>,
    /// What its last attempt came to.
    pub fate: Fate,
    pub cause: Option<u16>,
    pub rang: bool,
    /// Transferred or parked the client.
    pub gave_away: bool,
    pub parked: bool,
    pub queue: Option<String>,
    pub transferred_from: Option<String>,
    pub transferred_to: Option<String>,
    pub transfer: Option<TransferKind>,
    pub picked_up_from: Option<String>,
}

/// What an attempt at a phone came to, as far as the phone is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Named, dialled or ringing.
    #[default]
    Trying,
    Answered,
    RangOut,
    Refused,
    /// 302
    Forwarded,
    /// No channel, or it never rang; outgoing: wrong number, congestion.
    Unreachable,
}

pub const MAX_TALKS: usize = 64;

/// Where the client was last, as far as the reason of a missed call asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    #[default]
    None,
    Greeting,
    Menu,
    Queue,
    Dial,
    Voicemail,
    DialplanError,
}

/// The voice menu a client went through.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Menu {
    pub context: String,
    /// The extension in which the menu is played, which a key leaves.
    pub exten: String,
    pub keys: Vec<String>,
    /// It is being played: what comes next is a key.
    pub open: bool,
    /// Keys pressed in it so far, where we may hear them (`DTMFEnd`).
    #[serde(default)]
    pub heard: String,
    #[serde(default)]
    pub heard_at: Ms,
    /// It is made with Read, which puts the keys into a variable and goes on at the same place.
    #[serde(default)]
    pub reads: bool,
}

/// The client's stay in a queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QueueVisit {
    pub name: String,
    pub joined: Ms,
    pub left: Option<Ms>,
    /// The client's answer in it.
    pub answered: Option<Ms>,
    /// `QUEUESTATUS`, once said
    pub status: Option<String>,
    /// A phone rang for him in it.
    pub rang: bool,
    /// How long he stood in it before, where it let him go and the dialplan put him in again.
    #[serde(default)]
    pub waited_before: i64,
}

/// A click-to-call of ours.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Click {
    pub request: String,
    pub action_id: String,
    pub agent: Option<String>,
    /// What was asked for, once known.
    pub asked: Option<String>,
    pub crm_record: Option<String>,
    pub user: Option<String>,
    /// The agent's phone took the call.
    pub agent_up: bool,
    /// The Originate timed out (`Reason: 3`).
    pub timed_out: bool,
    /// It failed, and Asterisk said so.
    pub failed: bool,
    pub cancelled: bool,
}

/// A file being written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordingRun {
    pub id: String,
    pub file: String,
    pub from: Ms,
    pub until: Option<Ms>,
    /// The recorded channel, if known.
    #[serde(with = "uniqueid_option")]
    pub channel: Option<Uniqueid>,
}

/// A transfer (or Redirect) whose target has not taken the client yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PendingTransfer {
    /// Who gave the client away, and his phone in this conversation.
    pub from: String,
    pub from_phone: Option<usize>,
    /// The extension dialled, should no phone be tried.
    pub exten: String,
    /// A phone was tried for it.
    #[serde(default)]
    pub tried: bool,
    #[serde(default = "blind")]
    pub kind: TransferKind,
}

fn blind() -> TransferKind {
    TransferKind::Blind
}

/// A Dial seen on a Local channel's far end before anything said who is behind the near one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnplacedDial {
    #[serde(with = "uniqueid_text")]
    pub channel: Uniqueid,
    pub arguments: String,
}

/// Everything that belongs together, from the first channel to the last hang-up.
/// What an older version stored lacks the fields that came later: they begin as in a new conversation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Conversation {
    /// `<pbx>-<uniqueid of its first channel>`
    pub id: String,
    pub pbx: String,
    #[serde(skip)]
    pub pbx_id: PbxId,
    pub born: Ms,
    /// The record without a phone, while there is one; the first phone takes it over.
    pub phoneless: Option<String>,
    /// The id of the only record with `records = "per-call"`, once there is one.
    pub only_id: Option<String>,
    /// The base of this conversation's record ids, which stays when it is joined.
    pub birth_id: String,
    pub next_n: u32,
    pub direction: Option<Direction>,
    pub client_number: Option<String>,
    pub client_name: Option<String>,
    pub client_id: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub did: Option<String>,
    /// The caller's number as the last dialled trunk got it, until the call was answered.
    pub presented: Option<String>,
    pub trunk: Option<String>,
    /// The extension that started it.
    pub caller_extension: Option<String>,
    pub channels: Vec<Channel>,
    pub phones: Vec<Phone>,
    pub stage: Stage,
    /// An AGI script runs on the client's channel now.
    pub agi_runs: bool,
    /// Hangup, Busy or Congestion was executed.
    pub dialplan_refused: bool,
    /// The caller was sent to `i`, a context that is not there, or the like.
    pub invalid: bool,
    /// `INVALID_EXTEN`: what was dialled or pressed where nothing answers to it.
    pub invalid_exten: Option<String>,
    /// At least one `Newexten` was seen: the dialplan is visible to us.
    pub dialplan_seen: bool,
    /// The dialplan place of the last `Newexten` of the leading channel.
    pub last_place: Option<(String, String)>,
    pub last_application: Option<String>,
    /// Where in the dialplan the client was when his last talk began, and that the dialplan went on from there after it.
    pub talk_place: Option<(String, String)>,
    pub went_on: bool,
    /// When the extension `h` began, which runs after the end while the channel still exists.
    pub h_began: Option<Ms>,
    pub menu: Option<Box<Menu>>,
    pub voicemail: Option<String>,
    pub queue: Option<Box<QueueVisit>>,
    /// Queues he left for another one; the first eight.
    pub past_queues: Vec<QueueVisit>,
    pub pending_transfer: Option<Box<PendingTransfer>>,
    /// The transferer's channel, of another conversation, for whom this one is a consultation by feature code.
    #[serde(with = "uniqueid_option")]
    pub consulting: Option<Uniqueid>,
    pub is_consultation: bool,
    /// It came over a trunk from another exchange of ours, whose conversation it is the far end of.
    pub told_by_peer: bool,
    /// The transferer hung up: his channel is not of this conversation.
    #[serde(default)]
    pub guest_asked_hangup: Option<Ms>,
    pub click: Option<Box<Click>>,
    pub recordings: Vec<RecordingRun>,
    /// A recording started whose file is not known (MixMonitorStart without VarSet).
    pub unnamed_recording: Option<Ms>,
    /// What a Local channel's far end dials, before it is known who dialled the Local channel: its `;2` and the
    /// arguments of Dial.
    pub unplaced_dials: Vec<UnplacedDial>,
    /// A person was first bridged with the client.
    pub answered: Option<Ms>,
    pub ended: Option<Ms>,
    pub ended_by: Option<EndedBy>,
    /// The end was not seen.
    pub lost: bool,
    /// Asterisk was restarted in mid-call.
    pub restarted: bool,
    pub crm: Option<String>,
    pub variables: BTreeMap<String, String>,
    /// Shared with the records that show them.
    pub timeline: Vec<Arc<Step>>,
    pub outside_hours: bool,
    /// The records as last sent out, revisions included; shared with whoever they were sent to.
    #[serde(with = "shared_records")]
    pub published: Vec<Arc<Record>>,
}

/// The steps kept of one conversation; beyond that the end still comes.
pub const MAX_STEPS: usize = 2_000;
/// Channels that have hung up are kept for late events, at most so many.
pub const MAX_ENDED_CHANNELS: usize = 64;
/// Phones of one conversation; a queue of more agents than this shows the first ones.
pub const MAX_PHONES: usize = 256;

impl Default for Conversation {
    fn default() -> Self {
        Self::new(String::new(), String::new(), PbxId::default(), 0, 1)
    }
}

impl Conversation {
    pub fn new(id: String, pbx: String, pbx_id: PbxId, born: Ms, first_n: u32) -> Self {
        Self {
            birth_id: id.clone(),
            id,
            pbx,
            pbx_id,
            born,
            phoneless: None,
            only_id: None,
            next_n: first_n,
            direction: None,
            client_number: None,
            client_name: None,
            client_id: None,
            from: None,
            to: None,
            did: None,
            presented: None,
            trunk: None,
            caller_extension: None,
            // Most calls have two channels and one phone; a vector left to itself would take room for four.
            channels: Vec::with_capacity(2),
            phones: Vec::with_capacity(1),
            stage: Stage::None,
            agi_runs: false,
            dialplan_refused: false,
            invalid: false,
            invalid_exten: None,
            dialplan_seen: false,
            last_place: None,
            last_application: None,
            talk_place: None,
            went_on: false,
            h_began: None,
            menu: None,
            voicemail: None,
            queue: None,
            past_queues: Vec::new(),
            pending_transfer: None,
            consulting: None,
            is_consultation: false,
            told_by_peer: false,
            guest_asked_hangup: None,
            click: None,
            recordings: Vec::new(),
            unnamed_recording: None,
            unplaced_dials: Vec::new(),
            answered: None,
            ended: None,
            ended_by: None,
            lost: false,
            restarted: false,
            crm: None,
            variables: BTreeMap::new(),
            timeline: Vec::new(),
            outside_hours: false,
            published: Vec::with_capacity(1),
        }
    }

    pub fn channel(&self, uniqueid: &Uniqueid) -> Option<&Channel> {
        self.channels.iter().find(|c| c.uniqueid == *uniqueid)
    }

    pub fn channel_mut(&mut self, uniqueid: &Uniqueid) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|c| c.uniqueid == *uniqueid)
    }

    pub fn phone_index(&self, key: &PhoneKey) -> Option<usize> {
        self.phones.iter().position(|p| p.key.as_ref() == Some(key))
    }

    /// Phones that were really tried, with their index.
    pub fn tried(&self) -> impl Iterator<Item = (usize, &Phone)> {
        self.phones.iter().enumerate().filter(|(_, p)| p.key.is_some())
    }

    pub fn has_phones(&self) -> bool {
        self.phones.iter().any(|p| p.key.is_some())
    }

    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// When it ended for those who took part: what `h` does afterwards may take its time. The `h` of a transferer, while the
    /// others talk on, is not the end.
    pub fn over_at(&self) -> Option<Ms> {
        let talked = self.phones.iter().filter_map(|p| p.talk_until).max();
        self.h_began.filter(|h| talked.is_none_or(|talked| talked <= *h)).or(self.ended)
    }

    pub fn client_channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter().filter(|c| c.is_client)
    }

    pub fn has_live_client(&self) -> bool {
        self.client_channels().any(Channel::is_live)
    }

    /// A person talked with the client, or the two sides of an internal call with each other.
    pub fn was_answered(&self) -> bool {
        self.answered.is_some()
    }

    /// The channel at the root of a chain of dials, through Local pairs: who asked for `uniqueid` to be called.
    pub fn root_of(&self, uniqueid: &Uniqueid) -> Option<&Channel> {
        let mut channel = self.channel(uniqueid)?;
        // A chain is as long as the dialplan nests Local channels; a loop can only come from a broken stream.
        for _ in 0..16 {
            let up = match channel.name.local_half() {
                Some(Half::Two) => channel.local_peer.as_ref(),
                Some(Half::One) | None => channel.dialled_by.as_ref(),
            };
            match up.and_then(|up| self.channel(up)) {
                Some(next) => channel = next,
                None => break,
            }
        }
        Some(channel)
    }

    /// The client asked for `dialler`'s dial, also one who was called himself and then sent on by a transfer.
    pub fn is_dialled_by_client(&self, dialler: &Uniqueid) -> bool {
        let mut at = self.channel(dialler);
        for _ in 0..16 {
            let Some(channel) = at else { return false };
            if channel.is_client {
                return true;
            }
            at = match channel.name.local_half() {
                Some(Half::Two) => channel.local_peer.as_ref(),
                Some(Half::One) | None => channel.dialled_by.as_ref(),
            }
            .and_then(|up| self.channel(up));
        }
        false
    }

    pub fn step(&mut self, step: impl Into<Arc<Step>>) {
        if self.timeline.len() < MAX_STEPS {
            self.timeline.push(step.into());
        }
    }

    /// Its beginning was not seen.
    pub fn began_in_mid_call(&self) -> bool {
        self.next_n >= super::resync::FIRST_N_MID_WAY
    }

    /// The next record id of this conversation and its place in the order.
    pub fn next_id(&mut self) -> (String, (Ms, u32)) {
        let n = self.next_n;
        self.next_n = self.next_n.saturating_add(1);
        (format!("{}-{n}", self.birth_id), (self.born, n))
    }
}

/// Uniqueids are texts outside.
mod uniqueid_text {
    use super::Uniqueid;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(id: &Uniqueid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(id.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uniqueid, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Uniqueid::new(&text))
    }
}

mod uniqueid_option {
    use super::Uniqueid;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(id: &Option<Uniqueid>, serializer: S) -> Result<S::Ok, S::Error> {
        id.as_ref().map(Uniqueid::as_str).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uniqueid>, D::Error> {
        let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Ok(text.map(|text| Uniqueid::new(&text)))
    }
}

mod bridge_option {
    use super::BridgeId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(id: &Option<BridgeId>, serializer: S) -> Result<S::Ok, S::Error> {
        id.as_ref().map(BridgeId::as_str).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BridgeId>, D::Error> {
        let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Ok(text.map(|text| BridgeId::new(&text)))
    }
}

/// Stored as what they are, whoever shares them.
mod shared_records {
    use super::{Arc, Record};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(records: &[Arc<Record>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(records.iter().map(|record| &**record))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<Record>>, D::Error> {
        let records = Vec::<Record>::deserialize(deserializer)?;
        Ok(records.into_iter().map(Arc::new).collect())
    }
}

mod channel_text {
    use super::ChannelName;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(name: &ChannelName, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChannelName, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(ChannelName::new(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_stored_by_an_older_version_is_read() {
        let stored = r#"{"id": "msk-1.1", "pbx": "msk", "channels": [{"uniqueid": "1.1", "name": "PJSIP/101-00000001"}],
            "phones": [{"id": "msk-1.1-1", "key": {"extension": "101"}}]}"#;
        let read: Conversation = serde_json::from_str(stored).expect("missing fields are new ones");
        assert_eq!(read.phones[0].key, Some(PhoneKey::Extension("101".to_owned())));
        assert!(read.channels[0].is_live());
    }
}
