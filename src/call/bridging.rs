//! Who talks to whom: the union of bridges over Local pairs.
//!
//! Rests on BridgeEnter, BridgeLeave, BridgeMerge, BridgeDestroy, Hold and Unhold. A phone talks while its channel is
//! connected with somebody else's; alone in a bridge, in a parking lot, or behind a Local half whose other side has
//! nobody, it does not.

use super::model::{Conversation, Fate, MAX_TALKS, PhoneKey};
use super::record::{Direction, StepKind, step};
use super::{Calls, Key};
use crate::asterisk::{BridgeId, Leg, PbxId, Uniqueid};

/// What a bridge is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BridgeKind {
    Talk,
    /// Parking and the like: those in it do not hear each other.
    Holding,
    /// Agents wait in it for clients.
    Pool,
    Conference,
}

#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) members: Vec<Uniqueid>,
    pub(crate) kind: BridgeKind,
}

impl BridgeKind {
    fn new(technology: &str, creator: &str) -> Self {
        if technology == "holding_bridge" {
            if creator == "AgentPool" { Self::Pool } else { Self::Holding }
        } else if technology == "softmix" && creator.eq_ignore_ascii_case("ConfBridge") {
            // A three-way talk made by a feature is softmix, too, but nobody's conference.
            Self::Conference
        } else {
            Self::Talk
        }
    }
}

/// An action and its consequence come within this time.
const ACTION_MS: i64 = 200;

/// How many bridges and channels one talk is followed through.
const MAX_CONNECTED: usize = 512;

impl Calls {
    pub(super) fn bridge_enter(&mut self, pbx: PbxId, bridge: BridgeId, technology: &str, creator: &str, leg: &Leg) {
        if self.channel(pbx, &leg.uniqueid).is_none() {
            // Its Newchannel was lost; its Linkedid may still say where it belongs.
            if self.find(pbx, &leg.linkedid).is_none() || self.admit(pbx, leg).is_none() {
                self.counts.unknown_channel += 1;
                return;
            }
        }
        let Some((mut key, channel)) = self.channel(pbx, &leg.uniqueid) else { return };
        if !channel.is_live() {
            return;
        }
        let consults = channel.name.local_half() == Some(crate::asterisk::channel::Half::One)
            && channel.dialled_by.is_none()
            && channel.role == super::model::Role::Unknown;
        if channel.bridge.as_ref() != Some(&bridge) {
            self.leaves_every_bridge(pbx, key, &leg.uniqueid);
        }
        if consults {
            key = self.split_consultation(pbx, key, &leg.uniqueid);
        }
        let kind = BridgeKind::new(technology, creator);
        if kind == BridgeKind::Pool {
            key = self.back_to_pool(pbx, key, &leg.uniqueid);
        }
        self.enter(pbx, key, bridge, kind, &leg.uniqueid);
    }

    /// Puts a channel into a bridge and draws the conclusions.
    pub(super) fn enter(&mut self, pbx: PbxId, key: Key, bridge: BridgeId, kind: BridgeKind, uniqueid: &Uniqueid) {
        let wall = self.wall();
        let uniqueid = &self.shared(pbx, uniqueid);
        // All who are in it share its name.
        let known = self.bridges.get_key_value(&(pbx, bridge.clone())).map(|((_, known), _)| known.clone());
        let bridge = known.unwrap_or(bridge);
        let entry = self
            .bridges
            .entry((pbx, bridge.clone()))
            .or_insert_with(|| Bridge { members: Vec::with_capacity(2), kind });
        entry.kind = kind;
        if !entry.members.contains(uniqueid) {
            entry.members.push(uniqueid.clone());
        }
        let conversation = self.conversation_mut(key);
        if let Some(channel) = conversation.channel_mut(uniqueid) {
            channel.bridge = Some(bridge.clone());
            channel.pooled |= kind == BridgeKind::Pool;
            // Whoever is in a bridge has answered, even if nobody said so; Local halves of consultations have not.
            if !channel.is_local() {
                if channel.ring_from.is_some() {
                    channel.ring_until.get_or_insert(wall);
                }
                channel.up_at.get_or_insert(wall);
            }
        }
        self.meet(pbx, &bridge);
        self.talks_changed(pbx, &bridge, key);
    }

    pub(super) fn bridge_leave(&mut self, pbx: PbxId, bridge: &BridgeId, uniqueid: &Uniqueid) {
        let key = self.find(pbx, uniqueid);
        self.leave(pbx, bridge, uniqueid);
        if let Some(key) = key {
            self.talks_changed(pbx, bridge, key);
        } else {
            self.counts.unknown_channel += 1;
        }
    }

    fn leave(&mut self, pbx: PbxId, bridge: &BridgeId, uniqueid: &Uniqueid) {
        if let Some(entry) = self.bridges.get_mut(&(pbx, bridge.clone())) {
            entry.members.retain(|m| m != uniqueid);
            if entry.members.is_empty() {
                self.bridges.remove(&(pbx, bridge.clone()));
            }
        }
        let Some(key) = self.find(pbx, uniqueid) else { return };
        if let Some(channel) = self.conversation_mut(key).channel_mut(uniqueid)
            && channel.bridge.as_ref() == Some(bridge)
        {
            channel.bridge = None;
        }
    }

    /// For a channel that is gone, or turns up in another bridge than we believed.
    pub(super) fn leaves_every_bridge(&mut self, pbx: PbxId, key: Key, uniqueid: &Uniqueid) {
        let at = self.conversation(key).channel(uniqueid).and_then(|c| c.bridge.clone());
        if let Some(bridge) = at {
            self.leave(pbx, &bridge, uniqueid);
            self.talks_changed(pbx, &bridge, key);
        }
    }

    pub(super) fn bridge_merge(&mut self, pbx: PbxId, to: BridgeId, from: &BridgeId) {
        let Some(moved) = self.bridges.remove(&(pbx, from.clone())) else { return };
        for uniqueid in moved.members {
            if let Some(key) = self.find(pbx, &uniqueid) {
                let kind = self.bridges.get(&(pbx, to.clone())).map_or(moved.kind, |b| b.kind);
                self.enter(pbx, key, to.clone(), kind, &uniqueid);
            }
        }
    }

    pub(super) fn bridge_destroy(&mut self, pbx: PbxId, bridge: BridgeId) {
        // Everybody has left it; where a BridgeLeave was lost, this says so.
        if let Some(entry) = self.bridges.remove(&(pbx, bridge.clone())) {
            for uniqueid in entry.members {
                if let Some(key) = self.find(pbx, &uniqueid) {
                    self.leave(pbx, &bridge, &uniqueid);
                    self.talks_changed(pbx, &bridge, key);
                }
            }
        }
    }

    pub(super) fn hold(&mut self, pbx: PbxId, uniqueid: &Uniqueid, held: bool) {
        let wall = self.wall();
        let Some(key) = self.known(pbx, uniqueid) else { return };
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel(uniqueid) else { return };
        let who = channel.extension().map(str::to_owned);
        let same = |step: &super::record::Step| step.who.as_deref() == who.as_deref();
        // A REFER sends an Unhold even if nobody was held.
        let on_hold = conversation
            .timeline
            .iter()
            .rev()
            .find(|s| matches!(s.step, StepKind::Hold | StepKind::Unhold) && same(s))
            .is_some_and(|s| s.step == StepKind::Hold);
        if held != on_hold {
            let kind = if held { StepKind::Hold } else { StepKind::Unhold };
            conversation.step(step(kind, wall).who(who));
            self.touch(key);
        }
    }

    /// The parties that hear each other through `bridge`: channels of extensions and trunks, through Local pairs.
    pub(crate) fn connected(&self, pbx: PbxId, bridge: &BridgeId) -> Vec<(Key, Uniqueid)> {
        let mut parties = Vec::new();
        let mut bridges = vec![bridge.clone()];
        let mut at = 0;
        while let Some(here) = bridges.get(at).cloned() {
            at += 1;
            let Some(entry) = self.bridges.get(&(pbx, here)) else { continue };
            if matches!(entry.kind, BridgeKind::Holding | BridgeKind::Pool) {
                continue;
            }
            for uniqueid in &entry.members {
                let Some((key, channel)) = self.channel(pbx, uniqueid) else { continue };
                if !channel.is_live() {
                    continue;
                }
                if !channel.is_local() {
                    parties.push((key, uniqueid.clone()));
                } else if let Some(peer) = &channel.local_peer
                    && let Some((_, peer)) = self.channel(pbx, peer)
                    && let Some(next) = &peer.bridge
                    && !bridges.contains(next)
                {
                    bridges.push(next.clone());
                }
            }
            if parties.len() + bridges.len() > MAX_CONNECTED {
                break;
            }
        }
        parties
    }

    /// Conversations whose people now hear each other are one.
    fn meet(&mut self, pbx: PbxId, bridge: &BridgeId) {
        // Each round joins two; a bridge with a hundred strangers in it is not a talk of ours.
        for _ in 0..16 {
            let parties = self.connected(pbx, bridge);
            let is_conference =
                self.bridges.get(&(pbx, bridge.clone())).is_some_and(|b| b.kind == BridgeKind::Conference);
            let joined =
                if is_conference { self.meet_in_conference(&parties) } else { self.meet_in_talk(pbx, &parties) };
            if !joined {
                return;
            }
        }
    }

    fn meet_in_talk(&mut self, pbx: PbxId, parties: &[(Key, Uniqueid)]) -> bool {
        let Some((first, _)) = parties.first() else { return false };
        let other = parties.iter().find(|(key, _)| key != first && !self.are_two_clients(*first, *key));
        let Some((second, _)) = other else { return false };
        for (one, other) in [(*first, *second), (*second, *first)] {
            // By feature code the transferer's own channel leaves the client for the consultation: no join yet.
            if let Some(guest) = self.conversation(other).consulting.clone() {
                let theirs: Vec<&Uniqueid> = parties.iter().filter(|(k, _)| *k == one).map(|(_, u)| u).collect();
                if self.find(pbx, &guest) == Some(one) {
                    if theirs.iter().all(|u| **u == guest) {
                        return false;
                    }
                    let giver = self.giver(one, &guest);
                    self.join(one, other, giver);
                    return true;
                }
            } else if self.conversation(other).is_consultation && self.conversation(other).caller_extension.is_none() {
                // Now it is seen who consults.
                let guest = parties.iter().find(|(k, _)| *k == one).map(|(_, u)| u.clone());
                if let Some(guest) = guest {
                    self.consults(other, pbx, &guest);
                    return false;
                }
            }
        }
        let (main, other) = self.main_of(*first, *second);
        let giver = self.attended_giver(main, other);
        let joiner = self.joiner(other);
        if let Some((uniqueid, extension)) = &joiner
            && self.lend(pbx, main, other, uniqueid, extension)
        {
            return true;
        }
        self.join(main, other, giver);
        if let Some((uniqueid, extension)) = joiner {
            self.takes_part(main, &uniqueid, &extension, None);
        }
        true
    }

    /// Who joins a conference with a client in it is a call of the client's; clients are not joined with each other.
    fn meet_in_conference(&mut self, parties: &[(Key, Uniqueid)]) -> bool {
        let has_client = |key: Key| {
            let conversation = self.conversation(key);
            parties.iter().any(|(k, u)| *k == key && conversation.channel(u).is_some_and(|c| c.is_client))
        };
        let Some(client) = parties.iter().map(|(k, _)| *k).find(|k| has_client(*k)) else { return false };
        let Some(other) = parties.iter().map(|(k, _)| *k).find(|k| *k != client && !has_client(*k)) else {
            return false;
        };
        let joiner = self.joiner(other);
        self.join(client, other, None);
        if let Some((uniqueid, extension)) = joiner {
            self.takes_part(client, &uniqueid, &extension, None);
        }
        true
    }

    /// The calling extension of a conversation that has no record of its own yet (it dialled a feature).
    fn joiner(&self, key: Key) -> Option<(Uniqueid, String)> {
        let conversation = self.conversation(key);
        if conversation.has_phones() {
            return None;
        }
        let extension = conversation.caller_extension.clone()?;
        let channel = conversation.channels.iter().find(|c| c.extension() == Some(&extension) && c.is_live())?;
        Some((channel.uniqueid.clone(), extension))
    }

    /// An extension that came into a conversation by its own call is a phone of it; `via`: the Local channel it was asked
    /// through.
    pub(super) fn takes_part(
        &mut self,
        key: Key,
        uniqueid: &Uniqueid,
        extension: &str,
        via: Option<&Uniqueid>,
    ) -> Option<usize> {
        let phone = self.phone(key, PhoneKey::Extension(extension.to_owned()), via)?;
        let conversation = self.conversation_mut(key);
        if let Some(channel) = conversation.channel_mut(uniqueid) {
            channel.phone = Some(phone);
        }
        let part = &mut conversation.phones[phone];
        part.parked = false;
        part.gave_away = false;
        part.ended = None;
        Some(phone)
    }

    /// Recomputes the talks of everybody connected with `bridge`, and of `key`.
    pub(super) fn talks_changed(&mut self, pbx: PbxId, bridge: &BridgeId, key: Key) {
        let mut keys: Vec<Key> = self.connected(pbx, bridge).into_iter().map(|(key, _)| key).collect();
        keys.push(key);
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            self.update_talks(pbx, key);
        }
    }

    fn update_talks(&mut self, pbx: PbxId, key: Key) {
        let wall = self.wall();
        // A Redirect or Hangup by the CRM or another AMI client, answered just before.
        let acted =
            self.exchanges.get(&pbx).and_then(|e| e.acted_at).is_some_and(|at| (wall - ACTION_MS..=wall).contains(&at));
        let Some(held) = self.held.get(&key) else { return };
        let count = held.conversation.phones.len();
        for index in 0..count {
            let state = self.talk_of(pbx, key, index);
            let conversation = self.conversation_mut(key);
            let was = conversation.phones[index].talk_from.is_some();
            match (was, state) {
                (false, Some(with_client)) => begin_talk(conversation, index, with_client, wall),
                (true, None) => {
                    end_talk(conversation, index, wall);
                    conversation.phones[index].ended_by = acted.then_some(super::record::EndedBy::Us);
                }
                (true, Some(true)) if conversation.answered.is_none() => conversation.answered = Some(wall),
                _ => continue,
            }
            self.touch(key);
        }
    }

    /// Whether the phone talks now, and if so, whether the client hears it.
    fn talk_of(&self, pbx: PbxId, key: Key, index: usize) -> Option<bool> {
        let conversation = self.conversation(key);
        let mut found = None;
        let own = conversation.channels.iter().filter(|c| c.phone == Some(index) && c.is_live()).map(|c| &c.uniqueid);
        // The caller of a consultation by feature code sits in the client's conversation.
        let callers = conversation.caller_extension.as_deref().zip(conversation.phones[index].key.as_ref());
        let guest = conversation
            .consulting
            .as_ref()
            .filter(|_| callers.is_some_and(|(e, k)| *k == PhoneKey::Extension(e.to_owned())));
        for uniqueid in own.chain(guest) {
            let Some((_, channel)) = self.channel(pbx, uniqueid) else { continue };
            let Some(bridge) = channel.bridge.clone() else { continue };
            // In a consultation by feature code and in a conference there are people of other conversations, too.
            let others = self.connected(pbx, &bridge);
            let belongs = |k: Key, u: &Uniqueid| k == key || conversation.consulting.as_ref() == Some(u);
            let mut others = others.iter().filter(|(k, u)| u != uniqueid && belongs(*k, u)).peekable();
            if others.peek().is_some() {
                let with_client =
                    others.any(|(k, u)| *k == key && conversation.channel(u).is_some_and(|c| c.is_client));
                found = Some(found == Some(true) || with_client || conversation.direction == Some(Direction::Internal));
            }
            // While it consults, the client is on hold, which is talk.
            let holds = self.consults_now(pbx, uniqueid)
                && conversation.phones[index].answered.is_some()
                && !conversation.phones[index].gave_away;
            if found.is_none()
                && holds
                && conversation.channels.iter().any(|c| c.is_live() && c.uniqueid != *uniqueid && !c.is_local())
            {
                found = Some(true);
            }
        }
        found
    }
}

fn begin_talk(conversation: &mut Conversation, index: usize, with_client: bool, wall: i64) {
    let phone = &mut conversation.phones[index];
    phone.talk_from = Some(wall);
    phone.fate = Fate::Answered;
    phone.ended = None;
    let first = phone.answered.is_none();
    phone.answered.get_or_insert(wall);
    let name = phone.key.as_ref().map(|k| k.name().to_owned());
    let (from_queue, given_by) = (phone.queue.clone(), phone.transferred_from.clone());
    if first {
        conversation.step(step(StepKind::Answer, wall).who(name.clone()));
    }
    if !with_client {
        return;
    }
    conversation.answered.get_or_insert(wall);
    conversation.talk_place.clone_from(&conversation.last_place);
    conversation.went_on = false;
    if let Some(queue) = &mut conversation.queue
        && from_queue.as_ref() == Some(&queue.name)
    {
        queue.answered.get_or_insert(wall);
    }
    // The client has a new partner: who gave him away knows now to whom.
    if let Some(transfer) = conversation.pending_transfer.take()
        && given_by.as_ref() == Some(&transfer.from)
        && let Some(giver) = transfer.from_phone.and_then(|i| conversation.phones.get_mut(i))
    {
        giver.transferred_to = name;
    }
}

pub(super) fn end_talk(conversation: &mut Conversation, index: usize, wall: i64) {
    let phone = &mut conversation.phones[index];
    let Some(from) = phone.talk_from.take() else { return };
    phone.talk_ms += (wall - from).max(0);
    phone.talk_until = Some(wall);
    if phone.talks.len() < MAX_TALKS {
        phone.talks.push((from, wall));
    }
}
