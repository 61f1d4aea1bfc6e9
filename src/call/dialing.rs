//! Who is dialled for whom: what a dialled channel, or a name in a Dial, is to its conversation.
//!
//! Rests on DialBegin, DialState, DialEnd and the arguments of Dial. Channels that turn out to belong to another
//! conversation are `transfer`'s, the phones themselves `phones`'.

use super::model::{Fate, Party, PhoneKey, Role, Stage};
use super::record::{Direction, EndedBy};
use super::{Calls, Key, target};
use crate::asterisk::{DialStatus, Leg, PbxId, Text, Uniqueid};

/// What a dialled channel, or a name in a Dial, is to its conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    phone: usize,
    /// It is the outside party: its fate is our caller's record's.
    is_client: bool,
}

impl Calls {
    /// `DialBegin`: `dest` is called for `caller`, or for nobody (the first leg of an Originate).
    pub(super) fn dial_begin(&mut self, pbx: PbxId, caller: Option<&Leg>, dest: &Leg, dial_string: &Text) {
        let asked = caller.is_none().then(|| self.asker(pbx, dest)).flatten();
        let Some(caller) = caller.or(asked.as_ref()) else {
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
        let dialler = self.shared(pbx, &caller.uniqueid);
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
        channel.dialled_by = Some(dialler);
        if channel.is_local() {
            self.named_through_local(key, &dest.uniqueid);
            self.place_waiting(key);
        } else {
            let number = target::dialled_number(dial_string, dest.name.endpoint())
                .or_else(|| Some(channel.caller_number.to_string()).filter(|n| !n.is_empty()))
                .or_else(|| Some(dest.caller_number.to_string()).filter(|n| !n.is_empty()));
            channel.dialled_number = number.map(String::into_boxed_str);
            self.presents(key, caller, dest);
            self.place_waiting(key);
        }
    }

    /// A trunk is dialled: whom the other side sees is the caller id that the dialplan put on the caller by then.
    fn presents(&mut self, key: Key, caller: &Leg, dest: &Leg) {
        let number = &caller.caller_number;
        let pbx = self.conversation(key).pbx_id;
        let is_outside = matches!(self.rules.party(pbx, &dest.name), Some(Party::Trunk(_)));
        if !is_outside || number.is_empty() || self.rules.numbers.at(pbx.0).is_extension(number) {
            return;
        }
        let conversation = self.conversation_mut(key);
        if conversation.answered.is_none() {
            conversation.presented = Some(number.to_string());
        }
    }

    /// Page calls its phones without saying for whom. An Originate's leg has a Linkedid of its own; one with that of a caller
    /// is called for him.
    fn asker(&self, pbx: PbxId, dest: &Leg) -> Option<Leg> {
        let (_, caller) = self.channel(pbx, &dest.linkedid).filter(|_| dest.linkedid != dest.uniqueid)?;
        (caller.role == Role::Caller && caller.is_live() && !dest.name.is_local()).then(|| Leg {
            name: caller.name.clone(),
            uniqueid: caller.uniqueid.clone(),
            linkedid: caller.uniqueid.clone(),
            ..Leg::default()
        })
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
        let party = &self.beyond_peer(key, party, number.as_deref());
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

    /// The trunk between two of our exchanges is no outside: who is called through it is somebody's extension there.
    fn beyond_peer(&self, key: Key, party: &Party, number: Option<&str>) -> Party {
        let Party::Trunk(trunk) = party else { return party.clone() };
        let there = self.rules.extension_at_peer(self.conversation(key).pbx_id, trunk, number);
        there.map_or_else(|| party.clone(), Party::Extension)
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

    /// Dial's arguments name phones, whether they get a channel or not (`Newexten`).
    pub(super) fn named_in_dial(&mut self, key: Key, dialler: &Uniqueid, arguments: &str) {
        let pbx = self.conversation(key).pbx_id;
        for target in target::targets(arguments) {
            let Some(party) = self.rules.party(pbx, &target.channel) else { continue };
            if self.is_agents_leg(key, dialler) {
                continue;
            }
            let party = self.beyond_peer(key, &party, target.number.as_deref());
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
                let number = c.dialled_number.as_deref().map(str::to_owned);
                Some((c.dialled_by.clone()?, c.uniqueid.clone(), c.party.clone(), number))
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
}
