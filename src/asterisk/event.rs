//! Everything an Asterisk can tell us over AMI that matters to a call, one variant each.
//!
//! An event owns what it keeps. What is in no variant never leaves the AMI reader. Every text may be empty: Asterisk's
//! `<unknown>` and an absent key both become the empty text. Keys come twice sometimes; the first counts.

use super::{BridgeId, ChannelName, ChannelState, DialStatus, HangupCause, Text, Uniqueid};

/// The channel snapshot that nearly every event carries, under its bare keys or under a prefix (`Dest…`,
/// `Transferee…`, `LocalOne…`, `Parkee…`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Leg {
    /// `Channel`
    pub name: ChannelName,
    /// `Uniqueid`
    pub uniqueid: Uniqueid,
    /// `Linkedid`: a hint; it changes silently on transfers, pickups and retrieved calls.
    pub linkedid: Uniqueid,
    /// `ChannelState`
    pub state: ChannelState,
    /// `CallerIDNum`
    pub caller_number: Text,
    /// `CallerIDName`, decoded from UTF-8 or, where it is not UTF-8, from the configured charset.
    pub caller_name: Text,
    /// `ConnectedLineNum`
    pub connected_number: Text,
    /// `Context`
    pub context: Text,
    /// `Exten`
    pub exten: Text,
}

/// A call detail record as `cdr_manager` sends it (class `cdr`). Its times are whole seconds without a zone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cdr {
    pub uniqueid: Uniqueid,
    pub linkedid: Uniqueid,
    /// `Channel`
    pub channel: ChannelName,
    /// `DestinationChannel`; empty when no phone was dialled.
    pub destination_channel: ChannelName,
    pub source: Text,
    pub destination: Text,
    pub destination_context: Text,
    pub last_application: Text,
    pub last_data: Text,
    /// `ANSWERED`, `NO ANSWER`, `BUSY`, `FAILED`, `CONGESTION`
    pub disposition: Text,
    /// `Duration`, seconds
    pub duration_s: u32,
    /// `BillableSeconds`
    pub billable_s: u32,
    /// `RecordingFile` (a mapping in cdr_manager.conf) or, where that is absent or empty, `UserField`.
    pub recording_file: Text,
}

/// What a list action (`CoreShowChannels`, `Status`) says about one channel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListedChannel {
    pub leg: Leg,
    pub application: Text,
    /// `ApplicationData` (CoreShowChannels) or `Data` (Status)
    pub application_data: Text,
    /// `Duration` as seconds (CoreShowChannels, `HH:MM:SS`) or `Seconds` (Status): how long the channel exists.
    pub duration_s: u64,
    /// `BridgeId` (CoreShowChannels) or `BridgeID` (Status)
    pub bridge: Option<BridgeId>,
    /// `DNID` (Status only): the number that was called.
    pub dnid: Text,
}

/// Who takes part in a queue's event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QueueAgent {
    /// `Queue`
    pub queue: Text,
    /// The waiting caller.
    pub caller: Leg,
    /// The member's channel (`Dest…`): a phone's or, for Local members, the `;1` half.
    pub dest: Leg,
    /// `Interface`, as `PJSIP/101` or `Local/101@from-queue/n`
    pub interface: Text,
    /// `MemberName`
    pub member: Text,
}

/// The answer to an action of ours (`Response:`), tied to it by `ActionID`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Response {
    pub action_id: Text,
    /// `Response: Success` (or `Goodbye`, `Follows`)
    pub success: bool,
    pub message: Text,
    /// `Challenge`, the answer to `Action: Challenge`
    pub challenge: Text,
    /// `AsteriskVersion`, the answer to `CoreSettings`
    pub version: Text,
    /// `CoreStartupDate` and `CoreStartupTime`, the answer to `CoreStatus`: when this Asterisk began, in its own clock and zone, so
    /// that it is only good for comparing.
    pub began: Text,
    /// `EventList: start`: list events follow.
    pub list_follows: bool,
    /// `Ping: Pong`
    pub pong: bool,
    /// `Output:` lines of a `Command`, at most the message limit.
    pub output: Vec<Text>,
}

/// A second snapshot is boxed: an event is moved several times and waits in queues, and most have one.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A channel came into being. Incoming: linkedid == uniqueid and exten = the dialled number.
    Newchannel(Leg),
    Newstate(Leg),
    NewCallerid(Leg),
    /// The dialplan starts an application (class `dialplan`). `leg` holds only name, uniqueid, linkedid, context, exten.
    Newexten {
        leg: Leg,
        application: Text,
        application_data: Text,
    },
    /// A channel variable we keep was set (class `dialplan`). The value is unescaped. `leg` as in `Newexten`.
    VarSet {
        leg: Leg,
        variable: Text,
        value: Text,
    },
    /// `caller` is absent for an Originate's first leg.
    DialBegin {
        caller: Option<Box<Leg>>,
        dest: Leg,
        dial_string: Text,
    },
    /// Ringing, progress: what a dialled phone does.
    DialState {
        dest: Leg,
        status: DialStatus,
    },
    /// `forward`: the phone sent the call elsewhere by itself (302).
    DialEnd {
        caller: Option<Box<Leg>>,
        dest: Leg,
        status: DialStatus,
        forward: Text,
    },
    BridgeCreate {
        bridge: BridgeId,
        technology: Text,
        creator: Text,
    },
    BridgeEnter {
        bridge: BridgeId,
        /// `BridgeTechnology`: `simple_bridge`, `native_rtp`, `softmix` (conference), `holding_bridge` (parking) ...
        technology: Text,
        /// `BridgeCreator`: `ConfBridge`, `Parking` ... empty for an ordinary talk.
        creator: Text,
        leg: Leg,
    },
    BridgeLeave {
        bridge: BridgeId,
        leg: Leg,
    },
    /// Everybody in `from` is now in `to`.
    BridgeMerge {
        to: BridgeId,
        from: BridgeId,
    },
    BridgeDestroy {
        bridge: BridgeId,
    },
    /// Ties the halves of a Local pair.
    LocalBridge {
        one: Leg,
        two: Box<Leg>,
        /// `LocalOptimization: Yes`: the pair will vanish from the talk.
        optimized: bool,
    },
    /// The party of a channel pressed a key (class `dtmf`). `leg` as in `Newexten`.
    DtmfEnd {
        leg: Leg,
        digit: Text,
    },
    Hold(Leg),
    Unhold(Leg),
    BlindTransfer {
        success: bool,
        transferer: Leg,
        transferee: Option<Box<Leg>>,
        /// Where the call was sent.
        context: Text,
        extension: Text,
    },
    AttendedTransfer(Box<AttendedTransfer>),
    /// `leg` picked up what rang at `target`.
    Pickup {
        leg: Leg,
        target: Box<Leg>,
    },
    ParkedCall {
        parkee: Leg,
        /// `ParkerDialString`, as `PJSIP/101`
        parker: Text,
        space: Text,
    },
    UnParkedCall {
        parkee: Leg,
        retriever: Box<Leg>,
        space: Text,
    },
    ParkedCallTimeOut {
        parkee: Leg,
        space: Text,
    },
    ParkedCallGiveUp {
        parkee: Leg,
        space: Text,
    },
    ConfbridgeJoin {
        conference: Text,
        leg: Leg,
    },
    ConfbridgeLeave {
        conference: Text,
        leg: Leg,
    },
    ChanSpyStart {
        spyer: Leg,
        spyee: Box<Leg>,
    },
    MixMonitorStart(Leg),
    MixMonitorStop(Leg),
    QueueCallerJoin {
        leg: Leg,
        queue: Text,
        position: u32,
    },
    QueueCallerLeave {
        leg: Leg,
        queue: Text,
    },
    /// Also sent when the queue's time is over.
    QueueCallerAbandon {
        leg: Leg,
        queue: Text,
        hold_time_s: u32,
    },
    AgentCalled(Box<QueueAgent>),
    AgentConnect(Box<QueueAgent>),
    AgentComplete(Box<QueueAgent>),
    AgentRingNoAnswer(Box<QueueAgent>),
    /// The party behind this channel hung up. `cause` may be absent.
    HangupRequest {
        leg: Leg,
        cause: Option<HangupCause>,
    },
    /// Asterisk (or a manager) asked this channel to hang up.
    SoftHangupRequest {
        leg: Leg,
        cause: Option<HangupCause>,
    },
    Hangup {
        leg: Leg,
        cause: HangupCause,
    },
    /// How the first leg of an Originate fared. `reason` 4 answered, 3 time-out, 0 everything else.
    OriginateResponse {
        action_id: Text,
        success: bool,
        /// `PJSIP/101` when it failed, a channel's name when it was answered
        channel: ChannelName,
        context: Text,
        exten: Text,
        reason: u32,
        /// Empty when it failed.
        uniqueid: Uniqueid,
    },
    Cdr(Box<Cdr>),
    /// An answer of a list action: one channel Asterisk holds now.
    CoreShowChannel {
        action_id: Text,
        channel: Box<ListedChannel>,
    },
    Status {
        action_id: Text,
        channel: Box<ListedChannel>,
    },
    /// One bridge that Asterisk holds now (`BridgeList`).
    BridgeListItem {
        action_id: Text,
        bridge: BridgeId,
        technology: Text,
        creator: Text,
    },
    /// A caller who waits in a queue now (`QueueStatus`). Has no linkedid.
    QueueEntry {
        action_id: Text,
        queue: Text,
        leg: Leg,
        position: u32,
        wait_s: u32,
    },
    /// The end of a list (`…Complete`), with the number of items it says it had.
    ListComplete {
        action_id: Text,
        items: u32,
    },
    /// `State` of a device, as `PJSIP/101` `NOT_INUSE`, `UNAVAILABLE`.
    DeviceStateChange {
        device: Text,
        state: Text,
    },
    /// Booting is over. Needs the read class `system`, so nothing may wait for it.
    FullyBooted {
        /// `Uptime`: how long Asterisk runs.
        uptime_s: Option<u64>,
    },
    /// Asterisk says good-bye before it stops (never seen on a crash).
    Shutdown,
    Response(Box<Response>),
}

/// An attended transfer that came to pass, in one of Asterisk's several shapes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AttendedTransfer {
    pub success: bool,
    /// The transferer's leg towards the client.
    pub orig_transferer: Leg,
    /// His leg towards the target; the same as the first for the feature code `*2`.
    pub second_transferer: Leg,
    /// The client; absent in some shapes.
    pub transferee: Option<Leg>,
    /// Absent for feature codes and while the target still rings.
    pub transfer_target: Option<Leg>,
    /// `DestType`: `Bridge`, `App`, `Link`, `Threeway`, `Fail`
    pub dest_type: Text,
    /// `DestApp`: `Dial` while the target still rings
    pub dest_app: Text,
}

impl Event {
    /// Asterisk's name of the event, for logs, counters and tests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Newchannel(_) => "Newchannel",
            Self::Newstate(_) => "Newstate",
            Self::NewCallerid(_) => "NewCallerid",
            Self::Newexten { .. } => "Newexten",
            Self::VarSet { .. } => "VarSet",
            Self::DialBegin { .. } => "DialBegin",
            Self::DialState { .. } => "DialState",
            Self::DialEnd { .. } => "DialEnd",
            Self::BridgeCreate { .. } => "BridgeCreate",
            Self::BridgeEnter { .. } => "BridgeEnter",
            Self::BridgeLeave { .. } => "BridgeLeave",
            Self::BridgeMerge { .. } => "BridgeMerge",
            Self::BridgeDestroy { .. } => "BridgeDestroy",
            Self::LocalBridge { .. } => "LocalBridge",
            Self::DtmfEnd { .. } => "DTMFEnd",
            Self::Hold(_) => "Hold",
            Self::Unhold(_) => "Unhold",
            Self::BlindTransfer { .. } => "BlindTransfer",
            Self::AttendedTransfer(_) => "AttendedTransfer",
            Self::Pickup { .. } => "Pickup",
            Self::ParkedCall { .. } => "ParkedCall",
            Self::UnParkedCall { .. } => "UnParkedCall",
            Self::ParkedCallTimeOut { .. } => "ParkedCallTimeOut",
            Self::ParkedCallGiveUp { .. } => "ParkedCallGiveUp",
            Self::ConfbridgeJoin { .. } => "ConfbridgeJoin",
            Self::ConfbridgeLeave { .. } => "ConfbridgeLeave",
            Self::ChanSpyStart { .. } => "ChanSpyStart",
            Self::MixMonitorStart(_) => "MixMonitorStart",
            Self::MixMonitorStop(_) => "MixMonitorStop",
            Self::QueueCallerJoin { .. } => "QueueCallerJoin",
            Self::QueueCallerLeave { .. } => "QueueCallerLeave",
            Self::QueueCallerAbandon { .. } => "QueueCallerAbandon",
            Self::AgentCalled(_) => "AgentCalled",
            Self::AgentConnect(_) => "AgentConnect",
            Self::AgentComplete(_) => "AgentComplete",
            Self::AgentRingNoAnswer(_) => "AgentRingNoAnswer",
            Self::HangupRequest { .. } => "HangupRequest",
            Self::SoftHangupRequest { .. } => "SoftHangupRequest",
            Self::Hangup { .. } => "Hangup",
            Self::OriginateResponse { .. } => "OriginateResponse",
            Self::Cdr(_) => "Cdr",
            Self::CoreShowChannel { .. } => "CoreShowChannel",
            Self::Status { .. } => "Status",
            Self::BridgeListItem { .. } => "BridgeListItem",
            Self::QueueEntry { .. } => "QueueEntry",
            Self::ListComplete { .. } => "ListComplete",
            Self::DeviceStateChange { .. } => "DeviceStateChange",
            Self::FullyBooted { .. } => "FullyBooted",
            Self::Shutdown => "Shutdown",
            Self::Response(_) => "Response",
        }
    }
}
