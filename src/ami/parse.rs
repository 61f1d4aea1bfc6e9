//! Messages into events: which of Asterisk's many messages matter, and what their keys are.
//!
//! An ignored message costs a look at its name (`VarSet`: and at its variable) and no allocation. Meaning is given in the
//! core; here only Asterisk's ways of saying *nothing* (`<unknown>`, `<null>`) and of quoting are undone.

use super::charset::{self, Charset};
use super::codec::{Kind, Message, value};
use crate::asterisk::event::{AttendedTransfer, Cdr, ListedChannel, QueueAgent, Response};
use crate::asterisk::{BridgeId, ChannelName, ChannelState, DialStatus, Event, HangupCause, Leg, Text, Uniqueid};
use std::borrow::Cow;

/// What a message turned out to be.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant, reason = "an event is the usual one")]
pub enum Parsed {
    /// With the milliseconds since 1970 of its `Timestamp:`, if `timestampevents = yes` in manager.conf.
    Event(Event, Option<i64>),
    /// Of no importance to a call.
    Ignored,
    /// Called an event, but not written as Asterisk writes events.
    Malformed,
}

/// Channel variables whose `VarSet` is an event, beside `PINCONNECTOR_*` and the configured ones.
const KEPT_VARIABLES: [&[u8]; 6] =
    [b"DIALSTATUS", b"MIXMONITOR_FILENAME", b"QUEUESTATUS", b"INVALID_EXTEN", b"AGISTATUS", b"VMSTATUS"];

/// Reads the messages of one PBX.
#[derive(Clone, Default, Debug)]
pub struct Parser {
    charset: Option<Charset>,
    keep_variables: Vec<String>,
}

impl Parser {
    /// `charset`: of caller names that are not UTF-8. `keep_variables`: names, or beginnings of names with a `*` behind.
    pub fn new(charset: Option<Charset>, keep_variables: Vec<String>) -> Self {
        Self { charset, keep_variables }
    }

    pub fn parse(&self, message: &Message<'_>) -> Parsed {
        let name = match message.kind() {
            Kind::Response(result) => return Parsed::Event(response(message, result), timestamp_ms(message)),
            Kind::Event(name) => name,
        };
        let Some(event) = self.event(name, message) else {
            return Parsed::Ignored;
        };
        if is_written_as_an_event(message) { Parsed::Event(event, timestamp_ms(message)) } else { Parsed::Malformed }
    }

    /// `None` for what is ignored. By length first: most messages are ignored, and few names share a length.
    fn event(&self, name: &[u8], message: &Message<'_>) -> Option<Event> {
        Some(match (name.len(), name) {
            (3, b"Cdr") => cdr(message),
            (4, b"Hold") => Event::Hold(self.leg(message)),
            (6, b"VarSet") => return self.var_set(message),
            (6, b"Hangup") => Event::Hangup { leg: self.leg(message), cause: cause(message).unwrap_or_default() },
            (6, b"Unhold") => Event::Unhold(self.leg(message)),
            (6, b"Pickup") => {
                let [leg, target] = self.legs(message, ["", "Target"]);
                Event::Pickup { leg: leg?, target: target?.into() }
            }
            (6, b"Status") => Event::Status {
                action_id: text_of(message, b"ActionID"),
                channel: Box::new(self.listed_channel(message, b"Data", b"BridgeID")),
            },
            (7, b"DTMFEnd") => {
                if message.get(b"Direction") != Some(b"Received") {
                    return None;
                }
                Event::DtmfEnd { leg: self.place(message), digit: text_of(message, b"Digit") }
            }
            (7, b"DialEnd") => {
                let [caller, dest] = self.legs(message, ["", "Dest"]);
                Event::DialEnd {
                    caller: caller.map(Box::new),
                    dest: dest.unwrap_or_default(),
                    status: dial_status(message),
                    forward: text_of(message, b"Forward"),
                }
            }
            (8, b"Newstate") => Event::Newstate(self.leg(message)),
            (8, b"Newexten") => Event::Newexten {
                leg: self.place(message),
                application: text_of(message, b"Application"),
                application_data: text_of(message, b"AppData"),
            },
            (8, b"Shutdown") => Event::Shutdown,
            (9, b"DialBegin") => {
                let [caller, dest] = self.legs(message, ["", "Dest"]);
                Event::DialBegin {
                    caller: caller.map(Box::new),
                    dest: dest.unwrap_or_default(),
                    dial_string: text_of(message, b"DialString"),
                }
            }
            (9, b"DialState") => {
                let [dest] = self.legs(message, ["Dest"]);
                Event::DialState { dest: dest?, status: dial_status(message) }
            }
            (10, b"Newchannel") => Event::Newchannel(self.leg(message)),
            (10, b"ParkedCall") => {
                let [parkee] = self.legs(message, ["Parkee"]);
                Event::ParkedCall {
                    parkee: parkee?,
                    parker: text_of(message, b"ParkerDialString"),
                    space: text_of(message, b"ParkingSpace"),
                }
            }
            (10, b"QueueEntry") => Event::QueueEntry {
                action_id: text_of(message, b"ActionID"),
                queue: text_of(message, b"Queue"),
                leg: self.leg(message),
                position: number_of(message, b"Position"),
                wait_s: number_of(message, b"Wait"),
            },
            (11, b"BridgeEnter") => Event::BridgeEnter {
                bridge: bridge_of(message, b"BridgeUniqueid")?,
                technology: text_of(message, b"BridgeTechnology"),
                creator: text_of(message, b"BridgeCreator"),
                leg: self.leg(message),
            },
            (11, b"BridgeLeave") => {
                Event::BridgeLeave { bridge: bridge_of(message, b"BridgeUniqueid")?, leg: self.leg(message) }
            }
            (11, b"BridgeMerge") => Event::BridgeMerge {
                to: bridge_of(message, b"ToBridgeUniqueid")?,
                from: bridge_of(message, b"FromBridgeUniqueid")?,
            },
            (11, b"NewCallerid") => Event::NewCallerid(self.leg(message)),
            (11, b"LocalBridge") => {
                let [one, two] = self.legs(message, ["LocalOne", "LocalTwo"]);
                let optimized = message.get(b"LocalOptimization") == Some(b"Yes");
                Event::LocalBridge { one: one?, two: two?.into(), optimized }
            }
            (11, b"AgentCalled") => Event::AgentCalled(self.queue_agent(message)),
            (11, b"FullyBooted") => {
                Event::FullyBooted { uptime_s: message.get(b"Uptime").map(|text| u64::from(number(text))) }
            }
            (12, b"BridgeCreate") => Event::BridgeCreate {
                bridge: bridge_of(message, b"BridgeUniqueid")?,
                technology: text_of(message, b"BridgeTechnology"),
                creator: text_of(message, b"BridgeCreator"),
            },
            (12, b"AgentConnect") => Event::AgentConnect(self.queue_agent(message)),
            (12, b"UnParkedCall") => {
                let [parkee, retriever] = self.legs(message, ["Parkee", "Retriever"]);
                let space = text_of(message, b"ParkingSpace");
                Event::UnParkedCall { parkee: parkee?, retriever: retriever?.into(), space }
            }
            (12, b"ChanSpyStart") => {
                let [spyer, spyee] = self.legs(message, ["Spyer", "Spyee"]);
                Event::ChanSpyStart { spyer: spyer.unwrap_or_default(), spyee: spyee.unwrap_or_default().into() }
            }
            (13, b"BridgeDestroy") => Event::BridgeDestroy { bridge: bridge_of(message, b"BridgeUniqueid")? },
            (13, b"HangupRequest") => Event::HangupRequest { leg: self.leg(message), cause: cause(message) },
            (13, b"BlindTransfer") => {
                let [transferer, transferee] = self.legs(message, ["Transferer", "Transferee"]);
                Event::BlindTransfer {
                    success: message.get(b"Result") == Some(b"Success"),
                    transferer: transferer?,
                    transferee: transferee.map(Box::new),
                    context: text_of(message, b"Context"),
                    extension: text_of(message, b"Extension"),
                }
            }
            (13, b"AgentComplete") => Event::AgentComplete(self.queue_agent(message)),
            (14, b"ConfbridgeJoin") => {
                Event::ConfbridgeJoin { conference: text_of(message, b"Conference"), leg: self.leg(message) }
            }
            (14, b"MixMonitorStop") => Event::MixMonitorStop(self.leg(message)),
            (14, b"BridgeListItem") => Event::BridgeListItem {
                action_id: text_of(message, b"ActionID"),
                bridge: bridge_of(message, b"BridgeUniqueid")?,
                technology: text_of(message, b"BridgeTechnology"),
                creator: text_of(message, b"BridgeCreator"),
            },
            (15, b"ConfbridgeLeave") => {
                Event::ConfbridgeLeave { conference: text_of(message, b"Conference"), leg: self.leg(message) }
            }
            (15, b"MixMonitorStart") => Event::MixMonitorStart(self.leg(message)),
            (15, b"QueueCallerJoin") => Event::QueueCallerJoin {
                leg: self.leg(message),
                queue: text_of(message, b"Queue"),
                position: number_of(message, b"Position"),
            },
            (15, b"CoreShowChannel") => Event::CoreShowChannel {
                action_id: text_of(message, b"ActionID"),
                channel: Box::new(self.listed_channel(message, b"ApplicationData", b"BridgeId")),
            },
            (16, b"AttendedTransfer") => self.attended_transfer(message)?,
            (16, b"QueueCallerLeave") => {
                Event::QueueCallerLeave { leg: self.leg(message), queue: text_of(message, b"Queue") }
            }
            (16, b"ParkedCallGiveUp") => {
                let [parkee] = self.legs(message, ["Parkee"]);
                Event::ParkedCallGiveUp { parkee: parkee?, space: text_of(message, b"ParkingSpace") }
            }
            (17, b"ParkedCallTimeOut") => {
                let [parkee] = self.legs(message, ["Parkee"]);
                Event::ParkedCallTimeOut { parkee: parkee?, space: text_of(message, b"ParkingSpace") }
            }
            (17, b"AgentRingNoAnswer") => Event::AgentRingNoAnswer(self.queue_agent(message)),
            (17, b"SoftHangupRequest") => Event::SoftHangupRequest { leg: self.leg(message), cause: cause(message) },
            (17, b"OriginateResponse") => originate_response(message),
            (17, b"DeviceStateChange") => {
                Event::DeviceStateChange { device: text_of(message, b"Device"), state: text_of(message, b"State") }
            }
            (18, b"QueueCallerAbandon") => Event::QueueCallerAbandon {
                leg: self.leg(message),
                queue: text_of(message, b"Queue"),
                hold_time_s: number_of(message, b"HoldTime"),
            },
            _ if name.ends_with(b"Complete") => {
                message.get(b"EventList")?;
                Event::ListComplete {
                    action_id: text_of(message, b"ActionID"),
                    items: number_of(message, b"ListItems"),
                }
            }
            _ => return None,
        })
    }

    fn var_set(&self, message: &Message<'_>) -> Option<Event> {
        let name = message.get(b"Variable")?;
        // `Set(__NAME=…)` and an Originate's variables show the underscores that make a variable inherited.
        let name = name.strip_prefix(b"__").or_else(|| name.strip_prefix(b"_")).unwrap_or(name);
        if !self.keeps(name) {
            return None;
        }
        let leg = self.place(message);
        // A global variable belongs to no channel: `Channel: none`, `Uniqueid: none`.
        if leg.uniqueid.as_str() == "none" {
            return None;
        }
        let value = unescape(message.get(b"Value").unwrap_or_default());
        Some(Event::VarSet { leg, variable: text(name), value: text(&value) })
    }

    fn keeps(&self, name: &[u8]) -> bool {
        KEPT_VARIABLES.contains(&name)
            || name.starts_with(b"PINCONNECTOR_")
            || self.keep_variables.iter().any(|kept| match kept.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning.as_bytes()),
                None => name == kept.as_bytes(),
            })
    }

    /// The channel of an event about one channel.
    fn leg(&self, message: &Message<'_>) -> Leg {
        let [leg] = self.legs(message, [""]);
        leg.unwrap_or_default()
    }

    /// The channel snapshots under these prefixes; the longest prefix that a key has counts, so `""` stands first.
    fn legs<const N: usize>(&self, message: &Message<'_>, prefixes: [&str; N]) -> [Option<Leg>; N] {
        let mut raw = [RawLeg::default(); N];
        for line in message.lines().skip(1) {
            for (prefix, raw) in prefixes.iter().zip(&mut raw) {
                let prefix = prefix.as_bytes();
                // A byte first: most lines have none of the prefixes.
                if prefix.is_empty() || (line.first() == prefix.first() && line.starts_with(prefix)) {
                    raw.take(&line[prefix.len()..]);
                }
            }
        }
        raw.map(|raw| raw.finish(self.charset))
    }

    /// Where in the dialplan a channel is, without the callers: what `Newexten` and `VarSet` are read for.
    fn place(&self, message: &Message<'_>) -> Leg {
        let mut raw = RawLeg::default();
        for line in message.lines().skip(1) {
            if matches!(line.first(), Some(b'C' | b'E' | b'U' | b'L')) && !line.starts_with(b"Ca") {
                raw.take(line);
            }
        }
        raw.connected_number = None;
        raw.finish(self.charset).unwrap_or_default()
    }

    fn queue_agent(&self, message: &Message<'_>) -> Box<QueueAgent> {
        let [caller, dest] = self.legs(message, ["", "Dest"]);
        Box::new(QueueAgent {
            queue: text_of(message, b"Queue"),
            caller: caller.unwrap_or_default(),
            dest: dest.unwrap_or_default(),
            interface: text_of(message, b"Interface"),
            member: text_of(message, b"MemberName"),
        })
    }

    fn attended_transfer(&self, message: &Message<'_>) -> Option<Event> {
        let [orig_transferer, second_transferer, transferee, transfer_target] =
            self.legs(message, ["OrigTransferer", "SecondTransferer", "Transferee", "TransferTarget"]);
        Some(Event::AttendedTransfer(Box::new(AttendedTransfer {
            success: message.get(b"Result") == Some(b"Success"),
            orig_transferer: orig_transferer?,
            second_transferer: second_transferer?,
            transferee,
            transfer_target,
            dest_type: text_of(message, b"DestType"),
            dest_app: text_of(message, b"DestApp"),
        })))
    }

    fn listed_channel(&self, message: &Message<'_>, data: &[u8], bridge: &[u8]) -> ListedChannel {
        let duration_s = match message.get(b"Seconds") {
            Some(seconds) => u64::from(number(seconds)),
            None => hours_minutes_seconds(message.get(b"Duration").unwrap_or_default()),
        };
        ListedChannel {
            leg: self.leg(message),
            application: text_of(message, b"Application"),
            application_data: text_of(message, data),
            duration_s,
            bridge: bridge_of(message, bridge),
            dnid: text_of(message, b"DNID"),
        }
    }
}

/// Asterisk writes `Privilege` right after the name of an event, and in list items `ActionID` or, for queues, `Queue`. A
/// smuggled text that only looks like an event at a glance is told by that; see [`super::codec`].
fn is_written_as_an_event(message: &Message<'_>) -> bool {
    message.line(1).is_some_and(|line| {
        [&b"Privilege: "[..], b"ActionID: ", b"Queue: "].iter().any(|beginning| line.starts_with(beginning))
    })
}

/// `Timestamp: 1795329816.849743`, the third line where it is switched on.
pub(super) fn timestamp_ms(message: &Message<'_>) -> Option<i64> {
    let stamp = (1..4).find_map(|number| value(message.line(number)?, b"Timestamp"))?;
    let (seconds, fraction) = std::str::from_utf8(stamp).ok()?.split_once('.')?;
    let seconds: i64 = seconds.parse().ok()?;
    let micros: i64 = format!("{fraction:0<6.6}").parse().ok()?;
    seconds.checked_mul(1000)?.checked_add(micros / 1000)
}

fn response(message: &Message<'_>, result: &[u8]) -> Event {
    let date = message.get(b"CoreStartupDate").unwrap_or_default();
    let time = message.get(b"CoreStartupTime").unwrap_or_default();
    let output = |line| value(line, b"Output").map(text);
    Event::Response(Box::new(Response {
        action_id: text_of(message, b"ActionID"),
        success: matches!(result, b"Success" | b"Goodbye" | b"Follows" | b"Pong"),
        message: text_of(message, b"Message"),
        challenge: text_of(message, b"Challenge"),
        version: text_of(message, b"AsteriskVersion"),
        began: if time.is_empty() { Text::default() } else { text(&[date, time].join(&b' ')) },
        list_follows: message.get(b"EventList") == Some(b"start"),
        pong: result == b"Pong" || message.get(b"Ping") == Some(b"Pong"),
        output: message.lines().skip(1).filter_map(output).collect(),
    }))
}

fn originate_response(message: &Message<'_>) -> Event {
    Event::OriginateResponse {
        action_id: text_of(message, b"ActionID"),
        success: message.get(b"Response") == Some(b"Success"),
        channel: ChannelName::new(&text_of(message, b"Channel")),
        context: text_of(message, b"Context"),
        exten: text_of(message, b"Exten"),
        reason: number_of(message, b"Reason"),
        uniqueid: uniqueid(message.get(b"Uniqueid")),
    }
}

fn cdr(message: &Message<'_>) -> Event {
    let recording_file = match message.get(b"RecordingFile") {
        None | Some(b"") => text_of(message, b"UserField"),
        Some(file) => text(file),
    };
    Event::Cdr(Box::new(Cdr {
        uniqueid: uniqueid(message.get(b"UniqueID")),
        linkedid: uniqueid(message.get(b"LinkedID")),
        channel: ChannelName::new(&text_of(message, b"Channel")),
        destination_channel: ChannelName::new(&text_of(message, b"DestinationChannel")),
        source: text_of(message, b"Source"),
        destination: text_of(message, b"Destination"),
        destination_context: text_of(message, b"DestinationContext"),
        last_application: text_of(message, b"LastApplication"),
        last_data: text_of(message, b"LastData"),
        disposition: text_of(message, b"Disposition"),
        duration_s: number_of(message, b"Duration"),
        billable_s: number_of(message, b"BillableSeconds"),
        recording_file,
    }))
}

/// The values of a channel snapshot, before anything is copied. The first of duplicate keys stays.
#[derive(Clone, Copy, Default)]
struct RawLeg<'a> {
    name: Option<&'a [u8]>,
    state: Option<&'a [u8]>,
    caller_number: Option<&'a [u8]>,
    caller_name: Option<&'a [u8]>,
    connected_number: Option<&'a [u8]>,
    context: Option<&'a [u8]>,
    exten: Option<&'a [u8]>,
    uniqueid: Option<&'a [u8]>,
    linkedid: Option<&'a [u8]>,
}

impl<'a> RawLeg<'a> {
    fn take(&mut self, line: &'a [u8]) {
        let Some(&first) = line.first() else { return };
        let (field, rest) = match first {
            b'C' => {
                if let Some(rest) = line.strip_prefix(b"Channel:") {
                    (&mut self.name, rest)
                } else if let Some(rest) = line.strip_prefix(b"ChannelState:") {
                    (&mut self.state, rest)
                } else if let Some(rest) = line.strip_prefix(b"CallerIDNum:") {
                    (&mut self.caller_number, rest)
                } else if let Some(rest) = line.strip_prefix(b"CallerIDName:") {
                    (&mut self.caller_name, rest)
                } else if let Some(rest) = line.strip_prefix(b"Context:") {
                    (&mut self.context, rest)
                } else if let Some(rest) = line.strip_prefix(b"ConnectedLineNum:") {
                    (&mut self.connected_number, rest)
                } else {
                    return;
                }
            }
            b'E' => match line.strip_prefix(b"Exten:") {
                Some(rest) => (&mut self.exten, rest),
                None => return,
            },
            b'U' => match line.strip_prefix(b"Uniqueid:") {
                Some(rest) => (&mut self.uniqueid, rest),
                None => return,
            },
            b'L' => match line.strip_prefix(b"Linkedid:") {
                Some(rest) => (&mut self.linkedid, rest),
                None => return,
            },
            _ => return,
        };
        if field.is_none() {
            *field = Some(rest.strip_prefix(b" ").unwrap_or(rest));
        }
    }

    /// `None` if the message holds no such channel.
    fn finish(self, charset: Option<Charset>) -> Option<Leg> {
        if self.name.is_none() && self.uniqueid.is_none() {
            return None;
        }
        let id = uniqueid(self.uniqueid);
        let linkedid = if self.linkedid == self.uniqueid { id.clone() } else { uniqueid(self.linkedid) };
        Some(Leg {
            name: ChannelName::new(&known(self.name)),
            uniqueid: id,
            linkedid,
            state: ChannelState::from_number(u8::try_from(number(self.state.unwrap_or_default())).unwrap_or(u8::MAX)),
            caller_number: text(self.caller_number.unwrap_or_default()),
            caller_name: caller_name(self.caller_name.unwrap_or_default(), charset),
            connected_number: text(self.connected_number.unwrap_or_default()),
            context: text(self.context.unwrap_or_default()),
            exten: text(self.exten.unwrap_or_default()),
        })
    }
}

/// Asterisk's ways of saying that there is nothing.
fn is_nothing(bytes: &[u8]) -> bool {
    bytes.is_empty()
        || (bytes[0] == b'<' && matches!(bytes, b"<unknown>" | b"<null>" | b"<none>"))
        || bytes == b"(null)"
}

fn known(bytes: Option<&[u8]>) -> Cow<'_, str> {
    match bytes {
        Some(bytes) if !is_nothing(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(bytes),
        },
        _ => Cow::Borrowed(""),
    }
}

fn text(bytes: &[u8]) -> Text {
    known(Some(bytes)).into()
}

fn text_of(message: &Message<'_>, key: &[u8]) -> Text {
    known(message.get(key)).into()
}

fn uniqueid(bytes: Option<&[u8]>) -> Uniqueid {
    match known(bytes).as_ref() {
        "" => Uniqueid::default(),
        id => Uniqueid::new(id),
    }
}

fn bridge_of(message: &Message<'_>, key: &[u8]) -> Option<BridgeId> {
    match known(message.get(key)).as_ref() {
        "" => None,
        id => Some(BridgeId::new(id)),
    }
}

fn cause(message: &Message<'_>) -> Option<HangupCause> {
    let cause = message.get(b"Cause")?;
    Some(HangupCause(u16::try_from(number(cause)).unwrap_or_default()))
}

fn dial_status(message: &Message<'_>) -> DialStatus {
    DialStatus::parse(&known(message.get(b"DialStatus")))
}

fn number_of(message: &Message<'_>, key: &[u8]) -> u32 {
    number(message.get(key).unwrap_or_default())
}

/// The digits at the beginning; 0 if there are none.
fn number(bytes: &[u8]) -> u32 {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0, |sum: u32, &digit| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
}

/// `01:02:03` as seconds; hours may have more digits.
fn hours_minutes_seconds(bytes: &[u8]) -> u64 {
    bytes.split(|&b| b == b':').fold(0, |sum: u64, part| sum.saturating_mul(60).saturating_add(number(part).into()))
}

/// A caller's name: decoded, without the backslashes that the SIP side leaves before quotes (one for each time the name
/// was quoted on its way).
fn caller_name(bytes: &[u8], charset: Option<Charset>) -> Text {
    if is_nothing(bytes) {
        return Text::default();
    }
    let name = charset::decode(bytes, charset);
    if !name.contains('\\') {
        return name.into();
    }
    let mut plain = String::with_capacity(name.len());
    for c in name.chars() {
        if c == '"' {
            plain.truncate(plain.trim_end_matches('\\').len());
        }
        plain.push(c);
    }
    plain.into()
}

/// Undoes the C escapes that Asterisk puts into the value of a `VarSet`, and nowhere else.
fn unescape(bytes: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => plain.push(b'\n'),
            Some(b'r') => plain.push(b'\r'),
            Some(b't') => plain.push(b'\t'),
            Some(b'a') => plain.push(7),
            Some(b'b') => plain.push(8),
            Some(b'v') => plain.push(11),
            Some(b'f') => plain.push(12),
            Some(other @ (b'\\' | b'"' | b'\'' | b'?')) => plain.push(other),
            Some(other) => plain.extend_from_slice(&[b'\\', other]),
            None => plain.push(b'\\'),
        }
    }
    Cow::Owned(plain)
}
