//! The phones of a conversation: in which order they are named, and what became of each attempt at them.

use super::model::{Channel, Conversation, DialEnd, Fate, MAX_PHONES, Phone, PhoneKey, Role};
use super::record::{StepKind, TransferKind, step};
use super::{Calls, Key};
use crate::asterisk::Uniqueid;
use crate::asterisk::channel::Half;

impl Calls {
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
            phone.queue = conversation.queue.as_ref().filter(|q| q.left.is_none()).map(|q| q.name.clone());
            conversation.phones.push(phone);
        }
    }

    /// What the attempt of this channel came to, for the phone whose fate it decides.
    pub(super) fn settle_attempt(&mut self, key: Key, uniqueid: &Uniqueid) {
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
            self.mark_transfer(&transfer.from, transfer.from_phone, index, transfer.kind);
        }
    }

    /// `from` gave the client to the phone `to`.
    pub(super) fn mark_transfer(&mut self, from: &str, from_phone: Option<usize>, to: usize, kind: TransferKind) {
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
