//! Channels come, ring, are answered and are gone.
//!
//! Rests on Newchannel, Newstate, NewCallerid, LocalBridge, HangupRequest and Hangup. What they were dialled for is
//! `dialing`'s.

use super::model::{Channel, MAX_ENDED_CHANNELS, Party, Role};
use super::record::{Direction, StepKind, step};
use super::{Calls, Key};
use crate::asterisk::{ChannelState, HangupCause, Leg, PbxId, Uniqueid};

impl Calls {
    /// A channel came into being (`Newchannel`).
    pub(super) fn newchannel(&mut self, pbx: PbxId, leg: &Leg) {
        if let Some(key) = self.channel(pbx, &leg.uniqueid).map(|(key, _)| key) {
            self.born_late(key, leg);
            return;
        }
        let Some(key) = self.admit(pbx, leg) else { return };
        let starts = leg.linkedid == leg.uniqueid && self.conversation(key).channels.len() == 1;
        if !starts {
            return;
        }
        // An incoming call carries the number it dialled; a leg made by Asterisk is `s` and Down (chan_sip's incoming
        // ones are Down, too, so the extension decides first).
        let dialled = !leg.exten.is_empty() && &*leg.exten != "s";
        if leg.name.is_local() {
            self.claim_originate(pbx, key);
        } else if self.conversation(key).click.is_some() {
            // The agent's phone of a click-to-call of ours.
        } else if dialled || leg.state == ChannelState::Ring {
            self.start_caller(key, &leg.uniqueid);
        } else {
            self.claim_originate(pbx, key);
        }
        self.identified_early(pbx, &leg.uniqueid);
    }

    /// A list of channels can overtake the event of a channel's birth. Only the birth says which number the client dialled: the
    /// list shows where in the dialplan he is by now.
    fn born_late(&mut self, key: Key, leg: &Leg) {
        let conversation = self.conversation_mut(key);
        let first = leg.linkedid == leg.uniqueid
            && conversation.channels.first().is_some_and(|c| c.uniqueid == leg.uniqueid && c.role == Role::Caller);
        if !first || conversation.to.is_some() || !is_number(&leg.exten) {
            return;
        }
        conversation.to = Some(leg.exten.to_string());
        if conversation.direction == Some(Direction::Incoming) {
            conversation.did = conversation.to.clone();
        }
        self.touch(key);
    }

    /// Enters a channel into the conversation it belongs to by Linkedid, or into a new one. `None` for channels that
    /// are no party.
    pub(super) fn admit(&mut self, pbx: PbxId, leg: &Leg) -> Option<Key> {
        if leg.uniqueid.is_empty() {
            return None;
        }
        let party = self.rules.party(pbx, &leg.name)?;
        let own = self.find(pbx, &leg.uniqueid).filter(|key| {
            let conversation = self.conversation(*key);
            !conversation.is_over() || conversation.channel(&leg.uniqueid).is_some()
        });
        let known = own.or_else(|| {
            let linked = self.find(pbx, &leg.linkedid)?;
            // A finished call is final; a late channel of its Linkedid starts anew.
            (!self.conversation(linked).is_over()).then_some(linked)
        });
        let key = known.unwrap_or_else(|| {
            let follows = leg.linkedid != leg.uniqueid && !leg.linkedid.is_empty();
            if follows && self.find(pbx, &leg.linkedid).is_none() {
                // We came in the middle: its beginning was before us.
                self.counts.taken_in += 1;
                let key = self.begin(pbx, &leg.linkedid, super::resync::FIRST_N_MID_WAY);
                self.lead_to(key, pbx, leg.uniqueid.clone());
                key
            } else {
                self.begin(pbx, &leg.uniqueid, 1)
            }
        });
        self.lead_to(key, pbx, leg.uniqueid.clone());
        let wall = self.wall();
        let conversation = self.conversation_mut(key);
        if conversation.channel(&leg.uniqueid).is_some() {
            return Some(key);
        }
        let mut channel = Channel::new(leg, party, wall);
        if let Some(peer) = leg.name.local_peer()
            && let Some(other) = conversation.channels.iter_mut().find(|c| c.name == peer && c.is_live())
        {
            other.local_peer = Some(leg.uniqueid.clone());
            channel.local_peer = Some(other.uniqueid.clone());
        }
        conversation.channels.push(channel);
        Some(key)
    }

    /// This channel called in: the conversation's direction follows from whose it is.
    pub(super) fn start_caller(&mut self, key: Key, uniqueid: &Uniqueid) {
        let wall = self.wall();
        let told_by_peer = self.comes_from_peer(key, uniqueid);
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel_mut(uniqueid) else { return };
        if channel.role != Role::Unknown {
            return;
        }
        conversation.told_by_peer |= told_by_peer;
        let Some(channel) = conversation.channel_mut(uniqueid) else { return };
        channel.role = Role::Caller;
        let exten = Some(channel.exten.to_string()).filter(|e| is_number(e));
        match channel.party.clone() {
            Party::Trunk(trunk) => {
                channel.is_client = true;
                let number = caller_number(&channel.caller_number);
                // "Anonymous" is no more a name than it is a number.
                let name = caller_number(&channel.caller_name);
                conversation.direction = Some(Direction::Incoming);
                conversation.trunk = Some(trunk);
                conversation.client_number.clone_from(&number);
                conversation.client_name = name;
                conversation.from = number;
                conversation.to.clone_from(&exten);
                conversation.did = exten.clone();
                let (id, _) = conversation.next_id();
                conversation.phoneless = Some(id);
                conversation.step(step(StepKind::Enter, wall).place(exten));
                self.touch(key);
            }
            Party::Extension(extension) => {
                conversation.from = Some(extension.clone());
                conversation.to = exten;
                conversation.caller_extension = Some(extension);
            }
            Party::Local => {}
        }
    }

    /// Another exchange of ours called through the trunk between us, and tells of it: here it is the same conversation's far end.
    /// While that one's link is down nobody else would tell.
    fn comes_from_peer(&self, key: Key, uniqueid: &Uniqueid) -> bool {
        let conversation = self.conversation(key);
        let Some(Party::Trunk(trunk)) = conversation.channel(uniqueid).map(|channel| &channel.party) else {
            return false;
        };
        let peer = self.rules.peer(conversation.pbx_id, trunk);
        peer.and_then(|peer| self.exchanges.get(&peer)).is_some_and(super::resync::Exchange::is_up)
    }

    /// `Newstate`: what a channel does now.
    pub(super) fn newstate(&mut self, pbx: PbxId, leg: &Leg) {
        let Some(key) = self.known(pbx, &leg.uniqueid) else { return };
        match leg.state {
            // Only a caller is `Ring`: the dialled are `Ringing`.
            ChannelState::Ring => {
                let conversation = self.conversation(key);
                let first = conversation.channels.first().is_some_and(|c| c.uniqueid == leg.uniqueid);
                if first && conversation.direction.is_none() && conversation.click.is_none() && !leg.name.is_local() {
                    self.start_caller(key, &leg.uniqueid);
                }
            }
            ChannelState::Ringing => self.rings(key, &leg.uniqueid),
            ChannelState::Up => self.is_up(key, &leg.uniqueid),
            // Asterisk itself has told this caller Busy or Congestion.
            ChannelState::Busy => {
                let conversation = self.conversation_mut(key);
                if conversation.channel(&leg.uniqueid).is_some_and(|c| c.role == Role::Caller) {
                    conversation.dialplan_refused = true;
                }
            }
            ChannelState::Down | ChannelState::Other(_) => {}
        }
    }

    pub(super) fn rings(&mut self, key: Key, uniqueid: &Uniqueid) {
        let wall = self.wall();
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel_mut(uniqueid) else { return };
        if channel.ring_from.is_some() || channel.up_at.is_some() || !channel.is_live() || channel.is_local() {
            return;
        }
        channel.ring_from = Some(wall);
        if channel.decides.is_some() {
            self.rang(key, uniqueid);
        }
        self.touch(key);
    }

    /// The ring of this channel is now known to be a phone's.
    pub(super) fn rang(&mut self, key: Key, uniqueid: &Uniqueid) {
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel(uniqueid) else { return };
        let Some(from) = channel.ring_from else { return };
        let Some(phone) = channel.decides else { return };
        conversation.phones[phone].rang = true;
        let who = conversation.phones[phone].key.as_ref().map(|k| k.name().to_owned());
        conversation.step(step(StepKind::Ring, from).who(who));
        if let Some(queue) = &mut conversation.queue
            && queue.left.is_none()
        {
            queue.rang = true;
        }
        self.touch(key);
    }

    pub(super) fn is_up(&mut self, key: Key, uniqueid: &Uniqueid) {
        let wall = self.wall();
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel_mut(uniqueid) else { return };
        if channel.up_at.is_some() || !channel.is_live() {
            return;
        }
        channel.up_at = Some(wall);
        if channel.ring_from.is_some() {
            channel.ring_until.get_or_insert(wall);
        }
        // Whoever an Originate called first has taken it: the agent, or the customer of a dialler.
        let agents = channel.decides.is_none()
            && (channel.phone.is_some() || channel.is_client && channel.role == Role::Originated);
        if let Some(click) = &mut conversation.click
            && agents
        {
            click.agent_up = true;
        }
        self.touch(key);
    }

    /// `NewCallerid`: before anybody was dialled, the dialplan looked the caller up and gave him a name.
    pub(super) fn new_callerid(&mut self, pbx: PbxId, leg: &Leg) {
        let Some(key) = self.known(pbx, &leg.uniqueid) else { return };
        let conversation = self.conversation_mut(key);
        let untouched = conversation.phones.is_empty() && conversation.answered.is_none();
        let is_caller = conversation.channel(&leg.uniqueid).is_some_and(|c| c.is_client && c.role == Role::Caller);
        if untouched && is_caller && conversation.client_name.is_none() && !leg.caller_name.is_empty() {
            conversation.client_name = Some(leg.caller_name.to_string());
            self.touch(key);
        }
    }

    /// `LocalBridge` ties the halves of a Local pair, should their names not have done so.
    pub(super) fn local_bridge(&mut self, pbx: PbxId, one: &Leg, two: &Leg) {
        for leg in [one, two] {
            self.newchannel(pbx, leg);
        }
        let (Some(key), Some(other)) = (self.known(pbx, &one.uniqueid), self.known(pbx, &two.uniqueid)) else { return };
        if key != other {
            return;
        }
        let conversation = self.conversation_mut(key);
        for (this, peer) in [(one, two), (two, one)] {
            if let Some(channel) = conversation.channel_mut(&this.uniqueid) {
                channel.local_peer = Some(peer.uniqueid.clone());
            }
        }
    }

    pub(super) fn hangup_request(&mut self, pbx: PbxId, leg: &Leg) {
        let Some(key) = self.known(pbx, &leg.uniqueid) else { return };
        self.hangup_requests += 1;
        let asked = (self.wall(), self.hangup_requests);
        let conversation = self.conversation_mut(key);
        // What Busy() and Congestion() provoke is the dialplan's doing.
        let refused = conversation.dialplan_refused;
        if let Some(channel) = conversation.channel_mut(&leg.uniqueid)
            && channel.asked_hangup.is_none()
            && !(refused && channel.role == Role::Caller)
        {
            channel.asked_hangup = Some(asked);
        }
        if let Some(consultation) = self.consultation_of(pbx, &leg.uniqueid) {
            self.conversation_mut(consultation).guest_asked_hangup.get_or_insert(asked.0);
        }
    }

    /// `Hangup`: the channel is gone.
    pub(super) fn hangup(&mut self, pbx: PbxId, leg: &Leg, cause: HangupCause) {
        let Some(key) = self.known(pbx, &leg.uniqueid) else { return };
        self.notice_wrong_place(key, leg);
        self.gone(pbx, key, &leg.uniqueid, Some(cause.0));
    }

    /// A channel is no more, whether its Hangup was seen or not.
    pub(super) fn gone(&mut self, pbx: PbxId, key: Key, uniqueid: &Uniqueid, cause: Option<u16>) {
        let wall = self.wall();
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel_mut(uniqueid) else { return };
        if !channel.is_live() {
            return;
        }
        channel.hung_up = Some(wall);
        channel.cause = cause;
        if channel.ring_from.is_some() {
            channel.ring_until.get_or_insert(wall);
        }
        self.leaves_every_bridge(pbx, key, uniqueid);
        self.settle_attempt(key, uniqueid);
        self.trim_channels(key);
        self.end_if_empty(key);
        self.touch(key);
    }

    /// Keeps the channels that have hung up for late events, but not without limit: a client may wait in a queue for
    /// hours while its members ring every few seconds.
    fn trim_channels(&mut self, key: Key) {
        let conversation = self.conversation_mut(key);
        let ended = conversation.channels.iter().filter(|c| !c.is_live()).count();
        if ended <= MAX_ENDED_CHANNELS {
            return;
        }
        let Some(oldest) = conversation.channels.iter().position(|c| !c.is_live() && c.role != Role::Caller) else {
            return;
        };
        let channel = conversation.channels.remove(oldest);
        if let Some(phone) = channel.decides.and_then(|i| conversation.phones.get_mut(i)) {
            phone.ring_ms += channel.ring_ms(channel.hung_up.unwrap_or_default());
        }
    }
}

/// A caller id that is a number, not a word for its absence.
pub(super) fn caller_number(text: &str) -> Option<String> {
    let text = text.trim();
    let word = text.to_ascii_lowercase();
    let absent =
        ["", "anonymous", "unknown", "unavailable", "restricted", "private", "withheld", "asterisk", "s", "<unknown>"];
    (!absent.contains(&word.as_str())).then(|| text.to_owned())
}

/// An extension that was dialled, not a place of the dialplan's own.
fn is_number(exten: &str) -> bool {
    !matches!(exten, "" | "s" | "h" | "i" | "t" | "o" | "a" | "e" | "T" | "failed" | "start")
}

impl Channel {
    pub(super) fn new(leg: &Leg, party: Party, wall: i64) -> Self {
        let ringing = leg.state == ChannelState::Ringing && party != Party::Local;
        Self {
            uniqueid: leg.uniqueid.clone(),
            name: leg.name.clone(),
            party,
            role: Role::Unknown,
            is_client: false,
            phone: None,
            decides: None,
            dialled_by: None,
            dialled_number: None,
            caller_number: leg.caller_number.clone(),
            caller_name: leg.caller_name.clone(),
            exten: leg.exten.clone(),
            born: wall,
            ring_from: ringing.then_some(wall),
            ring_until: None,
            up_at: (leg.state == ChannelState::Up).then_some(wall),
            asked_hangup: None,
            pressed_key: None,
            hung_up: None,
            cause: None,
            dial_end: None,
            forwarded: false,
            picked_up: false,
            bridge: None,
            pooled: false,
            local_peer: None,
            runs: None,
            missing_once: false,
        }
    }

    /// How long it rang, if it rings still until `now`.
    pub fn ring_ms(&self, now: i64) -> i64 {
        self.ring_from.map_or(0, |from| (self.ring_until.unwrap_or(now) - from).max(0))
    }
}
