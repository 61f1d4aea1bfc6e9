//! What we may ask of Asterisk: a closed set, so that no stranger's text ever becomes an AMI header.

use super::{ChannelName, Text, Uniqueid};

/// The id that ties an action to its answer, unique within a process.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ActionId(pub Text);

/// An action of ours. `ami/codec` writes it; no CR, LF or NUL can be written, whatever a field holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// `AuthType: MD5`
    Challenge,
    /// `key` = hex MD5 of challenge and secret
    LoginMd5 {
        username: Text,
        key: Text,
    },
    LoginPlain {
        username: Text,
        secret: Text,
    },
    Ping,
    CoreSettings,
    CoreShowChannels,
    Status,
    BridgeList,
    QueueStatus,
    /// Every device and its state, as `DeviceStateChange` (needs write class `reporting` or `call`).
    DeviceStateList,
    Originate(Box<Originate>),
    /// Hang up one channel (cancelling a click-to-call; needs write class `call`).
    Hangup {
        channel: ChannelName,
    },
    /// `Operation: Add` (needs write class `system` on some versions).
    Filter {
        filter: Text,
    },
    Logoff,
}

/// A click-to-call: ring `channel`, then send it to `exten@context`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Originate {
    /// `PJSIP/101`
    pub channel: Text,
    pub context: Text,
    pub exten: Text,
    /// What the agent's phone shows.
    pub caller_id: Text,
    pub timeout_ms: u32,
    /// The uniqueid the first leg will have.
    pub channel_id: Uniqueid,
    /// The uniqueid of the other half, where the first leg is a Local channel.
    pub other_channel_id: Uniqueid,
    /// Channel variables, name and value.
    pub variables: Vec<(Text, Text)>,
}
