//! Conversations that turn out to be one, or that one hides: transfers, pickup, parking, consultations.
//!
//! Rests on BlindTransfer, AttendedTransfer, Pickup, ParkedCall, UnParkedCall, and, where Asterisk sends no event at all
//! (feature codes, Redirect), on who enters which bridge.

use std::sync::Arc;

use super::model::{Conversation, Fate, PendingTransfer, PhoneKey, Role, Stage};
use super::record::{Direction, StepKind, TransferKind, step};
use super::{Calls, Held, Key};
use crate::asterisk::event::AttendedTransfer;
use crate::asterisk::{Leg, PbxId, Uniqueid};

/// A phone called so soon after a talk that nobody hung up on is called because of a Redirect.
const REDIRECT_MS: i64 = 2_000;

/// Who gives a call away by attended transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Giver {
    pub(super) name: String,
    /// His phone in the client's conversation.
    pub(super) phone: Option<usize>,
}

impl Calls {
    /// `BlindTransfer`: by REFER, feature code or AMI, all alike. The target is dialled next.
    pub(super) fn blind_transfer(&mut self, pbx: PbxId, transferer: &Leg, transferee: Option<&Leg>, exten: &str) {
        let wall = self.wall();
        let found = self.known(pbx, &transferer.uniqueid).or_else(|| self.find(pbx, &transferee?.uniqueid));
        let Some(key) = found else { return };
        let Some(giver) = self.giver(key, &transferer.uniqueid) else { return };
        let conversation = self.conversation_mut(key);
        // Parking by REFER says BlindTransfer, too, after ParkedCall.
        let last = conversation.timeline.iter().rev().find(|s| !matches!(s.step, StepKind::Hold | StepKind::Unhold));
        if last.is_some_and(|s| s.step == StepKind::Park && s.who.as_deref() == Some(&*giver.name)) {
            return;
        }
        if let Some(phone) = giver.phone.and_then(|i| conversation.phones.get_mut(i)) {
            if phone.parked {
                return;
            }
            phone.gave_away = true;
        }
        conversation.step(step(StepKind::Transfer, wall).who(giver.name.clone()).to(exten.to_owned()).how("blind"));
        conversation.pending_transfer = Some(Box::new(PendingTransfer {
            from: giver.name,
            from_phone: giver.phone,
            exten: exten.to_owned(),
            tried: false,
            kind: TransferKind::Blind,
        }));
        self.touch(key);
    }

    /// The target of a blind transfer got no channel. The first step in the new place is not announced by Newexten, so only
    /// `DIALSTATUS` says that a Dial ran there, and BlindTransfer for whom.
    pub(super) fn target_unreachable(&mut self, key: Key, dialler: &Uniqueid) {
        let wall = self.wall();
        let waiting = self.conversation(key).pending_transfer.as_ref();
        let waiting = waiting.filter(|t| !t.tried && t.kind == TransferKind::Blind);
        let Some(exten) = waiting.map(|t| t.exten.clone()) else { return };
        let numbers = self.rules.numbers.at(self.conversation(key).pbx_id.0);
        let target = if numbers.is_extension(&exten) { PhoneKey::Extension(exten) } else { PhoneKey::Outside(exten) };
        if let Some(index) = self.phone(key, target, Some(dialler)) {
            let phone = &mut self.conversation_mut(key).phones[index];
            if phone.answered.is_none() {
                phone.fate = Fate::Unreachable;
                phone.ended.get_or_insert(wall);
            }
        }
    }

    /// `AttendedTransfer` in its several shapes: two calls become one.
    pub(super) fn attended_transfer(&mut self, pbx: PbxId, transfer: &AttendedTransfer) {
        if !transfer.success {
            return;
        }
        let orig = &transfer.orig_transferer.uniqueid;
        let second = &transfer.second_transferer.uniqueid;
        let first_key = self.known(pbx, orig);
        let second_key = if orig == second { self.consultation_of(pbx, orig) } else { self.known(pbx, second) };
        let keys = [
            first_key,
            second_key,
            transfer.transferee.as_ref().and_then(|leg| self.find(pbx, &leg.uniqueid)),
            transfer.transfer_target.as_ref().and_then(|leg| self.find(pbx, &leg.uniqueid)),
        ];
        let name = |calls: &Self| {
            calls
                .channel(pbx, orig)
                .or_else(|| calls.channel(pbx, second))
                .and_then(|(_, c)| c.extension().map(str::to_owned))
        };
        let Some(name) = name(self) else { return };
        let mut main = None;
        for key in keys.into_iter().flatten() {
            let Some(so_far) = main else {
                main = Some(key);
                continue;
            };
            if so_far == key || !self.held.contains_key(&key) || !self.held.contains_key(&so_far) {
                continue;
            }
            if self.are_two_clients(so_far, key) {
                self.gives_both_away(so_far, key, &name);
                continue;
            }
            let (into, other) = self.client_side(so_far, key);
            let phone = self.conversation(into).phone_index(&PhoneKey::Extension(name.clone()));
            self.join(into, other, Some(Giver { name: name.clone(), phone }));
            main = Some(into);
        }
        if let Some(transferee) = transfer.transferee.as_ref().filter(|_| &*transfer.dest_type == "App") {
            self.takes_place(pbx, &transferee.uniqueid, second);
        }
    }

    /// Where the transferer was in an application (a conference), the client is put into his place without a BridgeLeave of
    /// the one and a BridgeEnter of the other.
    fn takes_place(&mut self, pbx: PbxId, client: &Uniqueid, transferer: &Uniqueid) {
        let Some((other, channel)) = self.channel(pbx, transferer) else { return };
        let Some(bridge) = channel.bridge.clone() else { return };
        let Some(kind) = self.bridges.get(&(pbx, bridge.clone())).map(|b| b.kind) else { return };
        let Some(key) = self.find(pbx, client) else { return };
        self.leaves_every_bridge(pbx, other, transferer);
        self.leaves_every_bridge(pbx, key, client);
        self.enter(pbx, key, bridge, kind, client);
    }

    /// Each has a client of its own who called us: they stay two calls, whoever brings the two together.
    pub(super) fn are_two_clients(&self, first: Key, second: Key) -> bool {
        [first, second].into_iter().all(|key| {
            let conversation = self.conversation(key);
            conversation.direction == Some(Direction::Incoming) && conversation.has_live_client()
        })
    }

    /// Somebody with two clients on his phone joins them and leaves.
    fn gives_both_away(&mut self, first: Key, second: Key, name: &str) {
        let wall = self.wall();
        let number = |key: Key| self.conversation(key).client_number.clone();
        let to = [(first, number(second)), (second, number(first))];
        for (key, other) in to {
            let conversation = self.conversation_mut(key);
            let Some(index) = conversation.phone_index(&PhoneKey::Extension(name.to_owned())) else { continue };
            let phone = &mut conversation.phones[index];
            if std::mem::replace(&mut phone.gave_away, true) {
                continue;
            }
            phone.transferred_to.clone_from(&other);
            phone.transfer = Some(TransferKind::Attended);
            conversation.step(step(StepKind::Transfer, wall).who(name.to_owned()).to(other).how("attended"));
            self.touch(key);
        }
    }

    /// Which of two conversations has the client: the other is the consultation.
    fn client_side(&self, first: Key, second: Key) -> (Key, Key) {
        let has_client =
            |key: Key| matches!(self.conversation(key).direction, Some(Direction::Incoming | Direction::Outgoing));
        if !has_client(first) && has_client(second) { (second, first) } else { (first, second) }
    }

    /// `Pickup`: `leg` took what rang at `target`.
    pub(super) fn pickup(&mut self, pbx: PbxId, leg: &Leg, target: &Leg) {
        let Some(main) = self.known(pbx, &target.uniqueid) else { return };
        if self.channel(pbx, &leg.uniqueid).is_none() {
            self.newchannel(pbx, leg);
        }
        let Some(other) = self.find(pbx, &leg.uniqueid) else { return };
        self.picked_up(pbx, main, other, &leg.uniqueid, Some(&target.uniqueid));
    }

    /// The picker's call joins the one that rang. Which phone rang is known from `Pickup`; from the DialEnd that names
    /// the picker it is the one that rings.
    pub(super) fn picked_up(
        &mut self,
        _pbx: PbxId,
        main: Key,
        other: Key,
        picker: &Uniqueid,
        target: Option<&Uniqueid>,
    ) {
        let wall = self.wall();
        self.join(main, other, None);
        let conversation = self.conversation_mut(main);
        let rang = match target {
            Some(target) => conversation.channel_mut(target),
            None => conversation.channels.iter_mut().find(|c| c.decides.is_some() && c.rings()),
        };
        let from = rang.and_then(|channel| {
            channel.picked_up = true;
            channel.decides
        });
        let from = from.and_then(|i| conversation.phones.get(i)?.key.as_ref().map(|k| k.name().to_owned()));
        let Some(channel) = conversation.channel(picker) else { return };
        let Some(extension) = channel.extension().map(str::to_owned) else { return };
        if let Some(phone) = self.takes_part(main, picker, &extension, None) {
            let conversation = self.conversation_mut(main);
            let first = conversation.phones[phone].picked_up_from.is_none();
            if from.is_some() && from.as_deref() != Some(&extension) {
                conversation.phones[phone].picked_up_from.clone_from(&from);
            }
            if first {
                conversation.step(step(StepKind::Pickup, wall).who(extension).to(from));
            }
            self.touch(main);
        }
    }

    /// `ParkedCall`: the parker's talk is over, which is no transfer.
    pub(super) fn parked(&mut self, pbx: PbxId, parkee: &Leg, parker: &str, space: &str) {
        let wall = self.wall();
        let Some(key) = self.known(pbx, &parkee.uniqueid) else { return };
        let party = self.rules.party(pbx, &crate::asterisk::ChannelName::new(parker));
        let conversation = self.conversation_mut(key);
        let name = match party {
            Some(super::model::Party::Extension(extension)) => extension,
            _ => parker.rsplit('/').next().unwrap_or(parker).to_owned(),
        };
        let phone = conversation.phone_index(&PhoneKey::Extension(name.clone()));
        if let Some(phone) = phone.and_then(|i| conversation.phones.get_mut(i)) {
            phone.parked = true;
            phone.gave_away = true;
        }
        // The BlindTransfer to the parking extension may have come first.
        if conversation.pending_transfer.take().is_some()
            && let Some(last) = conversation.timeline.iter().rposition(|s| s.step == StepKind::Transfer)
        {
            conversation.timeline.remove(last);
        }
        conversation.step(step(StepKind::Park, wall).who(name).place(space.to_owned()));
        self.touch(key);
    }

    /// `UnParkedCall`: who dialled the slot is the next phone of the conversation.
    pub(super) fn retrieved(&mut self, pbx: PbxId, parkee: &Leg, retriever: &Leg, space: &str) {
        let wall = self.wall();
        let Some(main) = self.known(pbx, &parkee.uniqueid) else { return };
        if self.channel(pbx, &retriever.uniqueid).is_none() {
            self.newchannel(pbx, retriever);
        }
        let Some(other) = self.find(pbx, &retriever.uniqueid) else { return };
        self.join(main, other, None);
        let conversation = self.conversation_mut(main);
        let extension = conversation.channel(&retriever.uniqueid).and_then(|c| c.extension().map(str::to_owned));
        let Some(extension) = extension else { return };
        conversation.step(step(StepKind::Retrieve, wall).who(extension.clone()).place(space.to_owned()));
        self.takes_part(main, &retriever.uniqueid, &extension, None);
        self.touch(main);
    }

    /// The giver behind a transferer's channel.
    pub(super) fn giver(&self, key: Key, uniqueid: &Uniqueid) -> Option<Giver> {
        let conversation = self.conversation(key);
        let channel = conversation.channel(uniqueid)?;
        let phone = channel.phone;
        let key = phone.and_then(|i| conversation.phones.get(i)?.key.as_ref());
        let name = key.map(|k| k.name().to_owned()).or_else(|| channel.extension().map(str::to_owned))?;
        Some(Giver { name, phone })
    }

    /// A joined conversation was a consultation if one side of it is a phone of the main one.
    pub(super) fn attended_giver(&self, main: Key, other: Key) -> Option<Giver> {
        let consultation = self.conversation(other);
        if !consultation.has_phones() {
            return None;
        }
        let conversation = self.conversation(main);
        // He called the target, or was called by him.
        let caller = consultation.caller_extension.clone().map(PhoneKey::Extension);
        let called = consultation.phones.iter().filter(|p| p.answered.is_some()).filter_map(|p| p.key.clone());
        caller.into_iter().chain(called).find_map(|key| {
            let phone = conversation.phone_index(&key).filter(|i| conversation.phones[*i].answered.is_some())?;
            Some(Giver { name: key.name().to_owned(), phone: Some(phone) })
        })
    }

    /// Which of two conversations that met keeps its direction and client: the one with a client, else the older.
    pub(super) fn main_of(&self, first: Key, second: Key) -> (Key, Key) {
        let rank = |key: Key| {
            let c = self.conversation(key);
            let direction = match c.direction {
                Some(Direction::Incoming) => 0,
                Some(Direction::Outgoing) => 1,
                Some(Direction::Internal) => 2,
                None => 3,
            };
            (c.is_consultation, direction, c.born, key)
        };
        if rank(first) <= rank(second) { (first, second) } else { (second, first) }
    }

    /// `other` becomes part of `main`, which keeps direction, client and numbers; the older one gives the name.
    pub(super) fn join(&mut self, main: Key, other: Key, giver: Option<Giver>) {
        if main == other {
            return;
        }
        let Some(held) = self.held.remove(&other) else { return };
        let Held { conversation: mut joined, uniqueids, absorbed, .. } = *held;
        let pbx = joined.pbx_id;
        if let Some(guest) = joined.consulting.take() {
            self.exchange(pbx).consultations.remove(&guest);
        }
        for uniqueid in uniqueids {
            self.lead_to(main, pbx, uniqueid);
        }
        let wall = self.wall();
        let held = self.held.get_mut(&main).expect("the caller looked it up");
        held.absorbed.extend(absorbed);
        let conversation = &mut held.conversation;
        if let Some(giver) = &giver {
            joined.client_becomes_phone();
            joined.caller_becomes_phone(&giver.name);
        }
        let offset = conversation.phones.len();
        for channel in &mut joined.channels {
            channel.phone = channel.phone.map(|i| i + offset);
            channel.decides = channel.decides.map(|i| i + offset);
        }
        if conversation.direction.is_none() {
            conversation.direction = joined.direction;
            conversation.client_number = joined.client_number.take();
            conversation.client_name = joined.client_name.take();
            conversation.from = joined.from.take();
            conversation.to = joined.to.take();
            conversation.did = joined.did.take();
            conversation.trunk = joined.trunk.take();
            conversation.caller_extension = joined.caller_extension.take();
        }
        if conversation.phoneless.is_none() && conversation.phones.is_empty() {
            conversation.phoneless = joined.phoneless.take();
        }
        // The older one names the whole; what was already sent under the other name is told so.
        let older = (joined.born, other) < (conversation.born, main);
        let gone = if older { std::mem::replace(&mut conversation.id, joined.id.clone()) } else { joined.id.clone() };
        let was_saved = if older { !conversation.published.is_empty() } else { !joined.published.is_empty() };
        if was_saved {
            held.absorbed.push(gone);
        }
        if older {
            conversation.birth_id = joined.birth_id.clone();
            conversation.next_n = joined.next_n;
            conversation.born = joined.born;
        }
        joined.channels.retain(|c| conversation.channel(&c.uniqueid).is_none());
        conversation.channels.append(&mut joined.channels);
        conversation.phones.append(&mut joined.phones);
        // A record that nobody continues: per-call has one record for the whole; a second record without a phone.
        let second = joined.only_id.take().filter(|id| conversation.only_id.get_or_insert_with(|| id.clone()) != id);
        for mut record in joined.published.drain(..) {
            let orphan = joined.phoneless.as_ref() == Some(&record.id) || second.as_ref() == Some(&record.id);
            if orphan && conversation.only_id.as_ref() != Some(&record.id) && record.superseded_by.is_none() {
                Arc::make_mut(&mut record).superseded_by = Some(String::new());
            }
            conversation.published.push(record);
        }
        conversation.recordings.append(&mut joined.recordings);
        conversation.variables.append(&mut joined.variables);
        conversation.unplaced_dials.append(&mut joined.unplaced_dials);
        conversation.click = conversation.click.take().or(joined.click.take());
        conversation.crm = conversation.crm.take().or(joined.crm.take());
        conversation.ended = None;
        for step in joined.timeline.drain(..) {
            conversation.step(step);
        }
        conversation.timeline.sort_by_key(|s| s.at);
        if let Some(giver) = giver {
            let targets: Vec<usize> =
                (offset..conversation.phones.len()).filter(|i| conversation.phones[*i].key.is_some()).collect();
            // Of a group that was consulted, the one who answered.
            let taker =
                targets.iter().find(|i| conversation.phones[**i].answered.is_some()).or(targets.first()).copied();
            let to = taker.and_then(|i| conversation.phones[i].key.as_ref().map(|k| k.name().to_owned()));
            conversation.step(step(StepKind::Transfer, wall).who(giver.name.clone()).to(to).how("attended"));
            for target in taker.into_iter().chain(targets.into_iter().filter(|i| Some(*i) != taker)) {
                conversation.mark_transfer(&giver.name, giver.phone, target, TransferKind::Attended);
            }
            if let Some(phone) = giver.phone.and_then(|i| conversation.phones.get_mut(i)) {
                phone.gave_away = true;
            }
            // The giver stood in a queue for him: now the client does.
            if let Some(queue) = joined.queue.take().filter(|q| q.left.is_none() && q.answered.is_none()) {
                conversation.enter_queue(&queue.name, wall);
            }
            // Given away while the target rings, waits in a queue or sits in a conference: who takes the client shows later.
            if taker.is_none_or(|i| conversation.phones[i].answered.is_none()) {
                conversation.pending_transfer = Some(Box::new(PendingTransfer {
                    from: giver.name,
                    from_phone: giver.phone,
                    exten: joined.to.take().unwrap_or_default(),
                    tried: taker.is_some(),
                    kind: TransferKind::Attended,
                }));
            }
        }
        self.end_if_empty(main);
        self.touch(main);
    }

    /// A Local channel nobody dialled enters a bridge: a consultation by feature code (`*2`) or AMI `Atxfer`, inside
    /// the client's Linkedid. It starts as a conversation of its own. Returns its key.
    pub(super) fn split_consultation(&mut self, pbx: PbxId, key: Key, one: &Uniqueid) -> Key {
        let conversation = self.conversation(key);
        let Some(channel) = conversation.channel(one) else { return key };
        let to = channel.name.endpoint().split('@').next().map(str::to_owned);
        let two = channel.local_peer.clone();
        let behind: Vec<Uniqueid> = conversation
            .channels
            .iter()
            .filter(|c| conversation.is_behind(&c.uniqueid, one) || Some(&c.uniqueid) == two.as_ref())
            .map(|c| c.uniqueid.clone())
            .collect();
        // Nothing left behind: it is not inside anybody's conversation.
        if behind.len() == conversation.channels.len() {
            return key;
        }
        // The transferer: named by the caller id his Local channel carries, else the only phone that talks.
        let shown = two.as_ref().and_then(|two| conversation.channel(two)).map(|c| c.caller_number.clone());
        let talking: Vec<&super::model::Channel> = conversation
            .channels
            .iter()
            .filter(|c| {
                c.is_live()
                    && c.extension().is_some()
                    && (c.phone.is_some() || c.role == Role::Caller)
                    && c.up_at.is_some()
            })
            .collect();
        let guest = talking
            .iter()
            .find(|c| c.extension() == shown.as_deref())
            .or(if talking.len() == 1 { talking.first() } else { None })
            .map(|c| c.uniqueid.clone());
        let split = self.begin(pbx, one, 1);
        let mut moved = Vec::new();
        let conversation = self.conversation_mut(key);
        conversation.channels.retain(|c| {
            let moves = behind.contains(&c.uniqueid);
            if moves {
                moved.push(c.clone());
            }
            !moves
        });
        let mut dials = Vec::new();
        conversation.unplaced_dials.retain(|d| {
            let moves = behind.contains(&d.channel);
            if moves {
                dials.push(d.clone());
            }
            !moves
        });
        for channel in &mut moved {
            // A phone that was named too early stays behind; the new conversation gives the channel its place.
            channel.phone = None;
            channel.decides = None;
            if channel.uniqueid == *one {
                channel.role = Role::Consulting;
            }
            self.lead_to(split, pbx, channel.uniqueid.clone());
        }
        let conversation = self.conversation_mut(split);
        conversation.channels = moved;
        conversation.unplaced_dials = dials;
        conversation.is_consultation = true;
        conversation.to = to;
        if let Some(guest) = guest {
            self.consults(split, pbx, &guest);
        }
        split
    }

    /// `guest`, a channel of the client's conversation, consults in `key`.
    pub(super) fn consults(&mut self, key: Key, pbx: PbxId, guest: &Uniqueid) {
        let Some((_, channel)) = self.channel(pbx, guest) else { return };
        let extension = channel.extension().map(str::to_owned);
        let conversation = self.conversation_mut(key);
        conversation.consulting = Some(guest.clone());
        conversation.from.clone_from(&extension);
        conversation.caller_extension = extension;
        self.exchange(pbx).consultations.insert(guest.clone(), key);
        self.place_waiting(key);
    }

    pub(super) fn consultation_of(&self, pbx: PbxId, guest: &Uniqueid) -> Option<Key> {
        self.exchanges.get(&pbx)?.consultations.get(guest).copied().filter(|k| self.held.contains_key(k))
    }

    /// This channel is the guest of a consultation that goes on.
    pub(super) fn consults_now(&self, pbx: PbxId, uniqueid: &Uniqueid) -> bool {
        self.consultation_of(pbx, uniqueid).is_some_and(|k| !self.conversation(k).is_over())
    }

    /// An AMI Redirect takes the client out of a talk without a word; when the next phone is tried, it was a transfer.
    pub(super) fn notice_redirect(&mut self, key: Key, next: &PhoneKey) {
        let wall = self.wall();
        let conversation = self.conversation_mut(key);
        if conversation.pending_transfer.is_some() || conversation.answered.is_none() || conversation.went_on {
            return;
        }
        // Where the dialplan is hidden from us, only a call at once after the talk shows it.
        let hidden = !conversation.dialplan_seen;
        if conversation.phones.iter().any(|p| p.talk_from.is_some()) {
            return;
        }
        let pulled_from = conversation.phones.iter().enumerate().filter(|(index, phone)| {
            phone.answered.is_some()
                && !phone.gave_away
                && phone.key.as_ref() != Some(next)
                && phone.talk_until.is_some_and(|until| !hidden || wall - until <= REDIRECT_MS)
                // Whoever hung up himself was not robbed of his client: the dialplan goes on after him.
                && !conversation
                    .channels
                    .iter()
                    .any(|c| c.phone == Some(*index) && c.up_at.is_some() && c.asked_hangup.is_some())
        });
        let Some((index, phone)) = pulled_from.max_by_key(|(_, p)| p.talk_until) else { return };
        let Some(from) = phone.key.as_ref().map(|k| k.name().to_owned()) else { return };
        conversation.phones[index].gave_away = true;
        conversation.step(step(StepKind::Transfer, wall).who(from.clone()).to(next.name().to_owned()).how("blind"));
        conversation.pending_transfer = Some(Box::new(PendingTransfer {
            from,
            from_phone: Some(index),
            exten: next.name().to_owned(),
            tried: false,
            kind: TransferKind::Blind,
        }));
    }
}

impl Conversation {
    /// The consultation was a call to the giver: whom he gave the client is the colleague who had called him.
    fn caller_becomes_phone(&mut self, giver: &str) {
        let Some(caller) = self.caller_extension.clone().filter(|caller| caller != giver) else { return };
        if self.direction != Some(Direction::Internal) {
            return;
        }
        let Some(index) = self.phone_index(&PhoneKey::Extension(giver.to_owned())) else { return };
        for channel in &mut self.channels {
            if channel.phone == Some(index) {
                channel.phone = None;
            } else if channel.role == Role::Caller && channel.extension() == Some(&caller) {
                channel.phone = Some(index);
            }
        }
        self.phones[index].key = Some(PhoneKey::Extension(caller));
    }

    /// An outgoing consultation becomes a call of the client's conversation: its customer is now a phone of ours.
    fn client_becomes_phone(&mut self) {
        if self.direction != Some(Direction::Outgoing) {
            return;
        }
        let Some(extension) = self.caller_extension.clone() else { return };
        let Some(index) = self.phone_index(&PhoneKey::Extension(extension)) else { return };
        let number = self.client_number.clone().or_else(|| self.trunk.clone());
        let Some(number) = number else { return };
        self.phones[index].key = Some(PhoneKey::Outside(number));
        self.stage = Stage::Dial;
        for channel in &mut self.channels {
            if channel.is_client {
                channel.is_client = false;
                channel.phone = Some(index);
                channel.decides = Some(index);
            } else if channel.phone == Some(index) {
                channel.phone = None;
            }
        }
    }
}
