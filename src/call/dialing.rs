//! Channels come, ring, are dialled and hang up; phones are what they are dialled for.
//!
//! Rests on Newchannel, Newstate, NewCallerid, DialBegin, DialState, DialEnd, LocalBridge and Hangup. Channels that turn
//! out to belong to another conversation are `transfer`'s.

use super::model::{
    Channel, Conversation, DialEnd, Fate, MAX_ENDED_CHANNELS, MAX_PHONES, Party, Phone, PhoneKey, Role, Stage,
};
use super::record::step;
use super::record::{Direction, EndedBy, StepKind};
use super::{Calls, Key, target};
use crate::asterisk::channel::Half;
use crate::asterisk::{ChannelState, DialStatus, HangupCause, Leg, PbxId, Text, Uniqueid};

/// What a dialled channel, or a name in a Dial, is to its conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    phone: usize,
    /// It is the outside party: its fate is our caller's record's.
    is_client: bool,
}

impl Calls {
    /// A channel came into being (`Newchannel`).
    pub(super) fn newchannel(&mut self, pbx: PbxId, leg: &Leg) {
        if self.channel(pbx, &leg.uniqueid).is_some() {
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
    }

    /// Enters a channel into the conversation it belongs to by Linkedid, or into a new one. `None` for channels that
    /// are no party.
    pub(super) fn admit(&mut self, pbx: PbxId, leg: &Leg) -> Option<Key> {
        if leg.uniqueid.is_empty() {
            return None;
        }
        let party = self.rules.party(&leg.name)?;
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
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel_mut(uniqueid) else { return };
        if channel.role != Role::Unknown {
            return;
        }
        channel.role = Role::Caller;
        let exten = Some(channel.exten.clone()).filter(|e| is_number(e));
        match channel.party.clone() {
            Party::Trunk(trunk) => {
                channel.is_client = true;
                let number = caller_number(&channel.caller_number);
                let name = Some(channel.caller_name.clone()).filter(|n| !n.is_empty());
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
    fn rang(&mut self, key: Key, uniqueid: &Uniqueid) {
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
        self.click_progress(key);
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
        self.click_progress(key);
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

    /// `DialBegin`: `dest` is called for `caller`, or for nobody (the first leg of an Originate).
    pub(super) fn dial_begin(&mut self, pbx: PbxId, caller: Option<&Leg>, dest: &Leg, dial_string: &Text) {
        let Some(caller) = caller else {
            if let Some(key) = self.admit(pbx, dest)
                && !self.conversation(key).is_over()
            {
                self.originated(pbx, key, &dest.uniqueid, dial_string);
            }
            return;
        };
        if self.channel(pbx, &caller.uniqueid).is_none() {
            self.newchannel(pbx, caller);
        }
        let Some(key) = self.find(pbx, &caller.uniqueid) else { return };
        // A finished call is final.
        if self.conversation(key).is_over() {
            return;
        }
        let Some(mut dest_key) = self.admit(pbx, dest) else { return };
        if dest_key != key {
            // Its Linkedid led it into another conversation (a consultation by feature code keeps the client's).
            if !self.move_channel(pbx, dest_key, key, &dest.uniqueid) {
                self.join(key, dest_key, None);
            }
            dest_key = key;
        }
        let conversation = self.conversation_mut(dest_key);
        // A caller whose first event did not say so is one by dialling.
        let starts = conversation.direction.is_none()
            && conversation.click.is_none()
            && conversation
                .channels
                .first()
                .is_some_and(|c| c.uniqueid == caller.uniqueid && c.role == Role::Unknown && !c.is_local());
        if starts {
            self.start_caller(key, &caller.uniqueid);
        }
        let conversation = self.conversation_mut(key);
        conversation.agi_runs = false;
        if conversation.queue.as_ref().is_none_or(|q| q.left.is_some())
            && conversation.channel(&caller.uniqueid).is_some_and(|c| c.is_client)
        {
            conversation.stage = Stage::Dial;
        }
        let Some(channel) = conversation.channel_mut(&dest.uniqueid) else { return };
        if channel.dialled_by.is_some() || !channel.is_live() {
            return;
        }
        channel.role = Role::Dialled;
        channel.dialled_by = Some(caller.uniqueid.clone());
        if channel.is_local() {
            self.named_through_local(key, &dest.uniqueid);
            self.place_waiting(key);
        } else {
            let number = target::dialled_number(dial_string, dest.name.endpoint())
                .or_else(|| Some(channel.caller_number.clone()).filter(|n| !n.is_empty()))
                .or_else(|| Some(dest.caller_number.to_string()).filter(|n| !n.is_empty()));
            channel.dialled_number = number;
            self.place_waiting(key);
        }
    }

    /// Moves a channel nobody has placed yet, and its Local peer, to another conversation; false if it has a place.
    fn move_channel(&mut self, pbx: PbxId, from: Key, to: Key, uniqueid: &Uniqueid) -> bool {
        let conversation = self.conversation_mut(from);
        let Some(channel) = conversation.channel(uniqueid) else { return false };
        let placed = channel.role != Role::Unknown || channel.decides.is_some() || channel.phone.is_some();
        if placed || conversation.channels.len() < 2 {
            return false;
        }
        let peer = channel.local_peer.clone();
        let mut moved = Vec::new();
        conversation.channels.retain(|c| {
            let moves = c.uniqueid == *uniqueid || Some(&c.uniqueid) == peer.as_ref();
            if moves {
                moved.push(c.clone());
            }
            !moves
        });
        for mut channel in moved {
            channel.phone = None;
            channel.decides = None;
            self.lead_to(to, pbx, channel.uniqueid.clone());
            let into = self.conversation_mut(to);
            if into.channel(&channel.uniqueid).is_none() {
                into.channels.push(channel);
            }
        }
        true
    }

    /// A real channel was dialled: it belongs to a phone, or it is the customer's.
    pub(super) fn dialled(
        &mut self,
        key: Key,
        dialler: &Uniqueid,
        dest: &Uniqueid,
        party: &Party,
        number: Option<String>,
    ) {
        if self.is_agents_leg(key, dialler) {
            self.agents_leg(key, dest);
            return;
        }
        let Some(place) = self.place(key, dialler, party, number.clone()) else { return };
        let conversation = self.conversation_mut(key);
        let trunk = match party {
            Party::Trunk(trunk) => Some(trunk.clone()),
            Party::Extension(_) | Party::Local => None,
        };
        let Some(channel) = conversation.channel_mut(dest) else { return };
        channel.decides = Some(place.phone);
        channel.is_client = place.is_client;
        if !place.is_client {
            channel.phone = Some(place.phone);
        }
        let rang = channel.ring_from.is_some();
        let phone = &mut conversation.phones[place.phone];
        // Tried again: what it did with the client before is over.
        if phone.gave_away {
            phone.ended_by = Some(EndedBy::Us);
        }
        phone.parked = false;
        phone.gave_away = false;
        phone.ended = None;
        phone.fate = if phone.answered.is_some() { Fate::Answered } else { Fate::Trying };
        if place.is_client {
            conversation.trunk = trunk;
        }
        if rang {
            self.rang(key, dest);
        }
        self.touch(key);
    }

    /// What a dialled party is to the conversation; makes the phone if it is a new one.
    fn place(&mut self, key: Key, dialler: &Uniqueid, party: &Party, number: Option<String>) -> Option<Place> {
        let conversation = self.conversation_mut(key);
        let root = conversation.root_of(dialler)?;
        let by_client = conversation.is_dialled_by_client(dialler);
        let dialler_called = by_client && root.role == Role::Originated;
        match party {
            Party::Local => None,
            Party::Extension(extension) => {
                if conversation.direction.is_none() {
                    conversation.direction = Some(Direction::Internal);
                }
                // The colleague a dialler found for the customer it called.
                if dialler_called && conversation.from.is_none() {
                    conversation.from = Some(extension.clone());
                }
                let phone = PhoneKey::Extension(extension.clone());
                self.click_reaches_extension(key, extension);
                self.phone(key, phone, Some(dialler)).map(|phone| Place { phone, is_client: false })
            }
            Party::Trunk(trunk) => {
                let ours = conversation.caller_extension.clone();
                let outgoing = match conversation.direction {
                    None => ours.is_some(),
                    Some(Direction::Outgoing) => !by_client && ours.is_some(),
                    // A click-to-call was taken for internal by the look of its number.
                    Some(Direction::Internal) => conversation.click.is_some() && !conversation.has_talked(),
                    Some(Direction::Incoming) => false,
                };
                if !outgoing {
                    let number = number.unwrap_or_else(|| trunk.clone());
                    return self
                        .phone(key, PhoneKey::Outside(number), Some(dialler))
                        .map(|phone| Place { phone, is_client: false });
                }
                let extension = ours?;
                let (begins, born) = (conversation.direction.is_none(), conversation.born);
                conversation.direction = Some(Direction::Outgoing);
                conversation.trunk = Some(trunk.clone());
                if conversation.to.is_none() {
                    conversation.to.clone_from(&number);
                }
                if number.is_some() {
                    conversation.client_number = number;
                }
                let clicked = conversation.click.is_some();
                let phone = self.callers_phone(key, &extension)?;
                if begins && clicked {
                    self.conversation_mut(key).phones[phone].started = born;
                }
                Some(Place { phone, is_client: true })
            }
        }
    }

    /// The record of our caller in an outgoing conversation; his channels talk for it.
    pub(super) fn callers_phone(&mut self, key: Key, extension: &str) -> Option<usize> {
        let phone = self.phone(key, PhoneKey::Extension(extension.to_owned()), None)?;
        let conversation = self.conversation_mut(key);
        for channel in &mut conversation.channels {
            let calls = matches!(channel.role, Role::Caller | Role::Originated);
            if calls && channel.extension() == Some(extension) && channel.phone.is_none() {
                channel.phone = Some(phone);
            }
        }
        Some(phone)
    }

    /// Dial's arguments name phones, whether they get a channel or not (`Newexten`).
    pub(super) fn named_in_dial(&mut self, key: Key, dialler: &Uniqueid, arguments: &str) {
        for target in target::targets(arguments) {
            let Some(party) = self.rules.party(&target.channel) else { continue };
            if self.is_agents_leg(key, dialler) {
                continue;
            }
            if let Some(place) = self.place(key, dialler, &party, target.number) {
                let conversation = self.conversation_mut(key);
                let live = conversation.channels.iter().any(|c| c.decides == Some(place.phone) && c.is_live());
                let phone = &mut conversation.phones[place.phone];
                if !live && phone.answered.is_none() {
                    phone.fate = Fate::Trying;
                    phone.ended = None;
                }
                self.touch(key);
            }
        }
    }

    /// Gives everything that was dialled its place, once it is known for whom: what hangs behind a Local channel waits
    /// until somebody says who dialled its near end.
    pub(super) fn place_waiting(&mut self, key: Key) {
        for dial in std::mem::take(&mut self.conversation_mut(key).unplaced_dials) {
            if self.has_known_root(key, &dial.channel) {
                self.named_in_dial(key, &dial.channel, &dial.arguments);
            } else {
                self.conversation_mut(key).unplaced_dials.push(dial);
            }
        }
        let conversation = self.conversation(key);
        let waiting: Vec<(Uniqueid, Uniqueid, Party, Option<String>)> = conversation
            .channels
            .iter()
            .filter(|c| c.decides.is_none() && c.phone.is_none() && c.is_live() && !c.is_local())
            .filter_map(|c| {
                Some((c.dialled_by.clone()?, c.uniqueid.clone(), c.party.clone(), c.dialled_number.clone()))
            })
            .collect();
        for (dialler, dest, party, number) in waiting {
            if self.has_known_root(key, &dialler) {
                self.dialled(key, &dialler, &dest, &party, number);
            }
        }
    }

    /// The far end of a Local channel acts for whoever dialled the near end; before that is said, for nobody.
    pub(super) fn has_known_root(&self, key: Key, uniqueid: &Uniqueid) -> bool {
        let conversation = self.conversation(key);
        let consults = conversation.is_consultation && conversation.caller_extension.is_some();
        conversation.root_of(uniqueid).is_some_and(|root| !root.is_local() || root.role == Role::Originated || consults)
    }

    /// The phone with this key, as it is now tried (again), or `None` beyond the limit.
    pub(super) fn phone(&mut self, key: Key, phone: PhoneKey, via: Option<&Uniqueid>) -> Option<usize> {
        let wall = self.wall();
        if via.is_some() {
            self.notice_redirect(key, &phone);
        }
        let conversation = self.conversation_mut(key);
        let index = if let Some(index) = conversation.phone_index(&phone) {
            index
        } else if let Some(index) = via.and_then(|via| conversation.named_ahead(via)) {
            conversation.phones[index].key = Some(phone);
            conversation.phones[index].named_by = None;
            index
        } else {
            if conversation.phones.len() >= MAX_PHONES {
                return None;
            }
            let started = if conversation.phoneless.is_some() { conversation.born } else { wall };
            let (id, order) = conversation.take_id();
            conversation.phones.push(Phone::new(id, order, Some(phone), started));
            conversation.phones.len() - 1
        };
        conversation.mark_queue_and_transfer(index);
        self.touch(key);
        Some(index)
    }

    /// A Local channel is dialled: whoever is found behind it has this place in the order.
    pub(super) fn named_through_local(&mut self, key: Key, one: &Uniqueid) {
        let wall = self.wall();
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel(one) else { return };
        let exten = channel.name.endpoint().split('@').next().unwrap_or_default().to_owned();
        let known = conversation.phone_index(&PhoneKey::Extension(exten)).is_some();
        let behind = conversation
            .channels
            .iter()
            .any(|c| c.decides.is_some() && c.dialled_by.is_some() && conversation.is_behind(&c.uniqueid, one));
        let is_originated =
            conversation.root_of(one).is_none_or(|root| root.role == Role::Originated && root.is_local());
        if known || behind || is_originated || conversation.phones.iter().any(|p| p.named_by.as_ref() == Some(one)) {
            return;
        }
        if let Some(index) = conversation.named_ahead(one) {
            conversation.phones[index].named_by = Some(one.clone());
            return;
        }
        if conversation.phones.len() < MAX_PHONES {
            let started = if conversation.phoneless.is_some() { conversation.born } else { wall };
            let (id, order) = conversation.take_id();
            let mut phone = Phone::new(id, order, None, started);
            phone.named_by = Some(one.clone());
            conversation.phones.push(phone);
        }
    }

    pub(super) fn dial_state(&mut self, pbx: PbxId, dest: &Leg, status: DialStatus) {
        let Some(key) = self.known(pbx, &dest.uniqueid) else { return };
        let outside =
            self.conversation(key).channel(&dest.uniqueid).is_some_and(|c| matches!(c.party, Party::Trunk(_)));
        // An operator that sends early media (183) may never send a 180; to the caller it rings all the same.
        if status == DialStatus::Ringing || (outside && status == DialStatus::Progress) {
            self.rings(key, &dest.uniqueid);
        }
    }

    /// `DialEnd`: only the first one of a channel counts (queues send two).
    pub(super) fn dial_end(
        &mut self,
        pbx: PbxId,
        caller: Option<&Leg>,
        dest: &Leg,
        status: DialStatus,
        forward: &Text,
    ) {
        let Some(key) = self.known(pbx, &dest.uniqueid) else { return };
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel_mut(&dest.uniqueid) else { return };
        // The picker of a pickup was never dialled.
        if status == DialStatus::Answer
            && channel.role == Role::Caller
            && let Some(caller) = caller
            && let Some(other) = self.find(pbx, &caller.uniqueid)
            && other != key
        {
            self.picked_up(pbx, other, key, &dest.uniqueid, None);
            return;
        }
        let Some(channel) = self.conversation_mut(key).channel_mut(&dest.uniqueid) else { return };
        if channel.dial_end.is_some() {
            return;
        }
        channel.dial_end = Some(status.into());
        if !forward.is_empty() {
            channel.forwarded = true;
        }
        if status != DialStatus::Answer && channel.hung_up.is_some() {
            // It hung up before: its phone's fate was decided without this.
            self.settle_attempt(key, &dest.uniqueid);
        }
        self.touch(key);
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

    /// What the attempt of this channel came to, for the phone whose fate it decides.
    fn settle_attempt(&mut self, key: Key, uniqueid: &Uniqueid) {
        let wall = self.wall();
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel(uniqueid) else { return };
        let own_talk = channel.phone;
        let Some(index) = channel.decides else {
            // The caller's own channel ends his record's talk, not its fate.
            if let Some(phone) = own_talk.and_then(|i| conversation.phones.get_mut(i)) {
                phone.ended.get_or_insert(wall);
            }
            return;
        };
        let fate = attempt(channel);
        let (cause, rang, picked_up) = (channel.cause, channel.rang(), channel.picked_up);
        let others_live =
            conversation.channels.iter().any(|c| c.decides == Some(index) && c.is_live() && c.uniqueid != *uniqueid);
        let who = conversation.phones[index].key.as_ref().map(|k| k.name().to_owned());
        let phone = &mut conversation.phones[index];
        phone.rang |= rang;
        phone.cause = cause.or(phone.cause);
        if phone.answered.is_some() {
            phone.fate = Fate::Answered;
        } else if !others_live || fate == Fate::Answered {
            phone.fate = fate;
        }
        if !others_live {
            phone.ended = Some(wall);
        }
        if rang && phone.answered.is_none() && !picked_up {
            let how = match fate {
                Fate::Refused => "busy",
                Fate::Forwarded => "forwarded",
                _ => "no_answer",
            };
            conversation.step(step(StepKind::RingEnd, wall).who(who).how(how));
        }
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

/// What one attempt at a phone came to.
fn attempt(channel: &Channel) -> Fate {
    if channel.forwarded {
        Fate::Forwarded
    } else if channel.picked_up {
        Fate::RangOut
    } else if channel.refused() {
        Fate::Refused
    } else if channel.up_at.is_some() {
        // Up, but it was never bridged with anybody: it rang, and nobody took the call.
        Fate::RangOut
    } else if channel.is_client && is_failure(channel) {
        Fate::Unreachable
    } else if channel.rang() {
        Fate::RangOut
    } else {
        Fate::Unreachable
    }
}

/// The network could not bring the call to the called side: wrong number, out of order, congestion.
fn is_failure(channel: &Channel) -> bool {
    matches!(channel.cause, Some(1..=3 | 27 | 28 | 34 | 38 | 41 | 42 | 44 | 47 | 50 | 58 | 65 | 79 | 88 | 111))
        || channel.dial_end == Some(DialEnd::Congestion)
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
            caller_number: leg.caller_number.to_string(),
            caller_name: leg.caller_name.to_string(),
            exten: leg.exten.to_string(),
            born: wall,
            ring_from: ringing.then_some(wall),
            ring_until: None,
            up_at: (leg.state == ChannelState::Up).then_some(wall),
            asked_hangup: None,
            hung_up: None,
            cause: None,
            dial_end: None,
            forwarded: false,
            picked_up: false,
            bridge: None,
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

impl Phone {
    pub(super) fn new(id: String, order: (i64, u32), key: Option<PhoneKey>, started: i64) -> Self {
        Self {
            id,
            order,
            key,
            named_by: None,
            started,
            ring_ms: 0,
            talk_ms: 0,
            talk_from: None,
            answered: None,
            talk_until: None,
            talks: Vec::new(),
            ended: None,
            ended_by: None,
            fate: Fate::Trying,
            cause: None,
            rang: false,
            gave_away: false,
            parked: false,
            queue: None,
            transferred_from: None,
            transferred_to: None,
            transfer: None,
            picked_up_from: None,
        }
    }
}

impl Conversation {
    /// The record id the next phone gets: that of the record without a phone while there is one.
    pub(super) fn take_id(&mut self) -> (String, (i64, u32)) {
        match self.phoneless.take() {
            Some(id) => {
                let n = id.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(1);
                (id, (self.born, n))
            }
            None => self.next_id(),
        }
    }

    /// The place kept for whoever is found behind a Local channel above `via`.
    pub(super) fn named_ahead(&self, via: &Uniqueid) -> Option<usize> {
        let mut at = Some(via.clone());
        for _ in 0..16 {
            let here = at?;
            if let Some(index) = self.phones.iter().position(|p| p.key.is_none() && p.named_by.as_ref() == Some(&here))
            {
                return Some(index);
            }
            let channel = self.channel(&here)?;
            at = match channel.name.local_half() {
                Some(Half::Two) => channel.local_peer.clone(),
                Some(Half::One) | None => channel.dialled_by.clone(),
            };
        }
        None
    }

    /// `uniqueid` was dialled, directly or through further Local channels, from the far end of the pair of `one`.
    pub(super) fn is_behind(&self, uniqueid: &Uniqueid, one: &Uniqueid) -> bool {
        let mut at = self.channel(uniqueid);
        for _ in 0..16 {
            let Some(channel) = at else { return false };
            if channel.uniqueid == *one {
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

    pub(super) fn has_talked(&self) -> bool {
        self.phones.iter().any(|p| p.answered.is_some())
    }

    /// A phone tried now is tried by the queue the client stands in, and for whoever gave the client away.
    fn mark_queue_and_transfer(&mut self, index: usize) {
        if let Some(queue) = self.queue.as_ref().filter(|q| q.left.is_none()) {
            self.phones[index].queue.get_or_insert_with(|| queue.name.clone());
        }
        if let Some(transfer) = &mut self.pending_transfer {
            transfer.tried = true;
            let transfer = transfer.clone();
            self.mark_transfer(&transfer.from, transfer.from_phone, index, super::record::TransferKind::Blind);
        }
    }

    /// `from` gave the client to the phone `to`.
    pub(super) fn mark_transfer(
        &mut self,
        from: &str,
        from_phone: Option<usize>,
        to: usize,
        kind: super::record::TransferKind,
    ) {
        let Some(name) = self.phones[to].key.as_ref().map(|k| k.name().to_owned()) else { return };
        // Given back to himself, or ringing back after nobody took it.
        if name == from {
            return;
        }
        let target = &mut self.phones[to];
        if target.answered.is_none() || target.transferred_from.is_none() {
            target.transferred_from = Some(from.to_owned());
            target.transfer = Some(kind);
        }
        if let Some(giver) = from_phone.and_then(|i| self.phones.get_mut(i)) {
            giver.transferred_to.get_or_insert(name);
            giver.transfer = Some(kind);
        }
    }
}
