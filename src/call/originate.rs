//! Click-to-call: our Originate from the request to the end, and other programs' Originates.
//!
//! Ours are known by their pre-assigned channel ids and their ActionID. The agent's leg that rings first is no incoming
//! call. What OriginateResponse says is only how the agent's leg fared; the customer's fate is an ordinary dial.

use super::input::PlaceCall;
use super::model::{Channel, Click, Conversation, Fate, Party, PhoneKey, Role};
use super::record::{Direction, Reason, Record};
use super::{Calls, Deadline, Effect, Key, Progress, RequestState};
use crate::asterisk::channel::Half;
use crate::asterisk::{Action, ActionId, ChannelName, Originate, PbxId, Text, Uniqueid};

/// How long after its own time-out an Originate without any word is given up.
const SILENCE_MS: u64 = 30_000;

/// An Originate whose end is not known yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) action_id: String,
    pub(super) asked_at: i64,
    pub(super) key: Option<Key>,
}

/// Originates of one exchange that wait for their OriginateResponse; more than anybody clicks at once.
const MAX_PENDING: usize = 1_024;

impl Calls {
    pub(super) fn place_call(&mut self, call: PlaceCall) {
        let first = Uniqueid::new(&call.call_id);
        let key = self.begin(call.pbx, &first, 1);
        let other = Uniqueid::new(&format!("{}-2", call.call_id));
        self.lead_to(key, call.pbx, other.clone());
        let action_id = ActionId(format!("pinconnector-call-{}", call.call_id).into());
        let conversation = self.conversation_mut(key);
        conversation.crm = call.crm.map(String::from);
        conversation.caller_extension = Some(call.from.to_string());
        conversation.click = Some(Box::new(Click {
            request: call.request.to_string(),
            action_id: action_id.0.to_string(),
            agent: Some(call.from.to_string()),
            asked: Some(call.to.to_string()),
            crm_record: call.crm_record.map(String::from),
            user: call.user.map(String::from),
            agent_up: false,
            timed_out: false,
            failed: false,
            cancelled: false,
        }));
        self.await_originate(call.pbx, action_id.0.to_string(), Some(key));
        self.establish_click(key);
        self.remind(u64::from(call.timeout_ms) + SILENCE_MS, Deadline::Originate(key));
        let originate = Originate {
            channel: call.channel,
            context: call.context,
            exten: call.dialled,
            caller_id: call.caller_id,
            timeout_ms: call.timeout_ms,
            channel_id: first,
            other_channel_id: other,
            variables: call.variables,
        };
        self.effect(Effect::AskAfterCommit {
            pbx: call.pbx,
            action_id,
            action: Action::Originate(Box::new(originate)),
        });
        self.touch(key);
    }

    pub(super) fn await_originate(&mut self, pbx: PbxId, action_id: String, key: Option<Key>) {
        let asked_at = self.wall();
        let pending = &mut self.exchange(pbx).originates;
        if pending.iter().any(|p| p.action_id == action_id) {
            return;
        }
        if pending.len() >= MAX_PENDING {
            pending.remove(0);
        }
        pending.push(Pending { action_id, asked_at, key });
    }

    /// In a replay the next channel made for nobody belongs to the oldest Originate that has none yet.
    pub(super) fn claim_originate(&mut self, pbx: PbxId, key: Key) {
        if !self.rules.every_originate_is_ours {
            return;
        }
        let Some(pending) = self.exchange(pbx).originates.iter_mut().find(|p| p.key.is_none()) else { return };
        pending.key = Some(key);
        let (action_id, asked_at) = (pending.action_id.clone(), pending.asked_at);
        let conversation = self.conversation_mut(key);
        conversation.born = asked_at;
        conversation.click = Some(Box::new(Click {
            request: String::new(),
            action_id,
            agent: None,
            asked: None,
            crm_record: None,
            user: None,
            agent_up: false,
            timed_out: false,
            failed: false,
            cancelled: false,
        }));
    }

    /// `DialBegin` without a caller: the first leg of an Originate.
    pub(super) fn originated(&mut self, pbx: PbxId, key: Key, uniqueid: &Uniqueid, dial_string: &str) {
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel_mut(uniqueid) else { return };
        if channel.role != Role::Unknown && channel.role != Role::Originated {
            return;
        }
        channel.role = Role::Originated;
        let party = channel.party.clone();
        let number = super::target::dialled_number(dial_string, channel.name.endpoint());
        if conversation.click.is_none() && conversation.channels.len() <= 2 {
            self.claim_originate(pbx, key);
        }
        match party {
            Party::Extension(_) => self.agents_leg(key, uniqueid),
            // A dialler calls the customer first: he is the client, whoever is called for him a phone.
            Party::Trunk(trunk) if self.conversation(key).click.as_ref().is_none_or(|c| c.agent.is_none()) => {
                let conversation = self.conversation_mut(key);
                if let Some(click) = &mut conversation.click {
                    click.asked.clone_from(&number);
                }
                conversation.direction = Some(Direction::Outgoing);
                conversation.trunk = Some(trunk);
                conversation.client_number.clone_from(&number);
                conversation.to = number;
                if conversation.phoneless.is_none() && conversation.phones.is_empty() {
                    let (id, _) = conversation.next_id();
                    conversation.phoneless = Some(id);
                }
                if let Some(channel) = conversation.channel_mut(uniqueid) {
                    channel.is_client = true;
                }
            }
            Party::Trunk(_) | Party::Local => {}
        }
        self.place_waiting(key);
        self.touch(key);
    }

    /// The far end of an originated Local channel dials the agent; its near end dials the customer.
    pub(super) fn is_agents_leg(&self, key: Key, dialler: &Uniqueid) -> bool {
        let conversation = self.conversation(key);
        let Some(channel) = conversation.channel(dialler) else { return false };
        channel.name.local_half() == Some(Half::Two)
            && !conversation.is_consultation
            && channel
                .local_peer
                .as_ref()
                .and_then(|one| conversation.channel(one))
                .is_some_and(|one| one.role == Role::Originated && one.dialled_by.is_none())
    }

    /// This channel is the phone of him who calls.
    pub(super) fn agents_leg(&mut self, key: Key, uniqueid: &Uniqueid) {
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel_mut(uniqueid) else { return };
        let Some(extension) = channel.extension().map(str::to_owned) else { return };
        // Also where the far end of an originated Local channel dialled him.
        channel.role = Role::Originated;
        conversation.caller_extension.get_or_insert_with(|| extension.clone());
        conversation.from.get_or_insert_with(|| extension.clone());
        if let Some(click) = &mut conversation.click {
            click.agent.get_or_insert_with(|| extension.clone());
        }
        self.establish_click(key);
        let conversation = self.conversation_mut(key);
        // His record is the conversation's, unless the call is internal: then it is about the called one.
        if conversation.direction == Some(Direction::Outgoing) {
            let phone = conversation.phone_index(&PhoneKey::Extension(extension));
            if let Some(channel) = conversation.channel_mut(uniqueid) {
                channel.phone = phone;
            }
        }
        self.touch(key);
    }

    /// Once agent and number are known, the record is there, before any phone rings.
    fn establish_click(&mut self, key: Key) {
        let numbers = self.rules.numbers.at(self.conversation(key).pbx_id.0).clone();
        let conversation = self.conversation_mut(key);
        let Some(click) = &conversation.click else { return };
        let (Some(agent), Some(asked)) = (click.agent.clone(), click.asked.clone()) else { return };
        conversation.from.get_or_insert_with(|| agent.clone());
        conversation.to.get_or_insert_with(|| asked.clone());
        conversation.caller_extension.get_or_insert_with(|| agent.clone());
        if conversation.direction.is_some() {
            return;
        }
        let internal = numbers.is_extension(&asked);
        let born = conversation.born;
        let phone = if internal {
            conversation.direction = Some(Direction::Internal);
            self.phone(key, PhoneKey::Extension(asked), None)
        } else {
            conversation.direction = Some(Direction::Outgoing);
            conversation.client_number = Some(asked);
            self.callers_phone(key, &agent)
        };
        if let Some(phone) = phone {
            self.conversation_mut(key).phones[phone].started = born;
        }
        self.touch(key);
    }

    /// A click-to-call reached an extension: it was internal all along, and its record is about the called one.
    pub(super) fn click_reaches_extension(&mut self, key: Key, extension: &str) {
        let conversation = self.conversation_mut(key);
        if conversation.click.is_none() || conversation.has_talked() {
            return;
        }
        let Some(agent) = conversation.caller_extension.clone() else { return };
        let is_first = conversation.direction == Some(Direction::Outgoing)
            && conversation.phones.len() == 1
            && !conversation.channels.iter().any(|c| c.is_client);
        if is_first && agent != extension {
            conversation.direction = Some(Direction::Internal);
            conversation.client_number = None;
            conversation.phones[0].key = Some(PhoneKey::Extension(extension.to_owned()));
            for channel in &mut conversation.channels {
                channel.phone = None;
            }
        }
    }

    /// `OriginateResponse`: how the agent's leg fared.
    #[expect(clippy::too_many_arguments, reason = "they are the fields of one event")]
    pub(super) fn originate_response(
        &mut self,
        pbx: PbxId,
        action_id: &str,
        success: bool,
        channel: &ChannelName,
        exten: &str,
        reason: u32,
        uniqueid: &Uniqueid,
    ) {
        let pending = &mut self.exchange(pbx).originates;
        let Some(at) = pending.iter().position(|p| p.action_id == action_id) else { return };
        let Pending { asked_at, key, .. } = pending.remove(at);
        let key = self.whose_response(pbx, key, channel, uniqueid);
        let key = key.filter(|key| self.held.contains_key(key)).or_else(|| self.find(pbx, uniqueid));
        let key = match key {
            Some(key) => key,
            // No channel was ever made: the agent's phone is not registered.
            None if !success && self.find(pbx, &Uniqueid::new(action_id)).is_none() => {
                let key = self.begin(pbx, &Uniqueid::new(action_id), 1);
                self.conversation_mut(key).born = asked_at;
                self.conversation_mut(key).click = Some(Box::new(Click {
                    request: String::new(),
                    action_id: action_id.to_owned(),
                    agent: None,
                    asked: None,
                    crm_record: None,
                    user: None,
                    agent_up: false,
                    timed_out: false,
                    failed: false,
                    cancelled: false,
                }));
                key
            }
            None => return,
        };
        let asked_channel = channel.endpoint().split('@').next().unwrap_or_default().to_owned();
        let agent = self.rules.numbers.at(pbx.0).is_extension(&asked_channel).then_some(asked_channel);
        let conversation = self.conversation_mut(key);
        let Some(click) = &mut conversation.click else { return };
        if click.asked.is_none() && exten.is_empty() {
            // An Originate of an application: an announcement is no call to anybody, a Dial will say to whom.
            if success {
                click.agent_up = true;
            } else {
                conversation.click = None;
            }
            self.end_if_empty(key);
            return;
        }
        click.asked.get_or_insert_with(|| exten.to_owned());
        if let Some(agent) = agent {
            click.agent.get_or_insert(agent);
        }
        if success {
            click.agent_up = true;
        } else {
            click.failed = true;
            click.timed_out = reason == 3;
        }
        self.establish_click(key);
        self.end_if_empty(key);
        self.touch(key);
    }

    /// Originates run side by side: a channel that was taken for this one's may be another's. The response names the channel
    /// that was made, or the one that was asked for.
    fn whose_response(
        &mut self,
        pbx: PbxId,
        claimed: Option<Key>,
        channel: &ChannelName,
        uniqueid: &Uniqueid,
    ) -> Option<Key> {
        let asked = channel.endpoint().split('@').next().unwrap_or_default();
        let is_its = |key: &Key| {
            self.held.get(key).is_some_and(|held| {
                held.conversation.channels.iter().any(|c| {
                    let names = c.name.endpoint().split('@').next() == Some(asked);
                    if uniqueid.is_empty() { names && c.role == Role::Originated } else { c.uniqueid == *uniqueid }
                })
            })
        };
        if claimed.as_ref().is_none_or(is_its) {
            return claimed;
        }
        let others = self.exchanges.get(&pbx).map(|e| e.originates.iter().filter_map(|p| p.key).collect::<Vec<_>>());
        let Some(right) = others.unwrap_or_default().into_iter().find(|key| is_its(key)) else { return claimed };
        if let Some(other) = self.exchange(pbx).originates.iter_mut().find(|p| p.key == Some(right)) {
            other.key = claimed;
        }
        Some(right)
    }

    /// No word of an Originate, long after its time-out: its answer was lost.
    pub(super) fn originate_overdue(&mut self, key: Key) {
        let Some(held) = self.held.get_mut(&key) else { return };
        let empty = !held.conversation.channels.iter().any(Channel::is_live);
        if let Some(click) = &mut held.conversation.click
            && empty
            && held.conversation.ended.is_none()
        {
            click.failed = true;
            self.end_if_empty(key);
            self.touch(key);
        }
    }

    pub(super) fn cancel_call(&mut self, crm: &Text, request: &Text) {
        let found = self.held.iter().find(|(_, h)| {
            h.conversation.ended.is_none()
                && h.conversation.crm.as_deref() == Some(crm)
                && h.conversation.click.as_ref().is_some_and(|c| *c.request == **request)
        });
        let Some((key, held)) = found else { return };
        let (key, pbx) = (*key, held.conversation.pbx_id);
        // The agent's own channel ends the whole; before it exists, Asterisk's time-out does.
        let channels: Vec<ChannelName> = held
            .conversation
            .channels
            .iter()
            .filter(|c| c.is_live() && matches!(c.role, Role::Originated | Role::Caller))
            .map(|c| c.name.clone())
            .collect();
        if let Some(click) = &mut self.conversation_mut(key).click {
            click.cancelled = true;
        }
        for channel in channels {
            let action_id = self.next_action_id("hangup");
            self.effect(Effect::Ask { pbx, action_id, action: Action::Hangup { channel } });
        }
        self.touch(key);
    }

    /// What the agent's own phone did, for the reason of a cancelled click-to-call.
    pub(super) fn agents_fate(conversation: &Conversation) -> Fate {
        let Some(click) = &conversation.click else { return Fate::Trying };
        if click.agent_up {
            return Fate::Answered;
        }
        let agents = conversation
            .channels
            .iter()
            .filter(|c| c.decides.is_none() && c.extension().is_some() && c.extension() == click.agent.as_deref());
        let mut fate = Fate::Unreachable;
        for channel in agents {
            if channel.refused() && !click.timed_out {
                return Fate::Refused;
            }
            if channel.rang() || click.timed_out {
                fate = Fate::RangOut;
            }
        }
        fate
    }
}

/// How the click-to-call that `conversation` is goes, by its channels and its records as published.
pub(super) fn progress(conversation: &Conversation) -> Option<Progress> {
    let click = conversation.click.as_ref().filter(|click| !click.request.is_empty())?;
    let customer_rings = || conversation.channels.iter().any(|c| c.decides.is_some() && c.rings());
    // The agent's leg decides no phone, but whoever clicked wants to know.
    let is_agents = |c: &Channel| c.decides.is_none() && c.extension() == click.agent.as_deref();
    let agent_rings = || conversation.channels.iter().any(|c| is_agents(c) && c.rings());
    let state = if conversation.is_over() {
        if conversation.was_answered() { RequestState::Done } else { RequestState::Failed }
    } else if conversation.phones.iter().any(|phone| phone.talk_from.is_some()) {
        RequestState::Talking
    } else if customer_rings() {
        RequestState::CustomerRinging
    } else if agent_rings() {
        RequestState::AgentRinging
    } else {
        return None;
    };
    let why = |record: &Record| record.reason.map_or(record.status.as_str(), Reason::as_str);
    let reason = conversation.published.first().filter(|_| state == RequestState::Failed).map(|r| Text::from(why(r)));
    Some(Progress {
        crm: conversation.crm.clone(),
        request: Text::from(click.request.as_str()),
        conversation: conversation.id.clone(),
        state,
        reason,
    })
}
